package server

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"portico/app/auth"
	"portico/app/db/dbtest"
	"portico/app/dev"
	"portico/app/keys"
	"portico/app/locale"
	"portico/app/server/servertest"
	"portico/app/web"
	"portico/static"
	"portico/views"

	"github.com/alexedwards/argon2id"
	"github.com/gofiber/fiber/v2"
	"github.com/jackc/pgx/v5/pgxpool"
)

func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	dbtest.Main(m)
}

const publicURL = "https://portal.example"

// newServer is a server on the demo store whose routes lead to no handlers: what answers is the server itself.
func newServer(t *testing.T, change func(*Config)) (s *Server, auths *auth.Service, base string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	pool := dbtest.New(t)
	ring, err := keys.Parse(keys.Generate())
	must(err)
	catalogue, err := locale.Load(views.Files)
	must(err)
	templates, err := views.Engine(false, static.Path)
	must(err)
	hasher, err := auth.NewHasher(&argon2id.Params{Memory: 64, Iterations: 1, Parallelism: 1, SaltLength: 16, KeyLength: 32}, 2)
	must(err)
	auths, err = auth.New(auth.Config{Pool: pool, Keys: ring, Hasher: hasher, URL: publicURL, StoreName: func(context.Context) (string, error) { return "", nil }})
	must(err)
	_, err = dev.LoadDemo(t.Context(), pool, hasher, ring)
	must(err)
	config := Config{
		Site: &web.Site{Views: templates, Catalogue: catalogue, Keys: ring, URL: publicURL, Asset: static.Path},
		Pool: pool, Auth: auths, Metrics: NewMetrics(pool), Ready: func(context.Context) ([]string, error) { return nil, nil },
	}
	if change != nil {
		change(&config)
	}
	s, err = New(config)
	must(err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	served := make(chan error, 1)
	go func() { served <- s.Serve(listener) }()
	t.Cleanup(func() {
		if err := errors.Join(s.Shutdown(context.Background()), <-served); err != nil {
			t.Errorf("stop the server: %v", err)
		}
	})
	return s, auths, "http://" + listener.Addr().String()
}

// ask asks over the network, by the public host's name unless the header has another.
func ask(t *testing.T, base, method, path string, header http.Header) *http.Response {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, base+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		request.Header[name] = values
	}
	request.Host = "portal.example"
	if host := header.Get("Host"); host != "" {
		request.Host = host
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	response.Body.Close()
	response.Body = io.NopCloser(bytes.NewReader(body))
	return response
}

// TestGuard_RefusesByItself: what the matrix refuses, the guard refuses before any handler could: here are none.
func TestGuard_RefusesByItself(t *testing.T) {
	t.Parallel()
	s, auths, base := newServer(t, nil)
	matrix := servertest.Read(t, "../../policies/matrix.csv")
	if _, err := s.config.Pool.Exec(t.Context(), "update users set email_confirmed_at = null where email = 'dev@devteam.example'"); err != nil {
		t.Fatal(err)
	}
	refused := 0
	for _, actor := range servertest.Actors {
		header := http.Header{}
		if actor.Email != "" {
			opened, err := auths.OpenFor(t.Context(), actor.Email, auth.Visitor{IP: "192.0.2.1", Browser: "Test"})
			if err != nil {
				t.Fatal(err)
			}
			if actor.Name == "WF" {
				_, err := s.config.Pool.Exec(t.Context(), "update sessions set stage = 'second_factor' where token_hash = $1", keys.LinkHash(opened.Secret))
				if err != nil {
					t.Fatal(err)
				}
			}
			header.Set("Cookie", "__Host-"+auth.SessionCookie+"="+opened.Secret)
		}
		for _, route := range Routes(Handlers{}, false) {
			row, ok := matrix.Row(route.Permission)
			want := map[servertest.Says]int{servertest.Refused: 403, servertest.Absent: 404, servertest.SignIn: 303}[row.Says[actor.Name]]
			if !ok || want == 0 || route.Permission == Signed { // whose service refuses
				continue
			}
			if want == 303 && route.Kind == Stream {
				want = 401 // a stream can't follow to the sign-in page
			}
			refused++
			if got := ask(t, base, route.Method, strings.NewReplacer(":id", "x", ":token", "x", ":version", "x", ":name", "x").Replace(route.Path), header).StatusCode; got != want {
				t.Errorf("%s %s as %s: got %d, want %d", route.Method, route.Path, actor.Name, got, want)
			}
		}
	}
	t.Logf("%d refusals", refused)
}

// TestGuard_FactorMissing: staff who have no second factor yet get nowhere but to setting it up.
func TestGuard_FactorMissing(t *testing.T) {
	t.Parallel()
	_, auths, base := newServer(t, func(c *Config) { c.RequireFactor = true })
	for _, email := range []string{"ada@northwind.example", "sam@northwind.example"} {
		opened, err := auths.OpenFor(t.Context(), email, auth.Visitor{IP: "192.0.2.1", Browser: "Test"})
		if err != nil {
			t.Fatal(err)
		}
		for _, route := range Routes(Handlers{}, false) {
			if route.Enrols || route.Permission == Public || route.Permission == Waiting || route.Permission == Signed {
				continue
			}
			response := ask(t, base, route.Method, strings.NewReplacer(":id", "x").Replace(route.Path), http.Header{"Cookie": {"__Host-" + auth.SessionCookie + "=" + opened.Secret}})
			if response.StatusCode != 303 || response.Header.Get("Location") != "/security" {
				t.Errorf("%s %s as %s: got %d to %q", route.Method, route.Path, email, response.StatusCode, response.Header.Get("Location"))
			}
		}
	}
}

// TestHeaders: every answer carries them, whatever it is.
func TestHeaders(t *testing.T) {
	t.Parallel()
	_, _, base := newServer(t, nil)
	for _, c := range []struct {
		path   string
		header http.Header
		status int
	}{
		{"/healthz", nil, 200}, {"/readyz", nil, 200}, {static.Path("app.css"), nil, 200}, {"/static/nothing.css", nil, 404},
		{"/no-such-page", nil, 404}, {"/", nil, 303}, {"/sign-in", http.Header{"Host": {"evil.example"}}, 421},
		{"/sign-in", nil, 500}, // there is no handler here: it panics
	} {
		response := ask(t, base, "GET", c.path, c.header)
		if response.StatusCode != c.status {
			t.Errorf("%s: got %d, want %d", c.path, response.StatusCode, c.status)
		}
		for name, want := range map[string]string{
			"Content-Security-Policy": "default-src 'none'", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
			"Strict-Transport-Security": "max-age=", "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
			"Permissions-Policy": "camera=()", "Cache-Control": "", "X-Request-Id": "-", "Referrer-Policy": "same-origin",
		} {
			if got := response.Header.Get(name); got == "" || !strings.Contains(got, want) {
				t.Errorf("%s: %s is %q", c.path, name, got)
			}
		}
		if policy := response.Header.Get("Content-Security-Policy"); strings.Contains(policy, "unsafe") {
			t.Errorf("%s: %s", c.path, policy)
		}
		if server := response.Header.Get("Server"); server != "" {
			t.Errorf("%s names its server: %q", c.path, server)
		}
		for _, cookie := range response.Cookies() {
			if !cookie.Secure || !cookie.HttpOnly || cookie.SameSite != http.SameSiteLaxMode || cookie.Path != "/" || cookie.Domain != "" || !strings.HasPrefix(cookie.Name, "__Host-") {
				t.Errorf("%s: the cookie %s", c.path, cookie)
			}
		}
	}
}

// TestPages_CompressedWithoutTheirSecret: a page comes compressed to who takes that. It never holds the same form token twice, for what
// stands in compressed pages again and again can be guessed from their length.
func TestPages_CompressedWithoutTheirSecret(t *testing.T) {
	t.Parallel()
	_, _, base := newServer(t, nil)
	token := regexp.MustCompile(`"X-CSRF-Token":"([\w-]+)"`)
	macs, tokens := map[string]bool{}, map[string]bool{}
	page := func(encoding string) (body string, response *http.Response) {
		t.Helper()
		response = ask(t, base, "GET", "/no-such-page", http.Header{"Accept-Encoding": {encoding}, "Cookie": {"__Host-portico_visitor=" + strings.Repeat("v", 43)}})
		var from io.Reader = response.Body
		if response.Header.Get("Content-Encoding") == "gzip" {
			unpacked, err := gzip.NewReader(from)
			if err != nil {
				t.Fatal(err)
			}
			from = unpacked
		}
		text, err := io.ReadAll(from)
		if err != nil {
			t.Fatal(err)
		}
		found := token.FindSubmatch(text)
		if found == nil || tokens[string(found[1])] {
			t.Fatalf("no form token, or one that was shown before: %q", found)
		}
		tokens[string(found[1])] = true
		shown, err := base64.RawURLEncoding.DecodeString(string(found[1]))
		if err != nil || len(shown) != 64 {
			t.Fatalf("the token %q: %v", found[1], err)
		}
		mac := make([]byte, 32)
		subtle.XORBytes(mac, shown[:32], shown[32:])
		macs[string(mac)] = true
		return strings.ReplaceAll(string(text), string(found[1]), "TOKEN"), response
	}
	plain, response := page("identity")
	if encoding := response.Header.Get("Content-Encoding"); encoding != "" {
		t.Errorf("who takes no compressed page gets one in %s", encoding)
	}
	for range 3 {
		same, response := page("br, gzip")
		if response.Header.Get("Content-Encoding") != "gzip" || !strings.Contains(response.Header.Get("Vary"), "Accept-Encoding") {
			t.Errorf("the page is not compressed, or caches would mix it up: %v", response.Header)
		}
		if int(response.ContentLength) > len(plain)/2 {
			t.Errorf("compressed the page has %d bytes of %d", response.ContentLength, len(plain))
		}
		if same != plain {
			t.Error("the compressed page is another")
		}
	}
	if len(macs) != 1 {
		t.Errorf("the tokens of one visitor stand for %d secrets", len(macs))
	}
}

// TestPanic_TellsNothing: a bug is answered with an apology and the request's id, not with its text.
func TestPanic_TellsNothing(t *testing.T) {
	t.Parallel()
	_, _, base := newServer(t, nil)
	response := ask(t, base, "GET", "/sign-in", nil)
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	id := response.Header.Get("X-Request-Id")
	if response.StatusCode != 500 || id == "" || !strings.Contains(string(body), id) {
		t.Errorf("got %d, id %q\n%s", response.StatusCode, id, body)
	}
	for _, word := range []string{"panic", "nil pointer", "goroutine", ".go:"} {
		if strings.Contains(string(body), word) {
			t.Errorf("the page says %q", word)
		}
	}
}

// TestDatabaseGone: what can't be decided is answered 503, and nobody is let through.
func TestDatabaseGone(t *testing.T) {
	t.Parallel()
	gone, err := pgxpool.New(t.Context(), "postgres://nobody@127.0.0.1:1/nothing?connect_timeout=2")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(gone.Close)
	_, _, base := newServer(t, func(c *Config) {
		c.Pool = gone
		c.Ready = func(ctx context.Context) ([]string, error) { return nil, gone.Ping(ctx) }
	})
	for path, want := range map[string]int{"/": 503, "/admin/settings": 503, "/sign-in": 503, "/readyz": 503, "/healthz": 200} {
		if got := ask(t, base, "GET", path, nil).StatusCode; got != want {
			t.Errorf("%s: got %d, want %d", path, got, want)
		}
	}
}

// TestClientIP: a forwarded address is believed from a trusted proxy only, and only the last one that no trusted proxy added.
func TestClientIP(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, trusted, forwarded, want string }{
		{"nobody is trusted", "", "203.0.113.9", "0.0.0.0"},
		{"trusted proxy", "0.0.0.0/32", "203.0.113.9", "203.0.113.9"},
		{"another is trusted", "10.0.0.0/8", "203.0.113.9", "0.0.0.0"},
		{"written by the visitor", "0.0.0.0/32", "198.51.100.1, 203.0.113.9", "203.0.113.9"},
		{"two trusted proxies", "0.0.0.0/32 10.0.0.0/8", "198.51.100.1, 203.0.113.9, 10.1.2.3", "203.0.113.9"},
		{"only trusted proxies", "0.0.0.0/32 10.0.0.0/8", "10.1.2.3", "10.1.2.3"},
		{"garbage", "0.0.0.0/32", "203.0.113.9, <script>", "0.0.0.0"},
		{"nothing", "0.0.0.0/32", "", "0.0.0.0"},
		{"IPv6", "0.0.0.0/32", "2001:db8::1", "2001:db8::1"},
	} {
		var prefixes []netip.Prefix
		for _, prefix := range strings.Fields(c.trusted) {
			prefixes = append(prefixes, netip.MustParsePrefix(prefix))
		}
		s := &Server{config: Config{TrustedProxies: prefixes}}
		a := fiber.New(fiber.Config{Immutable: true})
		a.Get("/", func(ctx *fiber.Ctx) error { return ctx.SendString(s.clientIP(ctx)) })
		request := httptest.NewRequest("GET", "/", nil)
		request.Header.Set("X-Forwarded-For", c.forwarded)
		request.Header.Set("Forwarded", "for=203.0.113.77")
		request.Header.Set("X-Real-IP", "203.0.113.78")
		response, err := a.Test(request)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

// TestPrint: the list for people and the one for programs name the same routes, and those of the dev run on demand only.
func TestPrint(t *testing.T) {
	t.Parallel()
	routes := Routes(Handlers{}, false)
	text, err := Print(routes, false)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(text, "\n"); got != len(routes) {
		t.Errorf("%d lines for %d routes", got, len(routes))
	}
	if strings.Contains(text, "/dev/") {
		t.Error("production lists the dev run's routes")
	}
	seen := map[string]bool{}
	for _, route := range Routes(Handlers{}, true) {
		name := route.Method + " " + route.Path
		if seen[name] {
			t.Errorf("%s stands twice", name)
		}
		seen[name] = true
		if object, action, ok := strings.Cut(route.Permission, "."); route.Permission != Public && route.Permission != Waiting && route.Permission != Signed && (!ok || object == "" || action == "") {
			t.Errorf("%s needs %q", name, route.Permission)
		}
		if route.Rate != nil && (route.Rate.Times <= 0 || route.Rate.Window < time.Minute) {
			t.Errorf("%s has the limit %v", name, *route.Rate)
		}
	}
}
