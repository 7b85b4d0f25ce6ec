package main

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"portico/app/server"
	"portico/app/server/servertest"

	"github.com/PuerkitoBio/goquery"
)

// axe finds faults of accessibility in a page. Version and licence stand in its first lines.
//
//go:embed testdata/axe.min.js
var axe string

// looks are the sizes and colours in which every page must hold.
var looks = []screen{{width: 1280}, {width: 1280, dark: true}, {width: 360}, {width: 360, dark: true}}

func (l screen) String() string {
	scheme := "light"
	if l.dark {
		scheme = "dark"
	}
	return fmt.Sprintf("%d-%s", l.width, scheme)
}

// pagesOf lists the pages that a person is shown, per the route list and the matrix. Public pages are a visitor's, so that they
// are walked once.
func pagesOf(t *testing.T, name string) []server.Route {
	t.Helper()
	matrix := servertest.Read(t, matrixFile)
	var pages []server.Route
	for _, route := range server.Routes(server.Handlers{}, true) {
		row, _ := matrix.Row(route.Permission)
		public := route.Permission == server.Public
		if route.Method == http.MethodGet && route.Kind == server.Page && row.Says[name] == servertest.Yes && public == (name == "AN") && !refusedToAll(route) {
			pages = append(pages, route)
		}
	}
	return pages
}

// walkers are the persons who between them see every page in every frame.
var walkers = []string{"AN", "WF", "UN", "OW", "SD", "AD"}

func TestPages_EveryOneIsWalked(t *testing.T) {
	t.Parallel()
	walked := map[string]bool{}
	for _, name := range walkers {
		for _, route := range pagesOf(t, name) {
			walked[route.Path] = true
		}
	}
	for _, route := range server.Routes(server.Handlers{}, true) {
		if route.Method == http.MethodGet && route.Kind == server.Page && !walked[route.Path] && !refusedToAll(route) {
			t.Errorf("nobody walks over %s", route.Path)
		}
	}
}

// TestPages reads every page as it is sent: headings, forms, links, nothing inline. What is here works without any script.
func TestPages(t *testing.T) {
	t.Parallel()
	for _, name := range walkers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWalk(t, actorNamed(t, name))
			answered := map[string]int{} // links already followed
			shown := 0
			for _, route := range pagesOf(t, name) {
				path, _ := w.sample(route)
				w.site.exec("delete from rate_limits")
				page := w.c.copy().get(path)
				if page.status == http.StatusSeeOther {
					continue // leads to a page of the list
				}
				shown++
				page.want(http.StatusOK)
				for _, fault := range w.faults(page, answered) {
					t.Errorf("%s as %s: %s", route.Path, name, fault)
				}
				part := w.c.copy().do("GET", path, htmx, nil).want(http.StatusOK)
				if strings.Contains(part.body, "<html") || strings.Contains(part.body, "<!doctype") {
					t.Errorf("%s as %s: htmx gets a whole page", route.Path, name)
				}
				for _, whole := range []string{"Hx-Boosted", "Hx-History-Restore-Request"} {
					if page := w.c.copy().do("GET", path, http.Header{"Hx-Request": {"true"}, whole: {"true"}}, nil); !strings.Contains(page.body, "<html") {
						t.Errorf("%s as %s: %s gets a part of the page", route.Path, name, whole)
					}
				}
				if head := w.c.copy().do("HEAD", path, nil, nil); head.status != http.StatusOK || head.body != "" {
					t.Errorf("%s as %s: HEAD gets %d", route.Path, name, head.status)
				}
			}
			t.Logf("%s: %d pages, %d links", name, shown, len(answered))
		})
	}
}

// TestErrorPages: error pages are held to the same.
func TestErrorPages(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"AN", "OW", "SD"} {
		w := newWalk(t, actorNamed(t, name))
		for path, want := range map[string]int{"/no-such-page": 404, "/admin/settings": map[string]int{"AN": 303, "OW": 404, "SD": 403}[name]} {
			page := w.c.copy().get(path)
			if page.status != want {
				t.Errorf("%s as %s: got %d, want %d", path, name, page.status, want)
			}
			if want == 303 {
				continue
			}
			for _, fault := range w.faults(page, map[string]int{}) {
				t.Errorf("%s as %s: %s", path, name, fault)
			}
			note := w.c.copy().do("GET", path, htmx, nil)
			if note.header.Get("HX-Retarget") != "#flash" || strings.Contains(note.body, "<html") || note.words("body") == "" {
				t.Errorf("%s as %s by htmx: retargeted to %q\n%s", path, name, note.header.Get("HX-Retarget"), note.body)
			}
		}
	}
}

