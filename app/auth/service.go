// Package auth proves who somebody is: passwords, second factors, passkeys, sessions and one-time links. Start reading at
// service.go; session.go says how long a proof lasts.
package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"portico/app"
	"portico/app/access"
	"portico/app/audit"
	"portico/app/db"
	"portico/app/keys"
	"portico/app/limits"
	"portico/app/mail"

	"github.com/go-webauthn/webauthn/webauthn"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Mailer queues an e-mail in the transaction of its cause.
type Mailer interface {
	Queue(ctx context.Context, tx pgx.Tx, m mail.Message) error
}

// Service proves who somebody is.
type Service struct {
	pool     *pgxpool.Pool
	keys     *keys.Ring
	mail     Mailer
	hasher   *Hasher
	passkeys *webauthn.WebAuthn // nil where the portal's address is no name
	store    func(ctx context.Context) (name string, err error)
}

// Config is what a Service needs.
type Config struct {
	Pool      *pgxpool.Pool
	Keys      *keys.Ring
	Mail      Mailer
	Hasher    *Hasher
	URL       string                                    // public address, for passkeys
	StoreName func(ctx context.Context) (string, error) // shown by authenticator apps
}

// New returns a Service. Passkeys are offered only if the host of the public address is a name: WebAuthn allows no
// addresses.
func New(config Config) (*Service, error) {
	passkeys, err := newWebAuthn(config.URL)
	if err != nil {
		return nil, err
	}
	return &Service{config.Pool, config.Keys, config.Mail, config.Hasher, passkeys, config.StoreName}, nil
}

// How often a password, a code or a reset may be tried. Failures are counted, so a person who knows theirs is never held up
// by their own sign-ins.  Source: OWASP ASVS 5.0, 6.3.1.
var (
	ratePair    = limits.Rate{Times: 10, Window: 15 * time.Minute} // one account from one address
	rateAccount = limits.Rate{Times: 50, Window: time.Hour}        // one account from anywhere
	rateCode    = limits.Rate{Times: 5, Window: 15 * time.Minute}  // second factor of one waiting session
	rateFactor  = limits.Rate{Times: 20, Window: 15 * time.Minute} // second factor of one account
	rateReset   = limits.Rate{Times: 5, Window: time.Hour}         // reset mails to one address
	rateProof   = limits.Rate{Times: 10, Window: 15 * time.Minute} // current password of one session's owner
)

// resetTakes is the least time an answer to Forgot password takes, so that it does not tell which addresses are known.
const resetTakes = 300 * time.Millisecond

// SignIn checks address and password and opens a session, which waits for the second factor where the user has one. The
// session that the browser had before, if any, ends. Every refusal is the same *app.Invalid, after the same work, whether or
// not the address is known. Returns *app.Limited after too many failures, app.ErrBusy when too many sign in at once.
func (s *Service) SignIn(ctx context.Context, from Visitor, email, password string) (Opened, error) {
	email = strings.TrimSpace(email)
	key := strings.ToLower(email)
	// Every try counts before it is compared, or many at once would all be compared; a right one is taken back.
	counts := []struct {
		name, key string
		rate      limits.Rate
	}{{"sign-in", key + " " + limits.Source(from.IP), ratePair}, {"sign-in-account", key, rateAccount}}
	for _, count := range counts {
		if err := limits.Hit(ctx, s.pool, count.name, count.key, count.rate); err != nil {
			return Opened{}, err
		}
	}
	user, err := credentialsByEmail(ctx, s.pool, email)
	if err != nil && !errors.Is(err, app.ErrNotFound) {
		return Opened{}, fmt.Errorf("sign in: %w", err)
	}
	hash := user.PasswordHash
	if user.Disabled || len(password) > 4*MaxPassword {
		hash = ""
	}
	ok, err := s.hasher.Matches(ctx, password[:min(len(password), 4*MaxPassword)], hash)
	if err != nil {
		return Opened{}, fmt.Errorf("sign in: %w", err)
	}
	refused := app.Invalidf("", "auth.wrong")
	if !ok {
		slog.WarnContext(ctx, "sign-in refused", "user", user.ID, "ip", from.IP, "request_id", from.RequestID)
		return Opened{}, refused
	}
	var opened Opened
	err = db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		// Comparing took its time. What was compared must still hold when the session is opened: a password changed, a second
		// factor added or a user disabled meanwhile counts.
		now, err := lockCredentials(ctx, tx, user.ID)
		if err != nil {
			return err
		}
		if now.Disabled || now.PasswordHash != hash {
			return refused
		}
		for _, count := range counts {
			if err := limits.Return(ctx, tx, count.name, count.key, count.rate); err != nil {
				return err
			}
		}
		opened, err = s.open(ctx, tx, now, from, false, now.secondFactor())
		return err
	})
	return opened, err
}

