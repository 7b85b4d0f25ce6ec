package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"portico/app"
	"portico/app/access"
	"portico/app/audit"
	"portico/app/db"

	"github.com/jackc/pgx/v5"
)

// Silence says when tickets that nobody writes in any more are closed. Nil: never.
type Silence struct {
	WarnDays  *int // after the store's last reply; then the account's people are warned
	CloseDays *int // after the warning
}

// maxSilenceDays bounds both.
const maxSilenceDays = 365

// SilenceForm is Silence as people type it: two numbers of days, or both empty for never.
type SilenceForm struct {
	Warn  string `form:"warn_days"`
	Close string `form:"close_days"`
}

// NewSilenceForm fills a form with what is stored.
func NewSilenceForm(s Silence) SilenceForm { return SilenceForm{days(s.WarnDays), days(s.CloseDays)} }

func days(n *int) string {
	if n == nil {
		return ""
	}
	return strconv.Itoa(*n)
}

func (f SilenceForm) silence() (Silence, error) {
	var invalid app.Invalid
	read := func(field, text string) *int {
		if text = strings.TrimSpace(text); text == "" {
			return nil
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxSilenceDays {
			invalid.Add(field, "store.silence-days", "Max", maxSilenceDays)
			return nil
		}
		return &n
	}
	s := Silence{read("warn_days", f.Warn), read("close_days", f.Close)}
	switch {
	case invalid.Err() != nil:
	case s.WarnDays == nil && s.CloseDays != nil:
		invalid.Add("warn_days", "store.silence-both")
	case s.WarnDays != nil && s.CloseDays == nil:
		invalid.Add("close_days", "store.silence-both")
	}
	return s, invalid.Err()
}

// Silence returns when a department's tickets are closed, or with "" those without a department; app.ErrNotFound for an unknown one.
func (s *Service) Silence(ctx context.Context, v app.Viewer, departmentID string) (Silence, error) {
	if err := access.Check(v, "departments", "view"); err != nil {
		return Silence{}, err
	}
	silence, err := silenceOf(ctx, s.pool, departmentID)
	if err != nil {
		return Silence{}, fmt.Errorf("read when tickets of department %q are closed: %w", departmentID, err)
	}
	return silence, nil
}

// SaveSilence stores when a department's tickets are closed, or with "" those without a department. Returns *app.Invalid on
// "warn_days" and "close_days", app.ErrNotFound. Whoever was warned already keeps the time they were told.
func (s *Service) SaveSilence(ctx context.Context, v app.Viewer, departmentID string, form SilenceForm) error {
	if err := access.Check(v, "departments", "edit"); err != nil {
		return err
	}
	next, err := form.silence()
	if err != nil {
		return err
	}
	return db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		before, err := silenceOf(ctx, tx, departmentID)
		if err != nil {
			return fmt.Errorf("read when tickets of department %q are closed: %w", departmentID, err)
		}
		changes := audit.Changes{}
		changes.Add("warn_days", days(before.WarnDays), days(next.WarnDays))
		changes.Add("close_days", days(before.CloseDays), days(next.CloseDays))
		if len(changes) == 0 {
			return nil
		}
		if err := setSilence(ctx, tx, departmentID, next); err != nil {
			return fmt.Errorf("save when tickets of department %q are closed: %w", departmentID, err)
		}
		if departmentID == "" {
			return audit.Record(ctx, tx, v, audit.Entry{Action: "store.silence", ObjectType: "store", Details: changes})
		}
		department, err := departmentByID(ctx, tx, departmentID)
		if err != nil {
			return err
		}
		return recordDepartment(ctx, tx, v, "department.silence", department, changes)
	})
}
