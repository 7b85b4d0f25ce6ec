-- Named credentials and settings for a provider. secrets is one sealed object with the fields that the driver declares secret.
create table provision_configurations (
    id           uuid primary key default gen_random_uuid(),
    name         text not null check (length(name) between 1 and 120),
    driver       text not null,
    category     text not null,
    settings     jsonb not null default '{}',
    secrets      bytea,
    rate_per_second int not null default 5 check (rate_per_second between 1 and 1000),
    paused_at    timestamptz,
    paused_reason text not null default '',
    archived_at  timestamptz,
    created_at   timestamptz not null default now(),
    updated_at   timestamptz not null default now()
);
create unique index provision_configurations_name on provision_configurations (lower(name)) where archived_at is null;

alter table products add column configuration_id uuid references provision_configurations;
alter table contract_products add column configuration_id uuid references provision_configurations;
create index contract_products_configuration on contract_products (configuration_id) where configuration_id is not null;
create index products_configuration on products (configuration_id) where configuration_id is not null;

-- When a configuration's provider may be called next: calls of all processes take their turns here.
create table provision_rates (
    configuration_id uuid primary key references provision_configurations on delete cascade,
    next_at          timestamptz not null
);

-- What an admin switched on for one bought product: an optional function, or one for delegates.
create table provision_switches (
    product_id uuid not null references contract_products on delete cascade,
    action     text not null,
    kind       text not null check (kind in ('optional', 'delegates')),
    primary key (product_id, action, kind)
);

-- What clients read when a provider refuses for a reason of this family, where an admin wrote it.
create table provision_words (
    family     text primary key,
    text       text not null check (length(text) between 1 and 500),
    updated_at timestamptz not null default now()
);

-- One call of a provider's function for one bought product; its status is updated in place. Ids are UUIDs of version 7, which begin
-- with their time: ordering by id is ordering by time, and the partitions are months by ranges of ids. What a run is about is copied
-- into it, so that the logs read one table. params are the declared parameters that are not secret.
create table provision_runs (
    id               uuid not null primary key,
    product_id       uuid not null,           -- contract_products
    product_name     text not null,
    account_id       uuid not null,
    account_name     text not null,
    contract_id      uuid,
    category         text not null,
    action           text not null,
    driver           text not null,
    configuration_id uuid,
    configuration_name text not null default '',
    actor_id         uuid,                    -- null: the system
    actor_name       text not null,
    actor_relation   text not null,           -- owner, user, delegate, staff, admin or system
    actor_ip         text not null default '',
    delegate_id      uuid,                    -- the grant it was queued under
    operation_key    uuid not null,           -- tells the provider that tries are of one intent
    cause            text not null default '', -- what made it, e.g. contract.activate; retry or undo with origin_id
    origin_id        uuid,                    -- the run that this one tries again or puts back
    params           jsonb not null default '{}',
    domain           text not null default '',
    username         text not null default '',
    status           text not null default 'queued' check (status in ('approval', 'queued', 'running', 'retrying', 'succeeded', 'failed', 'cancelled')),
    unknown_outcome  boolean not null default false,
    settled          text not null default '' check (settled in ('', 'done', 'absent')), -- what an admin found out about an unknown outcome
    settled_by       text not null default '',
    error_family     text not null default '',
    message          text not null default '', -- for whoever ran it: safe words
    attempts         int not null default 0,   -- tries that count; waiting, limits and stops of the program cost none
    max_attempts     int not null,
    turn             int not null default 0,   -- how often a worker took it up; only the newest turn may write
    turn_at          timestamptz,              -- when that was
    deadline_at      timestamptz,              -- when the newest turn is over at the latest: Running beyond it is overdue
    in_doubt         boolean not null default false, -- a call was begun of which nobody knows what came
    next_at          timestamptz,              -- next attempt, or next look at the provider
    waiting          boolean not null default false, -- running, and the provider is still at it
    waiting_since    timestamptz,
    reference        text not null default '',  -- the provider's own name for what it is doing
    changes          jsonb not null default '[]', -- fields before and after
    result           jsonb not null default '{}', -- what was returned and is not secret
    ticket_id        uuid,                     -- the ticket opened about it
    decided_by       uuid,                     -- who approved it, or declined, where the owner wanted to be asked
    decided_by_name  text not null default '',
    decided_at       timestamptz,
    created_at       timestamptz not null default clock_timestamp(),
    started_at       timestamptz,
    finished_at      timestamptz,
    duration_ms      int,                      -- of all attempts together
    check ((finished_at is not null) = (status in ('succeeded', 'failed', 'cancelled')))
) partition by range (id);
create table provision_runs_rest partition of provision_runs default;
create index provision_runs_product on provision_runs (product_id, id desc);
create index provision_runs_account on provision_runs (account_id, id desc);
create index provision_runs_waiting on provision_runs (operation_key) where waiting;
create index provision_runs_open on provision_runs (product_id, id) where status in ('queued', 'running', 'retrying');
create index provision_runs_approval on provision_runs (id) where status = 'approval';
create index provision_runs_configuration on provision_runs (configuration_id, id) where status in ('queued', 'running', 'retrying');
create index provision_runs_ticket on provision_runs (ticket_id) where ticket_id is not null;
create index provision_runs_helped on provision_runs (product_id, action, id desc) where ticket_id is not null;

