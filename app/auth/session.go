package auth

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"portico/app"
	"portico/app/access"
	"portico/app/audit"
	"portico/app/db"
	"portico/app/keys"

	"github.com/jackc/pgx/v5"
	"github.com/mileusna/useragent"
)

// How long a session lives: idle is since it was last used, whole since it was opened. People of the store have shorter
// ones, since theirs reach everybody's things.
const (
	holderIdle  = 14 * 24 * time.Hour
	holderWhole = 90 * 24 * time.Hour
	staffIdle   = 12 * time.Hour
	staffWhole  = 7 * 24 * time.Hour
	// factorWait is how long the password alone waits for its second factor.
	factorWait = 10 * time.Minute
	// seenEvery is how often a session's last use is written down.
	seenEvery = time.Minute
	// ProofAge is how long a password or second factor counts as given just now.  Source: permission matrix, note m.
	ProofAge = 5 * time.Minute
)

// Visitor is where a sign-in comes from.
type Visitor struct {
	IP         string
	Browser    string
	RequestID  string
	Background bool   // asked by an open page by itself, which is no use of the session
	SessionID  string // of the session that the browser had so far, "" for none; a sign-in ends it
}

// Opened is a fresh session. Secret goes into the cookie and is stored nowhere.
type Opened struct {
	Secret       string
	MaxAge       time.Duration
	SecondFactor bool // the second factor is still to be given
	OfStore      bool
}

// Session is one open session as its owner sees it.
type Session struct {
	ID        string
	IP        string
	Browser   string
	CreatedAt time.Time
	SeenAt    time.Time
	Current   bool `db:"-"`
}

// Stage says how far a request's session has come.
type Stage string

const (
	StageNone   Stage = ""              // no session
	StageFactor Stage = "second_factor" // the password was given, the second factor not yet
	StageOpen   Stage = "open"
)

// Resolve reads who a session's secret belongs to, with role, permissions and departments as they are now. An unknown,
// expired or disabled one is StageNone and no error. At StageFactor the viewer is empty but for SessionID.
func (s *Service) Resolve(ctx context.Context, secret string, from Visitor) (app.Viewer, Stage, error) {
	if len(secret) != 43 {
		return app.Viewer{}, StageNone, nil
	}
	row, err := s.sessionByHash(ctx, keys.LinkHash(secret))
	if errors.Is(err, app.ErrNotFound) {
		return app.Viewer{}, StageNone, nil
	}
	if err != nil {
		return app.Viewer{}, StageNone, fmt.Errorf("read the session: %w", err)
	}
	if row.Stage == string(StageFactor) {
		return app.Viewer{SessionID: row.ID}, StageFactor, nil
	}
	v := row.viewer(from)
	if !from.Background && time.Since(row.SeenAt) > seenEvery {
		idle, whole := lifetime(v.OfStore())
		if err := s.touchSession(ctx, row.ID, idle, whole, from); err != nil {
			return app.Viewer{}, StageNone, fmt.Errorf("note the session's use: %w", err)
		}
	}
	return v, StageOpen, nil
}

// Still reads who an open session belongs to, as things are now, for what stays open longer than a request. It is no use of
// the session. Returns app.ErrSignedOut where the session has ended or its user was disabled.
func (s *Service) Still(ctx context.Context, sessionID string) (app.Viewer, error) {
	row, err := s.sessionByID(ctx, sessionID)
	if errors.Is(err, app.ErrNotFound) || err == nil && row.Stage != string(StageOpen) {
		return app.Viewer{}, app.ErrSignedOut
	}
	if err != nil {
		return app.Viewer{}, fmt.Errorf("read the session: %w", err)
	}
	return row.viewer(Visitor{}), nil
}

func lifetime(ofStore bool) (idle, whole time.Duration) {
	if ofStore {
		return staffIdle, staffWhole
	}
	return holderIdle, holderWhole
}

