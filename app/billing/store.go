package billing

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"portico/app"
	"portico/app/contracts"
	"portico/app/db"

	"github.com/jackc/pgx/v5"
)

// terms are the store's rules of billing, and its currency and time zone.
type terms struct {
	Name              string
	SenderAddress     string
	TimeZone          string
	Currency          string
	TaxCountry        string
	ReverseCharge     bool
	PaymentDays       int
	InvoiceDaysBefore int
	ReminderDays      int
	GraceDays         int
	InvoicePrefix     string
	BillingDetails    string
	PaymentDetails    string
}

func loadTerms(ctx context.Context, conn db.Conn) (terms, error) {
	return db.One[terms](ctx, conn, `select name, sender_address, time_zone, currency, tax_country, reverse_charge, payment_days,
		invoice_days_before, reminder_days, grace_days, invoice_prefix, billing_details, payment_details from store`)
}

type rateRow struct {
	Country string
	Rate    int64
}

func taxRates(ctx context.Context, conn db.Conn) ([]rateRow, error) {
	return db.All[rateRow](ctx, conn, "select country, rate::bigint from tax_rates order by country")
}

// account is who is billed.
type account struct {
	ID             string
	Name           string
	BillingName    string
	BillingAddress string
	Country        string
	VatNumber      string
	BillingEmail   string
	PaymentMethod  string
	PaymentDays    *int
}

const accountColumns = `a.id, a.name, a.billing_name, a.billing_address, a.country, a.vat_number, a.billing_email, a.payment_method, a.payment_days`

// lockAccount lets one at a time change what an account owes and has paid.
func lockAccount(ctx context.Context, tx pgx.Tx, id string) (account, error) {
	return db.One[account](ctx, tx, "select "+accountColumns+" from accounts a where a.id = $1 for no key update", id)
}

const invoiceColumns = `i.id, i.kind, i.number, i.prefix, i.account_id, (select name from accounts where id = i.account_id) as account_name,
	i.contract_id, coalesce((select name from contracts where id = i.contract_id), '') as contract_name, i.status, i.credits_id, i.reference,
	i.issued_on, i.due_on, i.currency, i.net_minor, i.tax_rate::bigint, i.reverse_charge, i.tax_minor, i.total_minor, i.settled_minor,
	i.buyer, i.seller, i.note, i.paid_at, i.created_at`

func invoiceByID(ctx context.Context, conn db.Conn, id string) (Invoice, error) {
	return db.One[Invoice](ctx, conn, "select "+invoiceColumns+" from invoices i where i.id = $1", id)
}

// lockInvoice locks a document; its account is locked before it, always.
func lockInvoice(ctx context.Context, tx pgx.Tx, id string) (Invoice, error) {
	return db.One[Invoice](ctx, tx, "select "+invoiceColumns+" from invoices i where i.id = $1 for update", id)
}

func linesOf(ctx context.Context, conn db.Conn, id string) ([]Line, error) {
	return db.All[Line](ctx, conn, `select invoice_id, position, text, product_id, period_start, period_end, net_minor
		from invoice_lines where invoice_id = $1 order by position`, id)
}

func insertInvoice(ctx context.Context, tx pgx.Tx, i Invoice) (id string, err error) {
	err = tx.QueryRow(ctx, `
		insert into invoices (kind, account_id, contract_id, credits_id, reference, currency, net_minor, total_minor, note)
		values ($1, $2, $3, $4, $5, $6, $7, $7, $8) returning id::text`,
		i.Kind, i.AccountID, i.ContractID, i.CreditsID, i.Reference, i.Currency, i.NetMinor, i.Note).Scan(&id)
	return id, err
}

func insertLines(ctx context.Context, tx pgx.Tx, id string, lines []Line) error {
	batch := &pgx.Batch{}
	for n, line := range lines {
		batch.Queue("insert into invoice_lines (invoice_id, position, text, product_id, period_start, period_end, net_minor) values ($1, $2, $3, $4, $5, $6, $7)",
			id, n+1, line.Text, line.ProductID, line.PeriodStart, line.PeriodEnd, line.NetMinor)
	}
	return tx.SendBatch(ctx, batch).Close()
}

