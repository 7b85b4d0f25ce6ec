package main

import (
	"bufio"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"
)

// TestClients_Delegates: on a client's profile the store sees who was let into what, as far as it may, lets people in and out.
func TestClients_Delegates(t *testing.T) {
	t.Parallel()
	s := start(t, options{idle: true})
	made := newThing(s, devTeam, plays["TA"].grant, "open", "active")
	s.exec("insert into delegates (contract_id, user_id, status, invited_by_name, accepted_at) values ($1, $2, 'accepted', '', now())", made.contract, s.userID(devTeam))
	account := s.text("select account_id from tickets where id = $1", made.ticket)
	tab := "/admin/clients/" + account + "/delegates"
	in := func(kind, id string) string {
		return s.text("select count(*) from delegates where "+kind+"_id = $1 and user_id = $2 and status = 'accepted'", id, s.userID(devTeam))
	}
	boss, staff, other := s.signIn(ada), s.signIn(sam), s.signIn(priya)

	// Staff of another department without the permission for contracts see neither, and change nothing.
	if a := other.get(tab).want(http.StatusOK); a.find("a[href$='"+made.ticket+"/delegates'], a[href$='"+made.contract+"/delegates']").Length() != 0 {
		t.Error("somebody sees delegates of what they don't see")
	}
	token := http.Header{"X-Csrf-Token": {other.token()}}
	other.post(tab+"/"+s.userID(devTeam)+"/remove", nil, token).want(http.StatusForbidden)
	other.post(tab, url.Values{"thing": {"contract:" + made.contract}, "email": {"stella@corvid.example"}}, token).want(http.StatusUnprocessableEntity, "Choose a ticket or a contract.")
	other.post(tab, url.Values{"thing": {"ticket:" + made.ticket}, "email": {"stella@corvid.example"}}, token).want(http.StatusUnprocessableEntity)

	// With department and permission they see both, and let in and out.
	page := staff.get(tab).want(http.StatusOK, "Dev Team 1", "Accepted", "since", "until revoked", "never used")
	revoke := "/admin/support/" + made.ticket + "/delegates/" + s.text("select id from delegates where ticket_id = $1 and status = 'accepted'", made.ticket) + "/revoke?client=" + account
	back := page.submit(revoke)
	if to := back.header.Get("Location"); to != tab {
		t.Errorf("revoking leads to %q", to)
	}
	if back.follow().want(http.StatusOK, "The access is revoked."); in("ticket", made.ticket) != "0" || in("contract", made.contract) != "1" {
		t.Error("revoking one access did not end just that one")
	}
	staff.get(tab+"/new").want(http.StatusOK).submit(tab, "thing", "contract:"+made.contract, "email", "nobody@nowhere.example").want(http.StatusUnprocessableEntity, "No store account uses this address.")
	staff.get(tab+"/new").submit(tab, "thing", "ticket:"+made.ticket, "email", devTeam).follow().want(http.StatusOK, "is on its way", "Invited")

	boss.get(tab).submit(tab+"/"+s.userID(devTeam)+"/remove").follow().want(http.StatusOK, "Removed from")
	if got := s.text("select count(*) from delegates d left join tickets t on t.id = d.ticket_id left join contracts c on c.id = d.contract_id where d.user_id = $1 and coalesce(t.account_id, c.account_id) = $2 and d.status in ('invited', 'accepted')", s.userID(devTeam), account); got != "0" {
		t.Errorf("%s are left of what was removed everywhere", got)
	}
}

// deliver sends what waits for an address, as the mail job would, and returns what became of it: the statuses with their reasons.
func (s *site) deliver(to, kind string) string {
	s.t.Helper()
	for _, id := range strings.Fields(s.text("select string_agg(id::text, ' ') from mail_deliveries where recipient = $1 and kind = $2 and status = 'queued'", to, kind)) {
		if err := s.portal.mail.Deliver(s.t.Context(), id, 0); err != nil {
			s.t.Fatalf("deliver %s to %s: %v", kind, to, err)
		}
	}
	return s.text("select string_agg(distinct status || ' ' || reason, ', ') from mail_deliveries where recipient = $1 and kind = $2", to, kind)
}

