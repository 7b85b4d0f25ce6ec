package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"portico/app/provisioning"
	driver "portico/app/provisioning/drivers/sandbox"
	"portico/app/provisioning/outbound"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

func TestSandboxAddr(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		value  string
		devRun bool
		want   string
		wrong  bool
	}{
		{"", true, anyLoopback, false}, {"", false, "", false}, {"on", false, anyLoopback, false}, {"off", true, "", false},
		{"127.0.0.1:8079", false, "127.0.0.1:8079", false}, {"[::1]:8079", false, "[::1]:8079", false},
		{"0.0.0.0:8079", false, "", true}, {"192.0.2.1:80", true, "", true}, {"yes", true, "", true}, {"localhost:80", true, "", true},
	} {
		got, err := sandboxAddr(c.value, c.devRun)
		var bad *badVariable
		if got != c.want || errors.As(err, &bad) != c.wrong {
			t.Errorf("%q (dev run %v): %q, %v", c.value, c.devRun, got, err)
		}
	}
}

// TestSandbox_SaysThatItIsOn: in production every page says so, and where it is off nothing is there.
func TestSandbox_SaysThatItIsOn(t *testing.T) {
	t.Parallel()
	for _, on := range []bool{true, false} {
		s := start(t, options{production: true, idle: true, empty: true, sandbox: on})
		page := s.visitor().get("/sign-in").want(http.StatusOK)
		if strings.Contains(page.body, `id="sandbox"`) != on {
			t.Errorf("the Sandbox is on: %v; the page says so: %v", on, !on)
		}
		if on != (s.sandbox != nil) {
			t.Errorf("on %v, and there is one: %v", on, s.sandbox != nil)
		}
		registry, err := provisioning.NewRegistry(s.drivers(s.url)...)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := registry.Driver("sandbox"); on != (err == nil) {
			t.Errorf("on %v, and its driver: %v", on, err)
		}
		if !on {
			continue
		}
		answer, err := http.Get(s.sandboxURL + "/panel")
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			t.Errorf("its control panel answers %d", answer.StatusCode)
		}
	}
}

// TestSandbox_KnowsTheDemoStore: what the demo store's people bought is at the Sandbox, under the fields that are stored with it.
func TestSandbox_KnowsTheDemoStore(t *testing.T) {
	t.Parallel()
	s := start(t, options{idle: true})
	type bought struct {
		ID, Category string
		Fields       map[string]any
	}
	rows, err := s.pool.Query(t.Context(), `
		select id::text, category, fields from contract_products where status = 'active' and category <> '' and configuration_id is not null`)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByName[bought])
	if err != nil {
		t.Fatal(err)
	}
	policy, err := outbound.ParsePolicy(outbound.Loopback)
	if err != nil {
		t.Fatal(err)
	}
	client := outbound.New(policy, nil)
	driver := driver.Driver{URL: s.sandboxURL}
	reads := map[string]string{
		"web-hosting": "usage", "domain-names": "getInfo", "auto-login": "login", "seo": "login", "website-builders": "getInfo", "software-licenses": "usage",
		"servers": "getInfo", "office-tools": "getInfo",
	}
	seen := map[string]bool{}
	for _, b := range all {
		seen[b.Category] = true
		category, _ := provisioning.CategoryOf(b.Category)
		if sealed, ok := b.Fields["license_key"].(map[string]any); ok {
			raw, err := base64.StdEncoding.DecodeString(sealed["sealed"].(string))
			if err != nil {
				t.Fatal(err)
			}
			plain, err := s.keys.Open("provision-field", b.ID+"/license_key", raw)
			if err != nil {
				t.Fatal(err)
			}
			var opened struct{ Value string }
			if err := json.Unmarshal(plain, &opened); err != nil {
				t.Fatal(err)
			}
			b.Fields["license_key"] = opened.Value
		}
		if _, err := provisioning.Validate(category.Fields, b.Fields); err != nil {
			t.Errorf("%s: the stored fields %v: %v", b.Category, b.Fields, err)
		}
		f, _ := category.Function(reads[b.Category])
		params, err := provisioning.SystemParams(f, nil, b.Fields)
		if err != nil {
			t.Errorf("%s %s: %v", b.Category, f.Name, err)
			continue
		}
		result, err := driver.Call(t.Context(), provisioning.Call{
			Category: b.Category, Function: f.Name, Key: uuid.NewString(), ProductID: b.ID, Params: params,
			Settings: map[string]any{"token": "long-enough"}, Client: client.Open(outbound.Options{}).Client(),
		})
		if err != nil {
			t.Errorf("%s %s of %v: %v", b.Category, f.Name, b.Fields, err)
			continue
		}
		data, err := provisioning.CheckResult(f, result.Data)
		if err != nil {
			t.Errorf("%s %s: %v", b.Category, f.Name, err)
		}
		for field, value := range provisioning.Changes(f, params, data) {
			if !reflect.DeepEqual(value, b.Fields[field]) && field != "units_consumed" && field != "seat_count_used" && field != "control_panel_url" && field != "workspace_url" {
				t.Errorf("%s: %s is %v here and %v at the Sandbox", b.Category, field, b.Fields[field], value)
			}
		}
	}
	if len(seen) != len(provisioning.Categories()) {
		t.Errorf("bought of %d categories only", len(seen))
	}
}
