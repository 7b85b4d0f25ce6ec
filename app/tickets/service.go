package tickets

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"portico/app"
	"portico/app/access"
	"portico/app/audit"
	"portico/app/contracts"
	"portico/app/db"
	"portico/app/delegates"
	"portico/app/limits"
	"portico/app/live"
	"portico/app/mail"
	"portico/app/markdown"
	"portico/app/provisioning"
	"portico/app/store"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Attach moves what somebody uploaded for a draft's form onto a message that was just written, in its transaction. uploads are ids
// of uploads; those that are not v's own, not that draft's, or used already, are an *app.Invalid on field "attachments".
type Attach func(ctx context.Context, tx pgx.Tx, v app.Viewer, draft, messageID string, uploads []string) error

// Service is support. Safe for concurrent use.
type Service struct {
	pool   *pgxpool.Pool
	mail   *mail.Service
	attach Attach
	runs   *provisioning.Service // nil where no ticket can be about a run
}

// NewService returns a Service, and tells mails who may get those about tickets. attach may be nil: then nothing can be attached.
func NewService(pool *pgxpool.Pool, mails *mail.Service, attach Attach) *Service {
	s := &Service{pool, mails, attach, nil}
	for _, kind := range MailKinds {
		mails.Ask(kind, s.askMail)
	}
	return s
}

// How often one person may do what reaches others.
var (
	rateOpen  = limits.Rate{Times: 30, Window: time.Hour}
	ratePost  = limits.Rate{Times: 120, Window: time.Hour}
	rateDraft = limits.Rate{Times: 2400, Window: time.Hour}
)

// pageSize is how many tickets a page of a list has.
const pageSize = 25

// Active returns a page of the viewer's own tickets that are not closed, newest change first, and the key of the next page: nil
// on the last one.
func (s *Service) Active(ctx context.Context, v app.Viewer, after app.Key) (page []Ticket, next *app.Key, err error) {
	return s.list(ctx, v, after, listActive, func(t Ticket) time.Time { return t.UpdatedAt })
}

// Closed is Active for closed tickets, newest closing first.
func (s *Service) Closed(ctx context.Context, v app.Viewer, after app.Key) (page []Ticket, next *app.Key, err error) {
	return s.list(ctx, v, after, listClosed, func(t Ticket) time.Time { return *t.ClosedAt })
}

func (s *Service) list(ctx context.Context, v app.Viewer, after app.Key,
	query func(context.Context, db.Conn, string, app.Key, int) ([]Ticket, error), at func(Ticket) time.Time) (page []Ticket, next *app.Key, err error) {
	if err := access.Check(v, "tickets", "view"); err != nil {
		return nil, nil, err
	}
	if page, err = query(ctx, s.pool, v.UserID, after, pageSize+1); err != nil {
		return nil, nil, fmt.Errorf("list tickets: %w", err)
	}
	if len(page) > pageSize {
		page = page[:pageSize]
		last := page[pageSize-1]
		next = &app.Key{At: at(last), ID: last.ID}
	}
	return page, next, nil
}

// About returns a page of the tickets about an item's products that the viewer sees, active and closed, newest first, and the key of
// the next page: nil on the last one. Returns app.ErrForbidden to who may not read tickets there.
func (s *Service) About(ctx context.Context, v app.Viewer, i contracts.Item, after app.Key) (page []Ticket, next *app.Key, err error) {
	if !i.Allows("tickets") {
		return nil, nil, app.ErrForbidden
	}
	if page, err = listAbout(ctx, s.pool, v.UserID, productIDs(i), after, pageSize+1); err != nil {
		return nil, nil, fmt.Errorf("list the tickets about %s: %w", i.Product, err)
	}
	if len(page) > pageSize {
		page = page[:pageSize]
		next = &app.Key{At: page[pageSize-1].CreatedAt, ID: page[pageSize-1].ID}
	}
	return page, next, nil
}

