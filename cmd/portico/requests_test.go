package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"portico/app/server"
	"portico/app/server/servertest"

	"github.com/google/uuid"
)

func actorNamed(t *testing.T, name string) servertest.Actor {
	t.Helper()
	for _, actor := range servertest.Actors {
		if actor.Name == name {
			return actor
		}
	}
	t.Fatalf("there is no actor %s", name)
	return servertest.Actor{}
}

// doer is who may ask for a route: a visitor, somebody who owes the second factor, else an admin, and what admins may not do an owner.
func doer(matrix servertest.Matrix, route server.Route) string {
	switch route.Permission {
	case server.Public, server.Signed:
		return "AN"
	case server.Waiting:
		return "WF"
	}
	if row, ok := matrix.Row(route.Permission); ok && row.Says["AD"] != servertest.Yes {
		return "OW"
	}
	return "AD"
}

// TestForms_OfOtherSessionsAndSites: every route that changes something takes only forms which this session was shown, by a
// page of ours.
func TestForms_OfOtherSessionsAndSites(t *testing.T) {
	t.Parallel()
	matrix := servertest.Read(t, matrixFile)
	for _, name := range []string{"AN", "WF", "AD", "OW"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWalk(t, actorNamed(t, name))
			foreign := w.site.signIn("stella@corvid.example").token()
			if name == "AN" {
				foreign = w.site.visitor().token()
			}
			asked := 0
			for _, route := range server.Routes(server.Handlers{}, true) {
				if route.Method == http.MethodGet || doer(matrix, route) != name {
					continue
				}
				own := w.formToken()
				for fault, header := range map[string]http.Header{
					"no token":                   {},
					"token of another":           {"X-Csrf-Token": {foreign}},
					"half a token":               {"X-Csrf-Token": {own[:20]}},
					"from another site":          {"X-Csrf-Token": {own}, "Sec-Fetch-Site": {"cross-site"}},
					"from another host":          {"X-Csrf-Token": {own}, "Sec-Fetch-Site": {"same-site"}},
					"from another origin":        {"X-Csrf-Token": {own}, "Origin": {"https://evil.example"}},
					"from nowhere (sandboxed)":   {"X-Csrf-Token": {own}, "Origin": {"null"}},
					"no token, by htmx":          {"Hx-Request": {"true"}},
					"token of another, by htmx":  {"Hx-Request": {"true"}, "X-Csrf-Token": {foreign}},
					"from another site, by htmx": {"Hx-Request": {"true"}, "X-Csrf-Token": {own}, "Sec-Fetch-Site": {"cross-site"}},
				} {
					asked++
					path, form := w.sample(route)
					before := snapshot(t, w.site)
					a := w.c.copy().post(path, form, header)
					if a.status != http.StatusForbidden {
						t.Errorf("%s %s, %s: got %d, want 403", route.Method, route.Path, fault, a.status)
					}
					if changed := before.diff(snapshot(t, w.site)); changed != "" {
						t.Errorf("%s %s, %s: refused, and yet changed %s", route.Method, route.Path, fault, changed)
					}
				}
			}
			t.Logf("%d forms refused", asked)
		})
	}
}

