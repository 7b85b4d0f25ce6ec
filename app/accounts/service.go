package accounts

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"portico/app"
	"portico/app/access"
	"portico/app/audit"
	"portico/app/auth"
	"portico/app/db"
	"portico/app/keys"
	"portico/app/limits"
	"portico/app/locale"
	"portico/app/mail"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Service keeps account holders.
type Service struct {
	pool      *pgxpool.Pool
	keys      *keys.Ring
	mail      auth.Mailer
	auth      *auth.Service
	hasher    *auth.Hasher
	catalogue *locale.Catalogue
}

// New returns a Service.
func New(pool *pgxpool.Pool, ring *keys.Ring, mailer auth.Mailer, auths *auth.Service, hasher *auth.Hasher, catalogue *locale.Catalogue) *Service {
	return &Service{pool, ring, mailer, auths, hasher, catalogue}
}

// How many mails one address gets by asking again.
var (
	rateConfirm  = limits.Rate{Times: 5, Window: time.Hour}
	rateRegister = limits.Rate{Times: 5, Window: time.Hour}
)

// changeLives is how long both addresses have to agree to a change; the links in their mails live as long.
const changeLives = 24 * time.Hour

// Register makes a user and an account that they own, and mails a link to confirm the address. If the address is taken,
// its owner is told by mail instead, and the caller sees no difference: the same answer after the same work. Returns
// *app.Invalid for bad values.
func (s *Service) Register(ctx context.Context, from auth.Visitor, name, email, password, language string) error {
	name, email = strings.TrimSpace(name), strings.TrimSpace(email)
	hash, err := s.checkNewUser(ctx, name, email, password)
	if err != nil {
		return err
	}
	err = db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		id, err := insertUser(ctx, tx, name, email, hash, language)
		if err != nil {
			return fmt.Errorf("register: %w", err)
		}
		if err := insertAccount(ctx, tx, name, id); err != nil {
			return fmt.Errorf("open an account: %w", err)
		}
		if err := s.mailConfirmation(ctx, tx, userRow{ID: id, Name: name, Email: email, Language: language}); err != nil {
			return err
		}
		return audit.Record(ctx, tx, app.Viewer{UserID: id, Name: name, IP: from.IP, Browser: from.Browser, RequestID: from.RequestID}, audit.Entry{
			Action: "user.register", ObjectType: "user", ObjectID: id, ObjectName: name,
		})
	})
	if db.Violates(err, "users_email") {
		return s.tellTaken(ctx, email, from)
	}
	return err
}

// checkNewUser returns the hash of a new user's password, or *app.Invalid.
func (s *Service) checkNewUser(ctx context.Context, name, email, password string) (hash string, err error) {
	var invalid app.Invalid
	CheckName(&invalid, "name", name)
	CheckEmail(&invalid, "email", email)
	if err := s.hasher.CheckNew(ctx, &invalid, "password", password, name, email); err != nil {
		return "", err
	}
	if err := invalid.Err(); err != nil {
		return "", err
	}
	return s.hasher.Hash(ctx, password)
}

// tellTaken mails the owner of an address that somebody tried to register it.
func (s *Service) tellTaken(ctx context.Context, email string, from auth.Visitor) error {
	if err := limits.Hit(ctx, s.pool, "account-exists", strings.ToLower(email), rateRegister); err != nil {
		var limited *app.Limited
		if errors.As(err, &limited) {
			return nil // the owner was told often enough; the caller must not learn that there is one
		}
		return err
	}
	return db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		user, err := userByEmail(ctx, tx, email)
		if err != nil {
			return fmt.Errorf("find the owner of a taken address: %w", err)
		}
		return s.queue(ctx, tx, user, user.Email, "account-exists", "", map[string]string{"IP": from.IP, "Browser": from.Browser})
	})
}

func (s *Service) queue(ctx context.Context, tx pgx.Tx, user userRow, to, kind, link string, data map[string]string) error {
	key := link
	if key == "" {
		key = uuid.NewString()
	}
	return s.mail.Queue(ctx, tx, mail.Message{
		Kind: kind, Key: kind + ":" + key, UserID: user.ID, Recipient: to, Name: user.Name, Language: user.Language,
		Zone: user.TimeZone, TokenID: link, Data: data,
	})
}

func (s *Service) mailConfirmation(ctx context.Context, tx pgx.Tx, user userRow) error {
	link, err := auth.NewLink(ctx, tx, s.keys, auth.PurposeConfirm, user.ID, user.Email)
	if err != nil {
		return err
	}
	return s.queue(ctx, tx, user, user.Email, "confirm-address", link, nil)
}

