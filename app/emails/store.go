package emails

import (
	"context"
	"fmt"
	"strings"

	"portico/app/db"
)

const emailColumns = "d.id, d.kind, d.recipient, d.subject, d.status, d.reason, d.attempts, d.answer, d.created_at, d.next_at, d.finished_at"

// list returns up to limit mails, newest first, that come after a key.
func list(ctx context.Context, conn db.Conn, f Filter, after Key, limit int) ([]Email, error) {
	where := []string{"true"}
	var args []any
	add := func(condition string, values ...any) {
		for _, value := range values {
			args = append(args, value)
			condition = strings.Replace(condition, "?", fmt.Sprintf("$%d", len(args)), 1)
		}
		where = append(where, condition)
	}
	if after.ID != "" {
		add("(d.created_at, d.id) < (?::timestamptz, ?::uuid)", after.CreatedAt, after.ID)
	}
	if f.Status != "" {
		add("d.status = ?", f.Status)
	}
	if f.Kind != "" {
		add("d.kind = ?", f.Kind)
	}
	if f.Text != "" {
		pattern := db.Contains(f.Text)
		add("(d.recipient ilike ? or d.subject ilike ?)", pattern, pattern)
	}
	if !f.From.IsZero() {
		add("d.created_at >= ?", f.From)
	}
	if !f.To.IsZero() {
		add("d.created_at < ?", f.To)
	}
	return db.All[Email](ctx, conn, fmt.Sprintf("select %s from mail_deliveries d where %s order by d.created_at desc, d.id desc limit %d",
		emailColumns, strings.Join(where, " and "), limit), args...)
}

// count is how many mails have a status.
type count struct {
	Status string
	Count  int
}

// counts tells how many mails are under way, and how many ended within 24 hours. No mail is tried for longer than two days, so an
// index on status and creation finds both.
func counts(ctx context.Context, conn db.Conn) ([]count, error) {
	return db.All[count](ctx, conn, `
		select status, count(*)::int from mail_deliveries where status in ('queued', 'sending', 'retrying') group by status
		union all
		select status, count(*)::int from mail_deliveries
		where status in ('sent', 'failed', 'cancelled') and created_at > now() - interval '4 days' and finished_at > now() - interval '24 hours'
		group by status`)
}

func detailsByID(ctx context.Context, conn db.Conn, id string) (Details, error) {
	type row struct {
		Email
		Name string
	}
	found, err := db.One[row](ctx, conn, "select "+emailColumns+", d.name from mail_deliveries d where d.id = $1", id)
	return Details{Email: found.Email, Name: found.Name}, err
}

// attemptsOf lists the attempts of a mail, oldest first.
func attemptsOf(ctx context.Context, conn db.Conn, id string) ([]Attempt, error) {
	return db.All[Attempt](ctx, conn, `
		select attempt, started_at, finished_at, outcome, code, answer from mail_attempts where delivery_id = $1 order by attempt`, id)
}
