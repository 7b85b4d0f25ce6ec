package live

import (
	"context"
	"fmt"
	"html/template"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"portico/app"
	"portico/app/db/dbtest"
	"portico/static"

	"github.com/chromedp/chromedp"
	"github.com/gofiber/fiber/v2"
	"github.com/jackc/pgx/v5/pgxpool"
)

// page is an open page with one live part, whose text says how often it was fetched. Its field is called "field".
type page struct {
	*process
	tab        context.Context
	fetches    atomic.Int64 // of the part
	background atomic.Int64 // of these, said to be nobody's doing
	asks       atomic.Int64 // for the stream
}

// chromium is the one browser of this process. Each page has a context of its own in it.
var chromium struct {
	once sync.Once
	ctx  context.Context
	err  error
	end  func()
}

func openChromium(t *testing.T) context.Context {
	t.Helper()
	chromium.once.Do(func() {
		flags := append(chromedp.DefaultExecAllocatorOptions[:],
			chromedp.DisableGPU, chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true))
		if os.Geteuid() == 0 {
			flags = append(flags, chromedp.NoSandbox) // Chromium's sandbox refuses root
		}
		allocator, endAllocator := chromedp.NewExecAllocator(context.Background(), flags...)
		ctx, endBrowser := chromedp.NewContext(allocator)
		chromium.ctx, chromium.err = ctx, chromedp.Do(ctx)
		chromium.end = func() {
			closing, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			_ = chromedp.Cancel(closing) // it is ended for good below
			endBrowser()
			endAllocator()
		}
	})
	if chromium.err != nil {
		t.Fatalf("start Chromium (Debian, Ubuntu: apt install chromium): %v", chromium.err)
	}
	return chromium.ctx
}

// tests runs the tests of the package and ends the browser after them.
type tests struct{ *testing.M }

func (t tests) Run() int {
	defer func() {
		if chromium.end != nil {
			chromium.end()
		}
	}()
	return t.M.Run()
}

var pageTemplate = template.Must(template.New("").Parse(`<!doctype html><html lang="en"><head><title>Page</title>
<meta name="htmx-config" content='{"allowEval":false,"includeIndicatorStyles":false}'>
<script src="{{.Htmx}}" defer></script><script src="{{.Live}}" type="module"></script></head>
<body><main data-live="/live">{{template "part" .}}<button id="by-hand" hx-get="/part" hx-target="#part" hx-swap="outerHTML">Now</button></main></body></html>
{{define "part"}}<div id="part" hx-get="/part" hx-trigger="live:mail from:body" hx-swap="outerHTML"><b>{{.Fetches}}</b><input id="field"></div>{{end}}`))

