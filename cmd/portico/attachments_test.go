package main

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"strings"
	"testing"

	"portico/app/attachments"
	"portico/app/blob"

	"github.com/PuerkitoBio/goquery"
)

// gif is a picture of one point.
const gif = "GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"

// upload hands a file in as the script does.
func (c *client) upload(object, name string, content io.Reader) *answer {
	c.t.Helper()
	return c.sized("/uploads?form="+url.QueryEscape(object), http.Header{
		"X-Csrf-Token": {c.token()}, "Hx-Request": {"true"}, "X-File-Name": {url.PathEscape(name)}, "Content-Type": {"application/octet-stream"},
	}, content)
}

// sized posts a body whose length is said, as browsers do, without having it in memory.
func (c *client) sized(path string, header http.Header, body io.Reader) *answer {
	c.t.Helper()
	request, err := http.NewRequestWithContext(c.t.Context(), "POST", c.site.url+path, body)
	if err != nil {
		c.t.Fatal(err)
	}
	if limited, ok := body.(*io.LimitedReader); ok {
		request.ContentLength = limited.N
	}
	request.Header = header
	response, err := c.http.Do(request)
	if err != nil {
		c.t.Fatalf("POST %s: %v", path, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		c.t.Fatalf("POST %s: %v", path, err)
	}
	return &answer{c, response.StatusCode, response.Header, string(text), path}
}

// uploaded is upload, and the new file's id.
func (c *client) uploaded(object, name, content string) string {
	c.t.Helper()
	id, ok := c.upload(object, name, strings.NewReader(content)).want(http.StatusOK).find("li").Attr("data-id")
	if !ok {
		c.t.Fatal("no id in the row")
	}
	return id
}

// part is a field of a multipart form, or a file if it has a name.
type part struct{ field, name, text string }

// send posts a multipart form as a browser without a script does.
func (c *client) send(path string, parts ...part) *answer {
	c.t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	field := func(w io.Writer, err error, text string) {
		if err == nil {
			_, err = io.WriteString(w, text)
		}
		if err != nil {
			c.t.Fatal(err)
		}
	}
	w, err := form.CreateFormField("_csrf")
	field(w, err, c.token())
	for _, p := range parts {
		if p.field == "attachments" {
			w, err = form.CreateFormFile(p.field, p.name)
		} else {
			w, err = form.CreateFormField(p.field)
		}
		field(w, err, p.text)
	}
	form.Close()
	return c.do("POST", path, http.Header{"Content-Type": {form.FormDataContentType()}}, &body)
}

func (s *site) count(sql string, args ...any) string {
	s.t.Helper()
	return s.text("select count(*) from "+sql, args...)
}

// opened opens a ticket of somebody's with the files handed in for it.
func (c *client) opened(uploads ...string) (ticket string) {
	c.t.Helper()
	a := c.post("/support", url.Values{"subject": {"Attached"}, "body": {"See the file."}, "uploads": uploads}, http.Header{"X-Csrf-Token": {c.token()}})
	a.want(http.StatusSeeOther)
	path, _, _ := strings.Cut(a.header.Get("Location"), "#")
	return strings.TrimPrefix(path, "/support/")
}

func TestAttachments_WithoutScript(t *testing.T) {
	t.Parallel()
	s := start(t, options{idle: true})
	bea := s.signIn("bea@bluebird.example")
	a := bea.send("/support", part{"subject", "", "Broken form"}, part{"body", "", "It sends **nothing**."},
		part{"attachments", "", ""}, part{"attachments", "shot.gif", gif}, part{"attachments", "headers.txt", "X: y"})
	a.want(http.StatusSeeOther)
	page := a.follow().want(http.StatusOK, "headers.txt")
	var links []string
	page.find(".files a").Each(func(_ int, link *goquery.Selection) { links = append(links, link.AttrOr("href", "")) })
	if len(links) != 2 {
		t.Fatalf("links to files: %v", links)
	}
	got := bea.get(links[1]).want(http.StatusOK)
	if got.body != "X: y" && got.body != gif {
		t.Errorf("got %q", got.body)
	}
	for name, want := range map[string]string{
		"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; sandbox; frame-ancestors 'none'", "Cache-Control": "no-store",
	} {
		if got.header.Get(name) != want {
			t.Errorf("%s: %q", name, got.header.Get(name))
		}
	}

	// A failed file loses nothing: the text stands in the form, and the good file waits.
	before := s.count("tickets")
	again := bea.send("/support", part{"subject", "", "Keep me"}, part{"body", "", "And all of this."},
		part{"attachments", "good.txt", "good"}, part{"attachments", "virus.exe", "MZ"}, part{"attachments", "empty.txt", ""}, part{"department", "", ""})
	again.want(http.StatusUnprocessableEntity, "virus.exe", "empty.txt is empty", "good.txt", "And all of this.")
	if subject, _ := again.find("#subject").Attr("value"); subject != "Keep me" {
		t.Errorf("the subject became %q", subject)
	}
	if s.count("tickets") != before {
		t.Error("a ticket was opened all the same")
	}
}

func TestAttachments_WhoGetsThem(t *testing.T) {
	t.Parallel()
	s := start(t, options{idle: true})
	bea, stella, sam, ada := s.signIn("bea@bluebird.example"), s.signIn("stella@corvid.example"), s.signIn("sam@northwind.example"), s.signIn("ada@northwind.example")
	waiting := bea.uploaded("new", "shot.gif", gif)

	// Before it is posted it is its owner's only: to see, to remove, to attach.
	bea.get("/files/" + waiting).want(http.StatusOK)
	for _, other := range []*client{stella, sam, ada} {
		other.get("/files/" + waiting).want(http.StatusNotFound)
		other.post("/uploads/"+waiting+"/remove", nil, http.Header{"X-Csrf-Token": {other.token()}}).want(http.StatusNotFound)
	}
	a := stella.post("/support", url.Values{"subject": {"Theft"}, "body": {"Mine"}, "uploads": {waiting}}, http.Header{"X-Csrf-Token": {stella.token()}})
	a.want(http.StatusUnprocessableEntity)
	if s.count("tickets where subject = 'Theft'") != "0" {
		t.Error("a ticket with somebody else's file was opened")
	}

	ticket := bea.opened(waiting)
	path := "/support/" + ticket + "/files/" + waiting
	bea.get(path).want(http.StatusOK)
	bea.get("/files/" + waiting).want(http.StatusOK)
	ada.get("/admin" + path).want(http.StatusOK)
	sam.get("/admin" + path).want(http.StatusOK)
	absent := stella.get("/support/" + ticket + "/files/00000000-0000-4000-8000-000000000000").want(http.StatusNotFound)
	foreign := stella.get(path).want(http.StatusNotFound)
	if bare(absent) != bare(foreign) {
		t.Error("a foreign file looks different from one that is not there")
	}
	stella.get("/files/" + waiting).want(http.StatusNotFound)
	s.visitor().get(path).want(http.StatusSeeOther)

	// Below another ticket, even an own one, it is absent. Posted, it is nobody's to remove or to post again.
	other := bea.opened()
	bea.get("/support/" + other + "/files/" + waiting).want(http.StatusNotFound)
	bea.post("/uploads/"+waiting+"/remove", nil, http.Header{"X-Csrf-Token": {bea.token()}}).want(http.StatusNotFound)
	bea.post("/support/"+other+"/messages", url.Values{"body": {"Again"}, "uploads": {waiting}}, http.Header{"X-Csrf-Token": {bea.token()}}).want(http.StatusUnprocessableEntity)

	// A file of a reply's form does not go onto another form's message, nor one that is not an id.
	reply := bea.uploaded("ticket:"+ticket, "a.txt", "a")
	for _, id := range []string{reply, "1", "' or true --", strings.Repeat("x", 1000)} {
		bea.post("/support/"+other+"/messages", url.Values{"body": {"Mixed"}, "uploads": {id}}, http.Header{"X-Csrf-Token": {bea.token()}}).want(http.StatusUnprocessableEntity)
	}

	// An internal note's file reaches no account holder.
	note := sam.uploaded("note:"+ticket, "secret.gif", gif)
	s.exec(`with m as (insert into ticket_messages (ticket_id, author_id, author_name, voice, internal, body, html)
			values ($1, $2, 'Sam', 'store', true, 'x', 'x') returning id)
		update attachments set message_id = m.id, object = null from m where attachments.id = $3`, ticket, s.userID("sam@northwind.example"), note)
	sam.get("/admin/support/" + ticket + "/files/" + note).want(http.StatusOK)
	bea.get("/support/" + ticket + "/files/" + note).want(http.StatusNotFound)
	bea.get("/files/" + note).want(http.StatusNotFound)
	if strings.Contains(bea.get("/support/"+ticket).body, "secret.gif") {
		t.Error("the name of a note's file stands on the client's page")
	}

	// Forms that are not the viewer's to add to take no file.
	for object, c := range map[string]*client{"ticket:" + ticket: stella, "note:" + ticket: bea, "message:" + ticket: bea, "x": bea, "": bea} {
		if a := c.upload(object, "a.txt", strings.NewReader("a")); a.status != http.StatusNotFound && a.status != http.StatusForbidden {
			t.Errorf("%q took a file: %d", object, a.status)
		}
	}
	// A right that is gone is gone at the next request.
	s.exec("delete from account_users where user_id = $1", s.userID("bea@bluebird.example"))
	bea.get(path).want(http.StatusNotFound)
	bea.get("/files/" + waiting).want(http.StatusNotFound)
	s.exec("update users set disabled_at = now() where email = 'sam@northwind.example'")
	if a := sam.get("/admin" + path); a.status == http.StatusOK {
		t.Error("a disabled person got a file")
	}
}

func TestAttachments_HostileNamesAndTypes(t *testing.T) {
	t.Parallel()
	s := start(t, options{idle: true})
	bea := s.signIn("bea@bluebird.example")
	s.exec("update store set file_types = '{}', max_files = 50") // any type
	files := []struct{ name, content, want string }{
		{"page.html", "<script>alert(1)</script>", "page.html"},
		{"picture.svg", "<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", "picture.svg"},
		{"script.js", "alert(1)", "script.js"},
		{"fake.png", "<html><script>alert(1)</script>", "fake.png"},
		{"../../etc/passwd", "x", "passwd"},
		{`C:\Windows\system.ini`, "x", "system.ini"},
		{"a\r\nSet-Cookie: x=1\r\n.txt", "x", "a Set-Cookie_ x=1 .txt"},
		{"quote\"; filename=\"evil.html", "x", "quote_; filename=_evil.html"},
		{"invoice\u202Efdp.exe", "x", "invoicefdp.exe"},
		{"naïve résumé 文書.pdf", "x", "naïve résumé 文書.pdf"},
		{"...", "x", "file"},
		{"\x00\x01", "x", "file"},
		{strings.Repeat("long", 100) + ".tar.gz", "x", strings.Repeat("long", 30)[:117] + ".gz"},
		{"it's (1)*%41.txt", "x", "it's (1)_%41.txt"},
	}
	var ids []string
	for _, f := range files {
		ids = append(ids, bea.uploaded("new", f.name, f.content))
	}
	ticket := bea.opened(ids...)
	for i, f := range files {
		a := bea.get("/support/" + ticket + "/files/" + ids[i]).want(http.StatusOK)
		kind, params, err := mime.ParseMediaType(a.header.Get("Content-Disposition"))
		if err != nil || kind != "attachment" || params["filename"] != f.want {
			t.Errorf("%q: %q (%v)", f.name, a.header.Get("Content-Disposition"), err)
		}
		switch contentType := a.header.Get("Content-Type"); {
		case strings.Contains(contentType, "html"), strings.Contains(contentType, "svg"), strings.Contains(contentType, "script"), strings.Contains(contentType, "xml;"):
			t.Errorf("%q is sent as %q", f.name, contentType)
		}
		if a.header.Get("Set-Cookie") != "" || a.header.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(a.header.Get("Content-Security-Policy"), "sandbox") {
			t.Errorf("%q: headers %v", f.name, a.header)
		}
		if a.body != f.content {
			t.Errorf("%q came back as %q", f.name, a.body)
		}
		bea.get("/files/" + ids[i]).want(http.StatusNotFound) // none of them is a picture
	}
	// A picture whose file was changed behind our back is not shown.
	picture := bea.uploaded("new", "p.gif", gif)
	bea.get("/files/" + picture).want(http.StatusOK)
	key := s.text("select blob_key from attachments where id = $1", picture)
	if _, err := s.blobs.Put(t.Context(), key, strings.NewReader("<script>"+strings.Repeat(" ", len(gif)-8))); err != nil {
		t.Fatal(err)
	}
	bea.get("/files/" + picture).want(http.StatusNotFound)
}

func TestAttachments_Limits(t *testing.T) {
	t.Parallel()
	s := start(t, options{idle: true})
	bea, ada := s.signIn("bea@bluebird.example"), s.signIn("ada@northwind.example")
	save := func(mb, files, types string) *answer {
		t.Helper()
		return ada.post("/admin/settings/attachments", url.Values{"max_file_mb": {mb}, "max_files": {files}, "file_types": {types}}, http.Header{"X-Csrf-Token": {ada.token()}})
	}
	ada.get("/admin/settings/attachments").want(http.StatusOK, "Largest file")
	for _, bad := range [][3]string{{"0", "10", ""}, {"501", "10", ""}, {"x", "10", ""}, {"25", "51", ""}, {"25", "-1", ""}, {"25", "10", "p/ng"}} {
		save(bad[0], bad[1], bad[2]).want(http.StatusUnprocessableEntity)
	}
	save("1", "3", ".PNG, txt\ntxt").want(http.StatusSeeOther)
	if got := s.text("select max_file_mb || ' ' || max_files || ' ' || array_to_string(file_types, ',') from store"); got != "1 3 png,txt" {
		t.Errorf("stored: %s", got)
	}
	bea.upload("new", "a.pdf", strings.NewReader("x")).want(http.StatusUnprocessableEntity, "a.pdf can't be attached")
	bea.upload("new", "big.txt", io.LimitReader(zeros{}, 1<<20+1)).want(http.StatusUnprocessableEntity, "larger than 1 MB")
	bea.upload("new", "none.txt", strings.NewReader("")).want(http.StatusUnprocessableEntity, "is empty")
	if s.count("attachments") != "0" {
		t.Error("a refused file left a row")
	}
	bea.upload("new", "whole.txt", io.LimitReader(zeros{}, 1<<20)).want(http.StatusOK)
	bea.uploaded("new", "b.txt", "b")
	third := bea.uploaded("new", "c.txt", "c")
	bea.upload("new", "d.txt", strings.NewReader("d")).want(http.StatusUnprocessableEntity, "at most 3")
	bea.post("/uploads/"+third+"/remove", nil, http.Header{"X-Csrf-Token": {bea.token()}}).want(http.StatusNoContent)
	bea.uploaded("new", "d.txt", "d")

	// Ten thousand files in one form: a clear answer, and no more kept than may be.
	parts := []part{{"subject", "", "Many"}, {"body", "", "Files"}}
	for i := range 10_000 {
		parts = append(parts, part{"attachments", fmt.Sprint(i, ".txt"), "x"})
	}
	bea.send("/support", parts...).want(http.StatusUnprocessableEntity, "more than one form may hold")
	uploads := make([]string, 10_000)
	for i := range uploads {
		uploads[i] = fmt.Sprintf("00000000-0000-4000-8000-%012d", i)
	}
	bea.post("/support", url.Values{"subject": {"Many"}, "body": {"Files"}, "uploads": uploads}, http.Header{"X-Csrf-Token": {bea.token()}}).want(http.StatusUnprocessableEntity)
	if got := s.count("attachments"); got != "3" {
		t.Errorf("%s files are kept", got)
	}
	if s.count("tickets where subject = 'Many'") != "0" {
		t.Error("a ticket was opened")
	}
}

// TestAttachments_Memory: 30 MB come in and go out, and at no time is more than a part of them in memory.
func TestAttachments_Memory(t *testing.T) {
	s := start(t, options{idle: true})
	bea := s.signIn("bea@bluebird.example")
	s.exec("update store set max_file_mb = 40")
	const size = int64(30 << 20)
	allocated := func(work func()) int64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		work()
		runtime.ReadMemStats(&after)
		return int64(after.TotalAlloc - before.TotalAlloc)
	}
	var id string
	if got := allocated(func() {
		id, _ = bea.upload("new", "big.txt", io.LimitReader(zeros{}, size)).want(http.StatusOK).find("li").Attr("data-id")
	}); got > 8<<20 {
		t.Errorf("taking 30 MB allocated %d MB", got>>20)
	} else {
		t.Logf("taking 30 MB allocated %d KB", got>>10)
	}
	ticket := bea.opened(id)
	if got := allocated(func() {
		request, err := http.NewRequestWithContext(t.Context(), "GET", s.url+"/support/"+ticket+"/files/"+id, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := bea.http.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if n, err := io.Copy(io.Discard, response.Body); n != size || err != nil {
			t.Errorf("got %d bytes, %v", n, err)
		}
	}); got > 8<<20 {
		t.Errorf("sending 30 MB allocated %d MB", got>>20)
	} else {
		t.Logf("sending 30 MB allocated %d KB", got>>10)
	}
	// A form without a script, streamed as it is made.
	var head bytes.Buffer
	form := multipart.NewWriter(&head)
	for _, f := range [][2]string{{"_csrf", bea.token()}, {"subject", "Large"}, {"body", "See the file."}} {
		if err := form.WriteField(f[0], f[1]); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := form.CreateFormFile("attachments", "large.txt"); err != nil {
		t.Fatal(err)
	}
	tail := "\r\n--" + form.Boundary() + "--\r\n"
	length := int64(head.Len()) + size + int64(len(tail))
	whole := &io.LimitedReader{R: io.MultiReader(&head, io.LimitReader(zeros{}, size), strings.NewReader(tail)), N: length}
	if got := allocated(func() {
		bea.sized("/support", http.Header{"Content-Type": {form.FormDataContentType()}}, whole).want(http.StatusSeeOther)
	}); got > 8<<20 {
		t.Errorf("taking a form with 30 MB allocated %d MB", got>>20)
	} else {
		t.Logf("taking a form with 30 MB allocated %d KB", got>>10)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestAttachments_Sweep(t *testing.T) {
	t.Parallel()
	s := start(t, options{idle: true})
	bea := s.signIn("bea@bluebird.example")
	posted := bea.uploaded("new", "posted.txt", "posted")
	bea.opened(posted)
	old, fresh := bea.uploaded("new", "old.txt", "old"), bea.uploaded("new", "fresh.txt", "fresh")
	key := func(id string) string { return s.text("select blob_key from attachments where id = $1", id) }
	oldKey, keys := key(old), []string{key(posted), key(fresh)}
	s.exec("update attachments set created_at = now() - $1::interval - interval '1 minute' where id in ($2, $3)", attachments.KeptFor, old, posted)
	swept, err := s.files.Sweep(t.Context())
	if err != nil || swept != 1 {
		t.Fatalf("swept %d, %v", swept, err)
	}
	if s.count("attachments where id = $1", old) != "0" {
		t.Error("the old row is still there")
	}
	if _, err := s.blobs.Stat(t.Context(), oldKey); err == nil || !strings.Contains(err.Error(), blob.ErrNotFound.Error()) {
		t.Errorf("the old file: %v", err)
	}
	for _, key := range keys {
		if _, err := s.blobs.Stat(t.Context(), key); err != nil {
			t.Errorf("a file that was posted or is fresh: %v", err)
		}
	}
}

// TestAttachments_BrokenOff: a sender that goes away leaves nothing, and a body that nobody read is not the next request.
func TestAttachments_BrokenOff(t *testing.T) {
	t.Parallel()
	s := start(t, options{idle: true})
	bea := s.signIn("bea@bluebird.example")
	read, write := io.Pipe()
	request, err := http.NewRequestWithContext(t.Context(), "POST", s.url+"/uploads?form=new", read)
	if err != nil {
		t.Fatal(err)
	}
	request.ContentLength = 200_000
	request.Header = http.Header{"X-Csrf-Token": {bea.token()}, "X-File-Name": {"half.txt"}, "Content-Type": {"application/octet-stream"}}
	go func() {
		_, _ = write.Write(make([]byte, 100_000))
		_ = write.CloseWithError(os.ErrClosed)
	}()
	if response, err := bea.http.Do(request); err == nil {
		response.Body.Close()
		t.Errorf("half a file was answered with %d", response.StatusCode)
	}
	wait(t, "the half file is gone", func() bool { return s.count("attachments") == "0" })

	smuggled := "GET /profile HTTP/1.1\r\nHost: x\r\n\r\n"
	for range 3 {
		a := bea.do("POST", "/uploads?form=new", http.Header{"X-File-Name": {"a.txt"}}, strings.NewReader(smuggled)) // no token: refused unread
		a.want(http.StatusForbidden)
	}
	bea.do("POST", "/no-such-page", nil, strings.NewReader(smuggled)).want(http.StatusNotFound)
	tooMuch := bea.sized("/profile", http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, &io.LimitedReader{R: zeros{}, N: 3 << 20})
	tooMuch.want(http.StatusRequestEntityTooLarge)
	bea.get("/profile").want(http.StatusOK)
}
