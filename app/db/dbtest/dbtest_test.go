//go:build unix

package dbtest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"portico/app/db"

	"github.com/jackc/pgx/v5"
)

func TestMain(m *testing.M) { Main(m) }

func TestNew_Isolated(t *testing.T) {
	t.Parallel()
	for i := range 8 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			pool := New(t)
			if _, err := pool.Exec(t.Context(), "create table only_here as select 1"); err != nil {
				t.Fatal(err)
			}
			if err := db.Migrated(t.Context(), pool); err != nil {
				t.Error(err)
			}
			var jobs int
			if err := pool.QueryRow(t.Context(), "select count(*) from river_job").Scan(&jobs); err != nil || jobs != 0 {
				t.Errorf("got %d jobs, %v", jobs, err)
			}
			if got := pool.Config().MaxConns; got != maxConns {
				t.Errorf("the pool may grow to %d", got)
			}
		})
	}
}

// databases counts the databases of a server whose name is like the pattern.
func databases(t *testing.T, server, like string) int {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), server)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var n int
	if err := conn.QueryRow(t.Context(), "select count(*) from pg_database where datname like $1", like).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func databaseName(t *testing.T, url string) string {
	t.Helper()
	config, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	return config.Database
}

func TestNewURL_DroppedThoughInUse(t *testing.T) {
	t.Parallel()
	var url string
	t.Run("user", func(t *testing.T) {
		url = NewURL(t)
		conn, err := pgx.Connect(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Exec(t.Context(), "select from river_job"); err != nil { // and never closes it
			t.Error(err)
		}
	})
	if n := databases(t, shared.url, databaseName(t, url)); n != 0 {
		t.Error("the database outlives its test")
	}
}

func TestEmpty(t *testing.T) {
	t.Parallel()
	var url string
	t.Run("user", func(t *testing.T) {
		url = Empty(t)
		conn, err := pgx.Connect(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(t.Context())
		var tables int
		if err := conn.QueryRow(t.Context(), "select count(*) from pg_tables where schemaname = 'public'").Scan(&tables); err != nil || tables != 0 {
			t.Errorf("got %d tables, %v", tables, err)
		}
	})
	if n := databases(t, shared.url, databaseName(t, url)); n != 0 {
		t.Error("the database outlives its test")
	}
}

func TestMakeTemplate_OnceForAll(t *testing.T) {
	t.Parallel()
	server, err := Serve(t.Context(), t.Output(), false)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	}()
	admin, err := db.Open(t.Context(), server.URL, timeout)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	hash, err := schemaHash()
	if err != nil {
		t.Fatal(err)
	}
	// One whose making was interrupted is in the way.
	if _, err := admin.Exec(t.Context(), "create database portico_template_"+hash); err != nil {
		t.Fatal(err)
	}
	names := make([]string, 4)
	var group sync.WaitGroup
	for i := range names {
		group.Go(func() {
			// Each has a pool of its own, as each package's process has.
			pool, err := db.Open(t.Context(), server.URL, timeout)
			if err != nil {
				t.Error(err)
				return
			}
			defer pool.Close()
			if names[i], err = makeTemplate(t.Context(), pool, server.URL); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for _, name := range names {
		if name != "portico_template_"+hash {
			t.Errorf("got %q", name)
		}
	}
	if n := databases(t, server.URL, "portico_template_%"); n != 1 {
		t.Errorf("made %d templates", n)
	}
	if _, err := admin.Exec(t.Context(), "create database clone template portico_template_"+hash); err != nil {
		t.Fatal(err)
	}
	clone, err := db.Open(t.Context(), databaseURL(server.URL, "clone"), timeout)
	if err != nil {
		t.Fatal(err)
	}
	defer clone.Close()
	if err := db.Migrated(t.Context(), clone); err != nil {
		t.Error(err)
	}
}

// waiting makes TestChild, run in a process of its own, tell where its server keeps the data and wait for a signal.
const waiting = "PORTICO_DBTEST_WAITING"

func TestChild(t *testing.T) {
	how, ok := os.LookupEnv(waiting)
	if !ok {
		t.Skip("run by TestMain_LeavesNothingBehind")
	}
	pool := New(t)
	var dir string
	if err := pool.QueryRow(t.Context(), "show data_directory").Scan(&dir); err != nil {
		t.Fatal(err)
	}
	fmt.Println("child's data:", filepath.Dir(dir), pool.Config().ConnConfig.Host)
	if how == "wait" {
		<-make(chan struct{})
	}
}

// child runs TestChild on a server of its own and returns the server's folders.
func child(t *testing.T, how string) (cmd *exec.Cmd, folders []string) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd = exec.Command(program, "-test.run=^TestChild$", "-test.v")
	cmd.Env = append(os.Environ(), waiting+"="+how, Variable+"=")
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(output)
	for lines.Scan() {
		if data, ok := strings.CutPrefix(lines.Text(), "child's data: "); ok {
			folders = strings.Fields(data)
			break
		}
	}
	if len(folders) != 2 {
		t.Fatalf("the child tells %q", folders)
	}
	go func() {
		for lines.Scan() { // so that it never waits for us
		}
	}()
	return cmd, folders
}

func wantGone(t *testing.T, folders []string) {
	t.Helper()
	for _, folder := range folders {
		if _, err := os.Stat(folder); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is left: %v", folder, err)
		}
	}
}

func TestMain_LeavesNothingBehind(t *testing.T) {
	t.Parallel()
	t.Run("ended", func(t *testing.T) {
		t.Parallel()
		cmd, folders := child(t, "end")
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
		wantGone(t, folders)
	})
	t.Run("interrupted", func(t *testing.T) {
		t.Parallel()
		cmd, folders := child(t, "wait")
		cmd.Process.Signal(syscall.SIGINT)
		cmd.Wait()
		if got := cmd.ProcessState.ExitCode(); got != 130 {
			t.Errorf("exit code %d, want 130", got)
		}
		wantGone(t, folders)
	})
	t.Run("killed", func(t *testing.T) {
		t.Parallel()
		cmd, folders := child(t, "wait")
		cmd.Process.Kill()
		cmd.Wait()
		parent := filepath.Dir(folders[0])
		sweep(t.Context(), parent)
		if _, err := os.Stat(folders[0]); err != nil {
			t.Errorf("a folder that may just be made was swept: %v", err)
		}
		old := time.Now().Add(-time.Hour)
		if err := os.Chtimes(folders[0], old, old); err != nil {
			t.Fatal(err)
		}
		sweep(t.Context(), parent)
		wantGone(t, folders)
	})
}

func TestSweep_SparesServersInUse(t *testing.T) {
	t.Parallel()
	server, err := Serve(t.Context(), t.Output(), false)
	if err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(server.dir, old, old); err != nil {
		t.Fatal(err)
	}
	sweep(t.Context(), filepath.Dir(server.dir))
	conn, err := pgx.Connect(t.Context(), server.URL)
	if err != nil {
		t.Errorf("the server was swept away: %v", err)
	} else {
		conn.Close(context.Background())
	}
	if err := server.Stop(); err != nil {
		t.Error(err)
	}
	wantGone(t, []string{server.dir})
}
