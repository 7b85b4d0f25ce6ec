package live

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"time"

	"portico/app"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// limits bound what streams may cost one process.
type limits struct {
	perUser int           // streams of one user
	streams int           // streams in all
	again   time.Duration // after which somebody beyond a limit may try again
}

// timing is every interval of a hub and its streams.
type timing struct {
	// look is how often the table is read. With ask and spread it must stay below the 5 s in which a revoked right ends a
	// stream whose notification was lost.
	look time.Duration
	// answer is how long the database may take for it. A connection that does not answer is a lost one.
	answer time.Duration
	// keep is how long rows stay, and how long after a change a page that opens is told of it: a page's stream opens a
	// moment after the page was drawn.
	keep time.Duration
	// reconnect is the longest pause between two attempts to reach the database.
	reconnect time.Duration

	beat  time.Duration // a comment, and the right asked again, at least this often
	life  time.Duration // longest life of a stream; the browser comes back through the full check
	write time.Duration // for the browser to take what is written
	bye   time.Duration // the same at shutdown
	ask   time.Duration // for Allowed to answer
	// gap is the least time between two events of a stream. Changes in between are told in one.
	gap time.Duration
	// share is how much later, at most, each open stream makes all of them, so that one change does not make all pages ask
	// at once; spread is the ceiling of it.
	share, spread time.Duration
}

// Hub tells the open pages of one process what changed in any process. Its methods may be called from any goroutine.
type Hub struct {
	connect *pgx.ConnConfig
	log     *slog.Logger
	limits  limits
	timing  timing
	// deaf hubs don't listen: what they learn they find by looking.
	deaf bool

	closing context.Context // ends when streams are to end
	close   context.CancelFunc
	asking  chan struct{} // a place for each Allowed that may run at once

	mu       sync.Mutex
	streams  map[*stream]struct{}
	users    map[string]int                // user id: open streams
	watchers map[string]map[*stream]uint64 // topic: streams, with the bits it sets in each
	heard    map[string]time.Time          // topic: when it last changed
	// told and toldBefore are the changes heard since the last look and between the two before it. Every change comes
	// twice, by notification and by looking; once is enough.
	told, toldBefore map[string]struct{}
}

// NewHub returns a hub for the pool's database. It hears of changes once Run is called, on a connection of its own.
func NewHub(pool *pgxpool.Pool, log *slog.Logger) *Hub {
	config := pool.Config()
	config.ConnConfig.RuntimeParams["application_name"] = "portico live"
	h := &Hub{
		connect: config.ConnConfig,
		log:     log,
		limits:  limits{perUser: 6, streams: 5000, again: time.Minute},
		timing: timing{
			look: 2 * time.Second, answer: 2 * time.Second, keep: time.Minute, reconnect: 5 * time.Second,
			beat: 15 * time.Second, life: 15 * time.Minute, write: 10 * time.Second, bye: time.Second, ask: 2 * time.Second,
			gap: 500 * time.Millisecond, share: 200 * time.Microsecond, spread: 200 * time.Millisecond,
		},
		// Half of the pool stays for the pages, which people wait for.
		asking:   make(chan struct{}, max(1, config.MaxConns/2)),
		streams:  map[*stream]struct{}{},
		users:    map[string]int{},
		watchers: map[string]map[*stream]uint64{},
		heard:    map[string]time.Time{},
		told:     map[string]struct{}{},
	}
	h.closing, h.close = context.WithCancel(context.Background())
	return h
}

// Run hears of changes until ctx ends. Where the connection is lost it comes back by itself, and every page is told to fetch
// afresh.
func (h *Hub) Run(ctx context.Context) {
	pause := 100 * time.Millisecond
	for {
		connected, err := h.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		if connected {
			pause = 100 * time.Millisecond
		}
		h.log.WarnContext(ctx, "live updates wait for the database", "error", err, "again_in", pause)
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause/2 + rand.N(pause/2)):
		}
		pause = min(2*pause, h.timing.reconnect)
	}
}

// follow hears of changes on one connection until that fails, and tells whether it ever worked.
func (h *Hub) follow(ctx context.Context) (connected bool, err error) {
	connecting, cancel := context.WithTimeout(ctx, h.timing.reconnect)
	defer cancel()
	conn, err := pgx.ConnectConfig(connecting, h.connect)
	if err != nil {
		return false, fmt.Errorf("connect: %w", err)
	}
	defer func() {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(ending) // of no use any more, and the server notices
	}()
	if !h.deaf {
		if _, err := conn.Exec(connecting, "listen "+channel); err != nil {
			return false, fmt.Errorf("listen: %w", err)
		}
	}
	// What commits from here on is heard or found. What committed before may have been missed.
	var snapshot string
	if err := conn.QueryRow(connecting, "select pg_current_snapshot()::text").Scan(&snapshot); err != nil {
		return false, fmt.Errorf("look: %w", err)
	}
	h.resync()
	h.log.InfoContext(ctx, "live updates hear of changes")
	old, cleared := snapshot, time.Now()
	for {
		if err := h.listen(ctx, conn, time.Now().Add(h.timing.look)); err != nil {
			return true, fmt.Errorf("listen: %w", err)
		}
		if snapshot, err = h.look(ctx, conn, snapshot); err != nil {
			return true, fmt.Errorf("look: %w", err)
		}
		if time.Since(cleared) > h.timing.keep {
			if err := h.clear(ctx, conn, old); err != nil {
				return true, fmt.Errorf("clear: %w", err)
			}
			old, cleared = snapshot, time.Now()
		}
	}
}

