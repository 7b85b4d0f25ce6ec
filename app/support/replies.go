package support

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"portico/app"
	"portico/app/access"
	"portico/app/audit"
	"portico/app/db"
	"portico/app/tickets"

	"github.com/jackc/pgx/v5"
)

// Reply is a saved reply: Markdown for questions that come again, with Placeholders.
type Reply struct {
	ID             string
	Name           string
	Body           string
	DepartmentID   string // "" for every department
	DepartmentName string
	UpdatedAt      time.Time
}

// Placeholders lists what a saved reply may hold, in the order of the guide. Each stands for what it names when the reply is put
// into a composer; everything else in braces stays as it is.
var Placeholders = []string{"{client}", "{account}", "{ticket}", "{subject}", "{store}", "{agent}"}

// MaxReplyName is the longest name of a saved reply, in characters.
const MaxReplyName = 100

// fill puts a ticket's facts into a saved reply. Values are plain text: what they hold of Markdown shows as it is, and placeholders
// in them stay.
func fill(body string, t tickets.Thread, v app.Viewer, store string) string {
	client := t.AccountName
	for _, person := range t.People {
		if t.OpenerID != nil && person.ID == *t.OpenerID {
			client = person.Name
		}
	}
	if client == t.AccountName && len(t.People) > 0 {
		client = t.People[0].Name
	}
	return strings.NewReplacer(
		"{client}", plain(client), "{account}", plain(t.AccountName), "{ticket}", strconv.FormatInt(t.Number, 10),
		"{subject}", plain(t.Subject), "{store}", plain(store), "{agent}", plain(v.Name),
	).Replace(body)
}

// plain escapes what Markdown would take for more than text.  Source: CommonMark 0.31, 2.4 and 4.
func plain(text string) string {
	var out strings.Builder
	for i, r := range text {
		if strings.ContainsRune("\\`*_[]<>!|~&#@", r) || i == 0 && strings.ContainsRune("-+=", r) || strings.HasPrefix(text[i:], "://") {
			out.WriteByte('\\')
		}
		out.WriteRune(r)
	}
	return out.String()
}

// Replies lists the saved replies that the viewer sees, by name: those for every department and those of the viewer's.
func (s *Service) Replies(ctx context.Context, v app.Viewer) ([]Reply, error) {
	if err := access.Check(v, "replies", "view"); err != nil {
		return nil, err
	}
	all, err := replies(ctx, s.pool, v)
	if err != nil {
		return nil, fmt.Errorf("list saved replies: %w", err)
	}
	return all, nil
}

// Reply returns one of Replies, or app.ErrNotFound.
func (s *Service) Reply(ctx context.Context, v app.Viewer, id string) (Reply, error) {
	if err := access.Check(v, "replies", "view"); err != nil {
		return Reply{}, err
	}
	if !app.IsID(id) {
		return Reply{}, app.ErrNotFound
	}
	r, err := replyByID(ctx, s.pool, v, id)
	if err != nil {
		return Reply{}, fmt.Errorf("read saved reply %s: %w", id, err)
	}
	return r, nil
}

// SaveReply stores a saved reply, a new one if it has no id, and returns its id. Names are unique, whatever their case. Returns
// *app.Invalid on "name", "body" and "department" (one that the viewer sees no tickets of counts as none), app.ErrNotFound.
func (s *Service) SaveReply(ctx context.Context, v app.Viewer, r Reply) (id string, err error) {
	if err := access.Check(v, "replies", "edit"); err != nil {
		return "", err
	}
	var before Reply
	if r.ID != "" {
		if before, err = s.Reply(ctx, v, r.ID); err != nil {
			return "", err
		}
	}
	var invalid app.Invalid
	r.Name = strings.Join(strings.FieldsFunc(r.Name, func(c rune) bool { return unicode.IsSpace(c) || unicode.IsControl(c) }), " ")
	switch {
	case r.Name == "":
		invalid.Add("name", "support.reply-name-missing")
	case utf8.RuneCountInString(r.Name) > MaxReplyName:
		invalid.Add("name", "support.reply-name-long", "Max", MaxReplyName)
	}
	r.Body = strings.TrimRightFunc(r.Body, unicode.IsSpace)
	switch {
	case strings.TrimSpace(r.Body) == "":
		invalid.Add("body", "support.reply-body-missing")
	case utf8.RuneCountInString(r.Body) > tickets.MaxBody:
		invalid.Add("body", "tickets.body-long", "Max", tickets.MaxBody)
	}
	departments, err := s.Departments(ctx, v)
	if err != nil {
		return "", err
	}
	known := r.DepartmentID == ""
	for _, d := range departments {
		if d.ID == r.DepartmentID {
			known, r.DepartmentName = true, d.Name
		}
	}
	if !known {
		invalid.Add("department", "tickets.department-unknown")
	}
	if err := invalid.Err(); err != nil {
		return "", err
	}
	changes := audit.Changes{}
	changes.Add("name", before.Name, r.Name)
	changes.Add("department", before.DepartmentName, r.DepartmentName)
	changes.Add("text", before.Body, r.Body)
	if len(changes) == 0 {
		return r.ID, nil
	}
	action := "reply.edit"
	if r.ID == "" {
		action, changes = "reply.create", nil
	}
	err = db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if id, err = saveReply(ctx, tx, r); err != nil {
			return fmt.Errorf("save a reply: %w", err)
		}
		return audit.Record(ctx, tx, v, audit.Entry{Action: action, ObjectType: "reply", ObjectID: id, ObjectName: r.Name, Details: changes})
	})
	return id, err
}

// RemoveReply deletes a saved reply. What was posted from it stays. Returns app.ErrNotFound.
func (s *Service) RemoveReply(ctx context.Context, v app.Viewer, id string) error {
	if err := access.Check(v, "replies", "edit"); err != nil {
		return err
	}
	r, err := s.Reply(ctx, v, id)
	if err != nil {
		return err
	}
	return db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if err := deleteReply(ctx, tx, id); err != nil {
			return fmt.Errorf("delete saved reply %s: %w", id, err)
		}
		return audit.Record(ctx, tx, v, audit.Entry{Action: "reply.remove", ObjectType: "reply", ObjectID: id, ObjectName: r.Name})
	})
}

// Insert puts a saved reply under what the viewer has written to a ticket so far, as the draft of their reply, or of their note.
// Returns what tickets.Service.SaveDraft does, and *app.Invalid on "saved".
func (s *Service) Insert(ctx context.Context, v app.Viewer, ticketID string, note bool, written, replyID, store string) error {
	t, err := s.tickets.Thread(ctx, v, ticketID)
	if err != nil {
		return err
	}
	if t.Status == tickets.Closed {
		return tickets.ErrClosed
	}
	if replyID == "" {
		return app.Invalidf("saved", "support.reply-unknown")
	}
	r, err := s.Reply(ctx, v, replyID)
	if err != nil {
		return app.Invalidf("saved", "support.reply-unknown")
	}
	text := fill(r.Body, t, v, store)
	if written = strings.TrimRightFunc(written, unicode.IsSpace); written != "" {
		text = written + "\n\n" + text
	}
	draft := tickets.DraftOfReply(ticketID)
	if note {
		draft = tickets.DraftOfNote(ticketID)
	}
	return s.tickets.SaveDraft(ctx, v, tickets.Draft{Object: draft, Body: text})
}
