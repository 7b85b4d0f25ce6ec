// Package docs holds the user guides and the reference of all actions, which the portal shows at /guides.
package docs

import "embed"

// Guides are the user guides in Markdown, and actions.md.
//
//go:embed guides/*.md actions.md
var Guides embed.FS