// browse opens a page of a fresh process.
func browse(t *testing.T, pool *pgxpool.Pool, change func(h *Hub)) *page {
	t.Helper()
	browser := openChromium(t)
	p := &page{}
	p.process = start(t, pool, change, func(server *fiber.App) {
		draw := func(name string) fiber.Handler {
			return func(c *fiber.Ctx) error {
				c.Set(fiber.HeaderContentSecurityPolicy, "default-src 'none'; script-src 'self'; connect-src 'self'")
				c.Type("html")
				var out strings.Builder
				if err := pageTemplate.ExecuteTemplate(&out, name, map[string]any{
					"Htmx": static.Path("vendor/htmx.min.js"), "Live": static.Path("js/live.js"), "Fetches": p.fetches.Load(),
				}); err != nil {
					return err
				}
				return c.SendString(out.String())
			}
		}
		server.Get("/", draw(""))
		server.Get("/part", func(c *fiber.Ctx) error {
			p.fetches.Add(1)
			if c.Get("X-Background") != "" {
				p.background.Add(1)
			}
			return draw("part")(c)
		})
		server.Get("/static/*", func(c *fiber.Ctx) error {
			file, ok := static.Find(c.Path())
			if !ok {
				return app.ErrNotFound
			}
			c.Set(fiber.HeaderContentType, file.Type)
			return c.Send(file.Content)
		})
		server.Use("/live", func(c *fiber.Ctx) error {
			p.asks.Add(1)
			return c.Next()
		})
	})
	tab, end := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	t.Cleanup(end)
	p.tab = tab
	if err := chromedp.Do(tab, chromedp.Navigate("http://"+p.addr+"/")); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *page) eval(t *testing.T, expression string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(p.tab, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[string]("(async () => String(await "+expression+"))()", chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return value
}

// shows waits until the page shows what was fetched n times.
func (p *page) shows(t *testing.T, n int) {
	t.Helper()
	until(t, fmt.Sprintf("the page to show fetch %d", n), func() bool { return p.eval(t, `document.querySelector("#part b")?.textContent`) == fmt.Sprint(n) })
}

// hide makes the page believe that its tab is hidden, or shown again.
func (p *page) hide(t *testing.T, hidden bool) {
	t.Helper()
	p.eval(t, fmt.Sprintf(`(Object.defineProperty(document, "hidden", {configurable: true, value: %t}), document.dispatchEvent(new Event("visibilitychange")))`, hidden))
}

func TestPage_ShowsChanges(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	p := browse(t, pool, nil)
	p.wait(t, 1)
	for i := range 3 {
		notify(t, pool, "mail")
		p.shows(t, i+1)
	}
	p.hub.resync()
	p.shows(t, 4)
	if n := p.background.Load(); n != 4 {
		t.Errorf("%d of 4 fetches say that nobody asked for them", n)
	}
	p.eval(t, `document.querySelector("#by-hand").click()`)
	p.shows(t, 5)
	if n := p.background.Load(); n != 4 {
		t.Error("a fetch by hand says that nobody asked for it")
	}
}

func TestPage_KeepsWhatIsTyped(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	p := browse(t, pool, nil)
	p.wait(t, 1)
	fetched := func(n int64) {
		t.Helper()
		notify(t, pool, "mail")
		until(t, "the part to be fetched", func() bool { return p.fetches.Load() == n })
		until(t, "the answer to be dealt with", func() bool { return p.eval(t, `document.querySelectorAll(".htmx-request").length`) == "0" })
	}
	p.eval(t, `(document.querySelector("#field").focus(), document.querySelector("#field").value = "half a sen")`)
	fetched(1)
	if got := p.eval(t, `document.activeElement.id + " " + document.activeElement.value`); got != "field half a sen" {
		t.Errorf("the field that has the focus is now %q", got)
	}
	p.eval(t, `document.activeElement.blur()`) // somebody looks something up
	until(t, "another fetch", func() bool { return p.fetches.Load() == 2 })
	fetched(3)
	if got := p.eval(t, `document.querySelector("#field").value`); got != "half a sen" {
		t.Errorf("the field holds %q", got)
	}
	p.eval(t, `(document.querySelector("#field").focus(), document.querySelector("#field").value = "", document.activeElement.blur())`)
	p.shows(t, 4) // what was held back
}

func TestPage_CatchesUpAfterAReconnect(t *testing.T) {
	t.Parallel()
	p := browse(t, dbtest.New(t), func(h *Hub) { h.timing.life = 500 * time.Millisecond })
	p.shows(t, 1)
	p.shows(t, 2)
}

func TestPage_HoldsNoStreamWhileHidden(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	p := browse(t, pool, nil)
	p.wait(t, 1)
	p.hide(t, true)
	p.wait(t, 0)
	notify(t, pool, "mail")
	p.hide(t, false)
	p.wait(t, 1)
	p.shows(t, 1)
}

func TestPage_AsksByItselfWhereThereIsNoStream(t *testing.T) {
	t.Parallel()
	p := browse(t, dbtest.New(t), func(h *Hub) { h.limits.streams = 0 })
	p.shows(t, 1)
	began := time.Now()
	p.shows(t, 2)
	if took := time.Since(began); took < 3*time.Second {
		t.Errorf("asked again after %v", took)
	}
	if n := p.asks.Load(); n != 2 {
		t.Errorf("asked for a stream %d times, and not twice: once, and why not", n)
	}
}

func TestPage_EndsWithTheRight(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	p := browse(t, pool, nil)
	p.wait(t, 1)
	p.allow(func(context.Context) error { return app.ErrSignedOut })
	notify(t, pool, "session:s")
	// The stream, the browser's own attempt to have it again, and one to learn why not.
	until(t, "the page to ask why", func() bool { return p.asks.Load() == 3 })
	p.eval(t, `fetch("/nothing").then((answer) => answer.text())`) // the answer to that has arrived before this one
	p.hide(t, true)
	p.hide(t, false)
	p.eval(t, `fetch("/nothing").then((answer) => answer.text())`)
	if fetches, asks := p.fetches.Load(), p.asks.Load(); fetches != 0 || asks != 3 {
		t.Errorf("the page fetched %d times and asked %d times", fetches, asks)
	}
}