// CountAbout is how many tickets About lists, up to 100.
func (s *Service) CountAbout(ctx context.Context, v app.Viewer, i contracts.Item) (int, error) {
	count, err := countAbout(ctx, s.pool, v.UserID, productIDs(i), 100)
	if err != nil {
		return 0, fmt.Errorf("count the tickets about %s: %w", i.Product, err)
	}
	return count, nil
}

// SharedWith lists up to 200 tickets of accounts that one user owns, as another user sees them, newest first. Its caller has asked
// whether the list may be seen.
func (s *Service) SharedWith(ctx context.Context, ownerID, userID string) ([]Ticket, error) {
	shared, err := sharedWith(ctx, s.pool, ownerID, userID, 200)
	if err != nil {
		return nil, fmt.Errorf("list the tickets of %s that %s sees: %w", ownerID, userID, err)
	}
	return shared, nil
}

// ThreadAs returns a ticket of an account that one user owns with all that another one sees of it who was let in, and nothing that they
// could do: app.ErrNotFound if they see nothing. It is no use of their access, and their draft stays theirs. Its caller has asked
// whether it may be seen.
func (s *Service) ThreadAs(ctx context.Context, ownerID, userID, id string) (Thread, error) {
	t, err := sharedTicket(ctx, s.pool, ownerID, userID, id)
	if err == nil && !t.Shared() {
		err = app.ErrNotFound
	}
	if err != nil {
		return Thread{}, fmt.Errorf("read ticket %s as somebody let in: %w", id, err)
	}
	whole := Thread{Ticket: t}
	if err := thread(ctx, s.pool, &whole, userID); err != nil {
		return Thread{}, fmt.Errorf("read the thread of %s: %w", t, err)
	}
	whole.readOnly()
	whole.Draft = Draft{}
	return whole, nil
}

func productIDs(i contracts.Item) []string {
	ids := make([]string, len(i.Products))
	for n, product := range i.Products {
		ids[n] = product.ID
	}
	return ids
}

// Get returns a ticket without its thread, or app.ErrNotFound to a stranger.
func (s *Service) Get(ctx context.Context, v app.Viewer, id string) (Ticket, error) {
	if err := access.Check(v, "tickets", "view"); err != nil {
		return Ticket{}, err
	}
	t, err := ticketByID(ctx, s.pool, v.UserID, id)
	if err != nil {
		return Ticket{}, fmt.Errorf("read ticket %s: %w", id, err)
	}
	return t, allow(t, "view")
}

// Thread returns a ticket with all that the viewer sees of it, or app.ErrNotFound to a stranger. Two round trips, whatever the
// length of the thread.
func (s *Service) Thread(ctx context.Context, v app.Viewer, id string) (Thread, error) {
	t, err := s.Get(ctx, v, id)
	if err != nil {
		return Thread{}, err
	}
	if t.Shared() {
		if err := s.note(ctx, v, t); err != nil {
			return Thread{}, err
		}
	}
	whole := Thread{Ticket: t, Can: t.Can()}
	if err := thread(ctx, s.pool, &whole, v.UserID); err != nil {
		return Thread{}, fmt.Errorf("read the thread of %s: %w", t, err)
	}
	if access.Check(v, "tickets", "edit") != nil { // may only read, until the address is confirmed
		whole.readOnly()
	}
	return whole, nil
}

// note notes the use of what a ticket was shared by.
func (s *Service) note(ctx context.Context, v app.Viewer, t Ticket) error {
	err := error(nil)
	if t.is(Delegate) {
		err = delegates.Note(ctx, s.pool, delegates.Ticket, t.ID, v.UserID)
	}
	if err == nil && t.ContractID != nil && (t.is(Opener) || t.is(Reader)) {
		err = delegates.Note(ctx, s.pool, delegates.Contract, *t.ContractID, v.UserID)
	}
	if err != nil {
		return fmt.Errorf("note the use of an access: %w", err)
	}
	return nil
}

// Sees returns app.ErrNotFound if a user sees no such ticket, as things are now. It is what streams ask.
func (s *Service) Sees(ctx context.Context, userID, id string) error {
	sees, err := maySee(ctx, s.pool, userID, id)
	if err == nil && !sees {
		err = app.ErrNotFound
	}
	return err
}

