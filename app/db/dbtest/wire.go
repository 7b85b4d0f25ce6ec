//go:build unix

package dbtest

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Wire is a way to a database that a test can break. Safe for concurrent use.
type Wire struct {
	URL string // of the database by this way

	mu       sync.Mutex
	down     bool
	deaf     bool
	swallow  bool
	open     map[net.Conn]bool
	network  string
	upstream string
}

// NewWire lays a wire to the database of a URL, until the test ends.
func NewWire(t testing.TB, database string) *Wire {
	t.Helper()
	config, err := pgx.ParseConfig(database)
	if err != nil {
		t.Fatalf("dbtest: %v", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("dbtest: %v", err)
	}
	user := url.User(config.User)
	if config.Password != "" {
		user = url.UserPassword(config.User, config.Password)
	}
	through := url.URL{Scheme: "postgres", User: user, Host: listener.Addr().String(), Path: "/" + config.Database, RawQuery: "sslmode=disable"}
	w := &Wire{URL: through.String(), open: map[net.Conn]bool{}}
	w.network, w.upstream = pgconn.NetworkAddress(config.Host, config.Port)
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go w.carry(client)
		}
	}()
	t.Cleanup(func() {
		listener.Close()
		w.Cut()
	})
	return w
}

// Cut ends all connections; new ones end at once until Mend.
func (w *Wire) Cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = true
	for conn := range w.open {
		conn.Close()
	}
}

// Mend lets connections through again.
func (w *Wire) Mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = false
}

// Deafen makes notifications get lost, or not any more.
func (w *Wire) Deafen(deaf bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deaf = deaf
}

// LoseCommit makes the next commit's answer get lost with its connection: it is committed, and who asked for it does not know.
func (w *Wire) LoseCommit() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.swallow = true
}

// carry passes on what the two ends of a connection say.
func (w *Wire) carry(client net.Conn) {
	defer client.Close()
	server, err := net.Dial(w.network, w.upstream)
	if err != nil {
		return
	}
	defer server.Close()
	w.mu.Lock()
	if w.down {
		w.mu.Unlock()
		return
	}
	w.open[client], w.open[server] = true, true
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.open, client)
		delete(w.open, server)
	}()
	go func() {
		_, _ = io.Copy(server, client)
		server.Close()
	}()
	// What the server says are messages: one byte of kind, four of the length with themselves, and the body.
	// Source: https://www.postgresql.org/docs/current/protocol-message-formats.html
	head := make([]byte, 5)
	for {
		if _, err := io.ReadFull(server, head); err != nil {
			return
		}
		body := make([]byte, binary.BigEndian.Uint32(head[1:])-4)
		if _, err := io.ReadFull(server, body); err != nil {
			return
		}
		drop, end := w.judge(head[0], body)
		if end {
			return
		}
		if drop {
			continue
		}
		if _, err := client.Write(append(bytes.Clone(head), body...)); err != nil {
			return
		}
	}
}

const (
	messageNotification = 'A'
	messageComplete     = 'C'
)

func (w *Wire) judge(kind byte, body []byte) (drop, end bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case kind == messageNotification:
		return w.deaf, false
	case kind == messageComplete && w.swallow && string(body) == "COMMIT\x00":
		w.swallow = false
		return true, true
	}
	return false, false
}
