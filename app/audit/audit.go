// Package audit keeps one row for every change: who really acted, as whom, on what, from where, when. Rows can't be
// changed afterwards (a trigger refuses).
package audit

import (
	"context"
	"encoding/json"
	"fmt"

	"portico/app"
	"portico/app/db"
)

// Entry is what was done to what.
type Entry struct {
	Action     string // "object.verb", e.g. "password.change"; labelled in the catalogue under "activity.ACTION"
	ObjectType string // e.g. "user", "store", "department"
	ObjectID   string
	ObjectName string         // as it was called then
	AccountID  string         // whose thing it is, "" for none: the page of a client shows these
	Details    map[string]any // before and after of what changed; never a secret
}

// System is the actor of what the portal does by itself.
var System = app.Viewer{Name: "Portico"}

// Record adds the row, in the transaction of the change itself.
func Record(ctx context.Context, tx db.Conn, v app.Viewer, e Entry) error {
	details := []byte("{}")
	if e.Details != nil {
		var err error
		if details, err = json.Marshal(e.Details); err != nil {
			return fmt.Errorf("encode audit details of %s: %w", e.Action, err)
		}
	}
	_, err := tx.Exec(ctx, `
		insert into audit_entries (actor_id, actor_name, action, object_type, object_id, object_name, ip, request_id, details, account_id)
		values (nullif($1, '')::uuid, $2, $3, $4, $5, $6, $7, $8, $9, nullif($10, '')::uuid)`,
		v.UserID, v.Name, e.Action, e.ObjectType, e.ObjectID, e.ObjectName, v.IP, v.RequestID, details, e.AccountID)
	if err != nil {
		return fmt.Errorf("record %s: %w", e.Action, err)
	}
	return nil
}
