package auth

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"image/png"
	"strings"
	"time"

	"portico/app"
	"portico/app/access"
	"portico/app/audit"
	"portico/app/db"
	"portico/app/keys"

	"github.com/jackc/pgx/v5"
	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"
)

const (
	sealAuthenticator = "authenticator"
	codeStep          = 30 // seconds a code lasts.  Source: RFC 6238, 5.2
	recoveryCount     = 10
	recoveryBytes     = 15 // 120 bits each, so a plain hash can't be searched.  Source: OWASP ASVS 5.0, 6.5.2
)

// Setup is what a person needs to add the portal to an authenticator app.
type Setup struct {
	Key string       // base32, for typing, in groups of four
	QR  template.URL // data: address of a PNG
}

// StartAuthenticator makes a new secret, which counts only once a code has confirmed it. Needs a fresh proof
// (app.ErrProof). Returns app.ErrConflict when an authenticator app is in use.
func (s *Service) StartAuthenticator(ctx context.Context, v app.Viewer) error {
	if err := access.Check(v, "security", "edit"); err != nil {
		return err
	}
	if err := NeedProof(v); err != nil {
		return err
	}
	return db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		started, err := startAuthenticator(ctx, tx, v.UserID, s.keys.Seal(sealAuthenticator, v.UserID, keys.Random(20)))
		if err != nil {
			return fmt.Errorf("start an authenticator app: %w", err)
		}
		if !started {
			return app.ErrConflict
		}
		return audit.Record(ctx, tx, v, audit.Entry{Action: "authenticator.start", ObjectType: "user", ObjectID: v.UserID, ObjectName: v.Name})
	})
}

// Setup shows the secret that waits for its first code. Returns app.ErrNotFound when none does, app.ErrProof without a
// fresh proof.
func (s *Service) Setup(ctx context.Context, v app.Viewer) (Setup, error) {
	if err := access.Check(v, "security", "edit"); err != nil {
		return Setup{}, err
	}
	if err := NeedProof(v); err != nil {
		return Setup{}, err
	}
	row, err := authenticatorOf(ctx, s.pool, v.UserID, false)
	if err != nil {
		return Setup{}, fmt.Errorf("read the authenticator app: %w", err)
	}
	if row.Confirmed {
		return Setup{}, app.ErrNotFound
	}
	secret, err := s.keys.Open(sealAuthenticator, v.UserID, row.Secret)
	if err != nil {
		return Setup{}, err
	}
	issuer, err := s.store(ctx)
	if err != nil {
		return Setup{}, err
	}
	key, err := totp.Generate(totp.GenerateOpts{Issuer: strings.ReplaceAll(issuer, ":", " "), AccountName: v.Email, Secret: secret, Period: codeStep})
	if err != nil {
		return Setup{}, fmt.Errorf("describe the authenticator app's key: %w", err)
	}
	image, err := key.Image(220, 220)
	if err != nil {
		return Setup{}, fmt.Errorf("draw the QR code: %w", err)
	}
	var out bytes.Buffer
	if err := png.Encode(&out, image); err != nil {
		return Setup{}, fmt.Errorf("draw the QR code: %w", err)
	}
	return Setup{Key: strings.Join(inFours(key.Secret()), " "), QR: template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(out.Bytes()))}, nil
}

// inFours cuts a code into groups that people can type.
func inFours(text string) (groups []string) {
	for text != "" {
		n := min(4, len(text))
		groups, text = append(groups, text[:n]), text[n:]
	}
	return groups
}

// ConfirmAuthenticator takes the first code, puts the authenticator app in use and returns fresh recovery codes, which are
// shown this once. This session counts as opened with a second factor from now on; all others end.
func (s *Service) ConfirmAuthenticator(ctx context.Context, v app.Viewer, code string) ([]string, error) {
	if err := access.Check(v, "security", "edit"); err != nil {
		return nil, err
	}
	if err := NeedProof(v); err != nil {
		return nil, err
	}
	var codes []string
	err := db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if err := lockSession(ctx, tx, v.UserID, v.SessionID); err != nil {
			return err
		}
		row, err := authenticatorOf(ctx, tx, v.UserID, true)
		if err != nil {
			return fmt.Errorf("read the authenticator app: %w", err)
		}
		if row.Confirmed {
			return app.ErrConflict
		}
		step, err := s.stepOf(v.UserID, row, code)
		if err != nil {
			return err
		}
		if err := confirmAuthenticator(ctx, tx, v.UserID, step); err != nil {
			return fmt.Errorf("confirm the authenticator app: %w", err)
		}
		if codes, err = s.newRecoveryCodes(ctx, tx, v.UserID); err != nil {
			return err
		}
		if err := markFactor(ctx, tx, v.SessionID); err != nil {
			return fmt.Errorf("mark the session: %w", err)
		}
		if _, err := deleteOtherSessions(ctx, tx, v.UserID, v.SessionID); err != nil {
			return fmt.Errorf("end other sessions: %w", err)
		}
		return s.factorChanged(ctx, tx, v, "authenticator.add", "")
	})
	return codes, err
}

// RemoveAuthenticator takes the authenticator app and its recovery codes away. Needs a fresh proof.
func (s *Service) RemoveAuthenticator(ctx context.Context, v app.Viewer) error {
	if err := access.Check(v, "security", "edit"); err != nil {
		return err
	}
	if err := NeedProof(v); err != nil {
		return err
	}
	return db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		removed, err := deleteAuthenticator(ctx, tx, v.UserID)
		if err != nil {
			return fmt.Errorf("remove the authenticator app: %w", err)
		}
		if !removed {
			return app.ErrNotFound
		}
		if err := replaceRecoveryCodes(ctx, tx, v.UserID, nil); err != nil {
			return fmt.Errorf("remove recovery codes: %w", err)
		}
		return s.factorChanged(ctx, tx, v, "authenticator.remove", "")
	})
}

