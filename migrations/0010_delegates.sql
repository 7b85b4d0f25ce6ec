-- An account holder let into one ticket or one contract. A row is one invitation and what became of it; the newest that is invited or
-- accepted counts, the others are history. An invitation is open as long as it has a link that works; an access ends by ends_at:
-- no job has to run. 'ended' is what such an access becomes when its person is invited anew.
create table delegates (
    id          uuid primary key default gen_random_uuid(),
    ticket_id   uuid references tickets on delete cascade,
    contract_id uuid references contracts on delete cascade,
    user_id     uuid not null references users on delete cascade,
    status      text not null default 'invited' check (status in ('invited', 'accepted', 'declined', 'revoked', 'left', 'ended')),
    invited_by  uuid references users on delete set null,
    invited_by_name text not null,
    invited_at  timestamptz not null default now(), -- of the newest sending
    accepted_at timestamptz,
    finished_at timestamptz,                        -- declined, revoked, left or ended
    finished_by uuid references users on delete set null,
    finished_by_name text not null default '',
    ends_at     timestamptz,                        -- access ends by itself then; null: until it is revoked
    until_closed boolean not null default false,    -- of a ticket: writing ends with it, reading stays
    may_act     boolean not null default true,      -- of a contract: run provisioning actions
    may_tickets boolean not null default true,      -- of a contract: open and read tickets
    ask_first   boolean not null default false,     -- of a contract: what their actions change waits for the owner's approval
    asked_at    timestamptz,                        -- of a contract: asked to run actions again, and has no answer
    used_at     timestamptz,                        -- last use, noted at most once an hour
    created_at  timestamptz not null default now(),
    check (num_nonnulls(ticket_id, contract_id) = 1),
    check ((status in ('declined', 'revoked', 'left', 'ended')) = (finished_at is not null)),
    check (status <> 'accepted' or accepted_at is not null)
);
create unique index delegates_of_ticket on delegates (ticket_id, user_id) where status in ('invited', 'accepted') and ticket_id is not null;
create unique index delegates_of_contract on delegates (contract_id, user_id) where status in ('invited', 'accepted') and contract_id is not null;
create index delegates_user on delegates (user_id, accepted_at desc) where status = 'accepted';
create index delegates_ending on delegates (ends_at) where status = 'accepted' and ends_at is not null;
create index delegates_ticket_history on delegates (ticket_id, created_at desc) where ticket_id is not null;
create index delegates_contract_history on delegates (contract_id, created_at desc) where contract_id is not null;
create index delegates_user_contracts on delegates (user_id, accepted_at desc, contract_id desc) where status = 'accepted' and contract_id is not null;

-- An invitation's link is one of the one-time links, and dies with it.
alter table tokens drop constraint tokens_purpose_check;
alter table tokens add constraint tokens_purpose_check check (purpose in ('confirm', 'reset', 'invite', 'email_old', 'email_new', 'delegate', 'account'));
alter table tokens add column delegate_id uuid references delegates on delete cascade;
alter table tokens add constraint tokens_delegate_check check (delegate_id is null or purpose = 'delegate');
create index tokens_delegate on tokens (delegate_id) where delegate_id is not null;

-- Somebody whom an account's owner asks to become another user of it. A row ends when it is answered or withdrawn, and its links with
-- it; permissions are what they will have.
create table account_invitations (
    id          uuid primary key default gen_random_uuid(),
    account_id  uuid not null references accounts on delete cascade,
    user_id     uuid not null references users on delete cascade,
    permissions text[] not null default '{}',
    invited_by  uuid references users on delete set null,
    invited_by_name text not null,
    created_at  timestamptz not null default now(),
    unique (account_id, user_id)
);
create index account_invitations_user on account_invitations (user_id);
alter table tokens add column account_invitation_id uuid references account_invitations on delete cascade;
create index tokens_account_invitation on tokens (account_invitation_id) where account_invitation_id is not null;
