package auth

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"portico/app"
	"portico/app/access"
	"portico/app/db"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"
	"github.com/jackc/pgx/v5"
)

// ceremonyLives is how long a person has to answer their passkey's question.
const ceremonyLives = 5 * time.Minute

// maxPasskeys is how many one user may have.
const maxPasskeys = 10

// newWebAuthn returns nil where the host of the public address is an IP address.  Source: WebAuthn Level 3, 5.1.3 (an RP ID
// is a domain).
func newWebAuthn(publicURL string) (*webauthn.WebAuthn, error) {
	parsed, err := url.Parse(publicURL)
	if err != nil {
		return nil, fmt.Errorf("read the public address: %w", err)
	}
	if net.ParseIP(parsed.Hostname()) != nil {
		return nil, nil
	}
	w, err := webauthn.New(&webauthn.Config{
		RPID: parsed.Hostname(), RPDisplayName: parsed.Hostname(), RPOrigins: []string{parsed.Scheme + "://" + parsed.Host},
		AttestationPreference: protocol.PreferNoAttestation,
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			ResidentKey: protocol.ResidentKeyRequirementRequired, RequireResidentKey: protocol.ResidentKeyRequired(),
			UserVerification: protocol.VerificationRequired,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("prepare passkeys: %w", err)
	}
	return w, nil
}

// passkeyUser is a user as the WebAuthn library asks for one.
type passkeyUser struct {
	credentials
	keys []webauthn.Credential
}

func (u passkeyUser) WebAuthnID() []byte                         { return u.WebauthnID }
func (u passkeyUser) WebAuthnName() string                       { return u.Email }
func (u passkeyUser) WebAuthnDisplayName() string                { return u.Name }
func (u passkeyUser) WebAuthnCredentials() []webauthn.Credential { return u.keys }

func (s *Service) passkeyUser(ctx context.Context, conn db.Conn, user credentials) (passkeyUser, error) {
	stored, err := passkeyCredentials(ctx, conn, user.ID)
	if err != nil {
		return passkeyUser{}, fmt.Errorf("read passkeys: %w", err)
	}
	out := passkeyUser{credentials: user}
	for _, raw := range stored {
		var key webauthn.Credential
		if err := json.Unmarshal(raw, &key); err != nil {
			return passkeyUser{}, fmt.Errorf("decode a passkey of user %s: %w", user.ID, err)
		}
		out.keys = append(out.keys, key)
	}
	return out, nil
}

// Ceremony is a question for the browser's passkeys. ID names it in the answer.
type Ceremony struct {
	ID      string `json:"ceremony"`
	Options any    `json:"options"` // as PublicKeyCredential.parse…OptionsFromJSON takes it
}

// PasskeysOffered tells whether this portal's address allows passkeys.
func (s *Service) PasskeysOffered() bool { return s.passkeys != nil }

func (s *Service) keep(ctx context.Context, userID string, session *webauthn.SessionData, options any) (Ceremony, error) {
	data, err := json.Marshal(session)
	if err != nil {
		return Ceremony{}, fmt.Errorf("encode a passkey ceremony: %w", err)
	}
	id, err := insertCeremony(ctx, s.pool, userID, data, ceremonyLives)
	if err != nil {
		return Ceremony{}, fmt.Errorf("keep a passkey ceremony: %w", err)
	}
	return Ceremony{id, options}, nil
}

// taken ends a ceremony and returns what was asked, by itself: a wrong answer must not leave the question open.
func (s *Service) taken(ctx context.Context, id, userID string) (webauthn.SessionData, error) {
	var session webauthn.SessionData
	data, err := takeCeremony(ctx, s.pool, id, userID)
	if err != nil {
		return session, fmt.Errorf("find the passkey ceremony: %w", err)
	}
	return session, json.Unmarshal(data, &session)
}

// AskNewPasskey begins adding a passkey. Needs a fresh proof.
func (s *Service) AskNewPasskey(ctx context.Context, v app.Viewer) (Ceremony, error) {
	if err := access.Check(v, "security", "edit"); err != nil {
		return Ceremony{}, err
	}
	if s.passkeys == nil {
		return Ceremony{}, app.ErrNotFound
	}
	if err := NeedProof(v); err != nil {
		return Ceremony{}, err
	}
	user, err := credentialsByID(ctx, s.pool, v.UserID)
	if err != nil {
		return Ceremony{}, err
	}
	if user.Passkeys >= maxPasskeys {
		return Ceremony{}, app.Invalidf("", "auth.passkeys-many", "Max", maxPasskeys)
	}
	owner, err := s.passkeyUser(ctx, s.pool, user)
	if err != nil {
		return Ceremony{}, err
	}
	options, session, err := s.passkeys.BeginRegistration(owner, webauthn.WithExclusions(webauthn.Credentials(owner.keys).CredentialDescriptors()))
	if err != nil {
		return Ceremony{}, fmt.Errorf("begin a passkey: %w", err)
	}
	return s.keep(ctx, v.UserID, session, options.Response)
}

// AddPasskey stores the passkey that the browser made. answer is the credential as JSON. Returns *app.Invalid when it does
// not fit the question.
func (s *Service) AddPasskey(ctx context.Context, v app.Viewer, ceremony, name string, answer []byte) error {
	if err := access.Check(v, "security", "edit"); err != nil {
		return err
	}
	if s.passkeys == nil {
		return app.ErrNotFound
	}
	if err := NeedProof(v); err != nil {
		return err
	}
	if name = strings.TrimSpace(name); name == "" {
		name = v.Browser
	}
	if utf8.RuneCountInString(name) > 60 {
		return app.Invalidf("name", "auth.passkey-name-long", "Max", 60)
	}
	session, err := s.taken(ctx, ceremony, v.UserID)
	if err != nil {
		return err
	}
	return db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if err := lockSession(ctx, tx, v.UserID, v.SessionID); err != nil {
			return err
		}
		user, err := credentialsByID(ctx, tx, v.UserID)
		if err != nil {
			return err
		}
		owner, err := s.passkeyUser(ctx, tx, user)
		if err != nil {
			return err
		}
		parsed, err := protocol.ParseCredentialCreationResponseBytes(answer)
		if err == nil {
			var key *webauthn.Credential
			if key, err = s.passkeys.CreateCredential(owner, session, parsed); err == nil {
				return s.storePasskey(ctx, tx, v, name, key)
			}
		}
		slog.WarnContext(ctx, "passkey refused", "user", v.UserID, "error", err, "request_id", v.RequestID)
		return app.Invalidf("", "auth.passkey-refused")
	})
}

