package dev

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"portico/app/db"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// fewRuns are enough to see every status; monthOfRuns for the filters of the logs to be worth using.
	fewRuns     = 40
	monthOfRuns = 4200
)

// demoAction is something that is run for products of a category every so often. Texts may name {domain}, {username}, {host} and
// {size}.
type demoAction struct {
	name, method, path string
	params             map[string]any
	request, answer    string
	message            string
	weight             int // how often, compared with the others of its category
	by                 string
	typical            time.Duration
	failures           []demoFailure
}

// demoFailure is a way in which an action fails.
type demoFailure struct {
	family, message, detail string
	status                  int // of the provider's answer; 0: none came
	answer                  string
	unknown                 bool
}

// Who runs demo actions.
const (
	byOwner  = "owner"
	byStaff  = "staff"
	bySystem = "system"
)

var (
	busy      = demoFailure{"", "The provider is busy. It is tried again.", "503 Service Unavailable: backup in progress", 503, `{"error":"backup in progress"}`, false}
	tooOften  = demoFailure{"limit", "The provider allows no more of these today.", "429: daily limit of 50 changes reached", 429, `{"error":"daily limit of 50 changes reached"}`, false}
	noAccount = demoFailure{"missing", "The provider does not know this account.", "404: no account named {username} on {host}", 404, `{"error":"no account named {username}"}`, false}
	silent    = demoFailure{"", "The provider did not say whether it worked.", "connection closed after 30.000 s, 0 bytes read", 0, "", true}
	locked    = demoFailure{"state", "The domain name is locked at the registry.", "2304 Object status prohibits operation: clientUpdateProhibited", 409, `{"code":2304,"msg":"Object status prohibits operation"}`, false}
	weak      = demoFailure{"invalid", "The password is too easy to guess.", "password strength 41, at least 65 is needed", 422, `{"error":"password strength 41, at least 65 is needed"}`, false}
	noFunds   = demoFailure{"billing", "This can’t be done right now. We have been told.", "account balance 3.20 EUR, 9.60 EUR needed", 402, `{"error":"insufficient balance"}`, false}
)

