package dev

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// demoPlan is one way of buying a product of the demo store. Without a cycle it is a one-off purchase.
type demoPlan struct {
	name        string
	cycle, term int // months
	price       int64
	paths       []string // "product/plan" that an owner may go to
}

// demoProducts are the demo store's catalogue, in order. pack is what creating one at a provider is told.
var demoProducts = []struct {
	name, description, category string
	pack                        map[string]any
	plans                       []demoPlan
}{
	{"Web hosting Start", "One website and 5 mailboxes.", "web-hosting", map[string]any{"package_name": "northwind_start"}, []demoPlan{
		{"One year", 12, 12, 4800, []string{"Web hosting Standard/One year", "Web hosting Standard/Two years"}},
	}},
	{"Web hosting Standard", "Five websites, 20 GB and 50 mailboxes.", "web-hosting", map[string]any{"package_name": "northwind_standard"}, []demoPlan{
		{"One year", 12, 12, 9600, []string{"Web hosting Start/One year", "Web hosting Business/One year"}},
		{"Two years", 24, 24, 16800, []string{"Web hosting Business/Two years"}},
	}},
	{"Web hosting Business", "Any number of websites, 100 GB, nightly copies.", "web-hosting", map[string]any{"package_name": "northwind_business"}, []demoPlan{
		{"One year", 12, 12, 24000, []string{"Web hosting Standard/One year"}},
		{"Two years", 24, 24, 43200, []string{"Web hosting Standard/Two years"}},
	}},
	{"Domain name", "One name under .example, with DNS.", "domain-names", nil, []demoPlan{{"One year", 12, 12, 1200, nil}}},
	{"Server, 4 cores, 8 GB", "A virtual server with 160 GB of disk.", "servers", map[string]any{"size": "c4-m8", "image": "debian-13"}, []demoPlan{
		{"One year, paid monthly", 1, 12, 3900, []string{"Server, 8 cores, 16 GB/One year, paid monthly"}},
	}},
	{"Server, 8 cores, 16 GB", "A virtual server with 320 GB of disk.", "servers", map[string]any{"size": "c8-m16", "image": "debian-13"}, []demoPlan{
		{"One year, paid monthly", 1, 12, 7400, []string{"Server, 4 cores, 8 GB/One year, paid monthly"}},
	}},
	{"Office tools", "Mail, calendar and documents under an own domain.", "office-tools", map[string]any{"plan": "office-basic"}, []demoPlan{{"6 mailboxes, one year", 12, 12, 21600, nil}}},
	{"Local search", "Keeps entries in maps and directories true.", "seo", map[string]any{"package_identifier": "local-1"}, []demoPlan{{"One year", 12, 12, 18000, nil}}},
	{"Website builder", "A website from building blocks.", "website-builders", map[string]any{"package_reference": "builder-5"}, []demoPlan{{"One year", 12, 12, 10800, nil}}},
	{"Picture library", "Photographs for websites, by one sign-in.", "auto-login", map[string]any{"package_identifier": "pictures-50"}, []demoPlan{{"One year, paid monthly", 1, 12, 900, nil}}},
	{"Control panel licence", "For a server of one's own.", "software-licenses", map[string]any{"package_identifier": "panel-pro"}, []demoPlan{{"One year, paid monthly", 1, 12, 1400, nil}}},
	{"Site migration", "We move a website here, with its mail.", "", nil, []demoPlan{{"Up to 10 GB", 0, 0, 14900, nil}}},
}

// demoOptions are what demoProducts can be bought with besides, by product, at a price a month.
var demoOptions = map[string][]struct {
	name  string
	price int64
}{
	"Web hosting Standard": {{"Daily backups", 200}, {"Dedicated IP address", 300}},
	"Web hosting Business": {{"Dedicated IP address", 300}},
}

// demoContract is what an account holder of the demo store bought. Without a term in its plan it is a one-off purchase.
type demoContract struct {
	by       string // e-mail of the account's owner
	status   string
	months   int // since when, before the store is loaded
	days     int
	products []demoBought // the first names the contract
	events   []demoDeed   // after create and activate
}

type demoBought struct {
	product, plan string
	fields        map[string]any
}

// demoDeed is something that somebody did to a contract, so long before the store is loaded.
type demoDeed struct {
	kind, by string
	ago      time.Duration
}

