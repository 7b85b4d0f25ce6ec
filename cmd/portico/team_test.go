package main

import (
	"net/http"
	"strings"
	"testing"
)

// TestTeam_Proof: what makes an admin, or weakens how a colleague signs in, asks for the password again once it was given
// long ago, and then leads back.
func TestTeam_Proof(t *testing.T) {
	t.Parallel()
	s := start(t, options{idle: true})
	c := s.signIn("ada@northwind.example")
	priya := "/admin/settings/team/" + s.userID("priya@northwind.example")
	s.exec(`insert into passkeys (user_id, credential_id, credential, name) select id, 'x', '{}', 'Phone' from users where email = 'priya@northwind.example'`)
	s.exec("update sessions set proved_at = now() - interval '1 hour'")

	a := c.get("/admin/settings/team/new").submit("/admin/settings/team", "name", "Kofi Mensah", "email", "kofi@northwind.example", "role", "admin")
	a.want(http.StatusSeeOther)
	if to := a.header.Get("Location"); !strings.HasPrefix(to, "/security/proof?next=%2Fadmin%2Fsettings%2Fteam%2Fnew%3F") {
		t.Errorf("inviting an admin leads to %s", to)
	}
	back := c.get("/admin/settings/team/new?name=Kofi+Mensah&email=kofi%40northwind.example&role=admin")
	if !strings.Contains(back.body, `value="Kofi Mensah"`) || strings.Contains(back.body, "checked") {
		t.Error("the form does not come back with the name and without a role")
	}
	for path, values := range map[string][]string{
		priya: {"name", "Priya Nair", "role", "admin"}, priya + "/factor/remove": nil,
	} {
		a := c.get(priya).submit(path, values...)
		a.want(http.StatusSeeOther)
		if to := a.header.Get("Location"); !strings.HasPrefix(to, "/security/proof?next=%2Fadmin%2Fsettings%2Fteam%2F") {
			t.Errorf("%s leads to %s", path, to)
		}
	}
	if s.text("select count(*) from users where role = 'admin' and email like 'kofi@%' or email like 'priya@%' and role = 'admin'") != "0" {
		t.Error("an admin was made without a proof")
	}
	s.exec("update sessions set proved_at = now()")
	c.get(priya).submit(priya + "/factor/remove").want(http.StatusSeeOther)
	if s.text("select count(*) from passkeys k join users u on u.id = k.user_id where u.email = 'priya@northwind.example'") != "0" {
		t.Error("the second factor is still there")
	}
}

func TestActivity_SaysSinceWhenTextWasSearched(t *testing.T) {
	t.Parallel()
	s := start(t, options{idle: true})
	c := s.signIn("ada@northwind.example")
	s.exec("insert into audit_entries (at, actor_name, action, object_type, object_name) values (now() - interval '40 days', 'Ada', 'store.edit', 'store', 'Longago')")
	const note = "Searched since"
	if a := c.get("/admin/settings/activity?q=longago").want(http.StatusOK, note); strings.Contains(a.words("#audit-entries"), "Longago") {
		t.Error("an entry older than 30 days is found without saying from when")
	}
	a := c.get("/admin/settings/activity?q=longago&from=2020-01-01").want(http.StatusOK, "Longago")
	if strings.Contains(a.body, note) {
		t.Error("the page explains a day that somebody chose")
	}
}
