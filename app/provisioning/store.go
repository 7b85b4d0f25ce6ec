package provisioning

import (
	"context"
	"encoding/json"
	"time"

	"portico/app"
	"portico/app/contracts"
	"portico/app/db"

	"github.com/jackc/pgx/v5"
)

const productColumns = `p.id, p.account_id, (select name from accounts where id = p.account_id) as account_name, p.contract_id, p.name, p.category, p.status, p.identifier,
	coalesce(c.status, '') as contract_status, p.fields,
	coalesce(p.configuration_id, (select configuration_id from products where id = p.product_id)) as configuration_id,
	coalesce(s.name, '') as configuration_name, coalesce(s.driver, '') as driver, coalesce(s.settings, '{}') as settings, s.paused_at, coalesce(s.paused_reason, '') as paused_reason,
	coalesce((select array_agg(action order by action) from provision_switches where product_id = p.id and kind = 'optional'), '{}') as optional,
	coalesce((select array_agg(action order by action) from provision_switches where product_id = p.id and kind = 'delegates'), '{}') as for_delegates`

const productFrom = ` from contract_products p left join contracts c on c.id = p.contract_id
	left join provision_configurations s on s.id = coalesce(p.configuration_id, (select configuration_id from products where id = p.product_id)) and s.archived_at is null`

// accessColumns are a Product's access, and how the owner limited a delegate's.
const accessColumns = `access.relation, access.permissions, access.delegate_id, access.accepted_at,
	coalesce((select d.ask_first from delegates d where d.id = access.delegate_id), false) as ask_first,
	coalesce((select d.asked_at is not null from delegates d where d.id = access.delegate_id), false) as asked`

// productByID returns a bought product as a user sees it, or app.ErrNotFound to a stranger.
func productByID(ctx context.Context, conn db.Conn, userID, id string) (Product, error) {
	return db.One[Product](ctx, conn, `
		select `+productColumns+`, `+accessColumns+productFrom+` join users u on u.id = $1 cross join `+contracts.ProductAccessSQL+` where p.id = $2`, userID, id)
}

// productsByID is productByID for several; those that the user does not see are left out.
func productsByID(ctx context.Context, conn db.Conn, userID string, ids []string) ([]Product, error) {
	return db.All[Product](ctx, conn, `
		select `+productColumns+`, `+accessColumns+productFrom+` join users u on u.id = $1 cross join `+contracts.ProductAccessSQL+` where p.id = any($2::uuid[])`, userID, ids)
}

// anyProduct returns a bought product as the portal itself sees it.
func anyProduct(ctx context.Context, conn db.Conn, id string) (Product, error) {
	return db.One[Product](ctx, conn, "select "+productColumns+", 'system' as relation, '{}'::text[] as permissions, null::uuid as delegate_id, null::timestamptz as accepted_at, false as ask_first, false as asked"+productFrom+" where p.id = $1", id)
}

// lockProduct makes the runs of one product take turns: whoever adds or ends one holds it.
func lockProduct(ctx context.Context, tx pgx.Tx, id string) error {
	tag, err := tx.Exec(ctx, "select from contract_products where id = $1 for no key update", id)
	if err == nil && tag.RowsAffected() == 0 {
		err = app.ErrNotFound
	}
	return err
}

// factsOf are what parameters are filled with beside the provision fields.
func factsOf(ctx context.Context, conn db.Conn, productID string) (map[string]any, error) {
	type row struct {
		Account, Customer, Email, Language, Currency string
		Cycle                                        int
		Price                                        float64
	}
	r, err := db.One[row](ctx, conn, `
		select p.account_id::text as account, a.name as customer, coalesce(u.email, '') as email, coalesce(u.language, '') as language,
			(select currency from store) as currency, coalesce(n.cycle_months, 0) as cycle, (p.price_minor / 100.0)::float8 as price
		from contract_products p join accounts a on a.id = p.account_id join plans n on n.id = p.plan_id
		left join account_users o on o.account_id = a.id and o.relation = 'owner' left join users u on u.id = o.user_id
		where p.id = $1`, productID)
	if err != nil {
		return nil, err
	}
	facts := map[string]any{
		FactAccount: r.Account, FactCustomer: r.Customer, FactEmail: r.Email, FactProduct: productID, FactPrice: r.Price, FactCurrency: r.Currency,
		FactLanguage: r.Language,
	}
	if r.Cycle > 0 { // what was bought once has none
		facts[FactCycle] = float64(r.Cycle)
	}
	return facts, nil
}

