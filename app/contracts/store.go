package contracts

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"portico/app"
	"portico/app/db"
	"portico/app/delegates"

	"github.com/jackc/pgx/v5"
)

// accessSQL is what the user u is to a contract, or with a null contract id to a one-off purchase, as things are at that moment: a
// lateral query with one row, or none for a stranger. Every query of one contract decides by it who sees it, and so do streams, mails
// and jobs. ACCOUNT, CONTRACT and STATUS are SQL.
const accessSQL = `lateral (
		select x.relation, x.permissions, x.delegate_id, x.accepted_at from (
			select 1 as rank, au.relation, case au.relation when 'user' then au.permissions else '{}' end as permissions,
				null::uuid as delegate_id, null::timestamptz as accepted_at
			from account_users au where au.account_id = ACCOUNT and au.user_id = u.id
			union all
			select 2, u.role, case u.role when 'staff' then array(select sp.permission from staff_permissions sp where sp.user_id = u.id) else '{}' end, null, null
			where u.role is not null
			union all
			select 3, 'delegate', array_remove(array[case when d.may_act then 'act' end, case when d.may_tickets then 'tickets' end], null), d.id, d.accepted_at
			from delegates d where d.contract_id = CONTRACT and d.user_id = u.id and ` + RunningGrantSQL + ` and STATUS in ('active', 'suspended')) x
		where u.disabled_at is null order by x.rank limit 1) access`

// RunningGrantSQL tells whether the grant d counts at this moment, apart from the status of its contract.
const RunningGrantSQL = delegates.Live

// AccessSQL is a lateral query, called access, of what the user u is to the contract c: relation, permissions, delegate_id and
// accepted_at, as Access has them; no row for a stranger. Use: from contracts c join users u on u.id = $1 cross join AccessSQL.
var AccessSQL = accessTo("c.account_id", "c.id", "c.status")

// ProductAccessSQL is AccessSQL for a bought product p with its contract c, left joined: a one-off purchase has none.
var ProductAccessSQL = accessTo("p.account_id", "p.contract_id", "c.status")

func accessTo(account, contract, status string) string {
	return strings.NewReplacer("ACCOUNT", account, "CONTRACT", contract, "STATUS", status).Replace(accessSQL)
}

const accessColumns = "access.relation, access.permissions, access.delegate_id, access.accepted_at"

// ownerSQL is the name of an account's owner. Names are looked up row by row: for a page of a list a join would rather read all users.
const ownerSQL = `coalesce((select o.name from account_users ao join users o on o.id = ao.user_id where ao.account_id = ACCOUNT and ao.relation = 'owner'), '')`

// Columns are a Contract's, but for the access, from "contracts c".
var Columns = `c.id, c.number, c.account_id, (select name from accounts where id = c.account_id) as account_name,
	` + strings.ReplaceAll(ownerSQL, "ACCOUNT", "c.account_id") + ` as owner_name,
	c.name, c.status, c.cycle_months, c.term_months, c.starts_on, c.renews_on, c.term_ends_on, c.auto_renew, c.cancels_on, c.cancel_reason,
	c.created_at, c.updated_at`

// ProductColumns are a Product's, but for the access, from "contract_products p left join contracts c".
var ProductColumns = `p.id, p.account_id, (select name from accounts where id = p.account_id) as account_name,
	` + strings.ReplaceAll(ownerSQL, "ACCOUNT", "p.account_id") + ` as owner_name,
	p.contract_id, coalesce(c.status, '') as contract_status, p.product_id, p.plan_id, (select name from plans where id = p.plan_id) as plan_name,
	p.name, p.category, p.status, p.registered_on, p.renews_on, p.price_minor, p.fields, p.identifier, p.created_at, p.updated_at`