// allow asks the policy about one ticket that the viewer sees.
func allow(t Ticket, action string) error {
	if !t.Allows(action) {
		return app.ErrForbidden
	}
	return nil
}

// Account is one in whose name the viewer may open tickets.
type Account struct{ ID, Name string }

// Accounts lists the viewer's own accounts, those they own first.
func (s *Service) Accounts(ctx context.Context, v app.Viewer) ([]Account, error) {
	if err := access.Check(v, "tickets", "view"); err != nil {
		return nil, err
	}
	rows, err := accountsOf(ctx, s.pool, v.UserID)
	if err != nil {
		return nil, fmt.Errorf("list own accounts: %w", err)
	}
	accounts := make([]Account, len(rows))
	for i, row := range rows {
		accounts[i] = Account(row)
	}
	return accounts, nil
}

// Departments lists those that a ticket may be opened in, in order. It may be empty.
func (s *Service) Departments(ctx context.Context) ([]store.Department, error) {
	return store.ListDepartments(ctx, s.pool)
}

// Posting is what somebody posts to a ticket.
type Posting struct {
	Body     string
	Internal bool     // a note that only the store's people see
	Uploads  []string // ids of what to attach
}

// Post adds a reply, or an internal note, and returns it. The author's relation to this ticket decides its status: of the account
// Client replied, of the store Staff replied; a note changes nothing.
//
// Returns app.ErrNotFound to a stranger, app.ErrForbidden, ErrClosed, *app.Invalid on "body", *app.Limited after 120 in an hour.
// With ErrClosed, however late the close came in between, the text is kept as the viewer's draft. Else the draft is deleted.
// Queues mail for a reply, notifies.
func (s *Service) Post(ctx context.Context, v app.Viewer, id string, p Posting) (Message, error) {
	action, draft := "reply", DraftOfReply(id)
	if p.Internal {
		action, draft = "notes", DraftOfNote(id)
	}
	var m Message
	err := s.Change(ctx, v, id, action, func(tx pgx.Tx, t *Ticket) error {
		var invalid app.Invalid
		text := body(&invalid, p.Body)
		if len(p.Uploads) > 0 && !t.Allows("attach") {
			return app.ErrForbidden
		}
		if err := invalid.Err(); err != nil {
			return err
		}
		voice := t.voice()
		var err error
		if m, err = s.write(ctx, tx, v, *t, voice, p.Internal, text, draft, p.Uploads); err != nil {
			return err
		}
		if err := deleteDraft(ctx, tx, v.UserID, draft); err != nil {
			return fmt.Errorf("delete the draft of a post: %w", err)
		}
		if p.Internal {
			if err := s.record(ctx, tx, v, *t, "ticket.note", nil); err != nil {
				return err
			}
			return live.Notify(ctx, tx, TopicOfStaff(t.ID))
		}
		status := ClientReplied
		if voice == VoiceStore {
			status = StaffReplied
		}
		if err := markPosted(ctx, tx, t.ID, status, voice != VoiceStore, m.CreatedAt); err != nil {
			return fmt.Errorf("post to %s: %w", t, err)
		}
		if err := s.record(ctx, tx, v, *t, "ticket.reply", nil); err != nil {
			return err
		}
		if err := s.tell(ctx, tx, v, *t, "reply-posted", m.ID, ""); err != nil {
			return err
		}
		return notify(ctx, tx, *t)
	}, limit{"ticket.post", ratePost})
	if errors.Is(err, ErrClosed) {
		return Message{}, s.keep(ctx, err, v, Draft{Object: draft, Body: p.Body})
	}
	if err != nil {
		return Message{}, err
	}
	m.Own, m.CanEdit = true, true
	return m, nil
}