const runColumns = `r.id, r.product_id, r.product_name, r.account_id, r.account_name, r.contract_id, r.category, r.action, r.driver, r.configuration_id, r.configuration_name,
	r.actor_id, r.actor_name, r.actor_relation, r.actor_ip, r.delegate_id, r.operation_key, r.cause, r.origin_id, r.params, r.status, r.unknown_outcome, r.settled, r.settled_by,
	r.error_family, r.message, r.attempts, r.max_attempts, r.turn, r.turn_at, r.deadline_at, r.in_doubt, r.next_at, r.waiting, r.waiting_since, r.reference, r.changes, r.result,
	r.ticket_id, r.decided_by_name, r.decided_at, r.created_at, r.started_at, r.finished_at, r.duration_ms`

func runByID(ctx context.Context, conn db.Conn, id string) (Run, error) {
	return db.One[Run](ctx, conn, "select "+runColumns+" from provision_runs r where r.id = $1", id)
}

func lockRun(ctx context.Context, tx pgx.Tx, id string) (Run, error) {
	return db.One[Run](ctx, tx, "select "+runColumns+" from provision_runs r where r.id = $1 for update", id)
}

// runsOf lists a product's runs, newest first, after a key. Of a delegate since is the acceptance: earlier runs are not shown.
func runsOf(ctx context.Context, conn db.Conn, productID string, after Key, since *time.Time, limit int) ([]Run, error) {
	return db.All[Run](ctx, conn, `
		select `+runColumns+` from provision_runs r where r.product_id = $1 and ($2 = '' or r.id < nullif($2, '')::uuid) and ($3::timestamptz is null or r.created_at >= $3)
		order by r.id desc limit $4`, productID, string(after), since, limit)
}

// newestRuns returns the newest run of each action of some products.
func newestRuns(ctx context.Context, conn db.Conn, productIDs []string, actions []string) ([]Run, error) {
	return db.All[Run](ctx, conn, `
		select n.* from unnest($1::uuid[]) as p (id) cross join unnest($2::text[]) as a (action) cross join lateral (
			select `+runColumns+` from provision_runs r where r.product_id = p.id and r.action = a.action order by r.id desc limit 1) n`, productIDs, actions)
}

// runsOfTicket lists the runs that a ticket is about, oldest first.
func runsOfTicket(ctx context.Context, conn db.Conn, ticketID string, limit int) ([]Run, error) {
	return db.All[Run](ctx, conn, "select * from (select "+runColumns+" from provision_runs r where r.ticket_id = $1 order by r.id desc limit $2) n order by id", ticketID, limit)
}

// setTicket makes a ticket be about a run, and tells whether it is the run's first.
func setTicket(ctx context.Context, tx pgx.Tx, id, ticketID string) (bool, error) {
	tag, err := tx.Exec(ctx, "update provision_runs set ticket_id = $2 where id = $1 and ticket_id is null", id, ticketID)
	return tag.RowsAffected() == 1, err
}

// failure is when an action failed last of what one ticket is about.
type failure struct {
	TicketID string
	At       time.Time
}

// failuresWithTickets lists the tickets about failures of the same action of the same product as a run, the newest failure first.
func failuresWithTickets(ctx context.Context, conn db.Conn, r Run) ([]failure, error) {
	return db.All[failure](ctx, conn, `
		select ticket_id, max(finished_at) as at from provision_runs
		where product_id = $1 and action = $2 and ticket_id is not null and id <> $3 and status = 'failed' group by ticket_id order by at desc limit 20`, r.ProductID, r.Action, r.ID)
}

// attemptsOf lists what happened in some runs, oldest first.
func attemptsOf(ctx context.Context, conn db.Conn, runIDs []string) ([]Attempt, error) {
	return db.All[Attempt](ctx, conn, `
		select run_id, attempt, started_at, finished_at, outcome, message, detail, next_at from provision_attempts where run_id = any($1::uuid[]) order by run_id, attempt`, runIDs)
}

