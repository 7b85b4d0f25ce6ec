package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"portico/app/locale"
	"portico/app/provisioning"
	"portico/app/provisioning/drivers/generic"
	"portico/app/provisioning/outbound"
	"portico/app/provisioning/provisioningtest"
	"portico/views"

	"github.com/google/uuid"
)

var signingKey = base64.StdEncoding.EncodeToString([]byte("canary-signing-key-of-32-bytes!!"))

// portal calls a provider with the driver that the portal uses.
type portal struct {
	t       *testing.T
	address string
	key     string
	posted  chan []byte // callbacks
	server  *httptest.Server
}

func newPortal(t *testing.T, provider http.Handler) *portal {
	server := httptest.NewServer(provider)
	t.Cleanup(server.Close)
	p := &portal{t: t, address: server.URL, key: signingKey, posted: make(chan []byte, 1)}
	p.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		_, key, err := generic.Driver{}.VerifyCallback(p.settings(), r.Header.Get, body, time.Now())
		if err != nil || r.URL.Path != "/callbacks/provisioning/configuration-1" {
			t.Errorf("callback to %s: %v", r.URL.Path, err)
		}
		w.WriteHeader(http.StatusNoContent)
		p.posted <- []byte(key)
	}))
	t.Cleanup(p.server.Close)
	return p
}

func (p *portal) settings() map[string]any {
	return map[string]any{"provider_url": p.address, "signing_key": p.key}
}

func (p *portal) call(function, key string, params map[string]any) provisioning.Call {
	policy, err := outbound.ParsePolicy(outbound.Loopback)
	if err != nil {
		p.t.Fatal(err)
	}
	return provisioning.Call{
		Category: "software-licenses", Function: function, Key: key, ProductID: "product-1", Params: params, Settings: p.settings(),
		ConfigurationID: "configuration-1", Client: outbound.New(policy, nil).Open(outbound.Options{}).Client(),
	}
}

func (p *portal) driver() generic.Driver { return generic.Driver{URL: p.server.URL} }

func (p *portal) run(function string, params map[string]any) (provisioning.Result, error) {
	return p.driver().Call(context.Background(), p.call(function, uuid.NewString(), params))
}

func TestProvider(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "licences.json")
	provider, err := NewProvider(file, 0, signingKey)
	if err != nil {
		t.Fatal(err)
	}
	p := newPortal(t, provider)
	ctx := context.Background()
	if err := p.driver().Test(ctx, p.call("", "", nil)); err != nil {
		t.Errorf("test: %v", err)
	}

	key := uuid.NewString()
	order := map[string]any{"customer_name": "Bluebird Bakery", "customer_email": "bea@bluebird.example", "package_identifier": "small"}
	if outcome, _, err := p.driver().LookUp(ctx, p.call("create", key, order)); outcome != provisioning.OutcomeAbsent || err != nil {
		t.Errorf("before: %s, %v", outcome, err)
	}
	created, err := p.driver().Call(ctx, p.call("create", key, order))
	if err != nil {
		t.Fatal(err)
	}
	again, err := p.driver().Call(ctx, p.call("create", key, order))
	if err != nil || again.Data["license_key"] != created.Data["license_key"] || len(provider.Licences) != 1 {
		t.Errorf("the same call again made another licence: %v, %v", again, err)
	}
	if outcome, found, err := p.driver().LookUp(ctx, p.call("create", key, order)); outcome != provisioning.OutcomeDone || found.Data["license_key"] != created.Data["license_key"] || err != nil {
		t.Errorf("after: %s, %v, %v", outcome, found, err)
	}
	licence := map[string]any{"license_key": created.Data["license_key"]}
	changed, err := p.run("changePackage", map[string]any{"license_key": licence["license_key"], "package_identifier": "large"})
	if err != nil || changed.Data["package_identifier"] != "large" {
		t.Errorf("changePackage: %v, %v", changed, err)
	}
	for _, function := range []string{"usage", "showLicenseKey", "renew", "suspend", "unsuspend"} {
		if _, err := p.run(function, licence); err != nil {
			t.Errorf("%s: %v", function, err)
		}
	}

	// Another process with the same file knows all of it.
	if provider, err = NewProvider(file, 0, signingKey); err != nil || provider.Licences[licence["license_key"].(string)].Package != "large" {
		t.Fatalf("read again: %v", err)
	}
	p.address = newPortal(t, provider).address
	reissued, err := p.run("reissue", licence)
	if err != nil || reissued.Data["license_key"] == licence["license_key"] {
		t.Errorf("reissue: %v, %v", reissued, err)
	}
	if _, err := p.run("terminate", map[string]any{"license_key": reissued.Data["license_key"]}); err != nil || len(provider.Licences) != 0 {
		t.Errorf("terminate: %v", err)
	}
	var refused *provisioning.Refused
	if _, err := p.run("renew", licence); !errors.As(err, &refused) || refused.Family != provisioning.FamilyMissing {
		t.Errorf("a licence that is gone: %v", err)
	}
	other := p.call("create", uuid.NewString(), nil)
	other.Category = "web-hosting"
	if _, err := p.driver().Call(ctx, other); !errors.As(err, &refused) || refused.Family != provisioning.FamilyUnsupported {
		t.Errorf("another category: %v", err)
	}
}