// TestIDs_ForeignAndGarbage: what belongs to somebody else, what never was, and what is no id get the same bytes.
func TestIDs_ForeignAndGarbage(t *testing.T) {
	t.Parallel()
	s := start(t, options{idle: true})
	stella := s.userID("stella@corvid.example")
	w := &walk{t: t, site: s}
	foreign := map[string]struct{ as, id string }{
		"/security/sessions/:id":          {"bea@bluebird.example", w.session(stella)},
		"/security/passkeys/:id":          {"bea@bluebird.example", w.passkey(stella)},
		"/admin/settings/team/:id":        {"ada@northwind.example", stella}, // an account holder is no member of the team
		"/admin/settings/departments/:id": {"ada@northwind.example", stella},
	}
	ticket, message := w.ticket(stella)
	picture := w.file("null", "'"+message+"'", stella)
	foreign["/support/:id"] = struct{ as, id string }{"bea@bluebird.example", ticket}
	elsewhere, _ := w.ticket(stella) // in a department that Sam is not of
	s.exec("update tickets set department_id = (select id from departments where name = 'Billing') where id = $1", elsewhere)
	foreign["/admin/support/:id"] = struct{ as, id string }{"sam@northwind.example", elsewhere}
	foreign["/admin/support/replies/:id"] = struct{ as, id string }{"sam@northwind.example", w.savedReply("(select id from departments where name = 'Billing')")}
	foreign["/support/:ticket/files/:id"] = struct{ as, id string }{"bea@bluebird.example", picture}
	foreign["/admin/support/:ticket/files/:id"] = foreign["/support/:ticket/files/:id"]
	foreign["/files/:id"] = foreign["/support/:ticket/files/:id"]
	foreign["/uploads/:id"] = struct{ as, id string }{"bea@bluebird.example", w.file("'new'", "null", stella)}
	for prefix, id := range map[string]string{"/manage/:id": w.managed(stella), "/runs/:id": w.run(stella, "/runs/:id/undo")} {
		foreign[prefix] = struct{ as, id string }{"bea@bluebird.example", id}
		foreign["/admin"+prefix] = struct{ as, id string }{"ada@northwind.example", stella} // the store's people see all
	}
	contract, purchase, invoice := w.contract(stella), w.product(stella, "null", "one-off"), w.invoice(stella, "unpaid")
	for prefix, id := range map[string]string{"/contracts/:id": contract, "/purchases/:id": purchase, "/invoices/:id": invoice} {
		foreign[prefix] = struct{ as, id string }{"bea@bluebird.example", id}
	}
	for _, prefix := range []string{"/people/:account", "/invoices/details/:account"} {
		foreign[prefix] = struct{ as, id string }{"bea@bluebird.example", w.account(stella)}
	}
	// Of one's own account there are users and invitations; these are of another's.
	foreign["/people/:account/users/:id"] = struct{ as, id string }{"bea@bluebird.example", stella}
	foreign["/people/:account/invitations/:id"] = struct{ as, id string }{"bea@bluebird.example", w.made(
		"insert into account_invitations (id, account_id, user_id, invited_by_name) select $1, account_id, user_id, 'Una' from account_users where user_id = $2 limit 1", stella)}
	s.exec("insert into log_filters (user_id, name, query) values ($1, 'Failures', 'status=failed')", s.userID("ada@northwind.example"))
	foreign["/admin/provisioning/logs/filters/:id"] = struct{ as, id string }{"sam@northwind.example", s.text("select id from log_filters where name = 'Failures'")}
	// The store's people see all of these, and a user is none.
	for _, prefix := range []string{"contracts/:id", "purchases/:id", "invoices/:id", "invoices/details/:account", "clients/:id", "clients/:account",
		"provisioning/configurations/:id", "provisioning/logs/:id", "provisioning/logs/alerts/:id", "settings/products/:id"} {
		foreign["/admin/"+prefix] = struct{ as, id string }{"ada@northwind.example", stella}
	}
	bea := s.userID("bea@bluebird.example")
	beas, beasMessage := w.ticket(bea)
	// What stands below a foreign or absent id is one's own: the parent decides, and what is below must be its own.
	below := strings.NewReplacer(":message", beasMessage, ":ticket", beas, ":action", "getInfo", ":account", w.account(bea), ":attempt", "1", ":user", stella,
		":delegate", w.delegate("contract_id", w.contract(bea), stella, "invited"), ":plan", s.text("select id from plans order by id limit 1"), ":option", s.text("select id from product_options order by id limit 1"))
	garbage := []string{
		"0", "-1", "x", "null", "%00", "%ff", "%2e%2e%2f", "..%2f..%2fetc%2fpasswd", "%252e%252e", "00000000-0000-0000-0000-000000000000",
		strings.ToUpper(stella), "{" + stella + "}", "urn:uuid:" + stella, strings.ReplaceAll(stella, "-", ""), "'%20or%201=1--", strings.Repeat("a", 3000),
	}
	clients, tokens := map[string]*client{}, map[*client]string{}
	asked, turn := 0, 0
	for _, route := range server.Routes(server.Handlers{}, true) {
		param := ":id"
		if !strings.Contains(route.Path, param) {
			param = ":account"
		}
		if !strings.Contains(route.Path, param) || route.Permission == server.Public {
			continue
		}
		if strings.HasPrefix(route.Path, "/admin/jobs/:id") || strings.HasPrefix(route.Path, "/admin/emails/:id") {
			foreign[strings.SplitAfter(route.Path, ":id")[0]] = struct{ as, id string }{"ada@northwind.example", stella} // the store's own: nobody else has one
		}
		prefix := route.Path[:strings.Index(route.Path, param)+len(param)]
		other, ok := foreign[prefix]
		if !ok {
			t.Errorf("%s %s: no foreign id is known for it", route.Method, route.Path)
			continue
		}
		c := clients[other.as]
		if c == nil {
			c = s.signIn(other.as)
			clients[other.as], tokens[c] = c, c.token()
		}
		for _, header := range []http.Header{nil, htmx} {
			ask := func(id string) *answer {
				asked++
				s.exec("delete from rate_limits")
				path := below.Replace(strings.ReplaceAll(route.Path, param, id))
				if route.Method == http.MethodGet {
					return c.copy().do(route.Method, path, header, nil)
				}
				with := header.Clone()
				if with == nil {
					with = http.Header{}
				}
				with.Set("X-CSRF-Token", tokens[c])
				return c.copy().post(path, url.Values{"name": {"Taken over"}, "role": {"staff"}}, with)
			}
			absent := bare(ask(uuid.NewString()))
			before := snapshot(t, s)
			ids := []string{other.id}
			if header == nil { // what is no id is found out before anything that depends on who asks how
				// Each route a few in turn, which are all over the routes of one prefix; make soak tries all of them.
				for i, id := range garbage {
					if soak || i%4 == turn%4 {
						ids = append(ids, id)
					}
				}
				turn++
			}
			for _, id := range ids {
				a := ask(id)
				if a.status != http.StatusNotFound {
					t.Errorf("%s %s with %.40q: got %d, want 404", route.Method, route.Path, id, a.status)
				}
				// The garbage stands in the page's own address too, in other letters.
				if id == other.id && bare(a) != absent {
					t.Errorf("%s %s: a foreign id differs from an absent one: %s", route.Method, route.Path, firstDifference(bare(a), absent))
				}
			}
			if changed := before.diff(snapshot(t, s)); changed != "" {
				t.Errorf("%s %s: foreign and garbage ids changed %s", route.Method, route.Path, changed)
			}
		}
	}
	t.Logf("%d requests", asked)
}

