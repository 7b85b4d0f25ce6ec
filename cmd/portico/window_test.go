package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"
	"github.com/chromedp/cdproto/cdp"
)

// window is what a person does with a portal, whatever browser they have. Things are named by their accessible names.
type window interface {
	visit(path string)
	fill(label, text string)
	choose(label, value string)
	check(label string)
	press(button string)
	follow(link string)
	menu(person string)          // opens the person's own menu
	says(text string)            // waits for it
	at(path string)              // waits until there
	read(selector string) string // the text of an element
}

// windows runs a flow in every browser: one without scripts over HTTP, Chromium, Chromium on a phone, and in make soak Chromium with
// scripts switched off, which finds what the first does and costs much more. Each has a portal of its own.
func windows(t *testing.T, flow func(t *testing.T, s *site, open func() window)) {
	t.Parallel()
	t.Run("http", func(t *testing.T) {
		t.Parallel()
		s := start(t, options{})
		flow(t, s, func() window { return &paper{t: t, c: s.visitor()} })
	})
	looks := map[string]screen{"chromium": {}, "phone": {width: 360, dark: true}}
	if soak {
		looks["without scripts"] = screen{width: 360, noScripts: true}
	}
	for name, look := range looks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, options{})
			var tabs []*tab
			flow(t, s, func() window {
				b := s.browse(t, look)
				tabs = append(tabs, b)
				return b
			})
			for _, b := range tabs {
				for _, line := range b.complaints() {
					// What the server refused on purpose is told on the console too, and so is a fetch that ended because its page
					// was left; one that failed is told as htmx:sendError besides.
					if !strings.Contains(line, "Failed to load resource") && !strings.Contains(line, "htmx:sendAbort") && !strings.Contains(line, "htmx:afterRequest") {
						t.Errorf("on the console: %s", line)
					}
				}
			}
		})
	}
}

func (b *tab) visit(path string) { b.t.Helper(); b.open(path) }

func (b *tab) press(button string) { b.t.Helper(); b.click("button", button) }

func (b *tab) follow(link string) { b.t.Helper(); b.click("link", link) }

func (b *tab) check(label string) {
	b.t.Helper()
	role := "checkbox"
	if len(b.all(role, label)) == 0 {
		role = "radio"
	}
	b.click(role, label)
}

func (b *tab) menu(person string) {
	b.t.Helper()
	if eval[float64](b, "innerWidth") < 700 {
		person = "Menu"
	}
	b.press(person)
}

func (b *tab) read(selector string) string {
	b.t.Helper()
	quoted, err := json.Marshal(selector)
	b.must(err, "quote")
	text := ""
	wait(b.t, selector, func() bool {
		text = eval[string](b, fmt.Sprintf(`(document.querySelector(%s) || {innerText: ""}).innerText`, quoted))
		return text != ""
	})
	return strings.Join(strings.Fields(text), " ")
}

// asked waits until the address holds what was asked for, where the page before shows the same links elsewhere.
func asked(w window, query string) {
	if b, ok := w.(*tab); ok {
		wait(b.t, query+" in the address", func() bool { return strings.Contains(b.href(), query) })
	}
}

// field finds a field that text goes into.
func (b *tab) field(label string) (node cdp.BackendNodeID, role string) {
	b.t.Helper()
	roles := []string{"textbox", "searchbox", "ColorWell"}
	wait(b.t, "a field "+label, func() bool {
		for _, r := range roles {
			if nodes := b.all(r, label); len(nodes) == 1 {
				node, role = nodes[0], r
				return true
			}
		}
		return false
	})
	return node, role
}

// paper is a browser that knows nothing but HTTP and HTML: links, forms, cookies.
type paper struct {
	t     *testing.T
	c     *client
	page  *answer
	typed map[string][]string // by name, over what the page's form holds
}

func (p *paper) show(page *answer) {
	p.t.Helper()
	for range 5 {
		if page.status != http.StatusSeeOther {
			break
		}
		page = page.follow()
	}
	if page.status >= 500 {
		p.t.Fatalf("%s: %d", page.path, page.status)
	}
	p.page, p.typed = page, map[string][]string{}
}

func (p *paper) visit(path string) { p.t.Helper(); p.show(p.c.get(path)) }

func (p *paper) fill(label, text string) { p.t.Helper(); p.typed[p.name(label)] = []string{text} }

