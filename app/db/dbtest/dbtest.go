//go:build unix

// Package dbtest gives every test a PostgreSQL database of its own, cloned from a migrated template, on a real server:
//
//	func TestMain(m *testing.M) { dbtest.Main(m) }
//
//	func TestTickets(t *testing.T) {
//		t.Parallel()
//		pool := dbtest.New(t)
//
// The server is the one that PORTICO_TEST_DATABASE names (see the command in dbtest/with, which starts one for many
// packages), or else one started for this process when the first test asks for it.
package dbtest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"testing"
	"time"

	"portico/app/db"
	"portico/migrations"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

// Variable names the environment variable that holds the URL of a server to test on. Its role must be allowed to create
// databases; databases made for tests are dropped again, the template is kept.
const Variable = "PORTICO_TEST_DATABASE"

// maxConns bounds each test's pool, so that many tests at once fit the server.
const maxConns = 8

const timeout = time.Minute

// shared is the server that all tests of this process use, opened by the first that needs it.
var shared struct {
	sync.Mutex
	main  bool
	url   string
	admin *pgxpool.Pool
	clone string // what makes "create database" a clone of the template
	// strategy is how databases are cloned, and filled are the templates that this process made.
	strategy string
	filled   []string
	err      error
	stop     func() error
}

// Main runs the tests of a package, a *testing.M or what wraps one, and exits. It clears away the server, if one was started,
// also after Ctrl-C and SIGTERM.
func Main(m interface{ Run() int }) {
	shared.main = true
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		caught := <-signals
		closeShared()
		os.Exit(128 + int(caught.(syscall.Signal)))
	}()
	code := m.Run()
	if err := closeShared(); err != nil {
		fmt.Fprintln(os.Stderr, "dbtest:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

func closeShared() error {
	shared.Lock()
	defer shared.Unlock()
	if shared.admin != nil {
		for _, name := range shared.filled {
			if _, err := shared.admin.Exec(context.Background(), "drop database "+quote(name)+" with (force)"); err != nil {
				fmt.Fprintln(os.Stderr, "dbtest: drop a template:", err)
			}
		}
		shared.admin.Close()
	}
	if shared.stop == nil {
		return nil
	}
	return shared.stop()
}

// New returns a pool on a migrated database that nobody else uses. Both are gone when the test ends.
func New(t testing.TB) *pgxpool.Pool {
	t.Helper()
	address := NewURL(t)
	parsed, err := url.Parse(address)
	if err != nil {
		t.Fatalf("dbtest: %v", err)
	}
	query := parsed.Query()
	query.Set("pool_max_conns", fmt.Sprint(maxConns))
	parsed.RawQuery = query.Encode()
	pool, err := db.Open(t.Context(), parsed.String(), timeout)
	if err != nil {
		t.Fatalf("dbtest: %v", err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// NewURL is New for tests that start a program: the URL of a migrated database, dropped when the test ends, whoever is
// still connected.
func NewURL(t testing.TB) string {
	t.Helper()
	openShared(t)
	return create(t, shared.clone)
}

// Template is a database that is filled once in a process and then cloned for every test that wants one.
type Template struct {
	Fill func(url string) error // puts in what the clones hold; nobody may be connected any more when it returns

	once sync.Once
	name string
	err  error
}

// Clone is NewURL with what the template holds.
func (m *Template) Clone(t testing.TB) string {
	t.Helper()
	openShared(t)
	m.once.Do(func() {
		m.name = "template_" + rand.Text()[:12]
		if _, m.err = shared.admin.Exec(context.Background(), "create database "+quote(m.name)+shared.clone); m.err == nil {
			shared.filled = append(shared.filled, m.name)
			m.err = m.Fill(databaseURL(shared.url, m.name))
		}
	})
	if m.err != nil {
		t.Fatalf("dbtest: fill a template: %v", m.err)
	}
	return create(t, " template "+quote(m.name)+shared.strategy)
}

// Empty returns the URL of a database without any table, dropped when the test ends.
func Empty(t testing.TB) string {
	t.Helper()
	openShared(t)
	return create(t, "")
}

func create(t testing.TB, from string) string {
	t.Helper()
	name := "test_" + rand.Text()[:12]
	if _, err := shared.admin.Exec(t.Context(), "create database "+quote(name)+from); err != nil {
		t.Fatalf("dbtest: create a database: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		if _, err := shared.admin.Exec(ctx, "drop database "+quote(name)+" with (force)"); err != nil {
			t.Errorf("dbtest: drop a database: %v", err)
		}
	})
	return databaseURL(shared.url, name)
}

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }

// databaseURL is server with another database.
func databaseURL(server, name string) string {
	u, err := url.Parse(server)
	if err != nil {
		return server
	}
	u.Path = "/" + name
	return u.String()
}

// openShared starts or reaches the server, once.
func openShared(t testing.TB) {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if !shared.main {
		t.Fatal("dbtest: the package needs func TestMain(m *testing.M) { dbtest.Main(m) }")
	}
	if shared.admin == nil && shared.err == nil {
		shared.err = reach(context.Background())
	}
	if shared.err != nil {
		t.Fatalf("dbtest: %v", shared.err)
	}
}

func reach(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute) // PostgreSQL may have to be installed first
	defer cancel()
	shared.url = os.Getenv(Variable)
	if shared.url == "" {
		server, err := Serve(ctx, os.Stderr, false)
		if err != nil {
			return err
		}
		shared.url, shared.stop = server.URL, server.Stop
	}
	if u, err := url.Parse(shared.url); err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return fmt.Errorf("%s holds no URL: it may be like postgres://user@host:5432/postgres", Variable)
	}
	admin, err := db.Open(ctx, shared.url, timeout)
	if err != nil {
		return err
	}
	template, err := makeTemplate(ctx, admin, shared.url)
	if err != nil {
		admin.Close()
		return err
	}
	// In memory, copying files beats PostgreSQL 15's default, which writes the whole template to its log first.
	var copies bool
	if err := admin.QueryRow(ctx, `select current_setting('server_version_num')::int >= 150000
		and exists (select from pg_settings where name = 'data_directory' and setting like $1)`, memory+"/%").Scan(&copies); err != nil {
		admin.Close()
		return fmt.Errorf("look at the test server: %w", err)
	}
	if copies {
		shared.strategy = " strategy file_copy"
	}
	shared.clone = " template " + quote(template) + shared.strategy
	shared.admin = admin
	return nil
}

// templateLock is the advisory lock under which a template is made, since the tests of several packages share a server.
const templateLock = 0x706f7274657374 // "portest"

// makeTemplate makes the migrated database that tests clone, unless the server has it, and returns its name.
func makeTemplate(ctx context.Context, admin *pgxpool.Pool, server string) (string, error) {
	hash, err := schemaHash()
	if err != nil {
		return "", err
	}
	name := "portico_template_" + hash
	conn, err := admin.Acquire(ctx)
	if err != nil {
		return "", fmt.Errorf("make the template: %w", err)
	}
	defer conn.Release()
	if _, err := conn.Exec(ctx, "select pg_advisory_lock($1)", int64(templateLock)); err != nil {
		return "", fmt.Errorf("take the template lock: %w", err)
	}
	defer conn.Exec(context.WithoutCancel(ctx), "select pg_advisory_unlock($1)", int64(templateLock))

	// A database of the name that is no template is one whose making was interrupted.
	var done bool
	err = conn.QueryRow(ctx, "select datistemplate from pg_database where datname = $1", name).Scan(&done)
	if done || err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return name, err
	}
	for _, sql := range []string{"drop database if exists " + quote(name) + " with (force)", "create database " + quote(name)} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return "", fmt.Errorf("make the template: %w", err)
		}
	}
	if err := migrate(ctx, databaseURL(server, name)); err != nil {
		return "", fmt.Errorf("make the template: %w", err)
	}
	// Nobody connects to it any more: a database in use can't be cloned.
	if _, err := conn.Exec(ctx, "alter database "+quote(name)+" with is_template true allow_connections false"); err != nil {
		return "", fmt.Errorf("make the template: %w", err)
	}
	return name, nil
}

func migrate(ctx context.Context, url string) error {
	pool, err := db.Open(ctx, url, timeout)
	if err != nil {
		return err
	}
	defer pool.Close()
	return db.Migrate(ctx, pool)
}

// schemaHash tells schemas apart: it changes with every change of a migration, ours or River's.
func schemaHash() (string, error) {
	hash := sha256.New()
	entries, err := migrations.Files.ReadDir(".")
	if err != nil {
		return "", err
	}
	for _, entry := range entries {
		text, err := migrations.Files.ReadFile(entry.Name())
		if err != nil {
			return "", err
		}
		fmt.Fprintf(hash, "%s\x00%d\x00%s", entry.Name(), len(text), text)
	}
	rivers, err := rivermigrate.New(riverpgxv5.New(nil), nil)
	if err != nil {
		return "", fmt.Errorf("read River's migrations: %w", err)
	}
	for _, version := range rivers.AllVersions() {
		fmt.Fprintf(hash, "%d\x00%d\x00%s", version.Version, len(version.SQLUp), version.SQLUp)
	}
	return fmt.Sprintf("%x", hash.Sum(nil)[:8]), nil
}