// faults is what is wrong with a page that anybody can tell from its source.
func (w *walk) faults(page *answer, answered map[string]int) []string {
	w.t.Helper()
	var faults []string
	wrong := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	document := page.document()
	each := func(selector string, look func(*goquery.Selection)) {
		document.Find(selector).Each(func(_ int, s *goquery.Selection) { look(s) })
	}
	tag := func(s *goquery.Selection) string {
		html, err := goquery.OuterHtml(s)
		if err != nil {
			return err.Error()
		}
		return fmt.Sprintf("%.160s", strings.Join(strings.Fields(html), " "))
	}
	if n := document.Find("main h1").Length(); n != 1 || document.Find("h1").Length() != 1 {
		wrong("%d main headings", n)
	}
	if title := document.Find("title").Text(); !strings.Contains(title, "·") || strings.HasPrefix(strings.TrimSpace(title), "·") {
		wrong("its title is %q", title)
	}
	if document.Find("html").AttrOr("lang", "") == "" {
		wrong("it has no language")
	}
	each("script:not([src]), style, [style], link[rel=stylesheet]:not([href^='/']), script:not([src^='/'])", func(s *goquery.Selection) { wrong("inline or foreign: %s", tag(s)) })
	each("*", func(s *goquery.Selection) {
		for _, attribute := range s.Nodes[0].Attr {
			if strings.HasPrefix(attribute.Key, "on") || strings.HasPrefix(attribute.Key, "hx-on") || strings.HasPrefix(attribute.Val, "javascript:") {
				wrong("a script in an attribute: %s", tag(s))
			}
		}
	})
	ids := map[string]bool{}
	each("[id]", func(s *goquery.Selection) {
		id := s.AttrOr("id", "")
		if ids[id] {
			wrong("the id %s stands twice", id)
		}
		ids[id] = true
	})
	each("form", func(s *goquery.Selection) {
		action, method := s.AttrOr("action", ""), strings.ToLower(s.AttrOr("method", "get"))
		own := action == "" && method == "post" // the page's own address
		if !own && (!strings.HasPrefix(action, "/") || strings.HasPrefix(action, "//")) && !strings.HasPrefix(action, "#") {
			wrong("a form without an address of ours: %s", tag(s))
		}
		if method == "post" && s.Find("input[name=_csrf]").Length() != 1 {
			wrong("a form without its token: %s", tag(s))
		}
		if method == "get" && s.Find("input[name=_csrf]").Length() != 0 {
			wrong("a form that puts its token into the address: %s", tag(s))
		}
		if _, ok := s.Attr("novalidate"); !ok && s.Find("button[type=submit], button:not([type]), input[type=submit]").Length() == 0 {
			wrong("a form without a button: %s", tag(s))
		}
		if hx := s.AttrOr("hx-post", ""); hx != "" && (hx != action || method != "post") {
			wrong("a form that goes elsewhere without script: %s", tag(s))
		}
	})
	each("[hx-get], [hx-post]", func(s *goquery.Selection) {
		if name := goquery.NodeName(s); name != "form" && name != "a" && name != "button" && s.AttrOr("hx-trigger", "") == "" {
			wrong("only scripts can use this: %s", tag(s))
		}
	})
	each("[aria-labelledby], [aria-describedby], [popovertarget], label[for]", func(s *goquery.Selection) {
		for _, name := range []string{"aria-labelledby", "aria-describedby", "popovertarget", "for"} {
			for _, id := range strings.Fields(s.AttrOr(name, "")) {
				if !ids[id] {
					wrong("%s names %s, which is not there", name, id)
				}
			}
		}
	})
	each("a[href], link[href], img[src], script[src], iframe[src]", func(s *goquery.Selection) {
		to := or(s.AttrOr("href", ""), s.AttrOr("src", ""))
		if strings.HasPrefix(to, "data:") || strings.HasPrefix(to, "mailto:") || strings.HasPrefix(to, "https://") {
			return
		}
		to, fragment, _ := strings.Cut(to, "#")
		if to == "" {
			if fragment != "" && !ids[fragment] {
				wrong("a link to #%s, which is not there", fragment)
			}
			return
		}
		if strings.HasPrefix(to, w.site.url) || strings.HasPrefix(to, "?") {
			to = strings.TrimPrefix(to, w.site.url)
			if strings.HasPrefix(to, "?") {
				to = strings.SplitN(page.path, "?", 2)[0] + to
			}
		}
		if !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") {
			wrong("a link to nowhere: %s", tag(s))
			return
		}
		if _, ok := answered[to]; !ok {
			answered[to] = w.c.copy().get(to).status
		}
		if answered[to] >= 400 {
			wrong("a link to %s, which answers %d", to, answered[to])
		}
	})
	for name, want := range map[string]string{
		"Content-Security-Policy": "default-src 'none'", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin",
		"Cache-Control": "no-store", "Vary": "HX-Request", "Content-Type": "text/html; charset=utf-8",
	} {
		if got := page.header.Get(name); !strings.Contains(got, want) {
			wrong("its %s is %q", name, got)
		}
	}
	if strings.Contains(page.header.Get("Content-Security-Policy"), "unsafe") {
		wrong("its policy is %q", page.header.Get("Content-Security-Policy"))
	}
	for _, left := range []string{"{{", "}}", "<no value>", "ZgotmplZ", "%!"} {
		if strings.Contains(document.Find("body").Text(), left) {
			wrong("it says %q", left)
		}
	}
	return faults
}

