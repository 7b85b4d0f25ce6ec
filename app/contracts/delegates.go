package contracts

import (
	"context"
	"fmt"

	"portico/app"
	"portico/app/access"
	"portico/app/db"
	"portico/app/delegates"
	"portico/app/live"

	"github.com/jackc/pgx/v5"
)

// Parent answers for contracts as what delegates are let into.
type Parent struct{}

// parentActions are the actions of delegates.Parent in the words of the policy.
var parentActions = map[string]string{
	"delegates": "delegates_view", "invite": "delegates_invite", "resend": "delegates_invite", "revoke": "delegates_revoke", "leave": "leave", "ask": "ask",
}

// May returns nil if the viewer may do something with the delegates of a contract; see delegates.Parent. Who no longer sees anything
// of a contract that is over can't leave it either: there is nothing to leave.
func (Parent) May(ctx context.Context, conn db.Conn, v app.Viewer, id, action string) error {
	if err := check(v); err != nil {
		return err
	}
	if action != "delegates" && !v.OfStore() {
		if err := access.Check(v, "delegates", "edit"); err != nil {
			return err
		}
	}
	c, err := contractByID(ctx, conn, v.UserID, id)
	if err != nil {
		return fmt.Errorf("read contract %s: %w", id, err)
	}
	return allow(c.Access, parentActions[action])
}

// Happened puts what became of a delegate into a contract's timeline and tells its open pages; see delegates.Parent.
func (Parent) Happened(ctx context.Context, tx pgx.Tx, v app.Viewer, id string, e delegates.Event) error {
	if e.Kind != "" {
		if err := Note(ctx, tx, v, id, "", e.Kind, map[string]string{"Name": e.Name}); err != nil {
			return err
		}
	}
	return live.Notify(ctx, tx, TopicOf(id), TopicOfDelegate(e.UserID))
}
