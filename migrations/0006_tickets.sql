-- Support tickets. Staff see a ticket without a department, or with one of theirs; the people of its account see it; admins see
-- all. number is what people call a ticket by; addresses carry the id.
create table tickets (
    id                  uuid primary key default gen_random_uuid(),
    number              bigint generated always as identity (start with 4101) unique,
    account_id          uuid not null references accounts,
    opener_id           uuid references users on delete set null,
    subject             text not null check (length(subject) between 1 and 200),
    department_id       uuid references departments,
    assignee_id         uuid references users on delete set null,
    status              text not null check (status in ('open', 'staff_replied', 'client_replied', 'waiting', 'closed')),
    follows_id          uuid references tickets,  -- the closed ticket that this one goes on with
    duplicate_of        uuid references tickets,  -- closed as a duplicate of it
    created_at          timestamptz not null default now(),
    updated_at          timestamptz not null default now(), -- of what the account's people can see
    last_post_at        timestamptz not null default now(),
    last_client_post_at timestamptz,
    waiting_since       timestamptz,              -- the first post that the store has yet to answer
    closed_at           timestamptz,
    version             bigint not null default 1, -- grows with every change that the account's people can see
    search              tsvector not null generated always as (to_tsvector('simple', subject)) stored,
    check ((closed_at is not null) = (status = 'closed')),
    check (duplicate_of is null or status = 'closed')
);
create index tickets_account_active on tickets (account_id, updated_at desc, id desc) where status <> 'closed';
create index tickets_account_closed on tickets (account_id, closed_at desc, id desc) where status = 'closed';
create index tickets_active on tickets (updated_at desc, id desc) where status <> 'closed';
create index tickets_status on tickets (status, updated_at desc, id desc) include (department_id, account_id);
create index tickets_department on tickets (department_id, updated_at desc, id desc) where status <> 'closed';
create index tickets_assignee on tickets (assignee_id, updated_at desc, id desc) where status <> 'closed';
create index tickets_waiting on tickets (waiting_since, id) include (department_id, account_id) where waiting_since is not null;
create index tickets_follows on tickets (follows_id) where follows_id is not null;
create index tickets_duplicates on tickets (duplicate_of) where duplicate_of is not null;
create index tickets_search on tickets using gin (search);

-- A post, or an internal note of the store. voice is what the author was to this ticket when they wrote it. html is made from
-- body when it is written.
create table ticket_messages (
    id          uuid primary key default gen_random_uuid(),
    ticket_id   uuid not null references tickets on delete cascade,
    author_id   uuid references users on delete set null,
    author_name text not null,
    voice       text not null check (voice in ('owner', 'delegate', 'store')),
    internal    boolean not null default false,
    body        text not null,
    html        text not null,
    created_at  timestamptz not null default clock_timestamp(),
    edited_at   timestamptz,
    search      tsvector not null generated always as (to_tsvector('simple', body)) stored,
    check (not internal or voice = 'store')
);
create index ticket_messages_ticket on ticket_messages (ticket_id, created_at, id);
create index ticket_messages_search on ticket_messages using gin (search);

-- What a message said before it was edited.
create table message_versions (
    message_id  uuid not null references ticket_messages on delete cascade,
    replaced_at timestamptz not null default clock_timestamp(),
    body        text not null,
    html        text not null,
    primary key (message_id, replaced_at)
);

-- What happened to a ticket, in its timeline. data holds names as they were then.
create table ticket_events (
    id         uuid primary key default gen_random_uuid(),
    ticket_id  uuid not null references tickets on delete cascade,
    at         timestamptz not null default clock_timestamp(),
    actor_id   uuid references users on delete set null,
    actor_name text not null,
    kind       text not null,
    data       jsonb not null default '{}',
    internal   boolean not null default false
);
create index ticket_events_ticket on ticket_events (ticket_id, at, id);

-- What somebody is writing. object is 'new', 'ticket:ID' (a reply), 'note:ID' (an internal note to that ticket) or 'message:ID'
-- (an edit).
create table drafts (
    user_id       uuid not null references users on delete cascade,
    object        text not null check (length(object) <= 60),
    subject       text not null default '',
    department_id text not null default '',
    body          text not null default '',
    updated_at    timestamptz not null default now(),
    primary key (user_id, object)
);

-- Mails that somebody does not want.
create table mail_refusals (
    user_id uuid not null references users on delete cascade,
    kind    text not null,
    primary key (user_id, kind)
);

-- A mail about something that its recipient may no longer see is not sent, nor one that they do not want any more.
alter table mail_deliveries drop constraint mail_deliveries_reason_check;
alter table mail_deliveries add constraint mail_deliveries_reason_check
    check (reason in ('', 'user-gone', 'user-disabled', 'address-changed', 'link-dead', 'own-address', 'no-access', 'not-wanted',
                      'bad-address', 'refused', 'gave-up', 'too-many', 'job-lost'));