// NewRecoveryCodes replaces all recovery codes and returns the new ones, shown this once. Needs a fresh proof.
func (s *Service) NewRecoveryCodes(ctx context.Context, v app.Viewer) ([]string, error) {
	if err := access.Check(v, "security", "edit"); err != nil {
		return nil, err
	}
	if err := NeedProof(v); err != nil {
		return nil, err
	}
	var codes []string
	err := db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		row, err := authenticatorOf(ctx, tx, v.UserID, true)
		if err != nil {
			return fmt.Errorf("read the authenticator app: %w", err)
		}
		if !row.Confirmed {
			return app.ErrNotFound
		}
		if codes, err = s.newRecoveryCodes(ctx, tx, v.UserID); err != nil {
			return err
		}
		return s.factorChanged(ctx, tx, v, "recovery-codes.renew", "")
	})
	return codes, err
}

func (s *Service) newRecoveryCodes(ctx context.Context, tx pgx.Tx, userID string) ([]string, error) {
	var codes []string
	var hashes [][]byte
	for range recoveryCount {
		text := strings.ToLower(base32.StdEncoding.EncodeToString(keys.Random(recoveryBytes)))
		codes = append(codes, strings.Join(inFours(text), "-"))
		hashes = append(hashes, recoveryHash(userID, text))
	}
	if err := replaceRecoveryCodes(ctx, tx, userID, hashes); err != nil {
		return nil, fmt.Errorf("store recovery codes: %w", err)
	}
	return codes, nil
}

func recoveryHash(userID, code string) []byte {
	sum := sha256.Sum256([]byte(userID + ":" + code))
	return sum[:]
}

// factorChanged tells the user by mail and the audit that their second factors are not what they were. When the last one
// went, open sessions no longer count as opened with one.
func (s *Service) factorChanged(ctx context.Context, tx pgx.Tx, v app.Viewer, action, name string) error {
	user, err := credentialsByID(ctx, tx, v.UserID)
	if err != nil {
		return err
	}
	if err := unmarkFactors(ctx, tx, v.UserID); err != nil {
		return fmt.Errorf("unmark sessions: %w", err)
	}
	if err := s.tell(ctx, tx, user, "second-factor-changed", map[string]string{"Change": action, "Name": name}); err != nil {
		return err
	}
	return audit.Record(ctx, tx, v, audit.Entry{Action: action, ObjectType: "user", ObjectID: v.UserID, ObjectName: v.Name, Details: map[string]any{"name": name}})
}

// checkCode accepts a code of the authenticator app, once, or a recovery code, once.
func (s *Service) checkCode(ctx context.Context, tx pgx.Tx, userID, code string) error {
	code = strings.ToLower(strings.Map(func(r rune) rune {
		if r == ' ' || r == '-' {
			return -1
		}
		return r
	}, code))
	if len(code) > 6 {
		ok, err := spendRecoveryCode(ctx, tx, userID, recoveryHash(userID, code))
		if err != nil {
			return fmt.Errorf("use a recovery code: %w", err)
		}
		if !ok {
			return app.Invalidf("code", "auth.code-wrong")
		}
		return nil
	}
	row, err := authenticatorOf(ctx, tx, userID, true)
	if errors.Is(err, app.ErrNotFound) || err == nil && !row.Confirmed {
		return app.Invalidf("code", "auth.code-wrong")
	}
	if err != nil {
		return fmt.Errorf("read the authenticator app: %w", err)
	}
	step, err := s.stepOf(userID, row, code)
	if err != nil {
		return err
	}
	fresh, err := noteStep(ctx, tx, userID, step)
	if err != nil {
		return fmt.Errorf("note the code: %w", err)
	}
	if !fresh {
		return app.Invalidf("code", "auth.code-used")
	}
	return nil
}

// stepOf finds which time step a code belongs to: now, or one step to either side for clocks that differ.
// Source: RFC 6238, 5.2.
func (s *Service) stepOf(userID string, row authenticatorRow, code string) (int64, error) {
	secret, err := s.keys.Open(sealAuthenticator, userID, row.Secret)
	if err != nil {
		return 0, err
	}
	text := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(secret)
	now := time.Now().Unix() / codeStep
	for _, step := range []int64{now, now - 1, now + 1} {
		ok, err := totp.ValidateCustom(strings.ReplaceAll(code, " ", ""), text, time.Unix(step*codeStep, 0), totp.ValidateOpts{Period: codeStep, Digits: otp.DigitsSix})
		if err == nil && ok {
			return step, nil
		}
	}
	return 0, app.Invalidf("code", "auth.code-wrong")
}

// Reseal encrypts the secrets of all authenticator apps with the newest key, in one transaction, and says how many there are.
func (s *Service) Reseal(ctx context.Context) (count int, err error) {
	err = db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		rows, err := lockSecrets(ctx, tx)
		if err != nil {
			return fmt.Errorf("read the secrets of authenticator apps: %w", err)
		}
		for _, row := range rows {
			sealed, err := s.keys.Reseal(sealAuthenticator, row.UserID, row.Secret)
			if err != nil {
				return err
			}
			if err := setSecret(ctx, tx, row.UserID, sealed); err != nil {
				return fmt.Errorf("store the secret of an authenticator app: %w", err)
			}
		}
		count = len(rows)
		return nil
	})
	return count, err
}
