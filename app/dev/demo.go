package dev

import (
	"context"
	"fmt"
	"time"

	"portico/app/auth"
	"portico/app/db"
	"portico/app/keys"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// DemoPassword is everybody's password in the demo store.
const DemoPassword = "portico-demo"

// People are the demo store's, in the order of the sign-in page.
var People = []auth.DemoPerson{
	{Name: "Ada Moreau", Email: "ada@northwind.example", Is: "Admin of the store"},
	{Name: "Sam Okafor", Email: "sam@northwind.example", Is: "Staff, Technical support"},
	{Name: "Priya Shah", Email: "priya@northwind.example", Is: "Staff, Billing"},
	{Name: "Bea Lindqvist", Email: "bea@bluebird.example", Is: "Client, owner of Bluebird Bakery"},
	{Name: "Dev Team 1", Email: "dev@devteam.example", Is: "Account holder, not a delegate yet"},
	{Name: "Stella Novak", Email: "stella@corvid.example", Is: "Another client"},
	{Name: "Lee Park", Email: "lee@papertrail.example", Is: "Lead, nothing bought"},
	{Name: "Noor Haddad", Email: "noor@atelier.example", Is: "Client"},
}

// staffRights are the named permissions and the department of each member of the demo store's staff.
var staffRights = map[string]struct {
	role        string
	department  string
	permissions []string
}{
	"ada@northwind.example": {"admin", "", nil},
	"sam@northwind.example": {"staff", "Technical support", []string{
		"accounts.view", "tickets.open_for_client", "contracts.delegates", "provisioning.login", "provisioning.change", "provisioning.logs", "provisioning.debug",
	}},
	"priya@northwind.example": {"staff", "Billing", []string{
		"accounts.view", "billing.view", "billing.manage", "contracts.auto_renew", "contracts.cancel", "contracts.upgrade", "contracts.modify",
	}},
}

// holders are the accounts of the demo store's clients and leads. since is in days before the store is loaded; 0 is a lead.
var holders = map[string]struct {
	account string
	kind    string
	since   int
}{
	"bea@bluebird.example":   {"Bluebird Bakery", "company", 620},
	"dev@devteam.example":    {"Dev Team 1", "company", 0},
	"stella@corvid.example":  {"Corvid Press", "company", 410},
	"lee@papertrail.example": {"Lee Park", "person", 0},
	"noor@atelier.example":   {"Atelier Haddad", "company", 300},
}

// LoadDemo fills an empty database with the demo store. A database with any user in it is left alone, and loaded says so.
// The keys seal the credentials of its providers.
func LoadDemo(ctx context.Context, pool *pgxpool.Pool, hasher *auth.Hasher, ring *keys.Ring) (loaded bool, err error) {
	hash, err := hasher.Hash(ctx, DemoPassword)
	if err != nil {
		return false, fmt.Errorf("load the demo store: %w", err)
	}
	err = db.InTx(ctx, pool, func(tx pgx.Tx) error {
		// Two starts at once must not both find the database empty.
		if _, err := tx.Exec(ctx, "lock table users in exclusive mode"); err != nil {
			return err
		}
		var people bool
		if err := tx.QueryRow(ctx, "select exists (select from users)").Scan(&people); err != nil || people {
			return err
		}
		loaded = true
		if err := loadPeople(ctx, tx, hash); err != nil {
			return err
		}
		if err := loadContracts(ctx, tx); err != nil {
			return err
		}
		if err := loadSandbox(ctx, tx, pool, ring); err != nil {
			return err
		}
		if err := loadBilling(ctx, tx); err != nil {
			return err
		}
		if err := loadTickets(ctx, tx); err != nil {
			return err
		}
		if err := loadDelegates(ctx, tx); err != nil {
			return err
		}
		if err := loadRuns(ctx, tx, fewRuns, 1); err != nil {
			return err
		}
		return loadAsked(ctx, tx)
	})
	if err != nil {
		return false, fmt.Errorf("load the demo store: %w", err)
	}
	return loaded, nil
}

func loadPeople(ctx context.Context, tx pgx.Tx, hash string) error {
	_, err := tx.Exec(ctx, `
		update store set name = 'Northwind Hosting', brand_colour = '#00637b', sender_address = 'hello@northwind.example',
			signature = 'Northwind Hosting, Harbour Street 12', time_zone = 'Europe/Stockholm', currency = 'EUR', version = version + 1`)
	if err != nil {
		return fmt.Errorf("name the store: %w", err)
	}
	_, err = tx.Exec(ctx, `
		insert into departments (name, position) select name, n from unnest(array['Technical support', 'Billing', 'Sales']) with ordinality as d (name, n)`)
	if err != nil {
		return fmt.Errorf("open departments: %w", err)
	}
	for i, person := range People {
		staff := staffRights[person.Email]
		var id string
		err := tx.QueryRow(ctx, `
			insert into users (name, email, email_confirmed_at, password_hash, password_set_at, role, created_at)
			values ($1, $2, now(), $3, now(), nullif($4, ''), now() - $5::interval) returning id`,
			person.Name, person.Email, hash, staff.role, time.Duration(30+i)*24*time.Hour).Scan(&id)
		if err != nil {
			return fmt.Errorf("add %s: %w", person.Name, err)
		}
		if _, err := tx.Exec(ctx, "insert into staff_permissions (user_id, permission) select $1, unnest($2::text[])", id, staff.permissions); err != nil {
			return fmt.Errorf("give %s permissions: %w", person.Name, err)
		}
		if _, err := tx.Exec(ctx, `
			insert into staff_departments (user_id, department_id) select $1, id from departments where name = $2`, id, staff.department); err != nil {
			return fmt.Errorf("give %s a department: %w", person.Name, err)
		}
		if holder, ok := holders[person.Email]; ok {
			_, err := tx.Exec(ctx, `
				with account as (
					insert into accounts (name, kind, became_client_at, created_at)
					values ($1, $2, case when $3 > 0 then now() - $3 * interval '1 day' end, now() - greatest($3, 30) * interval '1 day') returning id, created_at)
				insert into account_users (account_id, user_id, relation, created_at) select id, $4, 'owner', created_at from account`,
				holder.account, holder.kind, holder.since, id)
			if err != nil {
				return fmt.Errorf("open the account %s: %w", holder.account, err)
			}
		}
	}
	return nil
}
