package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/dom"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// chromium is the one browser of this process. Each test has a context of its own in it: cookies, storage, cache.
var chromium struct {
	once sync.Once
	ctx  context.Context
	end  []context.CancelFunc
	err  error
}

func openChromium(t testing.TB) context.Context {
	t.Helper()
	chromium.once.Do(func() {
		flags := append(chromedp.DefaultExecAllocatorOptions[:],
			chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.DisableGPU,
			// One that wants to translate or to save a password would stand in the way.
			chromedp.Flag("disable-features", "Translate,PasswordManagerOnboarding,PasswordLeakDetection"),
		)
		if os.Geteuid() == 0 {
			flags = append(flags, chromedp.NoSandbox) // Chromium's sandbox refuses root
		}
		allocator, end := chromedp.NewExecAllocator(context.Background(), flags...)
		ctx, endBrowser := chromedp.NewContext(allocator)
		chromium.ctx, chromium.end = ctx, []context.CancelFunc{endBrowser, end}
		chromium.err = chromedp.Do(ctx)
	})
	if chromium.err != nil {
		t.Fatalf("start Chromium (Debian, Ubuntu: apt install chromium): %v", chromium.err)
	}
	return chromium.ctx
}

func closeChromium() {
	if chromium.ctx == nil {
		return
	}
	ctx, cancel := context.WithTimeout(chromium.ctx, 10*time.Second)
	defer cancel()
	_ = chromedp.Cancel(ctx) // it is ended for good below
	for _, end := range chromium.end {
		end()
	}
}

// screen says how a tab differs from a light desktop with scripts.
type screen struct {
	width     int64 // 1280 by default
	dark      bool
	noScripts bool
}

// tab is a browser window on a site. People find things in it as a screen reader names them.
type tab struct {
	t         testing.TB
	site      *site
	ctx       context.Context
	noScripts bool

	mu      sync.Mutex
	console []string // errors and warnings that the page or the browser wrote
}

// browse opens a window of a fresh browser on the site.
func (s *site) browse(t testing.TB, look screen) *tab {
	t.Helper()
	ctx, end := chromedp.NewContext(openChromium(t), chromedp.WithNewBrowserContext())
	t.Cleanup(end)
	b := &tab{t: t, site: s, ctx: ctx}
	b.must(chromedp.Do(ctx), "open a tab")
	b.must(chromedp.Listen(ctx, b.listen), "listen to the tab")
	b.look(look)
	return b
}

// look changes the window's size, colours and scripts.
func (b *tab) look(look screen) {
	b.t.Helper()
	b.noScripts = look.noScripts
	if look.width == 0 {
		look.width = 1280
	}
	scheme := "light"
	if look.dark {
		scheme = "dark"
	}
	b.must(chromedp.Do(b.ctx, chromedp.EmulateViewport(look.width, 800)), "size the tab")
	call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
	}})
	call(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: look.noScripts})
}

func (b *tab) listen(event any) {
	line := ""
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		line = "exception: " + e.ExceptionDetails.Text
		if e.ExceptionDetails.Exception != nil {
			line += " " + e.ExceptionDetails.Exception.Description
		}
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning || e.Type == runtime.ConsoleAPICalledTypeAssert {
			line = fmt.Sprintf("console.%s", e.Type)
			for _, arg := range e.Args {
				line += " " + string(arg.Value) + arg.Description
			}
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
			line = fmt.Sprintf("%s: %s %s", e.Entry.Source, e.Entry.Text, e.Entry.URL)
		}
	}
	if line != "" {
		b.mu.Lock()
		b.console = append(b.console, line)
		b.mu.Unlock()
	}
}

// complaints returns what was written to the console since the last call.
func (b *tab) complaints() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	lines := b.console
	b.console = nil
	return lines
}

func (b *tab) must(err error, what string) {
	b.t.Helper()
	if err != nil {
		b.t.Fatalf("%s: %v", what, err)
	}
}

// call sends a command of the DevTools protocol to the tab.
func call[P, R any](b *tab, command cdp.Command[P, R], params P) R {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	result, err := chromedp.Call(ctx, command, params)
	b.must(err, command.Method)
	return result
}