// SendConfirmation mails the viewer a fresh link to confirm their address; the older one dies. Returns app.ErrConflict
// when it is confirmed already.
func (s *Service) SendConfirmation(ctx context.Context, v app.Viewer) error {
	if err := access.Check(v, "profile", "edit"); err != nil {
		return err
	}
	if v.Confirmed {
		return app.ErrConflict
	}
	if err := limits.Hit(ctx, s.pool, "confirm", v.UserID, rateConfirm); err != nil {
		return err
	}
	return db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		user, err := userByID(ctx, tx, v.UserID)
		if err != nil {
			return fmt.Errorf("send the confirmation again: %w", err)
		}
		if err := s.mailConfirmation(ctx, tx, user); err != nil {
			return err
		}
		return audit.Record(ctx, tx, v, audit.Entry{Action: "email.ask-confirmation", ObjectType: "user", ObjectID: v.UserID, ObjectName: v.Name})
	})
}

// ConfirmLink returns a link that confirms an address, or app.ErrLink.
func (s *Service) ConfirmLink(ctx context.Context, secret string) (auth.Link, error) {
	return auth.FindLink(ctx, s.pool, secret, auth.PurposeConfirm)
}

// Confirm confirms the address a link was sent to, if it still is the user's. The link works once.
func (s *Service) Confirm(ctx context.Context, from auth.Visitor, secret string) error {
	return db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		link, err := auth.SpendLink(ctx, tx, secret, auth.PurposeConfirm)
		if err != nil {
			return err
		}
		ok, err := setConfirmed(ctx, tx, link.UserID, link.Email)
		if err != nil {
			return fmt.Errorf("confirm the address: %w", err)
		}
		if !ok {
			return app.ErrLink
		}
		return audit.Record(ctx, tx, by(link, from), audit.Entry{
			Action: "email.confirm", ObjectType: "user", ObjectID: link.UserID, ObjectName: link.Name, Details: map[string]any{"email": link.Email},
		})
	})
}

// by is who a link's holder is to the audit: the user it was sent to.
func by(link auth.Link, from auth.Visitor) app.Viewer {
	return app.Viewer{UserID: link.UserID, Name: link.Name, IP: from.IP, Browser: from.Browser, RequestID: from.RequestID}
}

// Profile returns the viewer's own profile.
func (s *Service) Profile(ctx context.Context, v app.Viewer) (Profile, error) {
	if err := access.Check(v, "profile", "view"); err != nil {
		return Profile{}, err
	}
	profile, err := profileOf(ctx, s.pool, v.UserID)
	if err != nil {
		return Profile{}, fmt.Errorf("read the profile: %w", err)
	}
	if profile.Change, err = emailChangeOf(ctx, s.pool, v.UserID, false); err != nil {
		return Profile{}, fmt.Errorf("read the change of address: %w", err)
	}
	if profile.Accounts, err = membershipsOf(ctx, s.pool, v.UserID); err != nil {
		return Profile{}, fmt.Errorf("list accounts: %w", err)
	}
	return profile, nil
}

// Save stores name, time zone, language and theme of the viewer.
func (s *Service) Save(ctx context.Context, v app.Viewer, p Profile) error {
	if err := access.Check(v, "profile", "edit"); err != nil {
		return err
	}
	p.Name = strings.TrimSpace(p.Name)
	var invalid app.Invalid
	CheckName(&invalid, "name", p.Name)
	if p.TimeZone != "" {
		if _, err := time.LoadLocation(p.TimeZone); err != nil || p.TimeZone == "Local" {
			invalid.Add("time_zone", "accounts.zone-unknown")
		}
	}
	if !s.catalogue.Speaks(p.Language) {
		invalid.Add("language", "accounts.language-unknown")
	}
	if p.Theme != "" && p.Theme != "light" && p.Theme != "dark" {
		invalid.Add("theme", "accounts.theme-unknown")
	}
	if err := invalid.Err(); err != nil {
		return err
	}
	return db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		before, err := lockProfile(ctx, tx, v.UserID)
		if err != nil {
			return fmt.Errorf("read the profile: %w", err)
		}
		if err := updateProfile(ctx, tx, v.UserID, p); err != nil {
			return fmt.Errorf("save the profile: %w", err)
		}
		changed := audit.Changes{}
		changed.Add("name", before.Name, p.Name)
		changed.Add("time_zone", before.TimeZone, p.TimeZone)
		changed.Add("language", before.Language, p.Language)
		changed.Add("theme", before.Theme, p.Theme)
		if len(changed) == 0 {
			return nil
		}
		return audit.Record(ctx, tx, v, audit.Entry{Action: "profile.edit", ObjectType: "user", ObjectID: v.UserID, ObjectName: p.Name, Details: changed})
	})
}

