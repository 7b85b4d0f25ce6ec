package team

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"portico/app"
	"portico/app/access"
	"portico/app/accounts"
	"portico/app/audit"
	"portico/app/auth"
	"portico/app/db"
	"portico/app/keys"
	"portico/app/live"
	"portico/app/mail"
	"portico/app/store"
	"portico/policies"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Service keeps the team.
type Service struct {
	pool *pgxpool.Pool
	keys *keys.Ring
	mail auth.Mailer
}

// NewService returns a Service.
func NewService(pool *pgxpool.Pool, ring *keys.Ring, mailer auth.Mailer) *Service {
	return &Service{pool, ring, mailer}
}

// pageSize is how many members a page of the list has.
const pageSize = 50

// List returns a page of the team by name, and the id to ask the next page with: "" on the last one. text filters by name
// and address.
func (s *Service) List(ctx context.Context, v app.Viewer, text, after string) (page []Member, next string, err error) {
	if err := access.Check(v, "team", "view"); err != nil {
		return nil, "", err
	}
	page, err = members(ctx, s.pool, strings.TrimSpace(text), after, pageSize+1)
	if err != nil {
		return nil, "", fmt.Errorf("list the team: %w", err)
	}
	if len(page) > pageSize {
		page = page[:pageSize]
		next = page[pageSize-1].ID
	}
	return page, next, nil
}

// Get returns one member, or app.ErrNotFound, also for the id of an account holder.
func (s *Service) Get(ctx context.Context, v app.Viewer, id string) (Member, error) {
	if err := access.Check(v, "team", "view"); err != nil {
		return Member{}, err
	}
	return memberByID(ctx, s.pool, id)
}

// Departments lists the departments that members can be put into.
func (s *Service) Departments(ctx context.Context, v app.Viewer) ([]store.Department, error) {
	if err := access.Check(v, "team", "view"); err != nil {
		return nil, err
	}
	return store.ListDepartments(ctx, s.pool)
}

// Invite adds somebody to the team and queues the mail with the link by which they choose a password; it works once, for
// 7 days. Until then they can't sign in, and their address counts as unconfirmed. Returns *app.Invalid, also for an address
// that has a user: an account holder can't become staff by the same address, since what they own would then be the store's.
// Inviting an admin needs a fresh proof (app.ErrProof).
func (s *Service) Invite(ctx context.Context, v app.Viewer, email string, place Place) (id string, err error) {
	err = s.change(ctx, v, func(tx pgx.Tx) error {
		if place.Role == app.RoleAdmin {
			if err := auth.NeedProof(v); err != nil {
				return err
			}
		}
		var invalid app.Invalid
		place, names, err := place.check(ctx, tx, &invalid)
		if err != nil {
			return err
		}
		email = strings.TrimSpace(email)
		if !passes(accounts.CheckEmail, email) {
			invalid.Add("email", "team.email-wrong")
		} else if err := emailFree(ctx, tx, &invalid, email); err != nil {
			return err
		}
		if err := invalid.Err(); err != nil {
			return err
		}
		var language string
		id, language, err = insertMember(ctx, tx, place.Name, email, place.Role)
		if errors.Is(err, app.ErrNotFound) { // somebody took the address since it was looked up
			return app.Invalidf("email", "team.email-holder")
		}
		if err != nil {
			return fmt.Errorf("add a member: %w", err)
		}
		if err := setRights(ctx, tx, id, place); err != nil {
			return err
		}
		if err := s.mailInvitation(ctx, tx, Member{ID: id, Name: place.Name, Email: email}, language); err != nil {
			return err
		}
		return audit.Record(ctx, tx, v, audit.Entry{
			Action: "team.invite", ObjectType: "user", ObjectID: id, ObjectName: place.Name,
			Details: map[string]any{"email": email, "role": place.Role, "permissions": place.Permissions, "departments": names},
		})
	})
	return id, err
}

// emailFree says whose an address is, if it is anybody's. An admin may see all of these people anyway.
func emailFree(ctx context.Context, tx pgx.Tx, invalid *app.Invalid, email string) error {
	user, err := userByEmail(ctx, tx, email)
	switch {
	case errors.Is(err, app.ErrNotFound):
		return nil
	case err != nil:
		return fmt.Errorf("look up an address: %w", err)
	case user.OfStore:
		invalid.Add("email", "team.email-member", "Name", user.Name)
	default:
		invalid.Add("email", "team.email-holder")
	}
	return nil
}

func (s *Service) mailInvitation(ctx context.Context, tx pgx.Tx, m Member, language string) error {
	link, err := auth.NewLink(ctx, tx, s.keys, auth.PurposeInvite, m.ID, m.Email)
	if err != nil {
		return err
	}
	return s.mail.Queue(ctx, tx, mail.Message{
		Kind: "staff-invite", Key: "staff-invite:" + link, UserID: m.ID, Recipient: m.Email, Name: m.Name, Language: language,
		TokenID: link,
	})
}

