// Package guides shows the user guides of docs/guides as pages. They are rendered once, at start.
package guides

import (
	"bytes"
	"fmt"
	"html/template"
	"io/fs"
	"path"
	"strings"

	"portico/app"
	"portico/app/web"

	"github.com/gofiber/fiber/v2"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
)

// Guide is one guide.
type Guide struct {
	Name    string // of its file, and in its address
	Title   string
	Current bool
	body    template.HTML
}

// Page is what views/guides/show.html says.
type Page struct {
	Guides []Guide
	Body   template.HTML
}

// Handlers serve the guides.
type Handlers struct{ guides []Guide }

// order is how guides are listed.
var order = []string{"client", "delegate", "staff", "admin", "actions"}

// elsewhere are guides that lie elsewhere in files: the reference of all actions is made from the program itself.
var elsewhere = map[string]string{"actions": "actions.md"}

// NewHandlers renders every guide of files (guides/NAME.md, and actions.md). The guides are ours, so their HTML is trusted.
func NewHandlers(files fs.FS) (*Handlers, error) {
	markdown := goldmark.New(goldmark.WithExtensions(extension.Table), goldmark.WithParserOptions(parser.WithAutoHeadingID()))
	h := &Handlers{}
	for _, name := range order {
		file := elsewhere[name]
		if file == "" {
			file = path.Join("guides", name+".md")
		}
		source, err := fs.ReadFile(files, file)
		if err != nil {
			return nil, fmt.Errorf("read the guide: %w", err)
		}
		title, body, ok := strings.Cut(strings.TrimPrefix(string(source), "# "), "\n")
		if !ok {
			return nil, fmt.Errorf("the guide %s has no title", name)
		}
		var out bytes.Buffer
		if err := markdown.Convert([]byte(body), &out); err != nil {
			return nil, fmt.Errorf("render the guide %s: %w", name, err)
		}
		h.guides = append(h.guides, Guide{Name: name, Title: title, body: template.HTML(out.String())})
	}
	return h, nil
}

// Show shows one guide.
func (h *Handlers) Show(c *fiber.Ctx) error {
	name := c.Params("name")
	page := Page{}
	title := ""
	for _, guide := range h.guides {
		if guide.Current = guide.Name == name; guide.Current {
			title, page.Body = guide.Title, guide.body
		}
		page.Guides = append(page.Guides, guide)
	}
	if title == "" {
		return app.ErrNotFound
	}
	return web.Render(c, web.Page{
		View: "guides/show", Title: app.Text{Key: "guides.title", Args: map[string]any{"Title": title}}, Section: "guides", Data: page,
	})
}
