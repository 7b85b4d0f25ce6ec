package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"portico/app/auth"
	"portico/app/blob"
	"portico/app/db"
	"portico/app/db/dbtest"
	"portico/app/dev"
	"portico/app/keys"
	"portico/app/mail"
	"portico/app/provisioning/outbound"

	"github.com/PuerkitoBio/goquery"
	"github.com/alexedwards/argon2id"
	"github.com/jackc/pgx/v5"
)

// patience is how long a test waits for what should come at once. Only a failing test waits that long.
const patience = 30 * time.Second

// tests is a testing.M that also clears away what the tests shared.
type tests struct{ *testing.M }

func (m tests) Run() int {
	// What a test provokes on purpose is not worth a line; what it checks, it reads from answers.
	if os.Getenv("PORTICO_TEST_LOG") == "" {
		slog.SetDefault(slog.New(slog.DiscardHandler))
	}
	defer closeChromium()
	defer removeProgram()
	return m.M.Run()
}

func TestMain(m *testing.M) { dbtest.Main(tests{m}) }

// options say how a site differs from a dev run with the demo store and a worker.
type options struct {
	sandbox    bool   // in production too
	production bool   // as portico serve: no dev pages, staff need a second factor
	empty      bool   // without the demo store
	idle       bool   // works no jobs: nothing changes but by requests
	host       string // "127.0.0.1" by default; passkeys need "localhost"
	database   string // use this one instead of a fresh one
	keys       string // secret key instead of a fresh one
	tracer     pgx.QueryTracer
}

// site is a running portal: the real program in this process, on a database and a mailbox of its own.
type site struct {
	*portal
	t       testing.TB
	url     string
	keys    *keys.Ring
	secret  string // the key that keys holds
	mailbox *dev.Mailbox
	blobs   blob.Store
	stop    func()    // gracefully, and waits; a second call does nothing
	watched sync.Once // see snapshot
}

// cheap makes sign-ins quick: what Argon2id costs is not what these tests are about.
var cheap = &argon2id.Params{Memory: 64, Iterations: 1, Parallelism: 1, SaltLength: 16, KeyLength: 32}

// demoStore holds the demo store, whose secrets are sealed with demoKeys.
var (
	demoKeys  = keys.Generate()
	demoStore = dbtest.Template{Fill: func(url string) error {
		ring, err := keys.Parse(demoKeys)
		if err != nil {
			return err
		}
		hasher, err := auth.NewHasher(cheap, 8)
		if err != nil {
			return err
		}
		pool, err := db.Open(context.Background(), url, patience)
		if err != nil {
			return err
		}
		defer pool.Close()
		_, err = dev.LoadDemo(context.Background(), pool, hasher, ring)
		return err
	}}
)

// start runs a portal until the test ends.
func start(t testing.TB, o options) *site {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("start a portal: %v", err)
		}
	}
	if o.host == "" {
		o.host = "127.0.0.1"
	}
	fresh := o.database == ""
	switch {
	case fresh && o.keys == "" && !o.empty:
		o.database, o.keys = demoStore.Clone(t), demoKeys
	case fresh:
		o.database = dbtest.NewURL(t)
	}
	if o.keys == "" {
		o.keys = keys.Generate()
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	_, port, err := net.SplitHostPort(listener.Addr().String())
	must(err)
	s := &site{t: t, url: "http://" + net.JoinHostPort(o.host, port)}
	s.secret = o.keys
	s.keys, err = keys.Parse(o.keys)
	must(err)
	s.mailbox, err = dev.OpenMailbox(filepath.Join(t.TempDir(), "mail"))
	must(err)
	mails, err := dev.ServeMail(s.mailbox)
	must(err)
	t.Cleanup(func() { mails.Close() })
	smtp, err := mail.ParseURL(mails.URL())
	must(err)
	hasher, err := auth.NewHasher(cheap, 8)
	must(err)
	database, err := url.Parse(o.database)
	must(err)
	query := database.Query()
	query.Set("pool_max_conns", "8")
	database.RawQuery = query.Encode()
	blobs, err := blob.Open("file://" + filepath.Join(t.TempDir(), "files"))
	must(err)
	s.blobs = blobs
	with := settings{database: database.String(), url: s.url, keys: s.keys, smtp: smtp, blobs: blobs, hasher: hasher, tracer: o.tracer}
	with.config.outbound, err = outbound.ParsePolicy(outbound.Loopback)
	must(err)
	if !o.production {
		with.mailbox = s.mailbox
	}
	if !o.production || o.sandbox {
		with.config.sandbox = anyLoopback
	}
	s.portal, err = build(t.Context(), with)
	must(err)
	t.Cleanup(s.pool.Close)
	if !o.empty {
		_, err := dev.LoadDemo(t.Context(), s.pool, hasher, s.keys)
		must(err)
	}
	ctx, end := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.run(ctx, with.config, listener, !o.idle, io.Discard, s.url) }()
	s.stop = func() {
		end()
		if err, running := <-ended; running {
			close(ended)
			if err != nil {
				t.Errorf("stop the portal: %v", err)
			}
		}
	}
	t.Cleanup(s.stop)
	return s
}

