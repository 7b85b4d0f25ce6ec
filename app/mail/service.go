package mail

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	netmail "net/mail"
	"net/url"
	"strings"
	"time"

	"portico/app"
	"portico/app/db"
	"portico/app/keys"
	"portico/app/live"
	"portico/app/locale"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	gomail "github.com/wneessen/go-mail"
)

// Service queues and delivers mails. Safe for concurrent use.
type Service struct {
	pool      *pgxpool.Pool
	ring      *keys.Ring
	catalogue *locale.Catalogue
	url       string // public address, without a slash at the end
	transport *Transport
	jobs      Inserter
	asks      map[string]Ask
}

// Ask tells, when a mail of some kind is about to go out or is previewed, why its recipient may not have it any more (a reason of
// mail_deliveries, "" if they may), and which text of a person it quotes, "" for none.
type Ask func(ctx context.Context, conn db.Conn, m Asked) (reason, quote string, err error)

// Asked is the mail that an Ask is about.
type Asked struct {
	Kind   string
	UserID string // "" if the user is gone
	Data   map[string]string
}

// Ask sets who decides about the mails of a kind. Call it before the first mail is delivered.
func (s *Service) Ask(kind string, ask Ask) { s.asks[kind] = ask }

// ask asks about a delivery, if its kind is asked about.
func (s *Service) ask(ctx context.Context, conn db.Conn, d *delivery) (err error) {
	ask := s.asks[d.Kind]
	if ask == nil {
		return nil
	}
	about := Asked{Kind: d.Kind, Data: d.Data}
	if d.UserID != nil {
		about.UserID = *d.UserID
	} else {
		d.Denied = "user-gone"
		return nil
	}
	if d.Denied, d.Quote, err = ask(ctx, conn, about); err != nil {
		return fmt.Errorf("ask about a mail of kind %s: %w", d.Kind, err)
	}
	return nil
}

// delivery reads a delivery, and asks about it.
func (s *Service) delivery(ctx context.Context, conn db.Conn, id string) (delivery, error) {
	d, err := deliveryByID(ctx, conn, id)
	if err == nil {
		err = s.ask(ctx, conn, &d)
	}
	return d, err
}

// New makes the service. publicURL has no slash at the end; jobs may be insert-only.
func New(pool *pgxpool.Pool, ring *keys.Ring, catalogue *locale.Catalogue, publicURL string, transport *Transport, jobs Inserter) *Service {
	return &Service{pool: pool, ring: ring, catalogue: catalogue, url: publicURL, transport: transport, jobs: jobs, asks: map[string]Ask{}}
}

// Topic names the list of mails to open pages; TopicOf(id) names one mail.
const Topic = "mail"

// TopicOf is what open pages watch that show one mail.
func TopicOf(id string) string { return Topic + ":" + id }

// Queue asks for a mail in the transaction of its cause: the mail goes out exactly if that commits. A message whose key was
// queued before does nothing. Notifies Topic.
func (s *Service) Queue(ctx context.Context, tx pgx.Tx, m Message) error {
	_, err := s.queue(ctx, tx, m)
	return err
}

// queue is Queue and returns the delivery's id, or "" if the key was queued before.
func (s *Service) queue(ctx context.Context, tx pgx.Tx, m Message) (id string, err error) {
	kind, ok := kinds[m.Kind]
	if !ok || m.Key == "" || (kind.purpose != "") != (m.TokenID != "") || kind.to != toWhoever && m.UserID == "" {
		return "", fmt.Errorf("queue mail %q: its kind is unknown, or it lacks a key, token or user", m.Kind)
	}
	for _, name := range kind.data {
		if m.Data[name] == "" {
			return "", fmt.Errorf("queue mail %q: its data lack %s", m.Kind, name)
		}
	}
	store, err := readStore(ctx, tx)
	if err != nil {
		return "", fmt.Errorf("queue %s: read the store: %w", m.Kind, err)
	}
	subject := s.subject(delivery{Kind: m.Kind, Recipient: m.Recipient, Language: m.Language, Data: m.Data}, store)
	if id, err = insertDelivery(ctx, tx, m, subject); err != nil {
		return "", fmt.Errorf("queue %s: %w", m.Kind, err)
	}
	if id == "" {
		return "", nil
	}
	if _, err := s.jobs.InsertTx(ctx, tx, DeliverArgs{DeliveryID: id}, nil); err != nil {
		return "", fmt.Errorf("queue the job of %s: %w", m.Kind, err)
	}
	return id, live.Notify(ctx, tx, Topic)
}

// NewLink makes a one-time link in the transaction that queues its mail, ends the older ones that it replaces, and returns the id
// for Message.TokenID.
type NewLink func(ctx context.Context, tx pgx.Tx, purpose string, m Message) (tokenID string, err error)