// SecondFactor answers a waiting session with a code of the authenticator app or a recovery code, and opens a new session
// in its place. Returns *app.Invalid for a wrong or used code, app.ErrSignedOut when nothing waits.
func (s *Service) SecondFactor(ctx context.Context, from Visitor, sessionID, code string) (Opened, error) {
	// Every try counts, and before it is looked at: six digits must not be guessed by many tries at once.
	if err := limits.Hit(ctx, s.pool, "second-factor", sessionID, rateCode); err != nil {
		return Opened{}, err
	}
	userID, err := s.waitingUser(ctx, sessionID)
	if err != nil {
		return Opened{}, err
	}
	if err := limits.Hit(ctx, s.pool, "second-factor-user", userID, rateFactor); err != nil {
		return Opened{}, err
	}
	var opened Opened
	err = db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := lockPending(ctx, tx, sessionID); err != nil {
			return err
		}
		if err := s.checkCode(ctx, tx, userID, code); err != nil {
			return err
		}
		opened, err = s.exchange(ctx, tx, userID, sessionID, from)
		return err
	})
	var invalid *app.Invalid
	if errors.As(err, &invalid) {
		slog.WarnContext(ctx, "second factor refused", "user", userID, "ip", from.IP, "request_id", from.RequestID)
	}
	return opened, err
}

// exchange replaces a session that waited for the second factor by an open one with a secret of its own.
func (s *Service) exchange(ctx context.Context, tx pgx.Tx, userID, sessionID string, from Visitor) (Opened, error) {
	user, err := lockCredentials(ctx, tx, userID)
	if err != nil {
		return Opened{}, err
	}
	if user.Disabled {
		return Opened{}, app.ErrSignedOut
	}
	if _, err := deleteSession(ctx, tx, userID, sessionID); err != nil {
		return Opened{}, fmt.Errorf("end the waiting session: %w", err)
	}
	return s.open(ctx, tx, user, from, true, false)
}

// Waiting tells which second factors a waiting session may be answered with.
func (s *Service) Waiting(ctx context.Context, sessionID string) (code, passkey bool, err error) {
	userID, err := s.waitingUser(ctx, sessionID)
	if err != nil {
		return false, false, err
	}
	user, err := credentialsByID(ctx, s.pool, userID)
	return user.Authenticator, user.Passkeys > 0 && s.passkeys != nil, err
}

// ForgotPassword mails a link to choose a new password, if the address is a user's. The caller learns nothing of that.
func (s *Service) ForgotPassword(ctx context.Context, from Visitor, email string) error {
	done := time.After(resetTakes)
	err := s.mailReset(ctx, from, strings.TrimSpace(email))
	select {
	case <-done:
	case <-ctx.Done():
	}
	return err
}

func (s *Service) mailReset(ctx context.Context, from Visitor, email string) error {
	if err := limits.Hit(ctx, s.pool, "reset", strings.ToLower(email), rateReset); err != nil {
		var limited *app.Limited
		if errors.As(err, &limited) {
			return nil // enough mails are under way; saying so would tell that the address is known
		}
		return err
	}
	return db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		user, err := credentialsByEmail(ctx, tx, email)
		if errors.Is(err, app.ErrNotFound) || err == nil && user.Disabled {
			return nil
		}
		if err != nil {
			return fmt.Errorf("forgot password: %w", err)
		}
		link, err := NewLink(ctx, tx, s.keys, PurposeReset, user.ID, user.Email)
		if err != nil {
			return err
		}
		if err := s.mail.Queue(ctx, tx, mail.Message{
			Kind: "reset-password", Key: "reset-password:" + link, UserID: user.ID, Recipient: user.Email, Name: user.Name,
			Language: user.Language, Zone: user.TimeZone, TokenID: link, Data: map[string]string{"IP": from.IP, "Browser": from.Browser},
		}); err != nil {
			return err
		}
		v := user.viewer(from)
		v.UserID, v.Name = "", "" // whoever asked is not known to be that user
		return audit.Record(ctx, tx, v, audit.Entry{Action: "password.forget", ObjectType: "user", ObjectID: user.ID, ObjectName: user.Name})
	})
}

