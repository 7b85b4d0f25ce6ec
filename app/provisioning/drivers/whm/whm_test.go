package whm_test

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"portico/app/provisioning"
	"portico/app/provisioning/drivers/whm"
	"portico/app/provisioning/outbound"
)

type values = map[string]any

// caller makes calls to a stand-in the way the portal does.
type caller struct {
	t      *testing.T
	server *standin
	out    *outbound.Client
	token  string
	seen   []string // everything that would be stored or logged
}

func newCaller(t *testing.T) *caller {
	s := newStandin(t)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	policy, err := outbound.ParsePolicy(outbound.Loopback)
	if err != nil {
		t.Fatal(err)
	}
	return &caller{t: t, server: s, out: outbound.New(policy, roots), token: rootToken}
}

func (c *caller) call(function string, params values) (provisioning.Call, *outbound.Call) {
	address, _ := url.Parse(c.server.URL)
	host, port, _ := net.SplitHostPort(address.Host)
	number, _ := strconv.Atoi(port)
	secrets := []string{c.token}
	if password, ok := params["password"].(string); ok {
		secrets = append(secrets, password)
	}
	session := c.out.Open(outbound.Options{Configuration: "c", PerSecond: 1000, Secrets: secrets})
	return provisioning.Call{
		Category: "web-hosting", Function: function, Key: "0198c0de-0000-7000-8000-000000000001", Params: params, Fields: values{}, Client: session.Client(),
		Settings: values{"hostname": host, "port": float64(number), "whm_username": "root", "api_key": c.token},
	}, session
}

func (c *caller) run(function string, params values) (provisioning.Result, error) {
	call, session := c.call(function, params)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-c.server.acted: // and hangs
			cancel()
		case <-ctx.Done():
		}
	}()
	result, err := whm.Driver{}.Call(ctx, call)
	c.keep(session, err)
	return result, err
}

func (c *caller) lookUp(function string, params values) (provisioning.Outcome, provisioning.Result) {
	c.t.Helper()
	call, session := c.call(function, params)
	outcome, result, err := whm.Driver{}.LookUp(context.Background(), call)
	c.keep(session, err)
	if err != nil {
		c.t.Errorf("look up %s: %v", function, err)
	}
	return outcome, result
}

func (c *caller) keep(session *outbound.Call, err error) {
	exchanges, _ := session.Exchanges()
	written, _ := json.Marshal(exchanges)
	c.seen = append(c.seen, string(written), fmt.Sprint(err))
}

// clean says that no canary is in anything that would be stored.
func (c *caller) clean(canaries ...string) {
	c.t.Helper()
	if len(c.seen) == 0 {
		c.t.Error("nothing was written down")
	}
	for _, text := range c.seen {
		for _, canary := range append(canaries, rootToken) {
			if strings.Contains(text, canary) {
				c.t.Errorf("%q is in %s", canary, text)
			}
		}
	}
}

func (c *caller) must(function string, params values) provisioning.Result {
	c.t.Helper()
	result, err := c.run(function, params)
	if err != nil {
		c.t.Fatalf("%s: %v", function, err)
	}
	return result
}

func bluebird() values {
	return values{"domain": "bluebird.example", "username": "bluebird", "package_name": "gold", "email": "bea@bluebird.example", "password": "canary-p&ss \"1\""}
}

