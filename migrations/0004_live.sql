-- What changed lately, for pages that are open (see app/live). Notifications carry the same names; here a process finds the
-- ones it was not told of. xid is the transaction that made the change: "what committed since I last looked" is then a
-- question to PostgreSQL's own snapshots, in whatever order transactions commit. Losing the rows in a crash does no harm:
-- every open page fetches afresh after it.
create unlogged table live_events (
    xid   xid8 not null default pg_current_xact_id(),
    topic text not null check (length(topic) between 1 and 100),
    primary key (xid, topic)
);
