package main

import (
	"bufio"
	"encoding/csv"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/google/uuid"
)

// newRun adds a run for a demo product, as provisioning would, and returns its id. Where jobs work, one that is not final would be
// taken up.
func newRun(s *site, message, status string) string {
	s.t.Helper()
	id, err := uuid.NewV7()
	if err != nil {
		s.t.Fatal(err)
	}
	s.exec(`
		insert into provision_runs (id, product_id, product_name, account_id, account_name, category, action, driver, actor_name, actor_relation, operation_key, domain, message, max_attempts, status, finished_at)
		select $1, p.id, p.name, p.account_id, a.name, p.category, 'changePassword', 'sandbox', 'Portico', 'system', $1, 'fresh.example', $2, 8, $3, case when $3 = 'failed' then now() end
		from contract_products p join accounts a on a.id = p.account_id where p.category = 'web-hosting' and p.status = 'active' order by p.id limit 1`, id, message, status)
	return id.String()
}

// TestLogs_WithoutScripts: the page is a form, a table and links.
func TestLogs_WithoutScripts(t *testing.T) {
	t.Parallel()
	s := start(t, options{})
	admin, staff, other := s.signIn(ada), s.signIn(sam), s.signIn(priya)
	const logs = "/admin/provisioning/logs"
	id := newRun(s, "=Cmd <b>Zebra</b> crossing", "failed")
	s.exec("insert into provision_attempts (run_id, attempt, started_at, outcome, message, detail) values ($1, 1, now(), 'failed', 'No', 'Said no in detail')", id)
	s.exec(`insert into provision_debug (run_id, attempt, data) values ($1, 1, '[{"method": "POST", "response_body": "canary-debug"}]')`, id)

	all := admin.get(logs).want(http.StatusOK)
	shown := all.find("tr[data-run]").Length()
	if want := s.text("select least(count(*), 50) from provision_runs"); fmt.Sprint(shown) != want {
		t.Errorf("%d rows, want %s", shown, want)
	}
	one := admin.get(logs+"?q=zebr+CROSS").want(http.StatusOK, "<b>Zebra</b> crossing")
	if one.find("tr[data-run]").Length() != 1 || one.find("tr mark").Length() != 2 || one.find("tr b").Length() != 0 {
		t.Errorf("%d rows, %d marks", one.find("tr[data-run]").Length(), one.find("tr mark").Length())
	}
	admin.get(logs+"?q=zebra&not=status:failed").want(http.StatusOK, "No runs match", "Status is notFailed")
	admin.get(logs+"?from=yesterday").want(http.StatusUnprocessableEntity, "Enter a day and a time")
	panel := staff.get(one.find("tr .cell-link").AttrOr("href", "")).want(http.StatusOK, "Said no in detail", "Debug data", "canary-debug", "fresh.example")
	if panel.find("tr[aria-current]").Length() != 1 {
		t.Error("the open run is not marked in the list")
	}
	staff.get(logs+"/"+id+"/debug/1").want(http.StatusOK, "canary-debug")
	staff.get(logs + "/" + id + "/debug/2").want(http.StatusNotFound)
	s.exec("delete from staff_permissions where permission = 'provisioning.debug'")
	if page := staff.get(logs + "/" + id).want(http.StatusOK); strings.Contains(string(page.body), "canary-debug") {
		t.Error("debug data shows without the permission")
	}
	other.get(logs).want(http.StatusForbidden)

	// Exports hold what is filtered.
	raw := admin.get(logs + "/export.csv?q=zebra").want(http.StatusOK)
	records, err := csv.NewReader(strings.NewReader(string(raw.body))).ReadAll()
	if err != nil || len(records) != 2 || records[1][0] != id || !strings.HasPrefix(records[1][len(records[1])-1], "'=Cmd") {
		t.Errorf("%v: %q", err, records)
	}
	lines := bufio.NewScanner(strings.NewReader(string(admin.get(logs + "/export.jsonl?status=failed").want(http.StatusOK).body)))
	n := 0
	for lines.Scan() {
		n++
	}
	if want := s.text("select count(*) from provision_runs where status = 'failed'"); fmt.Sprint(n) != want {
		t.Errorf("%d failed runs exported, want %s", n, want)
	}

	// A saved filter, an alert of it, and the mail.
	post := func(c *client, path string, form url.Values) *answer {
		t.Helper()
		return c.post(path, form, http.Header{"X-CSRF-Token": {c.token()}})
	}
	post(staff, logs+"/filters", url.Values{"name": {"Zebras"}, "query": {"q=zebra&status=failed"}, "shared": {"on"}}).want(http.StatusSeeOther)
	post(staff, logs+"/filters", url.Values{"name": {"Nothing"}, "query": {""}}).want(http.StatusUnprocessableEntity)
	admin.get(logs).want(http.StatusOK, "Zebras")
	admin.get(logs+"/filters").want(http.StatusOK, "Shared by Sam Okafor")
	post(admin, logs+"/alerts", url.Values{"name": {"Too many zebras"}, "query": {"q=zebra&status=failed"}, "more_than": {"0"}, "minutes": {"15"}}).want(http.StatusSeeOther)
	post(admin, logs+"/alerts", url.Values{"name": {""}, "query": {""}, "more_than": {"-1"}, "minutes": {"x"}, "quiet_from": {"22:00"}}).want(http.StatusUnprocessableEntity)
	post(staff, logs+"/alerts", url.Values{"name": {"No"}, "query": {"q=zebra"}, "more_than": {"0"}, "minutes": {"15"}}).want(http.StatusForbidden)
	for range 2 {
		if err := s.logs.Tend(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	letter := s.mail(ada, "Too many zebras")
	admin.get(s.link(letter, logs)).want(http.StatusOK, "Zebra")
	if got := s.text("select count(*) from mail_deliveries where kind = 'log-alert'"); got != "1" {
		t.Errorf("%s mails of the alert", got)
	}
	post(admin, logs+"/settings", url.Values{"months": {"6"}, "debug_days": {"7"}}).want(http.StatusSeeOther)
	post(admin, logs+"/settings", url.Values{"months": {"0"}, "debug_days": {"7"}}).want(http.StatusUnprocessableEntity)
	if got := s.text("select months || ' ' || debug_days from log_settings"); got != "6 7" {
		t.Errorf("kept for %s", got)
	}
	admin.get("/admin/provisioning").want(http.StatusOK, "Waiting queue", "Slowest providers", "Failing configurations", "Kinds of errors")
}

// TestLogs_Live: what an admin does on the page with scripts, while runs come in.
func TestLogs_Live(t *testing.T) {
	t.Parallel()
	s := start(t, options{idle: true})
	b := s.browse(t, screen{})
	b.be(s.signIn(ada))
	ids := func() []string {
		return strings.Fields(eval[string](b, `[...document.querySelectorAll("table.logs tr[data-run]")].map((row) => row.dataset.run).join(" ")`))
	}
	arrives := func(id string, want bool) {
		t.Helper()
		wait(t, fmt.Sprintf("run %s shown %v, console %q", id, want, b.complaints()), func() bool { return slices.Contains(ids(), id) == want })
	}
	old := newRun(s, "giraffe zero", "queued")
	b.open("/admin/provisioning/logs")
	b.see("switch", "Live")

	// Type and pick; the address holds it, and shows a colleague the same.
	b.fill("Search logs", "giraffe")
	wait(t, "the typed filter", func() bool { return len(ids()) == 1 && strings.Contains(b.path(), "q=giraffe") })
	b.choose("Status", "queued")
	wait(t, "the picked status", func() bool { return strings.Contains(b.path(), "status=queued") })
	b.see("link", "Remove filter Status Queued")
	if a := s.signIn(sam).get(b.path()).want(http.StatusOK); a.find("tr[data-run]").Length() != 1 {
		t.Error("the address shows a colleague something else")
	}

	// New runs arrive if they match, and leave when they don't any more.
	first := newRun(s, "giraffe one", "queued")
	newRun(s, "elephant", "queued")
	arrives(first, true)
	if got := ids(); !slices.Equal(got, []string{first, old}) {
		t.Errorf("rows %v, want %s before %s", got, first, old)
	}
	s.exec("update provision_runs set status = 'running', started_at = now() where id = $1", old)
	arrives(old, false)
	eval[bool](b, "history.back(), true")
	wait(t, "the filter before", func() bool { return !strings.Contains(b.path(), "status=queued") && len(ids()) == 2 })
	s.exec("update provision_runs set status = 'succeeded', finished_at = now(), message = 'giraffe done' where id = $1", old)
	b.says("giraffe done")

	// Paused they wait behind a button.
	b.click("switch", "Live")
	second := newRun(s, "giraffe two", "queued")
	b.see("button", "1 new")
	arrives(second, false)
	b.click("button", "1 new")
	arrives(second, true)
	b.click("switch", "Live")

	// Selected text stays selected, and nothing moves under it.
	eval[bool](b, `getSelection().selectAllChildren(document.querySelector("table.logs .clip bdi")), true`)
	third := newRun(s, "giraffe three", "queued")
	b.see("button", "1 new")
	if text := eval[string](b, "String(getSelection())"); text != "giraffe two" || slices.Contains(ids(), third) {
		t.Errorf("selected is %q", text)
	}
	eval[bool](b, "getSelection().removeAllRanges(), true")
	arrives(third, true)

	// An open panel stays while rows come and its own run changes.
	eval[bool](b, fmt.Sprintf(`document.getElementById("run-%s").click(), true`, second))
	b.see("heading", "Change password")
	if path := b.path(); !strings.HasPrefix(path, "/admin/provisioning/logs/"+second) {
		t.Errorf("the panel is at %s", path)
	}
	fourth := newRun(s, "giraffe four", "queued")
	s.exec("update provision_runs set status = 'failed', finished_at = now(), message = 'giraffe fell' where id = $1", second)
	arrives(fourth, true)
	wait(t, "the panel's own run", func() bool {
		return strings.Contains(eval[string](b, `document.getElementById("provisionlogs-panel").innerText`), "giraffe fell")
	})
	if current := eval[string](b, `document.querySelector("table.logs tr[aria-current]").dataset.run`); current != second {
		t.Errorf("marked is %s", current)
	}
	eval[bool](b, `document.querySelector("[data-close-panel]").click(), true`)
	wait(t, "the list's address", func() bool { return strings.HasPrefix(b.path(), "/admin/provisioning/logs?") })

	// The export is what was shown.
	href := eval[string](b, `document.querySelector("#provisionlogs-exports a").getAttribute("href")`)
	records, err := csv.NewReader(strings.NewReader(string(s.signIn(ada).get(href).want(http.StatusOK).body))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var exported []string
	for _, record := range records[1:] {
		exported = append(exported, record[0])
	}
	if got := ids(); !slices.Equal(got, exported) {
		t.Errorf("shown are %v, exported %v", got, exported)
	}
	for _, line := range b.complaints() {
		if !strings.Contains(line, "Failed to load resource") && !strings.Contains(line, "htmx:sendAbort") {
			t.Errorf("on the console: %s", line)
		}
	}
}

// TestLogs_Section: the logs of a product, on its tab **Manage**, and of a client, on its profile, are the same as those of all.
func TestLogs_Section(t *testing.T) {
	t.Parallel()
	s := start(t, options{idle: true})
	admin, staff, other := s.signIn(ada), s.signIn(sam), s.signIn(priya)
	id := newRun(s, "giraffe one", "failed")
	product, account := s.text("select product_id from provision_runs where id = $1", id), s.text("select account_id from provision_runs where id = $1", id)
	contract := s.text("select contract_id from contract_products where id = $1", product)
	// A second product of the same contract, whose runs are not the first one's.
	const second = "ffffffff-0000-4000-8000-00000000aaaa"
	s.exec(`insert into contract_products (id, account_id, contract_id, product_id, plan_id, name, category, status, price_minor)
		select $1, account_id, contract_id, product_id, plan_id, 'Twin', category, status, price_minor from contract_products where id = $2`, second, product)
	s.exec("update provision_runs set product_id = $1 where id = $2", second, newRun(s, "giraffe two", "failed"))

	manage, profile := "/admin/contracts/"+contract+"/manage?product=", "/admin/clients/"+account+"/logs"
	count := func(a *answer) int { t.Helper(); return a.find("table.logs tr[data-run]").Length() }
	page := staff.get(manage+product+"&q=giraffe").want(http.StatusOK, "giraffe one", "Export CSV")
	if count(page) != 1 || page.find(".chips a").Length() != 2 {
		t.Errorf("%d rows, chips %q", count(page), page.words(".chips"))
	}
	// A row opens its run beside the list, on the same page, and what is in the panel stays there.
	s.exec("insert into provision_attempts (run_id, attempt, started_at, outcome, message, detail) values ($1, 1, now(), 'failed', 'No', 'Said no in detail')", id)
	s.exec(`insert into provision_debug (run_id, attempt, data) values ($1, 1, '[{"response_body": "canary-debug"}]')`, id)
	for base, at := range map[string]*answer{manage + product + "&": page, profile + "?client=" + account + "&": staff.get(profile + "?q=giraffe+one").want(http.StatusOK)} {
		href := at.find("table.logs .cell-link").AttrOr("href", "")
		if href != base+"q=giraffe&run="+id && href != base+"q=giraffe+one&run="+id {
			t.Errorf("the row leads to %s", href)
		}
		open := staff.get(href).want(http.StatusOK, "Open the run", "Said no in detail")
		if open.find("#provisionlogs-panel [data-run]").AttrOr("data-run", "") != id || open.find("table.logs tr[aria-current]").AttrOr("data-run", "") != id {
			t.Errorf("%s does not show the run", href)
		}
		staff.get(open.find("#provisionlogs-panel a[download]").AttrOr("href", "")).want(http.StatusOK, "canary-debug")
		path, scope, _ := strings.Cut(strings.TrimSuffix(base, "&"), "?")
		links := open.find("#provisionlogs-panel .picks a, #provisionlogs-panel [data-close-panel]")
		for _, link := range links.EachIter() {
			if to := link.AttrOr("href", ""); !strings.HasPrefix(to, path+"?") || !strings.Contains(to, scope) || strings.Contains(to, "run=") {
				t.Errorf("%s leads to %s", link.Text(), to)
			}
		}
		if links.Length() < 9 {
			t.Errorf("the panel has %d links", links.Length())
		}
		if closed := staff.get(links.First().AttrOr("href", "")).want(http.StatusOK); closed.find("#provisionlogs-panel *").Length() != 0 || count(closed) != 1 {
			t.Error("the closed panel shows")
		}
		staff.get(base+"from=rubbish").want(http.StatusUnprocessableEntity, "Enter a day and a time")
		staff.get(base + "run=rubbish").want(http.StatusNotFound)
	}
	staff.get(manage + second + "&run=" + id).want(http.StatusNotFound)
	if a := other.get(manage + product + "&run=" + id).want(http.StatusOK); a.find("[data-run]").Length() != 0 {
		t.Error("a run shows without the permission")
	}
	if a := staff.get(manage+second+"&q=giraffe").want(http.StatusOK, "giraffe two"); count(a) != 1 {
		t.Errorf("%d rows of the second product", count(a))
	}
	staff.get(manage+product+"&status=queued").want(http.StatusOK, "No runs match")
	if a := admin.get(manage+product+"&form=changePassword&q=giraffe").want(http.StatusOK, "giraffe one"); a.find("#action-changePassword").Length() != 1 {
		t.Error("an action's form does not open beside the logs")
	}
	if a := staff.get(profile+"?q=giraffe").want(http.StatusOK, "giraffe one", "giraffe two"); count(a) != 2 {
		t.Errorf("%d rows of the client", count(a))
	}
	stranger := "/admin/clients/" + s.text("select id from accounts where id <> $1 limit 1", account) + "/logs?q=giraffe&client=" + account
	if a := staff.get(stranger).want(http.StatusOK); count(a) != 0 {
		t.Error("the address of one client shows the runs of another")
	}
	staff.get(stranger + "&run=" + id).want(http.StatusNotFound)
	if a := other.get(manage + product).want(http.StatusOK); a.find("[data-logs]").Length() != 0 {
		t.Error("the logs show without the permission")
	}
	other.get(profile).want(http.StatusForbidden)

	// With scripts it is live, and the filter stands in the address.
	b := s.browse(t, screen{})
	b.be(admin)
	b.open(manage + product)
	b.fill("Search logs", "giraffe")
	wait(t, "the typed filter", func() bool {
		path := b.path()
		return strings.HasPrefix(path, "/admin/contracts/"+contract+"/manage?") && strings.Contains(path, "q=giraffe") && strings.Contains(path, "product="+product)
	})
	third := newRun(s, "giraffe three", "queued")
	s.exec("update provision_runs set product_id = $1 where id = $2", second, newRun(s, "giraffe four", "queued"))
	shown := `[...document.querySelectorAll("table.logs tr[data-run]")].map((row) => row.dataset.run).join(" ")`
	wait(t, "the new run", func() bool { return eval[string](b, shown) == third+" "+id })

	// The panel opens in place, keeps up with its run, and has an address; Escape, its button and Back close it.
	list := manage + product + "&q=giraffe"
	panel := func() string {
		return eval[string](b, `document.getElementById("provisionlogs-panel")?.innerText ?? ""`)
	}
	open := func() {
		t.Helper()
		eval[bool](b, fmt.Sprintf(`document.getElementById("run-%s").click(), true`, third))
		wait(t, "the panel in place", func() bool { return b.path() == list+"&run="+third && strings.Contains(panel(), "giraffe three") })
	}
	closed := func(by string) {
		t.Helper()
		wait(t, "no panel after "+by, func() bool { return b.path() == list && panel() == "" && eval[string](b, shown) == third+" "+id })
	}
	open()
	b.key("Escape")
	closed("Escape")
	open()
	b.click("link", "Close panel")
	closed("the button")
	open()
	eval[bool](b, "history.back(), true")
	closed("Back")
	b.see("switch", "Live")
	open()
	s.exec("update provision_runs set status = 'failed', finished_at = now(), message = 'giraffe three fell' where id = $1", third)
	wait(t, "the panel's own run", func() bool { return strings.Contains(panel(), "giraffe three fell") })
	for _, look := range []screen{{width: 1280}, {width: 360}} {
		b.look(look)
		if wide := b.wide(); wide != "" {
			t.Errorf("with the panel the page scrolls sideways at %s: %s", look, wide)
		}
		for _, fault := range b.axe(false) {
			t.Errorf("with the panel at %s: %s", look, fault)
		}
	}
	b.look(screen{width: 1280})

	// What is done with a run leads back to where its panel stands, under the same filter.
	for _, at := range [][2]string{{list + "&run=", ""}, {profile + "?client=" + account + "&q=giraffe&run=", ""}, {"/admin/provisioning/logs/", "?q=giraffe"}} {
		lost := newRun(s, "giraffe lost", "failed")
		s.exec("update provision_runs set unknown_outcome = true, action = 'getInfo' where id = $1", lost)
		b.open(at[0] + lost + at[1])
		b.click("button", "It was not done")
		b.says("Ada Moreau found out that it was not done.")
		if path := b.path(); path != at[0]+lost+at[1] {
			t.Errorf("at %s", path)
		}
		b.click("button", "Retry")
		var again string
		wait(t, "the new run", func() bool {
			again = s.text("select coalesce(max(id::text), '') from provision_runs where origin_id = $1", lost)
			return again != "" && b.path() == at[0]+again+at[1]
		})
		b.click("button", "Cancel")
		wait(t, "a cancelled run", func() bool {
			return s.text("select status from provision_runs where id = $1", again) == "cancelled" && b.path() == at[0]+again+at[1]
		})
	}
	for _, line := range b.complaints() {
		if !strings.Contains(line, "Failed to load resource") && !strings.Contains(line, "htmx:sendAbort") {
			t.Errorf("on the console: %s", line)
		}
	}
}

// key presses a key, where the focus is.
func (b *tab) key(name string) {
	b.t.Helper()
	down := input.DispatchKeyEventParams{Type: "keyDown", Key: name}
	switch name {
	case "Enter":
		down.Code, down.Text, down.WindowsVirtualKeyCode = "Enter", "\r", 13
	case "Escape":
		down.Code, down.WindowsVirtualKeyCode = "Escape", 27
	case "Tab":
		down.Code, down.WindowsVirtualKeyCode = "Tab", 9
	default:
		down.Text, down.WindowsVirtualKeyCode = name, int64(strings.ToUpper(name)[0])
	}
	call(b, input.DispatchKeyEvent, down)
	down.Type, down.Text = "keyUp", ""
	call(b, input.DispatchKeyEvent, down)
}

// TestLogs_Hands: older runs come on scrolling, each once; keys move and open; a drag over the histogram picks a range.
func TestLogs_Hands(t *testing.T) {
	t.Parallel()
	s := start(t, options{idle: true})
	s.exec(`
		insert into provision_runs (id, product_id, product_name, account_id, account_name, category, action, driver, actor_name, actor_relation, operation_key, message, max_attempts, status, created_at, finished_at)
		select overlay(provision_id_from(at)::text placing '-7' || substr(md5(n::text), 1, 3) || '-8' || substr(md5(n::text), 4, 3) || '-' || substr(md5(n::text), 7, 12) from 14)::uuid,
			p.id, p.name, p.account_id, a.name, p.category, 'getInfo', 'sandbox', 'Portico', 'system', gen_random_uuid(), 'lynx ' || n, 8, case when n % 4 = 0 then 'failed' else 'succeeded' end, at, at
		from (select n, now() - n * interval '5 minutes' as at from generate_series(1, 130) as n) as s,
			(select * from contract_products where category = 'web-hosting' order by id limit 1) as p join accounts a on a.id = p.account_id`)
	all := strings.Fields(s.text("select string_agg(id::text, ' ' order by id desc) from provision_runs where message like 'lynx%'"))
	b := s.browse(t, screen{})
	b.be(s.signIn(ada))
	ids := func() []string {
		return strings.Fields(eval[string](b, `[...document.querySelectorAll("table.logs tr[data-run]")].map((row) => row.dataset.run).join(" ")`))
	}
	focused := func() string {
		return eval[string](b, `document.activeElement.closest("tr[data-run]")?.dataset.run ?? ""`)
	}
	b.open("/admin/provisioning/logs?q=lynx")
	b.see("switch", "Live")
	if got := ids(); !slices.Equal(got, all[:len(got)]) || len(got) >= len(all) {
		t.Fatalf("the first page has %d of %d runs", len(got), len(all))
	}
	wait(t, "all runs by scrolling", func() bool {
		eval[bool](b, "scrollTo(0, document.documentElement.scrollHeight), true")
		return len(ids()) >= len(all)
	})
	if got := ids(); !slices.Equal(got, all) {
		t.Errorf("after scrolling there are %d rows, want %d, each once and in order", len(got), len(all))
	}

	eval[bool](b, "scrollTo(0, 0), true")
	b.key("j")
	b.key("j")
	if got := focused(); got != all[1] {
		t.Errorf("after j j the focus is on %q, want %s", got, all[1])
	}
	b.key("k")
	if got := focused(); got != all[0] {
		t.Errorf("after k the focus is on %q, want %s", got, all[0])
	}
	b.key("Enter")
	wait(t, "the panel by Enter", func() bool {
		return strings.HasPrefix(b.path(), "/admin/provisioning/logs/"+all[0]) && eval[bool](b, `document.getElementById("run-h") !== null`)
	})
	b.key("Escape")
	wait(t, "the list without a panel", func() bool { return b.path() == "/admin/provisioning/logs?q=lynx" && focused() == all[0] })
	b.key("?")
	b.see("dialog", "Keys of this page")
	b.key("Escape")
	wait(t, "no dialog", func() bool { return eval[bool](b, `document.querySelector("dialog[open]") === null`) })
	b.key("e")
	wait(t, "failed runs only", func() bool {
		return strings.Contains(b.path(), "status=failed") && eval[bool](b, `document.querySelectorAll("table.logs td[data-value=succeeded]").length === 0 && document.querySelectorAll("table.logs td[data-value=failed]").length > 0`)
	})

	// The last quarter of the bars is the last hours.
	b.open("/admin/provisioning/logs?q=lynx")
	b.see("switch", "Live")
	box := eval[[]float64](b, `(() => { const r = document.querySelector(".histogram svg").getBoundingClientRect(); return [r.left, r.top, r.width, r.height] })()`)
	at := func(part float64) input.DispatchMouseEventParams {
		return input.DispatchMouseEventParams{X: box[0] + part*box[2], Y: box[1] + box[3]/2, Button: input.MouseButtonLeft, ClickCount: 1}
	}
	for _, step := range []struct {
		kind input.DispatchMouseEventType
		part float64
	}{{chromedp.MousePressed, 0.75}, {chromedp.MouseMoved, 0.9}, {chromedp.MouseMoved, 0.999}, {chromedp.MouseReleased, 0.999}} {
		event := at(step.part)
		event.Type = step.kind
		if step.kind == chromedp.MouseMoved {
			event.Buttons = 1
		}
		call(b, input.DispatchMouseEvent, event)
	}
	wait(t, "the picked range", func() bool {
		return strings.Contains(b.path(), "from=") && strings.Contains(b.path(), "to=") && strings.Contains(b.path(), "q=lynx") && eval[bool](b, `document.readyState !== "loading"`)
	})
	b.see("switch", "Live")
	picked, err := url.ParseQuery(b.path()[strings.Index(b.path(), "?")+1:])
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Fields(s.text("select string_agg(id::text, ' ' order by id desc) from provision_runs where message like 'lynx%' and created_at >= $1::timestamptz and created_at < $2::timestamptz", picked.Get("from"), picked.Get("to")))
	if len(want) == 0 || len(want) >= len(all) {
		t.Errorf("from %s to %s there are %d of %d runs", picked.Get("from"), picked.Get("to"), len(want), len(all))
	}
	wait(t, "the runs of the range", func() bool {
		eval[bool](b, "scrollTo(0, document.documentElement.scrollHeight), true")
		return slices.Equal(ids(), want)
	})
	for _, line := range b.complaints() {
		if !strings.Contains(line, "Failed to load resource") && !strings.Contains(line, "htmx:sendAbort") {
			t.Errorf("on the console: %s", line)
		}
	}
}
