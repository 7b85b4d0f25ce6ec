-- The store: one row, the hosting business that installed the portal.
create table store (
    only_row       boolean primary key default true check (only_row),
    name           text not null default 'Portico',
    brand_colour   text not null default '#00637b' check (brand_colour ~ '^#[0-9a-f]{6}$'),
    sender_address text not null default 'portal@localhost',
    signature      text not null default '',
    time_zone      text not null default 'UTC',
    currency       text not null default 'EUR' check (currency ~ '^[A-Z]{3}$'),
    language       text not null default 'en',
    logo           bytea,
    logo_type      text check (logo_type in ('image/png', 'image/jpeg', 'image/webp')),
    version        bigint not null default 1,
    updated_at     timestamptz not null default now(),
    check ((logo is null) = (logo_type is null))
);
insert into store default values;

create table departments (
    id          uuid primary key default gen_random_uuid(),
    name        text not null,
    position    int not null default 0,
    archived_at timestamptz,
    created_at  timestamptz not null default now()
);
create unique index departments_name on departments (lower(name)) where archived_at is null;

-- One login. role is what the user is to the store: null for an account holder.
create table users (
    id                uuid primary key default gen_random_uuid(),
    name              text not null,
    email             text not null,
    email_confirmed_at timestamptz,
    password_hash     text,
    password_set_at   timestamptz,
    role              text check (role in ('staff', 'admin')),
    language          text not null default 'en',
    time_zone         text not null default '',
    theme             text not null default '' check (theme in ('', 'light', 'dark')),
    webauthn_id       bytea not null unique default sha256(gen_random_uuid()::text::bytea || gen_random_uuid()::text::bytea),
    disabled_at       timestamptz,
    created_at        timestamptz not null default now()
);
create unique index users_email on users (lower(email));
create index users_of_store on users (lower(name), id) where role is not null;

create table staff_permissions (
    user_id    uuid not null references users on delete cascade,
    permission text not null,
    primary key (user_id, permission)
);

create table staff_departments (
    user_id       uuid not null references users on delete cascade,
    department_id uuid not null references departments on delete cascade,
    primary key (user_id, department_id)
);
create index staff_departments_department on staff_departments (department_id);

-- A company or person that owns contracts. Until something is bought its people are leads.
create table accounts (
    id               uuid primary key default gen_random_uuid(),
    name             text not null,
    kind             text not null default 'person' check (kind in ('person', 'company')),
    became_client_at timestamptz,
    created_at       timestamptz not null default now()
);

create table account_users (
    account_id  uuid not null references accounts on delete cascade,
    user_id     uuid not null references users on delete cascade,
    relation    text not null check (relation in ('owner', 'user')),
    permissions text[] not null default '{}',
    created_at  timestamptz not null default now(),
    primary key (account_id, user_id)
);
create unique index account_users_owner on account_users (account_id) where relation = 'owner';
create index account_users_user on account_users (user_id);

-- A signed-in browser. stage 'second_factor' is a session that has proved the password only and may do nothing but prove
-- the second factor.
create table sessions (
    id               uuid primary key default gen_random_uuid(),
    token_hash       bytea not null unique,
    user_id          uuid not null references users on delete cascade,
    stage            text not null default 'open' check (stage in ('open', 'second_factor')),
    second_factor    boolean not null default false,
    proved_at        timestamptz not null default now(),
    ip               text not null,
    browser          text not null,
    created_at       timestamptz not null default now(),
    seen_at          timestamptz not null default now(),
    expires_at       timestamptz not null
);
create index sessions_user on sessions (user_id);
create index sessions_expires on sessions (expires_at);

-- One-time links. The link's secret is derived from the server's key and this row's id when the mail is sent, and only
-- its hash is stored: neither a dump nor a job row holds a working link.
create table tokens (
    id         uuid primary key default gen_random_uuid(),
    token_hash bytea not null unique,
    purpose    text not null check (purpose in ('confirm', 'reset', 'invite', 'email_old', 'email_new')),
    user_id    uuid not null references users on delete cascade,
    email      text not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    used_at    timestamptz
);
create index tokens_user on tokens (user_id, purpose);
create index tokens_expires on tokens (expires_at);

-- A change of address waits until both the old and the new address have said yes.
create table email_changes (
    user_id      uuid primary key references users on delete cascade,
    email        text not null,
    old_agreed_at timestamptz,
    new_agreed_at timestamptz,
    created_at   timestamptz not null default now(),
    expires_at   timestamptz not null
);

-- Authenticator app (TOTP). The secret is sealed with the server's key. last_step refuses a code's second use.
create table authenticators (
    user_id      uuid primary key references users on delete cascade,
    secret       bytea not null,
    confirmed_at timestamptz,
    last_step    bigint not null default 0,
    created_at   timestamptz not null default now()
);

create table recovery_codes (
    id        uuid primary key default gen_random_uuid(),
    user_id   uuid not null references users on delete cascade,
    code_hash bytea not null,
    used_at   timestamptz,
    unique (user_id, code_hash)
);

create table passkeys (
    id            uuid primary key default gen_random_uuid(),
    user_id       uuid not null references users on delete cascade,
    credential_id bytea not null unique,
    credential    jsonb not null,
    name          text not null,
    created_at    timestamptz not null default now(),
    used_at       timestamptz
);
create index passkeys_user on passkeys (user_id);

-- A WebAuthn ceremony between its two requests. Deleted when it is answered.
create table passkey_ceremonies (
    id         uuid primary key default gen_random_uuid(),
    user_id    uuid references users on delete cascade,
    data       jsonb not null,
    expires_at timestamptz not null
);

-- Counts of costly or guessable deeds, shared by all processes. Losing them in a crash does no harm.
create unlogged table rate_limits (
    key       text not null,
    starts_at timestamptz not null,
    hits      int not null default 1,
    primary key (key, starts_at)
);