// demoActions are the actions of each category, as its products see them in a month.
var demoActions = map[string][]demoAction{
	"web-hosting": {
		{"usage", "GET", "/v1/web-hosting/usage", nil, "", `{"disk_bytes":12562104320,"disk_limit_bytes":21474836480,"bandwidth_bytes":48318382080}`, "Usage of {domain} read", 40, bySystem, 600 * time.Millisecond, []demoFailure{busy, noAccount}},
		{"getInfo", "GET", "/v1/web-hosting/account", nil, "", `{"username":"{username}","domain":"{domain}","suspended":false,"server":"{host}"}`, "Account {username} is active on {host}", 14, bySystem, 500 * time.Millisecond, []demoFailure{busy}},
		{"login", "POST", "/v1/web-hosting/login", map[string]any{}, `{"username":"{username}"}`, `{"url":"[redacted]","expires_in":60}`, "Login handed out", 22, byOwner, 800 * time.Millisecond, []demoFailure{busy, noAccount}},
		{"changePassword", "POST", "/v1/web-hosting/password", map[string]any{}, `{"username":"{username}","password":"[redacted]"}`, `{"ok":true}`, "Password changed", 5, byOwner, 1900 * time.Millisecond, []demoFailure{weak, busy, silent}},
		{"changePackage", "POST", "/v1/web-hosting/package", map[string]any{"package_name": "northwind_standard"}, `{"username":"{username}","package":"northwind_standard"}`, `{"ok":true,"package":"northwind_standard"}`, "Package is now northwind_standard", 2, byStaff, 2300 * time.Millisecond, []demoFailure{tooOften}},
		{"suspend", "POST", "/v1/web-hosting/suspend", map[string]any{"reason": "Invoice overdue"}, `{"username":"{username}","reason":"Invoice overdue"}`, `{"ok":true}`, "{domain} is suspended", 1, bySystem, 1100 * time.Millisecond, []demoFailure{noAccount}},
		{"unsuspend", "POST", "/v1/web-hosting/unsuspend", map[string]any{}, `{"username":"{username}"}`, `{"ok":true}`, "{domain} is back", 1, bySystem, 1200 * time.Millisecond, nil},
	},
	"domain-names": {
		{"getStatus", "GET", "/v1/domains/status", nil, "", `{"domain":"{domain}","status":["ok"],"expires":"2027-08-09"}`, "{domain} is registered and active", 20, bySystem, 400 * time.Millisecond, []demoFailure{busy}},
		{"updateNameservers", "PUT", "/v1/domains/nameservers", map[string]any{"nameservers": []string{"ns1.northwind.example", "ns2.northwind.example"}}, `{"domain":"{domain}","ns":["ns1.northwind.example","ns2.northwind.example"]}`, `{"ok":true}`, "ns1 and ns2.northwind.example set", 4, byOwner, 1200 * time.Millisecond, []demoFailure{locked, busy}},
		{"getDnsRecords", "GET", "/v1/domains/records", nil, "", `{"records":[{"name":"@","type":"A","content":"203.0.113.24","ttl":3600},{"name":"@","type":"MX","content":"10 mail.northwind.example","ttl":3600}]}`, "2 records read", 12, byOwner, 300 * time.Millisecond, nil},
		{"addDnsRecord", "POST", "/v1/domains/records", map[string]any{"name": "_dmarc", "type": "TXT", "content": "v=DMARC1; p=quarantine", "ttl": 3600}, `{"name":"_dmarc","type":"TXT","content":"v=DMARC1; p=quarantine","ttl":3600}`, `{"ok":true}`, "1 record added", 4, byStaff, 300 * time.Millisecond, []demoFailure{tooOften}},
		{"renew", "POST", "/v1/domains/renew", map[string]any{"renew_years": 1}, `{"domain":"{domain}","years":1}`, `{"ok":true,"expires":"2027-12-03"}`, "Renewed until 3 December 2027", 1, bySystem, 2600 * time.Millisecond, []demoFailure{noFunds, silent}},
	},
	"servers": {
		{"getInfo", "GET", "/v1/servers/instance", nil, "", `{"label":"{username}","state":"running","cpu":0.21,"memory_bytes":5368709120}`, "Running", 24, bySystem, 450 * time.Millisecond, []demoFailure{busy}},
		{"reboot", "POST", "/v1/servers/reboot", map[string]any{}, `{"instance":"{username}"}`, `{"task":"t-5502"}`, "Rebooted", 3, byOwner, 15200 * time.Millisecond, []demoFailure{silent, busy}},
		{"login", "POST", "/v1/servers/login", map[string]any{}, `{"instance":"{username}"}`, `{"url":"[redacted]"}`, "Login handed out", 6, byOwner, 700 * time.Millisecond, nil},
		{"resize", "POST", "/v1/servers/resize", map[string]any{"size": "c8-m16"}, `{"size":"c8-m16"}`, `{"task":"t-5519"}`, "Size is now c8-m16", 1, byStaff, 41 * time.Second, []demoFailure{tooOften}},
	},
	"software-licenses": {
		{"usage", "GET", "/v1/licenses/usage", nil, "", `{"accounts":14,"limit":100}`, "14 of 100 accounts used", 20, bySystem, 350 * time.Millisecond, []demoFailure{busy}},
		{"reissue", "POST", "/v1/licenses/reissue", map[string]any{}, `{"ip":"203.0.113.87"}`, `{"ok":true,"key":"[redacted]"}`, "Licence issued again", 1, byStaff, 900 * time.Millisecond, nil},
	},
	"seo":              {{"login", "POST", "/v1/seo/login", map[string]any{}, `{"username":"{username}"}`, `{"url":"[redacted]"}`, "Login handed out", 3, byOwner, 600 * time.Millisecond, []demoFailure{busy}}},
	"auto-login":       {{"login", "POST", "/v1/auto-login/login", map[string]any{}, `{"username":"{username}"}`, `{"url":"[redacted]"}`, "Login handed out", 4, byOwner, 500 * time.Millisecond, nil}},
	"website-builders": {{"login", "POST", "/v1/website-builders/login", map[string]any{}, `{"account":"{username}"}`, `{"url":"[redacted]"}`, "Login handed out", 6, byOwner, 700 * time.Millisecond, []demoFailure{noAccount}}},
	"office-tools": {
		{"getInfo", "GET", "/v1/office-tools/service", nil, "", `{"domain":"{domain}","seats":6,"used":5}`, "5 of 6 mailboxes used", 10, bySystem, 400 * time.Millisecond, []demoFailure{busy}},
		{"login", "POST", "/v1/office-tools/login", map[string]any{}, `{"domain":"{domain}"}`, `{"url":"[redacted]"}`, "Login handed out", 5, byOwner, 600 * time.Millisecond, nil},
	},
}