// middle finds the one thing of this role and name, scrolls to it and says where it is; again where the page replaced it
// meanwhile.
func (b *tab) middle(role, name string) (x, y float64) {
	b.t.Helper()
	wait(b.t, role+" "+name+" on the screen", func() bool {
		node := b.see(role, name)
		ctx, cancel := context.WithTimeout(b.ctx, patience)
		defer cancel()
		if _, err := chromedp.Call(ctx, dom.ScrollIntoViewIfNeeded, dom.ScrollIntoViewIfNeededParams{BackendNodeID: node}); err != nil {
			return false
		}
		place, err := chromedp.Call(ctx, dom.GetContentQuads, dom.GetContentQuadsParams{BackendNodeID: node})
		if err != nil || len(place.Quads) == 0 || len(place.Quads[0]) != 8 {
			return false
		}
		q := place.Quads[0]
		x, y = (q[0]+q[2]+q[4]+q[6])/4, (q[1]+q[3]+q[5]+q[7])/4
		return true
	})
	return x, y
}

// eval evaluates an expression in the page, also where the page's own scripts are switched off.
func eval[T any](b *tab, expression string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	b.must(err, "evaluate in the page")
	return value
}

// open goes to a path of the site and returns the page's status.
func (b *tab) open(path string) int {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	response, err := chromedp.Run(ctx, chromedp.NavigateResponse(b.site.url+path))
	aborted := func() bool {
		return err == nil && response == nil || err != nil && strings.Contains(err.Error(), "net::ERR_ABORTED")
	}
	for aborted() && ctx.Err() == nil {
		// The answer to a form was still on its way and took the place of this visit.
		response, err = chromedp.Run(ctx, chromedp.NavigateResponse(b.site.url+path))
	}
	b.must(err, "open "+path)
	if response == nil {
		b.t.Fatalf("open %s: no answer", path)
	}
	return int(response.Status)
}

// be gives the tab a client's session.
func (b *tab) be(c *client) {
	b.t.Helper()
	call(b, network.ClearBrowserCookies, cdp.Empty{})
	call(b, network.SetCookie, network.SetCookieParams{
		Name: "portico_session", Value: c.cookie("portico_session"), URL: b.site.url, HTTPOnly: new(true), SameSite: network.CookieSameSiteLax,
	})
}

// path is where the tab is.
func (b *tab) path() string {
	b.t.Helper()
	return eval[string](b, "location.pathname + location.search")
}

// all finds what is visible and has this role and, unless it is "", this accessible name.
func (b *tab) all(role, name string) []cdp.BackendNodeID {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	// The document may be replaced at any moment by the one that is loading: then there is nothing to find yet.
	document, err := chromedp.Call(ctx, runtime.Evaluate, runtime.EvaluateParams{Expression: "document"})
	if err != nil || document.Result == nil || document.Result.ObjectID == "" {
		return nil
	}
	found, err := chromedp.Call(ctx, accessibility.QueryAXTree, accessibility.QueryAXTreeParams{
		ObjectID: document.Result.ObjectID, Role: role, AccessibleName: name,
	})
	if err != nil {
		return nil
	}
	var nodes []cdp.BackendNodeID
	for _, node := range found.Nodes {
		if !node.Ignored && node.BackendDOMNodeID != 0 {
			nodes = append(nodes, node.BackendDOMNodeID)
		}
	}
	return nodes
}

// see waits until there is one thing of this role and name.
func (b *tab) see(role, name string) cdp.BackendNodeID {
	b.t.Helper()
	var nodes []cdp.BackendNodeID
	deadline := time.Now().Add(patience)
	for {
		if nodes = b.all(role, name); len(nodes) == 1 {
			return nodes[0]
		}
		if time.Now().After(deadline) || b.t.Context().Err() != nil {
			b.t.Fatalf("found %d of %s %q at %s, which shows:\n%s", len(nodes), role, name, b.path(), b.text())
		}
		b.frame()
	}
}

// frame waits until the browser has drawn once more, or a moment where the page is being replaced.
func (b *tab) frame() {
	select {
	case <-time.After(20 * time.Millisecond):
	case <-b.ctx.Done():
	}
}

