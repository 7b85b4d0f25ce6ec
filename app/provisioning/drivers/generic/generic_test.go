package generic

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"portico/app/locale"
	"portico/app/provisioning"
	"portico/app/provisioning/outbound"
	"portico/views"
)

type values = map[string]any

var (
	newKey = base64.StdEncoding.EncodeToString([]byte("canary-signing-key-of-32-bytes!!"))
	oldKey = keyPrefix + base64.StdEncoding.EncodeToString([]byte("canary-old-key-that-has-32-bytes"))
)

func keysOf(t *testing.T, texts ...string) [][]byte {
	t.Helper()
	var keys [][]byte
	for _, text := range texts {
		key, err := ParseKey(text)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	return keys
}

// The example of the libraries for Standard Webhooks.
func TestSignature(t *testing.T) {
	t.Parallel()
	key := keysOf(t, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")[0]
	id, body, at := "msg_p5jXN8AQM9LWM0D4loKWxJek", []byte(`{"test": 2432232314}`), time.Unix(1614265330, 0)
	header := http.Header{}
	Sign(header, id, at, body, key)
	if got := header.Get(headerSignature); got != "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" {
		t.Errorf("signature: %s", got)
	}
	other := keysOf(t, newKey)[0]
	both := http.Header{}
	Sign(both, id, at, body, key, other)
	set := func(name, value string) http.Header {
		changed := header.Clone()
		changed.Set(name, value)
		return changed
	}
	for name, c := range map[string]struct {
		header http.Header
		body   string
		now    time.Time
		keys   [][]byte
		valid  bool
	}{
		"as it was sent":     {header, string(body), at, [][]byte{key}, true},
		"four minutes late":  {header, string(body), at.Add(4 * time.Minute), [][]byte{key}, true},
		"six minutes late":   {header, string(body), at.Add(6 * time.Minute), [][]byte{key}, false},
		"six minutes ahead":  {header, string(body), at.Add(-6 * time.Minute), [][]byte{key}, false},
		"another body":       {header, string(body) + " ", at, [][]byte{key}, false},
		"another key":        {header, string(body), at, [][]byte{other}, false},
		"new key, old known": {header, string(body), at, [][]byte{other, key}, true},
		"two, first known":   {both, string(body), at, [][]byte{key}, true},
		"two, second known":  {both, string(body), at, [][]byte{other}, true},
		"no key":             {header, string(body), at, nil, false},
		"another id":         {set(headerID, "msg_other"), string(body), at, [][]byte{key}, false},
		"no id":              {set(headerID, ""), string(body), at, [][]byte{key}, false},
		"another time":       {set(headerTime, "1614265331"), string(body), at, [][]byte{key}, false},
		"no time":            {set(headerTime, "soon"), string(body), at, [][]byte{key}, false},
		"no signature":       {set(headerSignature, ""), string(body), at, [][]byte{key}, false},
		"another version":    {set(headerSignature, strings.Replace(header.Get(headerSignature), "v1,", "v2,", 1)), string(body), at, [][]byte{key}, false},
		"a long list":        {set(headerSignature, strings.Repeat("v1,x ", 11)+header.Get(headerSignature)), string(body), at, [][]byte{key}, false},
	} {
		got, err := Verify(c.header.Get, []byte(c.body), c.now, c.keys...)
		if valid := err == nil && got == id; valid != c.valid {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	for _, bad := range []string{"", "whsec_", "short", strings.Repeat("A", 100), "!" + newKey} {
		if _, err := ParseKey(bad); !errors.Is(err, ErrKey) {
			t.Errorf("key %q: %v", bad, err)
		}
	}
}

func TestCallback(t *testing.T) {
	t.Parallel()
	settings := values{"signing_key": newKey, "old_signing_key": oldKey}
	now := time.Now()
	for body, valid := range map[string]bool{
		`{"key":"0198c0de-0000-7000-8000-000000000001"}`: true,
		`{"key":"0198C0DE-0000-7000-8000-000000000001"}`: true,
		`{"key":"1"}`: false,
		`{"key":"0198c0de-0000-7000-8000-000000000001","status":""}`: false,
		`[]`:           false,
		``:             false,
		`{"key":null}`: false,
	} {
		for _, key := range keysOf(t, newKey, oldKey) {
			header := http.Header{}
			Sign(header, "msg_1", now, []byte(body), key)
			id, operation, err := Driver{}.VerifyCallback(settings, header.Get, []byte(body), now)
			if valid != (err == nil && id == "msg_1" && operation == "0198c0de-0000-7000-8000-000000000001") {
				t.Errorf("%s: %s, %s, %v", body, id, operation, err)
			}
		}
	}
	if _, _, err := (Driver{}).VerifyCallback(values{}, http.Header{}.Get, nil, now); !errors.Is(err, ErrSignature) {
		t.Errorf("a configuration without a key: %v", err)
	}
}

// scripted is a provider that answers as it is told, and keeps what it got.
type scripted struct {
	*httptest.Server
	mutex  sync.Mutex
	status int
	body   string
	got    request
	raw    []byte
	sent   http.Header
}

func newScripted(t *testing.T) *scripted {
	s := &scripted{status: http.StatusOK}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mutex.Lock()
		defer s.mutex.Unlock()
		s.raw, _ = io.ReadAll(r.Body)
		s.sent = r.Header.Clone()
		s.got = request{}
		if err := json.Unmarshal(s.raw, &s.got); err != nil {
			t.Error(err)
		}
		w.Header().Set("Retry-After", "7")
		w.Header().Set("Location", "http://127.0.0.1:1/?canary-password")
		if s.status == 0 {
			conn, _, _ := w.(http.Hijacker).Hijack()
			conn.Close()
			return
		}
		w.WriteHeader(s.status)
		io.WriteString(w, s.body)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *scripted) answer(status int, body string) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.status, s.body = status, body
}

func (s *scripted) call(t *testing.T, function string, params values) (provisioning.Call, *outbound.Call) {
	policy, err := outbound.ParsePolicy(outbound.Loopback)
	if err != nil {
		t.Fatal(err)
	}
	session := outbound.New(policy, nil).Open(outbound.Options{Fields: []string{"password"}, Secrets: []string{newKey, oldKey, "canary-password"}})
	return provisioning.Call{
		Category: "web-hosting", Function: function, Key: "0198c0de-0000-7000-8000-000000000001", ProductID: "product-1", Params: params,
		Fields: values{"domain": "bluebird.example"}, VisitorIP: "192.0.2.44", ConfigurationID: "configuration-1", Client: session.Client(),
		Settings: values{"provider_url": s.URL + "/hook", "signing_key": newKey, "old_signing_key": oldKey},
	}, session
}

func TestRequests(t *testing.T) {
	t.Parallel()
	s := newScripted(t)
	s.answer(http.StatusOK, `{"status":"done"}`)
	call, _ := s.call(t, "changePassword", values{"username": "bluebird", "password": "canary-password"})
	if _, err := (Driver{URL: "https://portal.example"}).Call(context.Background(), call); err != nil {
		t.Fatal(err)
	}
	want := `{"version":1,"function":"changePassword","category":"web-hosting","key":"0198c0de-0000-7000-8000-000000000001","product":"product-1",` +
		`"params":{"password":"canary-password","username":"bluebird"},"fields":{"domain":"bluebird.example"},"visitor_ip":"192.0.2.44",` +
		`"callback":"https://portal.example/callbacks/provisioning/configuration-1"}`
	if string(s.raw) != want {
		t.Errorf("body: %s", s.raw)
	}
	for _, key := range keysOf(t, newKey, oldKey) {
		if _, err := Verify(s.sent.Get, s.raw, time.Now(), key); err != nil {
			t.Errorf("signed: %v", err)
		}
	}
	before := s.sent.Get(headerID)
	call.Reference = "order-7"
	if _, err := (Driver{}).Call(context.Background(), call); err != nil || s.got.Reference != "order-7" || s.sent.Get(headerID) == before {
		t.Errorf("asked after: %+v, %v", s.got, err)
	}
	if outcome, _, err := (Driver{}).LookUp(context.Background(), call); err != nil || !s.got.LookUp || outcome != provisioning.OutcomeDone {
		t.Errorf("look up: %+v, %v", s.got, err)
	}
	if err := (Driver{}).Test(context.Background(), call); err != nil || s.got.Function != "test" || s.got.Params != nil {
		t.Errorf("test: %+v, %v", s.got, err)
	}
	call.Settings["signing_key"] = "canary-no-key"
	var refused *provisioning.Refused
	if _, err := (Driver{}).Call(context.Background(), call); !errors.As(err, &refused) || strings.Contains(err.Error(), "canary") {
		t.Errorf("a wrong key: %v", err)
	}
}

// Every kind of answer becomes the right kind of result or error, and secrets come back in none of them.
func TestReplies(t *testing.T) {
	t.Parallel()
	s := newScripted(t)
	info := `"data":{"username":"bluebird","server_hostname":"web1","package_name":"gold","suspended":false}`
	for _, c := range []struct {
		status     int
		body, want string
	}{
		{200, `{"status":"done",` + info + `,"message":"The key is canary-password."}`, "result The key is •••."},
		{200, `{"status":"done","data":{"username":"bluebird"}}`, "unknown"},
		{200, `{"status":"done","data":{"username":"bluebird","server_hostname":"web1","package_name":"gold","suspended":"canary-password"}}`, "unknown"},
		{202, `{"status":"waiting","reference":"order-7","after":30}`, "waiting order-7 30s"},
		{202, `{"status":"waiting"}`, "unknown"},
		{202, `{"status":"waiting","reference":"a\u0000b"}`, "unknown"},
		{202, `{"status":"waiting","reference":"x","after":-1}`, "unknown"},
		{422, `{"status":"refused","code":"exists","message":"There  is\none.","detail":"user canary-password"}`, "refused exists There is one. user •••"},
		{200, `{"status":"refused"}`, "refused refused  "},
		{200, `{"status":"refused","code":"nonsense"}`, "unknown"},
		{503, `{"status":"later","after":60,"detail":"maintenance"}`, "later 1m0s false"},
		{429, `{"status":"later"}`, "later 7s true"},
		{429, `slow down`, "later 7s true"},
		{408, ``, "later 7s false"},
		{500, `{"status":"unknown","detail":"x"}`, "unknown"},
		{500, `{"status":"refused","code":"limit"}`, "refused limit  "},
		{500, `{"status":"done",` + info + `}`, "unknown"},
		{500, `<html>canary-password</html>`, "unknown"},
		{404, `nothing here`, "refused missing"},
		{302, ``, "refused refused"},
		{401, `{"status":"done",` + info + `}`, "unauthorised"},
		{403, ``, "unauthorised"},
		{200, ``, "unknown"},
		{200, `{"status":"done",` + info + `} trailing`, "unknown"},
		{200, `{"status":"done","more":1}`, "unknown"},
		{200, `{"status":"absent"}`, "unknown"},
		{200, `{"status":"Done"}`, "unknown"},
		{0, ``, "unknown"},
	} {
		s.answer(c.status, c.body)
		call, session := s.call(t, "create", values{"password": "canary-password"})
		result, err := Driver{}.Call(context.Background(), call)
		if got := describe(result, err); !strings.HasPrefix(got, c.want) {
			t.Errorf("%d %s\n got %s\nwant %s", c.status, c.body, got, c.want)
		}
		exchanges, _ := session.Exchanges()
		written, _ := json.Marshal(exchanges)
		if seen := string(written) + fmt.Sprint(err) + result.Message; strings.Contains(seen, "canary") || len(exchanges) != 1 {
			t.Errorf("%d %s: %s", c.status, c.body, seen)
		}
	}
	for body, want := range map[string]provisioning.Outcome{
		`{"status":"absent"}`: provisioning.OutcomeAbsent, `{"status":"unknown"}`: provisioning.OutcomeUnknown, `{"status":"done",` + info + `}`: provisioning.OutcomeDone,
		`{"status":"waiting","reference":"x"}`: provisioning.OutcomeDone,
	} {
		s.answer(http.StatusOK, body)
		call, _ := s.call(t, "create", nil)
		if outcome, _, err := (Driver{}).LookUp(context.Background(), call); outcome != want || err != nil {
			t.Errorf("look up %s: %s, %v", body, outcome, err)
		}
	}
	s.answer(http.StatusInternalServerError, "")
	call, _ := s.call(t, "create", nil)
	if outcome, _, err := (Driver{}).LookUp(context.Background(), call); outcome != provisioning.OutcomeUnknown || err == nil {
		t.Errorf("a look-up that fails is tried again: %s, %v", outcome, err)
	}
}

func describe(result provisioning.Result, err error) string {
	var refused *provisioning.Refused
	var later *provisioning.Later
	var unknown *provisioning.Unknown
	var unauthorised *provisioning.Unauthorised
	switch {
	case errors.As(err, &refused):
		return fmt.Sprintf("refused %s %s %s", refused.Family, refused.Message, refused.Detail)
	case errors.As(err, &later):
		return fmt.Sprintf("later %s %t", later.After, later.Limit)
	case errors.As(err, &unknown):
		return "unknown"
	case errors.As(err, &unauthorised):
		return "unauthorised"
	case err != nil:
		return err.Error()
	case result.Waiting:
		return fmt.Sprintf("waiting %s %s", result.Reference, result.After)
	}
	return "result " + result.Message
}

// A login link comes back to the driver and to nobody else, also in a reply that is broken.
func TestSecretsOfReplies(t *testing.T) {
	t.Parallel()
	s := newScripted(t)
	for _, body := range []string{
		`{"status":"done","data":{"login_url":"https://panel.example/canary-link","post_fields":{"token":"canary-token"}}}`,
		`{"status":"done","data":{"login_url":"https://panel.example/canary-link"`,
		`{"status":"done","data":{"login_url":["https://panel.example/canary-link"]}}`,
	} {
		s.answer(http.StatusOK, body)
		call, session := s.call(t, "login", values{"username": "bluebird"})
		result, err := Driver{}.Call(context.Background(), call)
		if ok := result.Data["login_url"] == "https://panel.example/canary-link"; ok != (err == nil) {
			t.Errorf("%s: %v, %v", body, result.Data, err)
		}
		exchanges, _ := session.Exchanges()
		written, _ := json.Marshal(exchanges)
		if seen := string(written) + fmt.Sprint(err); strings.Contains(seen, "canary") {
			t.Errorf("%s: %s", body, seen)
		}
	}
}

func TestDeclarations(t *testing.T) {
	t.Parallel()
	catalogue, err := locale.Load(views.Files)
	if err != nil {
		t.Fatal(err)
	}
	english := catalogue.Printer("en", "UTC", time.Time{})
	for _, f := range (Driver{}).Settings("") {
		if !english.Has(f.LabelKey()) || !english.Has(f.HelpKey()) {
			t.Errorf("no message %s", f.LabelKey())
		}
	}
	if got := len(Driver{}.Categories()); got != 8 {
		t.Errorf("%d categories", got)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"status":"done","data":{"a":1}}`))
	f.Add([]byte(`{"status":"waiting","reference":"x","after":1e9}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		answer, err := read(&http.Response{StatusCode: http.StatusOK, Header: http.Header{}}, content, []string{"canary"})
		if err == nil && (answer.Status == statusWaiting) != (answer.Status == statusWaiting && answer.Reference != "") {
			t.Errorf("%q was taken", content)
		}
		if len([]rune(answer.Message)) > maxMessage+1 || strings.ContainsAny(answer.Message+answer.Reference, "\x00\r\n") || strings.Contains(answer.Message, "canary") {
			t.Errorf("message %q", answer.Message)
		}
	})
}