// InviteAgain queues a new link for somebody who has not come yet; the old one stops working. Returns app.ErrConflict for
// a member who has come, or is disabled.
func (s *Service) InviteAgain(ctx context.Context, v app.Viewer, id string) error {
	return s.change(ctx, v, func(tx pgx.Tx) error {
		member, err := lockMember(ctx, tx, id)
		if err != nil {
			return err
		}
		if member.Joined || member.DisabledAt != nil {
			return fmt.Errorf("invite member %s again: %w", id, app.ErrConflict)
		}
		settings, err := store.Load(ctx, tx)
		if err != nil {
			return err
		}
		if err := s.mailInvitation(ctx, tx, member, settings.Language); err != nil {
			return err
		}
		return recordMember(ctx, tx, v, "team.invite-again", member, nil)
	})
}

// Update changes what somebody is in the team; their next request is judged by it. Nobody changes their own role, so an
// admin always remains. Returns *app.Invalid. Making somebody an admin needs a fresh proof (app.ErrProof).
func (s *Service) Update(ctx context.Context, v app.Viewer, id string, place Place) error {
	return s.change(ctx, v, func(tx pgx.Tx) error {
		member, err := lockMember(ctx, tx, id)
		if err != nil {
			return err
		}
		if place.Role == app.RoleAdmin && member.Role != app.RoleAdmin {
			if err := auth.NeedProof(v); err != nil {
				return err
			}
		}
		var invalid app.Invalid
		place, names, err := place.check(ctx, tx, &invalid)
		if err != nil {
			return err
		}
		if id == v.UserID && place.Role != member.Role {
			invalid.Add("role", "team.own-role")
		}
		if err := invalid.Err(); err != nil {
			return err
		}
		changes := audit.Changes{}
		changes.Add("name", member.Name, place.Name)
		changes.Add("role", member.Role, place.Role)
		changes.Add("permissions", inOrder(member.Permissions), place.Permissions)
		changes.Add("departments", member.DepartmentNames, names)
		if len(changes) == 0 {
			return nil
		}
		if err := updateMember(ctx, tx, id, place.Name, place.Role); err != nil {
			return fmt.Errorf("update member %s: %w", id, err)
		}
		if err := setRights(ctx, tx, id, place); err != nil {
			return err
		}
		if err := recordMember(ctx, tx, v, "team.edit", member, changes); err != nil {
			return err
		}
		return live.Notify(ctx, tx, "user:"+id) // their open pages are judged by it too
	})
}

// Disable keeps somebody out: their sessions and links end in the same transaction. Nobody disables themselves, so an admin
// always remains; returns app.ErrConflict. Somebody who is disabled already stays so.
func (s *Service) Disable(ctx context.Context, v app.Viewer, id string) error {
	return s.change(ctx, v, func(tx pgx.Tx) error {
		if id == v.UserID {
			return fmt.Errorf("disable oneself: %w", app.ErrConflict)
		}
		member, err := lockMember(ctx, tx, id)
		if err != nil || member.DisabledAt != nil {
			return err
		}
		if err := disableMember(ctx, tx, id); err != nil {
			return fmt.Errorf("disable member %s: %w", id, err)
		}
		if err := auth.EndSessions(ctx, tx, id); err != nil {
			return fmt.Errorf("end the sessions of member %s: %w", id, err)
		}
		if err := auth.EndLinks(ctx, tx, id); err != nil {
			return err
		}
		return recordMember(ctx, tx, v, "team.disable", member, nil)
	})
}

// Enable lets somebody sign in again, with what they had before.
func (s *Service) Enable(ctx context.Context, v app.Viewer, id string) error {
	return s.change(ctx, v, func(tx pgx.Tx) error {
		member, err := lockMember(ctx, tx, id)
		if err != nil || member.DisabledAt == nil {
			return err
		}
		if err := enableMember(ctx, tx, id); err != nil {
			return fmt.Errorf("enable member %s: %w", id, err)
		}
		return recordMember(ctx, tx, v, "team.enable", member, nil)
	})
}

// SignOut ends all sessions of a member. One's own end on the Security page; returns app.ErrConflict.
func (s *Service) SignOut(ctx context.Context, v app.Viewer, id string) error {
	return s.change(ctx, v, func(tx pgx.Tx) error {
		if id == v.UserID {
			return fmt.Errorf("sign oneself out everywhere: %w", app.ErrConflict)
		}
		member, err := lockMember(ctx, tx, id)
		if err != nil {
			return err
		}
		if err := auth.EndSessions(ctx, tx, id); err != nil {
			return fmt.Errorf("end the sessions of member %s: %w", id, err)
		}
		return recordMember(ctx, tx, v, "team.sign-out", member, nil)
	})
}