func insertRun(ctx context.Context, tx pgx.Tx, r Run, domain, username string) error {
	_, err := tx.Exec(ctx, `
		insert into provision_runs (id, product_id, product_name, account_id, account_name, contract_id, category, action, driver, configuration_id, configuration_name,
			actor_id, actor_name, actor_relation, actor_ip, delegate_id, operation_key, cause, origin_id, params, max_attempts, in_doubt, ticket_id, status, domain, username)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26)`,
		r.ID, r.ProductID, r.ProductName, r.AccountID, r.AccountName, r.ContractID, r.Category, r.Action, r.Driver, r.ConfigurationID, r.ConfigurationName,
		r.ActorID, r.ActorName, r.ActorRelation, r.ActorIP, r.DelegateID, r.OperationKey, r.Cause, r.OriginID, r.Params, r.MaxAttempts, r.InDoubt, r.TicketID, r.Status, domain, username)
	return err
}

// intent is one form, rendered once.
type intent struct {
	ActorID    string
	ProductID  string
	Action     string
	ParamsHash []byte
	RunID      string
}

// takeIntent stores the intent of a form; if the form was posted before it returns the one of then instead.
func takeIntent(ctx context.Context, tx pgx.Tx, token string, i intent) (before *intent, err error) {
	tag, err := tx.Exec(ctx, `
		insert into provision_intents (form_token, actor_id, product_id, action, params_hash, run_id) values ($1, $2, $3, $4, $5, $6) on conflict do nothing`,
		token, i.ActorID, i.ProductID, i.Action, i.ParamsHash, i.RunID)
	if err != nil || tag.RowsAffected() == 1 {
		return nil, err
	}
	was, err := db.One[intent](ctx, tx, "select actor_id, product_id, action, params_hash, run_id from provision_intents where form_token = $1", token)
	return &was, err
}

func putSecret(ctx context.Context, tx pgx.Tx, runID, kind string, userID *string, sealed []byte, life time.Duration) error {
	_, err := tx.Exec(ctx, `
		insert into provision_secrets (run_id, kind, user_id, sealed, expires_at) values ($1, $2, $3, $4, case when $5 > 0 then clock_timestamp() + $5 * interval '1 microsecond' end)
		on conflict (run_id, kind) do update set user_id = excluded.user_id, sealed = excluded.sealed, expires_at = excluded.expires_at`,
		runID, kind, userID, sealed, life.Microseconds())
	return err
}

// secretParams returns a run's sealed parameters, nil if it has none.
func secretParams(ctx context.Context, conn db.Conn, runID string) ([]byte, error) {
	rows, err := conn.Query(ctx, "select sealed from provision_secrets where run_id = $1 and kind = 'params'", runID)
	if err != nil {
		return nil, err
	}
	sealed, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil || len(sealed) == 0 {
		return nil, err
	}
	return sealed[0], nil
}

// takeResult takes the sealed result of a run out, for the one who asked: app.ErrNotFound for anybody else, afterwards, and too late.
func takeResult(ctx context.Context, tx pgx.Tx, runID, userID string) ([]byte, error) {
	type row struct{ Sealed []byte }
	r, err := db.One[row](ctx, tx, `
		delete from provision_secrets where run_id = $1 and kind = 'result' and user_id = $2 and expires_at > clock_timestamp() returning sealed`, runID, userID)
	return r.Sealed, err
}

// resultsFor lists which of some runs have a result that a user may still take, and until when.
func resultsFor(ctx context.Context, conn db.Conn, userID string, runIDs []string) (map[string]time.Time, error) {
	rows, err := conn.Query(ctx, `
		select run_id::text, expires_at from provision_secrets where run_id = any($1::uuid[]) and kind = 'result' and user_id = $2 and expires_at > clock_timestamp()`, runIDs, userID)
	if err != nil {
		return nil, err
	}
	open := map[string]time.Time{}
	var id string
	var until time.Time
	_, err = pgx.ForEachRow(rows, []any{&id, &until}, func() error { open[id] = until; return nil })
	return open, err
}

// firstInLine tells whether it is an open run's turn: what was begun goes on before what was not, and older runs go before younger ones.
// One that was approved late is older than what was begun meanwhile.
func firstInLine(ctx context.Context, conn db.Conn, r Run) (bool, error) {
	var first bool
	err := conn.QueryRow(ctx, `
		select not exists (select from provision_runs where product_id = $1 and status in ('queued', 'running', 'retrying')
			and (started_at is null, id) < ($3::bool, $2::uuid))`, r.ProductID, r.ID, r.StartedAt == nil).Scan(&first)
	return first, err
}

