package sandbox

import (
	"context"
	"fmt"
	"maps"
	"time"

	"portico/app/db"
)

// Thing is something that is there without having been asked for over HTTP: of the demo store.
type Thing struct {
	Category string
	Ref      string         // by which calls name it
	Product  string         // the caller's id of it
	State    map[string]any // under the names that answers have
	Password string         // of the control panel, "" for none
	Since    time.Time
}

// Remember keeps a thing, and returns what an answer about it would say, with the key of a license.
func (p *Provider) Remember(ctx context.Context, conn db.Conn, t Thing) (map[string]any, error) {
	o := &op{p: p, ctx: ctx, tx: conn, now: t.Since, params: t.State, product: t.Product}
	state := map[string]any{}
	if t.Category == "domain-names" {
		state = o.domainState(1)
	}
	if t.Category == "software-licenses" {
		state["license_serial"] = 1.0
	}
	state["suspended"] = false
	maps.Copy(state, t.State)
	o.account = &account{Category: t.Category, Ref: t.Ref, Product: t.Product, State: state}
	if t.Password != "" {
		o.account.Password = hashPassword(t.Password)
	}
	if err := insertAccount(ctx, conn, o.account); err != nil {
		return nil, fmt.Errorf("keep %s of the sandbox: %w", t.Ref, err)
	}
	if t.Category == "software-licenses" {
		o.account.State["key_hash"] = fmt.Sprintf("%x", hashToken(p.licenseKey(o.account)))
		if err := updateAccount(ctx, conn, o.account); err != nil {
			return nil, fmt.Errorf("keep %s of the sandbox: %w", t.Ref, err)
		}
	}
	if err := setCreated(ctx, conn, o.account.ID, t.Since); err != nil {
		return nil, fmt.Errorf("date %s of the sandbox: %w", t.Ref, err)
	}
	for _, name := range []string{"create", "register"} {
		if d, ok := deeds[t.Category][name]; ok {
			return d.answer(o)
		}
	}
	return map[string]any{}, nil
}