// demoTarget is a product for which demo actions run.
type demoTarget struct {
	ID                string
	Name              string
	Category          string
	AccountID         string
	AccountName       string
	ContractID        *string
	ConfigurationID   *string
	ConfigurationName string
	Driver            string
	Domain            string
	Username          string
	Host              string
	OwnerID           string
	OwnerName         string
	Since             time.Time
}

// LoadMonth adds a month of runs to the demo store, as its products would have had them. It does nothing where there are many runs.
func LoadMonth(ctx context.Context, pool *pgxpool.Pool) error {
	return db.InTx(ctx, pool, func(tx pgx.Tx) error {
		var many bool
		if err := tx.QueryRow(ctx, "select count(*) > $1 from (select from provision_runs limit $1 + 1) as r", fewRuns*2).Scan(&many); err != nil || many {
			return err
		}
		return loadRuns(ctx, tx, monthOfRuns, 2)
	})
}

// loadRuns adds n finished runs of the last 30 days, with attempts and debug data. The same seed gives the same runs.
func loadRuns(ctx context.Context, tx pgx.Tx, n int, seed uint64) error {
	targets, err := db.All[demoTarget](ctx, tx, `
		select p.id::text, p.name, p.category, p.account_id::text, a.name as account_name, p.contract_id::text, p.configuration_id::text,
			coalesce(g.name, '') as configuration_name, coalesce(g.driver, 'sandbox') as driver,
			coalesce(p.fields ->> 'domain', p.fields ->> 'hostname', p.fields ->> 'domain_name', '') as domain,
			coalesce(p.fields ->> 'username', p.fields ->> 'label', p.fields ->> 'account_reference', '') as username,
			coalesce(p.fields ->> 'server_hostname', 'the server') as host, u.id::text as owner_id, u.name as owner_name, p.created_at as since
		from contract_products p join accounts a on a.id = p.account_id
			join lateral (select user_id from account_users where account_id = a.id and relation = 'owner' limit 1) au on true
			join users u on u.id = au.user_id left join provision_configurations g on g.id = p.configuration_id
		where p.category <> '' and p.status in ('active', 'suspended') order by p.created_at, p.id`)
	if err != nil {
		return fmt.Errorf("list the products to run actions for: %w", err)
	}
	if len(targets) == 0 {
		return nil
	}
	staff, err := db.All[struct{ ID, Name, Role string }](ctx, tx, "select id::text, name, role from users where email in ($1, $2) order by email", ada, sam)
	if err != nil {
		return fmt.Errorf("find who runs actions: %w", err)
	}
	for month := range 2 {
		if _, err := tx.Exec(ctx, "select provision_month(now() - $1 * interval '1 month')", month); err != nil {
			return fmt.Errorf("make partitions: %w", err)
		}
	}
	random := rand.New(rand.NewPCG(seed, seed))
	now := time.Now().UTC().Truncate(time.Millisecond)
	times := make([]time.Time, n)
	for i := range times {
		times[i] = demoMoment(random, now)
	}
	slices.SortFunc(times, time.Time.Compare)
	var runs, attempts, debug [][]any
	for _, at := range times {
		target := targets[random.IntN(len(targets))]
		actions := demoActions[target.Category]
		if len(actions) == 0 || at.Before(target.Since) {
			continue
		}
		run := newDemoRun(random, target, pickAction(random, actions), at, now, staff)
		runs = append(runs, run.row())
		attempts, debug = append(attempts, run.attempts...), append(debug, run.debug...)
	}
	for _, table := range []struct {
		name    string
		columns []string
		rows    [][]any
	}{
		{"provision_runs", demoRunColumns, runs},
		{"provision_attempts", []string{"run_id", "attempt", "started_at", "finished_at", "outcome", "message", "detail", "next_at"}, attempts},
		{"provision_debug", []string{"run_id", "attempt", "data"}, debug},
	} {
		if _, err := tx.CopyFrom(ctx, pgx.Identifier{table.name}, table.columns, pgx.CopyFromRows(table.rows)); err != nil {
			return fmt.Errorf("load %s: %w", table.name, err)
		}
	}
	return nil
}