// write stores a message with its HTML and what is attached to it: uploads that wait for the form of a draft.
func (s *Service) write(ctx context.Context, tx pgx.Tx, v app.Viewer, t Ticket, voice string, internal bool, text, draft string, uploads []string) (Message, error) {
	m, err := insertMessage(ctx, tx, Message{
		TicketID: t.ID, AuthorID: &v.UserID, AuthorName: v.Name, Voice: voice, Internal: internal, Body: text, HTML: string(markdown.Render(text)),
	})
	if err != nil {
		return Message{}, fmt.Errorf("write to %s: %w", t, err)
	}
	if len(uploads) == 0 {
		return m, nil
	}
	if s.attach == nil {
		return Message{}, app.Invalidf("attachments", "tickets.no-attachments")
	}
	return m, s.attach(ctx, tx, v, draft, m.ID, uploads)
}

// keep stores a text that a closed ticket did not take, and returns the error of that.
func (s *Service) keep(ctx context.Context, cause error, v app.Viewer, d Draft) error {
	if utf8.RuneCountInString(d.Body) > MaxBody {
		return cause // was never a valid message
	}
	if err := saveDraft(ctx, s.pool, v.UserID, d); err != nil {
		return fmt.Errorf("keep a draft: %w", err)
	}
	return cause
}

type limit struct {
	name string
	rate limits.Rate
}

// Change is how a ticket is changed: it locks the ticket as the viewer sees it, asks the policy, and works in one transaction with
// the closing of the ticket shut out. Returns app.ErrNotFound to a stranger, app.ErrForbidden, ErrClosed, or what work returns.
// work records, queues mail and notifies.
func (s *Service) Change(ctx context.Context, v app.Viewer, id, action string, work func(tx pgx.Tx, t *Ticket) error, hits ...limit) error {
	if err := access.Check(v, "tickets", "edit"); err != nil {
		return err
	}
	return db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		t, err := lockTicket(ctx, tx, v.UserID, id)
		if err != nil {
			return fmt.Errorf("lock ticket %s: %w", id, err)
		}
		if err := allow(t, action); err != nil {
			return err
		}
		if t.Status == Closed {
			return ErrClosed
		}
		for _, hit := range hits {
			if err := limits.Hit(ctx, tx, hit.name, v.UserID, hit.rate); err != nil {
				return err
			}
		}
		return work(tx, &t)
	})
}

// Message returns one message of a ticket for editing: app.ErrForbidden for somebody else's, ErrClosed on a closed ticket.
func (s *Service) Message(ctx context.Context, v app.Viewer, ticketID, id string) (Ticket, Message, error) {
	t, err := s.Get(ctx, v, ticketID)
	if err != nil {
		return Ticket{}, Message{}, err
	}
	m, err := own(ctx, s.pool, v, t, id)
	if err == nil && t.Status == Closed {
		err = ErrClosed
	}
	return t, m, err
}

// own finds a message that the viewer wrote and may edit.
func own(ctx context.Context, conn db.Conn, v app.Viewer, t Ticket, id string) (Message, error) {
	m, err := messageByID(ctx, conn, t, id)
	if err != nil {
		return Message{}, fmt.Errorf("read message %s of %s: %w", id, t, err)
	}
	if m.AuthorID == nil || *m.AuthorID != v.UserID || !t.Allows("edit_own") {
		return Message{}, app.ErrForbidden
	}
	m.Own, m.CanEdit = true, t.Status != Closed
	return m, nil
}

