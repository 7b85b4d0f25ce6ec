package outbound

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

func mustPolicy(t *testing.T, list string) Policy {
	t.Helper()
	policy, err := ParsePolicy(list)
	if err != nil {
		t.Fatal(err)
	}
	return policy
}

func get(t *testing.T, call *Call, address string) (*http.Response, string, error) {
	t.Helper()
	response, err := call.Client().Get(address)
	if err != nil {
		return nil, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body), nil
}

func TestPolicy(t *testing.T) {
	t.Parallel()
	for _, list := range []string{"10.0.0.0/8 nonsense!", "0.0.0.0/0", "::/0", "http://panel.internal", "1.2.3", "a..b", "-x"} {
		if _, err := ParsePolicy(list); err == nil {
			t.Errorf("%q was taken", list)
		}
	}
	policy := mustPolicy(t, "10.20.0.0/16, 192.168.7.9 fd00:1::/64,Panel.Internal")
	if !policy.named("panel.INTERNAL") || policy.named("other.internal") {
		t.Error("names are compared without case, and whole")
	}
	refused := func(addr string, plain bool) error {
		return policy.control(plain)(map[bool]string{true: "tcp4", false: "tcp6"}[netip.MustParseAddr(addr).Is4()], net.JoinHostPort(addr, "443"), nil)
	}
	for _, addr := range []string{
		"127.0.0.1", "10.0.0.1", "10.21.0.1", "172.16.3.4", "192.168.7.8", "169.254.169.254", "100.64.0.1", "0.0.0.0", "0.1.2.3", "224.0.0.1",
		"255.255.255.255", "198.18.0.1", "192.0.2.1", "240.0.0.1", "168.63.129.16", "::1", "::", "fe80::1", "fe80::1%eth0", "fd00:2::1", "ff02::1",
		"::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b:1::1", "2002:7f00:1::", "2001::1",
		"2001:db8::1", "fec0::1",
	} {
		if err := refused(addr, false); !errors.Is(err, ErrInner) {
			t.Errorf("%s: %v", addr, err)
		}
	}
	for _, addr := range []string{"10.20.255.1", "::ffff:10.20.0.1", "192.168.7.9", "fd00:1::5"} {
		if err := errors.Join(refused(addr, false), refused(addr, true)); err != nil {
			t.Errorf("%s is allowed: %v", addr, err)
		}
	}
	for _, addr := range []string{"8.8.8.8", "2606:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8"} {
		if err := refused(addr, false); err != nil {
			t.Errorf("%s is public: %v", addr, err)
		}
		if err := refused(addr, true); !errors.Is(err, ErrPlain) {
			t.Errorf("%s without TLS: %v", addr, err)
		}
	}
}

// The name in the address says nothing: what is checked is what it resolves to.
func TestInnerAddressesAreRefusedWhenConnecting(t *testing.T) {
	t.Parallel()
	called := make(chan struct{}, 1)
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called <- struct{}{} }))
	defer server.Close()
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]"} {
		call := New(Policy{}, nil).Open(Options{})
		_, _, err := get(t, call, "https://"+host+":"+port+"/?token=canary-1")
		if !errors.Is(err, ErrInner) || !NotSent(err) {
			t.Errorf("%s: %v", host, err)
		}
		if text := Clean(err).Error(); strings.Contains(text, "canary") || strings.Contains(text, host) {
			t.Errorf("the error holds the address: %s", text)
		}
	}
	// By name, but without a certificate that the system trusts.
	_, _, err := get(t, New(mustPolicy(t, "localhost"), nil).Open(Options{}), "https://localhost:"+port)
	if err == nil || !NotSent(err) || !strings.Contains(err.Error(), "certificate can't be trusted") {
		t.Errorf("an unknown certificate: %v", err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	if _, _, err := get(t, New(mustPolicy(t, Loopback), roots).Open(Options{}), server.URL); err != nil {
		t.Errorf("a known certificate at an allowed address: %v", err)
	}
	select {
	case <-called:
	default:
		t.Error("the allowed call did not arrive")
	}
}

func TestAnswersAndFailures(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/redirect":
			w.Header().Set("Location", "http://127.0.0.1:1/steal?x=1")
			w.WriteHeader(http.StatusFound)
		case "/long":
			w.Write(make([]byte, maxBody+1))
		case "/hang":
			<-hang
		case "/half":
			w.Header().Set("Content-Length", "1000")
			w.Write([]byte("half"))
		case "/close":
			conn, _, _ := w.(http.Hijacker).Hijack()
			conn.Close()
		case "/garbage":
			conn, _, _ := w.(http.Hijacker).Hijack()
			conn.Write([]byte("canary-7 is no HTTP\r\n\r\n"))
			conn.Close()
		}
	}))
	defer server.Close()
	defer close(hang)
	client := New(mustPolicy(t, Loopback), nil)

	call := client.Open(Options{})
	response, _, err := get(t, call, server.URL+"/redirect")
	if err != nil || response.StatusCode != http.StatusFound {
		t.Errorf("a redirect is an answer: %v %v", response, err)
	}
	exchanges, _ := call.Exchanges()
	if len(exchanges) != 1 || exchanges[0].ResponseHeaders["Location"] != "http://127.0.0.1:1/steal" {
		t.Errorf("the redirect is noted without its query, and not followed: %+v", exchanges)
	}

	for path, want := range map[string]string{
		"/long": "too long", "/half": "broke off", "/close": "broke off", "/garbage": "broke off", "/hang": "within 200ms",
	} {
		limit := DefaultLimit
		if path == "/hang" {
			limit = 200 * time.Millisecond
		}
		request, _ := http.NewRequest(http.MethodPost, server.URL+path+"?password=canary-7", strings.NewReader("password=canary-7"))
		_, err := client.Open(Options{Limit: limit}).Client().Do(request)
		if err == nil || NotSent(err) || !strings.Contains(err.Error(), want) || strings.Contains(Clean(err).Error(), "canary-7") {
			t.Errorf("%s: %v", path, err)
		}
	}

	gone := httptest.NewServer(nil)
	gone.Close()
	if _, _, err := get(t, client.Open(Options{}), gone.URL); err == nil || !NotSent(err) || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("nobody listens: %v", err)
	}
	if _, _, err := get(t, client.Open(Options{}), "http://portico:canary@127.0.0.1:1/"); err == nil || strings.Contains(err.Error(), "canary") || !NotSent(err) {
		t.Errorf("credentials in the address: %v", err)
	}
	if _, _, err := get(t, client.Open(Options{}), "http://nowhere.invalid/"); err == nil || !NotSent(err) {
		t.Errorf("an unknown name: %v", err)
	}
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	request, _ := http.NewRequestWithContext(cancelled, http.MethodGet, server.URL, nil)
	if _, err := client.Open(Options{}).Client().Do(request); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
}