// SetTheme stores the viewer's appearance: "light", "dark" or "" for the system's.
func (s *Service) SetTheme(ctx context.Context, v app.Viewer, theme string) error {
	if err := access.Check(v, "profile", "edit"); err != nil {
		return err
	}
	if theme != "" && theme != "light" && theme != "dark" {
		return app.Invalidf("theme", "accounts.theme-unknown")
	}
	if theme == v.Theme {
		return nil
	}
	return db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if err := setTheme(ctx, tx, v.UserID, theme); err != nil {
			return fmt.Errorf("set the appearance: %w", err)
		}
		return audit.Record(ctx, tx, v, audit.Entry{
			Action: "profile.edit", ObjectType: "user", ObjectID: v.UserID, ObjectName: v.Name, Details: audit.Changes{"theme": audit.Change{Before: v.Theme, After: theme}},
		})
	})
}

// AskEmailChange begins a change of the viewer's address, which counts once both the old and the new address agreed; an
// old address that was never confirmed is not asked. If the new one is another user's, that user is told and the change
// never completes: the caller does not learn which addresses have accounts. Returns *app.Invalid for a bad address or a
// wrong password.
func (s *Service) AskEmailChange(ctx context.Context, v app.Viewer, email, password string) error {
	if err := access.Check(v, "profile", "edit"); err != nil {
		return err
	}
	email = strings.TrimSpace(email)
	var invalid app.Invalid
	CheckEmail(&invalid, "email", email)
	if strings.EqualFold(email, v.Email) {
		invalid.Add("email", "accounts.email-same")
	}
	if err := invalid.Err(); err != nil {
		return err
	}
	if err := s.auth.CheckPassword(ctx, v, "current_password", password); err != nil {
		return err
	}
	if err := limits.Hit(ctx, s.pool, "email-change", v.UserID, rateConfirm); err != nil {
		return err
	}
	return db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		user, err := userByID(ctx, tx, v.UserID)
		if err != nil {
			return fmt.Errorf("change the address: %w", err)
		}
		if err := putEmailChange(ctx, tx, v.UserID, email, !user.Confirmed, changeLives); err != nil {
			return fmt.Errorf("keep the change of address: %w", err)
		}
		if user.Confirmed {
			link, err := auth.NewLink(ctx, tx, s.keys, auth.PurposeEmailOld, user.ID, user.Email)
			if err != nil {
				return err
			}
			if err := s.queue(ctx, tx, user, user.Email, "email-change-old", link, map[string]string{"Email": email}); err != nil {
				return err
			}
		}
		owner, err := userByEmail(ctx, tx, email)
		switch {
		case err == nil:
			if err := s.queue(ctx, tx, owner, owner.Email, "account-exists", "", map[string]string{"IP": v.IP, "Browser": v.Browser}); err != nil {
				return err
			}
		case errors.Is(err, app.ErrNotFound):
			link, err := auth.NewLink(ctx, tx, s.keys, auth.PurposeEmailNew, user.ID, email)
			if err != nil {
				return err
			}
			if err := s.queue(ctx, tx, user, email, "email-change-new", link, map[string]string{"Email": email}); err != nil {
				return err
			}
		default:
			return fmt.Errorf("look for the new address: %w", err)
		}
		return audit.Record(ctx, tx, v, audit.Entry{
			Action: "email.ask-change", ObjectType: "user", ObjectID: v.UserID, ObjectName: v.Name, Details: audit.Changes{"email": audit.Change{Before: user.Email, After: email}},
		})
	})
}

// CancelEmailChange takes a change of address back. Its links die.
func (s *Service) CancelEmailChange(ctx context.Context, v app.Viewer) error {
	if err := access.Check(v, "profile", "edit"); err != nil {
		return err
	}
	return db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		found, err := deleteEmailChange(ctx, tx, v.UserID)
		if err != nil {
			return fmt.Errorf("cancel the change of address: %w", err)
		}
		if !found {
			return app.ErrNotFound
		}
		_, err = tx.Exec(ctx, "delete from tokens where user_id = $1 and purpose in ('email_old', 'email_new')", v.UserID)
		if err != nil {
			return fmt.Errorf("end the links of the change: %w", err)
		}
		return audit.Record(ctx, tx, v, audit.Entry{Action: "email.cancel-change", ObjectType: "user", ObjectID: v.UserID, ObjectName: v.Name})
	})
}

// ChangeLink is a link to agree to a change of address, with the address it would change to.
type ChangeLink struct {
	auth.Link
	NewEmail string
}

// fits tells whether a link belongs to this change: one to the new address does only while it is the one asked for.
func (c *EmailChange) fits(link auth.Link) bool {
	return c != nil && (link.Purpose == auth.PurposeEmailOld || strings.EqualFold(c.Email, link.Email))
}