func (s *Service) storePasskey(ctx context.Context, tx pgx.Tx, v app.Viewer, name string, key *webauthn.Credential) error {
	data, err := json.Marshal(key)
	if err != nil {
		return fmt.Errorf("encode a passkey: %w", err)
	}
	if _, err := insertPasskey(ctx, tx, v.UserID, name, key.ID, data); err != nil {
		if db.Violates(err, "passkeys_credential_id_key") {
			return app.Invalidf("", "auth.passkey-known")
		}
		return fmt.Errorf("store a passkey: %w", err)
	}
	if err := markFactor(ctx, tx, v.SessionID); err != nil {
		return fmt.Errorf("mark the session: %w", err)
	}
	if _, err := deleteOtherSessions(ctx, tx, v.UserID, v.SessionID); err != nil {
		return fmt.Errorf("end other sessions: %w", err)
	}
	return s.factorChanged(ctx, tx, v, "passkey.add", name)
}

// RemovePasskey takes one of the viewer's passkeys away. Needs a fresh proof; app.ErrNotFound for anybody else's.
func (s *Service) RemovePasskey(ctx context.Context, v app.Viewer, id string) error {
	if err := access.Check(v, "security", "edit"); err != nil {
		return err
	}
	if err := NeedProof(v); err != nil {
		return err
	}
	return db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		name, err := deletePasskey(ctx, tx, v.UserID, id)
		if err != nil {
			return fmt.Errorf("remove a passkey: %w", err)
		}
		return s.factorChanged(ctx, tx, v, "passkey.remove", name)
	})
}

// AskPasskey begins a sign-in with any passkey of this portal. Nobody is named, so nothing is told.
func (s *Service) AskPasskey(ctx context.Context) (Ceremony, error) {
	if s.passkeys == nil {
		return Ceremony{}, app.ErrNotFound
	}
	options, session, err := s.passkeys.BeginDiscoverableLogin(webauthn.WithUserVerification(protocol.VerificationRequired))
	if err != nil {
		return Ceremony{}, fmt.Errorf("begin a passkey sign-in: %w", err)
	}
	return s.keep(ctx, "", session, options.Response)
}

