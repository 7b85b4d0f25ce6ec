//go:build unix

package private

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// helperDir makes this test binary a program that starts a server on the folder it names, says so, and waits: something
// that a test can kill, or run as another user.
const helperDir = "PORTICO_PRIVATE_TEST_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(helperDir); dir != "" {
		helper(dir)
		return
	}
	os.Exit(m.Run())
}

func helper(dir string) {
	server, err := Start(context.Background(), Options{Dir: dir})
	if err == nil {
		err = server.CreateDatabase(context.Background(), "kept")
	}
	if err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
	fmt.Println("started:", server.URL("kept"))
	io.Copy(io.Discard, os.Stdin)
	if err := server.Stop(); err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
}

type helperProcess struct {
	cmd    *exec.Cmd
	stdin  io.Closer
	answer <-chan string
}

// runHelper runs the helper as ourselves, or as the given account, and doesn't wait for its answer.
func runHelper(t *testing.T, dir string, as *syscall.Credential, env ...string) *helperProcess {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if as != nil {
		program = copyProgram(t, program)
	}
	cmd := exec.Command(program)
	cmd.Dir = "/"
	cmd.Env = append(append(os.Environ(), helperDir+"="+dir), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = writer, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	writer.Close()
	answer := make(chan string, 1)
	go func() {
		defer output.Close()
		line, _ := bufio.NewReader(output).ReadString('\n')
		answer <- strings.TrimSpace(line)
	}()
	h := &helperProcess{cmd: cmd, stdin: stdin, answer: answer}
	t.Cleanup(h.kill)
	return h
}

// copyProgram puts the test binary, which go test keeps in a closed folder, where every account can run it.
func copyProgram(t *testing.T, program string) string {
	t.Helper()
	dir := openDir(t)
	content, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "private.test")
	if err := os.WriteFile(path, content, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func (h *helperProcess) url(t *testing.T) string {
	t.Helper()
	answer := <-h.answer
	url, ok := strings.CutPrefix(answer, "started: ")
	if !ok {
		t.Fatalf("the helper answers %q", answer)
	}
	return url
}

func (h *helperProcess) kill() {
	h.cmd.Process.Kill()
	h.cmd.Wait()
}

// openDir is a temporary folder that every account can enter.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "portico-private-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// dataDir is a data folder yet to be made, removed with all that belongs to it when the test ends.
func dataDir(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(openDir(t), "postgres")
	t.Cleanup(func() {
		if err := Remove(context.Background(), dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func mustStart(t *testing.T, o Options) *Server {
	t.Helper()
	server, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Stop() })
	return server
}

func mustStop(t *testing.T, s *Server) {
	t.Helper()
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func exe(t *testing.T, url string, sql ...string) {
	t.Helper()
	conn := connect(t, url)
	for _, sql := range sql {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
}

func ask(t *testing.T, url, sql string) string {
	t.Helper()
	var answer string
	if err := connect(t, url).QueryRow(t.Context(), sql).Scan(&answer); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return answer
}

// until waits for a condition that nothing tells us of.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	limit := time.After(30 * time.Second)
	for !is() {
		select {
		case <-poll.C:
		case <-limit:
			t.Fatalf("waited too long for: %s", what)
		}
	}
}

// serverProcesses are the processes of the server on dir.
func serverProcesses(t *testing.T, dir string) []int {
	t.Helper()
	home, err := homeOf(dir)
	if err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(home, "data")
	name, err := clusterName(data)
	if err != nil {
		t.Fatal(err)
	}
	pids, err := serversOf(name, data)
	if err != nil {
		t.Fatal(err)
	}
	return pids
}

func serverPid(t *testing.T, dir string) int {
	t.Helper()
	home, err := homeOf(dir)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(home, "data", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.Fields(string(text))[0])
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func asRoot(t *testing.T) account {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can be somebody else")
	}
	a, err := serverAccount()
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestStart_KeepsData(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	first := mustStart(t, Options{Dir: dir})
	for range 2 {
		if err := first.CreateDatabase(t.Context(), "portico"); err != nil {
			t.Fatal(err)
		}
	}
	exe(t, first.URL("portico"), "create table kept as select 'yes' as answer")
	if got := len(serverProcesses(t, dir)); got < 4 {
		t.Errorf("found %d processes of a running server, want the server and its children", got)
	}
	if group, err := syscall.Getpgid(serverPid(t, dir)); err != nil || group == syscall.Getpgrp() {
		t.Errorf("the server is in our process group (%v): Ctrl-C would end it before us", err)
	}
	// A connection left open doesn't hold up the stop.
	connect(t, first.URL("portico"))
	mustStop(t, first)
	mustStop(t, first)
	select {
	case <-first.Done():
	default:
		t.Error("Done is open after Stop")
	}
	if _, err := os.Stat(first.socket); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket's folder is still there: %v", err)
	}
	if pids := serverProcesses(t, dir); len(pids) > 0 {
		t.Errorf("processes %v still run", pids)
	}

	second := mustStart(t, Options{Dir: dir})
	if got := ask(t, second.URL("portico"), "select answer from kept"); got != "yes" {
		t.Errorf("got %q", got)
	}
	mustStop(t, second)
}

func TestStart_Settings(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		fast                           bool
		fsync, connections, fullWrites string
	}{{false, "on", "100", "on"}, {true, "off", "300", "off"}} {
		t.Run(fmt.Sprintf("fast %v", test.fast), func(t *testing.T) {
			t.Parallel()
			server := mustStart(t, Options{Dir: dataDir(t), Fast: test.fast})
			for setting, want := range map[string]string{
				"fsync": test.fsync, "max_connections": test.connections, "full_page_writes": test.fullWrites,
				"listen_addresses": "", "server_encoding": "UTF8", "timezone": "UTC", "is_superuser": "on",
			} {
				got := ask(t, server.URL("postgres"), "show "+setting)
				if setting == "timezone" {
					got = strings.TrimPrefix(got, "Etc/")
				}
				if got != want {
					t.Errorf("%s is %q, want %q", setting, got, want)
				}
			}
			if got := ask(t, server.URL("postgres"), "select lower('ÄRZTE') || (select string_agg(x, '' order by x) from unnest('{a,B,ä}'::text[]) x)"); got != "ärzteBaä" {
				t.Errorf("got %q: letters of all languages have a small form, and sorting is by code point", got)
			}
		})
	}
}

func TestCreateDatabase_AtOnce(t *testing.T) {
	t.Parallel()
	server := mustStart(t, Options{Dir: dataDir(t), Fast: true})
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			if err := server.CreateDatabase(t.Context(), `an "odd" name`); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if got := ask(t, server.URL(`an "odd" name`), "select current_database()"); got != `an "odd" name` {
		t.Errorf("got %q", got)
	}
}

func TestStart_LongPathWithBlanks(t *testing.T) {
	t.Parallel()
	parent := openDir(t)
	dir := filepath.Join(parent, strings.Repeat("a folder's name ", 10), "postgres")
	server := mustStart(t, Options{Dir: dir, Fast: true})
	if len(server.socket)+len("/.s.PGSQL.5432") > 103 { // macOS allows less than Linux
		t.Errorf("the socket's path is too long: %s", server.socket)
	}
	if len(serverProcesses(t, dir)) == 0 {
		t.Error("the server's processes are not recognised")
	}
	mustStop(t, server)
	if err := Remove(t.Context(), dir); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Remove left the folder: %v", err)
	}
}

func TestStart_AsRootRunsAsOther(t *testing.T) {
	t.Parallel()
	want := asRoot(t)
	dir := dataDir(t)
	server := mustStart(t, Options{Dir: dir, Fast: true})
	for _, path := range []string{fmt.Sprint("/proc/", serverPid(t, dir)), filepath.Join(dir, "data"), server.socket} {
		uid, _, err := ownerOf(path)
		if err != nil || uid != want.credential.Uid {
			t.Errorf("%s belongs to %d (%v), want %s", path, uid, err, want.name)
		}
	}
	for _, path := range []string{filepath.Join(dir, "data"), server.socket} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s has mode %v (%v), want 0700", path, info.Mode(), err)
		}
	}
	mustStop(t, server)
}

func TestStart_AsOrdinaryUser(t *testing.T) {
	t.Parallel()
	asRoot(t)
	nobody := &syscall.Credential{Uid: 65534, Gid: 65534}
	parent := openDir(t)
	if err := os.Chown(parent, int(nobody.Uid), int(nobody.Gid)); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(parent, "postgres")
	// What the environment says of other servers doesn't matter.
	h := runHelper(t, dir, nobody, "PGPORT=1", "PGDATA=/nowhere", "LC_ALL=xx_YY", "PGDATESTYLE=nonsense")
	exe(t, h.url(t), "create table kept as select 'yes' as answer")
	if uid, _, err := ownerOf(fmt.Sprint("/proc/", serverPid(t, dir))); err != nil || uid != nobody.Uid {
		t.Errorf("the server runs as %d (%v)", uid, err)
	}
	h.stdin.Close()
	if err := h.cmd.Wait(); err != nil {
		t.Errorf("the helper ends with %v", err)
	}

	// Root goes on with the data, as their owner, and leaves everything to be used by the owner again.
	server := mustStart(t, Options{Dir: dir, Fast: true})
	if got := ask(t, server.URL("kept"), "select answer from kept"); got != "yes" {
		t.Errorf("got %q", got)
	}
	if uid, _, err := ownerOf(fmt.Sprint("/proc/", serverPid(t, dir))); err != nil || uid != nobody.Uid {
		t.Errorf("the server runs as %d (%v)", uid, err)
	}
	mustStop(t, server)
	h = runHelper(t, dir, nobody)
	if got := ask(t, h.url(t), "select answer from kept"); got != "yes" {
		t.Errorf("got %q", got)
	}
	h.stdin.Close()
	h.cmd.Wait()
}

func TestStart_OrdinaryUserOnDataOfRoot(t *testing.T) {
	t.Parallel()
	asRoot(t)
	dir := dataDir(t)
	mustStop(t, mustStart(t, Options{Dir: dir, Fast: true}))
	h := runHelper(t, dir, &syscall.Credential{Uid: 65534, Gid: 65534})
	if answer := <-h.answer; !strings.HasPrefix(answer, "failed: ") || !strings.Contains(answer, "another account") {
		t.Errorf("got %q", answer)
	}
}

func TestStart_BelowClosedFolder(t *testing.T) {
	t.Parallel()
	a := asRoot(t)
	closed := filepath.Join(openDir(t), "closed")
	if err := os.Mkdir(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(closed, "data", "postgres")
	m := thisMachine()
	m.elsewhere = filepath.Join(openDir(t), "elsewhere")
	var output bytes.Buffer
	start := func() *Server {
		server, err := start(t.Context(), Options{Dir: dir, Output: &output, Fast: true}, m)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { server.Stop() })
		return server
	}
	server := start()
	homes, _ := filepath.Glob(filepath.Join(m.elsewhere, "postgres-*"))
	if len(homes) != 1 || !strings.Contains(output.String(), "can't enter "+dir+": the data go to "+homes[0]) {
		t.Fatalf("data in %v, and said: %s", homes, output.String())
	}
	if info, err := os.Stat(filepath.Join(homes[0], "data")); err != nil || info.Mode().Perm() != 0o700 || info.Sys().(*syscall.Stat_t).Uid != a.credential.Uid {
		t.Errorf("the cluster is %v, %v", info, err)
	}
	exe(t, server.URL("postgres"), "create table kept as select 'yes' as answer")
	mustStop(t, server)

	server = start()
	if got := ask(t, server.URL("postgres"), "select answer from kept"); got != "yes" {
		t.Errorf("got %q", got)
	}
	mustStop(t, server)

	// The place was cleaned away: the next start begins anew.
	if err := os.RemoveAll(homes[0]); err != nil {
		t.Fatal(err)
	}
	mustStop(t, start())
	if err := Remove(t.Context(), dir); err != nil {
		t.Error(err)
	}
	if homes, _ := filepath.Glob(filepath.Join(m.elsewhere, "*")); len(homes) > 0 {
		t.Errorf("Remove left %v", homes)
	}
}

func TestStart_ExistingDataInClosedFolder(t *testing.T) {
	t.Parallel()
	asRoot(t)
	dir := dataDir(t)
	mustStop(t, mustStart(t, Options{Dir: dir, Fast: true}))
	if err := os.Chmod(filepath.Dir(dir), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := Start(t.Context(), Options{Dir: dir, Fast: true})
	wantLine(t, err, "can't enter", "chmod o+x")
}

func TestStart_DataCopiedByRoot(t *testing.T) {
	t.Parallel()
	asRoot(t)
	dir := dataDir(t)
	mustStop(t, mustStart(t, Options{Dir: dir, Fast: true}))
	root := account{name: "root", credential: &syscall.Credential{}}
	if err := root.own(filepath.Join(dir, "data")); err != nil {
		t.Fatal(err)
	}
	mustStop(t, mustStart(t, Options{Dir: dir, Fast: true}))
}

func TestStart_OneAtATime(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	server := mustStart(t, Options{Dir: dir, Fast: true})
	_, err := Start(t.Context(), Options{Dir: dir, Fast: true})
	if !errors.Is(err, ErrInUse) {
		t.Errorf("got %v, want ErrInUse", err)
	}
	wantLine(t, err, fmt.Sprintf("already in use by process %d", os.Getpid()))
	if err := Remove(t.Context(), dir); !errors.Is(err, ErrInUse) {
		t.Errorf("Remove says %v, want ErrInUse", err)
	}
	h := runHelper(t, dir, nil)
	if answer := <-h.answer; !strings.Contains(answer, fmt.Sprintf("already in use by process %d", os.Getpid())) {
		t.Errorf("another process got %q", answer)
	}
	if got := ask(t, server.URL("postgres"), "select 'unharmed'"); got != "unharmed" {
		t.Error(got)
	}
	mustStop(t, server)
	mustStop(t, mustStart(t, Options{Dir: dir, Fast: true}))
}

func TestStart_AfterKillOfStarter(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	h := runHelper(t, dir, nil)
	url := h.url(t)
	exe(t, url, "create table kept as select 'yes' as answer")
	busy := connect(t, url)
	go busy.Exec(context.Background(), "select pg_sleep(600)")
	h.kill()
	server := mustStart(t, Options{Dir: dir, Fast: true})
	if got := ask(t, server.URL("kept"), "select answer from kept"); got != "yes" {
		t.Errorf("got %q", got)
	}
	mustStop(t, server)
	left, err := filepath.Glob(filepath.Dir(socketOf(t, url)))
	if err != nil || len(left) > 0 {
		t.Errorf("the killed run's socket is left: %v %v", left, err)
	}
}

// socketOf is the path of the socket that a URL leads to.
func socketOf(t *testing.T, url string) string {
	t.Helper()
	config, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(config.Host, ".s.PGSQL.5432")
}

func TestStart_AfterKillOfEverything(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	h := runHelper(t, dir, nil)
	url := h.url(t)
	exe(t, url, "create table kept as select 'yes' as answer")
	pids := serverProcesses(t, dir)
	// The server stands still, so that nothing of it ends in good order.
	if err := syscall.Kill(serverPid(t, dir), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	h.kill()
	for _, pid := range pids {
		syscall.Kill(pid, syscall.SIGKILL)
	}
	until(t, "the killed processes to be gone", func() bool { return len(serverProcesses(t, dir)) == 0 })
	if _, err := os.Stat(filepath.Join(dir, "data", "postmaster.pid")); err != nil {
		t.Fatalf("a killed server leaves its pid file, but: %v", err)
	}
	server := mustStart(t, Options{Dir: dir, Fast: true})
	if got := ask(t, server.URL("kept"), "select answer from kept"); got != "yes" {
		t.Errorf("got %q", got)
	}
	if log, err := os.ReadFile(filepath.Join(dir, "postgres.log")); err != nil || !strings.Contains(string(log), "automatic recovery") {
		t.Errorf("no recovery was needed: %v, %s", err, log)
	}
	if _, err := os.Stat(filepath.Dir(socketOf(t, url))); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the killed run's socket is left: %v", err)
	}
	mustStop(t, server)
}

// orphan runs a server on existing data the way Start does, but that nothing ends with its starter.
func orphan(t *testing.T, dir string) *run {
	t.Helper()
	c, err := settle(t.Context(), Options{Dir: dir, Output: io.Discard, Fast: true}, thisMachine(), dir)
	if err != nil {
		t.Fatal(err)
	}
	name, err := clusterName(c.data)
	if err != nil {
		t.Fatal(err)
	}
	socket, err := c.makeSocketDir()
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"-D", c.data}
	for _, setting := range c.settings(name, socket) {
		args = append(args, "-c", setting)
	}
	cmd := c.command(context.Background(), "postgres", c.data, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: c.account.credential}
	r, err := launch(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	until(t, "the orphan to be ready", func() bool {
		text, _ := os.ReadFile(filepath.Join(c.data, "postmaster.pid"))
		return strings.Contains(string(text), "ready")
	})
	return r
}

func TestRemove_SparesStrangers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "somebody's")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Remove(t.Context(), dir); err == nil {
		t.Error("a folder that is not ours was removed without an error")
	}
	if _, err := os.Stat(file); err != nil {
		t.Errorf("a folder that is not ours was emptied: %v", err)
	}
}

