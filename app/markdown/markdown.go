// Package markdown turns what people write into HTML that is safe to show to others. Two walls, each enough by itself: the
// parser knows no raw HTML, and what it renders passes an allowlist of elements and attributes.
package markdown

import (
	"bytes"
	"html"
	"html/template"
	"regexp"
	"strings"

	"github.com/microcosm-cc/bluemonday"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
	renderhtml "github.com/yuin/goldmark/renderer/html"
	"github.com/yuin/goldmark/text"
	"github.com/yuin/goldmark/util"
)

// MaxBytes is the longest source that is read as Markdown. What is longer is shown as it was typed: some markup costs time
// that grows with the square of its length.
const MaxBytes = 64 << 10

// maxNesting is how deep quotes and lists go; what is deeper stays text.
const maxNesting = 12

// ImagePath is the address of a picture among the attachments, "/files/" and a UUID, in the only form in which Markdown may
// show it: ![name](/files/…). Pictures of other places become links, so that reading a message tells nobody.
const ImagePath = "/files/"

var (
	ownImage = regexp.MustCompile(`^/files/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

	// rel is what every link carries: no credit for spammers, no handle on and no address of the page it stands on.
	rel = "nofollow noopener noreferrer"

	converter = goldmark.New(
		goldmark.WithParser(parser.NewParser(
			parser.WithBlockParsers(
				util.Prioritized(parser.NewSetextHeadingParser(), 100),
				util.Prioritized(parser.NewThematicBreakParser(), 200),
				util.Prioritized(shallow{parser.NewListParser()}, 300),
				util.Prioritized(parser.NewListItemParser(), 400),
				util.Prioritized(parser.NewCodeBlockParser(), 500),
				util.Prioritized(parser.NewATXHeadingParser(), 600),
				util.Prioritized(parser.NewFencedCodeBlockParser(), 700),
				util.Prioritized(shallow{parser.NewBlockquoteParser()}, 800),
				util.Prioritized(parser.NewParagraphParser(), 1000),
			),
			parser.WithInlineParsers(
				util.Prioritized(parser.NewCodeSpanParser(), 100),
				util.Prioritized(parser.NewLinkParser(), 200),
				util.Prioritized(parser.NewAutoLinkParser(), 300),
				util.Prioritized(parser.NewEmphasisParser(), 500),
			),
			parser.WithParagraphTransformers(parser.DefaultParagraphTransformers()...),
			parser.WithASTTransformers(util.Prioritized(tidy{}, 1000)),
		)),
		goldmark.WithExtensions(
			extension.NewTable(extension.WithTableCellAlignMethod(extension.TableCellAlignAttribute)),
			extension.Strikethrough,
			extension.NewLinkify(extension.WithLinkifyAllowedProtocols([]string{"http:", "https:", "mailto:"})),
		),
		// A line break that was typed is meant: people write to each other, not documents.
		goldmark.WithRendererOptions(renderhtml.WithHardWraps()),
	)

	allowed = allowlist()
)

func allowlist() *bluemonday.Policy {
	p := bluemonday.NewPolicy()
	p.AllowElements("p", "br", "hr", "strong", "em", "del", "blockquote", "ul", "ol", "li", "pre", "code",
		"h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td")
	p.AllowAttrs("start").Matching(bluemonday.Integer).OnElements("ol")
	p.AllowAttrs("align").Matching(regexp.MustCompile(`^(left|center|right)$`)).OnElements("th", "td")
	p.AllowAttrs("href").OnElements("a")
	p.AllowAttrs("rel").Matching(regexp.MustCompile(`^` + rel + `$`)).OnElements("a")
	p.AllowAttrs("src").Matching(ownImage).OnElements("img")
	p.AllowAttrs("alt").OnElements("img")
	p.AllowAttrs("loading").Matching(regexp.MustCompile(`^lazy$`)).OnElements("img")
	p.AllowRelativeURLs(true)
	p.AllowURLSchemes("http", "https", "mailto", "tel")
	p.RequireParseableURLs(true)
	return p
}

// Render turns Markdown (CommonMark with tables, strikethrough and bare links) into HTML: paragraphs, lists, quotes, code,
// tables, links and pictures of our own attachments. It never fails: what can't be markup is text. Headings begin at h3, so
// that a message stands below the headings of its page.
func Render(source string) template.HTML {
	source = strings.ToValidUTF8(source, "\uFFFD")
	if len(source) > MaxBytes {
		return plain(source)
	}
	var out bytes.Buffer
	if err := converter.Convert([]byte(source), &out); err != nil {
		return plain(source)
	}
	// Wide code scrolls, so the keyboard must get to it. What was written as "<pre>" is escaped by now.
	safe := bytes.ReplaceAll(allowed.SanitizeBytes(out.Bytes()), []byte("<pre>"), []byte(`<pre tabindex="0">`))
	return template.HTML(safe) // passed the allowlist
}

func plain(source string) template.HTML {
	return template.HTML(`<pre tabindex="0">` + html.EscapeString(strings.ReplaceAll(source, "\x00", "\uFFFD")) + "</pre>")
}

// shallow keeps a block parser from opening a block below maxNesting others.
type shallow struct{ parser.BlockParser }

func (s shallow) Open(parent ast.Node, reader text.Reader, pc parser.Context) (ast.Node, parser.State) {
	depth := 0
	for n := parent; n != nil; n = n.Parent() {
		if depth++; depth > maxNesting {
			return nil, parser.NoChildren
		}
	}
	return s.BlockParser.Open(parent, reader, pc)
}

// tidy lowers headings, says what links are, and turns foreign pictures into links.
type tidy struct{}

func (tidy) Transform(doc *ast.Document, _ text.Reader, _ parser.Context) {
	var foreign []*ast.Image
	_ = ast.Walk(doc, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.Heading:
			n.Level = min(n.Level+2, 6)
		case *ast.Link, *ast.AutoLink:
			n.SetAttributeString("rel", []byte(rel))
		case *ast.Image:
			if ownImage.Match(n.Destination) {
				n.SetAttributeString("loading", []byte("lazy"))
			} else {
				foreign = append(foreign, n)
			}
		}
		return ast.WalkContinue, nil
	})
	for _, image := range foreign {
		replaceByLink(image)
	}
}

// replaceByLink puts a link where a picture stood. Inside another link only the picture's words stay.
func replaceByLink(image *ast.Image) {
	parent := image.Parent()
	for n := parent; n != nil; n = n.Parent() {
		if _, ok := n.(*ast.Link); ok {
			for child := image.FirstChild(); child != nil; {
				next := child.NextSibling()
				parent.InsertBefore(parent, image, child)
				child = next
			}
			parent.RemoveChild(parent, image)
			return
		}
	}
	link := ast.NewLink()
	link.Destination = image.Destination
	link.SetAttributeString("rel", []byte(rel))
	for child := image.FirstChild(); child != nil; {
		next := child.NextSibling()
		link.AppendChild(link, child)
		child = next
	}
	if !link.HasChildren() {
		link.AppendChild(link, ast.NewString([]byte(html.EscapeString(string(image.Destination)))))
	}
	parent.ReplaceChild(parent, image, link)
}
