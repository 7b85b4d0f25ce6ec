package sandbox_test

import (
	"context"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"portico/app/db/dbtest"
	"portico/app/keys"
	"portico/app/locale"
	"portico/app/provisioning"
	driver "portico/app/provisioning/drivers/sandbox"
	"portico/app/provisioning/outbound"
	"portico/app/provisioning/provisioningtest"
	"portico/app/sandbox"
	"portico/views"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// start serves a Sandbox on a database of its own.
func start(t *testing.T) (driver.Driver, *outbound.Client, *pgxpool.Pool) {
	t.Helper()
	pool := dbtest.New(t)
	ring, err := keys.Parse(strings.Repeat("k", 40))
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := "http://" + listener.Addr().String()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := sandbox.New(pool, ring, address).Serve(ctx, listener); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() { stop(); <-done })
	policy, err := outbound.ParsePolicy(outbound.Loopback)
	if err != nil {
		t.Fatal(err)
	}
	return driver.Driver{URL: address}, outbound.New(policy, nil), pool
}

var works = map[string]any{"token": "canary-token-81723", "work": 0.05}

func with(settings map[string]any, pairs ...any) map[string]any {
	changed := maps.Clone(settings)
	for i := 0; i < len(pairs); i += 2 {
		changed[pairs[i].(string)] = pairs[i+1]
	}
	return changed
}

func TestSandbox_Conforms(t *testing.T) {
	t.Parallel()
	d, client, pool := start(t)
	catalogue, err := locale.Load(views.Files)
	if err != nil {
		t.Fatal(err)
	}
	provisioningtest.Run(t, provisioningtest.Suite{
		Driver: d, Client: client, Settings: works, Refused: map[string]any{"token": "wrong-token-1"},
		Steps: steps,
		Lost: func(function string) map[string]any {
			fault := map[int]string{0: "act-then-500", 1: "act-then-drop", 2: "act-then-garbage"}[len(function)%3]
			return with(works, "fault", fault)
		},
		Effects: func(key string) (n int) {
			if err := pool.QueryRow(context.Background(), "select count(*) from sandbox_effects where key = $1", key).Scan(&n); err != nil {
				t.Error(err)
			}
			return n
		},
		Printer: catalogue.Printer("en", "UTC", time.Time{}),
	})
}