// SignInWithPasskey opens a session for the user whose passkey answered. It counts as password and second factor at once:
// the passkey verified the person.
func (s *Service) SignInWithPasskey(ctx context.Context, from Visitor, ceremony string, answer []byte) (Opened, error) {
	if s.passkeys == nil {
		return Opened{}, app.ErrNotFound
	}
	return s.answerPasskey(ctx, from, ceremony, "", "", answer)
}

// AskSecondFactor begins answering a waiting session with a passkey.
func (s *Service) AskSecondFactor(ctx context.Context, sessionID string) (Ceremony, error) {
	userID, err := s.waitingUser(ctx, sessionID)
	if err != nil {
		return Ceremony{}, err
	}
	user, err := credentialsByID(ctx, s.pool, userID)
	if err != nil {
		return Ceremony{}, err
	}
	owner, err := s.passkeyUser(ctx, s.pool, user)
	if err != nil {
		return Ceremony{}, err
	}
	if s.passkeys == nil || len(owner.keys) == 0 {
		return Ceremony{}, app.ErrNotFound
	}
	options, session, err := s.passkeys.BeginLogin(owner, webauthn.WithUserVerification(protocol.VerificationRequired))
	if err != nil {
		return Ceremony{}, fmt.Errorf("begin a second factor: %w", err)
	}
	return s.keep(ctx, userID, session, options.Response)
}

// SecondFactorPasskey answers a waiting session with a passkey and opens a new session in its place.
func (s *Service) SecondFactorPasskey(ctx context.Context, from Visitor, sessionID, ceremony string, answer []byte) (Opened, error) {
	if s.passkeys == nil {
		return Opened{}, app.ErrNotFound
	}
	userID, err := s.waitingUser(ctx, sessionID)
	if err != nil {
		return Opened{}, err
	}
	return s.answerPasskey(ctx, from, ceremony, userID, sessionID, answer)
}

func (s *Service) waitingUser(ctx context.Context, sessionID string) (userID string, err error) {
	err = db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		userID, err = lockPending(ctx, tx, sessionID)
		return err
	})
	return userID, err
}

// answerPasskey checks an answer and opens a session. With a userID it must be that user's, and takes the place of the
// waiting session.
func (s *Service) answerPasskey(ctx context.Context, from Visitor, ceremony, userID, waiting string, answer []byte) (Opened, error) {
	var opened Opened
	refused := app.Invalidf("", "auth.passkey-refused")
	session, err := s.taken(ctx, ceremony, userID)
	if err != nil {
		return Opened{}, err
	}
	err = db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		parsed, err := protocol.ParseCredentialRequestResponseBytes(answer)
		if err != nil {
			return refused
		}
		var owner passkeyUser
		find := func(_, handle []byte) (webauthn.User, error) {
			user, err := credentialsByWebauthnID(ctx, tx, handle)
			if err != nil {
				return nil, err
			}
			owner, err = s.passkeyUser(ctx, tx, user)
			return owner, err
		}
		var key *webauthn.Credential
		if userID == "" {
			_, key, err = s.passkeys.ValidatePasskeyLogin(find, session, parsed)
		} else {
			var user credentials
			if user, err = credentialsByID(ctx, tx, userID); err != nil {
				return err
			}
			if owner, err = s.passkeyUser(ctx, tx, user); err != nil {
				return err
			}
			key, err = s.passkeys.ValidateLogin(owner, session, parsed)
		}
		if err != nil || owner.Disabled || key.Authenticator.CloneWarning {
			slog.WarnContext(ctx, "passkey refused", "user", owner.ID, "error", err, "request_id", from.RequestID)
			return refused
		}
		data, err := json.Marshal(key)
		if err != nil {
			return fmt.Errorf("encode a passkey: %w", err)
		}
		if err := usePasskey(ctx, tx, key.ID, data); err != nil {
			return fmt.Errorf("note the passkey's use: %w", err)
		}
		if waiting != "" {
			if _, err := lockPending(ctx, tx, waiting); err != nil {
				return err
			}
			opened, err = s.exchange(ctx, tx, userID, waiting, from)
			return err
		}
		now, err := lockCredentials(ctx, tx, owner.ID)
		if err != nil {
			return err
		}
		if now.Disabled {
			return refused
		}
		opened, err = s.open(ctx, tx, now, from, true, false)
		return err
	})
	return opened, err
}
