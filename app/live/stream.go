package live

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"portico/app"
)

// Watch says what a page is told and who looks at it.
type Watch struct {
	// Topics are what the page shows. The route decides them, from its own path and what the viewer may see, never from
	// anything else the visitor sent. Sixteen at most.
	Topics []string
	// UserID and SessionID are whose page it is. A change of "user:ID" or "session:ID" asks Allowed again at once.
	UserID    string
	SessionID string
	// Allowed tells whether the viewer may still see the page, as things are now. It is asked at opening, before every
	// event and with every heartbeat; any error ends the stream. It may be called long after the handler returned: it must
	// hold copies, and neither the request's context nor its viewer. It must not count as a use of the session.
	Allowed func(ctx context.Context) error
}

// A stream's pending changes are bits: one per topic, in the order of Watch.Topics, and these two.
const (
	maxTopics        = 48      // a dashboard watches the tickets and the contracts of up to 16 accounts
	askBit    uint64 = 1 << 62 // ask Allowed, tell nothing
	resyncBit uint64 = 1 << 63 // fetch everything afresh
)

// stream is one page's event stream, as the body of its answer: the server's own goroutine reads from it and writes what it
// read to the connection. Waiting therefore costs no further goroutine than the one that notices a browser leave, and no
// database connection. However many changes wait while the browser does not read, they are a few bits.
type stream struct {
	hub     *Hub
	conn    net.Conn
	watch   Watch
	pending atomic.Uint64
	wake    chan struct{} // holds one: something is pending
	gone    chan struct{} // closed when the browser has left; nil until the answer begins
	closing sync.Once

	// The rest belongs to the goroutine that calls Read.
	timer *time.Timer
	out   []byte    // to be written
	over  bool      // nothing comes after out
	end   time.Time // of the stream's life
	beat  time.Time // when something must be written
	due   time.Time // when what is pending is told; zero if nothing is
	said  time.Time // when the last event was told
}

func newStream(h *Hub, conn net.Conn, w Watch) *stream {
	life := h.timing.life - rand.N(h.timing.life/5) // not all that opened together end together
	return &stream{
		hub: h, conn: conn, watch: w, wake: make(chan struct{}, 1), end: time.Now().Add(life),
		// The comment makes proxies pass the answer's head on at once.
		out: fmt.Appendf(nil, ": open\nretry: %d\n\n", 1000+rand.IntN(2000)),
	}
}

// topics are what wakes the stream, with the bits that each sets in pending.
func (s *stream) topics() map[string]uint64 {
	topics := map[string]uint64{"user:" + s.watch.UserID: askBit, "session:" + s.watch.SessionID: askBit}
	for i, topic := range s.watch.Topics {
		topics[topic] |= 1 << i
	}
	return topics
}

// poke notes changes and wakes the stream. It never waits.
func (s *stream) poke(bits uint64) {
	s.pending.Or(bits)
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Read waits until there is something to write. The error is io.EOF, when the stream is over.
func (s *stream) Read(p []byte) (int, error) {
	if s.gone == nil {
		s.begin()
	} else if len(s.out) == 0 && !s.over {
		s.next()
	}
	_ = s.conn.SetWriteDeadline(time.Now().Add(s.hub.timing.write))
	if s.hub.closing.Err() != nil { // asked after setting the longer one, so that Close's is never overwritten by it
		_ = s.conn.SetWriteDeadline(time.Now().Add(s.hub.timing.bye))
	}
	if len(s.out) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.out)
	s.out = s.out[n:]
	return n, nil
}

// begin watches for the browser's leaving. A browser that waits for events sends nothing, so whatever reading brings is the
// end: its close, a reset, or a request that should not come.
func (s *stream) begin() {
	gone := make(chan struct{})
	s.gone = gone
	_ = s.conn.SetReadDeadline(time.Time{}) // the one for the request still runs
	go func() {
		defer close(gone)
		var b [1]byte
		_, _ = s.conn.Read(b[:])
	}()
	s.timer = time.NewTimer(time.Until(s.end))
	s.rest()
}

