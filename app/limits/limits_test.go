package limits

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"portico/app"
	"portico/app/db/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

func TestHit_AllowsSoManyAlsoAtOnce(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	rate := Rate{Times: 5, Window: 24 * time.Hour}
	var allowed atomic.Int32
	var wait sync.WaitGroup
	for range 20 {
		wait.Go(func() {
			var limited *app.Limited
			switch err := Hit(t.Context(), pool, "deed", "somebody", rate); {
			case err == nil:
				allowed.Add(1)
			case !errors.As(err, &limited):
				t.Error(err)
			case limited.After <= 0 || limited.After > rate.Window:
				t.Errorf("again after %s", limited.After)
			}
		})
	}
	wait.Wait()
	if allowed.Load() != 5 {
		t.Errorf("%d of 20 were allowed, want 5", allowed.Load())
	}
	if err := Hit(t.Context(), pool, "deed", "somebody else", rate); err != nil {
		t.Errorf("another key: %v", err)
	}
	if err := Hit(t.Context(), pool, "other deed", "somebody", rate); err != nil {
		t.Errorf("another deed: %v", err)
	}
}

func TestReturn_GivesBackOne(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	rate := Rate{Times: 1, Window: 24 * time.Hour}
	for range 3 {
		if err := Hit(t.Context(), pool, "deed", "x", rate); err != nil {
			t.Fatal(err)
		}
		if err := Return(t.Context(), pool, "deed", "x", rate); err != nil {
			t.Fatal(err)
		}
	}
	if err := Hit(t.Context(), pool, "deed", "x", rate); err != nil {
		t.Fatal(err)
	}
	var limited *app.Limited
	if err := Hit(t.Context(), pool, "deed", "x", rate); !errors.As(err, &limited) {
		t.Errorf("got %v, want *app.Limited", err)
	}
}

func TestSource_CountsANetworkOfIPv6AsOne(t *testing.T) {
	t.Parallel()
	for ip, want := range map[string]string{
		"192.0.2.7": "192.0.2.7", "::ffff:192.0.2.7": "::ffff:192.0.2.7",
		"2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64", "2001:db8:1:2:ffff::1": "2001:db8:1:2::/64", "fe80::1%eth0": "fe80::/64", "": "", "x": "x",
	} {
		if got := Source(ip); got != want {
			t.Errorf("Source(%q) = %q, want %q", ip, got, want)
		}
	}
}

func TestHit_KeepsNoKeyInPlain(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	if err := Hit(t.Context(), pool, "deed", "bea@bluebird.example", Rate{1, time.Hour}); err != nil {
		t.Fatal(err)
	}
	var plain bool
	if err := pool.QueryRow(t.Context(), "select bool_or(key like '%bluebird%') from rate_limits").Scan(&plain); err != nil {
		t.Fatal(err)
	}
	if plain {
		t.Error("the key is stored as it is")
	}
}