func TestRate(t *testing.T) {
	t.Parallel()
	now := time.Now()
	var b bucket
	for i := range 5 {
		if wait, ok := b.take(now, 5, 0); wait != 0 || !ok {
			t.Fatalf("call %d of 5 waits %s", i+1, wait)
		}
	}
	if wait, ok := b.take(now, 5, time.Second); wait != 200*time.Millisecond || !ok {
		t.Errorf("the sixth waits %s", wait)
	}
	if wait, ok := b.take(now, 5, 300*time.Millisecond); ok || wait != 400*time.Millisecond {
		t.Errorf("the seventh, in a hurry, is told %s, %t", wait, ok)
	}
	if wait, ok := b.take(now.Add(time.Minute), 5, 0); wait != 0 || !ok {
		t.Errorf("after a pause it waits %s", wait)
	}

	var calls []time.Time
	var mutex sync.Mutex
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		mutex.Lock()
		defer mutex.Unlock()
		calls = append(calls, time.Now())
	}))
	defer server.Close()
	client := New(mustPolicy(t, Loopback), nil)
	first := client.Open(Options{Configuration: "a", PerSecond: 2})
	var busy *Busy
	for range 10 {
		client.bucket("full").take(time.Now(), 1, time.Hour)
	}
	if _, _, err := get(t, client.Open(Options{Configuration: "full", PerSecond: 1}), server.URL); !errors.As(err, &busy) || busy.After <= 0 || !NotSent(err) {
		t.Errorf("a full configuration: %v", err)
	}
	// Other configurations do not wait, and a call that has begun goes on.
	for range 3 {
		if _, _, err := get(t, first, server.URL); err != nil {
			t.Error(err)
		}
	}
	if len(calls) != 3 {
		t.Errorf("%d calls arrived", len(calls))
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "-3": 0, "99999999999": 0, "86400": MaxRetryAfter, "soon": 0,
		"Fri, 01 May 2026 12:01:00 GMT": time.Minute, "Fri, 01 May 2026 11:00:00 GMT": 0, "Sat, 02 May 2026 11:00:00 GMT": MaxRetryAfter,
	} {
		got := RetryAfter(&http.Response{Header: http.Header{"Retry-After": {value}}}, now)
		if value == "99999999999" {
			want = MaxRetryAfter
		}
		if got != want {
			t.Errorf("%q: %s", value, got)
		}
	}
}