// nextNumber takes the next number. Whoever else issues waits for this transaction, and takes the same number if it is rolled back:
// that is what keeps the numbers without gaps.
func nextNumber(ctx context.Context, tx pgx.Tx) (number int64, err error) {
	err = tx.QueryRow(ctx, "update invoice_numbers set next = next + 1 returning next - 1").Scan(&number)
	return number, err
}

func setIssued(ctx context.Context, tx pgx.Tx, i Invoice) error {
	buyer, err := json.Marshal(i.Buyer)
	if err != nil {
		return fmt.Errorf("encode the buyer: %w", err)
	}
	seller, err := json.Marshal(i.Seller)
	if err != nil {
		return fmt.Errorf("encode the seller: %w", err)
	}
	_, err = tx.Exec(ctx, `
		update invoices set number = $2, prefix = $3, status = $4, issued_on = $5, due_on = $6, net_minor = $7, tax_rate = $8, reverse_charge = $9,
			tax_minor = $10, total_minor = $11, buyer = $12, seller = $13, paid_at = case when $4 = 'paid' then clock_timestamp() end, updated_at = clock_timestamp()
		where id = $1`, i.ID, i.Number, i.Prefix, i.Status, i.IssuedOn, i.DueOn, i.NetMinor, i.TaxRate, i.ReverseCharge, i.TaxMinor, i.TotalMinor, buyer, seller)
	return err
}

func setStatus(ctx context.Context, tx pgx.Tx, id, status string) error {
	_, err := tx.Exec(ctx, "update invoices set status = $2, updated_at = clock_timestamp() where id = $1", id, status)
	return err
}

func addEntry(ctx context.Context, tx pgx.Tx, day Day, accountID, kind string, amount int64, invoiceID, paymentID *string) error {
	_, err := tx.Exec(ctx, "insert into ledger_entries (day, account_id, kind, amount_minor, invoice_id, payment_id) values ($1, $2, $3, $4, $5, $6)",
		day, accountID, kind, amount, invoiceID, paymentID)
	return err
}

// source is a payment or a credit note with something left of it.
type source struct {
	PaymentID *string
	CreditID  *string
	FreeMinor int64
}

// sources lists what of an account's money covers nothing yet, the oldest first.
func sources(ctx context.Context, conn db.Conn, accountID string) ([]source, error) {
	return db.All[source](ctx, conn, `
		select payment_id, credit_id, free_minor from (
			select p.id as payment_id, null::uuid as credit_id, p.created_at,
				p.amount_minor - coalesce((select sum(amount_minor) from settlements where payment_id = p.id), 0)::bigint as free_minor
			from payments p where p.account_id = $1 and p.amount_minor > 0
			union all
			select null, c.id, c.updated_at, -c.total_minor - coalesce((select sum(amount_minor) from settlements where credit_id = c.id), 0)::bigint
			from invoices c where c.account_id = $1 and c.kind = 'credit-note' and c.status = 'paid') s
		where free_minor > 0 order by created_at, payment_id, credit_id`, accountID)
}

// unpaid lists an account's open invoices, the one that is due first in front.
func unpaid(ctx context.Context, conn db.Conn, accountID string) ([]Invoice, error) {
	return db.All[Invoice](ctx, conn, "select "+invoiceColumns+` from invoices i where i.account_id = $1 and i.status = 'unpaid' order by i.due_on, i.number`, accountID)
}

func insertSettlement(ctx context.Context, tx pgx.Tx, from source, invoiceID, refundID *string, amount int64) error {
	_, err := tx.Exec(ctx, "insert into settlements (payment_id, credit_id, invoice_id, refund_id, amount_minor) values ($1, $2, $3, $4, $5)",
		from.PaymentID, from.CreditID, invoiceID, refundID, amount)
	return err
}

// setSettled notes how much of an invoice is covered; covered whole it is paid.
func setSettled(ctx context.Context, tx pgx.Tx, id string, settled int64, paid bool) error {
	_, err := tx.Exec(ctx, `
		update invoices set settled_minor = $2, status = case when $3 then 'paid' else status end, paid_at = case when $3 then clock_timestamp() end,
			updated_at = clock_timestamp() where id = $1`, id, settled, paid)
	return err
}

