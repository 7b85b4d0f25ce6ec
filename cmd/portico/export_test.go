package main

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// TestExport: the owner's archive of a ticket holds its messages and files and nothing of the store's notes; nobody else gets one.
func TestExport(t *testing.T) {
	t.Parallel()
	s := start(t, options{idle: true})
	owner, staff := s.signIn(bea), s.signIn(sam)
	picture := "GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
	first, second := owner.uploaded("new", "../../con.gif", picture), owner.uploaded("new", "con.gif", picture)
	ticket := owner.opened(first, second)
	s.exec("update tickets set subject = '<b>Hostile</b> & co' where id = $1", ticket)
	owner.post("/support/"+ticket+"/messages", url.Values{"body": {"Look: ![it](/files/" + first + ")\n\n<script>alert(1)</script>"}}, http.Header{"X-CSRF-Token": {owner.token()}}).want(http.StatusSeeOther)
	staff.post("/admin/support/"+ticket+"/messages?compose=note", url.Values{"body": {"canary-note"}}, http.Header{"X-CSRF-Token": {staff.token()}}).want(http.StatusSeeOther)
	path := "/support/" + ticket + "/export"
	a := owner.get(path).want(http.StatusOK)
	if got := a.header.Get("Content-Disposition"); !strings.HasPrefix(got, `attachment; filename="ticket-`) || a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("the archive comes as %q, cached %q", got, a.header.Get("Cache-Control"))
	}
	archive, err := zip.NewReader(strings.NewReader(a.body), int64(len(a.body)))
	if err != nil {
		t.Fatal(err)
	}
	content := map[string]string{}
	for _, f := range archive.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		content[f.Name] = string(raw)
		if bytes.Contains(raw, []byte("canary")) {
			t.Errorf("%s holds a note", f.Name)
		}
	}
	if len(content) != 4 || content["files/001 con.gif"] != picture || content["files/002 con.gif"] != picture {
		t.Errorf("the archive holds %v", archive.File)
	}
	page := content["ticket.html"]
	if strings.Contains(page, "<script") || strings.Contains(page, "<b>Hostile") || strings.Contains(page, "/support/") || !strings.Contains(page, `src="files/001%20con.gif"`) || !strings.Contains(page, `href="files/002%20con.gif"`) {
		t.Errorf("the page is\n%s", page)
	}
	var data struct {
		Subject  string
		Messages []struct {
			Markdown string
			Files    []struct{ Path string }
		}
	}
	if err := json.Unmarshal([]byte(content["ticket.json"]), &data); err != nil || data.Subject != "<b>Hostile</b> & co" || len(data.Messages) != 2 || len(data.Messages[0].Files) != 2 {
		t.Errorf("the data are %s (%v)", content["ticket.json"], err)
	}
	staff.get(path).want(http.StatusForbidden)
	s.signIn("stella@corvid.example").get(path).want(http.StatusNotFound)
	// It is authorised as a download is: a file that can't be read any more breaks the archive off.
	s.exec("update attachments set size_bytes = 1 where id = $1", second)
	broken, err := owner.http.Get(s.url + path)
	if err != nil {
		return
	}
	defer broken.Body.Close()
	if _, err := io.ReadAll(broken.Body); err == nil {
		t.Error("an archive without one of its files ends as if it were whole")
	}
}
