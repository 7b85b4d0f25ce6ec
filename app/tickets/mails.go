package tickets

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"portico/app"
	"portico/app/audit"
	"portico/app/db"
	"portico/app/mail"

	"github.com/jackc/pgx/v5"
)

// MailKinds lists the mails about tickets, each of which a person may refuse. Who gets which stands in the guides, "E-mail about
// tickets".
var MailKinds = []string{"ticket-opened", "reply-posted", "ticket-status", "ticket-silence"}

// Tell queues the mail about a status that staff set, in the transaction of Change. eventID is the event's that noted it.
func (s *Service) Tell(ctx context.Context, tx pgx.Tx, v app.Viewer, t Ticket, eventID, status string) error {
	return s.tell(ctx, tx, v, t, "ticket-status", eventID, status)
}

// tell queues a mail for everybody who is to know of an event: the account's people, the delegates who read the ticket, and who
// looks after it in the store, but never who did it. about is the id of a message, or of an event with a status, or of a warning with
// the moment in RFC 3339. Rights are asked again at sending.
func (s *Service) tell(ctx context.Context, tx pgx.Tx, v app.Viewer, t Ticket, kind, about, status string) error {
	people, err := peopleOf(ctx, tx, t.ID, kind, v.UserID)
	if err != nil {
		return fmt.Errorf("find who of the account and its delegates is told of %s: %w", t, err)
	}
	// The store's own changes of status are no news to the store.
	if !t.OfStore() || kind != "ticket-status" && kind != "ticket-silence" {
		colleagues, err := storeFor(ctx, tx, t, kind, v.UserID)
		if err != nil {
			return fmt.Errorf("find who of the store is told of %s: %w", t, err)
		}
		for _, colleague := range colleagues {
			if !slices.ContainsFunc(people, func(p recipient) bool { return p.ID == colleague.ID }) {
				people = append(people, colleague)
			}
		}
	}
	for _, person := range people {
		page := "/support/" + t.ID
		if person.OfStore {
			page = "/admin" + page
		}
		data := map[string]string{
			"Ticket": t.ID, "Subject": t.Subject, "Number": strconv.FormatInt(t.Number, 10), "Name": v.Name, "Page": page,
		}
		switch {
		case kind == "ticket-silence":
			data["Until"] = status
		case status != "":
			data["Status"] = status
		default:
			data["Message"] = about
		}
		err := s.mail.Queue(ctx, tx, mail.Message{
			Kind: kind, Key: kind + ":" + about + ":" + person.ID, UserID: person.ID, Recipient: person.Email, Name: person.Name,
			Language: person.Language, Zone: person.TimeZone, Data: data,
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// askMail tells at sending whether somebody may get a mail about a ticket, and what it quotes: the message as it is then.
func (s *Service) askMail(ctx context.Context, conn db.Conn, m mail.Asked) (reason, quote string, err error) {
	sees, err := maySee(ctx, conn, m.UserID, m.Data["Ticket"])
	if err != nil {
		return "", "", fmt.Errorf("ask who sees a ticket: %w", err)
	}
	if !sees {
		return "no-access", "", nil
	}
	refused, err := refuses(ctx, conn, m.UserID, m.Kind)
	if err != nil {
		return "", "", fmt.Errorf("ask which mails are wanted: %w", err)
	}
	if refused {
		return "not-wanted", "", nil
	}
	if m.Data["Message"] == "" {
		return "", "", nil
	}
	if quote, err = postText(ctx, conn, m.Data["Message"]); err != nil {
		return "", "", fmt.Errorf("read a message: %w", err)
	}
	if quote == "" {
		reason = "no-access"
	}
	return reason, quote, nil
}

// MailSettings tells which mails about tickets the viewer wants: all but those they refused.
func (s *Service) MailSettings(ctx context.Context, v app.Viewer) (wanted []string, err error) {
	refused, err := refusalsOf(ctx, s.pool, v.UserID)
	if err != nil {
		return nil, fmt.Errorf("read which mails are wanted: %w", err)
	}
	for _, kind := range MailKinds {
		if !slices.Contains(refused, kind) {
			wanted = append(wanted, kind)
		}
	}
	return wanted, nil
}

// SaveMailSettings stores which mails about tickets the viewer wants. Unknown kinds are *app.Invalid.
func (s *Service) SaveMailSettings(ctx context.Context, v app.Viewer, wanted []string) error {
	var refused []string
	for _, kind := range MailKinds {
		if !slices.Contains(wanted, kind) {
			refused = append(refused, kind)
		}
	}
	for _, kind := range wanted {
		if !slices.Contains(MailKinds, kind) {
			return app.Invalidf("", "form.unreadable")
		}
	}
	return db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if err := setRefusals(ctx, tx, v.UserID, refused); err != nil {
			return fmt.Errorf("save which mails are wanted: %w", err)
		}
		return audit.Record(ctx, tx, v, audit.Entry{
			Action: "profile.mails", ObjectType: "user", ObjectID: v.UserID, ObjectName: v.Name, Details: map[string]any{"mails": wanted},
		})
	})
}