// Calls side by side keep their secrets, bodies and records apart, and no secret is in a record in any form.
func TestParallelCallsKeepTheirSecrets(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent, _ := io.ReadAll(r.Body)
		form, _ := url.ParseQuery(string(sent))
		secret := form.Get("password")
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Request-Id", secret)
		w.Header().Set("Set-Cookie", "session="+secret)
		json.NewEncoder(w).Encode(map[string]any{
			"number": form.Get("number"), "authorization": r.Header.Get("Authorization"), "session": "link-" + form.Get("number"),
			"output": map[string]string{"raw": "Password: " + secret + " / " + url.QueryEscape(secret) + " / " + base64.StdEncoding.EncodeToString([]byte("user:"+secret))},
		})
	}))
	defer server.Close()
	client := New(mustPolicy(t, Loopback), nil)
	var group sync.WaitGroup
	for i := range 50 {
		group.Go(func() {
			password, token := fmt.Sprintf("p&w \"%d\" ÿ/canary", i), fmt.Sprintf("canary-token-%d", i)
			call := client.Open(Options{Configuration: "c", PerSecond: 1000, Fields: []string{"password"}, Secrets: []string{password, token}})
			form := url.Values{"password": {password}, "number": {fmt.Sprint(i)}}
			ctx := WithSecretFields(context.Background(), "session")
			request, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL+"/x?token="+url.QueryEscape(token), strings.NewReader(form.Encode()))
			if err != nil {
				t.Error(err)
				return
			}
			request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			request.Header.Set("Authorization", "whm root:"+token)
			response, err := call.Client().Do(request)
			if err != nil {
				t.Error(err)
				return
			}
			var answer struct{ Number, Authorization, Session string }
			if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
				t.Error(err)
			}
			if answer.Number != fmt.Sprint(i) || answer.Authorization != "whm root:"+token {
				t.Errorf("call %d got another's answer: %+v", i, answer)
			}
			exchanges, _ := call.Exchanges()
			written, err := json.Marshal(exchanges)
			if err != nil {
				t.Error(err)
			}
			for _, secret := range []string{"canary", "link-" + fmt.Sprint(i), base64.StdEncoding.EncodeToString([]byte("user:" + password))[8:20]} {
				if strings.Contains(string(written), secret) {
					t.Errorf("%q is in the record: %s", secret, written)
				}
			}
			if !strings.Contains(string(written), `"number\":\"`+fmt.Sprint(i)+`\"`) || !strings.Contains(string(written), "number="+fmt.Sprint(i)) {
				t.Errorf("what is no secret is missing: %s", written)
			}
		})
	}
	group.Wait()
}

func TestMaskingByField(t *testing.T) {
	t.Parallel()
	fields := secretFields([]string{"login_url", "epp"})
	asJSON, asForm := http.Header{"Content-Type": {"text/plain"}}, http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	for _, c := range []struct {
		header   http.Header
		in, want string
	}{
		{asJSON, `{"a":{"Login-URL":"x","list":[{"api_key":12345678901234567890}],"n":12345678901234567890},"password":null}`,
			`{"a":{"Login-URL":"•••","list":[{"api_key":"•••"}],"n":12345678901234567890},"password":null}`},
		{asJSON, `{"secret":{"deep":["x"]}}`, `{"secret":"•••"}`},
		{asForm, "user%5Bpassword%5D=x&b=%26&new.epp=y&%zz=1&db_password[]=q", "user%5Bpassword%5D=•••&b=%26&new.epp=•••&•••&db_password[]=•••"},
		{asJSON, `{"password":"x"`, `(15 bytes, not shown: they can't be read and may hold a secret)`},
		{asJSON, "\xff\xfe", "(2 bytes that are no text)"},
	} {
		if got := fields.body(c.header, []byte(c.in), true); got != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.in, got, c.want)
		}
	}
}

func TestScrub(t *testing.T) {
	t.Parallel()
	if got := Scrub("abcdefgh and efghijk and abcdefghijk", "abcdefgh", "efghijk", "abc", ""); got != "••• and ••• and •••" {
		t.Errorf("overlapping secrets: %s", got)
	}
	if got := Scrub("short: abc", "abc"); got != "short: abc" {
		t.Errorf("a short one: %s", got)
	}
	if a, b := Scrub("x"+strings.Repeat("k", 5), strings.Repeat("k", 5)), Scrub("x"+strings.Repeat("k", 500), strings.Repeat("k", 500)); a != b {
		t.Error("the width of the mask tells the secret's")
	}
}

// Whatever a secret is and however it is written, nothing of it is left.
func FuzzScrub(f *testing.F) {
	f.Add("p&w \"x\" ÿ/canary", "before ", " after")
	f.Add("aaaa", "aaa", "a")
	f.Add("%2F%2f", "\\", "\"")
	f.Add("tab\tand\nline", "", "")
	f.Fuzz(func(t *testing.T, secret, before, after string) {
		for _, form := range newScrubber([]string{secret}).forms {
			scrubbed := Scrub(before+form+after, secret)
			if strings.Contains(strings.ReplaceAll(scrubbed, Mask, "\x00"), form) {
				t.Fatalf("%q is left in %q", form, scrubbed)
			}
			if !strings.Contains(scrubbed, Mask) {
				t.Fatalf("%q was not found in %q", form, before+form+after)
			}
		}
		for prefix := range 4 {
			encoded := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("u", prefix) + secret))
			if len(secret) >= 8 && len([]rune(secret)) >= shortest && Scrub(encoded, secret) == encoded {
				t.Fatalf("base64 at %d: %q", prefix, encoded)
			}
		}
		fields := secretFields(nil)
		fields.body(http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, []byte(before), false)
		fields.json([]byte(after))
	})
}
