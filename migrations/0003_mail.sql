-- One e-mail to one recipient. The row is the truth, its job carries only the id. data holds ids and plain facts that
-- the template needs: never a link, token or password.
create table mail_deliveries (
    id          uuid primary key default gen_random_uuid(),
    key         text not null unique, -- one mail per event and recipient
    kind        text not null,        -- which mail it is, e.g. 'confirm-address'
    user_id     uuid references users on delete set null,
    token_id    uuid references tokens on delete set null,
    recipient   text not null,
    name        text not null default '',
    language    text not null default 'en',
    time_zone   text not null default '',
    subject     text not null default '',
    data        jsonb not null default '{}',
    status      text not null default 'queued'
                check (status in ('queued', 'sending', 'retrying', 'sent', 'failed', 'cancelled')),
    reason      text not null default '' -- why it failed or was cancelled
                check (reason in ('', 'user-gone', 'user-disabled', 'address-changed', 'link-dead', 'own-address', -- cancelled
                                  'bad-address', 'refused', 'gave-up', 'too-many', 'job-lost')),                  -- failed
    attempts    int not null default 0,  -- the number of the newest attempt
    answer      text not null default '', -- the server's last answer, redacted
    created_at  timestamptz not null default now(),
    next_at     timestamptz,             -- when the next attempt is due, for one that waits
    finished_at timestamptz,
    check ((finished_at is not null) = (status in ('sent', 'failed', 'cancelled'))),
    check ((reason <> '') = (status in ('failed', 'cancelled')))
);
create index mail_deliveries_created on mail_deliveries (created_at desc, id desc);
create index mail_deliveries_status on mail_deliveries (status, created_at desc, id desc);
create index mail_deliveries_user on mail_deliveries (user_id, created_at desc);
create index mail_deliveries_recipient on mail_deliveries (lower(recipient), kind, finished_at);
create index mail_deliveries_token on mail_deliveries (token_id) where token_id is not null;

-- One try at handing a mail to the mail server, written before the server is called. outcome is null while it runs.
create table mail_attempts (
    delivery_id uuid not null references mail_deliveries on delete cascade,
    attempt     int not null,
    started_at  timestamptz not null default now(),
    finished_at timestamptz,
    outcome     text check (outcome in ('accepted', 'deferred', 'refused', 'unreachable', 'unknown')),
    code        int,                  -- the SMTP reply code, null when the server never answered
    answer      text not null default '',
    primary key (delivery_id, attempt),
    check ((finished_at is null) = (outcome is null))
);
