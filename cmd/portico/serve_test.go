package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"portico/app/db/dbtest"
	"portico/app/dev"
	"portico/app/keys"
	"portico/app/server"
)

// soak lengthens the tests of faults: make soak.
var soak = os.Getenv("PORTICO_SOAK") != ""

// TestServe_TwoOnOneDatabase: two processes on one empty database migrate it once, and know each other's sessions at once.
func TestServe_TwoOnOneDatabase(t *testing.T) {
	t.Parallel()
	database, key := dbtest.Empty(t), keys.Generate()
	var two [2]*site
	var group sync.WaitGroup
	for i := range two {
		group.Go(func() { two[i] = start(t, options{database: database, keys: key, empty: true, production: true}) })
	}
	group.Wait()
	a, b := two[0], two[1]
	if a == nil || b == nil {
		t.Fatal("one of the two did not start")
	}
	for _, name := range []string{"schema_version", "store"} {
		if n := a.text("select count(*) from " + name); n != "1" {
			t.Errorf("%s rows in %s", n, name)
		}
	}
	if err := a.accounts.CreateAdmin(t.Context(), "Ada Moreau", ada, other); err != nil {
		t.Fatal(err)
	}
	c := a.visitor()
	c.signIn(ada, other).want(http.StatusSeeOther)
	elsewhere := &client{t, b, c.http} // the cookies hold for both: they go by the host
	elsewhere.get("/security").want(http.StatusOK)
	c.get("/security").submit("/sign-out").want(http.StatusSeeOther)
	elsewhere.get("/security").want(http.StatusSeeOther)
	// And the other way round, while the one still believes in it.
	c.signIn(ada, other).want(http.StatusSeeOther)
	c.get("/security").want(http.StatusOK)
	elsewhere.get("/security").submit("/sign-out").want(http.StatusSeeOther)
	if got := c.get("/security"); got.status != http.StatusSeeOther {
		t.Errorf("ended at the one, it gets %d at the other", got.status)
	}
}

// TestServe_HasNothingOfTheDevRun: no address of it, no set-up page, no hint of demo people.
func TestServe_HasNothingOfTheDevRun(t *testing.T) {
	t.Parallel()
	s := start(t, options{production: true, idle: true})
	c := s.visitor()
	production := map[string]bool{}
	for _, route := range server.Routes(server.Handlers{}, false) {
		production[route.Method+" "+route.Path] = true
	}
	absent := 0
	for _, route := range server.Routes(server.Handlers{}, true) {
		if production[route.Method+" "+route.Path] {
			continue
		}
		absent++
		path := strings.ReplaceAll(route.Path, ":id", "x")
		var a *answer
		if route.Method == http.MethodGet {
			a = c.get(path)
		} else {
			a = c.post(path, url.Values{"email": {ada}}, http.Header{"X-Csrf-Token": {c.token()}})
		}
		if a.status != http.StatusNotFound {
			t.Errorf("%s %s: got %d", route.Method, route.Path, a.status)
		}
	}
	if absent == 0 {
		t.Error("the dev run has no routes of its own: this test tests nothing")
	}
	for _, path := range []string{"/setup", "/install", "/admin/create", "/debug/pprof/", "/metrics", "/.env", "/dev"} {
		c.get(path).want(http.StatusNotFound)
	}
	for _, word := range []string{"Demo", "One click", "/dev/", "Mailbox"} {
		if page := c.get("/sign-in"); strings.Contains(page.body, word) {
			t.Errorf("the sign-in page says %q", word)
		}
	}
}

// TestServe_StaffSetUpASecondFactor: until they have one they get nowhere else, and then everywhere.
func TestServe_StaffSetUpASecondFactor(t *testing.T) {
	t.Parallel()
	s := start(t, options{production: true})
	w := s.browse(t, screen{})
	signIn(w, sam, dev.DemoPassword)
	w.at("/security")
	w.says("This store asks its staff for a second factor.")
	w.visit("/admin")
	w.at("/security")
	w.press("Set up")
	w.at("/security/authenticator")
	key := w.read(".secret-key")
	w.fill("Code", code(t, key))
	w.press("Confirm code")
	w.says("Each code signs you in once")
	w.visit("/admin")
	w.at("/admin")
	// A client is not asked.
	client := s.browse(t, screen{})
	signIn(client, bea, dev.DemoPassword)
	client.at("/")
}

