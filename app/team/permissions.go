package team

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"portico/app"
	"portico/app/access"
	"portico/policies"

	"github.com/google/uuid"
)

// Deed is one action on one kind of object, with the relations that may do it, in the policy's order.
type Deed struct {
	Object, Action string
	Relations      []string
}

// Deeds lists every deed that the policy allows anybody.
func (s *Service) Deeds(v app.Viewer) ([]Deed, error) {
	if err := access.Check(v, "permissions", "view"); err != nil {
		return nil, err
	}
	var deeds []Deed
	for _, rule := range policies.Default.Rules() {
		at := slices.IndexFunc(deeds, func(d Deed) bool { return d.Object == rule.Object && d.Action == rule.Action })
		if at < 0 {
			deeds = append(deeds, Deed{Object: rule.Object, Action: rule.Action})
			at = len(deeds) - 1
		}
		deeds[at].Relations = append(deeds[at].Relations, rule.Relation)
	}
	slices.SortStableFunc(deeds, func(a, b Deed) int { return strings.Compare(a.Object, b.Object) })
	return deeds, nil
}

// People lists the members one may ask about: those who can sign in.
func (s *Service) People(ctx context.Context, v app.Viewer) ([]Member, error) {
	if err := access.Check(v, "permissions", "view"); err != nil {
		return nil, err
	}
	people, err := enabledMembers(ctx, s.pool)
	if err != nil {
		return nil, fmt.Errorf("list the team: %w", err)
	}
	return people, nil
}

// relationPrefix marks a Question about a relation.
const relationPrefix = "relation:"

// Question asks whether somebody may do something.
type Question struct {
	Who            string // a member's id, or "relation:NAME"
	Object, Action string
}

// Answer is what the policy says, and why.
type Answer struct {
	Relations []string // what was asked with; any of them is enough
	Allowed   bool
	Line      policies.Rule // the line that allows
}

// Ask puts a question to the policy, as it would be put for that person's next request. Returns app.ErrNotFound for a
// person who is no member or can't sign in.
func (s *Service) Ask(ctx context.Context, v app.Viewer, q Question) (Answer, error) {
	if err := access.Check(v, "permissions", "view"); err != nil {
		return Answer{}, err
	}
	relations, err := s.relationsOf(ctx, q.Who)
	if err != nil {
		return Answer{}, err
	}
	line, allowed, err := policies.Default.Explain(relations, q.Object, q.Action)
	return Answer{relations, allowed, line}, err
}

func (s *Service) relationsOf(ctx context.Context, who string) ([]string, error) {
	if relation, ok := strings.CutPrefix(who, relationPrefix); ok {
		return []string{relation}, nil
	}
	if !isID(who) {
		return nil, app.ErrNotFound
	}
	member, err := memberByID(ctx, s.pool, who)
	switch {
	case errors.Is(err, app.ErrNotFound) || err == nil && member.DisabledAt != nil:
		return nil, app.ErrNotFound
	case err != nil:
		return nil, fmt.Errorf("find a member: %w", err)
	}
	return app.Viewer{UserID: member.ID, Role: member.Role, Permissions: member.Permissions}.Relations(), nil
}

// isID tells whether text is an id as our addresses carry it.
func isID(text string) bool {
	id, err := uuid.Parse(text)
	return err == nil && id.String() == text
}
