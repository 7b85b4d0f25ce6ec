package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"portico/app/provisioning/drivers/generic"
)

// TestCallbacks: a store's own provider takes its time over a licence, and says when it is made. What it says is believed if it is
// signed, and only as far as to ask.
func TestCallbacks(t *testing.T) {
	t.Parallel()
	s := start(t, options{})
	text := base64.StdEncoding.EncodeToString([]byte("canary-signing-key-of-32-bytes!!"))
	key, err := generic.ParseKey(text)
	if err != nil {
		t.Fatal(err)
	}
	type call struct{ Function, Key, Callback, Reference string }
	calls := make(chan call, 100)
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if _, err := generic.Verify(r.Header.Get, body, time.Now(), key); err != nil {
			t.Error(err)
		}
		var c call
		if err := json.Unmarshal(body, &c); err != nil {
			t.Error(err)
		}
		switch {
		case c.Function == "test":
			fmt.Fprint(w, `{"status":"done"}`)
			return
		case c.Reference == "":
			w.WriteHeader(http.StatusAccepted)
			fmt.Fprint(w, `{"status":"waiting","reference":"order-7","after":3600}`)
		default:
			fmt.Fprint(w, `{"status":"done","data":{"license_key":"canary-license-4711","service_identifier":"svc-7"},"message":"Made: canary-license-4711"}`)
		}
		calls <- c
	}))
	defer provider.Close()

	ada := s.signIn("ada@northwind.example")
	made := ada.post("/admin/provisioning/configurations", url.Values{
		"name": {"Licences"}, "driver": {"generic"}, "category": {"software-licenses"}, "rate": {"50"}, "provider_url": {provider.URL}, "signing_key": {text},
	}, http.Header{"X-Csrf-Token": {ada.token()}})
	made.want(http.StatusSeeOther)
	configuration := s.text("select id::text from provision_configurations where name = 'Licences'")
	ada.get(made.header.Get("Location")).want(http.StatusOK)
	if tested := ada.post("/admin/provisioning/configurations/"+configuration+"/test", url.Values{}, http.Header{"X-Csrf-Token": {ada.token()}}); tested.status >= 400 {
		t.Errorf("test connection: %d %s", tested.status, tested.words("main"))
	}
	product := s.text("select id::text from contract_products where status = 'active' order by id limit 1")
	s.exec("update contract_products set category = 'software-licenses', configuration_id = $2, fields = '{}' where id = $1", product, configuration)
	ada.get("/admin/manage/" + product + "/create").want(http.StatusOK).submit("/admin/manage/" + product + "/create").want(http.StatusSeeOther)
	first := <-calls
	waits := "select count(*)::text from provision_runs where status = 'running' and waiting and operation_key::text = '" + first.Key + "'"
	wait(t, "the run waits for its provider", func() bool { return s.text(waits) == "1" })
	if first.Callback != s.url+"/callbacks/provisioning/"+configuration {
		t.Errorf("the callback address: %s", first.Callback)
	}

	post := func(address, id string, at time.Time, body string, key []byte) (int, string) {
		request, err := http.NewRequest(http.MethodPost, address, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		generic.Sign(request.Header, id, at, []byte(body), key)
		request.Header.Set("Content-Type", "application/json")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		said, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(bytes.ReplaceAll(said, []byte(request.URL.Path), nil))
	}
	news := `{"key":"` + first.Key + `"}`
	now, other := time.Now(), []byte("another-signing-key-of-32-bytes!")
	elsewhere := strings.Replace(first.Callback, configuration, "00000000-0000-7000-8000-000000000000", 1)
	for name, refused := range map[string]func() (int, string){
		"another key":      func() (int, string) { return post(first.Callback, "msg_1", now, news, other) },
		"long ago":         func() (int, string) { return post(first.Callback, "msg_2", now.Add(-6*time.Minute), news, key) },
		"no configuration": func() (int, string) { return post(elsewhere, "msg_3", now, news, key) },
		"no id": func() (int, string) {
			return post(strings.Replace(first.Callback, configuration, "x", 1), "msg_4", now, news, key)
		},
		"long":        func() (int, string) { return post(first.Callback, "msg_5", now, news+strings.Repeat(" ", 5000), key) },
		"no callback": func() (int, string) { return post(first.Callback, "msg_6", now, `{"key":7}`, key) },
	} {
		if status, _ := refused(); status != http.StatusForbidden {
			t.Errorf("%s: %d", name, status)
		}
	}
	if s.text(waits) != "1" || len(calls) != 0 {
		t.Error("what is not signed has woken the run")
	}
	if status, said := post(first.Callback, "msg_7", now, `{"key":"0198c0de-0000-7000-8000-000000000001"}`, key); status != http.StatusNoContent {
		t.Errorf("of a run that does not wait: %d %s", status, said)
	}
	if status, said := post(first.Callback, "msg_8", now, news, key); status != http.StatusNoContent {
		t.Errorf("news: %d %s", status, said)
	}
	if second := <-calls; second.Reference != "order-7" || second.Key != first.Key {
		t.Errorf("asked after: %+v", second)
	}
	done := "select count(*)::text from provision_runs where status = 'succeeded' and operation_key::text = '" + first.Key + "'"
	wait(t, "the run has succeeded", func() bool { return s.text(done) == "1" })
	jobs := s.text("select count(*)::text from river_job where kind = 'provision_action'")
	if status, _ := post(first.Callback, "msg_8", now, news, key); status != http.StatusNoContent || s.text("select count(*)::text from river_job where kind = 'provision_action'") != jobs {
		t.Errorf("sent again: %d", status)
	}

	// Neither the key nor the licence is anywhere in the database in a form that can be read.
	dump := s.text(`
		select string_agg(query_to_xml(format('select * from %I.%I', table_schema, table_name), true, true, '')::text, '')
		from information_schema.tables where table_schema = 'public' and table_type = 'BASE TABLE'`)
	if len(dump) < 10000 || !strings.Contains(dump, "order-7") {
		t.Errorf("the dump has %d characters", len(dump))
	}
	for _, secret := range []string{text, "canary", base64.StdEncoding.EncodeToString([]byte("canary-license-4711"))} {
		if at := strings.Index(dump, secret); at >= 0 {
			t.Errorf("%q is in the database: %s", secret, dump[max(0, at-300):min(len(dump), at+100)])
		}
	}
}