// rest sets the next heartbeat.
func (s *stream) rest() {
	beat := s.hub.timing.beat
	s.beat = time.Now().Add(beat - rand.N(beat/5))
}

// next waits for something to tell and puts it into out, or ends the stream.
func (s *stream) next() {
	for {
		at := earliest(s.end, s.beat, s.due)
		s.timer.Reset(time.Until(at))
		select {
		case <-s.gone:
			s.over = true
			return
		case <-s.hub.closing.Done():
			s.farewell()
			return
		case <-s.wake:
			s.schedule()
			continue
		case <-s.timer.C:
		}
		now := time.Now()
		if !now.Before(s.end) {
			s.over = true
			return
		}
		select {
		case <-s.wake:
		default:
		}
		pending := s.pending.Swap(0)
		s.due = time.Time{}
		if err := s.ask(); err != nil {
			s.refuse(err)
			return
		}
		switch {
		case pending&^askBit != 0:
			s.tell(pending)
			s.said = time.Now()
		case !now.Before(s.beat):
			s.out = append(s.out, ": beat\n\n"...)
		default:
			continue // still allowed, and nothing to tell
		}
		s.rest()
		return
	}
}

// schedule decides when what is pending is told: at once where few streams are open.
func (s *stream) schedule() {
	pending := s.pending.Load()
	if pending == 0 {
		return // told already
	}
	spread := s.hub.spread()
	if pending == resyncBit {
		spread *= 10 // all pages of all processes, of a database that has just come back
	}
	soonest := time.Now()
	if next := s.said.Add(s.hub.timing.gap); next.After(soonest) {
		soonest = next
	}
	if s.due.IsZero() || s.due.After(soonest.Add(spread)) {
		s.due = soonest.Add(rand.N(spread + 1))
	}
}

// ask tells whether the viewer may still see the page.
func (s *stream) ask() error {
	ctx, cancel := context.WithTimeout(s.hub.closing, s.hub.timing.ask)
	defer cancel()
	select {
	case s.hub.asking <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("wait to ask whether a page may be told: %w", ctx.Err())
	}
	defer func() { <-s.hub.asking }()
	return s.watch.Allowed(ctx)
}

// refuse ends the stream because the right is gone, or because nobody could tell.
func (s *stream) refuse(err error) {
	s.over = true
	if errors.Is(err, app.ErrSignedOut) || errors.Is(err, app.ErrForbidden) || errors.Is(err, app.ErrNotFound) {
		return
	}
	if s.hub.closing.Err() == nil {
		s.hub.log.Warn("live stream ended: nobody could tell whether its page may still be seen", "error", err)
	}
	s.farewell()
}

// farewell asks the browser to come back at a moment of its own.
func (s *stream) farewell() {
	s.out, s.over = fmt.Appendf(s.out, "retry: %d\n\n", 1000+rand.IntN(9001)), true
}

// tell writes one event with a line for each topic that changed.
func (s *stream) tell(pending uint64) {
	if pending&resyncBit != 0 {
		s.out = append(s.out, "event: resync\ndata: all\n\n"...)
		return
	}
	for i, topic := range s.watch.Topics {
		if pending&(1<<i) != 0 {
			s.out = fmt.Appendf(s.out, "data: %s\n", topic)
		}
	}
	s.out = append(s.out, '\n')
}

// Close releases all that the stream holds. The server calls it when the answer has ended, in whatever way.
func (s *stream) Close() error {
	s.closing.Do(func() {
		s.hub.remove(s)
		if s.gone != nil {
			s.timer.Stop()
			_ = s.conn.SetReadDeadline(time.Unix(1, 0)) // ends the reading
			<-s.gone
		}
	})
	return nil
}

// earliest is the first of the moments that are set.
func earliest(first time.Time, more ...time.Time) time.Time {
	for _, t := range more {
		if !t.IsZero() && t.Before(first) {
			first = t
		}
	}
	return first
}
