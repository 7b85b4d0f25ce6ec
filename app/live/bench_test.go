package live

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"portico/app/db/dbtest"

	"github.com/gofiber/fiber/v2"
)

// BenchmarkStreams opens 1,000 streams whose pages' rights are a query each, tells all of them of one change, and weighs
// them against as many bare streams of Fiber in the same process. Both have been used: each has written two events.
func BenchmarkStreams(b *testing.B) {
	const streams, mayCost = 1000, 20 << 10 // bytes
	pool := dbtest.New(b)
	p := start(b, pool, func(h *Hub) { h.limits.perUser = streams })
	_, _, allowed := session(b, pool)
	p.allow(allowed)
	bareServer := newFiber()
	bareServer.Server().WriteTimeout = 0 // which ends bare streams
	changed, quit := make(chan struct{}), make(chan struct{})
	bareServer.Get("/", func(c *fiber.Ctx) error {
		c.Set(fiber.HeaderContentType, "text/event-stream")
		c.Context().SetBodyStreamWriter(func(w *bufio.Writer) {
			beat := time.NewTicker(15 * time.Second)
			defer beat.Stop()
			changed := changed
			fmt.Fprint(w, ": open\n\n")
			for w.Flush() == nil {
				select {
				case <-quit:
					return
				case <-changed:
					changed = nil
					fmt.Fprint(w, "data: mail\n\n")
				case <-beat.C:
					fmt.Fprint(w, ": beat\n\n")
				}
			}
		})
		return nil
	})
	bare := weigh(b, listen(b, bareServer), "/", streams, func() { close(changed) }, func() { close(quit) })
	live := weigh(b, p.addr, "/live", streams, func() { notify(b, pool, "mail") }, func() {})
	for b.Loop() {
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(bare.bytes)/streams, "bare-B/stream")
	b.ReportMetric(float64(live.bytes)/streams, "live-B/stream")
	b.ReportMetric(float64(live.bytes-bare.bytes)/streams, "over-B/stream")
	b.ReportMetric(float64(bare.goroutines)/streams, "bare-goroutines/stream")
	b.ReportMetric(float64(live.goroutines)/streams, "live-goroutines/stream")
	b.ReportMetric(float64(live.told.Milliseconds()), "ms-till-all-told")
	if over := (live.bytes - bare.bytes) / streams; over > mayCost {
		b.Errorf("a stream costs %d bytes more than a bare one, and may cost %d", over, mayCost)
	}
	if live.told > time.Second {
		b.Errorf("the last of %d streams was told after %v", streams, live.told)
	}
}

type weight struct {
	bytes, goroutines int
	told              time.Duration // from a change until the last stream told of it
}

// weigh opens streams, has each of them used, and returns what they hold. It closes them and waits until all is released.
func weigh(b *testing.B, addr, path string, streams int, use, end func()) weight {
	b.Helper()
	warm, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	fmt.Fprint(warm, "GET /nothing HTTP/1.0\r\nHost: portal\r\n\r\n")
	await(b, warm, "Cannot GET")
	warm.Close()
	goroutines := settled()
	before := resident(b)
	var conns []net.Conn
	for i := range streams {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "GET %s?user=%d&session=%[2]d HTTP/1.1\r\nHost: portal\r\n\r\n", path, i)
		await(b, conn, ": open")
		conns = append(conns, conn)
	}
	began := time.Now()
	use()
	for _, conn := range conns {
		await(b, conn, "data: mail")
	}
	w := weight{told: time.Since(began)}
	w.bytes, w.goroutines = resident(b)-before, runtime.NumGoroutine()-goroutines
	for _, conn := range conns {
		conn.Close()
	}
	end()
	until(b, "the goroutines to be gone", func() bool { return runtime.NumGoroutine() <= goroutines })
	return w
}

// await reads until the stream has said something.
func await(b *testing.B, conn net.Conn, what string) {
	b.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	var got []byte
	for !bytes.Contains(got, []byte(what)) {
		part := make([]byte, 1024)
		n, err := conn.Read(part)
		if err != nil {
			b.Fatalf("waiting for %q: %v after %q", what, err, got)
		}
		got = append(got, part[:n]...)
	}
}

// resident is how much memory the process has from the system, without what it could give back at once.
func resident(b *testing.B) int {
	b.Helper()
	for range 3 { // stacks shrink by half each time
		debug.FreeOSMemory()
	}
	raw, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		b.Skip("this system does not say what memory a process has")
	}
	var size, pages int
	if _, err := fmt.Sscan(string(raw), &size, &pages); err != nil {
		b.Fatal(err)
	}
	return pages * os.Getpagesize()
}