// TestDelegates_RevokedIsRevoked: mails that wait and streams that are open end with the access; access that is to end by itself is
// told of a week before, goes on by one click, and ends without any job.
func TestDelegates_RevokedIsRevoked(t *testing.T) {
	t.Parallel()
	s := start(t, options{idle: true})
	made := newThing(s, devTeam, plays["TA"].grant, "open", "active")
	s.exec("insert into delegates (contract_id, user_id, status, invited_by_name, accepted_at) values ($1, $2, 'accepted', '', now())", made.contract, s.userID(devTeam))
	owner, them := s.signIn(bea), s.signIn(devTeam)
	token := http.Header{"X-Csrf-Token": {owner.token()}}
	panel := "/support/" + made.ticket + "/delegates"
	row := func(column, id string) string {
		return s.text("select id from delegates where "+column+" = $1 and user_id = $2 order by created_at desc limit 1", id, s.userID(devTeam))
	}

	// A week before its end the owner is told, once, and lets it go on by one click.
	access := row("ticket_id", made.ticket)
	s.exec("update delegates set ends_at = case when id = $1 then now() + interval '6 days' else now() + interval '8 days' end where user_id = $2 and status = 'accepted'", access, s.userID(devTeam))
	for range 2 {
		if err := s.delegates.Remind(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.text("select count(*) from mail_deliveries where kind = 'access-ends' and recipient = $1", bea); got != "1" {
		t.Errorf("%s mails tell of one access that ends within a week", got)
	}
	if got := s.deliver(bea, "access-ends"); got != "sent " {
		t.Errorf("the mail is %q", got)
	}
	page := owner.get(s.link(s.mail(bea, "ends"), panel)).want(http.StatusOK, "Access ends", "Extend by 30 days")
	page.submit(panel+"/"+access+"/extend").follow().want(http.StatusOK, "The access goes on for 30 days more.")
	if s.text("select ends_at between now() + interval '35 days' and now() + interval '37 days' from delegates where id = $1", access) != "true" {
		t.Errorf("it goes on until %s", s.text("select ends_at from delegates where id = $1", access))
	}
	them.get("/support/" + made.ticket).want(http.StatusOK)
	s.exec("update delegates set ends_at = now() where id = $1", access)
	them.get("/support/" + made.ticket).want(http.StatusNotFound)
	owner.get(panel).want(http.StatusOK, "Access ended").submit(panel + "/" + access + "/extend").want(http.StatusSeeOther)
	them.get("/support/" + made.ticket).want(http.StatusOK)

	// What was written while they had access reaches nobody who has it no more; nor does an open stream.
	owner.post("/support/"+made.ticket+"/messages", url.Values{"body": {"Only for who may read it"}}, token).want(http.StatusSeeOther)
	if s.text("select count(*) from mail_deliveries where recipient = $1 and kind = 'reply-posted' and status = 'queued'", devTeam) != "1" {
		t.Fatal("no mail waits for the delegate")
	}
	for _, one := range []struct{ kind, page, id string }{{"ticket_id", "/support/" + made.ticket, made.ticket}, {"contract_id", "/contracts/" + made.contract, made.contract}} {
		request, err := http.NewRequestWithContext(t.Context(), "GET", s.url+one.page+"/live", nil)
		if err != nil {
			t.Fatal(err)
		}
		streaming := *them.http
		streaming.Timeout = 0
		stream, err := streaming.Do(request)
		if err != nil || stream.StatusCode != http.StatusOK {
			t.Fatalf("%s: the stream answers %v, %v", one.page, stream, err)
		}
		defer stream.Body.Close()
		lines := bufio.NewReader(stream.Body)
		if _, err := lines.ReadString('\n'); err != nil { // it is open
			t.Fatal(err)
		}
		owner.post(one.page+"/delegates/"+row(one.kind, one.id)+"/revoke", nil, token).want(http.StatusSeeOther)
		if _, err := io.Copy(io.Discard, lines); err != nil { // until the server ends it
			t.Errorf("%s: the stream ended with %v", one.page, err)
		}
		them.get(one.page).want(http.StatusNotFound)
		them.get(one.page + "/live").want(http.StatusNotFound)
	}
	if got := s.deliver(devTeam, "reply-posted"); got != "cancelled no-access" {
		t.Errorf("the reply's mail is %q", got)
	}
	for _, one := range []struct{ kind, column, page, id string }{
		{"ticket-invitation", "ticket_id", "/support/" + made.ticket, made.ticket}, {"contract-invitation", "contract_id", "/contracts/" + made.contract, made.contract},
	} {
		owner.post(one.page+"/delegates", url.Values{"email": {devTeam}}, token).want(http.StatusSeeOther)
		owner.post(one.page+"/delegates/"+row(one.column, one.id)+"/revoke", nil, token).want(http.StatusSeeOther)
		if got := s.deliver(devTeam, one.kind); got != "cancelled link-dead" {
			t.Errorf("the mail of a revoked invitation is %q", got)
		}
	}

	// Until the ticket closes: then reading stays, and nothing else.
	last := newThing(s, devTeam, plays["TA"].grant, "open", "active")
	panel = "/support/" + last.ticket + "/delegates"
	access = row("ticket_id", last.ticket)
	owner.get(panel+"/"+access).submit(panel+"/"+access, "ends", "closed").follow().want(http.StatusOK, "Until the ticket closes; reading stays.")
	owner.get("/support/" + last.ticket + "/closure").submit("/support/" + last.ticket + "/closure").want(http.StatusSeeOther)
	them.get("/support/"+last.ticket).want(http.StatusOK, "Hello", "This ticket is closed.")
	them.get("/support/" + last.ticket + "/files/" + last.file).want(http.StatusOK)
	them.post("/support/"+last.ticket+"/messages", url.Values{"body": {"One more thing"}}, http.Header{"X-Csrf-Token": {them.token()}}).want(http.StatusConflict)
}

// TestReach_Preview: what an owner is shown of what somebody sees is what that person sees of this owner's things, thread by thread.
func TestReach_Preview(t *testing.T) {
	t.Parallel()
	s := start(t, options{idle: true})
	alone := newThing(s, devTeam, plays["TA"].grant, "closed", "active")
	made := newThing(s, devTeam, plays["CAa"].grant, "open", "active")
	hidden := newThing(s, devTeam, plays["CAb"].grant, "open", "active") // opened before the acceptance
	s.exec("insert into ticket_messages (ticket_id, author_name, voice, internal, body, html) values ($1, 'Sam', 'store', true, 'canary-note', 'canary-note')", made.ticket)
	owner, them := s.signIn(bea), s.signIn(devTeam)
	them.post("/support/drafts", url.Values{"object": {"ticket:" + alone.ticket}, "body": {"canary-draft"}}, http.Header{"X-Csrf-Token": {them.token()}})
	dev := s.userID(devTeam)
	owner.get("/reach/" + dev + "/tickets/" + alone.ticket).want(http.StatusOK)
	if s.text("select count(*) from delegates where ticket_id = $1 and user_id = $2 and used_at is not null", alone.ticket, dev) != "0" {
		t.Error("the owner's look counts as a use")
	}

	preview := owner.get("/reach/"+dev).want(http.StatusOK, "Dev Team 1")
	links := func(a *answer, prefix string) []string {
		var ids []string
		a.find("main a[href^='" + prefix + "']").Each(func(_ int, link *goquery.Selection) {
			id := strings.TrimPrefix(link.AttrOr("href", ""), prefix)
			if len(id) == 36 && !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		})
		slices.Sort(ids)
		return ids
	}
	// Of what the person's own lists hold, the owner's.
	owned := func(table string, ids []string) []string {
		ids = strings.Fields(s.text("select string_agg(t.id::text, ' ' order by t.id::text) from "+table+` t join account_users au on au.account_id = t.account_id and au.relation = 'owner'
			where au.user_id = $1 and t.id = any($2::uuid[])`, s.userID(bea), ids))
		return ids
	}
	shown := links(preview, "/reach/"+dev+"/tickets/")
	sees := owned("tickets", append(links(them.get("/support"), "/support/"), links(them.get("/support/closed"), "/support/")...))
	if !slices.Equal(shown, sees) || !slices.Contains(shown, alone.ticket) || !slices.Contains(shown, made.ticket) || slices.Contains(shown, hidden.ticket) {
		t.Errorf("the preview has the tickets %v, the person %v", shown, sees)
	}
	contracts := owned("contracts", links(them.get("/products"), "/contracts/"))
	if got := preview.find("#contracts ~ .sheet").Length(); got != len(contracts) {
		t.Errorf("the preview has %d contracts, the person %v", got, contracts)
	}
	facts := map[string]bool{}
	for _, id := range contracts {
		them.get("/contracts/" + id).want(http.StatusOK).find("main dd").Each(func(_ int, dd *goquery.Selection) { facts[strings.Join(strings.Fields(dd.Text()), " ")] = true })
	}
	preview.find("#contracts ~ .sheet dl.facts div").Each(func(_ int, fact *goquery.Selection) {
		name, value := strings.TrimSpace(fact.Find("dt").Text()), strings.Join(strings.Fields(fact.Find("dd").Text()), " ")
		if name != "Product" && !facts[value] {
			t.Errorf("the preview says %s %q, which the person's pages don't", name, value)
		}
	})
	for _, id := range shown {
		as := owner.get("/reach/"+dev+"/tickets/"+id).want(http.StatusOK, "as Dev Team 1 reads it")
		if as.find("main form, main textarea").Length() != 0 {
			t.Errorf("something can be done in the preview of %s", id)
		}
		theirs := them.get("/support/" + id).want(http.StatusOK)
		want := strings.ReplaceAll(theirs.words(".thread"), "You", "Dev Team 1")
		if got := as.words(".thread"); got != want {
			t.Errorf("the preview of %s reads\n%s\nthe person\n%s", id, got, want)
		}
		if strings.Contains(as.body, "canary") {
			t.Errorf("the preview of %s holds a note or a draft", id)
		}
	}

	// Nothing else opens by this address.
	owner.get("/reach/" + dev + "/tickets/" + hidden.ticket).want(http.StatusNotFound)
	s.exec("insert into delegates (ticket_id, user_id, status, invited_by_name, accepted_at) values ($1, $2, 'accepted', '', now())", made.ticket, s.userID(sam))
	owner.get("/reach/" + s.userID(sam) + "/tickets/" + made.ticket).want(http.StatusNotFound)
	s.signIn("stella@corvid.example").get("/reach/" + dev + "/tickets/" + made.ticket).want(http.StatusNotFound)
	them.get("/reach/" + dev + "/tickets/" + made.ticket).want(http.StatusNotFound)
}