// SendAgain queues a mail once more, as a delivery of its own, and returns that one's id. Where the mail has a link, the new
// one gets a new link and the old link dies. It asks no permission: its callers do. Returns app.ErrNotFound for an unknown id,
// and app.ErrConflict where WhyNotAgain gives a reason.
func (s *Service) SendAgain(ctx context.Context, tx pgx.Tx, id string, newLink NewLink) (again string, err error) {
	d, err := s.delivery(ctx, tx, id) // unlocked: what is finished never changes
	if err != nil {
		return "", fmt.Errorf("send mail %s again: %w", id, err)
	}
	store, err := readStore(ctx, tx)
	if err != nil {
		return "", fmt.Errorf("send mail %s again: read the store: %w", id, err)
	}
	if reason := d.whyNotAgain(store); reason != "" {
		return "", fmt.Errorf("send mail %s again: %w: %s", id, app.ErrConflict, reason)
	}
	m := Message{
		Kind: d.Kind, Key: "again:" + uuid.NewString(), Recipient: d.Recipient, Name: d.Name, Language: d.Language, Zone: d.TimeZone,
		Data: maps.Clone(d.Data),
	}
	if d.UserID != nil {
		m.UserID = *d.UserID
	}
	// Nobody asked for this one from there.
	delete(m.Data, "IP")
	delete(m.Data, "Browser")
	if purpose := kinds[d.Kind].purpose; purpose != "" {
		if m.TokenID, err = newLink(ctx, tx, purpose, m); err != nil {
			return "", fmt.Errorf("send mail %s again: %w", id, err)
		}
	}
	return s.queue(ctx, tx, m)
}

// WhyNotAgain is why a mail can't be sent again, or "" if it can: one of the reasons of mail_deliveries, "under-way" for a mail
// that is not finished, or "done" for one whose link has nothing left to do. Returns app.ErrNotFound for an unknown id.
func (s *Service) WhyNotAgain(ctx context.Context, id string) (string, error) {
	d, err := s.delivery(ctx, s.pool, id)
	if err != nil {
		return "", fmt.Errorf("ask whether mail %s may be sent again: %w", id, err)
	}
	store, err := readStore(ctx, s.pool)
	if err != nil {
		return "", fmt.Errorf("ask whether mail %s may be sent again: read the store: %w", id, err)
	}
	return d.whyNotAgain(store), nil
}

// The ceilings of mails of one kind to one address, against loops and against portals used to pester somebody. What is beyond
// them waits until there is room, because a mail that was promised should come, if late. No summary takes its place: of mails
// with a link only the newest link works and the others are cancelled, so that one mail is what stays beyond the ceiling; and
// the others tell of changes to how somebody signs in, each of which they must hear of. A kind that one event of many causes,
// such as a reply, needs a summary of its own.  Source: threats and faults, M4; Zammad's numbers.
const (
	ceilingShort, ceilingShortWindow = 10, 10 * time.Minute
	ceilingLong, ceilingLongWindow   = 100, 10 * time.Hour
	maxHold                          = 24 * time.Hour // what could not go by then is given up
)

// stillRunning is how long an attempt may be alive in another process: longer than sendTimeout and the writing of its result,
// shorter than jobs.RescueAfter.
const stillRunning = 90 * time.Second

// Held says that a delivery must wait, which costs no attempt.
type Held struct{ For time.Duration }

func (h *Held) Error() string { return "held for " + h.For.String() }