// ResetLink returns whose password a link sets, or app.ErrLink.
func (s *Service) ResetLink(ctx context.Context, secret string) (Link, error) {
	return FindLink(ctx, s.pool, secret, PurposeReset, PurposeInvite)
}

// ResetPassword sets a new password by a link. The link is used up; all sessions and all other links of the user end; the
// address the link went to counts as confirmed, and if it was not before, second factors set up until now are removed. Returns *app.Invalid for a bad password, app.ErrLink for a bad link.
func (s *Service) ResetPassword(ctx context.Context, from Visitor, secret, password string) error {
	link, err := s.ResetLink(ctx, secret)
	if err != nil {
		return err
	}
	var invalid app.Invalid
	if err := s.hasher.CheckNew(ctx, &invalid, "password", password, link.Name, link.Email); err != nil {
		return err
	}
	if invalid.Err() != nil {
		return invalid.Err()
	}
	hash, err := s.hasher.Hash(ctx, password)
	if err != nil {
		return err
	}
	return db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		link, err := SpendLink(ctx, tx, secret, PurposeReset, PurposeInvite)
		if err != nil {
			return err
		}
		user, err := lockCredentials(ctx, tx, link.UserID)
		if err != nil {
			return err
		}
		if !user.Confirmed {
			// Until now nobody had shown that the address is theirs. Whoever registered it may have been somebody else, and
			// what they set up must not stand between the owner and the account.
			if err := removeFactors(ctx, tx, link.UserID); err != nil {
				return fmt.Errorf("remove what was set up before the address was confirmed: %w", err)
			}
		}
		if err := confirmEmail(ctx, tx, link.UserID, link.Email); err != nil {
			return fmt.Errorf("confirm the address: %w", err)
		}
		if err := s.changePassword(ctx, tx, user, hash, ""); err != nil {
			return err
		}
		return audit.Record(ctx, tx, user.viewer(from), audit.Entry{
			Action: "password.reset", ObjectType: "user", ObjectID: user.ID, ObjectName: user.Name,
		})
	})
}

// changePassword stores a hash, ends every session but the one to keep and every open link, and tells the user by mail.
func (s *Service) changePassword(ctx context.Context, tx pgx.Tx, user credentials, hash, keep string) error {
	if err := setPassword(ctx, tx, user.ID, hash); err != nil {
		return fmt.Errorf("set the password: %w", err)
	}
	if keep == "" {
		if err := EndSessions(ctx, tx, user.ID); err != nil {
			return fmt.Errorf("end sessions: %w", err)
		}
	} else if _, err := deleteOtherSessions(ctx, tx, user.ID, keep); err != nil {
		return fmt.Errorf("end other sessions: %w", err)
	}
	if err := EndLinks(ctx, tx, user.ID); err != nil {
		return err
	}
	return s.tell(ctx, tx, user, "password-changed", nil)
}

// tell mails a user about a change to how they sign in.
func (s *Service) tell(ctx context.Context, tx pgx.Tx, user credentials, kind string, data map[string]string) error {
	return s.mail.Queue(ctx, tx, mail.Message{
		Kind: kind, Key: kind + ":" + uuid.NewString(), UserID: user.ID, Recipient: user.Email, Name: user.Name,
		Language: user.Language, Zone: user.TimeZone, Data: data,
	})
}

