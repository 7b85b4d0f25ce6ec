package watchdog

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"portico/app/db"
	"portico/app/mail"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Service looks for causes. Safe for concurrent use.
type Service struct {
	pool   *pgxpool.Pool
	mail   *mail.Service
	server func(ctx context.Context) error
	limits Limits

	mu     sync.Mutex // guards what follows
	asked  time.Time  // when the mail server last answered, or did not
	asking chan struct{}
	downAt time.Time // since when it does not answer; zero while it does
}

// New makes the service. server asks the mail server whether it answers.
func New(pool *pgxpool.Pool, mails *mail.Service, server func(ctx context.Context) error, limits Limits) *Service {
	return &Service{pool: pool, mail: mails, server: server, limits: limits}
}

// Where causes lead.
const (
	jobsPage  = "/admin/jobs"
	mailsPage = "/admin/emails"
)

// Causes lists what needs attention, in the order of Keys. It asks no permission: its callers do. What can't be found out
// comes back as an error, beside the causes that were found.
func (s *Service) Causes(ctx context.Context) ([]Cause, error) {
	var causes []Cause
	var failures []error
	add := func(key, href string, f found, err error) {
		if err != nil {
			failures = append(failures, fmt.Errorf("watchdog: %s: %w", key, err))
		} else if f.Count > 0 {
			causes = append(causes, Cause{Key: key, Name: f.Name, Since: zeroOf(f.Since), Count: f.Count, Href: href})
		}
	}
	is, since, err := working(ctx, s.pool)
	if err == nil && !is {
		causes = append(causes, Cause{Key: NoWorker, Since: zeroOf(since), Href: jobsPage})
	}
	add(NoWorker, "", found{}, err)

	used, allowed, err := connections(ctx, s.pool)
	if err == nil && float64(used) >= s.limits.Connections*float64(allowed) {
		causes = append(causes, Cause{Key: Connections, Count: used, Of: allowed, Href: jobsPage})
	}
	add(Connections, "", found{}, err)

	if down := s.mailServerDown(ctx); !down.IsZero() {
		causes = append(causes, Cause{Key: MailServer, Since: down, Href: mailsPage})
	}

	f, err := running(ctx, s.pool, s.limits.Running)
	add(JobsRunning, jobsPage+"?state=running", f, err)

	names := slices.Sorted(maps.Keys(s.limits.Queues))
	patience := make([]time.Duration, len(names))
	for i, name := range names {
		patience[i] = s.limits.Queues[name]
	}
	late, err := waiting(ctx, s.pool, s.limits.Waiting, names, patience)
	add(JobsWaiting, "", found{}, err)
	for _, queue := range late {
		add(JobsWaiting, jobsPage+"?queue="+queue.Name, queue, nil)
	}

	attempts, mails, since, err := mailsFailing(ctx, s.pool, s.limits.MailFailed)
	if attempts < s.limits.MailFailures || mails < s.limits.MailsFailing {
		attempts = 0
	}
	add(MailFailing, mailsPage, found{Since: since, Count: attempts}, err)

	f, err = mailsWaiting(ctx, s.pool, s.limits.MailWaiting)
	add(MailWaiting, mailsPage, f, err)

	f, err = failed(ctx, s.pool, s.limits.Failed)
	add(JobsFailed, jobsPage+"?state=failed", f, err)
	return causes, errors.Join(failures...)
}

// zeroOf is the zero time for none.
func zeroOf(at *time.Time) time.Time {
	if at == nil {
		return time.Time{}
	}
	return *at
}

const (
	serverFresh   = 30 * time.Second // how long an answer of the mail server counts
	serverTimeout = 10 * time.Second
	serverWait    = time.Second // how long a page waits for it; then the answer before counts
)

// mailServerDown is since when the mail server can't be reached, or zero. A server that hangs holds up no page.
func (s *Service) mailServerDown(ctx context.Context) time.Time {
	s.mu.Lock()
	asking := s.asking
	if asking == nil && time.Since(s.asked) > serverFresh {
		asking = make(chan struct{})
		s.asking = asking
		go s.askMailServer(context.WithoutCancel(ctx), asking)
	}
	s.mu.Unlock()
	if asking != nil {
		wait := time.NewTimer(serverWait)
		defer wait.Stop()
		select {
		case <-asking:
		case <-wait.C:
		case <-ctx.Done():
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.downAt
}

func (s *Service) askMailServer(ctx context.Context, done chan struct{}) {
	ctx, cancel := context.WithTimeout(ctx, serverTimeout)
	defer cancel()
	err := s.server(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err == nil:
		s.downAt = time.Time{}
	case s.downAt.IsZero():
		s.downAt = time.Now()
	}
	s.asked, s.asking = time.Now(), nil
	close(done)
}

// Counts are the causes for metrics: every key, with its count, 1 where there is nothing to count, or 0 where all is well.
func (s *Service) Counts(ctx context.Context) (map[string]int, error) {
	causes, err := s.Causes(ctx)
	if err != nil {
		return nil, err
	}
	counts := map[string]int{}
	for _, key := range Keys {
		counts[key] = 0
	}
	for _, cause := range causes {
		counts[cause.Key] += max(cause.Count, 1)
	}
	return counts, nil
}

// Tell mails every admin about each cause, unless they were told of it within the last hour; any number of processes may call
// it at once. That nobody works jobs is not told: whoever calls this works them, and a mail is a job. Returns how many causes
// were told.
func (s *Service) Tell(ctx context.Context) (told int, err error) {
	causes, failure := s.Causes(ctx)
	failures := []error{failure}
	for _, cause := range causes {
		if cause.Key == NoWorker {
			continue
		}
		fresh, err := s.tell(ctx, cause)
		if err != nil {
			failures = append(failures, fmt.Errorf("tell admins of %s: %w", cause.ID(), err))
		}
		if fresh {
			told++
		}
	}
	return told, errors.Join(failures...)
}

func (s *Service) tell(ctx context.Context, cause Cause) (fresh bool, err error) {
	err = db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		at, ok, err := claim(ctx, tx, cause.ID(), s.limits.Again)
		if err != nil || !ok {
			return err
		}
		people, err := admins(ctx, tx)
		if err != nil {
			return err
		}
		data := map[string]string{"Cause": cause.Key, "Name": cause.Name}
		if cause.Count > 0 {
			data["Count"], data["Of"] = strconv.Itoa(cause.Count), strconv.Itoa(cause.Of)
		}
		for _, person := range people {
			if err := s.mail.Queue(ctx, tx, mail.Message{
				Kind: "watchdog", Key: fmt.Sprintf("watchdog:%s:%d:%s", cause.ID(), at.UnixMicro(), person.ID),
				UserID: person.ID, Recipient: person.Email, Name: person.Name, Language: person.Language, Zone: person.TimeZone,
				Data: data,
			}); err != nil {
				return err
			}
		}
		fresh = true
		return nil
	})
	return fresh && err == nil, err
}