func steps(category, name string) []provisioningtest.Step {
	type step = provisioningtest.Step
	type values = map[string]any
	domain := name + ".example"
	record := ""
	switch category {
	case "web-hosting":
		return []step{
			{Function: "create", Params: values{"domain": domain, "package_name": "northwind_standard", "password": "canary-password-1"}},
			{Function: "getInfo"}, {Function: "usage"}, {Function: "changePassword", Params: values{"password": "canary-password-2"}},
			{Function: "login"}, {Function: "createBackup"}, {Function: "changePackage", Params: values{"package_name": "northwind_business"}},
			{Function: "grantReseller"}, {Function: "revokeReseller"}, {Function: "suspend", Params: values{"reason": "unpaid"}},
			{Function: "login", Family: "state"}, {Function: "unsuspend"}, {Function: "terminate"}, {Function: "getInfo", Family: "missing"},
		}
	case "domain-names":
		person := values{"name": "Bea", "email": "bea@bluebird.example", "phone": "+4420123456", "address1": "1 High St", "city": "Leeds", "postcode": "LS1", "country_code": "GB"}
		contact := maps.Clone(person)
		contact["contact_type"] = "registrant"
		return []step{
			{Function: "domainAvailabilityCheck", Params: values{"sld": name, "tlds": []any{"example"}}},
			{Function: "register", Params: values{"domain": "taken-" + domain, "registrant": person, "ns1": "ns1.a.example", "ns2": "ns2.a.example"}, Family: "exists"},
			{Function: "register", Params: values{"domain": domain, "renew_years": float64(2), "registrant": person, "ns1": "ns1.a.example", "ns2": "ns2.a.example"}},
			{Function: "getInfo"}, {Function: "getStatus"}, {Function: "renew", Params: values{"renew_years": float64(1)}},
			{Function: "updateNameservers", Params: values{"ns1": "ns1.b.example", "ns2": "ns2.b.example", "ns3": "ns3.b.example"}},
			{Function: "updateNameservers", Params: values{"ns1": "unknown.example"}, Family: "missing"},
			{Function: "getEppCode", Family: "state"}, {Function: "setLock", Params: values{"lock": false}}, {Function: "getEppCode"},
			{Function: "setAutoRenew", Params: values{"auto_renew": true}}, {Function: "updateContact", Params: contact},
			{Function: "getVerificationStatus"}, {Function: "resendVerificationEmail"},
			{Function: "setGlueRecord", Params: values{"hostname": "ns1." + domain, "ip_1": "203.0.113.7"}}, {Function: "removeGlueRecord", Params: values{"hostname": "ns1." + domain}},
			{Function: "addDnsRecord", Params: values{"name": "shop", "type": "A", "content": "203.0.113.9"}},
			{Function: "importZone", Params: values{"zone": "$TTL 1h\n@ IN SOA a b (1 2\n 3 4 5)\nblog 300 IN CNAME www\n@ MX 5 mx.other.example. ; mail\n txt TXT \"a; b\" \"c\"\n"}},
			{Function: "importZone", Params: values{"zone": "a IN A ("}, Family: "invalid"},
			{Function: "getDnsRecords", After: func(t *testing.T, data map[string]any) {
				for _, entry := range data["records"].([]any) {
					if r := entry.(map[string]any); r["name"] == "blog" {
						record = r["record_id"].(string)
						if r["content"] != "www."+domain+"." || r["ttl"] != 300.0 {
							t.Errorf("the zone file was read as %v", r)
						}
					}
				}
			}},
			{Function: "updateDnsRecord", Params: values{"record_id": &record, "name": "blog", "type": "A", "content": "203.0.113.10"}},
			{Function: "removeDnsRecord", Params: values{"record_id": &record}},
			{Function: "setDnssec", Params: values{"dnssec": true}},
			{Function: "poll", Params: values{"limit": float64(10)}},
			{Function: "transfer", Params: values{"domain": "in-" + domain, "epp_code": "wrong-code", "registrant": person}, Family: "invalid"},
			{Function: "updateIpsTag", Params: values{"ips_tag": "OTHER", "domain": domain}},
			{Function: "transfer", Params: values{"domain": "in-" + domain, "epp_code": "canary-code-1", "registrant": person}},
			{Function: "updateIpsTag", Params: values{"ips_tag": "OTHER", "domain": "in-" + domain}},
			{Function: "transferWithCode", Params: values{"domain": "own-" + domain, "epp_code": "canary-code-2"}},
		}
	case "auto-login":
		return []step{
			{Function: "create", Params: values{"package_identifier": "pictures-50"}}, {Function: "login"}, {Function: "renew"},
			{Function: "changePackage", Params: values{"package_identifier": "pictures-100"}}, {Function: "suspend"}, {Function: "unsuspend"}, {Function: "terminate"},
		}
	case "seo":
		return []step{
			{Function: "create", Params: values{"domain": domain, "package_identifier": "local-1"}}, {Function: "login"},
			{Function: "changePackage", Params: values{"package_identifier": "local-2"}}, {Function: "suspend"}, {Function: "unsuspend"}, {Function: "terminate"},
		}
	case "website-builders":
		return []step{
			{Function: "create", Params: values{"domain_name": domain, "package_reference": "builder-5", "password": "canary-password-3"}}, {Function: "getInfo"}, {Function: "login"},
			{Function: "changePackage", Params: values{"package_reference": "builder-10"}}, {Function: "suspend"},
			{Function: "unsuspend", Params: values{"package_reference": "builder-10"}}, {Function: "terminate"},
		}
	case "software-licenses":
		return []step{
			{Function: "create", Params: values{"package_identifier": "panel-pro", "ip": "203.0.113.87"}}, {Function: "usage"}, {Function: "showLicenseKey"}, {Function: "reissue"},
			{Function: "renew"}, {Function: "changePackage", Params: values{"package_identifier": "panel-max"}}, {Function: "suspend"}, {Function: "unsuspend"}, {Function: "terminate"},
		}
	case "servers":
		return []step{
			{Function: "create", Params: values{"label": name, "image": "debian-13", "location": "Stockholm", "size": "c4-m8", "root_password": "canary-password-4"}},
			{Function: "getInfo"}, {Function: "login"}, {Function: "console"}, {Function: "changeRootPassword", Params: values{"root_password": "canary-password-5"}},
			{Function: "reboot"}, {Function: "reset"}, {Function: "shutdown"}, {Function: "reboot", Family: "state"}, {Function: "powerOn"},
			{Function: "resize", Params: values{"size": "c8-m16"}}, {Function: "reinstall", Params: values{"image": "debian-12", "root_password": "canary-password-6"}},
			{Function: "attachRecoveryIso"}, {Function: "detachRecoveryIso"}, {Function: "suspend"}, {Function: "powerOn", Family: "state"}, {Function: "unsuspend"}, {Function: "terminate"},
		}
	}
	return []step{
		{Function: "create", Params: values{"domain": domain, "plan": "office-basic", "seat_count": float64(8)}}, {Function: "getInfo"}, {Function: "login"}, {Function: "renew"},
		{Function: "changePackage", Params: values{"plan": "office-plus", "seat_count": float64(12)}}, {Function: "suspend"}, {Function: "unsuspend"}, {Function: "terminate"},
	}
}