func TestStart_EndsOrphan(t *testing.T) {
	t.Parallel()
	dir, other := dataDir(t), dataDir(t)
	mustStop(t, mustStart(t, Options{Dir: dir, Fast: true}))
	bystander := mustStart(t, Options{Dir: other, Fast: true})
	r := orphan(t, dir)
	var output bytes.Buffer
	server := mustStart(t, Options{Dir: dir, Output: &output, Fast: true})
	<-r.done
	if r.err != nil {
		t.Errorf("the orphan was not ended in good order: %v", r.err)
	}
	if want := fmt.Sprintf("(process %d)", r.cmd.Process.Pid); !strings.Contains(output.String(), want) {
		t.Errorf("said %q, want %s", output.String(), want)
	}
	if got := ask(t, bystander.URL("postgres"), "select 'unharmed'"); got != "unharmed" {
		t.Error(got)
	}
	mustStop(t, server)
}

func TestRemove_EndsOrphan(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	mustStop(t, mustStart(t, Options{Dir: dir, Fast: true}))
	r := orphan(t, dir)
	if err := Remove(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	<-r.done
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder is left: %v", err)
	}
	if err := Remove(t.Context(), dir); err != nil {
		t.Errorf("removing what isn't there: %v", err)
	}
}

func TestStart_PidFileOfLivingStranger(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	server := mustStart(t, Options{Dir: dir, Fast: true})
	pidFile := filepath.Join(dir, "data", "postmaster.pid")
	content, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	mustStop(t, server)
	// The stranger has the number of the killed server, and its account.
	stranger := exec.Command("cat")
	if os.Geteuid() == 0 {
		stranger.SysProcAttr = &syscall.SysProcAttr{Credential: asRoot(t).credential}
	}
	if _, err := stranger.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- stranger.Wait() }()
	t.Cleanup(func() { stranger.Process.Kill(); <-ended })
	_, rest, _ := strings.Cut(string(content), "\n")
	if err := os.WriteFile(pidFile, fmt.Appendf(nil, "%d\n%s", stranger.Process.Pid, rest), 0o644); err != nil {
		t.Fatal(err)
	}
	mustStop(t, mustStart(t, Options{Dir: dir, Fast: true}))
	select {
	case err := <-ended:
		t.Errorf("the stranger was ended: %v", err)
		ended <- err
	default:
	}
}