// program builds the program once, and returns its path.
var program = sync.OnceValues(func() (string, error) {
	folder, err := os.MkdirTemp("", "portico-program-")
	if err != nil {
		return "", err
	}
	file := filepath.Join(folder, "portico")
	build := exec.Command("go", "build", "-o", file, ".")
	if output, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the program: %w\n%s", err, output)
	}
	return file, nil
})

func removeProgram() {
	if file, err := program(); err == nil {
		os.RemoveAll(filepath.Dir(file))
	}
}

// process is the program as a process of its own.
type process struct {
	t    testing.TB
	cmd  *exec.Cmd
	out  bytes.Buffer // both streams; to be read after it ended
	url  string
	done chan struct{}
}

// runProgram starts the program with these variables alone, and waits until it says where it is, or ends.
func runProgram(t testing.TB, env []string, args ...string) *process {
	t.Helper()
	file, err := program()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, cmd: exec.Command(file, args...), done: make(chan struct{})}
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}, env...)
	p.cmd.Dir = t.TempDir()
	output, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Stderr = p.cmd.Stdout
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	at := make(chan string, 1)
	go func() {
		defer close(p.done)
		lines := bufio.NewScanner(output)
		for lines.Scan() {
			p.out.WriteString(lines.Text() + "\n")
			if address, ok := strings.CutPrefix(lines.Text(), "Portico is at "); ok {
				at <- address
			}
		}
		p.cmd.Wait()
	}()
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		<-p.done
	})
	select {
	case p.url = <-at:
	case <-p.done:
	case <-time.After(2 * patience):
		t.Fatal("the program does not start")
	}
	return p
}

// end sends a signal, waits for the end and returns the exit code.
func (p *process) end(signal os.Signal) int {
	p.t.Helper()
	if err := p.cmd.Process.Signal(signal); err != nil {
		p.t.Fatal(err)
	}
	return p.wait()
}

func (p *process) wait() int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(2 * patience):
		p.t.Fatal("the program does not end")
	}
	return p.cmd.ProcessState.ExitCode()
}

