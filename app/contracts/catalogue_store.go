package contracts

import (
	"context"
	"fmt"
	"slices"

	"portico/app"
	"portico/app/db"

	"github.com/jackc/pgx/v5"
)

// catalogue lists products with their plans and options in four queries, those not sold any more last. id picks one, "" all.
func catalogue(ctx context.Context, conn db.Conn, id string) ([]CatalogueProduct, error) {
	products, err := db.All[CatalogueProduct](ctx, conn, `
		select id, name, description, category, kind, position, archived_at from products where $1 = '' or id = nullif($1, '')::uuid
		order by archived_at is not null, position, lower(name), id`, id)
	if err != nil {
		return nil, fmt.Errorf("read the catalogue: %w", err)
	}
	plans, err := db.All[Plan](ctx, conn, `
		select id, product_id, name, cycle_months, term_months, price_minor, package, position, archived_at from plans
		where $1 = '' or product_id = nullif($1, '')::uuid order by archived_at is not null, position, lower(name), id`, id)
	if err != nil {
		return nil, fmt.Errorf("read the plans of the catalogue: %w", err)
	}
	paths, err := db.All[struct{ FromID, ToID string }](ctx, conn, `
		select pp.from_id, pp.to_id from plan_paths pp join plans p on p.id = pp.from_id where $1 = '' or p.product_id = nullif($1, '')::uuid`, id)
	if err != nil {
		return nil, fmt.Errorf("read the paths of the catalogue: %w", err)
	}
	options, err := db.All[Option](ctx, conn, `
		select id, product_id, name, price_minor, position, archived_at from product_options
		where $1 = '' or product_id = nullif($1, '')::uuid order by archived_at is not null, position, lower(name), id`, id)
	if err != nil {
		return nil, fmt.Errorf("read the options of the catalogue: %w", err)
	}
	for _, option := range options {
		if k := slices.IndexFunc(products, func(p CatalogueProduct) bool { return p.ID == option.ProductID }); k >= 0 {
			products[k].Options = append(products[k].Options, option)
		}
	}
	for i := range plans {
		for _, path := range paths {
			if path.FromID == plans[i].ID {
				plans[i].Paths = append(plans[i].Paths, path.ToID)
			}
		}
		if k := slices.IndexFunc(products, func(p CatalogueProduct) bool { return p.ID == plans[i].ProductID }); k >= 0 {
			products[k].Plans = append(products[k].Plans, plans[i])
		}
	}
	return products, nil
}

func insertProduct(ctx context.Context, tx pgx.Tx, e CatalogueEntry) (id string, err error) {
	err = tx.QueryRow(ctx, `
		insert into products (name, description, category, kind, position)
		values ($1, $2, $3, $4, coalesce((select max(position) + 1 from products), 0)) returning id::text`, e.Name, e.Description, e.Category, e.Kind).Scan(&id)
	return id, err
}

func updateProduct(ctx context.Context, tx pgx.Tx, id string, e CatalogueEntry) error {
	_, err := tx.Exec(ctx, "update products set name = $2, description = $3, category = $4 where id = $1", id, e.Name, e.Description, e.Category)
	return err
}

func insertOption(ctx context.Context, tx pgx.Tx, productID string, e OptionEntry) error {
	_, err := tx.Exec(ctx, `
		insert into product_options (product_id, name, price_minor, position)
		values ($1, $2, $3, coalesce((select max(position) + 1 from product_options where product_id = $1), 0))`, productID, e.Name, e.PriceMinor)
	return err
}

func updateOption(ctx context.Context, tx pgx.Tx, id string, e OptionEntry) error {
	_, err := tx.Exec(ctx, "update product_options set name = $2, price_minor = $3 where id = $1", id, e.Name, e.PriceMinor)
	return err
}

// archive takes a row of products, plans or product_options out of sale, or puts it back. table is never a person's input.
func archive(ctx context.Context, tx pgx.Tx, table, id string, restore bool) error {
	_, err := tx.Exec(ctx, "update "+table+" set archived_at = case when not $2 then now() end where id = $1", id, restore)
	return err
}

func insertPlan(ctx context.Context, tx pgx.Tx, productID string, e PlanEntry) (id string, err error) {
	err = tx.QueryRow(ctx, `
		insert into plans (product_id, name, cycle_months, term_months, price_minor, package, position)
		values ($1, $2, nullif($3, 0), nullif($4, 0), $5, $6, coalesce((select max(position) + 1 from plans where product_id = $1), 0)) returning id::text`,
		productID, e.Name, e.CycleMonths, e.TermMonths, e.PriceMinor, e.Package).Scan(&id)
	return id, err
}

func updatePlan(ctx context.Context, tx pgx.Tx, id string, e PlanEntry) error {
	_, err := tx.Exec(ctx, `
		update plans set name = $2, cycle_months = nullif($3, 0), term_months = nullif($4, 0), price_minor = $5, package = $6 where id = $1`,
		id, e.Name, e.CycleMonths, e.TermMonths, e.PriceMinor, e.Package)
	return err
}

func setPaths(ctx context.Context, tx pgx.Tx, id string, paths []string) error {
	batch := &pgx.Batch{}
	batch.Queue("delete from plan_paths where from_id = $1", id)
	batch.Queue("insert into plan_paths (from_id, to_id) select $1, unnest($2::uuid[]) on conflict do nothing", id, paths)
	return tx.SendBatch(ctx, batch).Close()
}

// pathsFrom lists plans in sale of a product's category and kind, but for one of them.
func pathsFrom(ctx context.Context, conn db.Conn, product CatalogueProduct, planID string) ([]PathChoice, error) {
	choices, err := db.All[PathChoice](ctx, conn, `
		select l.id, p.name as product, l.name from plans l join products p on p.id = l.product_id
		where p.category = $1 and p.kind = $2 and p.kind = 'subscription' and p.archived_at is null and l.archived_at is null and l.id::text <> $3
		order by p.position, lower(p.name), l.position, l.id`, product.Category, product.Kind, planID)
	if err != nil {
		return nil, fmt.Errorf("list the plans that a path may lead to: %w", err)
	}
	return choices, nil
}

// accountThere returns app.ErrNotFound for an id that is no account's.
func accountThere(ctx context.Context, conn db.Conn, id string) error {
	var there bool
	if err := conn.QueryRow(ctx, "select exists (select from accounts where id = $1)", id).Scan(&there); err != nil {
		return fmt.Errorf("find account %s: %w", id, err)
	}
	if !there {
		return fmt.Errorf("find account %s: %w", id, app.ErrNotFound)
	}
	return nil
}
