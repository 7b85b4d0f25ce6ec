package main

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"portico/app/server/servertest"

	"github.com/google/uuid"
)

// classFunctions are functions of a server, one of each class.
var classFunctions = map[string]string{"R": "getInfo", "A": "login", "C": "reboot", "K": "console", "D": "reinstall", "L": "suspend"}

// runActors are the actors of policies/matrix-runs.csv that plays lacks.
var runActors = map[string]struct{ email, grant string }{
	"LE": {lee, ""},
	"UP": {"noor@atelier.example", "insert into account_users (account_id, user_id, relation, permissions) values (ACCOUNT, WHO, 'user', '{keys,destroy}') on conflict do nothing"},
	"CA": {devTeam, "insert into delegates (contract_id, user_id, status, invited_by_name, accepted_at) values (CONTRACT, WHO, 'accepted', '', now() - interval '1 day')"},
	"CN": {devTeam, "insert into delegates (contract_id, user_id, status, invited_by_name, accepted_at, may_act) values (CONTRACT, WHO, 'accepted', '', now() - interval '1 day', false)"},
	"CS": {devTeam, `with d as (insert into delegates (contract_id, user_id, status, invited_by_name, accepted_at) values (CONTRACT, WHO, 'accepted', '', now() - interval '1 day'))
		insert into provision_switches (product_id, action, kind) select id, action, 'delegates' from contract_products, unnest('{console,reinstall}'::text[]) as action where contract_id = CONTRACT`},
}

// TestRunMatrix asks as every actor for a function of every class, and for all else that runs are about, under a running, a suspended and
// a cancelled contract, and compares with the matrix. What is refused changes nothing.
func TestRunMatrix(t *testing.T) {
	t.Parallel()
	matrix := servertest.Read(t, "../../policies/matrix-runs.csv")
	s := start(t, options{idle: true})
	clients := map[string]*client{"": s.visitor()}
	clients[""].get("/sign-in").want(http.StatusOK)
	tokens := map[string]string{"": clients[""].token()}
	server := s.text("select id from provision_configurations where category = 'servers'")
	absent := map[string]string{}
	asked := 0
	for _, contract := range []string{"active", "suspended", "cancelled"} {
		for _, actor := range matrix.Actors {
			who, ok := runActors[actor]
			if !ok {
				who = plays[actor]
			}
			c := clients[who.email]
			if c == nil {
				c = s.signIn(who.email)
				clients[who.email], tokens[who.email] = c, c.token()
			}
			made := newThing(s, who.email, who.grant, "open", contract)
			s.exec(`update contract_products set category = 'servers', configuration_id = $2, status = 'active',
				fields = '{"instance_id": "i-1", "image": "debian-13", "hostname": "matrix.example"}' where contract_id = $1`, made.contract, server)
			product := s.text("select id from contract_products where contract_id = $1", made.contract)
			for _, row := range matrix.Rows {
				s.exec("truncate rate_limits")
				s.exec("update sessions set proved_at = now()")
				run := matrixRun(s, row.Permission, product, made.contract, or(who.email, bea))
				want := expectedOfRun(row.Permission, row.Says[actor], actor, contract)
				before := ""
				if want != http.StatusOK {
					before = runTally(s)
				}
				a := askRun(c, tokens[who.email], row.Permission, product, run, who.email)
				asked++
				if c.cookie("portico_flash") != "" {
					c.get("/no-such-page") // shows what was done, so that the next answer does not
				}
				got := a.status
				if got == http.StatusSeeOther {
					got = http.StatusOK
					if strings.HasPrefix(a.header.Get("Location"), "/sign-in") {
						got = http.StatusUnauthorized
					}
				}
				if got != want {
					t.Errorf("%s for %s under a contract that is %s: %d, want %d\n%s", row.Permission, actor, contract, a.status, want, a.words("main"))
				}
				if before != "" && runTally(s) != before {
					t.Errorf("%s for %s under a contract that is %s: refused, and yet something changed", row.Permission, actor, contract)
				}
				if want == http.StatusNotFound {
					key := row.Permission + " " + who.email
					if absent[key] == "" {
						absent[key] = bare(askRun(c, tokens[who.email], row.Permission, uuid.NewString(), uuid.NewString(), who.email))
					}
					if got := bare(a); got != absent[key] {
						t.Errorf("%s for %s differs from what never existed: %s", row.Permission, actor, firstDifference(got, absent[key]))
					}
				}
			}
			s.exec("delete from account_users au using users u where u.id = au.user_id and u.email = 'noor@atelier.example' and au.relation = 'user'")
		}
	}
	t.Logf("%d actors × %d capabilities × 3 statuses: %d requests", len(matrix.Actors), len(matrix.Rows), asked)
}