// nextInLine returns the open run of a product whose turn it is, "" if there is none, and whether the system asked for it.
func nextInLine(ctx context.Context, conn db.Conn, productID string) (id string, bySystem bool, err error) {
	rows, err := conn.Query(ctx, `
		select id::text, actor_id is null from provision_runs where product_id = $1 and status in ('queued', 'running', 'retrying') order by started_at is null, id limit 1`, productID)
	if err != nil {
		return "", false, err
	}
	_, err = pgx.ForEachRow(rows, []any{&id, &bySystem}, func() error { return nil })
	return id, bySystem, err
}

// takeSlot counts one more call of a configuration, if its rate and its number of calls at once allow that. Else it says how long to
// wait.
func takeSlot(ctx context.Context, tx pgx.Tx, configurationID string, perSecond, atOnce int) (wait time.Duration, err error) {
	if _, err := tx.Exec(ctx, "insert into provision_rates (configuration_id, next_at) values ($1, now()) on conflict do nothing", configurationID); err != nil {
		return 0, err
	}
	var ahead float64
	if err := tx.QueryRow(ctx, `
		select extract(epoch from greatest(next_at, clock_timestamp()) - clock_timestamp())::float8 from provision_rates where configuration_id = $1 for update`, configurationID).Scan(&ahead); err != nil {
		return 0, err
	}
	var paused bool
	if err := tx.QueryRow(ctx, "select paused_at is not null from provision_configurations where id = $1", configurationID).Scan(&paused); err != nil {
		return 0, err
	}
	if paused { // since the caller looked
		return 100 * time.Millisecond, nil
	}
	if ahead >= 1 { // a second's worth of calls may go at once
		return time.Duration(ahead * float64(time.Second)), nil
	}
	var running int
	if err := tx.QueryRow(ctx, `
		select count(*) from provision_runs where configuration_id = $1 and status = 'running' and not waiting and deadline_at > clock_timestamp()`, configurationID).Scan(&running); err != nil {
		return 0, err
	}
	if running >= atOnce {
		return time.Second, nil
	}
	_, err = tx.Exec(ctx, `
		update provision_rates set next_at = greatest(next_at, clock_timestamp()) + interval '1 second' / $2::int where configuration_id = $1`, configurationID, perSecond)
	return 0, err
}

// startTurn notes that a worker takes a run up.
func startTurn(ctx context.Context, tx pgx.Tx, id string, cost int, inDoubt bool, limit time.Duration) (turn int, at time.Time, err error) {
	err = tx.QueryRow(ctx, `
		update provision_runs set status = 'running', waiting = false, turn = turn + 1, turn_at = clock_timestamp(), attempts = attempts + $2, in_doubt = $3,
			deadline_at = clock_timestamp() + $4 * interval '1 microsecond', started_at = coalesce(started_at, clock_timestamp()), next_at = null
		where id = $1 returning turn, turn_at`, id, cost, inDoubt, limit.Microseconds()).Scan(&turn, &at)
	return turn, at, err
}

// hold notes why an open run waits and until when, without having been tried.
func hold(ctx context.Context, tx pgx.Tx, id, message string, wait time.Duration) error {
	_, err := tx.Exec(ctx, `
		update provision_runs set message = $2, next_at = clock_timestamp() + $3 * interval '1 microsecond' where id = $1`, id, message, wait.Microseconds())
	return err
}

func insertAttempt(ctx context.Context, tx pgx.Tx, a Attempt, debug []byte) error {
	batch := &pgx.Batch{}
	batch.Queue(`insert into provision_attempts (run_id, attempt, started_at, outcome, message, detail, next_at) values ($1, $2, $3, $4, $5, $6, $7) on conflict do nothing`,
		a.RunID, a.Attempt, a.StartedAt, a.Outcome, a.Message, a.Detail, a.NextAt)
	if debug != nil {
		batch.Queue("insert into provision_debug (run_id, attempt, data) values ($1, $2, $3) on conflict do nothing", a.RunID, a.Attempt, debug)
	}
	return tx.SendBatch(ctx, batch).Close()
}