func TestStart_AfterKillDuringInitdb(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	h := runHelper(t, dir, nil)
	half := filepath.Join(dir, "data.new")
	until(t, "initdb to be midway", func() bool {
		_, err := os.Stat(filepath.Join(half, "PG_VERSION"))
		return err == nil
	})
	h.kill()
	mustStop(t, mustStart(t, Options{Dir: dir, Fast: true}))

	// And one that was not removed by initdb itself.
	if err := os.MkdirAll(filepath.Join(half, "base"), 0o700); err != nil {
		t.Fatal(err)
	}
	mustStop(t, mustStart(t, Options{Dir: dir, Fast: true}))
	if _, err := os.Stat(half); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the half-made cluster is left: %v", err)
	}
}

func TestStart_Cancelled(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		until(t, "initdb to be midway", func() bool {
			_, err := os.Stat(filepath.Join(dir, "data.new", "PG_VERSION"))
			return err == nil
		})
		cancel()
	}()
	if _, err := Start(ctx, Options{Dir: dir, Fast: true}); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 || left[0].Name() != "lock" {
		t.Errorf("left %v, %v", left, err)
	}
	mustStop(t, mustStart(t, Options{Dir: dir, Fast: true}))
}

func TestStart_OtherVersion(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	mustStop(t, mustStart(t, Options{Dir: dir, Fast: true}))
	version := filepath.Join(dir, "data", "PG_VERSION")
	real, err := os.ReadFile(version)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(version, []byte("99\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Start(t.Context(), Options{Dir: dir, Fast: true})
	wantLine(t, err, "are of PostgreSQL 99", "of "+strings.TrimSpace(string(real))+":", "install PostgreSQL 99")

	if err := os.Remove(version); err != nil {
		t.Fatal(err)
	}
	_, err = Start(t.Context(), Options{Dir: dir, Fast: true})
	wantLine(t, err, "holds no PostgreSQL cluster")
}

func TestStart_FailureShowsLog(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	mustStop(t, mustStart(t, Options{Dir: dir, Fast: true}))
	config, err := os.OpenFile(filepath.Join(dir, "data", "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(config, "no_such_setting = 1")
	config.Close()
	_, err = Start(t.Context(), Options{Dir: dir, Fast: true})
	wantLine(t, err, "it ended at once (exit status 1)", `unrecognized configuration parameter "no_such_setting"`)
	if left, _ := filepath.Glob(filepath.Join(dir, socketNote)); len(left) > 0 {
		t.Error("the failed start left a socket's folder")
	}
}

func TestDone_ServerDies(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	server := mustStart(t, Options{Dir: dir, Fast: true})
	select {
	case <-server.Done():
		t.Fatal("Done is closed while the server runs")
	default:
	}
	if err := syscall.Kill(serverPid(t, dir), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-server.Done()
	wantLine(t, server.Stop(), "PostgreSQL ended by itself (signal: killed)")
	if _, err := os.Stat(server.socket); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket's folder is left: %v", err)
	}
	mustStop(t, mustStart(t, Options{Dir: dir, Fast: true}))
}

func TestLog_IsPutAside(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "postgres.log")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, maxLogBytes+1); err != nil {
		t.Fatal(err)
	}
	log, err := openLog(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer log.file.Close()
	fmt.Fprintln(log.file, "a line")
	if got := log.tail(); got != "a line" {
		t.Errorf("got %q", got)
	}
	if old, err := os.Stat(path + ".old"); err != nil || old.Size() != maxLogBytes+1 {
		t.Errorf("the old log: %v, %v", old, err)
	}
}

// wantLine checks that err is one line with all these parts.
func wantLine(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Error("no error")
		return
	}
	missing := slices.DeleteFunc(slices.Clone(parts), func(part string) bool { return strings.Contains(err.Error(), part) })
	if len(missing) > 0 || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %q, want one line with %q", err, missing)
	}
}
