package main

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"portico/app/keys"
	"portico/app/mail"
)

// TestKeysRotate: what was sealed with the old key is sealed with the new one, and the old one opens nothing any more.
func TestKeysRotate(t *testing.T) {
	t.Parallel()
	s := start(t, options{idle: true})
	id := s.userID(bea)
	s.exec("insert into authenticators (user_id, secret, confirmed_at) values ($1, $2, now())", id, s.keys.Seal("authenticator", id, []byte("twenty bytes of noise")))
	configuration := s.text("select id from provision_configurations where secrets is not null limit 1")
	sealed := func() []byte {
		var secrets []byte
		if err := s.pool.QueryRow(t.Context(), "select secrets from provision_configurations where id = $1", configuration).Scan(&secrets); err != nil {
			t.Fatal(err)
		}
		return secrets
	}
	before, err := s.keys.Open("provision-settings", configuration, sealed())
	if err != nil {
		t.Fatal(err)
	}
	fresh := keys.Generate()
	both, err := keys.Parse(fresh + "," + s.secret)
	if err != nil {
		t.Fatal(err)
	}
	only, err := keys.Parse(fresh)
	if err != nil {
		t.Fatal(err)
	}
	smtp, err := mail.ParseURL("smtp://127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for range 2 { // safe to run twice
		if err := rotateKeys(t.Context(), config{database: s.pool.Config().ConnString(), url: s.url, keys: both, smtp: smtp, blobs: s.blobs}, &out); err != nil {
			t.Fatal(err)
		}
	}
	if !strings.HasPrefix(out.String(), "1 secrets of authenticator apps") {
		t.Errorf("the command says %q", out.String())
	}
	after, err := only.Open("provision-settings", configuration, sealed())
	if err != nil || !bytes.Equal(after, before) {
		t.Errorf("with the new key alone: %v", err)
	}
	if _, err := s.keys.Open("provision-settings", configuration, sealed()); err == nil {
		t.Error("the old key still opens the settings of a configuration")
	}
	if left := s.text(`select count(*) from contract_products p, jsonb_each(p.fields) f where jsonb_typeof(f.value) = 'object' and f.value ? 'sealed'`); left == "0" {
		t.Error("no product has a sealed field: nothing is tested")
	}
	var fields int
	rows, err := s.pool.Query(t.Context(), `select p.id::text || '/' || f.key, decode(f.value ->> 'sealed', 'base64') from contract_products p, jsonb_each(p.fields) f
		where jsonb_typeof(f.value) = 'object' and f.value ? 'sealed'`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var object string
		var value []byte
		if err := rows.Scan(&object, &value); err != nil {
			t.Fatal(err)
		}
		if _, err := only.Open("provision-field", object, value); err != nil {
			t.Errorf("field %s: %v", object, err)
		}
		fields++
	}
	t.Logf("%d secret fields", fields)
	s.visitor().get("/sign-in").want(http.StatusOK)
}
