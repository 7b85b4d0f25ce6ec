package delegates

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"portico/app"
	"portico/app/access"
	"portico/app/db"

	"github.com/jackc/pgx/v5"
)

// Reach lists who was let into things of accounts that the viewer owns, by person.
func (s *Service) Reach(ctx context.Context, v app.Viewer) ([]Reach, error) {
	if err := access.Check(v, "reach", "view"); err != nil {
		return nil, err
	}
	return s.ReachOf(ctx, v.UserID, "")
}

// ReachOf is Reach of an owner for callers that have asked whether it may be seen; personID "" is everybody.
func (s *Service) ReachOf(ctx context.Context, ownerID, personID string) ([]Reach, error) {
	return s.reachOf(ctx, ofOwner, ownerID, personID)
}

// ReachOfAccount is ReachOf for the things of one account.
func (s *Service) ReachOfAccount(ctx context.Context, accountID, personID string) ([]Reach, error) {
	return s.reachOf(ctx, ofAccount, accountID, personID)
}

func (s *Service) reachOf(ctx context.Context, scope, id, personID string) ([]Reach, error) {
	rows, err := reached(ctx, s.pool, scope, id, personID)
	if err != nil {
		return nil, fmt.Errorf("list who reaches what of %s: %w", id, err)
	}
	var people []Reach
	for _, row := range rows {
		i := slices.IndexFunc(people, func(r Reach) bool { return r.UserID == row.UserID })
		if i < 0 {
			i = len(people)
			people = append(people, Reach{UserID: row.UserID, Name: row.Name, Email: row.Email})
		}
		people[i].Things = append(people[i].Things, Reached{
			Thing:    Thing{row.Kind, row.ThingID, row.Title, row.OwnerID, row.OwnerName, row.Final},
			Delegate: row.Delegate,
		})
	}
	return people, nil
}

// RemoveEverywhere revokes all that a person reaches of accounts that the viewer owns, in one transaction, and tells how many that
// were. Returns app.ErrNotFound if there is nothing.
func (s *Service) RemoveEverywhere(ctx context.Context, v app.Viewer, userID string) (count int, err error) {
	if err := access.Check(v, "reach", "edit"); err != nil {
		return 0, err
	}
	people, err := s.ReachOf(ctx, v.UserID, userID)
	if err != nil {
		return 0, err
	}
	if len(people) == 0 {
		return 0, app.ErrNotFound
	}
	return s.RevokeAll(ctx, v, people[0].Things)
}

// RevokeAll is Revoke of several, in one transaction, and tells how many that were: all, or, with Revoke's errors, none.
func (s *Service) RevokeAll(ctx context.Context, v app.Viewer, things []Reached) (count int, err error) {
	// In one order, tickets first: two at once, or one beside a reply, wait for each other and never for themselves.
	things = slices.Clone(things)
	slices.SortFunc(things, func(a, b Reached) int {
		if byKind := -strings.Compare(a.Thing.Kind, b.Thing.Kind); byKind != 0 {
			return byKind
		}
		return strings.Compare(a.Thing.ID, b.Thing.ID)
	})
	err = db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		for _, thing := range things {
			t, err := lockThing(ctx, tx, thing.Thing.Kind, thing.Thing.ID)
			if err != nil {
				return fmt.Errorf("lock %s %s: %w", thing.Thing.Kind, thing.Thing.ID, err)
			}
			if err := s.parents[t.Kind].May(ctx, tx, v, t.ID, "revoke"); err != nil {
				return err
			}
			d, err := delegateOf(ctx, tx, t, thing.Delegate.ID)
			if err != nil {
				return fmt.Errorf("find a delegate: %w", err)
			}
			if !d.Present() {
				continue
			}
			if err := s.revoke(ctx, tx, v, t, d); err != nil {
				return err
			}
			count++
		}
		return nil
	})
	return count, err
}
