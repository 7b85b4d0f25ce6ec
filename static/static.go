// Package static holds what browsers fetch beside pages: the stylesheet, scripts, icons and fonts. Every file is served
// under a name with a fingerprint of its content, so that browsers may keep it for ever and never keep an old one.
package static

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"path"
	"regexp"
	"strings"
	"sync"
)

// Prefix is where Find's paths begin.
const Prefix = "/static/"

// File is one file as it is served. Nothing may write to its bytes.
type File struct {
	Content []byte
	Gzip    []byte // Content compressed, or nil where that does not help
	Type    string // for Content-Type
}

//go:embed chevron.svg css/*.css js/*.js vendor/*.js vendor/*.svg vendor/*.woff2
var files embed.FS

//go:embed vendor/icons.txt
var icons string

// Icons lists the names of the icons in the sprite.
func Icons() []string { return strings.Fields(icons) }

// stylesheet lists what app.css is made of, in the order of the cascade layers.
var stylesheet = []string{"reset", "tokens", "base", "layout", "components", "utilities"}

// references finds what one of our files fetches by a relative name: url("…") in CSS, import "…" and import("…") in scripts.
var references = map[string]*regexp.Regexp{
	".css": regexp.MustCompile(`(url\(")([^":]+)("\))`),
	".js":  regexp.MustCompile(`((?:\bfrom|\bimport) ?\(?")(\./[^"]+)(")`),
}

var types = map[string]string{
	".css":   "text/css; charset=utf-8",
	".js":    "text/javascript; charset=utf-8",
	".svg":   "image/svg+xml",
	".woff2": "font/woff2",
}

// Path returns the address of a file, e.g. Path("app.css") is "/static/app-1a2b3c4d.css". It panics for a file that does not
// exist, which is a bug in the template that names it.
func Path(name string) string {
	address, ok := built().paths[name]
	if !ok {
		panic("static: there is no file " + name)
	}
	return address
}

// Find returns the file that is served under a path.
func Find(path string) (File, bool) {
	file, ok := built().files[path]
	return file, ok
}

// bundle is every file under its served path, and the served path of every name.
type bundle struct {
	files map[string]File
	paths map[string]string
}

var built = sync.OnceValue(func() *bundle {
	b := &bundle{files: map[string]File{}, paths: map[string]string{}}
	b.add("app.css", []byte(joinedStylesheet()), nil)
	b.add("js/app.js", joinedScript(), nil)
	for _, folder := range []string{".", "js", "vendor"} {
		entries, err := files.ReadDir(folder)
		if err != nil {
			panic(err) // the folder is embedded
		}
		for _, entry := range entries {
			if _, done := b.paths[path.Join(folder, entry.Name())]; !entry.IsDir() && !done {
				b.addFile(path.Join(folder, entry.Name()), nil)
			}
		}
	}
	return b
})

func joinedStylesheet() string {
	var sheet strings.Builder
	sheet.WriteString("@layer " + strings.Join(stylesheet, ", ") + ";\n")
	for _, layer := range stylesheet {
		sheet.Write(unread.ReplaceAll(read("css/"+layer+".css"), nil))
	}
	return sheet.String()
}

// unread is what browsers skip in a stylesheet: comments and indentation.
var unread = regexp.MustCompile(`(?s)/\*.*?\*/|(?m:^\s+)`)

func read(name string) []byte {
	content, err := files.ReadFile(name)
	if err != nil {
		panic("static: " + err.Error())
	}
	return content
}

func (b *bundle) addFile(name string, above []string) {
	if _, done := b.paths[name]; !done {
		b.add(name, read(name), above)
	}
}

// add fingerprints a file after the files it refers to, since their fingerprints are part of its content. above lists the
// files that led here.
func (b *bundle) add(name string, content []byte, above []string) {
	for _, file := range above {
		if file == name {
			panic("static: " + strings.Join(append(above, name), " refers to ") + ", a circle")
		}
	}
	kind := path.Ext(name)
	if pattern := references[kind]; pattern != nil && !strings.HasPrefix(name, "vendor/") {
		content = pattern.ReplaceAllFunc(content, func(found []byte) []byte {
			part := pattern.FindSubmatch(found)
			other := path.Join(path.Dir(name), string(part[2]))
			b.addFile(other, append(above, name))
			return bytes.Join([][]byte{part[1], []byte(b.paths[other]), part[3]}, nil)
		})
	}
	sum := sha256.Sum256(content)
	fingerprint := hex.EncodeToString(sum[:4])
	address := Prefix + strings.TrimSuffix(name, kind) + "-" + fingerprint + kind
	b.paths[name] = address
	b.files[address] = File{Content: content, Gzip: compressed(content), Type: types[kind]}
}

func compressed(content []byte) []byte {
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		panic(err) // the level is a constant that gzip knows
	}
	_, _ = w.Write(content) // a bytes.Buffer takes everything
	_ = w.Close()
	if out.Len() > len(content)*9/10 {
		return nil
	}
	return out.Bytes()
}
