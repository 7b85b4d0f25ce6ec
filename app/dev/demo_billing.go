package dev

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// demoBilling bills what everybody bought so far, in order: how the store bills, every period of every contract and every one-off
// purchase as an invoice, and what was paid. Stella's suspended server owes two months; what is not due yet is open.
var demoBilling = []struct{ what, sql string }{
	{"say how the store bills", `
		update store set tax_country = 'SE', invoice_prefix = 'NW-',
			billing_details = E'Harbour Street 12\n111 30 Stockholm\nVAT number SE559012345601',
			payment_details = E'Bank transfer to SE35 5000 0000 0549 1000 0003.\nPlease name the invoice number.'`},
	{"set tax rates", "insert into tax_rates (country, rate) values ('SE', 2500), ('DE', 1900), ('FI', 2550), ('DK', 2500)"},
	{"address invoices", `
		update accounts set billing_address = x.address, country = x.country, vat_number = x.vat
		from (values ('Bluebird Bakery', E'Linden Lane 4\n118 20 Stockholm', 'SE', 'SE556677889901'),
			('Corvid Press', E'9 Rookery Road\nBristol BS3 1QU', 'GB', ''), ('Atelier Haddad', E'Torstraße 88\n10119 Berlin', 'DE', 'DE136695976')) x (name, address, country, vat)
		where accounts.name = x.name`},
	{"issue invoices", `
		with today as (select (now() at time zone time_zone)::date as day from store),
		periods as (
			select c.account_id, c.id as contract_id, null::uuid as product_id, p.start, p.stop, greatest(p.start - case k when 0 then 0 else 14 end, c.starts_on) as issued
			from contracts c, today, generate_series(0, 60) k,
				lateral (select (c.starts_on + make_interval(months => k * c.cycle_months))::date as start, (c.starts_on + make_interval(months => (k + 1) * c.cycle_months))::date as stop) p
			where p.start - case k when 0 then 0 else 14 end <= today.day and (c.status in ('active', 'suspended') or p.start < c.renews_on)
			union all
			select account_id, null, id, registered_on, null, registered_on from contract_products where contract_id is null and registered_on is not null),
		numbered as (select gen_random_uuid() as id, row_number() over (order by issued, contract_id, product_id) as number, * from periods),
		lines as (
			insert into invoice_lines (invoice_id, position, text, product_id, period_start, period_end, net_minor)
			select n.id, row_number() over (partition by n.id order by p.created_at, p.id), p.name || ', ' || pl.name || case when p.identifier <> '' then ' (' || p.identifier || ')' else '' end,
				p.id, case when n.contract_id is not null then n.start end, n.stop, p.price_minor
			from numbered n join contract_products p on p.contract_id = n.contract_id or p.id = n.product_id join plans pl on pl.id = p.plan_id),
		sums as (
			select n.*, sum(p.price_minor)::bigint as net, a.country, a.vat_number, coalesce(r.rate, 0) as rate, a.country <> 'SE' and a.vat_number <> '' and r.rate is not null as reverse
			from numbered n join contract_products p on p.contract_id = n.contract_id or p.id = n.product_id join accounts a on a.id = n.account_id left join tax_rates r on r.country = a.country
			group by n.id, n.number, n.account_id, n.contract_id, n.product_id, n.start, n.stop, n.issued, a.country, a.vat_number, r.rate)
		insert into invoices (id, number, prefix, account_id, contract_id, status, issued_on, due_on, currency, net_minor, tax_rate, reverse_charge, tax_minor, total_minor, buyer, seller, created_at, updated_at)
		select s.id, s.number, 'NW-', s.account_id, s.contract_id, 'unpaid', s.issued, s.issued + 14, store.currency, s.net, case when s.reverse then 0 else s.rate end, s.reverse, t.tax, s.net + t.tax,
			jsonb_build_object('name', a.name, 'address', a.billing_address, 'country', a.country, 'vat_number', a.vat_number),
			jsonb_build_object('name', store.name, 'address', store.billing_details, 'country', 'SE', 'details', store.payment_details), s.issued + interval '6 hours', s.issued + interval '6 hours'
		from sums s join accounts a on a.id = s.account_id, store, lateral (select case when s.reverse then 0 else round(s.net * s.rate / 10000.0)::bigint end as tax) t`},
	{"note billed periods", `
		insert into billed_periods (contract_id, period_start, invoice_id)
		select distinct i.contract_id, l.period_start, i.id from invoices i join invoice_lines l on l.invoice_id = i.id where i.contract_id is not null`},
	{"take payments", `
		insert into payments (key, account_id, method, amount_minor, currency, received_on, reference, recorded_by, recorded_by_name, created_at)
		select 'demo:' || i.id, i.account_id, 'bank-transfer', i.total_minor, i.currency, i.due_on - 3, 'NW-' || lpad(i.number::text, 4, '0'), u.id, u.name, i.due_on - interval '62 hours'
		from invoices i, store, users u
		where u.email = 'priya@northwind.example' and i.due_on < (now() at time zone store.time_zone)::date and i.total_minor > 0
		and not (i.due_on > (now() at time zone store.time_zone)::date - 60 and exists (select from contracts c where c.id = i.contract_id and c.status = 'suspended'))`},
	{"cover invoices", `
		insert into settlements (payment_id, invoice_id, amount_minor, created_at)
		select p.id, i.id, i.total_minor, p.created_at from payments p join invoices i on p.key = 'demo:' || i.id`},
	{"mark what is paid", `
		update invoices i set status = 'paid', settled_minor = total_minor, paid_at = p.created_at, updated_at = p.created_at from payments p where p.key = 'demo:' || i.id`},
	{"write the statements", `
		insert into ledger_entries (at, day, account_id, kind, amount_minor, invoice_id, payment_id)
		select * from (
			select created_at, issued_on, account_id, 'invoice', total_minor, id, null::uuid from invoices
			union all select created_at, received_on, account_id, 'payment', -amount_minor, null, id from payments) e order by 1`},
	{"note why a contract is suspended", `
		update contracts c set suspended_for_debt = true where status = 'suspended' and exists (select from invoices i where i.contract_id = c.id and i.status = 'unpaid')`},
	{"count on", "update invoice_numbers set next = (select coalesce(max(number), 0) + 1 from invoices)"},
}

// loadBilling bills the demo store's clients.
func loadBilling(ctx context.Context, tx pgx.Tx) error {
	for _, step := range demoBilling {
		if _, err := tx.Exec(ctx, step.sql); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return nil
}