// FindChange returns a link's change of address, or app.ErrLink.
func (s *Service) FindChange(ctx context.Context, secret string) (ChangeLink, error) {
	link, err := auth.FindLink(ctx, s.pool, secret, auth.PurposeEmailOld, auth.PurposeEmailNew)
	if err != nil {
		return ChangeLink{}, err
	}
	change, err := emailChangeOf(ctx, s.pool, link.UserID, false)
	if err != nil {
		return ChangeLink{}, fmt.Errorf("read the change of address: %w", err)
	}
	if !change.fits(link) {
		return ChangeLink{}, app.ErrLink
	}
	return ChangeLink{link, change.Email}, nil
}

// AgreeToChange notes that one address agreed. When both did, the address changes, every open link of the user dies and
// the old address is told; done says so. Returns app.ErrConflict if the new address was taken meanwhile.
func (s *Service) AgreeToChange(ctx context.Context, from auth.Visitor, secret string) (done bool, err error) {
	err = db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		link, err := auth.SpendLink(ctx, tx, secret, auth.PurposeEmailOld, auth.PurposeEmailNew)
		if err != nil {
			return err
		}
		asked, err := emailChangeOf(ctx, tx, link.UserID, true)
		if err != nil {
			return fmt.Errorf("take the change of address: %w", err)
		}
		if !asked.fits(link) {
			return app.ErrLink
		}
		if err := agreeEmailChange(ctx, tx, link.UserID, link.Purpose == auth.PurposeEmailOld); err != nil {
			return fmt.Errorf("note the agreement: %w", err)
		}
		change, err := emailChangeOf(ctx, tx, link.UserID, false)
		if err != nil {
			return fmt.Errorf("read the change of address: %w", err)
		}
		if change == nil {
			return app.ErrLink
		}
		if err := audit.Record(ctx, tx, by(link, from), audit.Entry{
			Action: "email.agree", ObjectType: "user", ObjectID: link.UserID, ObjectName: link.Name, Details: map[string]any{"email": link.Email},
		}); err != nil {
			return err
		}
		if !change.OldAgreed || !change.NewAgreed {
			return nil
		}
		done = true
		return s.completeChange(ctx, tx, by(link, from), change.Email)
	})
	if db.Violates(err, "users_email") {
		return false, app.ErrConflict
	}
	return done, err
}

func (s *Service) completeChange(ctx context.Context, tx pgx.Tx, v app.Viewer, email string) error {
	user, err := userByID(ctx, tx, v.UserID)
	if err != nil {
		return fmt.Errorf("change the address: %w", err)
	}
	if err := setEmail(ctx, tx, user.ID, email); err != nil {
		return fmt.Errorf("change the address: %w", err)
	}
	if _, err := deleteEmailChange(ctx, tx, user.ID); err != nil {
		return fmt.Errorf("forget the change: %w", err)
	}
	if err := auth.EndLinks(ctx, tx, user.ID); err != nil {
		return err
	}
	if user.Confirmed {
		// The old address is no longer the user's, so this notice goes to it as to a stranger's.
		old := user
		old.ID = ""
		if err := s.queue(ctx, tx, old, user.Email, "address-changed", "", map[string]string{"Email": email}); err != nil {
			return err
		}
	}
	return audit.Record(ctx, tx, v, audit.Entry{
		Action: "email.change", ObjectType: "user", ObjectID: user.ID, ObjectName: user.Name, Details: audit.Changes{"email": audit.Change{Before: user.Email, After: email}},
	})
}

// CreateAdmin makes an admin whose address counts as confirmed: whoever runs the program on the server vouches for it.
// Returns *app.Invalid for bad values, app.ErrConflict when the address has an account.
func (s *Service) CreateAdmin(ctx context.Context, name, email, password string) error {
	name, email = strings.TrimSpace(name), strings.TrimSpace(email)
	hash, err := s.checkNewUser(ctx, name, email, password)
	if err != nil {
		return err
	}
	err = db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		id, err := insertUser(ctx, tx, name, email, hash, locale.Fallback)
		if err != nil {
			return fmt.Errorf("create the admin: %w", err)
		}
		if _, err := tx.Exec(ctx, "update users set role = 'admin', email_confirmed_at = now() where id = $1", id); err != nil {
			return fmt.Errorf("make them an admin: %w", err)
		}
		return audit.Record(ctx, tx, audit.System, audit.Entry{Action: "team.create-admin", ObjectType: "user", ObjectID: id, ObjectName: name})
	})
	if db.Violates(err, "users_email") {
		return app.ErrConflict
	}
	return err
}
