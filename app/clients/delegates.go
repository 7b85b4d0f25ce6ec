package clients

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"portico/app"
	"portico/app/access"
	"portico/app/delegates"
)

// Delegates lists who was let into things of an account, by person, as far as the viewer may know: tickets that they see, and
// contracts with the permission.  Source: permission matrix, 1b.
func (s *Service) Delegates(ctx context.Context, v app.Viewer, accountID string) ([]delegates.Reach, error) {
	if err := access.Check(v, "clients", "view"); err != nil {
		return nil, err
	}
	return s.delegatesOf(ctx, v, accountID, "")
}

func (s *Service) delegatesOf(ctx context.Context, v app.Viewer, accountID, personID string) ([]delegates.Reach, error) {
	all, err := s.delegates.ReachOfAccount(ctx, accountID, personID)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, person := range all {
		for _, thing := range person.Things {
			if thing.Thing.Kind == delegates.Ticket {
				ids = append(ids, thing.Thing.ID)
			}
		}
	}
	seen, err := seenTickets(ctx, s.pool, v.UserID, ids)
	if err != nil {
		return nil, fmt.Errorf("find which tickets of account %s are seen: %w", accountID, err)
	}
	contracts := access.Check(v, "clients", "delegates") == nil
	people := all[:0]
	for _, person := range all {
		person.Things = slices.DeleteFunc(person.Things, func(r delegates.Reached) bool {
			if r.Thing.Kind == delegates.Contract {
				return !contracts
			}
			return !slices.Contains(seen, r.Thing.ID)
		})
		if len(person.Things) > 0 {
			people = append(people, person)
		}
	}
	return people, nil
}

// RemoveDelegate revokes all that Delegates shows the viewer of one person, and tells how many that were. Returns app.ErrNotFound if
// there is nothing, app.ErrForbidden without the permission for contracts: less would not be everywhere.
func (s *Service) RemoveDelegate(ctx context.Context, v app.Viewer, accountID, userID string) (count int, err error) {
	if err := access.Check(v, "clients", "delegates"); err != nil {
		return 0, err
	}
	people, err := s.delegatesOf(ctx, v, accountID, userID)
	if err != nil {
		return 0, err
	}
	if len(people) == 0 {
		return 0, app.ErrNotFound
	}
	return s.delegates.RevokeAll(ctx, v, people[0].Things)
}

// Shareable lists what the viewer may let somebody into: the account's newest open tickets that they see, and, with the permission,
// its contracts that run.
func (s *Service) Shareable(ctx context.Context, v app.Viewer, accountID string) ([]delegates.Thing, error) {
	if err := access.Check(v, "support", "edit"); err != nil {
		return nil, err
	}
	things, err := shareable(ctx, s.pool, v.UserID, accountID, access.Check(v, "clients", "delegates") == nil)
	if err != nil {
		return nil, fmt.Errorf("list what of account %s can be shared: %w", accountID, err)
	}
	return things, nil
}

// Share invites whom an address belongs to into one of Shareable, "KIND:ID". Returns *app.Invalid on "thing" for anything else, and
// what delegates.Service.Invite does.
func (s *Service) Share(ctx context.Context, v app.Viewer, accountID, thing, email string) error {
	things, err := s.Shareable(ctx, v, accountID)
	if err != nil {
		return err
	}
	kind, id, _ := strings.Cut(thing, ":")
	if !slices.ContainsFunc(things, func(t delegates.Thing) bool { return t.Kind == kind && t.ID == id }) {
		return app.Invalidf("thing", "clients.choose-thing")
	}
	return s.delegates.Invite(ctx, v, kind, id, email)
}