// freeAddr is an address that nobody listens on now.
func freeAddr(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// production are variables with which portico serve starts.
func production(t testing.TB, database string) (env []string, addr string) {
	t.Helper()
	addr = freeAddr(t)
	return []string{
		"PORTICO_ADDR=" + addr, "DATABASE_URL=" + database, "PORTICO_SECRET_KEY=" + keys.Generate(), "SMTP_URL=smtp://127.0.0.1:1", "PORTICO_BLOB_URL=file://" + filepath.Join(t.TempDir(), "files"),
	}, addr
}

// TestSignal_UnderLoadLosesNoRequest: from SIGTERM on, who gets in gets an answer; who does not is told at the door.
func TestSignal_UnderLoadLosesNoRequest(t *testing.T) {
	t.Parallel()
	env, _ := production(t, dbtest.NewURL(t))
	p := runProgram(t, env, "serve")
	var answered, refused, lost atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var group sync.WaitGroup
	warm := make(chan struct{})
	var once sync.Once
	for range 8 {
		group.Go(func() {
			// Each request has a connection of its own: reusing one that the server is closing is the client's risk.
			transport := &http.Transport{DisableKeepAlives: true}
			for ctx.Err() == nil {
				response, err := transport.RoundTrip(must(http.NewRequest("GET", p.url+"/sign-in", nil)))
				if err != nil {
					if errors.Is(err, syscall.ECONNREFUSED) {
						refused.Add(1)
						return
					}
					// The kernel took the connection for a listener that closed before it was accepted: nothing was read of it.
					if errors.Is(err, syscall.ECONNRESET) {
						refused.Add(1)
						continue
					}
					lost.Add(1)
					t.Errorf("a request got no answer: %v", err)
					return
				}
				// 429 is an answer too: so many visitors from one address are too many.
				whole := response.StatusCode == http.StatusOK || response.StatusCode == http.StatusTooManyRequests
				if _, err := io.Copy(io.Discard, response.Body); err != nil || !whole {
					lost.Add(1)
					t.Errorf("a request got %d, and then %v", response.StatusCode, err)
				}
				response.Body.Close()
				if answered.Add(1) == 100 {
					once.Do(func() { close(warm) })
				}
			}
		})
	}
	select {
	case <-warm:
	case <-p.done:
		t.Fatalf("it ended by itself:\n%s", p.out.String())
	case <-time.After(2 * patience):
		t.Fatal("no 100 answers")
	}
	began := time.Now()
	if got := p.end(syscall.SIGTERM); got != 0 {
		t.Errorf("exit code %d\n%s", got, p.out.String())
	}
	took := time.Since(began)
	cancel()
	group.Wait()
	t.Logf("%d answered, %d turned away, %d lost, stopped in %v", answered.Load(), refused.Load(), lost.Load(), took.Round(time.Millisecond))
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// TestKill_DevRunGoesOnWhereItWas: kill -9 of everything, PostgreSQL included, and the next start has the data.
func TestKill_DevRunGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	env := []string{"PORTICO_ADDR=" + freeAddr(t), "PORTICO_DATA_DIR=" + filepath.Join(t.TempDir(), "data")}
	rounds := 1
	if soak {
		rounds = 20
	}
	p := runProgram(t, env, "dev")
	if p.url == "" {
		t.Fatalf("the dev run does not start:\n%s", p.out.String())
	}
	for range rounds {
		name := "Killed at " + time.Now().Format(time.RFC3339Nano)
		s := &site{t: t, url: p.url}
		c := s.signIn(bea)
		c.get("/profile").submit("/profile", "name", name).want(http.StatusSeeOther)
		p.end(syscall.SIGKILL)
		p = runProgram(t, env, "dev")
		if p.url == "" {
			t.Fatalf("it does not start again:\n%s", p.out.String())
		}
		if again := (&client{t, &site{t: t, url: p.url}, c.http}).get("/profile"); again.status != http.StatusOK || !strings.Contains(again.body, name) {
			t.Errorf("after kill -9 the session gets %d, and the name is lost: %t", again.status, !strings.Contains(again.body, name))
		}
	}
	if got := p.end(syscall.SIGINT); got != 0 {
		t.Errorf("Ctrl-C ends it with %d\n%s", got, p.out.String())
	}
	if strings.Contains(p.out.String(), "The demo store is loaded") {
		t.Error("the demo store was loaded again")
	}
}

// TestWrongVariables: one line that names the variable, what it holds and what it may hold; never a secret; exit code 1.
func TestWrongVariables(t *testing.T) {
	t.Parallel()
	good := map[string]string{
		"DATABASE_URL": "postgres://portico@127.0.0.1:1/portico", "SMTP_URL": "smtp://127.0.0.1:25", "PORTICO_BLOB_URL": "file://" + t.TempDir(), "PORTICO_SECRET_KEY": strings.Repeat("k", 44),
	}
	for _, c := range []struct{ name, value, says string }{
		{"DATABASE_URL", "", "DATABASE_URL is not set"},
		{"DATABASE_URL", "mysql://root:hunter2@db/portico", "DATABASE_URL holds"},
		{"SMTP_URL", "", "SMTP_URL is not set"},
		{"SMTP_URL", "http://mail:hunter2@mail.example", "SMTP_URL holds"},
		{"SMTP_URL", "smtp://user:hunter2@mail.example:port", "SMTP_URL holds"},
		{"PORTICO_BLOB_URL", "", "PORTICO_BLOB_URL is not set"},
		{"PORTICO_BLOB_URL", "/srv/files", "PORTICO_BLOB_URL holds"},
		{"PORTICO_BLOB_URL", "s3://key:hunter2@bucket?endpoint=here", "PORTICO_BLOB_URL holds"},
		{"PORTICO_SECRET_KEY", "", "PORTICO_SECRET_KEY is not set"},
		{"PORTICO_SECRET_KEY", "hunter2", "PORTICO_SECRET_KEY holds"},
		{"PORTICO_ADDR", "here", `PORTICO_ADDR holds "here"`},
		{"PORTICO_ADDR", "127.0.0.1:99999", `PORTICO_ADDR holds "127.0.0.1:99999"`},
		{"PORTICO_URL", "portal.example", `PORTICO_URL holds "portal.example"`},
		{"PORTICO_URL", "https://portal.example/path", "PORTICO_URL holds"},
		{"PORTICO_METRICS_ADDR", "9090", `PORTICO_METRICS_ADDR holds "9090"`},
		{"PORTICO_TRUSTED_PROXIES", "10.0.0.0/8, proxy", `PORTICO_TRUSTED_PROXIES holds "proxy"`},
		{"PORTICO_OUTBOUND_ALLOW", "0.0.0.0/0", `PORTICO_OUTBOUND_ALLOW holds "0.0.0.0/0"`},
		{"PORTICO_LOG", "xml", `PORTICO_LOG holds "xml"`},
	} {
		getenv := func(name string) string {
			if name == c.name {
				return c.value
			}
			return good[name]
		}
		err := command(t.Context(), []string{"serve"}, strings.NewReader(""), io.Discard, getenv)
		if err == nil {
			t.Errorf("%s=%q is taken", c.name, c.value)
			continue
		}
		if text := err.Error(); !strings.HasPrefix(text, c.says) || strings.Contains(text, "\n") || strings.Contains(text, "hunter2") {
			t.Errorf("%s=%q: %q", c.name, c.value, text)
		}
	}
	// The same by the program.
	p := runProgram(t, []string{"PORTICO_LOG=xml", "DATABASE_URL=postgres://x@127.0.0.1:1/x", "SMTP_URL=smtp://127.0.0.1:25", "PORTICO_BLOB_URL=file://" + t.TempDir(), "PORTICO_SECRET_KEY=" + keys.Generate()}, "serve")
	if got := p.wait(); got != 1 || strings.Count(p.out.String(), "\n") != 1 || !strings.Contains(p.out.String(), "PORTICO_LOG") {
		t.Errorf("exit code %d, and it says:\n%s", got, p.out.String())
	}
}

// TestTakenPort: the commonest reason not to start is told in one line.
func TestTakenPort(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	p := runProgram(t, []string{"PORTICO_ADDR=" + listener.Addr().String(), "PORTICO_DATA_DIR=" + t.TempDir()}, "dev")
	if got := p.wait(); got != 1 || strings.Count(p.out.String(), "\n") != 1 || !strings.Contains(p.out.String(), "PORTICO_ADDR holds") {
		t.Errorf("exit code %d, and it says:\n%s", got, p.out.String())
	}
}

func TestCommands(t *testing.T) {
	t.Parallel()
	none := func(string) string { return "" }
	ask := func(args ...string) (string, error) {
		var out bytes.Buffer
		err := command(t.Context(), args, strings.NewReader(""), &out, none)
		return out.String(), err
	}
	text, err := ask("routes", "--json")
	var listed []struct{ Method, Path, Permission string }
	if err != nil || json.Unmarshal([]byte(text), &listed) != nil || len(listed) != len(server.Routes(server.Handlers{}, false)) {
		t.Errorf("routes --json: %d routes, %v", len(listed), err)
	}
	for _, route := range listed {
		if route.Method == "" || route.Permission == "" || !strings.HasPrefix(route.Path, "/") {
			t.Errorf("routes --json has %v", route)
		}
	}
	if text, err := ask("routes"); err != nil || !strings.Contains(text, "security.edit") {
		t.Errorf("routes: %v\n%s", err, text)
	}
	if text, err := ask("help"); err != nil || !strings.Contains(text, "portico serve") {
		t.Errorf("help: %v\n%s", err, text)
	}
	for _, args := range [][]string{{}, {"fly"}, {"admin"}, {"admin", "delete"}, {"routes", "--xml"}, {"routes", "more"}, {"serve", "--nothing"}} {
		if _, err := ask(args...); err == nil {
			t.Errorf("portico %s is taken", strings.Join(args, " "))
		}
	}
}

// TestAdminCreate_Doctor: from an empty database to a first admin, with the doctor's word before and after.
func TestAdminCreate_Doctor(t *testing.T) {
	t.Parallel()
	mailbox, err := dev.OpenMailbox(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	mails, err := dev.ServeMail(mailbox)
	if err != nil {
		t.Fatal(err)
	}
	defer mails.Close()
	env := map[string]string{"DATABASE_URL": dbtest.Empty(t), "SMTP_URL": mails.URL(), "PORTICO_BLOB_URL": "file://" + t.TempDir(), "PORTICO_SECRET_KEY": keys.Generate(), "PORTICO_URL": "https://portal.example"}
	ask := func(in string, args ...string) (string, error) {
		file, err := program()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), file, args...)
		for name, value := range env {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
		cmd.Stdin = strings.NewReader(in)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if text, err := ask("", "doctor"); err == nil || !strings.Contains(text, "WRONG  schema") || !strings.Contains(text, "portico migrate") || strings.Contains(text, "SQLSTATE") {
		t.Errorf("before migrating: %v\n%s", err, text)
	}
	for range 2 {
		if _, err := ask("", "migrate"); err != nil {
			t.Fatal(err)
		}
	}
	if text, err := ask("", "doctor"); err == nil || !strings.Contains(text, "WRONG  admin") || !strings.Contains(text, "ok     schema") {
		t.Errorf("before the first admin: %v\n%s", err, text)
	}
	for _, c := range []struct{ in, name, email string }{
		{"12345678\n", "Ada", ada}, {"", "Ada", ada}, {other + "\n", "", ada}, {other + "\n", "Ada", "nobody"},
	} {
		if text, err := ask(c.in, "admin", "create", "--name", c.name, "--email", c.email); err == nil || strings.Contains(text, "12345678") {
			t.Errorf("%+v: %v\n%s", c, err, text)
		}
	}
	if text, err := ask(other+"\n", "admin", "create", "--name", "Ada Moreau", "--email", ada); err != nil || !strings.Contains(text, "https://portal.example/sign-in") {
		t.Errorf("create: %v\n%s", err, text)
	}
	if _, err := ask(other+"\n", "admin", "create", "--name", "Ada Moreau", "--email", strings.ToUpper(ada)); err == nil {
		t.Error("the address was taken twice")
	}
	text, err := ask("", "doctor")
	if strings.Contains(text, "WRONG  admin") || strings.Contains(text, "WRONG  mail") || strings.Contains(text, "WRONG  public") {
		t.Errorf("after all: %v\n%s", err, text)
	}
	env["SMTP_URL"], env["PORTICO_URL"] = "smtp://127.0.0.1:1", "http://portal.example"
	if text, err := ask("", "doctor"); err == nil || !strings.Contains(text, "WRONG  mail server") || !strings.Contains(text, "WRONG  public address") {
		t.Errorf("without mail server: %v\n%s", err, text)
	}
}

// TestReady: a mail server out of reach is a warning, no reason to stop.
func TestReady(t *testing.T) {
	t.Parallel()
	s := start(t, options{idle: true})
	var answer struct {
		Ready    bool
		Warnings []string
	}
	if err := json.Unmarshal([]byte(s.visitor().get("/readyz").want(http.StatusOK).body), &answer); err != nil || !answer.Ready || len(answer.Warnings) != 0 {
		t.Errorf("got %+v, %v", answer, err)
	}
	env, addr := production(t, dbtest.NewURL(t))
	p := runProgram(t, append(env, "PORTICO_METRICS_ADDR="+freeAddr(t)), "serve")
	if p.url != "http://"+addr {
		t.Fatalf("it is at %q\n%s", p.url, p.out.String())
	}
	away := &site{t: t, url: p.url}
	if err := json.Unmarshal([]byte(away.visitor().get("/readyz").want(http.StatusOK).body), &answer); err != nil || !answer.Ready || len(answer.Warnings) != 1 {
		t.Errorf("without its mail server: %+v, %v", answer, err)
	}
}

// BenchmarkStart is from starting the built program on the data of an earlier dev run until the first page is there.
func BenchmarkStart(b *testing.B) {
	env := []string{"PORTICO_ADDR=" + freeAddr(b), "PORTICO_DATA_DIR=" + filepath.Join(b.TempDir(), "data")}
	runProgram(b, env, "dev").end(syscall.SIGINT)
	for b.Loop() {
		p := runProgram(b, env, "dev")
		(&site{t: b, url: p.url}).visitor().get("/sign-in").want(http.StatusOK)
		b.StopTimer()
		p.end(syscall.SIGINT)
		b.StartTimer()
	}
}
