// Package views holds every page as a template, and every sentence (messages/TOPIC.LANGUAGE.toml). A template's name is its
// path without ".html"; the parts that htmx swaps are defined in the file of their page. Start reading at layouts/client.html,
// then shared/.
package views

import (
	"embed"
	"fmt"
	"hash/fnv"
	"html/template"
	"io"
	"io/fs"
	"net/http"
	"os"
	"slices"
	"strings"
	"text/template/parse"
	"unicode"
	"unicode/utf8"

	"github.com/gofiber/template/html/v2"
)

// Files are the templates and messages as they were built in.
//
//go:embed */*.html messages/*.toml
var Files embed.FS

// Templates renders templates by name. Safe for concurrent use.
type Templates struct {
	fixed *html.Engine
	load  func() (*html.Engine, error) // set in the dev run: reads the files again
}

// Engine parses all templates. asset turns the name of a file in static/ into its address. In the dev run templates are
// read again from the folder views/ for every page, where that folder exists, so that an edit shows at the next reload.
func Engine(dev bool, asset func(name string) string) (*Templates, error) {
	var files fs.FS = Files
	if dev {
		if info, err := os.Stat("views"); err == nil && info.IsDir() {
			files = os.DirFS("views")
		} else {
			dev = false
		}
	}
	load := func() (*html.Engine, error) {
		engine := html.NewFileSystem(http.FS(files), ".html")
		engine.AddFuncMap(functions(asset))
		if err := engine.Load(); err != nil {
			return nil, fmt.Errorf("parse templates: %w", err)
		}
		sprite := asset("vendor/icons.svg")
		for _, t := range engine.Templates.Templates() {
			if t.Tree != nil { // the engine's own root holds none
				drawIcons(t.Tree.Root, sprite)
			}
		}
		return engine, nil
	}
	fixed, err := load()
	if err != nil {
		return nil, err
	}
	t := &Templates{fixed: fixed}
	if dev {
		t.load = load // the engine's own reloading is not safe for concurrent pages
	}
	return t, nil
}

// Render writes the template with this name. The layouts of the template engine are not used; see ARCHITECTURE.md, "A page
// is a fragment in a frame".
func (t *Templates) Render(out io.Writer, name string, binding any, _ ...string) error {
	engine := t.fixed
	if t.load != nil {
		var err error
		if engine, err = t.load(); err != nil {
			return err
		}
	}
	if err := engine.Render(out, name, binding); err != nil {
		return fmt.Errorf("render %s: %w", name, err)
	}
	return nil
}

func functions(asset func(string) string) map[string]any {
	sprite := asset("vendor/icons.svg")
	return map[string]any{
		"icon":       func(name string) template.HTML { return icon(sprite, name) },
		"statusIcon": statusIcon,
		"avatar":     avatar,
		"dict":       dict,
		"list":       func(items ...any) []any { return items },
		"join":       func(items []string, separator string) string { return strings.Join(items, separator) },
	}
}

// icon draws an icon of the sprite. It is hidden from assistive technology: what it means stands beside it in words, or in
// the aria-label of its button.
func icon(sprite, name string) template.HTML {
	return template.HTML(`<svg class="icon" aria-hidden="true"><use href="` + sprite + `#` + template.HTMLEscapeString(name) + `"/></svg>`)
}

// drawIcons puts the icons with fixed names where templates ask for them, once for all pages: a page has a hundred.
func drawIcons(list *parse.ListNode, sprite string) {
	if list == nil {
		return
	}
	for i, node := range list.Nodes {
		switch n := node.(type) {
		case *parse.ActionNode:
			if len(n.Pipe.Decl) > 0 || len(n.Pipe.Cmds) != 1 || len(n.Pipe.Cmds[0].Args) != 2 {
				continue
			}
			call, isCall := n.Pipe.Cmds[0].Args[0].(*parse.IdentifierNode)
			name, isFixed := n.Pipe.Cmds[0].Args[1].(*parse.StringNode)
			if isCall && isFixed && call.Ident == "icon" {
				list.Nodes[i] = &parse.TextNode{NodeType: parse.NodeText, Pos: n.Pos, Text: []byte(icon(sprite, name.Text))}
			}
		case *parse.IfNode:
			drawIcons(n.List, sprite)
			drawIcons(n.ElseList, sprite)
		case *parse.RangeNode:
			drawIcons(n.List, sprite)
			drawIcons(n.ElseList, sprite)
		case *parse.WithNode:
			drawIcons(n.List, sprite)
			drawIcons(n.ElseList, sprite)
		}
	}
}