// TestPages_InChromium opens every page in every look: no fault of accessibility, no sideways scrolling, nothing on the console. Opening
// and asking for accessibility are most of the time: the narrow page is opened, asked, darkened and widened; make soak opens and asks
// each look by itself, and the page without scripts.
func TestPages_InChromium(t *testing.T) {
	t.Parallel()
	turns := []screen{{width: 360}, {width: 360, dark: true}, {width: 1280}}
	if soak {
		turns = looks
	}
	for _, name := range walkers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWalk(t, actorNamed(t, name))
			b := w.browse(t, name)
			for _, route := range pagesOf(t, name) {
				// Everybody's own pages look the same in each frame: a client's and an admin's stand for all. TestPages reads all.
				if (name == "UN" || name == "SD") && route.Path != "/" && route.Path != "/admin" {
					continue
				}
				if path, _ := w.sample(route); w.c.copy().get(path).status == http.StatusSeeOther {
					continue // leads to a page of the list
				}
				for i, look := range turns {
					b.look(look)
					if i == 0 || soak && !look.dark { // the dark one is the same page in other colours
						path, _ := w.sample(route)
						b.open(path)
					}
					where := fmt.Sprintf("%s as %s at %s", route.Path, name, look)
					if soak || look.width == 360 {
						for _, fault := range b.axe(look.dark) {
							t.Errorf("%s: %s", where, fault)
						}
					}
					if wide := b.wide(); wide != "" {
						t.Errorf("%s scrolls sideways: %s", where, wide)
					}
					for _, line := range b.complaints() {
						t.Errorf("%s: %s", where, line)
					}
				}
				if !soak {
					continue
				}
				path, _ := w.sample(route)
				b.look(screen{width: 360, noScripts: true})
				b.open(path)
				if heading := b.heading(); heading == "" {
					t.Errorf("%s as %s without scripts shows no heading", route.Path, name)
				}
			}
		})
	}
}

// browse opens a tab as the walk's actor.
func (w *walk) browse(t *testing.T, name string) *tab {
	t.Helper()
	b := w.site.browse(t, screen{})
	if name != "AN" {
		b.be(w.c)
	}
	return b
}

// heading is the page's main heading, if it can be seen.
func (b *tab) heading() string {
	b.t.Helper()
	return eval[string](b, `(() => { const h = document.querySelector("main h1"); return h && h.getClientRects().length ? h.innerText.trim() : "" })()`)
}