// Deliver makes one attempt at a delivery. pause is when the next comes if this one fails for now; 0 means that this is the
// last. It may be called twice for one delivery: a finished one returns nil at once.
//
// Returns nil when the delivery is finished, sent or not; *Held when it must wait; *Failure when the mail server did not take
// it: Refused is final, anything else may be tried again. Holds no transaction while the mail server is called. A process that
// is killed between the server's 250 and the next commit sends again, with the same Message-ID: SMTP can't be asked.
// Source: threats and faults, M1–M5.
func (s *Service) Deliver(ctx context.Context, id string, pause time.Duration) error {
	var d delivery
	var store storeFacts
	var attempt int
	var held *Held
	err := db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		var err error
		if d, err = lockDelivery(ctx, tx, id); err != nil {
			return err
		}
		if err = s.ask(ctx, tx, &d); err != nil {
			return err
		}
		if store, err = readStore(ctx, tx); err != nil {
			return err
		}
		if attempt, held, err = s.begin(ctx, tx, d, store); err != nil {
			return err
		}
		return changed(ctx, tx, d.ID)
	})
	switch {
	case errors.Is(err, app.ErrNotFound):
		return nil // deleted with what it was about
	case err != nil:
		return fmt.Errorf("begin delivery %s: %w", id, err)
	case held != nil:
		return held
	case attempt == 0:
		return nil
	}

	content, answer, err := s.send(ctx, d, store)
	// What happened is written down even while the program stops.
	ctx = context.WithoutCancel(ctx)
	if err == nil {
		return s.record(ctx, id, func(tx pgx.Tx) error {
			if err := finishAttempt(ctx, tx, id, attempt, attemptResult{Accepted, 250, answer}); err != nil {
				return err
			}
			return markSent(ctx, tx, id, content.Subject, answer)
		})
	}
	failure := &Failure{}
	if !errors.As(err, &failure) {
		failure = &Failure{Outcome: Unreachable, Answer: Redact(err.Error()), cause: err}
	}
	interrupted := errors.Is(failure, context.Canceled) // costs no attempt and goes on at once
	if interrupted {
		pause = 0
	}
	recorded := s.record(ctx, id, func(tx pgx.Tx) error {
		if err := finishAttempt(ctx, tx, id, attempt, attemptResult{failure.Outcome, failure.Code, failure.Answer}); err != nil {
			return err
		}
		switch {
		case failure.Outcome == Refused:
			return markFailed(ctx, tx, id, attempt, "refused", failure.Answer)
		case pause == 0 && !interrupted:
			return markFailed(ctx, tx, id, attempt, "gave-up", failure.Answer)
		default:
			return markRetrying(ctx, tx, id, attempt, failure.Answer, pause)
		}
	})
	return errors.Join(failure, recorded)
}

// begin decides whether a locked delivery may go out now. attempt is 0 if not; then it is finished, or held.
func (s *Service) begin(ctx context.Context, tx pgx.Tx, d delivery, store storeFacts) (attempt int, held *Held, err error) {
	if d.Status == "sent" || d.Status == "failed" || d.Status == "cancelled" {
		return 0, nil, nil
	}
	if d.Running != nil && *d.Running < stillRunning {
		return 0, &Held{stillRunning - *d.Running + time.Second}, nil
	}
	if reason := d.mayNot(store); reason != "" {
		return 0, nil, settle(ctx, tx, d.ID, "cancelled", reason)
	}
	if _, ok := cleanAddress(d.Recipient); !ok {
		return 0, nil, settle(ctx, tx, d.ID, "failed", "bad-address")
	}
	if err := lockRecipient(ctx, tx, d); err != nil {
		return 0, nil, err
	}
	short, err := room(ctx, tx, d, ceilingShort, ceilingShortWindow)
	if err != nil {
		return 0, nil, err
	}
	long, err := room(ctx, tx, d, ceilingLong, ceilingLongWindow)
	if err != nil {
		return 0, nil, err
	}
	if wait := max(short, long); wait > 0 {
		if time.Since(d.CreatedAt) > maxHold {
			return 0, nil, settle(ctx, tx, d.ID, "failed", "too-many")
		}
		return 0, &Held{wait + time.Second}, hold(ctx, tx, d.ID, wait)
	}
	attempt, err = startAttempt(ctx, tx, d.ID)
	return attempt, nil, err
}

// mayNot is why the recipient has no right to this mail any more, or "".
func (d delivery) mayNot(store storeFacts) string {
	kind := kinds[d.Kind]
	is := func(email *string) bool { return email != nil && strings.EqualFold(*email, d.Recipient) }
	switch {
	case strings.EqualFold(d.Recipient, store.SenderAddress):
		return "own-address"
	case d.UserID == nil && kind.to != toWhoever:
		return "user-gone"
	case d.UserDisabled:
		return "user-disabled"
	case kind.to == toUser && !is(d.UserEmail), kind.to == toPending && !is(d.PendingEmail):
		return "address-changed"
	case d.Denied != "":
		return d.Denied
	case kind.purpose != "" && (!d.TokenWorks || *d.TokenPurpose != kind.purpose):
		return "link-dead"
	}
	return ""
}

// whyNotAgain is mayNot for a mail that would get a new link.
func (d delivery) whyNotAgain(store storeFacts) string {
	kind := kinds[d.Kind]
	_, isAddress := cleanAddress(d.Recipient)
	d.TokenWorks, d.TokenPurpose = true, &kind.purpose
	reason := d.mayNot(store)
	done := map[string]bool{
		"confirm": d.UserConfirmed, "invite": d.UserJoined,
		"email_old": d.PendingEmail == nil || !strings.EqualFold(*d.PendingEmail, d.Data["Email"]) || d.OldAgreed, "email_new": d.NewAgreed,
	}
	switch {
	case d.Status == "queued", d.Status == "sending", d.Status == "retrying":
		return "under-way"
	case reason != "":
		return reason
	case !isAddress:
		return "bad-address"
	case done[kind.purpose]:
		return "done"
	}
	return ""
}

