-- Who changed what. Rows are added, never changed: the trigger refuses, whoever asks.
create table audit_entries (
    id          bigint generated always as identity primary key,
    at          timestamptz not null default now(),
    actor_id    uuid,
    actor_name  text not null,
    as_id       uuid,
    as_name     text not null default '',
    action      text not null,
    object_type text not null,
    object_id   text not null default '',
    object_name text not null default '',
    ip          text not null default '',
    request_id  text not null default '',
    run_id      text not null default '',
    details     jsonb not null default '{}'
);
-- Each filter of the page Activity has an index that ends in the page's order, so that a page is read from it and not sorted.
create index audit_entries_at on audit_entries (at desc, id desc);
create index audit_entries_actor on audit_entries (actor_name, at desc, id desc);
create index audit_entries_as on audit_entries (as_name, at desc, id desc) where as_name <> '';
create index audit_entries_action on audit_entries (action, at desc, id desc);
create index audit_entries_object on audit_entries (object_type, at desc, id desc);
create index audit_entries_object_action on audit_entries (object_type, action, at desc, id desc);

create function refuse_audit_change() returns trigger language plpgsql as $$
begin
    raise exception 'audit entries are only ever added' using errcode = 'insufficient_privilege';
end $$;
create trigger audit_entries_stay before update or delete or truncate on audit_entries
    for each statement execute function refuse_audit_change();