// demoMoment is a moment of the last 30 days: more by day than by night, and on the whole more lately.
func demoMoment(random *rand.Rand, now time.Time) time.Time {
	for {
		at := now.Add(-time.Duration(random.Float64() * random.Float64() * float64(30*day))).Add(-10 * time.Minute)
		hour := at.Hour()
		if hour >= 6 && hour < 20 || random.IntN(3) == 0 {
			return at.Truncate(time.Millisecond)
		}
	}
}

func pickAction(random *rand.Rand, actions []demoAction) demoAction {
	sum := 0
	for _, action := range actions {
		sum += action.weight
	}
	at := random.IntN(sum)
	for _, action := range actions {
		if at -= action.weight; at < 0 {
			return action
		}
	}
	return actions[0]
}

var demoRunColumns = []string{
	"id", "product_id", "product_name", "account_id", "account_name", "contract_id", "category", "action", "driver", "configuration_id", "configuration_name",
	"actor_id", "actor_name", "actor_relation", "operation_key", "cause", "params", "domain", "username", "status", "unknown_outcome", "error_family", "message",
	"attempts", "max_attempts", "created_at", "started_at", "finished_at", "duration_ms",
}

// demoRun is a run with its attempts, as rows.
type demoRun struct {
	id, key                    uuid.UUID
	target                     demoTarget
	action                     demoAction
	actorID                    *string
	actorName, relation, cause string
	status, family, message    string
	unknown                    bool
	at, started, finished      time.Time
	tries                      int
	spent                      time.Duration
	random                     *rand.Rand
	attempts, debug            [][]any
}

const demoMaxAttempts = 8

func newDemoRun(random *rand.Rand, target demoTarget, action demoAction, at, now time.Time, staff []struct{ ID, Name, Role string }) *demoRun {
	r := &demoRun{id: demoID(random, at), key: demoID(random, at), target: target, action: action, at: at, random: random}
	r.key[6] = r.key[6]&0x0f | 0x40
	switch {
	case action.by == bySystem && random.IntN(12) > 0:
		r.actorName, r.relation, r.cause = "Portico", "system", "schedule"
	case action.by == byOwner && random.IntN(5) > 0:
		r.actorID, r.actorName, r.relation = &target.OwnerID, target.OwnerName, "owner"
	default:
		who := staff[random.IntN(len(staff))]
		r.actorID, r.actorName, r.relation = &who.ID, who.Name, who.Role
	}
	r.started = at.Add(time.Duration(20+random.IntN(400)) * time.Millisecond)
	clock := r.started
	// A bad morning of the provider three days ago, and a few per cent of failures else.
	chance := 0.035
	if ago := now.Sub(at); ago > 72*time.Hour && ago < 76*time.Hour {
		chance = 0.6
	}
	end := "succeeded"
	if random.IntN(120) == 0 {
		r.status, r.message, r.finished = "cancelled", "Cancelled by "+staff[0].Name, at.Add(time.Duration(5+random.IntN(50))*time.Second)
		return r
	}
	if len(action.failures) > 0 && random.Float64() < chance {
		failure := action.failures[random.IntN(len(action.failures))]
		final := failure != busy
		if !final {
			waits := 1 + random.IntN(3)
			for range waits {
				clock = r.try(clock, &failure, "retry", time.Duration(30+random.IntN(90))*time.Second)
			}
			if random.IntN(4) == 0 {
				end, r.message = "failed", "The provider was busy each time. Please try again later."
				clock = r.try(clock, &failure, "failed", 0)
			}
		} else {
			outcome := "failed"
			if failure.unknown {
				outcome = "unknown"
			}
			end, r.family, r.message, r.unknown = "failed", failure.family, r.fill(failure.message), failure.unknown
			clock = r.try(clock, &failure, outcome, 0)
		}
	}
	if end == "succeeded" {
		clock = r.try(clock, nil, "succeeded", 0)
		r.message = r.fill(action.message)
	}
	r.status, r.finished = end, clock
	return r
}