// changed tells open pages that a delivery changed.
func changed(ctx context.Context, tx pgx.Tx, id string) error {
	return live.Notify(ctx, tx, Topic, TopicOf(id))
}

// send renders a delivery and hands it to the mail server.
func (s *Service) send(ctx context.Context, d delivery, store storeFacts) (content Content, answer string, err error) {
	secret := ""
	if d.TokenID != nil {
		if secret, err = s.ring.LinkSecretFor(*d.TokenID, d.TokenHash); err != nil {
			return content, "", err
		}
	}
	if content, err = s.render(d, store, secret); err != nil {
		return content, "", err
	}
	from, ok := cleanAddress(store.SenderAddress)
	if !ok {
		return content, "", fmt.Errorf("the store's sender address %q is no address", store.SenderAddress)
	}
	to, _ := cleanAddress(d.Recipient) // was checked before the attempt began
	answer, err = s.transport.Send(ctx, from, to, s.compose(d, store, content, from, to))
	var failure *Failure
	if errors.As(err, &failure) {
		failure.Answer = Redact(failure.Answer, secret)
	}
	return content, Redact(answer, secret), err
}

// compose builds the mail with one sender and one recipient. Names were made plain and addresses are bare, so that no header
// can hold more than it should.
func (s *Service) compose(d delivery, store storeFacts, content Content, from, to string) *gomail.Msg {
	m := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	m.FromMailAddress(&netmail.Address{Name: oneLine(store.Name, maxName), Address: from})
	m.ToMailAddress(&netmail.Address{Name: plainName(d.Name), Address: to})
	m.Subject(content.Subject)
	m.SetDateWithValue(d.CreatedAt)
	m.SetMessageIDWithValue(s.MessageID(d.ID))
	if thread := d.Data["Ticket"]; thread != "" {
		// No mail has this id. All that are about one ticket refer to it, and so mail programs keep them together.
		m.SetGenHeader("In-Reply-To", "<ticket."+s.MessageID(thread)+">")
		m.SetGenHeader("References", "<ticket."+s.MessageID(thread)+">")
	}
	m.SetGenHeader("Auto-Submitted", "auto-generated")
	m.SetGenHeader("X-Auto-Response-Suppress", "All")
	m.SetBodyString(gomail.TypeTextPlain, content.Text)
	m.AddAlternativeString(gomail.TypeTextHTML, content.HTML)
	return m
}

// MessageID is a delivery's, without angle brackets. It is the same at every attempt: a delivery has one id for its key.
func (s *Service) MessageID(id string) string {
	host := "portico.invalid"
	if address, err := url.Parse(s.url); err == nil && address.Hostname() != "" && !strings.Contains(address.Hostname(), ":") {
		host = address.Hostname()
	}
	return id + "@" + host
}

// record writes an attempt's result in a transaction of its own. It does not give up at the first error: a 250 that is not
// written down is a mail sent twice.
func (s *Service) record(ctx context.Context, id string, write func(tx pgx.Tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		err := db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
			if err := write(tx); err != nil {
				return err
			}
			return changed(ctx, tx, id)
		})
		if err == nil {
			return nil
		}
		slog.WarnContext(ctx, "an attempt's result could not be stored", "delivery", id, "error", Redact(err.Error()))
		select {
		case <-ctx.Done():
			return fmt.Errorf("record the attempt of delivery %s: %w", id, err)
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// Preview renders a delivery as its recipient sees it, with the link's token masked. It asks no permission: its callers do.
// Returns app.ErrNotFound for an unknown id.
func (s *Service) Preview(ctx context.Context, id string) (Content, error) {
	d, err := s.delivery(ctx, s.pool, id)
	if err != nil {
		return Content{}, fmt.Errorf("preview mail %s: %w", id, err)
	}
	store, err := readStore(ctx, s.pool)
	if err != nil {
		return Content{}, fmt.Errorf("preview mail %s: %w", id, err)
	}
	return s.render(d, store, mask)
}

// FailOrphans ends deliveries that no job will deliver: their job was cancelled by hand, or its last attempt was killed. They
// show as failed, where a person can send them again. Returns how many there were.
func (s *Service) FailOrphans(ctx context.Context) (int, error) {
	n := 0
	err := db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		ids, err := failOrphans(ctx, tx, DeliverArgs{}.Kind(), 10*time.Minute)
		if n = len(ids); err != nil || n == 0 {
			return err
		}
		topics := []string{Topic}
		for _, id := range ids {
			topics = append(topics, TopicOf(id))
		}
		return live.Notify(ctx, tx, topics...)
	})
	if err != nil {
		return 0, fmt.Errorf("end orphaned mails: %w", err)
	}
	return n, nil
}
