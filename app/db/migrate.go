package db

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"portico/migrations"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/tern/v2/migrate"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

// migrationLock is the advisory lock under which our migrations and River's run together, so that any number of
// processes may start at once.
const migrationLock = 0x706f727469636f // "portico"

const versionTable = "schema_version"

// undefinedTable is PostgreSQL's code for a table that is not there: https://www.postgresql.org/docs/15/errcodes-appendix.html
const undefinedTable = "42P01"

// Migrate brings the schema up to date: ours first, then River's. Safe to run twice and side by side.
func Migrate(ctx context.Context, pool *pgxpool.Pool) error {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	defer conn.Release()
	if _, err := conn.Exec(ctx, "select pg_advisory_lock($1)", int64(migrationLock)); err != nil {
		return fmt.Errorf("take the migration lock: %w", err)
	}
	// The connection goes back to the pool, so the lock must not stay on it.
	defer conn.Exec(context.WithoutCancel(ctx), "select pg_advisory_unlock($1)", int64(migrationLock))

	migrator, err := migrate.NewMigrator(ctx, conn.Conn(), versionTable)
	if err != nil {
		return fmt.Errorf("prepare migrations: %w", err)
	}
	if err := migrator.LoadMigrations(migrations.Files); err != nil {
		return fmt.Errorf("load migrations: %w", err)
	}
	migrator.OnStart = func(_ int32, name, _, _ string) { slog.InfoContext(ctx, "migrating", "migration", name) }
	if err := migrator.Migrate(ctx); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	rivers, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return fmt.Errorf("prepare River's migrations: %w", err)
	}
	if _, err := rivers.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return fmt.Errorf("run River's migrations: %w", err)
	}
	return nil
}

// ErrNotMigrated means that the schema is older than this program.
var ErrNotMigrated = errors.New("the database schema is older than this program: run portico migrate")

// Migrated checks that every migration of this program was applied.
func Migrated(ctx context.Context, pool *pgxpool.Pool) error {
	entries, err := migrations.Files.ReadDir(".")
	if err != nil {
		return err
	}
	var version int
	err = pool.QueryRow(ctx, "select version from "+versionTable).Scan(&version)
	var missing *pgconn.PgError
	if errors.As(err, &missing) && missing.Code == undefinedTable {
		return ErrNotMigrated // an empty database
	}
	if err != nil {
		return fmt.Errorf("read the schema version: %w", err)
	}
	if version < len(entries) {
		return ErrNotMigrated
	}
	return nil
}