// TestAccount walks one account through its life.
func TestAccount(t *testing.T) {
	t.Parallel()
	c := newCaller(t)
	account := values{"username": "bluebird"}

	created := c.must("create", bluebird())
	want := values{
		"username": "bluebird", "server_hostname": "127.0.0.1", "package_name": "root_gold", "suspended": false, "domain": "bluebird.example", "ip": serverIP,
		"nameservers": []any{"ns1.server.example", "ns2.server.example"}, "reseller": false,
	}
	if !reflect.DeepEqual(created.Data, want) {
		t.Errorf("created: %v", created.Data)
	}
	if c.server.passwords["bluebird"] != bluebird()["password"] {
		t.Error("the password did not arrive as it was typed")
	}
	delete(want, "reseller")
	if got := c.must("getInfo", account).Data; !reflect.DeepEqual(got, want) {
		t.Errorf("getInfo: %v", got)
	}

	// Another account whose name holds this one's: its traffic is not this one's.
	c.server.accounts["abluebird"] = &hosted{domain: "other.example", plan: "default"}
	c.server.accounts["bluebirds"] = &hosted{domain: "others.example", plan: "default"}
	usage := c.must("usage", account).Data["usage_data"].(values)
	if !reflect.DeepEqual(usage["bandwidth_mb"], values{"used": 8.0, "limit": 10.0, "used_pc": "80.0%"}) {
		t.Errorf("bandwidth: %v", usage["bandwidth_mb"])
	}
	if !reflect.DeepEqual(usage["disk_mb"], values{"used": 14.0, "limit": 500.0, "used_pc": "2.8%"}) || !reflect.DeepEqual(usage["inodes"], values{"used": 12.0}) {
		t.Errorf("usage: %v", usage)
	}

	login := c.must("login", account)
	if login.Data["login_url"] != "https://server.example:2083/cpsess6789canary/login/?session=bluebird%3acanarysession%2cabc" || login.Data["expires"] != "2026-11-29T21:20:00Z" {
		t.Errorf("login: %v", login.Data)
	}
	c.must("changePassword", values{"username": "bluebird", "password": "canary-new-päss"})
	if c.server.passwords["bluebird"] != "canary-new-päss" {
		t.Error("the new password did not arrive")
	}
	if got := c.must("changePackage", values{"username": "bluebird", "package_name": "default"}); got.Data["package_name"] != "default" {
		t.Errorf("changePackage: %v", got.Data)
	}
	for range 2 { // the second time there is nothing to do
		if got := c.must("suspend", values{"username": "bluebird", "reason": "unpaid"}); got.Data["suspended"] != true || got.Data["suspend_reason"] != "unpaid" {
			t.Errorf("suspend: %v", got.Data)
		}
	}
	for range 2 {
		if got := c.must("unsuspend", account); got.Data["suspended"] != false || got.Data["suspend_reason"] != nil {
			t.Errorf("unsuspend: %v", got.Data)
		}
	}
	for range 2 {
		if got := c.must("grantReseller", values{"username": "bluebird", "owns_itself": true}); got.Data["reseller"] != true {
			t.Errorf("grantReseller: %v", got.Data)
		}
	}
	reseller := values{"username": "bluebird", "is_reseller": true}
	if got := c.must("usage", reseller).Data["reseller_usage_data"]; !reflect.DeepEqual(got, values{
		"disk_mb": values{"used": 5.69}, "bandwidth_mb": values{"used": 12.0, "limit": 500.0, "used_pc": "2.4%"}, "sub_accounts": values{"used": 4.0},
	}) {
		t.Errorf("usage of a reseller: %v", got)
	}
	c.must("suspend", values{"username": "bluebird"})
	c.must("unsuspend", reseller)
	c.must("login", reseller)
	for range 2 {
		if got := c.must("revokeReseller", reseller); got.Data["reseller"] != false {
			t.Errorf("revokeReseller: %v", got.Data)
		}
	}
	c.must("terminate", account)
	if c.server.accounts["bluebird"] != nil {
		t.Error("the account is still there")
	}
	wantEffects := []string{
		"createacct", "create_user_session", "passwd", "changepackage", "suspendacct", "unsuspendacct", "setupreseller", "suspendacct", "unsuspendreseller",
		"create_user_session", "unsetupreseller", "removeacct",
	}
	for i := range wantEffects {
		wantEffects[i] += " bluebird"
	}
	if !slices.Equal(c.server.effects, wantEffects) {
		t.Errorf("effects: %v", c.server.effects)
	}
	c.clean("canary")
}