// says waits until the page shows a text.
func (b *tab) says(text string) {
	b.t.Helper()
	deadline := time.Now().Add(patience)
	for !strings.Contains(b.text(), text) {
		if time.Now().After(deadline) || b.t.Context().Err() != nil {
			b.t.Fatalf("%s does not say %q but:\n%s", b.path(), text, b.text())
		}
		b.frame()
	}
}

// href is the address where the tab is, "" while it goes elsewhere.
func (b *tab) href() string {
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	href, err := chromedp.Run(ctx, chromedp.Evaluate[string](`document.readyState == "loading" ? "" : location.href`))
	if err != nil {
		return ""
	}
	return href
}

// text is what the page shows, with single spaces.
func (b *tab) text() string {
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](`document.body ? document.body.innerText : ""`))
	if err != nil {
		return "" // being replaced
	}
	return strings.Join(strings.Fields(text), " ")
}

// at waits until the tab has arrived at a path.
func (b *tab) at(path string) {
	b.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		ctx, cancel := context.WithTimeout(b.ctx, patience)
		got, err := chromedp.Run(ctx, chromedp.Evaluate[string](`document.readyState == "loading" ? "" : location.pathname`))
		cancel()
		if err == nil && got == path {
			return
		}
		if time.Now().After(deadline) || b.t.Context().Err() != nil {
			b.t.Fatalf("at %s, want %s, console %q:\n%s", got, path, b.complaints(), b.text())
		}
		b.frame()
	}
}

// click clicks the middle of the one thing of this role and name.
func (b *tab) click(role, name string) {
	b.t.Helper()
	x, y := b.middle(role, name)
	for _, kind := range []input.DispatchMouseEventType{chromedp.MousePressed, chromedp.MouseReleased} {
		call(b, input.DispatchMouseEvent, input.DispatchMouseEventParams{Type: kind, X: x, Y: y, Button: input.MouseButtonLeft, ClickCount: 1})
	}
}

// fill types into the field with this label, in place of what it holds.
func (b *tab) fill(label, text string) {
	b.t.Helper()
	node, role := b.field(label)
	if role == "ColorWell" {
		b.set(node, text)
		return
	}
	call(b, dom.Focus, dom.FocusParams{BackendNodeID: node})
	b.on(node, "function() { this.select() }")
	call(b, input.InsertText, input.InsertTextParams{Text: text})
}

// choose picks an option of the list with this label.
func (b *tab) choose(label, value string) { b.t.Helper(); b.set(b.see("combobox", label), value) }

// set gives a field a value as if it had been picked.
func (b *tab) set(node cdp.BackendNodeID, value string) {
	b.t.Helper()
	quoted, err := json.Marshal(value)
	b.must(err, "quote")
	b.on(node, fmt.Sprintf(`function() {
		this.value = %s
		this.dispatchEvent(new Event("input", {bubbles: true}))
		this.dispatchEvent(new Event("change", {bubbles: true}))
	}`, quoted))
}

// on calls a function with an element as this.
func (b *tab) on(node cdp.BackendNodeID, function string) {
	b.t.Helper()
	object := call(b, dom.ResolveNode, dom.ResolveNodeParams{BackendNodeID: node}).Object
	result := call(b, runtime.CallFunctionOn, runtime.CallFunctionOnParams{FunctionDeclaration: function, ObjectID: object.ObjectID})
	if result.ExceptionDetails != nil {
		b.t.Fatalf("in the page: %s", result.ExceptionDetails.Text)
	}
}

// screenshot is a PNG of the whole page.
func (b *tab) screenshot() []byte {
	b.t.Helper()
	size := eval[[]float64](b, "[innerWidth, Math.max(innerHeight, document.documentElement.scrollHeight)]")
	// In a window as high as the page, what sticks to an edge sticks to the page's.
	b.must(chromedp.Do(b.ctx, chromedp.EmulateViewport(int64(size[0]), int64(size[1]))), "size the tab")
	shot := call(b, page.CaptureScreenshot, page.CaptureScreenshotParams{})
	return shot.Data
}