// EditMessage gives one of the viewer's own messages another text. What it said before is kept for those who may see notes. The
// ticket's status stays. Returns what Message does, and *app.Invalid on "body". With ErrClosed the text is kept as a draft.
// Sends no mail, notifies.
func (s *Service) EditMessage(ctx context.Context, v app.Viewer, ticketID, id, text string) error {
	// Whose message it is comes before the state of its ticket.
	if _, _, err := s.Message(ctx, v, ticketID, id); err != nil && !errors.Is(err, ErrClosed) {
		return err
	}
	err := s.Change(ctx, v, ticketID, "edit_own", func(tx pgx.Tx, t *Ticket) error {
		m, err := own(ctx, tx, v, *t, id)
		if err != nil {
			return err
		}
		var invalid app.Invalid
		text := body(&invalid, text)
		if err := invalid.Err(); err != nil {
			return err
		}
		if err := deleteDraft(ctx, tx, v.UserID, DraftOfEdit(id)); err != nil {
			return fmt.Errorf("delete the draft of an edit: %w", err)
		}
		if text == m.Body {
			return nil
		}
		if err := updateMessage(ctx, tx, id, text, string(markdown.Render(text))); err != nil {
			return fmt.Errorf("edit a message of %s: %w", t, err)
		}
		if _, err := insertEvent(ctx, tx, t.ID, v, Event{Kind: EventEdit, Data: map[string]string{"Message": id}, Internal: m.Internal}); err != nil {
			return fmt.Errorf("note the edit of a message of %s: %w", t, err)
		}
		if err := s.record(ctx, tx, v, *t, "ticket.edit-message", nil); err != nil {
			return err
		}
		if m.Internal {
			return live.Notify(ctx, tx, TopicOfStaff(t.ID))
		}
		if err := touch(ctx, tx, t.ID); err != nil {
			return fmt.Errorf("note a change of %s: %w", t, err)
		}
		return notify(ctx, tx, *t)
	}, limit{"ticket.edit", ratePost})
	if errors.Is(err, ErrClosed) {
		return s.keep(ctx, err, v, Draft{Object: DraftOfEdit(id), Body: text})
	}
	return err
}

// EditSubject gives a ticket another subject. Returns app.ErrNotFound to a stranger, app.ErrForbidden, ErrClosed, *app.Invalid on
// "subject". The status stays. Sends no mail, notifies.
func (s *Service) EditSubject(ctx context.Context, v app.Viewer, id, text string) error {
	return s.Change(ctx, v, id, "subject", func(tx pgx.Tx, t *Ticket) error {
		var invalid app.Invalid
		next := subject(&invalid, text)
		if err := invalid.Err(); err != nil {
			return err
		}
		changes := audit.Changes{}
		if !changes.Add("subject", t.Subject, next) {
			return nil
		}
		if err := setSubject(ctx, tx, id, next); err != nil {
			return fmt.Errorf("change the subject of %s: %w", t, err)
		}
		if _, err := insertEvent(ctx, tx, t.ID, v, Event{Kind: EventSubject, Data: map[string]string{"Before": t.Subject, "After": next}}); err != nil {
			return fmt.Errorf("note the subject of %s: %w", t, err)
		}
		if err := s.record(ctx, tx, v, *t, "ticket.subject", changes); err != nil {
			return err
		}
		return notify(ctx, tx, *t)
	}, limit{"ticket.edit", ratePost})
}

// Close closes a ticket, which is final. A ticket that is closed already stays as it is, without an error. Returns app.ErrNotFound
// to a stranger, app.ErrForbidden. Queues mail, notifies.
func (s *Service) Close(ctx context.Context, v app.Viewer, id string) error {
	return s.close(ctx, v, id, Ticket{})
}

// CloseAsDuplicate closes a ticket with a link to the one it doubles, which the viewer sees as well and which is another. No
// message moves.
func (s *Service) CloseAsDuplicate(ctx context.Context, v app.Viewer, id, of string) error {
	double, err := s.Get(ctx, v, of)
	if err != nil {
		return err
	}
	if err := allow(double, "status"); err != nil {
		return err
	}
	if double.ID == id {
		return app.Invalidf("duplicate_of", "tickets.duplicate-itself")
	}
	return s.close(ctx, v, id, double)
}

func (s *Service) close(ctx context.Context, v app.Viewer, id string, double Ticket) error {
	err := s.Change(ctx, v, id, "close", func(tx pgx.Tx, t *Ticket) error {
		if err := setClosed(ctx, tx, id, double.ID); err != nil {
			return fmt.Errorf("close %s: %w", t, err)
		}
		event := Event{Kind: EventClose, Data: map[string]string{}}
		details := map[string]any{}
		if double.ID != "" {
			event.Data["Number"] = strconv.FormatInt(double.Number, 10)
			details["duplicate_of"] = double.Number
		}
		eventID, err := insertEvent(ctx, tx, t.ID, v, event)
		if err != nil {
			return fmt.Errorf("note the closing of %s: %w", t, err)
		}
		if err := s.record(ctx, tx, v, *t, "ticket.close", details); err != nil {
			return err
		}
		if err := s.tell(ctx, tx, v, *t, "ticket-status", eventID, Closed); err != nil {
			return err
		}
		return notify(ctx, tx, *t)
	})
	if errors.Is(err, ErrClosed) {
		return nil
	}
	return err
}

