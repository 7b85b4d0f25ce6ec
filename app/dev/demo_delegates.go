package dev

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// loadDelegates lets Noor into one ticket and one contract of Stella's, as if that had happened two days before.
func loadDelegates(ctx context.Context, tx pgx.Tx) error {
	const noor = "noor@atelier.example"
	accepted := time.Now().Add(-50 * time.Hour)
	for column, thing := range map[string]string{
		"ticket_id":   "select t.id from tickets t join users o on o.id = t.opener_id where o.email = $2 and t.subject = 'Newsletter lands in spam'",
		"contract_id": "select c.id from contracts c join account_users au on au.account_id = c.account_id join users o on o.id = au.user_id where o.email = $2 and c.status = 'active' order by c.created_at, c.id limit 1",
	} {
		events, key := "ticket_events", "ticket_id"
		if column == "contract_id" {
			events, key = "contract_events", "contract_id"
		}
		tag, err := tx.Exec(ctx, `
			with thing as (`+thing+`), row as (
				insert into delegates (`+column+`, user_id, status, invited_by, invited_by_name, invited_at, accepted_at, used_at, created_at)
				select thing.id, n.id, 'accepted', o.id, o.name, $3::timestamptz - interval '2 hours', $3::timestamptz, $3::timestamptz + interval '1 day', $3::timestamptz - interval '2 hours'
				from thing, users n, users o where n.email = $1 and o.email = $2 returning `+column+` as id),
			told as (
				insert into `+events+` (`+key+`, actor_id, actor_name, kind, at, data)
				select row.id, o.id, o.name, 'delegate-invite', $3::timestamptz - interval '2 hours', jsonb_build_object('Name', n.name) from row, users n, users o where n.email = $1 and o.email = $2
				union all select row.id, n.id, n.name, 'delegate-accept', $3::timestamptz, jsonb_build_object('Name', n.name) from row, users n where n.email = $1)
			select from row`, noor, stella, accepted)
		if err != nil {
			return fmt.Errorf("let %s in: %w", noor, err)
		}
		if tag.RowsAffected() != 1 {
			return fmt.Errorf("let %s in: found %d things for it", noor, tag.RowsAffected())
		}
	}
	return nil
}
