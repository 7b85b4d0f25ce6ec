package server

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"portico/app/db/dbtest"
)

func TestMetrics_Causes(t *testing.T) {
	t.Parallel()
	var failure error
	m := NewMetrics(dbtest.New(t))
	m.Watch(func(context.Context) (map[string]int, error) {
		if failure != nil {
			return nil, failure
		}
		return map[string]int{"mail-server": 1, "jobs-failed": 12, "no-worker": 0}, nil
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- m.Serve(ctx, listener) }()
	scrape := func() string {
		t.Helper()
		answer, err := http.Get("http://" + listener.Addr().String() + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if err != nil || answer.StatusCode != http.StatusOK {
			t.Fatalf("%d, %v", answer.StatusCode, err)
		}
		return string(text)
	}
	text := scrape()
	for _, line := range []string{`{cause="mail-server"} 1`, `{cause="jobs-failed"} 12`, `{cause="no-worker"} 0`} {
		if !strings.Contains(text, "\nportico_watchdog_causes"+line+"\n") {
			t.Errorf("%s is missing", line)
		}
	}
	failure = errors.New("the database is gone")
	if text := scrape(); strings.Contains(text, "portico_watchdog_causes{") || !strings.Contains(text, "portico_db_connections_max") {
		t.Errorf("with the database gone the metrics say\n%s", text)
	}
	end()
	if err := <-served; err != nil {
		t.Error(err)
	}
}
