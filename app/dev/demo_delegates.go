package dev

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// loadDelegates lets Noor into one ticket and one contract of Stella's, as if that had happened two days before.
func loadDelegates(ctx context.Context, tx pgx.Tx) error {
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

// loadAsked adds a run of Noor's that has waited for Stella's approval for three hours. Stella has not wanted to be asked since: what
// Noor runs now goes at once, as everybody expects of a delegate.
func loadAsked(ctx context.Context, tx pgx.Tx) error {
	at := time.Now().Add(-3 * time.Hour)
	random := rand.New(rand.NewPCG(3, 3))
	tag, err := tx.Exec(ctx, `
		insert into provision_runs (id, product_id, product_name, account_id, account_name, contract_id, category, action, driver, configuration_id, configuration_name,
			actor_id, actor_name, actor_relation, delegate_id, operation_key, params, domain, username, status, max_attempts, created_at)
		select $1, p.id, p.name, a.id, a.name, p.contract_id, p.category, 'createBackup', coalesce(g.driver, 'sandbox'), g.id, coalesce(g.name, ''),
			n.id, n.name, 'delegate', d.id, $2, jsonb_build_object('username', p.fields ->> 'username'), p.fields ->> 'domain', p.fields ->> 'username', 'approval', $3, $4
		from delegates d join users n on n.id = d.user_id join contract_products p on p.contract_id = d.contract_id join accounts a on a.id = p.account_id
			join products b on b.id = p.product_id left join provision_configurations g on g.id = coalesce(p.configuration_id, b.configuration_id)
		where n.email = $5 and p.category = 'web-hosting'`, demoID(random, at), uuid.New(), demoMaxAttempts, at, noor)
	if err != nil {
		return fmt.Errorf("let %s ask for approval: %w", noor, err)
	}
	if tag.RowsAffected() != 1 {
		return fmt.Errorf("let %s ask for approval: found %d products for it", noor, tag.RowsAffected())
	}
	return nil
}
