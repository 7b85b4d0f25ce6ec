// Package live makes a change that one process commits show in the open pages of all processes.
//
// A service that changes something calls [Notify] in the same transaction, with topics that name what changed and never
// what it holds. Each process runs one [Hub], which hears of every committed change over one database connection and wakes
// the streams that watch its topics ([Stream], one per open page). The browser is told the topic and fetches by the normal
// route (static/js/live.js), so one place decides what somebody may see. Start reading at hub.go.
//
// A notification only speeds things up. Every hub also looks into the table live_events every two seconds, so a lost one is
// made up for within five.
package live

import (
	"context"
	"fmt"
	"regexp"

	"portico/app/db"
)

// channel is what hubs listen on. Its payload is a change: the transaction's id, a space, the topic.
const channel = "portico_live"

// topicForm is a kind of thing, or one thing by its id: "mail", "user:5f0c…". A topic becomes a line of an event stream and
// an event's name in the browser.
var topicForm = regexp.MustCompile(`^[a-z][a-z-]{0,31}(:[A-Za-z0-9_-]{1,64})?$`)

// Notify tells every open page that watches one of the topics that it changed, when and only if tx commits. Topics name
// what changed, such as "mail", "mail:ID", "jobs", "user:ID" or "session:ID", and carry no content: they go to browsers.
//
// Commits that notify wait for one another for a moment (PostgreSQL keeps notifications in commit order), so call it once
// per transaction with all topics, late.
func Notify(ctx context.Context, tx db.Conn, topics ...string) error {
	for _, topic := range topics {
		if !topicForm.MatchString(topic) {
			return fmt.Errorf("notify open pages: %q is no topic", topic)
		}
	}
	if _, err := tx.Exec(ctx, `
		with topics as materialized (select distinct unnest($1::text[]) as topic),
		     added as (insert into live_events (topic) select topic from topics on conflict do nothing)
		select pg_notify($2, pg_current_xact_id()::text || ' ' || topic) from topics`, topics, channel); err != nil {
		return fmt.Errorf("notify open pages: %w", err)
	}
	return nil
}
