// Package mailviews holds the frame of every e-mail, in HTML and in plain text. Mails are not pages: they carry their styles
// inline, since mail programs drop the rest, and so are rendered by app/mail and not by the page engine.
package mailviews

import "embed"

// Files are frame.html.tmpl and frame.text.tmpl.
//
//go:embed *.tmpl
var Files embed.FS