func TestResellersAndNames(t *testing.T) {
	t.Parallel()
	c := newCaller(t)
	params := bluebird()
	delete(params, "username")
	delete(params, "password")
	params["domain"], params["as_reseller"], params["owns_itself"] = "24test-Bakery.example", true, true
	params["reseller_options"] = values{"acl_name": "small", "account_limit": 5.0, "diskspace_mb_limit": 1000.0, "bandwidth_overselling": true}
	c.server.accounts["bakeryex"] = &hosted{domain: "taken.example", plan: "default", owner: "bakerye1"}
	created := c.must("create", params)
	if created.Data["username"] != "bakerye1" || created.Data["reseller"] != true || created.Data["domain"] != "24test-bakery.example" {
		t.Errorf("created: %v", created.Data)
	}
	made := c.server.accounts["bakerye1"]
	if made.acl != "small" || made.owner != "bakerye1" || made.limits["account_limit"] != "5" || made.limits["enable_resource_limits"] != "1" ||
		made.limits["diskspace_limit"] != "1000" || made.limits["enable_overselling_bandwidth"] != "1" || made.limits["enable_overselling_diskspace"] != "0" {
		t.Errorf("made: %+v", made)
	}
	c.clean(c.server.passwords["bakerye1"])
	c.must("terminate", values{"username": "bakerye1", "is_reseller": true})
	if len(c.server.accounts) != 0 {
		t.Errorf("left: %v", c.server.accounts)
	}
}

// Refusals are final, in the server's words without its mark, and never with the password.
func TestRefusals(t *testing.T) {
	t.Parallel()
	c := newCaller(t)
	c.must("create", bluebird())
	other := func(name string, value any) values {
		params := bluebird()
		params["domain"], params["username"] = "other.example", "other"
		params[name] = value
		return params
	}
	for _, test := range []struct {
		function string
		params   values
		family   string
	}{
		{"create", bluebird(), provisioning.FamilyExists},
		{"create", other("username", "bluebird"), provisioning.FamilyExists},
		{"create", other("username", "x y"), provisioning.FamilyInvalid},
		{"create", other("package_name", "platinum"), provisioning.FamilyInvalid},
		{"create", other("password", "canary7"), provisioning.FamilyInvalid},
		{"getInfo", values{"username": "nobody"}, provisioning.FamilyMissing},
		{"usage", values{"username": ".*"}, provisioning.FamilyInvalid},
		{"changePassword", values{"username": "nobody", "password": "canary-long"}, provisioning.FamilyMissing},
		{"changePassword", values{"username": "bluebird", "password": "canary7"}, provisioning.FamilyInvalid},
		{"changePassword", values{"username": "root", "password": "canary-long"}, provisioning.FamilyInvalid},
		{"login", values{"username": "root"}, provisioning.FamilyInvalid},
		{"changePackage", values{"username": "bluebird", "package_name": "platinum"}, provisioning.FamilyInvalid},
		{"terminate", values{"username": "nobody"}, provisioning.FamilyMissing},
		{"terminate", values{"username": "root"}, provisioning.FamilyInvalid},
		{"terminate", values{"username": "bluebird", "is_reseller": true}, provisioning.FamilyRefused},
	} {
		before := len(c.server.effects)
		_, err := c.run(test.function, test.params)
		var refused *provisioning.Refused
		if !errors.As(err, &refused) || refused.Family != test.family || strings.Contains(refused.Detail, "XID") || strings.Contains(refused.Detail, "API failure") {
			t.Errorf("%s %v: %v", test.function, test.params, err)
		}
		if len(c.server.effects) != before {
			t.Errorf("%s %v had an effect", test.function, test.params)
		}
	}
	c.clean("canary")
}

// What is unknown is told as unknown, and the look-up finds the truth.
func TestFaults(t *testing.T) {
	t.Parallel()
	type steps = []struct {
		function, vendor string
		params           values
	}
	life := steps{
		{"create", "createacct", bluebird()},
		{"suspend", "suspendacct", values{"username": "bluebird", "reason": "unpaid"}},
		{"unsuspend", "unsuspendacct", values{"username": "bluebird"}},
		{"changePackage", "changepackage", values{"username": "bluebird", "package_name": "default"}},
		{"grantReseller", "setupreseller", values{"username": "bluebird"}},
		{"revokeReseller", "unsetupreseller", values{"username": "bluebird"}},
		{"terminate", "removeacct", values{"username": "bluebird"}},
	}
	for _, fault := range []string{"act and drop", "act and hang", "act and 500", "act and lie", "act and break", "drop", "500", "503"} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			c := newCaller(t)
			for i, step := range life {
				c.server.faults[step.vendor] = []string{fault}
				var unknown *provisioning.Unknown
				if _, err := c.run(step.function, step.params); !errors.As(err, &unknown) {
					t.Fatalf("%s: %v", step.function, err)
				}
				outcome, result := c.lookUp(step.function, step.params)
				if !strings.HasPrefix(fault, "act") {
					if outcome != provisioning.OutcomeAbsent {
						t.Fatalf("%s did nothing and was looked up as %s", step.function, outcome)
					}
					c.must(step.function, step.params)
					outcome, result = c.lookUp(step.function, step.params)
				}
				if outcome != provisioning.OutcomeDone || step.function != "terminate" && len(result.Data) == 0 {
					t.Fatalf("%s was looked up as %s: %v", step.function, outcome, result.Data)
				}
				if len(c.server.effects) != i+1 {
					t.Fatalf("effects after %s: %v", step.function, c.server.effects)
				}
			}
			c.clean("canary")
		})
	}
}