// A licence that takes its time is asked after, and the provider says when there is news.
func TestProviderThatTakesItsTime(t *testing.T) {
	t.Parallel()
	provider, err := NewProvider("", 10*time.Millisecond, signingKey)
	if err != nil {
		t.Fatal(err)
	}
	p := newPortal(t, provider)
	key := uuid.NewString()
	call := p.call("create", key, map[string]any{"customer_name": "Bluebird Bakery", "customer_email": "bea@bluebird.example"})
	started, err := p.driver().Call(context.Background(), call)
	if err != nil || !started.Waiting || started.Reference == "" || started.Message != "Your licence is being made." {
		t.Fatalf("started: %+v, %v", started, err)
	}
	if posted := <-p.posted; string(posted) != key {
		t.Errorf("the callback names %s", posted)
	}
	call.Reference = started.Reference
	done, err := p.driver().Call(context.Background(), call)
	if err != nil || done.Waiting || done.Data["license_key"] == nil {
		t.Errorf("done: %+v, %v", done, err)
	}
}

// licences is the driver for the one category that the example serves.
type licences struct{ generic.Driver }

func (licences) Categories() []string { return []string{"software-licenses"} }

func TestProvider_Conforms(t *testing.T) {
	t.Parallel()
	provider, err := NewProvider("", 0, signingKey)
	if err != nil {
		t.Fatal(err)
	}
	catalogue, err := locale.Load(views.Files)
	if err != nil {
		t.Fatal(err)
	}
	p := newPortal(t, provider)
	lost := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		provider.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	}))
	t.Cleanup(lost.Close)
	settings := func(address, key string) map[string]any {
		return map[string]any{"provider_url": address, "signing_key": key}
	}
	policy, err := outbound.ParsePolicy(outbound.Loopback)
	if err != nil {
		t.Fatal(err)
	}
	type step = provisioningtest.Step
	small := map[string]any{"package_identifier": "small"}
	provisioningtest.Run(t, provisioningtest.Suite{
		Driver: licences{p.driver()}, Client: outbound.New(policy, nil), Settings: settings(p.address, signingKey),
		Refused: settings(p.address, base64.StdEncoding.EncodeToString([]byte("another-signing-key-of-32-bytes!"))),
		Steps: func(string, string) []step {
			return []step{
				{Function: "create", Params: small}, {Function: "usage"}, {Function: "showLicenseKey"}, {Function: "reissue"}, {Function: "renew"},
				{Function: "changePackage", Params: map[string]any{"package_identifier": "large"}}, {Function: "suspend"}, {Function: "unsuspend"}, {Function: "terminate"},
				{Function: "renew", Family: provisioning.FamilyMissing},
			}
		},
		Lost:    func(string) map[string]any { return settings(lost.URL, signingKey) },
		Printer: catalogue.Printer("en", "UTC", time.Time{}),
	})
}

func TestProviderRefusesWhatIsNotSigned(t *testing.T) {
	t.Parallel()
	provider, err := NewProvider("", 0, signingKey)
	if err != nil {
		t.Fatal(err)
	}
	p := newPortal(t, provider)
	p.key = base64.StdEncoding.EncodeToString([]byte("another-signing-key-of-32-bytes!"))
	var unauthorised *provisioning.Unauthorised
	if _, err := p.run("create", nil); !errors.As(err, &unauthorised) || len(provider.Licences) != 0 {
		t.Errorf("another key: %v", err)
	}
	body, err := json.Marshal(Request{Version: 1, Function: "test"})
	if err != nil {
		t.Fatal(err)
	}
	key, err := generic.ParseKey(signingKey)
	if err != nil {
		t.Fatal(err)
	}
	post := func(at time.Time, id string) int {
		request := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
		generic.Sign(request.Header, id, at, body, key)
		recorder := httptest.NewRecorder()
		provider.ServeHTTP(recorder, request)
		return recorder.Code
	}
	now := time.Now()
	if got := post(now, "msg_1"); got != http.StatusOK {
		t.Errorf("a good message: %d", got)
	}
	for name, got := range map[string]int{
		"again": post(now, "msg_1"), "old": post(now.Add(-6*time.Minute), "msg_2"), "ahead": post(now.Add(6*time.Minute), "msg_3"),
	} {
		if got != http.StatusUnauthorized {
			t.Errorf("%s: %d", name, got)
		}
	}
	if _, err := NewProvider("", 0, strings.Repeat("A", 8)); err == nil {
		t.Error("a short key was taken")
	}
}
