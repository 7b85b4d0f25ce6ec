-- Replies that the store's people keep for questions that come again. body may hold the placeholders of app/support.
create table saved_replies (
    id            uuid primary key default gen_random_uuid(),
    name          text not null check (length(name) between 1 and 100),
    body          text not null,
    department_id uuid references departments on delete cascade, -- null: for every department
    updated_at    timestamptz not null default now(),
    created_at    timestamptz not null default now()
);
create unique index saved_replies_name on saved_replies (lower(name));

-- Who of the store has a ticket open, until when that counts. Nobody but the store's people is ever told.
create unlogged table ticket_presence (
    ticket_id  uuid not null references tickets on delete cascade,
    user_id    uuid not null references users on delete cascade,
    doing      text not null check (doing in ('viewing', 'replying', 'noting')),
    expires_at timestamptz not null,
    primary key (ticket_id, user_id)
);
create index ticket_presence_expired on ticket_presence (expires_at);

-- Silence after a reply of the store: warned after so many days, closed so many days after the warning. Null: never. The store's
-- are for tickets without a department.
alter table store
    add column silence_warn_days  int check (silence_warn_days between 1 and 365),
    add column silence_close_days int check (silence_close_days between 1 and 365),
    add constraint store_silence check (num_nonnulls(silence_warn_days, silence_close_days) in (0, 2));
alter table departments
    add column silence_warn_days  int check (silence_warn_days between 1 and 365),
    add column silence_close_days int check (silence_close_days between 1 and 365),
    add constraint departments_silence check (num_nonnulls(silence_warn_days, silence_close_days) in (0, 2));

-- When the account's people were told the ticket would close. Every post and every status takes it back.
alter table tickets add column silence_closes_at timestamptz;
create index tickets_silent on tickets (department_id, last_post_at) where status = 'staff_replied' and silence_closes_at is null;
create index tickets_warned on tickets (silence_closes_at) where silence_closes_at is not null and status = 'staff_replied';