// axe lists the page's faults of accessibility, each with the rule and the elements. For a page that was asked already and has
// other colours now, what depends on them will do.
func (b *tab) axe(coloursOnly bool) []string {
	b.t.Helper()
	source, rules := axe, ""
	if coloursOnly {
		source, rules = "", `runOnly: {type: "rule", values: ["color-contrast", "link-in-text-block"]}, `
	}
	raw := eval[string](b, source+`;(async () => {
		await document.fonts.ready
		const result = await axe.run(document, {`+rules+`resultTypes: ["violations"]})
		return JSON.stringify(result.violations.map(v => v.id + " (" + v.help + "): " + v.nodes.slice(0, 3).map(n =>
			n.target.join(" ") + ", " + n.html.slice(0, 120) + " " + [...n.any, ...n.all, ...n.none].map(c => c.message).slice(0, 2).join("; ")).join(" | ")))
	})()`)
	var faults []string
	if err := json.Unmarshal([]byte(raw), &faults); err != nil {
		b.t.Fatal(err)
	}
	return faults
}

// wide names what makes the page wider than the window, or "".
func (b *tab) wide() string {
	b.t.Helper()
	return eval[string](b, `(() => {
		const root = document.documentElement
		if (root.scrollWidth <= root.clientWidth) return ""
		const out = [...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > root.clientWidth + 1)
		return root.scrollWidth + " px of " + root.clientWidth + ": " + out.slice(0, 3).map(e => e.outerHTML.slice(0, 100)).join(" | ")
	})()`)
}

// TestAxe_FindsFaults: the checker is really there, and would tell.
func TestAxe_FindsFaults(t *testing.T) {
	t.Parallel()
	s := start(t, options{idle: true})
	b := s.browse(t, screen{width: 360})
	b.open("/sign-in")
	if faults := b.axe(false); len(faults) != 0 {
		t.Fatalf("the untouched page has faults: %v", faults)
	}
	eval[bool](b, `(() => {
		document.querySelector("main h1").insertAdjacentHTML("afterend", '<img src="/x.png"><button></button><div class="wide-thing">x</div>')
		document.querySelector(".wide-thing").style.width = "900px"
		return true
	})()`)
	faults := strings.Join(b.axe(false), "\n")
	for _, rule := range []string{"image-alt", "button-name"} {
		if !strings.Contains(faults, rule) {
			t.Errorf("%s was not found: %s", rule, faults)
		}
	}
	if b.wide() == "" {
		t.Error("900 px were not found too wide")
	}
	eval[bool](b, `(() => {
		const words = document.querySelector(".wide-thing")
		words.textContent = "Words"
		words.style.color = "light-dark(black, #222)"
		words.style.background = "light-dark(white, black)"
		return true
	})()`)
	if faults := strings.Join(b.axe(true), "\n"); strings.Contains(faults, "color-contrast") {
		t.Errorf("black on white was found hard to read: %s", faults)
	}
	b.look(screen{width: 360, dark: true})
	if faults := strings.Join(b.axe(true), "\n"); !strings.Contains(faults, "color-contrast") {
		t.Errorf("grey on black was not found hard to read: %s", faults)
	}
	wait(t, "the missing picture on the console", func() bool { return len(b.complaints()) > 0 })
}

// TestShots makes the screenshots of make shots.
func TestShots(t *testing.T) {
	folder := os.Getenv("PORTICO_SHOTS")
	if folder == "" {
		t.Skip("make shots runs it")
	}
	for _, name := range walkers {
		w := newWalk(t, actorNamed(t, name))
		w.site.exec("update store set logo = null, logo_type = null")
		b := w.browse(t, name)
		for _, route := range pagesOf(t, name) {
			for _, look := range looks {
				path, _ := w.sample(route)
				b.look(look)
				b.open(path)
				file := strings.Trim(strings.NewReplacer("/", "-", ":", "").Replace(route.Path), "-")
				file = filepath.Join(folder, look.String(), or(file, "home")+"-"+name+".png")
				if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, b.screenshot(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	shots, err := filepath.Glob(filepath.Join(folder, "*", "*.png"))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(shots)
	t.Logf("%d screenshots in %s", len(shots), folder)
}