// AddEvent puts an event into a ticket's timeline, in the transaction of Change. It returns the event's id.
func AddEvent(ctx context.Context, tx pgx.Tx, t Ticket, v app.Viewer, e Event) (string, error) {
	id, err := insertEvent(ctx, tx, t.ID, v, e)
	if err != nil {
		return "", fmt.Errorf("note %s of %s: %w", e.Kind, t, err)
	}
	return id, nil
}

// Touch notes a change that the account's people can see, in the transaction of Change, and tells every open page of it.
func Touch(ctx context.Context, tx pgx.Tx, t Ticket) error {
	if err := touch(ctx, tx, t.ID); err != nil {
		return fmt.Errorf("note a change of %s: %w", t, err)
	}
	return notify(ctx, tx, t)
}

// notify tells every open page that shows the ticket.
func notify(ctx context.Context, tx pgx.Tx, t Ticket, more ...string) error {
	users, err := delegatesOf(ctx, tx, t.ID)
	if err != nil {
		return fmt.Errorf("find who sees %s as a delegate: %w", t, err)
	}
	for _, user := range users {
		more = append(more, delegates.TopicOf(user))
	}
	switch {
	case t.ContractID != nil:
		more = append(more, contracts.TopicOf(*t.ContractID))
	case t.ProductID != nil:
		more = append(more, contracts.TopicOfPurchase(*t.ProductID))
	}
	return live.Notify(ctx, tx, append(more, TopicOf(t.ID), TopicOfAccount(t.AccountID), TopicAll)...)
}

// record adds the audit's row. It never holds what was written.
func (s *Service) record(ctx context.Context, tx pgx.Tx, v app.Viewer, t Ticket, action string, details map[string]any) error {
	return audit.Record(ctx, tx, v, audit.Entry{Action: action, ObjectType: "ticket", ObjectID: t.ID, ObjectName: t.Subject, AccountID: t.AccountID, Details: details})
}

// subject reads a subject: one line of at most MaxSubject characters.
func subject(invalid *app.Invalid, text string) string {
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " ")
	switch {
	case text == "":
		invalid.Add("subject", "tickets.subject-missing")
	case utf8.RuneCountInString(text) > MaxSubject:
		invalid.Add("subject", "tickets.subject-long", "Max", MaxSubject)
	case !utf8.ValidString(text):
		invalid.Add("subject", "form.unreadable")
	}
	return text
}

// body reads a message: at least one sign that shows, at most MaxBody characters.
func body(invalid *app.Invalid, text string) string {
	text = strings.TrimRightFunc(strings.ReplaceAll(text, "\r\n", "\n"), unicode.IsSpace)
	switch {
	case strings.TrimSpace(text) == "":
		invalid.Add("body", "tickets.body-missing")
	case utf8.RuneCountInString(text) > MaxBody:
		invalid.Add("body", "tickets.body-long", "Max", MaxBody)
	case !utf8.ValidString(text) || strings.ContainsRune(text, 0):
		invalid.Add("body", "form.unreadable")
	}
	return text
}

// belongs returns app.ErrNotFound unless a user belongs to all of these accounts now.
func (s *Service) belongs(ctx context.Context, userID string, accountIDs []string) error {
	accounts, err := accountsOf(ctx, s.pool, userID)
	if err != nil {
		return err
	}
	for _, id := range accountIDs {
		if !slices.ContainsFunc(accounts, func(a accountRow) bool { return a.ID == id }) {
			return app.ErrNotFound
		}
	}
	return nil
}