// TestSandbox_PasswordsAndLinks walks the control panel as a person does: the old password stops working, a link works once.
func TestSandbox_PasswordsAndLinks(t *testing.T) {
	t.Parallel()
	d, client, _ := start(t)
	call := func(function string, params map[string]any) map[string]any {
		t.Helper()
		result, err := d.Call(t.Context(), provisioning.Call{
			Category: "web-hosting", Function: function, Key: uuid.NewString(), ProductID: "p", Params: params, Settings: works,
			Client: client.Open(outbound.Options{}).Client(),
		})
		if err != nil {
			t.Fatalf("%s: %v", function, err)
		}
		return result.Data
	}
	call("create", map[string]any{"domain": "panel.example", "username": "panel", "package_name": "p", "email": "a@b.example", "password": "first-password"})
	browser := func() *http.Client {
		jar, _ := cookiejar.New(nil)
		return &http.Client{Jar: jar}
	}
	signsIn := func(password string) bool {
		t.Helper()
		answer, err := browser().PostForm(d.URL+"/panel", url.Values{"username": {"panel"}, "password": {password}})
		if err != nil {
			t.Fatal(err)
		}
		page, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		return strings.Contains(string(page), "Signed in as")
	}
	if !signsIn("first-password") || signsIn("second-password") {
		t.Error("the password that the account was made with does not open the panel, or another does")
	}
	call("changePassword", map[string]any{"username": "panel", "password": "second-password"})
	if signsIn("first-password") || !signsIn("second-password") {
		t.Error("after the change the old password works, or the new one does not")
	}
	link := call("login", map[string]any{"username": "panel"})["login_url"].(string)
	for i, want := range []bool{true, false} {
		answer, err := browser().Get(link)
		if err != nil {
			t.Fatal(err)
		}
		page, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		if strings.Contains(string(page), "Signed in as") != want {
			t.Errorf("opened %d times, the link answers %d", i+1, answer.StatusCode)
		}
	}
}

// TestSandbox_Faults: what a configuration asks for strikes as often as it says, and is told apart.
func TestSandbox_Faults(t *testing.T) {
	t.Parallel()
	d, client, pool := start(t)
	try := func(key string, settings map[string]any) error {
		_, err := d.Call(t.Context(), provisioning.Call{
			Category: "seo", Function: "create", Key: key, ProductID: key, Settings: settings, Client: client.Open(outbound.Options{}).Client(),
			Params: map[string]any{"domain": "a.example", "package_identifier": "x", "customer_id": "1", "customer_email": "a@b.example"},
		})
		return err
	}
	kind := func(err error) string {
		switch err.(type) {
		case nil:
			return "done"
		case *provisioning.Refused:
			return "refused"
		case *provisioning.Later:
			return "later"
		case *provisioning.Unauthorised:
			return "unauthorised"
		case *provisioning.Unknown:
			return "unknown"
		}
		return err.Error()
	}
	effects := func(key string) (n int) {
		if err := pool.QueryRow(t.Context(), "select count(*) from sandbox_effects where key = $1", key).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for fault, want := range map[string]string{
		"unavailable": "unknown", "drop": "unknown", "refuse": "refused", "unauthorised": "unauthorised", "rate-limit": "later",
		"act-then-500": "unknown", "act-then-drop": "unknown", "act-then-garbage": "unknown",
	} {
		key := uuid.NewString()
		settings := with(works, "fault", fault, "tries", float64(2))
		for i := range 2 {
			if got := kind(try(key, settings)); got != want {
				t.Errorf("%s, try %d: %s, want %s", fault, i+1, got, want)
			}
		}
		acted := strings.HasPrefix(fault, "act-")
		if n := effects(key); n != map[bool]int{true: 1, false: 0}[acted] {
			t.Errorf("%s: %d effects", fault, n)
		}
		if got := kind(try(key, settings)); got != "done" && fault != "unauthorised" {
			t.Errorf("%s, third try: %s", fault, got)
		}
		if n := effects(key); n != 1 && fault != "unauthorised" {
			t.Errorf("%s, third try: %d effects", fault, n)
		}
	}

	forgetful := with(works, "forgetful", true)
	key := uuid.NewString()
	lookUp := func() provisioning.Outcome {
		outcome, _, err := d.LookUp(t.Context(), provisioning.Call{Category: "seo", Function: "create", Key: key, ProductID: key, Settings: forgetful, Client: client.Open(outbound.Options{}).Client()})
		if err != nil {
			t.Error(err)
		}
		return outcome
	}
	if got := lookUp(); got != provisioning.OutcomeAbsent {
		t.Errorf("before: %s", got)
	}
	try(key, with(forgetful, "fault", "act-then-drop"))
	if got := lookUp(); got != provisioning.OutcomeDone {
		t.Errorf("without operation keys, what was made is not found by its product: %s", got)
	}
	limited, done := with(works, "rate", float64(2), "token", "another-token"), 0
	for range 6 {
		if kind(try(uuid.NewString(), limited)) == "done" {
			done++
		}
	}
	if done == 0 || done == 6 {
		t.Errorf("%d of 6 calls were let through at once", done)
	}
}
