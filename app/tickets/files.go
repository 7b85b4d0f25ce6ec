package tickets

import (
	"context"

	"portico/app"
)

// MayAttach returns nil if the viewer may add files to what they are writing: object is a draft's name. A closed ticket takes none.
// An edit takes none either: app.ErrNotFound, as for every object that is not a form's.
func (s *Service) MayAttach(ctx context.Context, v app.Viewer, object string) error {
	if len(object) > len("message:")+36 {
		return app.ErrNotFound
	}
	if object == DraftOfNew {
		return nil
	}
	t, err := s.draftTicket(ctx, v, object)
	if err != nil {
		return err
	}
	if err := allow(t, "attach"); err != nil {
		return err
	}
	if t.Status == Closed {
		return ErrClosed
	}
	return nil
}

// draftTicket is the ticket that the draft of a reply or a note belongs to.
func (s *Service) draftTicket(ctx context.Context, v app.Viewer, object string) (Ticket, error) {
	action := map[string]string{"ticket:": "reply", "note:": "notes"}
	for prefix, needed := range action {
		if len(object) == len(prefix)+36 && object[:len(prefix)] == prefix && app.IsID(object[len(prefix):]) {
			t, err := s.Get(ctx, v, object[len(prefix):])
			if err != nil {
				return Ticket{}, err
			}
			return t, allow(t, needed)
		}
	}
	return Ticket{}, app.ErrNotFound
}

// MayDownload returns nil if the viewer may have the files of a ticket's messages; internal is of its notes, which those who may
// not read them get app.ErrNotFound for.
func (s *Service) MayDownload(ctx context.Context, v app.Viewer, ticketID string, internal bool) error {
	t, err := s.Get(ctx, v, ticketID)
	if err != nil {
		return err
	}
	if internal && !t.Allows("notes") {
		return app.ErrNotFound
	}
	return allow(t, "download")
}
