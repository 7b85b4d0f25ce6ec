-- How the store bills. Days are counted in the store's time zone.
alter table store
    add column tax_country         text not null default '' check (tax_country ~ '^([A-Z]{2})?$'), -- '': no tax is charged
    add column reverse_charge      boolean not null default true,
    add column payment_days        int not null default 14 check (payment_days between 0 and 120),   -- from issuing to due
    add column invoice_days_before int not null default 14 check (invoice_days_before between 0 and 60), -- invoices for a period are issued so long before it
    add column reminder_days       int not null default 7 check (reminder_days between 0 and 60),    -- reminded so long before an invoice for a period is issued
    add column grace_days          int not null default 7 check (grace_days between 0 and 120),      -- from due to suspension
    add column invoice_prefix      text not null default '' check (length(invoice_prefix) <= 12),
    add column billing_details     text not null default '',  -- the store's name, address and VAT number as invoices print them
    add column payment_details     text not null default '';  -- how to pay

-- Hundredths of a percent, by country.
create table tax_rates (
    country text primary key check (country ~ '^[A-Z]{2}$'),
    rate    int not null check (rate between 0 and 10000)
);

-- Where an account's invoices go. payment_days null is the store's.
alter table accounts
    add column billing_name    text not null default '',
    add column billing_address text not null default '',
    add column country         text not null default '' check (country ~ '^([A-Z]{2})?$'),
    add column vat_number      text not null default '' check (length(vat_number) <= 30),
    add column billing_email   text not null default '',
    add column payment_method  text not null default '' check (payment_method in ('', 'bank-transfer', 'cash', 'other')),
    add column payment_days    int check (payment_days between 0 and 120);

-- What invoices of a contract are marked with for its owner's bookkeeping.
alter table contracts
    add column reference text not null default '' check (length(reference) <= 60),
    add column suspended_for_debt boolean not null default false; -- and comes back once it is paid
create index contracts_for_debt on contracts (id) where suspended_for_debt;
create index contracts_cancels on contracts (cancels_on) where cancels_on is not null and status in ('active', 'suspended');
create index contracts_terms on contracts (term_ends_on) where not auto_renew and status in ('active', 'suspended');

-- The gapless number of the next invoice, taken under this row's lock in the transaction that issues it.
create table invoice_numbers (
    only_row boolean primary key default true check (only_row),
    next     bigint not null default 1
);
insert into invoice_numbers default values;

-- An invoice, or a credit note, whose amounts are negative. Amounts are in minor units of its currency. buyer and seller are what
-- it prints of both, as they were when it was issued. settled_minor is what payments and credit cover.
create table invoices (
    id            uuid primary key default gen_random_uuid(),
    kind          text not null default 'invoice' check (kind in ('invoice', 'credit-note')),
    number        bigint unique,
    prefix        text not null default '',
    account_id    uuid not null references accounts,
    contract_id   uuid references contracts,
    status        text not null default 'draft' check (status in ('draft', 'unpaid', 'paid', 'void', 'credited')),
    credits_id    uuid references invoices, -- of a credit note
    reference     text not null default '',
    issued_on     date,
    due_on        date,
    currency      text not null,
    net_minor     bigint not null default 0,
    tax_rate      int not null default 0,
    reverse_charge boolean not null default false,
    tax_minor     bigint not null default 0,
    total_minor   bigint not null default 0,
    settled_minor bigint not null default 0,
    buyer         jsonb not null default '{}',
    seller        jsonb not null default '{}',
    note          text not null default '',
    paid_at       timestamptz,
    created_at    timestamptz not null default now(),
    updated_at    timestamptz not null default now(),
    check ((number is null) = (status = 'draft')),
    check ((issued_on is null) = (status = 'draft')),
    check (kind = 'credit-note' or credits_id is null),
    check (total_minor = net_minor + tax_minor),
    check (kind = 'credit-note' or settled_minor between 0 and total_minor)
);
create index invoices_account on invoices (account_id, created_at desc, id desc);
create index invoices_created on invoices (created_at desc, id desc);
create index invoices_status on invoices (status, created_at desc, id desc);
create index invoices_contract on invoices (contract_id, created_at desc, id desc) where contract_id is not null;
create index invoices_due on invoices (due_on) where status = 'unpaid';
create index invoices_credits on invoices (credits_id) where credits_id is not null;