// try adds an attempt and returns when the next one begins, or when this one ended if there is none.
func (r *demoRun) try(at time.Time, failure *demoFailure, outcome string, pause time.Duration) time.Time {
	r.tries++
	length := time.Duration(float64(r.action.typical) * (0.6 + r.random.ExpFloat64()*0.5)).Truncate(time.Millisecond)
	status, answer, message, detail, broken := 200, r.action.answer, r.action.message, "", ""
	if failure != nil {
		status, answer, message, detail = failure.status, failure.answer, failure.message, failure.detail
		if status == 0 {
			length, broken = 30*time.Second, "connection closed, 0 bytes read"
		}
	}
	end := at.Add(length)
	r.spent += length
	var next *time.Time
	if pause > 0 {
		then := end.Add(pause)
		next = &then
	}
	r.attempts = append(r.attempts, []any{r.id, r.tries, at, end, outcome, r.fill(message), r.fill(detail), next})
	exchange := map[string]any{
		"method": r.action.method, "url": "http://127.0.0.1/sandbox" + r.action.path, "started_at": at, "duration_ms": length.Milliseconds(),
		"request_headers": map[string]string{"Accept": "application/json", "User-Agent": "Portico"},
	}
	if r.action.request != "" {
		exchange["request_body"] = r.fill(r.action.request)
		exchange["request_headers"] = map[string]string{"Accept": "application/json", "Content-Type": "application/json", "User-Agent": "Portico"}
	}
	if status > 0 {
		exchange["status"], exchange["response_body"] = status, r.fill(answer)
		exchange["response_headers"] = map[string]string{"Content-Type": "application/json", "Date": end.Format(time.RFC1123)}
	} else {
		exchange["error"] = broken
	}
	raw, err := json.Marshal([]any{exchange})
	if err != nil {
		panic(err) // it holds texts, numbers and times
	}
	r.debug = append(r.debug, []any{r.id, r.tries, raw})
	if next != nil {
		return *next
	}
	return end
}

func (r *demoRun) fill(text string) string {
	return strings.NewReplacer("{domain}", r.target.Domain, "{username}", r.target.Username, "{host}", r.target.Host).Replace(text)
}

func (r *demoRun) row() []any {
	params := r.action.params
	if params == nil {
		params = map[string]any{}
	}
	raw, err := json.Marshal(params)
	if err != nil {
		panic(err)
	}
	var started *time.Time
	var spent *int
	if r.tries > 0 {
		ms := int(r.spent.Milliseconds())
		started, spent = &r.started, &ms
	}
	t := r.target
	return []any{
		r.id, t.ID, t.Name, t.AccountID, t.AccountName, t.ContractID, t.Category, r.action.name, t.Driver, t.ConfigurationID, t.ConfigurationName,
		r.actorID, r.actorName, r.relation, r.key, r.cause, raw, t.Domain, t.Username, r.status, r.unknown, r.family, r.message,
		r.tries, demoMaxAttempts, r.at, started, r.finished, spent,
	}
}

// demoID is an id of version 7 for a moment.
func demoID(random *rand.Rand, at time.Time) uuid.UUID {
	var id uuid.UUID
	ms := at.UnixMilli()
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	for i := 6; i < 16; i++ {
		id[i] = byte(random.UintN(256))
	}
	id[6] = id[6]&0x0f | 0x70
	id[8] = id[8]&0x3f | 0x80
	return id
}
