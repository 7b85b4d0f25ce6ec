package dev

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"portico/app/keys"
	"portico/app/sandbox"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// demoConfigurations are the provision configurations of the demo store, all of the Sandbox. The first of a category is the one its
// products use, the others show how a provider can go wrong.
var demoConfigurations = []struct {
	category, name string
	settings       map[string]any
}{
	{"web-hosting", "Sandbox web hosting", map[string]any{"work": 5}},
	{"web-hosting", "Sandbox web hosting, fails twice", map[string]any{"work": 5, "fault": "unavailable", "tries": 2}},
	{"web-hosting", "Sandbox web hosting, refuses everything", map[string]any{"work": 5, "fault": "refuse"}},
	{"web-hosting", "Sandbox web hosting, slow", map[string]any{"work": 5, "slow": 8}},
	{"web-hosting", "Sandbox web hosting, loses its answers", map[string]any{"work": 5, "fault": "act-then-drop", "tries": 1}},
	{"domain-names", "Sandbox registry", map[string]any{"work": 10}},
	{"auto-login", "Sandbox sign-in", map[string]any{"work": 5}},
	{"seo", "Sandbox search", map[string]any{"work": 5}},
	{"website-builders", "Sandbox site builder", map[string]any{"work": 5}},
	{"software-licenses", "Sandbox licenses", map[string]any{"work": 5}},
	{"servers", "Sandbox servers", map[string]any{"work": 8}},
	{"office-tools", "Sandbox office", map[string]any{"work": 5}},
}

// demoRef is the provision field by which the Sandbox knows a product of each category.
var demoRef = map[string]string{
	"web-hosting": "username", "domain-names": "domain", "auto-login": "username", "seo": "username", "website-builders": "account_reference",
	"software-licenses": "service_identifier", "servers": "instance_id", "office-tools": "service_id",
}

// demoState says where the Sandbox keeps under another name what a provision field holds.
var demoState = map[string]map[string]string{
	"web-hosting":       {"ip_address": "ip"},
	"website-builders":  {"domain": "domain_name"},
	"software-licenses": {"ip_address": "ip"},
}

// loadSandbox gives every bought product a configuration and, at the Sandbox, what it is about.
func loadSandbox(ctx context.Context, tx pgx.Tx, pool *pgxpool.Pool, ring *keys.Ring) error {
	used := map[string]string{}
	for _, c := range demoConfigurations {
		var id string
		if err := tx.QueryRow(ctx, "insert into provision_configurations (name, driver, category, settings) values ($1, 'sandbox', $2, $3) returning id::text",
			c.name, c.category, c.settings).Scan(&id); err != nil {
			return fmt.Errorf("add the configuration %s: %w", c.name, err)
		}
		secret, err := json.Marshal(map[string]any{"token": "northwind-" + base64.RawURLEncoding.EncodeToString(keys.Random(12))})
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "update provision_configurations set secrets = $2 where id = $1", id, ring.Seal("provision-settings", id, secret)); err != nil {
			return fmt.Errorf("seal the configuration %s: %w", c.name, err)
		}
		if used[c.category] == "" {
			used[c.category] = id
		}
	}
	for category, id := range used {
		if _, err := tx.Exec(ctx, "update products set configuration_id = $2 where category = $1", category, id); err != nil {
			return fmt.Errorf("configure %s: %w", category, err)
		}
		if _, err := tx.Exec(ctx, "update contract_products set configuration_id = $2 where category = $1", category, id); err != nil {
			return fmt.Errorf("configure what was bought of %s: %w", category, err)
		}
	}
	rows, err := tx.Query(ctx, `
		select id::text, category, status, fields, created_at, renews_on from contract_products
		where category <> '' and status in ('active', 'suspended') order by created_at, id`)
	if err != nil {
		return fmt.Errorf("read what was bought: %w", err)
	}
	bought, err := pgx.CollectRows(rows, pgx.RowToStructByName[boughtThing])
	if err != nil {
		return fmt.Errorf("read what was bought: %w", err)
	}
	provider := sandbox.New(pool, ring, "")
	for _, b := range bought {
		if err := b.load(ctx, tx, provider, ring); err != nil {
			return fmt.Errorf("load %s of the sandbox: %w", b.Category, err)
		}
	}
	return nil
}

type boughtThing struct {
	ID        string
	Category  string
	Status    string
	Fields    map[string]any
	CreatedAt time.Time
	RenewsOn  *time.Time
}

func (b boughtThing) load(ctx context.Context, tx pgx.Tx, provider *sandbox.Provider, ring *keys.Ring) error {
	suspended := b.Status == "suspended"
	state := map[string]any{}
	for name, value := range b.Fields {
		if other := demoState[b.Category][name]; other != "" {
			name = other
		}
		state[name] = value
	}
	state["suspended"] = suspended
	password := ""
	switch b.Category {
	case "web-hosting":
		password, state["location"], state["reseller"] = DemoPassword, "Stockholm", false
	case "domain-names":
		if b.RenewsOn != nil {
			state["expires_at"] = b.RenewsOn.UTC().Format(time.RFC3339)
		}
	case "servers":
		password, state["node"], state["virtualization_type"] = DemoPassword, "node-2", "kvm"
		state["state"] = map[bool]string{true: "Off", false: "On"}[suspended]
		state["target"] = state["state"]
	case "office-tools":
		if b.RenewsOn != nil {
			state["expiry_date"] = b.RenewsOn.Format(time.DateOnly)
		}
	}
	info, err := provider.Remember(ctx, tx, sandbox.Thing{
		Category: b.Category, Ref: fmt.Sprint(b.Fields[demoRef[b.Category]]), Product: b.ID, State: state, Password: password, Since: b.CreatedAt,
	})
	if err != nil {
		return err
	}
	fields := maps.Clone(b.Fields)
	take := func(names ...string) {
		for _, name := range names {
			if value, ok := info[name]; ok {
				fields[name] = value
			}
		}
	}
	switch b.Category {
	case "web-hosting":
		take("suspended", "location")
		fields["is_reseller"] = false
	case "domain-names":
		take("expires_at", "locked", "whois_privacy", "auto_renew")
		fields["registry_status"], fields["registry_id"], fields["dnssec"] = "active", info["id"], false
	case "software-licenses":
		plain, err := json.Marshal(map[string]any{"value": info["license_key"]})
		if err != nil {
			return err
		}
		sealed := ring.Seal("provision-field", b.ID+"/license_key", plain)
		fields["license_key"] = map[string]any{"sealed": base64.StdEncoding.EncodeToString(sealed)}
		fields["suspended"] = suspended
	case "servers":
		take("state", "suspended", "node", "virtualization_type")
	case "office-tools":
		take("seat_count_used", "status", "expiry_date")
	default:
		fields["suspended"] = suspended
	}
	_, err = tx.Exec(ctx, "update contract_products set fields = $2 where id = $1", b.ID, fields)
	return err
}