// statusIcon is the icon of a status, the same wherever the status shows. Its colour stands in css/components.css.
func statusIcon(status string) string {
	switch status {
	case "active", "succeeded", "confirmed", "on", "sent", "paid":
		return "circle-check"
	case "accepted":
		return "check"
	case "open", "unpaid":
		return "circle-dot"
	case "staff-replied":
		return "message-square-reply"
	case "client-replied":
		return "message-circle"
	case "waiting", "approval":
		return "hourglass"
	case "closed":
		return "lock"
	case "invited":
		return "mail"
	case "expired":
		return "timer-off"
	case "queued", "draft":
		return "circle-dashed"
	case "running":
		return "loader-circle"
	case "retrying":
		return "rotate-cw"
	case "failed", "overdue":
		return "circle-x"
	case "cancelled", "disabled", "archived", "off", "void":
		return "ban"
	case "suspended", "unconfirmed":
		return "triangle-alert"
	}
	return "circle-dot"
}

// tones are the grounds of avatars, see css/components.css.
var tones = [...]string{"sand", "rose", "moss", "slate"}

// avatar draws a person's initials on a ground picked by the name. Classes: "small"; "store" for the store itself, which has
// one letter on its own colour.
func avatar(name string, classes ...string) template.HTML {
	letters := initials(name)
	if slices.Contains(classes, "store") {
		first, _, _ := strings.Cut(strings.TrimSpace(name), " ")
		letters = initials(first)
	} else {
		hash := fnv.New32a()
		_, _ = hash.Write([]byte(name))
		classes = append([]string{tones[hash.Sum32()%uint32(len(tones))]}, classes...)
	}
	class := strings.TrimSpace("avatar " + strings.Join(classes, " "))
	return template.HTML(`<span class="` + template.HTMLEscapeString(class) + `" aria-hidden="true">` + template.HTMLEscapeString(letters) + `</span>`)
}

// initials are the first letters of the first and the last word, as capitals. Scripts without capitals give one sign, since
// their letters join (Arabic) or one is a word (Chinese). A name without letters or digits gives its first sign.
func initials(name string) string {
	var signs []string
	for _, word := range strings.Fields(name) {
		if sign := firstSign(word); sign != "" {
			signs = append(signs, sign)
		}
	}
	switch {
	case len(signs) == 0:
		for _, r := range strings.TrimSpace(name) {
			return string(r)
		}
		return ""
	case len(signs) == 1 || !cased(signs[0]):
		return signs[0]
	default:
		return signs[0] + signs[len(signs)-1]
	}
}

// firstSign is a word's first letter or digit, with the marks that belong to it.
func firstSign(word string) string {
	sign := ""
	for _, r := range word {
		switch {
		case sign == "" && (unicode.IsLetter(r) || unicode.IsDigit(r)):
			sign = string(unicode.ToUpper(r))
		case sign != "" && unicode.IsMark(r):
			sign += string(r)
		case sign != "":
			return sign
		}
	}
	return sign
}

// cased tells whether a sign belongs to a script with capitals, or is a digit.
func cased(sign string) bool {
	r, _ := utf8.DecodeRuneInString(sign)
	return unicode.IsUpper(r) || unicode.IsLower(r) || unicode.IsTitle(r) || unicode.IsDigit(r)
}

// dict builds a map from pairs of key and value, for templates that take more than one value.
func dict(pairs ...any) (map[string]any, error) {
	if len(pairs)%2 != 0 {
		return nil, fmt.Errorf("dict: %d values are not pairs", len(pairs))
	}
	values := make(map[string]any, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		key, ok := pairs[i].(string)
		if !ok {
			return nil, fmt.Errorf("dict: key %v is not a string", pairs[i])
		}
		values[key] = pairs[i+1]
	}
	return values, nil
}