// contractByID returns a contract as a user sees it, or app.ErrNotFound to a stranger.
func contractByID(ctx context.Context, conn db.Conn, userID, id string) (Contract, error) {
	return db.One[Contract](ctx, conn, "select "+Columns+", "+accessColumns+`
		from contracts c join users u on u.id = $1 cross join `+AccessSQL+` where c.id = $2`, userID, id)
}

// lockContract is contractByID for writers. The row is locked first, so that what is read with it is not older than the lock. Its key stays
// free: who holds the account and only names the contract, as an invoice does, waits for nobody.
func lockContract(ctx context.Context, tx pgx.Tx, userID, id string) (Contract, error) {
	if _, err := tx.Exec(ctx, "select from contracts where id = $1 for no key update", id); err != nil {
		return Contract{}, err
	}
	return contractByID(ctx, tx, userID, id)
}

// productByID returns a bought product as a user sees it, or app.ErrNotFound to a stranger.
func productByID(ctx context.Context, conn db.Conn, userID, id string) (Product, error) {
	return db.One[Product](ctx, conn, "select "+ProductColumns+", "+accessColumns+`
		from contract_products p left join contracts c on c.id = p.contract_id join users u on u.id = $1 cross join `+ProductAccessSQL+`
		where p.id = $2`, userID, id)
}

// lockProduct is productByID for writers: its contract is locked first, if it has one, and then the product.
func lockProduct(ctx context.Context, tx pgx.Tx, userID, id string) (Product, error) {
	if _, err := tx.Exec(ctx, "select from contracts where id = (select contract_id from contract_products where id = $1) for no key update", id); err != nil {
		return Product{}, err
	}
	if _, err := tx.Exec(ctx, "select from contract_products where id = $1 for no key update", id); err != nil {
		return Product{}, err
	}
	return productByID(ctx, tx, userID, id)
}

// productsOf lists a contract's products as a user sees them, oldest first.
func productsOf(ctx context.Context, conn db.Conn, userID, contractID string) ([]Product, error) {
	return db.All[Product](ctx, conn, "select "+ProductColumns+", "+accessColumns+`
		from contract_products p join contracts c on c.id = p.contract_id join users u on u.id = $1 cross join `+ProductAccessSQL+`
		where p.contract_id = $2 order by p.created_at, p.id`, userID, contractID)
}

// briefsSQL names the products of the contract c.
const briefsSQL = `coalesce((select jsonb_agg(jsonb_build_object('id', p.id, 'name', p.name, 'category', p.category, 'identifier', p.identifier)
	order by p.created_at, p.id) from contract_products p where p.contract_id = c.id), '[]'::jsonb) as products`

type row struct {
	Contract
	Since    time.Time
	Products json.RawMessage
}