// TestLinks_DeadAndGarbage: a link of a mail that is unknown, spent, expired, of another purpose, of somebody else or of somebody
// disabled gets what an unknown one gets.
func TestLinks_DeadAndGarbage(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"AN", "ST"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var routes []server.Route
			for _, route := range server.Routes(server.Handlers{}, true) {
				if strings.Contains(route.Path, ":token") && (route.Permission == server.Public) == (name == "AN") {
					routes = append(routes, route)
				}
			}
			if len(routes) == 0 {
				t.Fatal("no route takes a token: this test tests nothing")
			}
			w := newWalk(t, actorNamed(t, name))
			secretOf := func(route server.Route) string {
				path, _ := w.sample(route)
				before, after, _ := strings.Cut(route.Path, ":token")
				return strings.TrimSuffix(strings.TrimPrefix(path, before), after)
			}
			for _, route := range routes {
				at := func(secret string) string { return strings.Replace(route.Path, ":token", secret, 1) }
				absent := bare(w.send(route, at(strings.Repeat("A", 43)), nil, nil))
				dead := func(what, secret string) {
					t.Helper()
					form := url.Values{}
					if name == "AN" {
						form.Set("password", "correct horse battery staple")
					}
					a := w.send(route, at(secret), form, nil)
					if a.status != http.StatusNotFound {
						t.Errorf("%s %s, %s: got %d, want 404", route.Method, route.Path, what, a.status)
					} else if got := bare(a); got != absent {
						t.Errorf("%s %s, %s: differs from an unknown link: %s", route.Method, route.Path, what, firstDifference(got, absent))
					}
				}
				dead("with a space", "%20")
				dead("too short", strings.Repeat("A", 42))
				dead("too long", strings.Repeat("A", 3000))
				dead("with a NUL", strings.Repeat("%00", 43))
				for what, sql := range map[string]string{"spent": "update tokens set used_at = now()", "expired": "update tokens set expires_at = now()"} {
					secret := secretOf(route)
					w.site.exec(sql)
					dead(what, secret)
				}
				if name == "AN" {
					secret := secretOf(route)
					w.site.exec("update users set disabled_at = now() where email = 'stella@corvid.example'")
					dead("of somebody disabled", secret)
					w.site.exec("update users set disabled_at = null")
					older := secretOf(route)
					secretOf(route)
					dead("sent before a new one", older)
				} else {
					secret := secretOf(route)
					for _, table := range []string{"tokens", "delegates", "account_invitations"} {
						w.site.exec("update "+table+" set user_id = $1 where user_id = $2", w.ids["bea@bluebird.example"], w.ids[w.actor.Email])
					}
					dead("of somebody else", secret)
				}
				for _, other := range routes {
					mine, _, _ := strings.Cut(route.Path, ":token")
					if !strings.HasPrefix(other.Path, mine) && other.Method == route.Method {
						dead("made for "+other.Path, secretOf(other))
					}
				}
				// Cut by one letter, and with one changed.
				secret := secretOf(route)
				dead("cut", secret[:len(secret)-1])
				last := map[bool]string{true: "B", false: "A"}[strings.HasSuffix(secret, "A")]
				dead("changed", secret[:len(secret)-1]+last)
			}
		})
	}
}

