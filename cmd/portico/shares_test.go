package main

import (
	"net/http"
	"net/url"
	"testing"
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