// release takes so much of what covers an invoice back, the newest first. The invoice's row is locked.
func release(ctx context.Context, tx pgx.Tx, invoiceID string, amount int64) error {
	_, err := tx.Exec(ctx, `
		with newest as (
			select id, amount_minor, sum(amount_minor) over (order by created_at desc, id) - amount_minor as before
			from settlements where invoice_id = $1),
		gone as (delete from settlements where id in (select id from newest where before + amount_minor <= $2))
		update settlements s set amount_minor = s.amount_minor - ($2 - n.before)
		from newest n where n.id = s.id and n.before < $2 and n.before + n.amount_minor > $2`, invoiceID, amount)
	return err
}

// insertPayment stores a payment once: false if one with this key is there already.
func insertPayment(ctx context.Context, tx pgx.Tx, key string, p Payment, recordedBy string) (id string, added bool, err error) {
	err = tx.QueryRow(ctx, `
		insert into payments (key, account_id, method, amount_minor, currency, received_on, reference, recorded_by, recorded_by_name)
		values ($1, $2, $3, $4, $5, $6, $7, nullif($8, '')::uuid, $9) on conflict (key) do nothing returning id::text`,
		key, p.AccountID, p.Method, p.AmountMinor, p.Currency, p.ReceivedOn, p.Reference, recordedBy, p.RecordedByName).Scan(&id)
	if err == pgx.ErrNoRows {
		err = tx.QueryRow(ctx, "select id::text from payments where key = $1", key).Scan(&id)
		return id, false, err
	}
	return id, true, err
}

// creditedOf is how much of an invoice credit notes have given back, as a positive amount of net and of total.
func creditedOf(ctx context.Context, conn db.Conn, invoiceID string) (net, total int64, err error) {
	err = conn.QueryRow(ctx, "select coalesce(-sum(net_minor), 0)::bigint, coalesce(-sum(total_minor), 0)::bigint from invoices where credits_id = $1 and status = 'paid'", invoiceID).Scan(&net, &total)
	return net, total, err
}

// statement lists an account's entries before one, newest first, each with the balance after it. before 0 is the newest.
func statement(ctx context.Context, conn db.Conn, accountID string, before int64, limit int) ([]Entry, error) {
	return db.All[Entry](ctx, conn, `
		select e.id, e.day, e.kind, e.amount_minor, e.invoice_id, i.number, coalesce(i.prefix, '') as prefix, coalesce(p.method, '') as method, coalesce(p.reference, '') as reference,
			((select coalesce(sum(amount_minor), 0) from ledger_entries where account_id = $1 and ($2 = 0 or id < $2))
				- coalesce(sum(e.amount_minor) over (order by e.id desc rows between unbounded preceding and 1 preceding), 0))::bigint as balance_minor
		from (select * from ledger_entries where account_id = $1 and ($2 = 0 or id < $2) order by id desc limit $3) e
		left join invoices i on i.id = e.invoice_id left join payments p on p.id = e.payment_id
		order by e.id desc`, accountID, before, limit)
}

func balanceOf(ctx context.Context, conn db.Conn, accountID string) (Balance, error) {
	return db.One[Balance](ctx, conn, `
		select (select coalesce(sum(total_minor - settled_minor), 0) from invoices where account_id = $1 and status = 'unpaid')::bigint as owed_minor,
			((select coalesce(sum(amount_minor) filter (where amount_minor > 0), 0) from payments where account_id = $1)
			+ (select coalesce(-sum(total_minor), 0) from invoices where account_id = $1 and kind = 'credit-note' and status = 'paid')
			- (select coalesce(sum(s.amount_minor), 0) from settlements s left join payments p on p.id = s.payment_id left join invoices c on c.id = s.credit_id
				where coalesce(p.account_id, c.account_id) = $1))::bigint as credit_minor`, accountID)
}