// open makes a session for a user whose proofs were checked, in the given transaction.
func (s *Service) open(ctx context.Context, tx pgx.Tx, user credentials, from Visitor, secondFactor, pending bool) (Opened, error) {
	if from.SessionID != "" {
		if err := endReplaced(ctx, tx, from.SessionID); err != nil {
			return Opened{}, fmt.Errorf("end the browser's former session: %w", err)
		}
	}
	secret := base64.RawURLEncoding.EncodeToString(keys.Random(32))
	idle, whole := lifetime(user.Role != "")
	opened := Opened{Secret: secret, MaxAge: whole, SecondFactor: pending, OfStore: user.Role != ""}
	stage := StageOpen
	if pending {
		stage, idle, opened.MaxAge = StageFactor, factorWait, factorWait
	}
	id, err := insertSession(ctx, tx, keys.LinkHash(secret), user.ID, string(stage), secondFactor, from, idle)
	if err != nil {
		return Opened{}, fmt.Errorf("open a session: %w", err)
	}
	if pending {
		return opened, nil
	}
	v := user.viewer(from)
	return opened, audit.Record(ctx, tx, v, audit.Entry{
		Action: "session.open", ObjectType: "session", ObjectID: id, ObjectName: from.Browser,
		Details: map[string]any{"second_factor": secondFactor, "replaces": from.SessionID},
	})
}

// OpenFor signs a user in without any proof. Only the dev run's one-click sign-in calls it.
func (s *Service) OpenFor(ctx context.Context, email string, from Visitor) (Opened, error) {
	var opened Opened
	err := db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		user, err := credentialsByEmail(ctx, tx, email)
		if err != nil {
			return err
		}
		opened, err = s.open(ctx, tx, user, from, false, false)
		return err
	})
	return opened, err
}

// SignOut ends the viewer's own session.
func (s *Service) SignOut(ctx context.Context, v app.Viewer) error {
	if err := access.Check(v, "security", "edit"); err != nil {
		return err
	}
	return db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := deleteSession(ctx, tx, v.UserID, v.SessionID); err != nil {
			return fmt.Errorf("sign out: %w", err)
		}
		return audit.Record(ctx, tx, v, audit.Entry{Action: "session.end", ObjectType: "session", ObjectID: v.SessionID})
	})
}

// EndSession signs one of the viewer's sessions out, wherever it is. Returns app.ErrNotFound for anybody else's.
func (s *Service) EndSession(ctx context.Context, v app.Viewer, id string) error {
	if err := access.Check(v, "security", "edit"); err != nil {
		return err
	}
	return db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		browser, err := deleteSession(ctx, tx, v.UserID, id)
		if err != nil {
			return fmt.Errorf("end session: %w", err)
		}
		return audit.Record(ctx, tx, v, audit.Entry{Action: "session.end", ObjectType: "session", ObjectID: id, ObjectName: browser})
	})
}

// EndOtherSessions signs all of the viewer's sessions out but this one.
func (s *Service) EndOtherSessions(ctx context.Context, v app.Viewer) error {
	if err := access.Check(v, "security", "edit"); err != nil {
		return err
	}
	return db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		n, err := deleteOtherSessions(ctx, tx, v.UserID, v.SessionID)
		if err != nil {
			return fmt.Errorf("end the other sessions: %w", err)
		}
		return audit.Record(ctx, tx, v, audit.Entry{Action: "session.end-others", ObjectType: "user", ObjectID: v.UserID, Details: map[string]any{"sessions": n}})
	})
}

// BrowserName shortens a User-Agent header to what a person recognises, e.g. "Firefox on Linux". Never longer than 60
// characters.
func BrowserName(header string) string {
	ua := useragent.Parse(strings.ToValidUTF8(header[:min(len(header), 400)], "")) // the database refuses other text
	name := ua.Name
	if name == "" {
		name = "Unknown browser"
	}
	if ua.OS != "" {
		name += " on " + ua.OS
	}
	if runes := []rune(name); len(runes) > 60 {
		name = string(runes[:60])
	}
	return name
}