// matrixRun is a run of the product in the state that a row is about, asked for by the actor where it is about one's own.
func matrixRun(s *site, permission, product, contract, email string) string {
	s.t.Helper()
	made, err := uuid.NewV7()
	if err != nil {
		s.t.Fatal(err)
	}
	id, status, age, by := made.String(), "failed", "0", ada
	switch permission {
	case "own_result":
		status, by = "succeeded", email
	case "others_result":
		status = "succeeded"
		if email == ada {
			by = bea
		}
	case "earlier_state":
		age = "2 days"
	case "cancel":
		status = "queued"
	case "decide":
		status = "approval"
	}
	s.exec(`insert into provision_runs (id, product_id, product_name, account_id, account_name, contract_id, category, action, driver, configuration_id, actor_id, actor_name, actor_relation, delegate_id,
			operation_key, status, max_attempts, created_at, finished_at)
		select $1, p.id, p.name, p.account_id, 'Matrix', p.contract_id, p.category, 'login', 'sandbox', p.configuration_id, u.id, u.name, 'owner',
			(select d.id from delegates d where d.contract_id = $4 and d.user_id = u.id and d.status = 'accepted'), $1, $5, 8, now() - $6::interval,
			case when $5 in ('failed', 'succeeded') then now() end
		from contract_products p, users u where p.id = $2 and u.email = $3`, id, product, by, contract, status, age)
	if status == "succeeded" {
		s.exec("insert into provision_secrets (run_id, kind, user_id, sealed, expires_at) values ($1, 'result', $2, $3, now() + interval '1 minute')",
			id, s.userID(by), s.keys.Seal("provision-result", id, []byte(`{"login_url": "https://panel.example/once"}`)))
	}
	if permission == "debug" || permission == "logs" {
		s.exec("insert into provision_debug (run_id, attempt, data) values ($1, 1, '[]')", id)
		s.exec("insert into provision_attempts (run_id, attempt, started_at, outcome) values ($1, 1, now(), 'failed')", id)
	}
	return id
}

// expectedOfRun is the status of an answer: what the matrix says of a running contract, and the notes on statuses to it.
func expectedOfRun(permission string, says servertest.Says, actor, contract string) int {
	delegate := slices.Contains([]string{"CA", "CN", "CS"}, actor)
	if contract == "cancelled" && delegate && (says == servertest.Yes || says == servertest.Refused) {
		return http.StatusNotFound
	}
	switch says {
	case servertest.Refused:
		return http.StatusForbidden
	case servertest.Absent:
		return http.StatusNotFound
	case servertest.SignIn:
		return http.StatusUnauthorized
	}
	store := slices.Contains([]string{"SD", "SO", "AD"}, actor)
	_, runs := classFunctions[permission]
	if permission == "retry" {
		runs = true // of a login
	}
	switch {
	case runs && contract == "suspended" && !store && permission != "R", runs && contract == "cancelled" && !(store && permission == "R"):
		return http.StatusConflict
	}
	return http.StatusOK
}

// runTally is how much there is of what refused requests must not add to or change.
func runTally(s *site) string {
	return s.text(`select (select count(*) from provision_runs) || ' ' || (select count(*) from provision_runs where status = 'queued') || ' ' || (select count(*) from river_job)
		|| ' ' || (select count(*) from mail_deliveries) || ' ' || (select count(*) from audit_entries) || ' ' || (select count(*) from provision_secrets)
		|| ' ' || (select count(*) from provision_intents)`)
}

func askRun(c *client, token, permission, product, run, email string) *answer {
	c.t.Helper()
	store := strings.HasSuffix(email, "@northwind.example")
	admin := ""
	if store {
		admin = "/admin"
	}
	post := func(path string, form url.Values) *answer {
		return c.post(path, form, http.Header{"X-Csrf-Token": {token}})
	}
	form := url.Values{"form_token": {uuid.NewString()}}
	switch permission {
	case "own_result", "others_result":
		return post(admin+"/runs/"+run+"/result", url.Values{})
	case "others_state", "earlier_state":
		return c.get(admin + "/runs/" + run)
	case "decide":
		return post("/runs/"+run+"/decision", url.Values{})
	case "retry":
		return post("/admin/runs/"+run+"/retry", form)
	case "cancel":
		return post("/admin/runs/"+run+"/cancel", url.Values{})
	case "logs":
		return c.get("/admin/provisioning/logs/" + run)
	case "debug":
		return c.get("/admin/provisioning/logs/" + run + "/debug/1")
	case "configurations":
		return c.get("/admin/provisioning/configurations")
	case "fields":
		return c.get("/admin/manage/" + product + "/fields")
	}
	if store {
		form.Set("instance_id", "i-1")
	}
	if permission == "D" {
		form.Set("image", "debian-13")
		form.Set("confirm", "matrix.example")
	}
	return post(admin+"/manage/"+product+"/"+classFunctions[permission], form)
}