// settle waits until the renewals that a portal begins with, and all jobs and mails there are, have ended.
func (s *site) settle() {
	s.t.Helper()
	wait(s.t, "jobs and mails to end", func() bool {
		return s.text(`select exists (select 1 from river_job where kind = 'renewals' and finalized_at is not null)
			and not exists (select 1 from river_job where finalized_at is null)
			and not exists (select 1 from mail_deliveries where finished_at is null)`) == "true"
	})
}

// exec changes the database behind the portal's back.
func (s *site) exec(sql string, args ...any) {
	s.t.Helper()
	if _, err := s.pool.Exec(s.t.Context(), sql, args...); err != nil {
		s.t.Fatalf("%s: %v", sql, err)
	}
}

// text reads one value as text.
func (s *site) text(sql string, args ...any) string {
	s.t.Helper()
	var value *string
	if err := s.pool.QueryRow(s.t.Context(), "select ("+sql+")::text", args...).Scan(&value); err != nil {
		s.t.Fatalf("%s: %v", sql, err)
	}
	if value == nil {
		return ""
	}
	return *value
}

func (s *site) userID(email string) string {
	s.t.Helper()
	return s.text("select id from users where email = $1", email)
}

// mail waits for a mail to an address whose subject contains some words, and returns the newest such.
func (s *site) mail(to, subject string) dev.Letter {
	s.t.Helper()
	var found dev.Letter
	wait(s.t, fmt.Sprintf("a mail to %s about %q", to, subject), func() bool {
		for _, m := range s.mailbox.List(to) {
			if strings.Contains(m.Subject, subject) {
				letter, err := s.mailbox.Open(m.ID)
				if err != nil {
					s.t.Fatal(err)
				}
				found = letter
				return true
			}
		}
		return false
	})
	return found
}

// link is the path of a mail's first link that contains some words.
func (s *site) link(letter dev.Letter, containing string) string {
	s.t.Helper()
	for _, link := range letter.Links {
		if path, ok := strings.CutPrefix(link.URL, s.url); ok && strings.Contains(path, containing) {
			return path
		}
	}
	s.t.Fatalf("the mail %q has no link with %q: %v", letter.Subject, containing, letter.Links)
	return ""
}

// wait looks until done says so, as soon as it does.
func wait(t testing.TB, what string, done func() bool) {
	t.Helper()
	waitFor(t, patience, what, done)
}

// waitFor is wait for what may take longer than patience.
func waitFor(t testing.TB, most time.Duration, what string, done func() bool) {
	t.Helper()
	deadline := time.NewTimer(most)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatalf("the test ended while waiting for %s", what)
		case <-deadline.C:
			t.Fatalf("waited %v for %s", most, what)
		}
	}
}

// client is a browser without scripts: it keeps cookies, follows nothing by itself and posts the forms it was shown.
type client struct {
	t    testing.TB
	site *site
	http *http.Client
}