// demoContracts are in the order in which they were bought. Stella has one in every status.
var demoContracts = []demoContract{
	{bea, "active", 16, 4, []demoBought{{"Picture library", "One year, paid monthly", map[string]any{
		"username": "bluebird-bakery", "service_identifier": "pl-20417",
	}}}, nil},
	{bea, "active", 15, 20, []demoBought{{"Domain name", "One year", map[string]any{
		"domain": "bluebird-bakery.example", "ns1": "ns1.northwind.example", "ns2": "ns2.northwind.example",
	}}}, nil},
	{bea, "active", 13, 2, []demoBought{{"Local search", "One year", map[string]any{"domain": "shop.bluebird.example", "username": "ls-bluebird"}}}, nil},
	{bea, "active", 12, 11, []demoBought{{"Website builder", "One year", map[string]any{
		"account_reference": "wb-31877", "site_builder_user_id": "u-5521", "domain": "order.bluebird.example", "ip_address": "203.0.113.61",
	}}}, nil},
	{bea, "active", 11, 25, []demoBought{
		{"Server, 4 cores, 8 GB", "One year, paid monthly", map[string]any{
			"instance_id": "i-7f3a90c2", "label": "oven-1", "hostname": "oven-1.bluebird.example", "ip_address": "203.0.113.87", "location": "Stockholm", "state": "On",
		}},
		{"Control panel licence", "One year, paid monthly", map[string]any{"service_identifier": "cp-88120", "ip_address": "203.0.113.87", "customer_identifier": "bluebird"}},
	}, []demoDeed{{"suspend", priya, 62 * day}, {"unsuspend", priya, 61 * day}}},
	{bea, "active", 9, 3, []demoBought{{"Office tools", "6 mailboxes, one year", map[string]any{
		"service_id": "ot-4410", "customer_id": "c-2093", "domain": "mail.bluebird.example", "seat_count": 6, "seat_count_used": 5, "workspace_url": "https://mail.northwind.example",
	}}}, nil},
	{bea, "active", 8, 15, []demoBought{{"Web hosting Standard", "Two years", map[string]any{
		"domain": "bluebird.example", "username": "bluebird", "ip_address": "203.0.113.24", "server_hostname": "web-07.northwind.example",
		"nameservers": []any{"ns1.northwind.example", "ns2.northwind.example"},
	}}}, nil},
	{bea, "active", 8, 13, []demoBought{{"Site migration", "Up to 10 GB", map[string]any{"domain": "bluebird.example"}}}, nil},

	{stella, "ended", 27, 0, []demoBought{{"Web hosting Start", "One year", map[string]any{
		"domain": "corvid-archive.example", "username": "corvidarc", "ip_address": "203.0.113.19", "server_hostname": "web-03.northwind.example",
	}}}, []demoDeed{{"end", priya, 90 * day}}},
	{stella, "active", 13, 9, []demoBought{{"Web hosting Business", "One year", map[string]any{
		"domain": "corvid.example", "username": "corvid", "ip_address": "203.0.113.31", "server_hostname": "web-08.northwind.example",
		"nameservers": []any{"ns1.northwind.example", "ns2.northwind.example"},
	}}}, nil},
	{stella, "active", 13, 8, []demoBought{{"Domain name", "One year", map[string]any{
		"domain": "corvid-press.example", "ns1": "ns1.northwind.example", "ns2": "ns2.northwind.example",
	}}}, nil},
	{stella, "ended", 13, 6, []demoBought{{"Site migration", "Up to 10 GB", map[string]any{"domain": "corvid.example"}}}, []demoDeed{{"end", sam, 380 * day}}},
	{stella, "cancelled", 10, 0, []demoBought{{"Local search", "One year", map[string]any{"domain": "corvid.example", "username": "ls-corvid"}}},
		[]demoDeed{{"cancel", priya, 41 * day}}},
	{stella, "suspended", 7, 5, []demoBought{{"Server, 8 cores, 16 GB", "One year, paid monthly", map[string]any{
		"instance_id": "i-19bb02d7", "label": "press-1", "hostname": "press-1.corvid.example", "ip_address": "203.0.113.142", "location": "Stockholm", "state": "Off",
	}}}, []demoDeed{{"suspend", priya, 4 * day}}},
	{stella, "pending", 0, 1, []demoBought{{"Website builder", "One year", map[string]any{"domain": "shop.corvid.example"}}}, nil},

	{noor, "active", 9, 21, []demoBought{{"Web hosting Standard", "One year", map[string]any{
		"domain": "atelier.example", "username": "atelier", "ip_address": "203.0.113.40", "server_hostname": "web-07.northwind.example",
		"nameservers": []any{"ns1.northwind.example", "ns2.northwind.example"},
	}}}, nil},
	{noor, "active", 9, 20, []demoBought{{"Domain name", "One year", map[string]any{
		"domain": "atelier.example", "ns1": "ns1.northwind.example", "ns2": "ns2.northwind.example",
	}}}, nil},
}

const noor = "noor@atelier.example"

// loadContracts adds the catalogue and what everybody bought of it.
func loadContracts(ctx context.Context, tx pgx.Tx) error {
	plans, err := loadCatalogue(ctx, tx)
	if err != nil {
		return err
	}
	for i, c := range demoContracts {
		if err := loadContract(ctx, tx, i, c, plans); err != nil {
			return fmt.Errorf("add the contract for %s of %s: %w", c.products[0].product, c.by, err)
		}
	}
	return nil
}