func (p *paper) choose(label, value string) {
	p.t.Helper()
	field := p.named(label)
	if field.Find(fmt.Sprintf("option[value=%q]", value)).Length() == 0 {
		p.t.Fatalf("%s: %q can't be chosen for %s", p.page.path, value, label)
	}
	p.typed[field.AttrOr("name", "")] = []string{value}
}

func (p *paper) check(label string) {
	p.t.Helper()
	field := p.named(label)
	name, value := field.AttrOr("name", ""), field.AttrOr("value", "on")
	if field.AttrOr("type", "") == "checkbox" {
		p.typed[name] = append(p.typed[name], value)
	} else {
		p.typed[name] = []string{value}
	}
}

func (p *paper) name(label string) string {
	p.t.Helper()
	return p.named(label).AttrOr("name", "")
}

// named finds a field by its label.
func (p *paper) named(label string) *goquery.Selection {
	p.t.Helper()
	document := p.page.document()
	var found *goquery.Selection
	document.Find("label").EachWithBreak(func(_ int, l *goquery.Selection) bool {
		if spoken(l) != label {
			return true
		}
		if id, ok := l.Attr("for"); ok {
			found = document.Find(fmt.Sprintf("[id=%q]", id))
		} else {
			found = l.Find("input, select, textarea")
		}
		return false
	})
	if found == nil || found.Length() != 1 {
		p.t.Fatalf("%s has no field %q\n%s", p.page.path, label, p.page.words("main"))
	}
	return found
}

// spoken is an element's accessible name, as far as our pages need it.
func spoken(s *goquery.Selection) string {
	if label, ok := s.Attr("aria-label"); ok {
		return label
	}
	if label, ok := s.Find("[aria-labelledby]").Attr("aria-labelledby"); ok {
		return spoken(s.Find("[id=" + label + "]"))
	}
	s = s.Clone()
	s.Find("[aria-hidden=true], svg").Remove()
	return strings.Join(strings.Fields(s.Text()), " ")
}

func (p *paper) press(name string) {
	p.t.Helper()
	var button *goquery.Selection
	p.page.find("form button").EachWithBreak(func(_ int, b *goquery.Selection) bool {
		if spoken(b) == name && b.AttrOr("type", "submit") == "submit" {
			button = b
		}
		return button == nil
	})
	if button == nil {
		p.t.Fatalf("%s has no button %q\n%s", p.page.path, name, p.page.words("body"))
	}
	form := button.Closest("form")
	values := formValues(form)
	for name, typed := range p.typed {
		if form.Find(fmt.Sprintf("[name=%q]", name)).Length() > 0 {
			values[name] = slices.Clone(typed)
		}
	}
	if name, ok := button.Attr("name"); ok {
		values.Set(name, button.AttrOr("value", ""))
	}
	to := or(form.AttrOr("action", ""), p.page.path)
	if strings.EqualFold(form.AttrOr("method", "get"), "post") {
		p.show(p.c.post(to, values, http.Header{"Sec-Fetch-Site": {"same-origin"}, "Origin": {p.c.site.url}}))
	} else {
		p.show(p.c.get(to + "?" + values.Encode()))
	}
}

func (p *paper) follow(name string) {
	p.t.Helper()
	var link *goquery.Selection
	p.page.find("a[href]").EachWithBreak(func(_ int, a *goquery.Selection) bool {
		if spoken(a) == name {
			link = a
		}
		return link == nil
	})
	if link == nil {
		p.t.Fatalf("%s has no link %q\n%s", p.page.path, name, p.page.words("body"))
	}
	p.show(p.c.get(strings.TrimPrefix(link.AttrOr("href", ""), p.c.site.url)))
}

func (p *paper) menu(string) {}

func (p *paper) says(text string) {
	p.t.Helper()
	if got := p.page.words("body"); !strings.Contains(got, text) {
		p.t.Fatalf("%s (%d) does not say %q but: %s", p.page.path, p.page.status, text, got)
	}
}

func (p *paper) at(path string) {
	p.t.Helper()
	u, err := url.Parse(p.page.path)
	if err != nil || u.Path != path {
		p.t.Fatalf("at %s (%d), want %s\n%s", p.page.path, p.page.status, path, p.page.words("main"))
	}
}

func (p *paper) read(selector string) string {
	p.t.Helper()
	text := strings.Join(strings.Fields(p.page.find(selector).First().Text()), " ")
	if text == "" {
		p.t.Fatalf("%s has no %s", p.page.path, selector)
	}
	return text
}
