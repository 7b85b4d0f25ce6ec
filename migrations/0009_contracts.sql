-- What the store sells. category is one of the eight kinds of provisioning, '' for what nothing is provisioned for.
create table products (
    id          uuid primary key default gen_random_uuid(),
    name        text not null check (length(name) between 1 and 120),
    description text not null default '',
    category    text not null default '' check (category in ('', 'web-hosting', 'domain-names', 'auto-login', 'seo', 'website-builders',
                                                             'software-licenses', 'servers', 'office-tools')),
    kind        text not null default 'subscription' check (kind in ('subscription', 'one-off')),
    position    int not null default 0,
    archived_at timestamptz,
    created_at  timestamptz not null default now()
);

-- One way of buying a product. Prices are in minor units of the store's currency, without tax. package holds what creating the
-- product at a provider is told, e.g. package_name.
create table plans (
    id           uuid primary key default gen_random_uuid(),
    product_id   uuid not null references products,
    name         text not null check (length(name) between 1 and 120),
    cycle_months int check (cycle_months between 1 and 120), -- how often it is paid; null for a one-off purchase
    term_months  int check (term_months between 1 and 120),  -- how long a contract runs
    price_minor  bigint not null check (price_minor >= 0),
    package      jsonb not null default '{}',
    position     int not null default 0,
    archived_at  timestamptz,
    created_at   timestamptz not null default now(),
    check ((cycle_months is null) = (term_months is null)),
    check (term_months % cycle_months = 0)
);
create index plans_product on plans (product_id, position, id);

-- From which plan an owner may go to which.
create table plan_paths (
    from_id uuid not null references plans on delete cascade,
    to_id   uuid not null references plans on delete cascade,
    primary key (from_id, to_id),
    check (from_id <> to_id)
);

-- What a product can be bought with besides, such as daily backups; paid with the plan.
create table product_options (
    id          uuid primary key default gen_random_uuid(),
    product_id  uuid not null references products,
    name        text not null check (length(name) between 1 and 120),
    price_minor bigint not null check (price_minor >= 0), -- a month
    position    int not null default 0,
    archived_at timestamptz,
    created_at  timestamptz not null default now()
);
create index product_options_product on product_options (product_id, position, id);

-- A subscription. Dates are days in the store's time zone. renews_on is the first day of the next cycle; term_ends_on the first day
-- after the term.
create table contracts (
    id            uuid primary key default gen_random_uuid(),
    number        bigint generated always as identity (start with 2101) unique,
    account_id    uuid not null references accounts,
    name          text not null check (length(name) between 1 and 120),
    status        text not null default 'pending' check (status in ('pending', 'active', 'suspended', 'cancelled', 'ended')),
    cycle_months  int not null check (cycle_months between 1 and 120),
    term_months   int not null check (term_months between 1 and 120),
    starts_on     date,
    renews_on     date,
    term_ends_on  date,
    auto_renew    boolean not null default true,
    cancels_on    date,                              -- it was cancelled to this day; can be taken back until then
    cancel_reason text not null default '',
    created_at    timestamptz not null default now(),
    updated_at    timestamptz not null default now(),
    unique (id, account_id)
);
create index contracts_account on contracts (account_id, created_at desc, id desc);
create index contracts_renewals on contracts (renews_on) where status in ('active', 'suspended');

-- One bought product: under a contract, or without one a one-off purchase. fields are its provision fields (domain, username, …).
create table contract_products (
    id            uuid primary key default gen_random_uuid(),
    account_id    uuid not null references accounts,
    contract_id   uuid,
    product_id    uuid not null references products,
    plan_id       uuid not null references plans,
    name          text not null check (length(name) between 1 and 120),
    category      text not null default '',
    status        text not null default 'pending' check (status in ('pending', 'active', 'suspended', 'cancelled', 'ended')),
    registered_on date,
    renews_on     date,
    price_minor   bigint not null check (price_minor >= 0),
    fields        jsonb not null default '{}',
    -- What people tell it by, and find it by.
    identifier    text not null generated always as (lower(coalesce(nullif(fields ->> 'domain', ''), nullif(fields ->> 'domain_name', ''),
        nullif(fields ->> 'sld', '') || '.' || (fields ->> 'tld'), nullif(fields ->> 'hostname', ''), nullif(fields ->> 'label', ''), ''))) stored,
    username      text not null generated always as (lower(coalesce(fields ->> 'username', ''))) stored,
    created_at    timestamptz not null default now(),
    updated_at    timestamptz not null default now(),
    foreign key (contract_id, account_id) references contracts (id, account_id)
);
create index contract_products_contract on contract_products (contract_id, created_at, id) where contract_id is not null;
create index contract_products_purchases on contract_products (account_id, created_at desc, id desc) where contract_id is null;
create index contract_products_account on contract_products (account_id, id);
create index contract_products_identifier on contract_products (identifier text_pattern_ops) where identifier <> '';
create index contract_products_username on contract_products (username text_pattern_ops) where username <> '';
create index contract_products_plan on contract_products (plan_id);

-- The options that a bought product has now, at the price of when they were chosen.
create table chosen_options (
    bought_id   uuid not null references contract_products on delete cascade,
    option_id   uuid not null references product_options,
    price_minor bigint not null check (price_minor >= 0), -- a month
    chosen_at   timestamptz not null default now(),
    primary key (bought_id, option_id)
);

-- What happened to a contract or a one-off purchase, for its timeline. data holds names and dates as they were then.
create table contract_events (
    id          uuid primary key default gen_random_uuid(),
    contract_id uuid references contracts on delete cascade,
    product_id  uuid references contract_products on delete cascade,
    at          timestamptz not null default clock_timestamp(),
    actor_id    uuid references users on delete set null,
    actor_name  text not null,
    kind        text not null,
    data        jsonb not null default '{}',
    check (num_nonnulls(contract_id, product_id) >= 1)
);
create index contract_events_contract on contract_events (contract_id, at desc, id desc) where contract_id is not null;
create index contract_events_product on contract_events (product_id, at desc, id desc) where product_id is not null;

-- A ticket may be about one bought product of its account.
alter table tickets add column product_id uuid references contract_products;
create index tickets_product on tickets (product_id, created_at desc, id desc) where product_id is not null;

-- Whose things an entry is about: what the page of a client shows.
alter table audit_entries add column account_id uuid;
create index audit_entries_account on audit_entries (account_id, at desc, id desc) where account_id is not null;

create index accounts_name on accounts (lower(name), id);