// listen passes on notifications until the given time.
func (h *Hub) listen(ctx context.Context, conn *pgx.Conn, until time.Time) error {
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	for time.Now().Before(until) {
		notification, err := conn.WaitForNotification(ctx)
		if notification != nil {
			h.hear(notification.Payload)
		}
		if err != nil && (conn.IsClosed() || context.Cause(ctx) != context.DeadlineExceeded) {
			return err
		}
	}
	return nil
}

// look finds the changes that committed between two looks: after the given snapshot was taken and before the returned one.
func (h *Hub) look(ctx context.Context, conn *pgx.Conn, since string) (snapshot string, err error) {
	ctx, cancel := context.WithTimeout(ctx, h.timing.answer)
	defer cancel()
	var changes []string
	if err := conn.QueryRow(ctx, `
		select pg_current_snapshot()::text, coalesce(array_agg(xid::text || ' ' || topic), '{}')
		from live_events
		where xid >= pg_snapshot_xmin($1::text::pg_snapshot) and not pg_visible_in_snapshot(xid, $1::text::pg_snapshot)`,
		since).Scan(&snapshot, &changes); err != nil {
		return "", err
	}
	for _, change := range changes {
		h.hear(change)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	// A notification comes after its change became visible, so after one more look no late one is a surprise.
	h.told, h.toldBefore = map[string]struct{}{}, h.told
	for topic, at := range h.heard {
		if time.Since(at) > h.timing.keep {
			delete(h.heard, topic)
		}
	}
	return snapshot, nil
}

// clear deletes the changes that every process had time to find: those that were there when a snapshot was taken that is
// now older than timing.keep. Of several processes each takes what the others leave.
func (h *Hub) clear(ctx context.Context, conn *pgx.Conn, snapshot string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_, err := conn.Exec(ctx, `
		delete from live_events where (xid, topic) in (
			select xid, topic from live_events where xid < pg_snapshot_xmin($1::text::pg_snapshot) for update skip locked)`, snapshot)
	return err
}

// hear wakes the streams that watch what changed.
func (h *Hub) hear(change string) {
	_, topic, ok := strings.Cut(change, " ")
	if !ok {
		return // not one of ours
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	_, now := h.told[change]
	_, before := h.toldBefore[change]
	if now || before {
		return
	}
	h.told[change] = struct{}{}
	h.heard[topic] = time.Now()
	for s, bits := range h.watchers[topic] {
		s.poke(bits)
	}
}

// resync tells every page to fetch afresh.
func (h *Hub) resync() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.streams {
		s.poke(resyncBit)
	}
}

// open adds a stream. It returns app.ErrBusy at shutdown, and *app.Limited where the user or the process has too many.
func (h *Hub) open(conn net.Conn, w Watch) (*stream, error) {
	if len(w.Topics) > maxTopics {
		return nil, fmt.Errorf("a page watches %d topics, more than %d", len(w.Topics), maxTopics)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closing.Err() != nil {
		return nil, app.ErrBusy
	}
	if h.users[w.UserID] >= h.limits.perUser || len(h.streams) >= h.limits.streams {
		return nil, &app.Limited{After: h.limits.again}
	}
	s := newStream(h, conn, w)
	h.streams[s] = struct{}{}
	h.users[w.UserID]++
	for topic, bits := range s.topics() {
		if h.watchers[topic] == nil {
			h.watchers[topic] = map[*stream]uint64{}
		}
		h.watchers[topic][s] = bits
		if at, ok := h.heard[topic]; ok && time.Since(at) <= h.timing.keep {
			s.poke(bits)
		}
	}
	return s, nil
}

func (h *Hub) remove(s *stream) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.streams, s)
	if h.users[s.watch.UserID]--; h.users[s.watch.UserID] == 0 {
		delete(h.users, s.watch.UserID)
	}
	for topic := range s.topics() {
		if delete(h.watchers[topic], s); len(h.watchers[topic]) == 0 {
			delete(h.watchers, topic)
		}
	}
}

// Streams counts the open streams of this process.
func (h *Hub) Streams() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.streams)
}

// spread is how far apart the open streams answer one change.
func (h *Hub) spread() time.Duration {
	return min(time.Duration(h.Streams())*h.timing.share, h.timing.spread)
}

// Close ends every stream and refuses new ones. Each browser is told to come back after 1 to 10 seconds, so that they don't
// all come at once. Call it before the server's Shutdown, which waits for connections in use.
func (h *Hub) Close() {
	h.close()
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.streams {
		// One that is writing to a browser that does not read must not hold the shutdown up.
		_ = s.conn.SetWriteDeadline(time.Now().Add(h.timing.bye))
	}
}
