-- The provision logs: how runs are found, counted, watched and kept. Start with app/provisionlogs.

-- The smallest id of version 7 that can have been made at a moment or later.
create function provision_id_from(at timestamptz) returns uuid language sql immutable strict parallel safe as $$
    select (lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$$;

-- What makes words of a text, the same for what is stored and for what is looked for.
create function provision_words(text) returns text language sql immutable strict parallel safe as $$
    select lower(translate($1, '-_./\@:;,()[]{}<>="''`#?!&+*|%$~^', repeat(' ', 40)))
$$;

-- The words of a run, of which each may be looked for by its beginning.
alter table provision_runs add column search tsvector generated always as (to_tsvector('simple', provision_words(
    id::text || ' ' || message || ' ' || product_name || ' ' || domain || ' ' || username || ' ' || account_name || ' ' || actor_name))) stored;

create index provision_runs_search on provision_runs using gin (search);
create index provision_runs_status on provision_runs (status, id desc);
create index provision_runs_action on provision_runs (action, id desc);
create index provision_runs_driver on provision_runs (driver, id desc);
create index provision_runs_category on provision_runs (category, id desc);
create index provision_runs_actor on provision_runs (actor_id, id desc);
create index provision_runs_finished on provision_runs (finished_at) where finished_at is not null;

-- How many runs began in which minute (slot 1), hour (60) and day (1440, of UTC), by what the logs can be filtered by. Rows with ''
-- for category, action and driver are the sums over all of them.
create table provision_counts (
    slot     int not null check (slot in (1, 60, 1440)),
    at       timestamptz not null,
    status   text not null,
    category text not null,
    action   text not null,
    driver   text not null,
    runs     bigint not null,
    primary key (slot, category, action, driver, at, status)
);
create index provision_counts_action on provision_counts (slot, action, at) where category <> '';
create index provision_counts_driver on provision_counts (slot, driver, at) where category <> '';
create index provision_counts_category on provision_counts (slot, category, at) where category <> '';

-- What has to be added to the counts. Runs that change at the same time would wait for one another if they changed a count; adding
-- a row waits for nobody. A job adds them up every few seconds; until then whoever counts reads both.
create table provision_count_changes (
    id       bigint generated always as identity primary key,
    minute   timestamptz not null,
    status   text not null,
    category text not null,
    action   text not null,
    driver   text not null,
    runs     bigint not null
);

create index provision_count_changes_minute on provision_count_changes (minute);

-- Which runs changed lately, for pages that are open: the same idea as live_events, with the runs themselves. Losing the rows in a
-- crash does no harm: every open page fetches afresh after it.
create unlogged table provision_changes (
    xid    xid8 not null default pg_current_xact_id(),
    run_id uuid not null,
    primary key (xid, run_id)
);

-- Up to which transaction changes were thrown away, and the marks by which the age of transactions is known.
create table provision_change_marks (
    at  timestamptz primary key default clock_timestamp(),
    xid xid8 not null
);
create table provision_changes_kept (
    only_row boolean primary key default true check (only_row),
    xid      xid8 not null -- changes of this transaction and later ones are all there
);
insert into provision_changes_kept (xid) values ('0');

-- Counting and telling happen in the transaction of whatever changes runs, however it changes them.
create function provision_runs_added() returns trigger language plpgsql as $$
begin
    if not exists (select from added) then return null; end if;
    insert into provision_count_changes (minute, status, category, action, driver, runs)
        select date_trunc('minute', created_at), status, category, action, driver, count(*) from added group by 1, 2, 3, 4, 5;
    insert into provision_changes (run_id) select id from added on conflict do nothing;
    insert into live_events (topic) values ('provision-logs') on conflict do nothing;
    perform pg_notify('portico_live', pg_current_xact_id()::text || ' provision-logs');
    return null;
end $$;

create function provision_runs_changed() returns trigger language plpgsql as $$
begin
    if not exists (select from changed) then return null; end if;
    insert into provision_count_changes (minute, status, category, action, driver, runs)
        select minute, status, category, action, driver, sum(runs) from (
            select date_trunc('minute', created_at) as minute, status, category, action, driver, 1 as runs from changed
            union all select date_trunc('minute', created_at), status, category, action, driver, -1 from before) as d
        group by 1, 2, 3, 4, 5 having sum(runs) <> 0;
    insert into provision_changes (run_id) select id from changed on conflict do nothing;
    insert into live_events (topic) values ('provision-logs') on conflict do nothing;
    perform pg_notify('portico_live', pg_current_xact_id()::text || ' provision-logs');
    return null;
end $$;

create function provision_runs_removed() returns trigger language plpgsql as $$
begin
    insert into provision_count_changes (minute, status, category, action, driver, runs)
        select date_trunc('minute', created_at), status, category, action, driver, -count(*) from removed group by 1, 2, 3, 4, 5;
    insert into provision_changes (run_id) select id from removed on conflict do nothing;
    return null;
end $$;

create trigger provision_runs_added after insert on provision_runs
    referencing new table as added for each statement execute function provision_runs_added();
create trigger provision_runs_changed after update on provision_runs
    referencing old table as before new table as changed for each statement execute function provision_runs_changed();
create trigger provision_runs_removed after delete on provision_runs
    referencing old table as removed for each statement execute function provision_runs_removed();

-- Makes the partitions of the month that holds a moment, where they lack. Rows that came before their month had one are moved
-- into it, past the triggers, which are the parent's.
create function provision_month(moment timestamptz) returns void language plpgsql as $$
declare
    month  timestamptz := date_trunc('month', moment at time zone 'UTC') at time zone 'UTC';
    suffix text := to_char(month at time zone 'UTC', '"_"YYYY"_"MM');
    low    uuid := provision_id_from(month);
    high   uuid := provision_id_from((month at time zone 'UTC' + interval '1 month') at time zone 'UTC');
    parent text;
    key    text;
begin
    foreach parent in array array['provision_runs', 'provision_attempts', 'provision_debug'] loop
        continue when to_regclass(parent || suffix) is not null;
        key := case parent when 'provision_runs' then 'id' else 'run_id' end;
        execute format('create table %I (like %I including all)', parent || suffix, parent);
        execute format('lock table %I in share update exclusive mode', parent);
        execute format('lock table %I in access exclusive mode', parent || '_rest');
        execute (
            select format('with moved as (delete from %I where %I >= %L and %I < %L returning %s) insert into %I (%s) select * from moved',
                parent || '_rest', key, low, key, high, columns, parent || suffix, columns)
            from (select string_agg(quote_ident(attname), ', ' order by attnum) as columns from pg_attribute
                  where attrelid = to_regclass(parent) and attnum > 0 and not attisdropped and attgenerated = '') as c);
        execute format('alter table %I attach partition %I for values from (%L) to (%L)', parent, parent || suffix, low, high);
    end loop;
end $$;

select provision_month(now() + n * interval '1 month') from generate_series(-1, 1) as n;

-- Filters of the provision logs that somebody keeps; shared ones are everybody's of the store who may read the logs. query is the
-- filter as it stands in an address.
create table log_filters (
    id         uuid primary key default gen_random_uuid(),
    user_id    uuid not null references users on delete cascade,
    name       text not null check (length(name) between 1 and 100),
    query      text not null check (length(query) <= 4000),
    shared     boolean not null default false,
    created_at timestamptz not null default now()
);
create unique index log_filters_name on log_filters (user_id, lower(name));
create index log_filters_shared on log_filters (lower(name)) where shared;

-- Filters that mail the store's admins when more than a number of runs match within some minutes. Hours are of the store's time
-- zone; from quiet_from to quiet_to, which may lie on the next day, no mail goes out.
create table log_alerts (
    id         uuid primary key default gen_random_uuid(),
    name       text not null check (length(name) between 1 and 100),
    query      text not null check (length(query) <= 4000),
    more_than  int not null check (more_than between 0 and 10000),
    minutes    int not null check (minutes between 1 and 1440),
    quiet_from time,
    quiet_to   time,
    told_at    timestamptz, -- of the last mail
    created_at timestamptz not null default now(),
    check ((quiet_from is null) = (quiet_to is null))
);

-- How long runs are kept. Whole months go, so a run may stay up to a month longer; debug data goes by the day.
create table log_settings (
    only_row   boolean primary key default true check (only_row),
    months     int not null default 24 check (months between 1 and 120),
    debug_days int not null default 30 check (debug_days between 1 and 3650)
);
insert into log_settings default values;