create table invoice_lines (
    invoice_id   uuid not null references invoices on delete cascade,
    position     int not null,
    text         text not null check (length(text) between 1 and 300),
    product_id   uuid references contract_products,
    period_start date,
    period_end   date,                    -- the first day after
    net_minor    bigint not null,
    primary key (invoice_id, position)
);
create index invoice_lines_product on invoice_lines (product_id) where product_id is not null;

-- Which period of a contract was billed by which invoice: a job that runs twice bills once.
create table billed_periods (
    contract_id  uuid not null references contracts on delete cascade,
    period_start date not null,
    invoice_id   uuid not null references invoices on delete cascade,
    primary key (contract_id, period_start)
);

-- What was told of a contract's renewals, once each.
create table renewal_steps (
    contract_id uuid not null references contracts on delete cascade,
    day         date not null,
    step        text not null,
    at          timestamptz not null default now(),
    primary key (contract_id, day, step)
);

-- Money that came in, or as a refund went out (negative). key makes recording it twice one payment: the form's token, or what a
-- gateway calls it.
create table payments (
    id           uuid primary key default gen_random_uuid(),
    key          text not null unique check (length(key) <= 200),
    account_id   uuid not null references accounts,
    method       text not null check (method in ('bank-transfer', 'cash', 'other', 'gateway')),
    amount_minor bigint not null check (amount_minor <> 0),
    currency     text not null,
    received_on  date not null,
    reference    text not null default '' check (length(reference) <= 200),
    recorded_by  uuid references users on delete set null,
    recorded_by_name text not null,
    created_at   timestamptz not null default now()
);
create index payments_account on payments (account_id, created_at desc, id desc);

-- What of a payment or a credit note went into an invoice, or was paid back as a refund. What of them went nowhere is the account's
-- credit.
create table settlements (
    id           uuid primary key default gen_random_uuid(),
    payment_id   uuid references payments, -- from
    credit_id    uuid references invoices,
    invoice_id   uuid references invoices, -- to
    refund_id    uuid references payments,
    amount_minor bigint not null check (amount_minor > 0),
    created_at   timestamptz not null default now(),
    check (num_nonnulls(payment_id, credit_id) = 1),
    check (num_nonnulls(invoice_id, refund_id) = 1)
);
create index settlements_invoice on settlements (invoice_id) where invoice_id is not null;
create index settlements_payment on settlements (payment_id) where payment_id is not null;
create index settlements_credit on settlements (credit_id) where credit_id is not null;

-- The account statement: rows are added, never changed. amount_minor is what the account owes more (or, negative, less).
create table ledger_entries (
    id           bigint generated always as identity primary key,
    at           timestamptz not null default clock_timestamp(),
    day          date not null,
    account_id   uuid not null references accounts,
    kind         text not null check (kind in ('invoice', 'credit-note', 'void', 'payment', 'refund')),
    amount_minor bigint not null,
    invoice_id   uuid references invoices,
    payment_id   uuid references payments,
    check (num_nonnulls(invoice_id, payment_id) = 1)
);
create index ledger_entries_account on ledger_entries (account_id, id desc);
create unique index ledger_entries_once on ledger_entries (kind, coalesce(invoice_id, payment_id));

create function refuse_ledger_change() returns trigger language plpgsql as $$
begin
    raise exception 'ledger entries are only ever added' using errcode = 'insufficient_privilege';
end $$;
create trigger ledger_entries_stay before update or delete or truncate on ledger_entries
    for each statement execute function refuse_ledger_change();