// visitor is somebody who is not signed in.
func (s *site) visitor() *client {
	s.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	s.t.Cleanup(transport.CloseIdleConnections)
	return &client{s.t, s, &http.Client{
		Jar: jar, Transport: transport, Timeout: patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// signIn signs one of the demo store's people in by the form.
func (s *site) signIn(email string) *client {
	s.t.Helper()
	c := s.visitor()
	if a := c.signIn(email, dev.DemoPassword); a.status != http.StatusSeeOther {
		s.t.Fatalf("%s can't sign in: %d\n%s", email, a.status, a.body)
	}
	return c
}

func (c *client) signIn(email, password string) *answer {
	c.t.Helper()
	return c.get("/sign-in").submit("/sign-in", "email", email, "password", password)
}

// copy is a second client with the same cookies, whose answers don't change the first one's.
func (c *client) copy() *client {
	c.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		c.t.Fatal(err)
	}
	u, err := url.Parse(c.site.url)
	if err != nil {
		c.t.Fatal(err)
	}
	jar.SetCookies(u, c.http.Jar.Cookies(u))
	twin := *c.http
	twin.Jar = jar
	return &client{c.t, c.site, &twin}
}

// cookie is the value of one of the client's cookies.
func (c *client) cookie(name string) string {
	u, err := url.Parse(c.site.url)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, cookie := range c.http.Jar.Cookies(u) {
		if cookie.Name == name {
			return cookie.Value
		}
	}
	return ""
}

// answer is what came back.
type answer struct {
	*client
	status int
	header http.Header
	body   string
	path   string // that was asked for
}

// htmx are the headers of a request by htmx.
var htmx = http.Header{"Hx-Request": {"true"}}

func (c *client) do(method, path string, header http.Header, body io.Reader) *answer {
	c.t.Helper()
	request, err := http.NewRequestWithContext(c.t.Context(), method, c.site.url+path, body)
	if err != nil {
		c.t.Fatal(err)
	}
	for name, values := range header {
		request.Header[name] = values
	}
	response, err := c.http.Do(request)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer response.Body.Close()
	var text []byte
	if response.Header.Get("Content-Type") != "text/event-stream" { // which has no end
		if text, err = io.ReadAll(response.Body); err != nil {
			c.t.Fatalf("%s %s: %v", method, path, err)
		}
	}
	return &answer{c, response.StatusCode, response.Header, string(text), path}
}

func (c *client) get(path string) *answer { c.t.Helper(); return c.do("GET", path, nil, nil) }

func (c *client) post(path string, form url.Values, header http.Header) *answer {
	c.t.Helper()
	header = header.Clone()
	if header == nil {
		header = http.Header{}
	}
	header.Set("Content-Type", "application/x-www-form-urlencoded")
	return c.do("POST", path, header, strings.NewReader(form.Encode()))
}

// token is the client's form token, as every page carries it.
func (c *client) token() string {
	c.t.Helper()
	page := c.get("/no-such-page")
	token, ok := page.find(`body`).Attr("hx-headers")
	_, token, cut := strings.Cut(token, `:"`)
	if !ok || !cut {
		c.t.Fatalf("no form token on %s", page.path)
	}
	return strings.TrimSuffix(token, `"}`)
}

// document is the answer's HTML.
func (a *answer) document() *goquery.Document {
	a.t.Helper()
	document, err := goquery.NewDocumentFromReader(strings.NewReader(a.body))
	if err != nil {
		a.t.Fatalf("%s: %v", a.path, err)
	}
	return document
}

func (a *answer) find(selector string) *goquery.Selection {
	a.t.Helper()
	return a.document().Find(selector)
}

// words is the text of what a selector finds, with single spaces.
func (a *answer) words(selector string) string {
	a.t.Helper()
	return strings.Join(strings.Fields(a.find(selector).Text()), " ")
}

// want fails unless the answer has this status, and shows each of the texts.
func (a *answer) want(status int, shows ...string) *answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("%s: got %d (to %s), want %d\n%s", a.path, a.status, a.header.Get("Location"), status, a.words("main"))
	}
	text := a.words("body")
	for _, show := range shows {
		if !strings.Contains(text, show) {
			a.t.Errorf("%s does not say %q but: %s", a.path, show, text)
		}
	}
	return a
}

// follow goes where a redirect points.
func (a *answer) follow() *answer {
	a.t.Helper()
	if a.status != http.StatusSeeOther {
		a.t.Fatalf("%s: got %d, want a redirect\n%s", a.path, a.status, a.words("main"))
	}
	to := a.header.Get("Location")
	if !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") {
		a.t.Fatalf("%s leads out of the portal, to %q", a.path, to)
	}
	return a.get(to)
}

// submit posts the page's form with this action: what stands in it, changed by pairs of name and value. A form without an
// action posts to the page's own address.
func (a *answer) submit(action string, pairs ...string) *answer {
	a.t.Helper()
	form := a.find(fmt.Sprintf("form[method=post][action=%q]", action)).First()
	if action == a.path {
		form = form.AddSelection(a.find("form[method=post]:not([action])")).First()
	}
	if form.Length() == 0 {
		a.t.Fatalf("%s (%d) has no form that posts to %s\n%s", a.path, a.status, action, a.words("main"))
	}
	values := formValues(form)
	set := map[string]bool{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if !set[pairs[i]] {
			values.Del(pairs[i])
			set[pairs[i]] = true
		}
		values.Add(pairs[i], pairs[i+1])
	}
	return a.post(action, values, nil)
}

// formValues is what a browser would send of an untouched form, but for buttons and files.
func formValues(form *goquery.Selection) url.Values {
	values := url.Values{}
	form.Find("input[name], textarea[name], select[name]").Each(func(_ int, field *goquery.Selection) {
		name, kind := field.AttrOr("name", ""), field.AttrOr("type", "text")
		if _, disabled := field.Attr("disabled"); disabled {
			return
		}
		switch goquery.NodeName(field) {
		case "textarea":
			values.Add(name, field.Text())
		case "select":
			chosen := field.Find("option[selected]")
			if chosen.Length() == 0 {
				chosen = field.Find("option").First()
			}
			chosen.Each(func(_ int, o *goquery.Selection) { values.Add(name, o.AttrOr("value", o.Text())) })
		default:
			if _, checked := field.Attr("checked"); (kind == "checkbox" || kind == "radio") && !checked {
				return
			}
			if kind == "file" || kind == "submit" {
				return
			}
			values.Add(name, field.AttrOr("value", map[bool]string{true: "on"}[kind == "checkbox"]))
		}
	})
	return values
}