// loadCatalogue returns the plans by "product/plan", with their products' ids.
func loadCatalogue(ctx context.Context, tx pgx.Tx) (map[string]loadedPlan, error) {
	plans := map[string]loadedPlan{}
	for i, p := range demoProducts {
		kind := "subscription"
		if p.plans[0].term == 0 {
			kind = "one-off"
		}
		var product string
		err := tx.QueryRow(ctx, "insert into products (name, description, category, kind, position) values ($1, $2, $3, $4, $5) returning id::text",
			p.name, p.description, p.category, kind, i).Scan(&product)
		if err != nil {
			return nil, fmt.Errorf("add the product %s: %w", p.name, err)
		}
		pack := p.pack
		if pack == nil {
			pack = map[string]any{}
		}
		for k, option := range demoOptions[p.name] {
			if _, err := tx.Exec(ctx, "insert into product_options (product_id, name, price_minor, position) values ($1, $2, $3, $4)", product, option.name, option.price, k); err != nil {
				return nil, fmt.Errorf("add the option %s of %s: %w", option.name, p.name, err)
			}
		}
		for k, plan := range p.plans {
			loaded := loadedPlan{demoPlan: plan, product: product, category: p.category, pack: pack}
			err := tx.QueryRow(ctx, `
				insert into plans (product_id, name, cycle_months, term_months, price_minor, package, position)
				values ($1, $2, nullif($3, 0), nullif($4, 0), $5, $6, $7) returning id::text`,
				product, plan.name, plan.cycle, plan.term, plan.price, pack, k).Scan(&loaded.id)
			if err != nil {
				return nil, fmt.Errorf("add the plan %s of %s: %w", plan.name, p.name, err)
			}
			plans[p.name+"/"+plan.name] = loaded
		}
	}
	for name, plan := range plans {
		for _, path := range plan.paths {
			if _, err := tx.Exec(ctx, "insert into plan_paths (from_id, to_id) values ($1, $2)", plan.id, plans[path].id); err != nil {
				return nil, fmt.Errorf("lay the path from %s to %s: %w", name, path, err)
			}
		}
	}
	return plans, nil
}

type loadedPlan struct {
	demoPlan
	id, product, category string
	pack                  map[string]any
}

func loadContract(ctx context.Context, tx pgx.Tx, number int, c demoContract, plans map[string]loadedPlan) error {
	var account string
	var today time.Time
	err := tx.QueryRow(ctx, `
		select au.account_id::text, (now() at time zone s.time_zone)::date
		from account_users au join users u on u.id = au.user_id, store s where u.email = $1`, c.by).Scan(&account, &today)
	if err != nil {
		return err
	}
	plan := plans[c.products[0].product+"/"+c.products[0].plan]
	start := today.AddDate(0, -c.months, -c.days)
	made := start.Add(9*time.Hour + time.Duration(number)*7*time.Minute)
	if c.status == "pending" {
		made = time.Now().Add(-20 * time.Hour)
	}
	// The next day of a cycle after today; of what is over, after its last cycle.
	next := func(months int) *time.Time {
		if months == 0 || c.status == "pending" {
			return nil
		}
		over := today
		for _, deed := range c.events {
			if deed.kind == "end" || deed.kind == "cancel" {
				over = today.Add(-deed.ago)
			}
		}
		at := start
		for n := 1; !at.After(over); n++ {
			at = start.AddDate(0, n*months, 0)
		}
		return &at
	}
	var contract *string
	starts := &start
	if c.status == "pending" {
		starts = nil
	}
	if plan.term > 0 {
		contract = new(string)
		err := tx.QueryRow(ctx, `
			insert into contracts (account_id, name, status, cycle_months, term_months, starts_on, renews_on, term_ends_on, created_at, updated_at)
			values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9) returning id::text`,
			account, c.products[0].product, c.status, plan.cycle, plan.term, starts, next(plan.cycle), next(plan.term), made).Scan(contract)
		if err != nil {
			return err
		}
	}
	var product string
	for i, bought := range c.products {
		plan := plans[bought.product+"/"+bought.plan]
		fields := map[string]any{}
		for _, from := range []map[string]any{plan.pack, bought.fields} {
			for name, value := range from {
				fields[name] = value
			}
		}
		var id string
		err := tx.QueryRow(ctx, `
			insert into contract_products (account_id, contract_id, product_id, plan_id, name, category, status, registered_on, renews_on, price_minor, fields, created_at, updated_at)
			values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12) returning id::text`,
			account, contract, plan.product, plan.id, bought.product, plan.category, c.status, starts, next(plan.cycle), plan.price, fields,
			made.Add(time.Duration(i)*time.Second)).Scan(&id)
		if err != nil {
			return err
		}
		if contract == nil {
			product = id
		}
	}
	deeds := []demoDeed{{"create", priya, time.Since(made)}}
	if c.status != "pending" {
		deeds = append(deeds, demoDeed{"activate", "", time.Since(made) - 4*time.Minute})
	}
	for _, deed := range append(deeds, c.events...) {
		_, err := tx.Exec(ctx, `
			insert into contract_events (contract_id, product_id, actor_id, actor_name, kind, at)
			select $1, nullif($2, '')::uuid, (select id from users where email = $3), coalesce((select name from users where email = $3), 'Portico'), $4, now() - $5::interval`,
			contract, product, deed.by, deed.kind, deed.ago)
		if err != nil {
			return err
		}
	}
	return nil
}