func TestOtherAnswers(t *testing.T) {
	t.Parallel()
	c := newCaller(t)
	c.must("create", bluebird())
	account := values{"username": "bluebird"}
	type told struct{ refused, later, unauthorised bool }
	for fault, want := range map[string]told{
		"401": {unauthorised: true}, "403": {unauthorised: true}, "408": {later: true}, "429": {later: true}, "redirect": {refused: true},
	} {
		c.server.faults["passwd"] = []string{fault}
		_, err := c.run("changePassword", values{"username": "bluebird", "password": "canary-long"})
		var refused *provisioning.Refused
		var later *provisioning.Later
		var unauthorised *provisioning.Unauthorised
		if got := (told{errors.As(err, &refused), errors.As(err, &later), errors.As(err, &unauthorised)}); got != want {
			t.Errorf("%s: %v", fault, err)
		}
		if later != nil && (later.After != 7*time.Second || later.Limit != (fault == "429")) {
			t.Errorf("%s: %+v", fault, later)
		}
	}
	// A login's answer that can't be read may hold the link.
	c.server.faults["create_user_session"] = []string{"act and break"}
	if _, err := c.run("login", account); err == nil {
		t.Error("a broken answer was taken for a link")
	}
	// An account of the same domain that somebody else made is not taken for this one.
	c.server.accounts["elsewho"] = &hosted{domain: "cafe.example", email: "stella@cafe.example", plan: "default"}
	params := bluebird()
	params["domain"], params["username"] = "cafe.example", "cafe"
	if outcome, _ := c.lookUp("create", params); outcome != provisioning.OutcomeUnknown {
		t.Errorf("another's account: %s", outcome)
	}
	// Before anything is done, what can't be read may be asked again.
	c.server.faults["getpkginfo"] = []string{"500"}
	params["domain"] = "bakery.example"
	var later *provisioning.Later
	if _, err := c.run("create", params); !errors.As(err, &later) {
		t.Errorf("a failing check of the package: %v", err)
	}
	if len(c.server.effects) != 2 { // createacct and the session
		t.Errorf("effects: %v", c.server.effects)
	}
	gone := c.server.URL
	c.server.Close()
	if _, err := c.run("suspend", account); !errors.As(err, &later) {
		t.Errorf("nobody at %s: %v", gone, err)
	}
	c.clean("canary")
}

func TestConnection(t *testing.T) {
	t.Parallel()
	c := newCaller(t)
	test := func() error {
		call, session := c.call("", nil)
		err := whm.Driver{}.Test(context.Background(), call)
		c.keep(session, err)
		return err
	}
	if err := test(); err != nil {
		t.Errorf("all is well: %v", err)
	}
	c.server.allowed = []string{"applist", "createacct", "accountsummary", "passwd"}
	if err := test(); err == nil || !strings.Contains(err.Error(), "removeacct") || strings.Contains(err.Error(), "passwd,") || !strings.Contains(err.Error(), "setupreseller") {
		t.Errorf("missing privileges: %v", err)
	}
	c.token = "WRONGCANARY0000"
	var unauthorised *provisioning.Unauthorised
	if err := test(); !errors.As(err, &unauthorised) {
		t.Errorf("a wrong token: %v", err)
	}
	c.clean("WRONGCANARY")
}
