package tickets

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"portico/app"
	"portico/app/access"
	"portico/app/limits"

	"github.com/jackc/pgx/v5"
)

// Draft returns what the viewer is writing for an object, the zero Draft with its name if there is nothing.
func (s *Service) Draft(ctx context.Context, v app.Viewer, object string) (Draft, error) {
	draft, err := draftOf(ctx, s.pool, v.UserID, object)
	if err != nil {
		return Draft{}, fmt.Errorf("read the draft of %s: %w", object, err)
	}
	return draft, nil
}

// SaveDraft keeps what the viewer is writing; an empty text deletes it. Returns app.ErrNotFound for an object that the viewer has
// no part in, *app.Invalid for a text that no message could have, *app.Limited after 2,400 in an hour.
func (s *Service) SaveDraft(ctx context.Context, v app.Viewer, d Draft) error {
	if err := access.Check(v, "tickets", "edit"); err != nil {
		return err
	}
	if err := s.mayDraft(ctx, v, d.Object); err != nil {
		return err
	}
	var invalid app.Invalid
	if utf8.RuneCountInString(d.Subject) > MaxSubject {
		invalid.Add("subject", "tickets.subject-long", "Max", MaxSubject)
	}
	if utf8.RuneCountInString(d.Body) > MaxBody {
		invalid.Add("body", "tickets.body-long", "Max", MaxBody)
	}
	if !app.IsID(d.DepartmentID) {
		d.DepartmentID = ""
	}
	if err := invalid.Err(); err != nil {
		return err
	}
	if err := limits.Hit(ctx, s.pool, "ticket.draft", v.UserID, rateDraft); err != nil {
		return err
	}
	if err := saveDraft(ctx, s.pool, v.UserID, d); err != nil {
		return fmt.Errorf("save the draft of %s: %w", d.Object, err)
	}
	return nil
}

func (s *Service) mayDraft(ctx context.Context, v app.Viewer, object string) error {
	kind, id, _ := strings.Cut(object, ":")
	if object == DraftOfNew {
		return nil
	}
	if !app.IsID(id) {
		return app.ErrNotFound
	}
	switch kind {
	case "ticket", "note":
		t, err := s.Get(ctx, v, id)
		if err != nil {
			return err
		}
		return allow(t, map[string]string{"ticket": "reply", "note": "notes"}[kind])
	case "message":
		var ticketID string
		err := s.pool.QueryRow(ctx, "select ticket_id::text from ticket_messages where id = $1 and author_id = $2", id, v.UserID).Scan(&ticketID)
		if errors.Is(err, pgx.ErrNoRows) {
			return app.ErrNotFound
		}
		if err != nil {
			return fmt.Errorf("find a message: %w", err)
		}
		_, err = s.Get(ctx, v, ticketID)
		return err
	}
	return app.ErrNotFound
}