// TestRates hits every route that has a limit once more than it allows.
func TestRates(t *testing.T) {
	t.Parallel()
	matrix := servertest.Read(t, matrixFile)
	for _, name := range []string{"AN", "WF", "AD", "OW"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWalk(t, actorNamed(t, name))
			limited := 0
			for _, route := range server.Routes(server.Handlers{}, true) {
				if route.Rate == nil || doer(matrix, route) != name {
					continue
				}
				limited++
				var a *answer
				var before state
				for range 2 { // the time in which hits are counted may just end
					path, form := w.sample(route)
					if a := w.send(route, path, form, nil); a.status == http.StatusTooManyRequests {
						t.Errorf("%s %s is limited from the first time on", route.Method, route.Path)
					}
					if w.actor.Email != "" {
						w.site.exec("delete from authenticators where user_id = $1 and $2", w.ids[w.actor.Email], name != "WF")
						w.site.exec("delete from passkeys where user_id = $1", w.ids[w.actor.Email])
						w.enter()
					}
					path, form = w.sample(route)
					token := w.c.token()
					// As if it had been done as often as it may be.
					w.site.exec("update rate_limits set hits = $1", route.Rate.Times)
					before = snapshot(t, w.site)
					if route.Method == http.MethodGet {
						a = w.c.copy().get(path)
					} else {
						a = w.c.copy().post(path, form, http.Header{"X-Csrf-Token": {token}})
					}
					if a.status == http.StatusTooManyRequests {
						break
					}
					w.site.exec("truncate rate_limits")
				}
				if a.status != http.StatusTooManyRequests || a.header.Get("Retry-After") == "" {
					t.Errorf("%s %s once more than %d times: got %d, Retry-After %q", route.Method, route.Path, route.Rate.Times, a.status, a.header.Get("Retry-After"))
				}
				if changed := before.diff(snapshot(t, w.site)); changed != "" {
					t.Errorf("%s %s: limited, and yet changed %s", route.Method, route.Path, changed)
				}
			}
			t.Logf("%d limited routes", limited)
		})
	}
}

// TestRates_StandOnWhatIsGuessableOrCostly: whoever adds an open route that changes something, or a link of a mail, limits it.
func TestRates_StandOnWhatIsGuessableOrCostly(t *testing.T) {
	t.Parallel()
	for _, route := range server.Routes(server.Handlers{}, false) {
		open := (route.Permission == server.Public || route.Permission == server.Waiting || route.Permission == server.Signed) && route.Method != http.MethodGet
		if (open || strings.Contains(route.Path, ":token")) && route.Rate == nil {
			t.Errorf("%s %s has no limit", route.Method, route.Path)
		}
	}
}
