// Package migrations holds the portal's database schema as numbered SQL files, applied in order by app/db and never
// changed once released: a mistake is mended by the next file.
package migrations

import "embed"

// Files are the migrations, NNNN_name.sql each.
//
//go:embed *.sql
var Files embed.FS
