package markdown

import (
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/net/html"
)

func TestRender(t *testing.T) {
	t.Parallel()
	const id = "/files/0b0e7a52-9f7c-4f7e-8a57-0c1b6d1f2a3b"
	for name, c := range map[string]struct{ source, want string }{
		"line break":      {"one\ntwo", "<p>one<br>\ntwo</p>\n"},
		"code":            {"```go\nif a < b {\n```", "<pre tabindex=\"0\"><code>if a &lt; b {\n</code></pre>\n"},
		"list":            {"- a\n- b", "<ul>\n<li>a</li>\n<li>b</li>\n</ul>\n"},
		"numbered":        {"3. a", "<ol start=\"3\">\n<li>a</li>\n</ol>\n"},
		"quote":           {"> a", "<blockquote>\n<p>a</p>\n</blockquote>\n"},
		"strikethrough":   {"~~a~~ **b** *c*", "<p><del>a</del> <strong>b</strong> <em>c</em></p>\n"},
		"heading":         {"# a", "<h3>a</h3>\n"},
		"link":            {"[a](https://x.example/?a=1&b=2)", `<p><a href="https://x.example/?a=1&amp;b=2" rel="nofollow noopener noreferrer">a</a></p>` + "\n"},
		"bare link":       {"see https://x.example/a", `<p>see <a href="https://x.example/a" rel="nofollow noopener noreferrer">https://x.example/a</a></p>` + "\n"},
		"mail address":    {"<a@b.example>", `<p><a href="mailto:a@b.example" rel="nofollow noopener noreferrer">a@b.example</a></p>` + "\n"},
		"own picture":     {"![shot](" + id + ")", `<p><img src="` + id + `" alt="shot" loading="lazy"></p>` + "\n"},
		"foreign picture": {"![shot](https://x.example/a.png)", `<p><a href="https://x.example/a.png" rel="nofollow noopener noreferrer">shot</a></p>` + "\n"},
		"unnamed foreign": {"![](https://x.example/a.png)", `<p><a href="https://x.example/a.png" rel="nofollow noopener noreferrer">https://x.example/a.png</a></p>` + "\n"},
		"picture in link": {"[![shot](https://x.example/a.png)](https://y.example)", `<p><a href="https://y.example" rel="nofollow noopener noreferrer">shot</a></p>` + "\n"},
		"HTML is text":    {"<b>a</b>", "<p>&lt;b&gt;a&lt;/b&gt;</p>\n"},
		"block HTML":      {"<div>\na\n</div>", "<p>&lt;div&gt;<br>\na<br>\n&lt;/div&gt;</p>\n"},
		"template":        {"{{.Secret}}", "<p>{{.Secret}}</p>\n"},
		"table": {"|a|b|\n|:-|-:|\n|1|2|", "<table>\n<thead>\n<tr>\n<th align=\"left\">a</th>\n<th align=\"right\">b</th>\n</tr>\n</thead>\n" +
			"<tbody>\n<tr>\n<td align=\"left\">1</td>\n<td align=\"right\">2</td>\n</tr>\n</tbody>\n</table>\n"},
		"nothing":   {"", ""},
		"null byte": {"a\x00b", "<p>a\uFFFDb</p>\n"},
		"not UTF-8": {"a\xffb", "<p>a\uFFFDb</p>\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := string(Render(c.source)); got != c.want {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

// hostile is what people try.
var hostile = []string{
	`<script>alert(1)</script>`,
	`<img src=x onerror=alert(1)>`,
	`<svg/onload=alert(1)>`,
	`<a href="javascript:alert(1)">x</a>`,
	`<div hx-get="/sign-out" hx-trigger="load" data-hx-post="/x">x</div>`,
	`<style>*{display:none}</style><iframe srcdoc="<script>">`,
	`[a](javascript:alert(1))`,
	"[a](java\nscript:alert(1))",
	`[a](JaVaScRiPt&colon;alert(1))`,
	`[a](&#106;avascript:alert(1))`,
	`[a](\x01javascript:alert(1))`,
	`[a](vbscript:x) [b](data:text/html;base64,PHNjcmlwdD4=) [c](file:///etc/passwd) [d](blob:x)`,
	`![a](javascript:alert(1)) ![b](data:image/svg+xml;base64,PHN2Zz4=) ![c](//evil.example/a.png)`,
	`![a](/files/../sign-out) ![b](/files/0b0e7a52-9f7c-4f7e-8a57-0c1b6d1f2a3b/../../x) ![c](/files/0b0e7a52-9f7c-4f7e-8a57-0c1b6d1f2a3b?x)`,
	`![a" onerror="alert(1)](/files/0b0e7a52-9f7c-4f7e-8a57-0c1b6d1f2a3b "t" onload="x")`,
	`[a](https://x.example "t\" onmouseover=\"alert(1)")`,
	`<javascript:alert(1)> <data:text/html,x>`,
	"[a]: javascript:alert(1)\n\n[a] ![a]",
	"# a {#id onclick=alert(1) hx-get=/x}",
	"```\"><script>alert(1)</script>\nx\n```",
	"|a|\n|-|\n|<script>|",
	"`<script>`",
	"&lt;script&gt;alert(1)&lt;/script&gt;",
	"<!-- --><script>--><![CDATA[<script>]]><?php x?>",
	"a <https://x.example/\"onclick=alert(1)>",
	"- [x] task",
}

func TestRender_Hostile(t *testing.T) {
	t.Parallel()
	for _, source := range hostile {
		check(t, source)
	}
}

func FuzzRender(f *testing.F) {
	for _, source := range hostile {
		f.Add(source)
	}
	f.Add("> - > 1. a\n\n| a |\n|---|\n| b |\n~~x~~ **b *c* d** www.example.com")
	f.Fuzz(check)
}

// check reads what was rendered as a browser does, and finds nothing in it but what we allow.
func check(t *testing.T, source string) {
	out := string(Render(source))
	if !utf8.ValidString(out) || strings.ContainsRune(out, 0) {
		t.Errorf("%q: not clean text: %q", source, out)
	}
	attributes := map[string][]string{
		"p": nil, "br": nil, "hr": nil, "strong": nil, "em": nil, "del": nil, "blockquote": nil, "ul": nil, "li": nil, "pre": {"tabindex"},
		"code": nil, "h3": nil, "h4": nil, "h5": nil, "h6": nil, "table": nil, "thead": nil, "tbody": nil, "tr": nil,
		"ol": {"start"}, "th": {"align"}, "td": {"align"}, "a": {"href", "rel"}, "img": {"src", "alt", "loading"},
	}
	for z := html.NewTokenizer(strings.NewReader(out)); ; {
		kind := z.Next()
		if kind == html.ErrorToken {
			return
		}
		if kind == html.CommentToken || kind == html.DoctypeToken {
			t.Errorf("%q: a comment in %q", source, out)
		}
		if kind != html.StartTagToken && kind != html.SelfClosingTagToken {
			continue
		}
		token := z.Token()
		may, ok := attributes[token.Data]
		if !ok {
			t.Errorf("%q: element %q in %q", source, token.Data, out)
		}
		rel := false
		for _, a := range token.Attr {
			if !strings.Contains(" "+strings.Join(may, " ")+" ", " "+a.Key+" ") {
				t.Errorf("%q: attribute %q in %q", source, a.Key, out)
			}
			switch a.Key {
			case "href":
				scheme, _, found := strings.Cut(strings.ToLower(a.Val), ":")
				if found && !strings.ContainsAny(scheme, "/?#") && !strings.Contains(" http https mailto tel ", " "+scheme+" ") {
					t.Errorf("%q: a link to %q", source, a.Val)
				}
			case "src":
				if !ownImage.MatchString(a.Val) {
					t.Errorf("%q: a picture of %q", source, a.Val)
				}
			case "rel":
				rel = a.Val == "nofollow noopener noreferrer"
			}
		}
		if token.Data == "a" && !rel {
			t.Errorf("%q: a link without rel in %q", source, out)
		}
	}
}

// TestRender_Bounded renders what is made to be slow: what is worse than a square, which MaxBytes keeps to seconds, never ends here.
func TestRender_Bounded(t *testing.T) {
	t.Parallel()
	const size = 16 << 10
	for _, unit := range []string{
		">", "> ", "- ", "1. ", "> - ", "[", "![", "](", "[a](", "*", "**a ", "*a_ ", "_*", "`", "`a``", "~~a ", "<", "<a", "<!--", "&", "\\", "|", "|a|\n|-|\n",
		"a\n=\n", "[a]: b\n", "[a][b]", "www.a.", "https://a.b/(", "a@b.", "```\n", "\t", " ", "\n", "# ", "    ", "\u202e", "\x00", "- a\n ", "[a]: <b> 'c\n", "![[]()](", "<http:",
	} {
		source := strings.Repeat(unit, size/len(unit))
		out := Render(source)
		if len(out) > 60*size {
			t.Errorf("%q × %d became %d bytes", unit, size/len(unit), len(out))
		}
	}
	nested := ""
	for i := range 2000 {
		nested += strings.Repeat(" ", 2*min(i, 20)) + "- a\n"
	}
	if depth := strings.Count(string(Render(strings.Repeat("> ", 5000)+"a")), "<blockquote>"); depth > maxNesting {
		t.Errorf("quotes nest %d deep", depth)
	}
	if out := string(Render(nested)); strings.Contains(out, strings.Repeat("<ul>\n<li>a\n", maxNesting+1)) {
		t.Error("lists nest deeper than they may")
	}
	if out := string(Render(strings.Repeat("*a ", MaxBytes))); !strings.HasPrefix(out, "<pre ") {
		t.Error("too much was read as Markdown")
	}
}