// Mismatch is an account whose statement does not sum to what its invoices and payments say.
type Mismatch struct {
	AccountID      string
	AccountName    string
	LedgerMinor    int64
	DocumentsMinor int64
}

// mismatches sums the ledger against the documents, over all accounts: none is how it has to be.
func mismatches(ctx context.Context, conn db.Conn) ([]Mismatch, error) {
	return db.All[Mismatch](ctx, conn, `
		with ledger as (select account_id, sum(amount_minor) as sum from ledger_entries group by account_id),
			documents as (
				select account_id, sum(amount) as sum from (
					select account_id, total_minor as amount from invoices where status in ('unpaid', 'paid', 'credited')
					union all select account_id, -amount_minor from payments) d group by account_id)
		select coalesce(l.account_id, d.account_id) as account_id, (select name from accounts where id = coalesce(l.account_id, d.account_id)) as account_name,
			coalesce(l.sum, 0)::bigint as ledger_minor, coalesce(d.sum, 0)::bigint as documents_minor
		from ledger l full join documents d on d.account_id = l.account_id where coalesce(l.sum, 0) <> coalesce(d.sum, 0) order by 2, 1 limit 100`)
}

func periodBilled(ctx context.Context, conn db.Conn, contractID string, start Day) (billed bool, err error) {
	err = conn.QueryRow(ctx, "select exists (select from billed_periods where contract_id = $1 and period_start = $2)", contractID, start).Scan(&billed)
	return billed, err
}

func insertPeriod(ctx context.Context, tx pgx.Tx, contractID string, start Day, invoiceID string) error {
	_, err := tx.Exec(ctx, "insert into billed_periods (contract_id, period_start, invoice_id) values ($1, $2, $3)", contractID, start, invoiceID)
	return err
}

func deletePeriod(ctx context.Context, tx pgx.Tx, invoiceID string) error {
	_, err := tx.Exec(ctx, "delete from billed_periods where invoice_id = $1", invoiceID)
	return err
}