// ending is how a run's turn leaves its row.
type ending struct {
	Status    string
	Family    string
	Message   string
	Unknown   bool
	InDoubt   bool
	Refund    int // attempts that did not count after all
	NextAt    *time.Time
	Waiting   bool
	Reference string
	Changes   []FieldChange
	Result    map[string]any
}

// endTurn writes what came of a turn. Nothing is written to a run that is final.
func endTurn(ctx context.Context, tx pgx.Tx, id string, e ending) error {
	if e.Changes == nil {
		e.Changes = []FieldChange{}
	}
	if e.Result == nil {
		e.Result = map[string]any{}
	}
	final := e.Status == Succeeded || e.Status == Failed || e.Status == Cancelled
	_, err := tx.Exec(ctx, `
		update provision_runs set status = $2, error_family = $3, message = $4, unknown_outcome = $5, in_doubt = $6, attempts = greatest(attempts - $7, 0), next_at = $8,
			waiting = $9, waiting_since = case when $9 then coalesce(waiting_since, clock_timestamp()) end, reference = $10, changes = $11, result = $12,
			duration_ms = coalesce(duration_ms, 0) + coalesce(extract(epoch from clock_timestamp() - turn_at) * 1000, 0)::int, deadline_at = null, turn_at = null,
			finished_at = case when $13 then clock_timestamp() end
		where id = $1 and finished_at is null`,
		id, e.Status, e.Family, e.Message, e.Unknown, e.InDoubt, e.Refund, e.NextAt, e.Waiting, e.Reference, e.Changes, e.Result, final)
	if err != nil || !final {
		return err
	}
	_, err = tx.Exec(ctx, "delete from provision_secrets where run_id = $1 and kind = 'params'", id)
	return err
}

func setFields(ctx context.Context, tx pgx.Tx, productID string, fields map[string]any) error {
	_, err := tx.Exec(ctx, "update contract_products set fields = $2, updated_at = now() where id = $1", productID, fields)
	return err
}

func fieldsOf(ctx context.Context, conn db.Conn, productID string) (fields map[string]any, err error) {
	err = conn.QueryRow(ctx, "select fields from contract_products where id = $1", productID).Scan(&fields)
	return fields, err
}

func wordsFor(ctx context.Context, conn db.Conn, family string) (string, error) {
	rows, err := conn.Query(ctx, "select text from provision_words where family = $1", family)
	if err != nil {
		return "", err
	}
	texts, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(texts) == 0 {
		return "", err
	}
	return texts[0], nil
}

// adminsOf lists who is told of failures.
type person struct{ ID, Name, Email, Language, TimeZone string }

func admins(ctx context.Context, conn db.Conn) ([]person, error) {
	return db.All[person](ctx, conn, "select id, name, email, language, time_zone from users where role = 'admin' and disabled_at is null and email_confirmed_at is not null order by id")
}

func ownerOf(ctx context.Context, conn db.Conn, accountID string) ([]person, error) {
	return db.All[person](ctx, conn, `
		select u.id, u.name, u.email, u.language, u.time_zone from account_users au join users u on u.id = au.user_id
		where au.account_id = $1 and au.relation = 'owner' and u.disabled_at is null`, accountID)
}

// personByID returns somebody who can be written to, as a list of at most one.
func personByID(ctx context.Context, conn db.Conn, id string) ([]person, error) {
	return db.All[person](ctx, conn, "select id, name, email, language, time_zone from users where id = $1 and disabled_at is null", id)
}

// setDecided notes who approved a run, which is queued then, or declined it.
func setDecided(ctx context.Context, tx pgx.Tx, id, userID, name string, approve bool) error {
	_, err := tx.Exec(ctx, `
		update provision_runs set decided_by = $2, decided_by_name = $3, decided_at = clock_timestamp(), status = case when $4 then 'queued' else status end where id = $1`,
		id, userID, name, approve)
	return err
}

// staleApproval is a run that will not be approved any more.
type staleApproval struct {
	ID        string
	ProductID string
	Late      bool // for its age; else its delegate is out
}

