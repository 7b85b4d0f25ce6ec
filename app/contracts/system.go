package contracts

import (
	"context"

	"portico/app/db"

	"github.com/jackc/pgx/v5"
)

// System is what the portal itself is to a contract: the relation of what happens by the clock. No line of the policy names it.
const System = "system"

const systemAccess = "'" + System + "' as relation, '{}'::text[] as permissions, null::uuid as delegate_id, null::timestamptz as accepted_at"

// LockForSystem locks a contract and returns it with all its products as the portal itself sees them, for jobs and hooks that act for
// nobody, or after they asked for the right. Returns app.ErrNotFound for one that is not there.
func LockForSystem(ctx context.Context, tx pgx.Tx, id string) (Item, error) {
	if _, err := tx.Exec(ctx, "select from contracts where id = $1 for no key update", id); err != nil {
		return Item{}, err
	}
	c, err := db.One[Contract](ctx, tx, "select "+Columns+", "+systemAccess+" from contracts c where c.id = $1", id)
	if err != nil {
		return Item{}, err
	}
	products, err := db.All[Product](ctx, tx, "select "+ProductColumns+", "+systemAccess+`
		from contract_products p join contracts c on c.id = p.contract_id where p.contract_id = $1 order by p.created_at, p.id`, id)
	if err != nil {
		return Item{}, err
	}
	item := Item{Contract: &c, Products: products}
	if len(products) > 0 {
		item.Product = products[0]
	}
	return item, nil
}