// subscriptions lists contracts that a user sees as an account holder, newest first, after a key: own ones by when they were made,
// delegated ones by when they were accepted.
func subscriptions(ctx context.Context, conn db.Conn, userID string, after app.Key, limit int) ([]Row, error) {
	found, err := db.All[row](ctx, conn, subscriptionsSQL, userID, after.At, after.ID, limit)
	if err != nil {
		return nil, err
	}
	rows := make([]Row, len(found))
	for i, f := range found {
		rows[i] = Row{Contract: f.Contract, Since: f.Since}
		if err := json.Unmarshal(f.Products, &rows[i].Products); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// mineSQL takes a page of ids from each account, and one from the user's grants, each in the order of its index, and then the first
// of all: what is read does not grow with the number of contracts. Which grants count is asked of each, so that what ended long ago is
// passed over.
const mineSQL = `
	select mine.id, mine.since from (
		(select c.id, c.created_at as since from account_users au cross join lateral (
			select c.id, c.created_at from contracts c where c.account_id = au.account_id
			and ($3 = '' or (c.created_at, c.id) < ($2::timestamptz, nullif($3, '')::uuid))
			order by c.created_at desc, c.id desc limit $4) c
		where au.user_id = $1)
		union all
		(select d.contract_id, d.accepted_at from delegates d join contracts c on c.id = d.contract_id and c.status in ('active', 'suspended')
		where d.user_id = $1 and d.contract_id is not null and ` + RunningGrantSQL + `
		and not exists (select from account_users au where au.account_id = c.account_id and au.user_id = $1)
		and ($3 = '' or (d.accepted_at, d.contract_id) < ($2::timestamptz, nullif($3, '')::uuid))
		order by d.accepted_at desc, d.contract_id desc limit $4)) mine
	order by mine.since desc, mine.id desc limit $4`

var subscriptionsSQL = "select " + Columns + ", " + accessColumns + ", mine.since, " + briefsSQL + `
	from (` + mineSQL + `) mine join contracts c on c.id = mine.id join users u on u.id = $1 cross join ` + AccessSQL + `
	order by mine.since desc, mine.id desc`

// purchases lists one-off purchases of a user's accounts, newest first, after a key.
func purchases(ctx context.Context, conn db.Conn, userID string, after app.Key, limit int) ([]Product, error) {
	return db.All[Product](ctx, conn, "select "+ProductColumns+", "+accessColumns+`
		from (
			select p.id from account_users au cross join lateral (
				select p.id, p.created_at from contract_products p where p.account_id = au.account_id and p.contract_id is null
				and ($3 = '' or (p.created_at, p.id) < ($2::timestamptz, nullif($3, '')::uuid))
				order by p.created_at desc, p.id desc limit $4) p
			where au.user_id = $1 order by p.created_at desc, p.id desc limit $4) mine
		join contract_products p on p.id = mine.id left join contracts c on c.id = p.contract_id
		join users u on u.id = $1 cross join `+ProductAccessSQL+`
		order by p.created_at desc, p.id desc`, userID, after.At, after.ID, limit)
}

// productsFor lists up to limit products of the contracts that subscriptions lists first, without those that are over.
func productsFor(ctx context.Context, conn db.Conn, userID string, limit int) ([]Product, error) {
	return db.All[Product](ctx, conn, "select "+ProductColumns+", "+accessColumns+`
		from (`+mineSQL+`) mine join contracts c on c.id = mine.id join contract_products p on p.contract_id = c.id
		join users u on u.id = $1 cross join `+ProductAccessSQL+`
		where p.status in ('pending', 'active', 'suspended')
		order by mine.since desc, mine.id desc, p.created_at, p.id limit $4`, userID, time.Time{}, "", limit)
}

// counts is how many contracts and one-off purchases a user sees, up to a limit each.
func counts(ctx context.Context, conn db.Conn, userID string, limit int) (contracts, purchases int, err error) {
	err = conn.QueryRow(ctx, `select
		(select count(*) from (
			select from account_users au join contracts c on c.account_id = au.account_id where au.user_id = $1
			union all
			select from delegates d join contracts c on c.id = d.contract_id and c.status in ('active', 'suspended')
			where d.user_id = $1 and d.contract_id is not null and `+RunningGrantSQL+`
			and not exists (select from account_users au where au.account_id = c.account_id and au.user_id = $1)
			limit $2) x),
		(select count(*) from (
			select from account_users au join contract_products p on p.account_id = au.account_id and p.contract_id is null where au.user_id = $1 limit $2) x)`,
		userID, limit).Scan(&contracts, &purchases)
	return contracts, purchases, err
}

// belongings are the accounts of a user, as topics name them.
func belongings(ctx context.Context, conn db.Conn, userID string) ([]string, error) {
	rows, err := conn.Query(ctx, "select account_id::text from account_users where user_id = $1 order by account_id limit 16", userID)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// ofAccount lists an account's contracts for the store, newest first, after a key.
func ofAccount(ctx context.Context, conn db.Conn, userID, accountID string, after app.Key, limit int) ([]Row, error) {
	found, err := db.All[row](ctx, conn, "select "+Columns+", "+accessColumns+", c.created_at as since, "+briefsSQL+`
		from contracts c join users u on u.id = $1 cross join `+AccessSQL+`
		where c.account_id = $5 and ($3 = '' or (c.created_at, c.id) < ($2::timestamptz, nullif($3, '')::uuid))
		order by c.created_at desc, c.id desc limit $4`, userID, after.At, after.ID, limit, accountID)
	if err != nil {
		return nil, err
	}
	rows := make([]Row, len(found))
	for i, f := range found {
		rows[i] = Row{Contract: f.Contract, Since: f.Since}
		if err := json.Unmarshal(f.Products, &rows[i].Products); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// purchasesOf lists an account's one-off purchases for the store, newest first.
func purchasesOf(ctx context.Context, conn db.Conn, userID, accountID string, limit int) ([]Product, error) {
	return db.All[Product](ctx, conn, "select "+ProductColumns+", "+accessColumns+`
		from contract_products p left join contracts c on c.id = p.contract_id join users u on u.id = $1 cross join `+ProductAccessSQL+`
		where p.account_id = $2 and p.contract_id is null order by p.created_at desc, p.id desc limit $3`, userID, accountID, limit)
}

// eventsOf lists what happened to a contract or a purchase, newest first. hidden are beginnings of kinds that the viewer may not see.
func eventsOf(ctx context.Context, conn db.Conn, i Item, hidden []string, limit int) ([]Event, error) {
	column, id := "product_id", i.Product.ID
	if i.Contract != nil {
		column, id = "contract_id", i.Contract.ID
	}
	return db.All[Event](ctx, conn, `select e.id, e.at, e.actor_id, e.actor_name, e.kind, e.data from contract_events e
		where e.`+column+` = $1 and not exists (select from unnest($2::text[]) as h (prefix) where starts_with(e.kind, h.prefix))
		order by e.at desc, e.id desc limit $3`, id, hidden, limit)
}

// insertEvent notes an event and returns its id. Ids may be "".
func insertEvent(ctx context.Context, tx db.Conn, contractID, productID string, v app.Viewer, kind string, data map[string]string) (id string, err error) {
	if data == nil {
		data = map[string]string{}
	}
	err = tx.QueryRow(ctx, `
		insert into contract_events (contract_id, product_id, actor_id, actor_name, kind, data)
		values (nullif($1, '')::uuid, nullif($2, '')::uuid, nullif($3, '')::uuid, $4, $5, $6) returning id::text`,
		contractID, productID, v.UserID, v.Name, kind, data).Scan(&id)
	return id, err
}

// setContractStatus gives a contract a status, and dates if it begins to run, and takes its products along: those that had the status
// it had.
func setContractStatus(ctx context.Context, tx pgx.Tx, c Contract, to, reason string) error {
	batch := &pgx.Batch{}
	batch.Queue(`
		update contracts set status = $2, updated_at = clock_timestamp(), cancel_reason = case when $2 = 'cancelled' then $4 else cancel_reason end,
			starts_on = coalesce(starts_on, case when $2 = 'active' then x.today end),
			renews_on = case when $2 = 'active' then coalesce(renews_on, (coalesce(starts_on, x.today) + make_interval(months => cycle_months))::date) else renews_on end,
			term_ends_on = case when $2 = 'active' then coalesce(term_ends_on, (coalesce(starts_on, x.today) + make_interval(months => term_months))::date) else term_ends_on end
		from (select (now() at time zone time_zone)::date as today from store) x
		where id = $1 and status = $3`, c.ID, to, c.Status, reason)
	batch.Queue(`
		update contract_products p set status = $2, updated_at = clock_timestamp(),
			registered_on = coalesce(p.registered_on, case when $2 = 'active' then c.starts_on end),
			renews_on = coalesce(p.renews_on, case when $2 = 'active' then c.renews_on end)
		from contracts c where c.id = p.contract_id and p.contract_id = $1
		and (p.status = $3 or $2 in ('cancelled', 'ended') and p.status not in ('cancelled', 'ended'))`, c.ID, to, c.Status)
	return tx.SendBatch(ctx, batch).Close()
}

// setPurchaseStatus gives a one-off purchase a status, and a date if it begins to run.
func setPurchaseStatus(ctx context.Context, tx pgx.Tx, p Product, to string) error {
	_, err := tx.Exec(ctx, `
		update contract_products set status = $2, updated_at = clock_timestamp(),
			registered_on = coalesce(registered_on, case when $2 = 'active' then (select (now() at time zone time_zone)::date from store) end)
		where id = $1`, p.ID, to)
	return err
}

// startProduct lets a product that was added to an active contract run with it.
func startProduct(ctx context.Context, tx pgx.Tx, id string) error {
	_, err := tx.Exec(ctx, `
		update contract_products p set status = 'active', registered_on = (now() at time zone s.time_zone)::date, renews_on = c.renews_on
		from contracts c, store s where c.id = p.contract_id and p.id = $1`, id)
	return err
}

func accountName(ctx context.Context, conn db.Conn, id string) (string, error) {
	account, err := db.One[struct{ Name string }](ctx, conn, "select name from accounts where id = $1", id)
	return account.Name, err
}

// recipient is the owner of an account, as mails need to know them.
type recipient struct{ ID, Name, Email, Language, TimeZone string }

func ownersOf(ctx context.Context, conn db.Conn, accountID string) ([]recipient, error) {
	return db.All[recipient](ctx, conn, `
		select u.id, u.name, u.email, u.language, u.time_zone from account_users au join users u on u.id = au.user_id
		where au.account_id = $1 and au.relation = 'owner' and u.disabled_at is null and u.email_confirmed_at is not null`, accountID)
}

// delegatesOf lists the users who are delegates of a contract: their lists change with it.
func delegatesOf(ctx context.Context, conn db.Conn, contractID string) ([]string, error) {
	rows, err := conn.Query(ctx, "select user_id::text from delegates where contract_id = $1 and status = 'accepted' limit 500", contractID)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// insertContract adds a contract of a plan with one product, and returns both ids. It waits to be activated.
func insertContract(ctx context.Context, tx pgx.Tx, accountID string, plan Plan, product CatalogueProduct, name string, fields map[string]any) (contractID, productID string, err error) {
	err = tx.QueryRow(ctx, `
		insert into contracts (account_id, name, cycle_months, term_months) values ($1, $2, $3, $4) returning id::text`,
		accountID, name, plan.CycleMonths, plan.TermMonths).Scan(&contractID)
	if err != nil {
		return "", "", err
	}
	productID, err = insertBought(ctx, tx, accountID, &contractID, plan, product, name, fields)
	return contractID, productID, err
}

// insertBought adds a bought product, pending: of a contract, or without one a one-off purchase.
func insertBought(ctx context.Context, tx pgx.Tx, accountID string, contractID *string, plan Plan, product CatalogueProduct, name string, fields map[string]any) (id string, err error) {
	merged := map[string]any{}
	for field, value := range plan.Package {
		merged[field] = value
	}
	for field, value := range fields {
		merged[field] = value
	}
	err = tx.QueryRow(ctx, `
		insert into contract_products (account_id, contract_id, product_id, plan_id, name, category, price_minor, fields, configuration_id)
		select $1, $2, $3, $4, $5, $6, $7, $8, configuration_id from products where id = $3 returning id::text`,
		accountID, contractID, product.ID, plan.ID, name, product.Category, plan.PriceMinor, merged).Scan(&id)
	if err != nil {
		return "", fmt.Errorf("add a bought product: %w", err)
	}
	_, err = tx.Exec(ctx, "update accounts set became_client_at = coalesce(became_client_at, now()) where id = $1", accountID)
	return id, err
}