// staleApprovals lists runs that have waited for too long, or whose delegate could not have them any more.
func staleApprovals(ctx context.Context, conn db.Conn, age time.Duration, limit int) ([]staleApproval, error) {
	return db.All[staleApproval](ctx, conn, `
		select id, product_id, late from (
			select r.id, r.product_id, r.created_at < clock_timestamp() - $1 * interval '1 microsecond' as late,
				exists (select from delegates d join contracts c on c.id = d.contract_id join users u on u.id = d.user_id
					where d.id = r.delegate_id and d.may_act and `+contracts.RunningGrantSQL+` and c.status in ('active', 'suspended') and u.disabled_at is null) as granted
			from provision_runs r where r.status = 'approval') w
		where late or not granted order by id limit $2`, age.Microseconds(), limit)
}

// lost lists open runs that nobody will work any more: their job is gone, or their worker is. A worker takes a run up as soon as it has
// fetched the job: one that has not within slack is gone, and its job is left running until River finds out, which takes minutes. A run
// that is tried again later is not looked at before: right after an attempt its job still counts as running.
func lost(ctx context.Context, conn db.Conn, kind string, slack time.Duration, limit int) (ids []string, err error) {
	rows, err := conn.Query(ctx, `
		select r.id::text from provision_runs r
		where r.status in ('queued', 'running', 'retrying')
		and not exists (select from provision_runs o where o.product_id = r.product_id and o.status in ('queued', 'running', 'retrying')
			and (o.started_at is null, o.id) < (r.started_at is null, r.id))
		and not exists (select from river_job j where j.kind = $1 and j.args ->> 'run_id' = r.id::text
			and j.state in ('available', 'pending', 'retryable', 'scheduled'))
		and (r.deadline_at < clock_timestamp()
			or r.deadline_at is null and (r.next_at is null or r.next_at < clock_timestamp() - $3 * interval '1 microsecond')
				and not exists (select from river_job j where j.kind = $1 and j.args ->> 'run_id' = r.id::text and j.state = 'running'
					and j.attempted_at > clock_timestamp() - $3 * interval '1 microsecond'))
		order by r.id limit $2`, kind, limit, slack.Microseconds())
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

func dropExpired(ctx context.Context, conn db.Conn) error {
	_, err := conn.Exec(ctx, "delete from provision_secrets where expires_at <= clock_timestamp()")
	return err
}

func rateOf(ctx context.Context, conn db.Conn, configurationID string) (perSecond int, err error) {
	err = conn.QueryRow(ctx, "select rate_per_second from provision_configurations where id = $1", configurationID).Scan(&perSecond)
	return perSecond, err
}

// waitingTurns counts the looks at a provider that goes on working.
func waitingTurns(ctx context.Context, conn db.Conn, runID string) (n int, err error) {
	err = conn.QueryRow(ctx, "select count(*) from provision_attempts where run_id = $1 and outcome = 'waiting'", runID).Scan(&n)
	return n, err
}

// setStatus notes what a successful function means for its product.
func setStatus(ctx context.Context, tx pgx.Tx, productID, action string) error {
	after := map[string]string{"create": "active", "register": "active", "unsuspend": "active", "suspend": "suspended", "terminate": "ended"}[action]
	if after == "" {
		return nil
	}
	_, err := tx.Exec(ctx, `
		update contract_products set status = $2, registered_on = case when $2 = 'active' then coalesce(registered_on, current_date) else registered_on end, updated_at = now()
		where id = $1 and status not in ('cancelled', 'ended', $2)
		and case $3 when 'suspend' then status = 'active' when 'unsuspend' then status = 'suspended' else true end`, productID, after, action)
	return err
}

func setSettled(ctx context.Context, tx pgx.Tx, id, settled, by string, changes []FieldChange) error {
	if changes == nil {
		changes = []FieldChange{}
	}
	_, err := tx.Exec(ctx, "update provision_runs set settled = $2, settled_by = $3, changes = $4 where id = $1", id, settled, by, changes)
	return err
}

const configurationColumns = `c.id, c.name, c.driver, c.category, c.settings, c.rate_per_second, c.paused_at, c.paused_reason, c.updated_at,
	(select count(*) from (select from contract_products p join products s on s.id = p.product_id
		where coalesce(p.configuration_id, s.configuration_id) = c.id and p.status not in ('cancelled', 'ended') limit 1000) x)::int as products`

func configurations(ctx context.Context, conn db.Conn) ([]Configuration, error) {
	return db.All[Configuration](ctx, conn, "select "+configurationColumns+" from provision_configurations c where c.archived_at is null order by lower(c.name), c.id limit 500")
}

func configurationByID(ctx context.Context, conn db.Conn, id string) (Configuration, error) {
	return db.One[Configuration](ctx, conn, "select "+configurationColumns+" from provision_configurations c where c.id = $1 and c.archived_at is null", id)
}

func lockConfiguration(ctx context.Context, tx pgx.Tx, id string) (Configuration, error) {
	if _, err := tx.Exec(ctx, "select from provision_configurations where id = $1 for no key update", id); err != nil {
		return Configuration{}, err
	}
	return configurationByID(ctx, tx, id)
}

func credentialsOf(ctx context.Context, conn db.Conn, id string) (credentials, error) {
	return db.One[credentials](ctx, conn, "select rate_per_second, driver, category, settings, secrets from provision_configurations where id = $1 and archived_at is null", id)
}

func usersOf(ctx context.Context, conn db.Conn, configurationID string) ([]UserOf, error) {
	return db.All[UserOf](ctx, conn, `
		select p.id, p.contract_id, p.name, p.account_id, a.name as account_name, p.category, p.status
		from contract_products p join products s on s.id = p.product_id join accounts a on a.id = p.account_id
		where coalesce(p.configuration_id, s.configuration_id) = $1 and p.status not in ('cancelled', 'ended') order by lower(a.name), lower(p.name), p.id limit 100`, configurationID)
}

func newConfiguration(ctx context.Context, tx pgx.Tx, set Setup) (id string, err error) {
	err = tx.QueryRow(ctx, "insert into provision_configurations (name, driver, category) values ($1, $2, $3) returning id::text", set.Name, set.Driver, set.Category).Scan(&id)
	return id, err
}

func updateConfiguration(ctx context.Context, tx pgx.Tx, id string, set Setup, settings map[string]any, sealed []byte) error {
	_, err := tx.Exec(ctx, "update provision_configurations set name = $2, rate_per_second = $3, settings = $4, secrets = $5, updated_at = now() where id = $1",
		id, set.Name, set.Rate, settings, sealed)
	return err
}

func setPaused(ctx context.Context, tx pgx.Tx, id, reason string) (bool, error) {
	tag, err := tx.Exec(ctx, "update provision_configurations set paused_at = clock_timestamp(), paused_reason = $2 where id = $1 and paused_at is null", id, reason)
	return err == nil && tag.RowsAffected() == 1, err
}

// resume lets a configuration be called again, and returns the runs that wait for it and are first of their product.
func resume(ctx context.Context, tx pgx.Tx, id string) (runIDs []string, err error) {
	if _, err := tx.Exec(ctx, "update provision_configurations set paused_at = null, paused_reason = '' where id = $1", id); err != nil {
		return nil, err
	}
	if _, err := tx.Exec(ctx, "update provision_runs set next_at = clock_timestamp() where configuration_id = $1 and status = 'running' and waiting", id); err != nil {
		return nil, err
	}
	rows, err := tx.Query(ctx, `
		select distinct on (product_id) id::text from provision_runs where configuration_id = $1 and status in ('queued', 'running', 'retrying') order by product_id, started_at is null, id`, id)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// rememberCallback says whether a message of a configuration's provider is here for the first time, and forgets those of days ago.
func rememberCallback(ctx context.Context, tx pgx.Tx, configurationID, messageID string) (fresh bool, err error) {
	if _, err := tx.Exec(ctx, "delete from provision_callbacks where received_at < now() - interval '1 day'"); err != nil {
		return false, err
	}
	tag, err := tx.Exec(ctx, "insert into provision_callbacks (configuration_id, message_id) values ($1, $2) on conflict do nothing", configurationID, messageID)
	return tag.RowsAffected() == 1, err
}

// wake lets a run that waits for its provider look at once.
func wake(ctx context.Context, tx pgx.Tx, configurationID, operationKey string) (runID string, bySystem bool, err error) {
	err = tx.QueryRow(ctx, `
		update provision_runs set next_at = clock_timestamp() where operation_key = $2 and configuration_id = $1 and status = 'running' and waiting
		returning id::text, actor_id is null`, configurationID, operationKey).Scan(&runID, &bySystem)
	return runID, bySystem, err
}

func archiveConfiguration(ctx context.Context, tx pgx.Tx, id string) error {
	_, err := tx.Exec(ctx, "update provision_configurations set archived_at = now(), secrets = null where id = $1", id)
	return err
}

func setConfiguration(ctx context.Context, tx pgx.Tx, productID, configurationID string) error {
	_, err := tx.Exec(ctx, "update contract_products set configuration_id = nullif($2, '')::uuid, updated_at = now() where id = $1", productID, configurationID)
	return err
}

func setSwitch(ctx context.Context, tx pgx.Tx, productID, action, kind string, on bool) error {
	sql := "delete from provision_switches where product_id = $1 and action = $2 and kind = $3"
	if on {
		sql = "insert into provision_switches (product_id, action, kind) values ($1, $2, $3) on conflict do nothing"
	}
	_, err := tx.Exec(ctx, sql, productID, action, kind)
	return err
}

func fieldHistory(ctx context.Context, conn db.Conn, productID string) ([]FieldHistory, error) {
	return db.All[FieldHistory](ctx, conn, `
		select at, actor_name, details from audit_entries where object_type = 'product' and action = 'provision.fields' and object_id = $1 order by at desc, id desc limit 50`, productID)
}

func allWords(ctx context.Context, conn db.Conn) ([]Words, error) {
	return db.All[Words](ctx, conn, "select family, text from provision_words order by family")
}

func setWords(ctx context.Context, tx pgx.Tx, family, text string) error {
	sql := "delete from provision_words where family = $1 and $2::text = ''"
	if text != "" {
		sql = "insert into provision_words (family, text) values ($1, $2) on conflict (family) do update set text = excluded.text, updated_at = now()"
	}
	_, err := tx.Exec(ctx, sql, family, text)
	return err
}

// sealedResult is takeResult that leaves it there.
func sealedResult(ctx context.Context, conn db.Conn, runID, userID string) ([]byte, error) {
	type row struct{ Sealed []byte }
	r, err := db.One[row](ctx, conn, "select sealed from provision_secrets where run_id = $1 and kind = 'result' and user_id = $2 and expires_at > clock_timestamp()", runID, userID)
	return r.Sealed, err
}

type debugRow struct {
	RunID   string
	Attempt int
	Data    json.RawMessage
}

// debugData are the exchanges of some runs, oldest first.
func debugData(ctx context.Context, conn db.Conn, runIDs []string) ([]debugRow, error) {
	return db.All[debugRow](ctx, conn, "select run_id, attempt, data from provision_debug where run_id = any($1::uuid[]) order by run_id, attempt", runIDs)
}

// sealedRow is something sealed, of the object that it was sealed for.
type sealedRow struct {
	ID     string
	Sealed []byte
}

// lockSettings lists the sealed settings of all configurations, and lets nobody change one meanwhile.
func lockSettings(ctx context.Context, tx pgx.Tx) ([]sealedRow, error) {
	return db.All[sealedRow](ctx, tx, "select id, secrets as sealed from provision_configurations where secrets is not null order by id for no key update")
}

func setSettings(ctx context.Context, tx pgx.Tx, id string, sealed []byte) error {
	_, err := tx.Exec(ctx, "update provision_configurations set secrets = $2 where id = $1", id, sealed)
	return err
}

// lockRunSecrets lists the sealed parameters or results of all runs.
func lockRunSecrets(ctx context.Context, tx pgx.Tx, kind string) ([]sealedRow, error) {
	return db.All[sealedRow](ctx, tx, "select run_id as id, sealed from provision_secrets where kind = $1 order by run_id for no key update", kind)
}

func setRunSecret(ctx context.Context, tx pgx.Tx, runID, kind string, sealed []byte) error {
	_, err := tx.Exec(ctx, "update provision_secrets set sealed = $3 where run_id = $1 and kind = $2", runID, kind, sealed)
	return err
}

// fieldsRow is a product with its provision fields.
type fieldsRow struct {
	ID     string
	Fields map[string]any
}

// lockSealedFields lists the products that have a sealed field, after one, by id.
func lockSealedFields(ctx context.Context, tx pgx.Tx, after string, limit int) ([]fieldsRow, error) {
	return db.All[fieldsRow](ctx, tx, `
		select id, fields from contract_products where ($1 = '' or id > nullif($1, '')::uuid)
		and exists (select from jsonb_each(fields) f where jsonb_typeof(f.value) = 'object' and f.value ? 'sealed')
		order by id limit $2 for no key update`, after, limit)
}