// RemoveFactor helps a member who lost their second factor and the recovery codes: authenticator app, codes, passkeys and
// sessions go, and a mail tells them. Their password stays, and after it they are asked to set up a factor anew. Needs a
// fresh proof (app.ErrProof). One's own changes on the Security page; returns app.ErrConflict. Without a factor it does
// nothing.  Source: OWASP ASVS 5.0, 6.4.4 and 7.4.5.
func (s *Service) RemoveFactor(ctx context.Context, v app.Viewer, id string) error {
	return s.change(ctx, v, func(tx pgx.Tx) error {
		if err := auth.NeedProof(v); err != nil {
			return err
		}
		if id == v.UserID {
			return fmt.Errorf("remove one's own second factor: %w", app.ErrConflict)
		}
		member, err := lockMember(ctx, tx, id)
		if err != nil {
			return err
		}
		removed, err := deleteFactors(ctx, tx, id)
		if err != nil {
			return fmt.Errorf("remove the second factor of member %s: %w", id, err)
		}
		if !removed {
			return nil
		}
		if err := auth.EndSessions(ctx, tx, id); err != nil {
			return fmt.Errorf("end the sessions of member %s: %w", id, err)
		}
		if err := s.mailFactorRemoved(ctx, tx, member); err != nil {
			return err
		}
		return recordMember(ctx, tx, v, "team.remove-factor", member, nil)
	})
}

func (s *Service) mailFactorRemoved(ctx context.Context, tx pgx.Tx, m Member) error {
	language, zone, err := habits(ctx, tx, m.ID)
	if err != nil {
		return fmt.Errorf("read the language of member %s: %w", m.ID, err)
	}
	return s.mail.Queue(ctx, tx, mail.Message{
		Kind: "second-factor-changed", Key: "second-factor-changed:" + uuid.NewString(), UserID: m.ID, Recipient: m.Email, Name: m.Name,
		Language: language, Zone: zone, Data: map[string]string{"Change": "factor.remove"},
	})
}

// change asks the policy and works in one transaction, while no other changes the team. Whoever was demoted or disabled since
// their request began is refused: of two admins who disable each other at the same moment, one succeeds.
func (s *Service) change(ctx context.Context, v app.Viewer, work func(tx pgx.Tx) error) error {
	if err := access.Check(v, "team", "edit"); err != nil {
		return err
	}
	return db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if err := lockTeam(ctx, tx); err != nil {
			return fmt.Errorf("lock the team: %w", err)
		}
		still, err := isAdmin(ctx, tx, v.UserID)
		if err != nil {
			return fmt.Errorf("look up who changes the team: %w", err)
		}
		if !still {
			return app.ErrForbidden
		}
		return work(tx)
	})
}

// check reads a place as it was typed: what is wrong goes to invalid, permissions come back in the catalogue's order, and
// departments also by name, for the audit.
func (p Place) check(ctx context.Context, tx pgx.Tx, invalid *app.Invalid) (place Place, departments []string, err error) {
	place = Place{Name: strings.TrimSpace(p.Name), Role: p.Role, Permissions: []string{}, Departments: []string{}}
	departments = []string{}
	if !passes(accounts.CheckName, place.Name) {
		invalid.Add("name", "team.name-wrong", "Max", accounts.MaxName)
	}
	switch p.Role {
	case app.RoleStaff:
		if place.Permissions = inOrder(p.Permissions); len(place.Permissions) < len(p.Permissions) {
			invalid.Add("permissions", "team.choose")
		}
	case app.RoleAdmin: // needs none; and if they are made staff one day, they start with none
	default:
		invalid.Add("role", "team.choose")
	}
	offered, err := store.ListDepartments(ctx, tx)
	if err != nil {
		return Place{}, nil, err
	}
	for _, d := range offered {
		if slices.Contains(p.Departments, d.ID) {
			place.Departments = append(place.Departments, d.ID)
			departments = append(departments, d.Name)
		}
	}
	if len(place.Departments) < len(p.Departments) {
		invalid.Add("departments", "team.department-gone")
	}
	return place, departments, nil
}

// passes asks a check of accounts, whose words are meant for people who write about themselves.
func passes(check func(invalid *app.Invalid, field, value string), value string) bool {
	var invalid app.Invalid
	check(&invalid, "", value)
	return invalid.Err() == nil
}

// inOrder returns the known ones of permissions, each once, in the catalogue's order.
func inOrder(permissions []string) []string {
	known := []string{}
	for _, permission := range policies.Permissions {
		if slices.Contains(permissions, string(permission)) {
			known = append(known, string(permission))
		}
	}
	return known
}

func setRights(ctx context.Context, tx pgx.Tx, id string, place Place) error {
	if err := setPermissions(ctx, tx, id, place.Permissions); err != nil {
		return fmt.Errorf("set the permissions of member %s: %w", id, err)
	}
	if err := setDepartments(ctx, tx, id, place.Departments); err != nil {
		return fmt.Errorf("set the departments of member %s: %w", id, err)
	}
	return nil
}

func recordMember(ctx context.Context, tx pgx.Tx, v app.Viewer, action string, m Member, changes audit.Changes) error {
	return audit.Record(ctx, tx, v, audit.Entry{Action: action, ObjectType: "user", ObjectID: m.ID, ObjectName: m.Name, Details: changes})
}