// ChangePassword sets the viewer's new password; all their other sessions and links end. Returns *app.Invalid for a wrong
// current or a bad new one.
func (s *Service) ChangePassword(ctx context.Context, v app.Viewer, current, password string) error {
	if err := access.Check(v, "security", "edit"); err != nil {
		return err
	}
	var invalid app.Invalid
	if err := s.hasher.CheckNew(ctx, &invalid, "new_password", password, v.Name, v.Email); err != nil {
		return err
	}
	if err := s.CheckPassword(ctx, v, "current_password", current); err != nil {
		var wrong *app.Invalid
		if !errors.As(err, &wrong) {
			return err
		}
		invalid.Fields = append(wrong.Fields, invalid.Fields...)
	}
	if err := invalid.Err(); err != nil {
		return err
	}
	hash, err := s.hasher.Hash(ctx, password)
	if err != nil {
		return err
	}
	return db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		user, err := credentialsByID(ctx, tx, v.UserID)
		if err != nil {
			return err
		}
		if err := s.changePassword(ctx, tx, user, hash, v.SessionID); err != nil {
			return err
		}
		return audit.Record(ctx, tx, v, audit.Entry{Action: "password.change", ObjectType: "user", ObjectID: v.UserID, ObjectName: v.Name})
	})
}

// CheckPassword asks for the viewer's password again. Returns *app.Invalid on field for a wrong one, *app.Limited after
// too many.
func (s *Service) CheckPassword(ctx context.Context, v app.Viewer, field, password string) error {
	if err := limits.Hit(ctx, s.pool, "proof", v.UserID, rateProof); err != nil {
		return err
	}
	user, err := credentialsByID(ctx, s.pool, v.UserID)
	if err != nil {
		return fmt.Errorf("check the password: %w", err)
	}
	ok, err := s.hasher.Matches(ctx, password[:min(len(password), 4*MaxPassword)], user.PasswordHash)
	if err != nil {
		return fmt.Errorf("check the password: %w", err)
	}
	if !ok {
		slog.WarnContext(ctx, "password refused", "user", v.UserID, "ip", v.IP, "request_id", v.RequestID)
		return app.Invalidf(field, "auth.password-wrong")
	}
	return limits.Return(ctx, s.pool, "proof", v.UserID, rateProof)
}

// MayProve tells whether the viewer has a password to give again.
func (s *Service) MayProve(v app.Viewer) error { return access.Check(v, "security", "edit") }

// Prove notes that the viewer gave their password just now.
func (s *Service) Prove(ctx context.Context, v app.Viewer, password string) error {
	if err := s.MayProve(v); err != nil {
		return err
	}
	if err := s.CheckPassword(ctx, v, "current_password", password); err != nil {
		return err
	}
	return db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if err := setProved(ctx, tx, v.SessionID); err != nil {
			return fmt.Errorf("note the proof: %w", err)
		}
		return audit.Record(ctx, tx, v, audit.Entry{Action: "session.prove", ObjectType: "session", ObjectID: v.SessionID})
	})
}

// NeedProof returns app.ErrProof unless the viewer gave a password or second factor in the last ProofAge.
func NeedProof(v app.Viewer) error {
	if time.Since(v.ProvedAt) > ProofAge {
		return app.ErrProof
	}
	return nil
}

// Overview is the Security page.
type Overview struct {
	Authenticator bool
	CodesLeft     int // unused recovery codes
	Passkeys      []Passkey
	PasskeysHere  bool // the portal's address allows passkeys
	Sessions      []Session
	Proved        bool // the password was given just now
}

// Overview shows the viewer how they sign in and where they are signed in.
func (s *Service) Overview(ctx context.Context, v app.Viewer) (Overview, error) {
	if err := access.Check(v, "security", "view"); err != nil {
		return Overview{}, err
	}
	user, err := credentialsByID(ctx, s.pool, v.UserID)
	if err != nil {
		return Overview{}, fmt.Errorf("read how one signs in: %w", err)
	}
	o := Overview{Authenticator: user.Authenticator, PasskeysHere: s.passkeys != nil, Proved: NeedProof(v) == nil}
	if o.CodesLeft, err = recoveryCodesLeft(ctx, s.pool, v.UserID); err != nil {
		return Overview{}, fmt.Errorf("count recovery codes: %w", err)
	}
	if o.Passkeys, err = passkeysOf(ctx, s.pool, v.UserID); err != nil {
		return Overview{}, fmt.Errorf("list passkeys: %w", err)
	}
	if o.Sessions, err = s.sessionsOf(ctx, v.UserID); err != nil {
		return Overview{}, fmt.Errorf("list sessions: %w", err)
	}
	for i := range o.Sessions {
		o.Sessions[i].Current = o.Sessions[i].ID == v.SessionID
	}
	return o, nil
}