// billedFrom lists the invoices of periods that begin on a day or later.
func billedFrom(ctx context.Context, conn db.Conn, contractID string, from Day) ([]string, error) {
	rows, err := conn.Query(ctx, "select invoice_id::text from billed_periods where contract_id = $1 and period_start >= $2 order by period_start", contractID, from)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// insertStep notes a step of a contract's renewals: false if it was taken already.
func insertStep(ctx context.Context, tx pgx.Tx, contractID string, day Day, step string) (bool, error) {
	tag, err := tx.Exec(ctx, "insert into renewal_steps (contract_id, day, step) values ($1, $2, $3) on conflict do nothing", contractID, day, step)
	return tag.RowsAffected() == 1, err
}

// setDates moves a contract's dates, and those of its products that run.
func setDates(ctx context.Context, tx pgx.Tx, contractID string, renewsOn, termEndsOn Day) error {
	batch := &pgx.Batch{}
	batch.Queue("update contracts set renews_on = $2, term_ends_on = $3, updated_at = clock_timestamp() where id = $1", contractID, renewsOn, termEndsOn)
	batch.Queue("update contract_products set renews_on = $2, updated_at = clock_timestamp() where contract_id = $1 and status in ('active', 'suspended')", contractID, renewsOn)
	return tx.SendBatch(ctx, batch).Close()
}

// overdueOf lists a contract's open invoices that were due before today, the oldest first.
func overdueOf(ctx context.Context, conn db.Conn, contractID string, today Day) ([]Invoice, error) {
	return db.All[Invoice](ctx, conn, "select "+invoiceColumns+" from invoices i where i.contract_id = $1 and i.status = 'unpaid' and i.due_on < $2 order by i.due_on, i.number", contractID, today)
}

func suspendedForDebt(ctx context.Context, conn db.Conn, contractID string) (is bool, err error) {
	err = conn.QueryRow(ctx, "select suspended_for_debt from contracts where id = $1", contractID).Scan(&is)
	return is, err
}

func setSuspendedForDebt(ctx context.Context, tx pgx.Tx, contractID string, is bool) error {
	_, err := tx.Exec(ctx, "update contracts set suspended_for_debt = $2 where id = $1", contractID, is)
	return err
}

func referenceOf(ctx context.Context, conn db.Conn, contractID string) (reference string, err error) {
	err = conn.QueryRow(ctx, "select reference from contracts where id = $1", contractID).Scan(&reference)
	return reference, err
}

// dueContracts lists running contracts that a renewal step may be due for, by id: the next renewal comes before a day, they end, owe
// what was due, or are suspended for that.
func dueContracts(ctx context.Context, conn db.Conn, today, ahead Day, after string, limit int) ([]string, error) {
	rows, err := conn.Query(ctx, `
		select id::text from (
			select id from contracts where renews_on <= $2 and status in ('active', 'suspended')
			union select id from contracts where cancels_on <= $1 and status in ('active', 'suspended')
			union select id from contracts where term_ends_on <= $1 and not auto_renew and status in ('active', 'suspended')
			union select contract_id from invoices where status = 'unpaid' and due_on < $1 and contract_id is not null
			union select id from contracts where suspended_for_debt and status = 'suspended') x
		where $3 = '' or id > nullif($3, '')::uuid order by id limit $4`, today, ahead, after, limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// payer is somebody of an account who may do its billing.
type payer struct{ ID, Name, Email, Language, TimeZone string }

const mayPay = "(au.relation = 'owner' or 'billing' = any(au.permissions)) and u.disabled_at is null"

// payers lists who of an account is told of its money.
func payers(ctx context.Context, conn db.Conn, accountID string) ([]payer, error) {
	return db.All[payer](ctx, conn, `
		select u.id, u.name, u.email, u.language, u.time_zone from account_users au join users u on u.id = au.user_id
		where au.account_id = $1 and u.email_confirmed_at is not null and `+mayPay, accountID)
}

func isPayer(ctx context.Context, conn db.Conn, userID, accountID string) (is bool, err error) {
	err = conn.QueryRow(ctx, `select exists (select from account_users au join users u on u.id = au.user_id
		where au.account_id::text = $2 and u.id::text = $1 and `+mayPay+")", userID, accountID).Scan(&is)
	return is, err
}

func setCancelsOn(ctx context.Context, tx pgx.Tx, contractID string, day *Day, reason string) error {
	_, err := tx.Exec(ctx, "update contracts set cancels_on = $2, cancel_reason = $3, updated_at = clock_timestamp() where id = $1", contractID, day, reason)
	return err
}

func setAutoRenew(ctx context.Context, tx pgx.Tx, contractID string, on bool) error {
	_, err := tx.Exec(ctx, "update contracts set auto_renew = $2, updated_at = clock_timestamp() where id = $1", contractID, on)
	return err
}

func setLabel(ctx context.Context, tx pgx.Tx, contractID string, l Label) error {
	_, err := tx.Exec(ctx, "update contracts set name = $2, reference = $3, updated_at = clock_timestamp() where id = $1", contractID, l.Name, l.Reference)
	return err
}

// setPlan gives a bought product another plan and returns it as it is then. Its package stays as it is until the provider has changed
// it. Where the plan is another product's, that is what was bought from now on: it takes its name, unless somebody gave it one of its
// own, and its options end.
func setPlan(ctx context.Context, tx pgx.Tx, p contracts.Product, plan contracts.Plan) (contracts.Product, error) {
	before := p.Name
	p.PlanName, p.PriceMinor, p.ProductID = plan.Name, plan.PriceMinor, plan.ProductID
	err := tx.QueryRow(ctx, `
		update contract_products b set plan_id = $2, price_minor = $3, product_id = $4, updated_at = clock_timestamp(),
			name = case when b.name = (select name from products where id = b.product_id) then (select name from products where id = $4) else b.name end
		where id = $1 returning name`, p.ID, plan.ID, plan.PriceMinor, plan.ProductID).Scan(&p.Name)
	if err != nil {
		return p, err
	}
	batch := &pgx.Batch{}
	batch.Queue("delete from chosen_options c using product_options o where c.bought_id = $1 and o.id = c.option_id and o.product_id <> $2", p.ID, plan.ProductID)
	batch.Queue("update contracts set name = $3, updated_at = clock_timestamp() where id = $1 and name = $2 and name <> $3", p.ContractID, before, p.Name)
	return p, tx.SendBatch(ctx, batch).Close()
}

type planRow struct {
	ID          string
	ProductID   string
	ProductName string
	Name        string
	CycleMonths *int
	TermMonths  *int
	PriceMinor  int64
	Package     map[string]any
	Position    int
}

// path is a plan that an owner may go to.
type path struct {
	contracts.Plan
	ProductName string
}

// plansFrom lists the plans on sale that a path leads to from another, and that are paid as often as the contract, the cheapest first.
func plansFrom(ctx context.Context, conn db.Conn, planID string, cycleMonths int) ([]path, error) {
	rows, err := db.All[planRow](ctx, conn, `
		select p.id, p.product_id, b.name as product_name, p.name, p.cycle_months, p.term_months, p.price_minor, p.package, p.position
		from plan_paths x join plans p on p.id = x.to_id join products b on b.id = p.product_id
		where x.from_id = $1 and p.cycle_months = $2 and p.archived_at is null
		order by p.price_minor, p.id`, planID, cycleMonths)
	if err != nil {
		return nil, err
	}
	paths := make([]path, len(rows))
	for i, row := range rows {
		paths[i] = path{contracts.Plan{
			ID: row.ID, ProductID: row.ProductID, Name: row.Name, CycleMonths: row.CycleMonths, TermMonths: row.TermMonths, PriceMinor: row.PriceMinor,
			Package: row.Package, Position: row.Position,
		}, row.ProductName}
	}
	return paths, nil
}

// chosenOptions are the options that a contract's products have, in the catalogue's order, by bought product.
func chosenOptions(ctx context.Context, conn db.Conn, contractID string) (map[string][]Option, error) {
	rows, err := db.All[struct {
		BoughtID   string
		ID         string
		Name       string
		PriceMinor int64
	}](ctx, conn, `
		select c.bought_id, o.id, o.name, c.price_minor from contract_products p join chosen_options c on c.bought_id = p.id join product_options o on o.id = c.option_id
		where p.contract_id = $1 order by o.position, lower(o.name), o.id`, contractID)
	if err != nil {
		return nil, err
	}
	chosen := map[string][]Option{}
	for _, row := range rows {
		chosen[row.BoughtID] = append(chosen[row.BoughtID], Option{row.ID, row.Name, row.PriceMinor})
	}
	return chosen, nil
}

// offeredOptions are the options that a product of the catalogue is sold with, in its order.
func offeredOptions(ctx context.Context, conn db.Conn, productID string) ([]Option, error) {
	return db.All[Option](ctx, conn, `
		select id, name, price_minor from product_options where product_id = $1 and archived_at is null order by position, lower(name), id`, productID)
}

func insertOption(ctx context.Context, tx pgx.Tx, boughtID string, o Option) error {
	_, err := tx.Exec(ctx, "insert into chosen_options (bought_id, option_id, price_minor) values ($1, $2, $3)", boughtID, o.ID, o.PriceMinor)
	return err
}

func deleteOption(ctx context.Context, tx pgx.Tx, boughtID, optionID string) error {
	_, err := tx.Exec(ctx, "delete from chosen_options where bought_id = $1 and option_id = $2", boughtID, optionID)
	return err
}

const accessColumns = `x.relation, x.permissions`

// accountAccess is what the user u is to the account a: no row for a stranger.
const accountAccess = `lateral (select y.relation, y.permissions from (
		select 1 as rank, au.relation, case au.relation when 'user' then au.permissions else '{}' end as permissions
		from account_users au where au.account_id = a.id and au.user_id = u.id
		union all
		select 2, u.role, case u.role when 'staff' then array(select sp.permission from staff_permissions sp where sp.user_id = u.id) else '{}' end
		where u.role is not null) y
	where u.disabled_at is null order by y.rank limit 1) x`

func accountByID(ctx context.Context, conn db.Conn, userID, id string) (Account, error) {
	return db.One[Account](ctx, conn, "select "+accountColumns+", "+accessColumns+`
		from accounts a join users u on u.id = $1 cross join `+accountAccess+" where a.id = $2", userID, id)
}

func accountsOf(ctx context.Context, conn db.Conn, userID string) ([]Account, error) {
	return db.All[Account](ctx, conn, "select "+accountColumns+", "+accessColumns+`
		from account_users mine join accounts a on a.id = mine.account_id join users u on u.id = mine.user_id cross join `+accountAccess+`
		where mine.user_id = $1 order by x.relation, lower(a.name), a.id limit 100`, userID)
}

// listInvoices returns invoices that a filter finds, newest first, after a key.
func listInvoices(ctx context.Context, conn db.Conn, f Filter, after app.Key, limit int) ([]Invoice, error) {
	where, args := []string{"true"}, []any{limit}
	add := func(condition string, value any) {
		args = append(args, value)
		where = append(where, strings.ReplaceAll(condition, "?", fmt.Sprintf("$%d", len(args))))
	}
	if f.AccountID != "" {
		add("i.account_id = ?", f.AccountID)
	}
	if f.ContractID != "" {
		add("i.contract_id = ?", f.ContractID)
	}
	if f.ProductID != "" {
		add("i.id in (select invoice_id from invoice_lines where product_id = ?)", f.ProductID)
	}
	switch f.Status {
	case "":
	case Overdue:
		where = append(where, "i.status = 'unpaid' and i.due_on < (select (now() at time zone time_zone)::date from store)")
	default:
		add("i.status = ?", f.Status)
	}
	if !f.drafts {
		where = append(where, "i.status <> 'draft'")
	}
	if f.Text != "" {
		digits := strings.TrimLeftFunc(f.Text, func(r rune) bool { return r < '0' || r > '9' })
		number, err := strconv.ParseInt(digits, 10, 64)
		if err != nil {
			number = -1
		}
		args = append(args, number)
		add(fmt.Sprintf("(i.number = $%d or i.account_id in (select id from accounts where name ilike ?))", len(args)), db.Contains(f.Text))
	}
	if after.ID != "" {
		args = append(args, after.At, after.ID)
		where = append(where, fmt.Sprintf("(i.created_at, i.id) < ($%d::timestamptz, $%d::uuid)", len(args)-1, len(args)))
	}
	return db.All[Invoice](ctx, conn, "select "+invoiceColumns+" from invoices i where "+strings.Join(where, " and ")+" order by i.created_at desc, i.id desc limit $1", args...)
}

func deleteInvoice(ctx context.Context, tx pgx.Tx, id string) error {
	_, err := tx.Exec(ctx, "delete from invoices where id = $1 and status = 'draft'", id)
	return err
}

func setDetails(ctx context.Context, tx pgx.Tx, accountID string, d Details, paymentDays *int) error {
	_, err := tx.Exec(ctx, `
		update accounts set billing_name = $2, billing_address = $3, country = $4, vat_number = $5, billing_email = $6, payment_method = $7, payment_days = $8
		where id = $1`, accountID, d.Name, d.Address, d.Country, d.VatNumber, d.Email, d.Method, paymentDays)
	return err
}

// setTerms stores the store's rules and tax rates, instead of those that were.
func setTerms(ctx context.Context, tx pgx.Tx, t terms, rates []rateRow) error {
	batch := &pgx.Batch{}
	batch.Queue(`
		update store set billing_details = $1, payment_details = $2, invoice_prefix = $3, tax_country = $4, reverse_charge = $5, payment_days = $6,
			invoice_days_before = $7, reminder_days = $8, grace_days = $9, version = version + 1, updated_at = clock_timestamp()`,
		t.BillingDetails, t.PaymentDetails, t.InvoicePrefix, t.TaxCountry, t.ReverseCharge, t.PaymentDays, t.InvoiceDaysBefore, t.ReminderDays, t.GraceDays)
	batch.Queue("delete from tax_rates")
	for _, rate := range rates {
		batch.Queue("insert into tax_rates (country, rate) values ($1, $2)", rate.Country, rate.Rate)
	}
	return tx.SendBatch(ctx, batch).Close()
}