-- One turn of a run, added when it ends. debug is the exchange with the provider, redacted, and is dropped earlier than the rest.
create table provision_attempts (
    run_id      uuid not null,
    attempt     int not null,
    started_at  timestamptz not null,
    finished_at timestamptz not null default clock_timestamp(),
    outcome     text not null check (outcome in ('succeeded', 'failed', 'retry', 'waiting', 'cancelled', 'unknown')),
    message     text not null default '', -- for whoever ran it
    detail      text not null default '', -- for the store's people
    next_at     timestamptz,
    primary key (run_id, attempt)
) partition by range (run_id);
create table provision_attempts_rest partition of provision_attempts default;

create table provision_debug (
    run_id  uuid not null,
    attempt int not null,
    data    jsonb not null,
    primary key (run_id, attempt)
) partition by range (run_id);
create table provision_debug_rest partition of provision_debug default;

-- One form, rendered once: posting it twice is one run. Swept after a day.
create table provision_intents (
    form_token uuid primary key,
    actor_id   uuid not null references users on delete cascade,
    product_id uuid not null references contract_products on delete cascade,
    action     text not null,
    params_hash bytea not null,
    run_id     uuid not null,
    created_at timestamptz not null default now()
);
create index provision_intents_created on provision_intents (created_at);

-- Secret parameters and results, sealed; gone when the run is final or after 60 s.
create table provision_secrets (
    run_id     uuid not null,
    kind       text not null check (kind in ('params', 'result')),
    user_id    uuid references users on delete cascade, -- of a result: the one who asked
    sealed     bytea not null,
    expires_at timestamptz,
    created_at timestamptz not null default now(),
    primary key (run_id, kind)
);
create index provision_secrets_expires on provision_secrets (expires_at) where expires_at is not null;

-- Signed messages of providers that were taken, so that one sent again changes nothing. Swept after a day.
create table provision_callbacks (
    configuration_id uuid not null references provision_configurations on delete cascade,
    message_id       text not null check (length(message_id) between 1 and 255),
    received_at      timestamptz not null default now(),
    primary key (configuration_id, message_id)
);
create index provision_callbacks_received on provision_callbacks (received_at);

-- What the Sandbox provider keeps: the accounts, names, servers and licenses that it was told to make. No password, key or code is in
-- it: passwords are hashed, keys and codes derived from the portal's key when asked for.
create table sandbox_accounts (
    id            uuid primary key default gen_random_uuid(),
    category      text not null,
    ref           text not null,              -- by which calls name it: a username, a domain name, an id
    product       text not null default '',   -- the caller's own name for it
    state         jsonb not null default '{}',
    password      bytea,                      -- salt and PBKDF2
    settles_at    timestamptz,                -- until then it is at what it was told last
    created_at    timestamptz not null default clock_timestamp(),
    terminated_at timestamptz
);
create unique index sandbox_accounts_ref on sandbox_accounts (category, ref) where terminated_at is null;
create index sandbox_accounts_product on sandbox_accounts (product) where product <> '';
create index sandbox_accounts_key on sandbox_accounts ((state->>'key_hash')) where category = 'software-licenses';

-- Everything that it ever did, once for each time it did it.
create table sandbox_effects (
    id         uuid primary key default gen_random_uuid(),
    key        text not null,                 -- the caller's operation key
    category   text not null,
    function   text not null,
    account_id uuid references sandbox_accounts,
    at         timestamptz not null default clock_timestamp()
);
create index sandbox_effects_key on sandbox_effects (key);

-- How often an operation was tried, for faults that strike the first tries only.
create table sandbox_tries (
    key   text primary key,
    tries int not null default 1
);

-- Login links, which work once, and the sessions of its control panel.
create table sandbox_logins (
    hash       bytea primary key,
    account_id uuid not null references sandbox_accounts on delete cascade,
    kind       text not null check (kind in ('link', 'session')),
    expires_at timestamptz not null
);

-- What the registry has to say about domain names, until it was told that it is kept.
create table sandbox_notifications (
    id      uuid primary key default gen_random_uuid(),
    domain  text not null,
    type    text not null,
    message text not null,
    at      timestamptz not null default clock_timestamp()
);
create index sandbox_notifications_at on sandbox_notifications (at, id);
