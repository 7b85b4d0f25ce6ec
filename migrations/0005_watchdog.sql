-- When admins were last told of a cause by mail (see app/watchdog), so that they are told once an hour.
create table watchdog_alerts (
    cause   text primary key,
    told_at timestamptz not null
);

-- The newest attempts, whatever mail they were of.
create index mail_attempts_finished on mail_attempts (finished_at desc) where finished_at is not null;
