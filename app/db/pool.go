// Package db opens the database, migrates it, and holds the few helpers that every store file uses. SQL itself stands in
// the store.go of each domain.
package db

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"portico/app"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Conn is what a store function needs: a pool, or a transaction.
type Conn interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

// Open connects a pool. It waits up to wait for the database to answer, and then returns why it doesn't.
func Open(ctx context.Context, url string, wait time.Duration) (*pgxpool.Pool, error) {
	return OpenTraced(ctx, url, wait, nil)
}

// OpenTraced is Open with somebody who is told of every query; nil is nobody.
func OpenTraced(ctx context.Context, url string, wait time.Duration, tracer pgx.QueryTracer) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, errors.New("DATABASE_URL can't be read as an address of PostgreSQL, e.g. postgres://portico@db.example/portico")
	}
	config.ConnConfig.RuntimeParams["application_name"] = "portico"
	config.ConnConfig.RuntimeParams["timezone"] = "UTC"
	config.ConnConfig.ConnectTimeout = 5 * time.Second
	config.ConnConfig.Tracer = tracer
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("open the database pool: %w", err)
	}
	deadline := time.Now().Add(wait)
	for {
		err = pool.Ping(ctx)
		if err == nil {
			return pool, nil
		}
		if ctx.Err() != nil || time.Now().After(deadline) {
			pool.Close()
			return nil, &Unreachable{config.ConnConfig.Host, wait, err}
		}
		select {
		case <-ctx.Done():
		case <-time.After(250 * time.Millisecond):
		}
	}
}

// Unreachable says that no database answered. Its text is one line; the cause has the rest.
type Unreachable struct {
	Host  string
	After time.Duration
	cause error
}

func (e *Unreachable) Error() string {
	reason, _, _ := strings.Cut(e.cause.Error(), "\n")
	return fmt.Sprintf("DATABASE_URL names a database at %s that did not answer within %s: check the address, and that PostgreSQL runs there (%s)", e.Host, e.After, reason)
}

func (e *Unreachable) Unwrap() error { return e.cause }

// InTx runs work in one transaction: committed if it returns nil, rolled back otherwise.
func InTx(ctx context.Context, pool *pgxpool.Pool, work func(tx pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, pool, work)
}

// One reads exactly one row into T by column name, or returns app.ErrNotFound.
func One[T any](ctx context.Context, conn Conn, sql string, args ...any) (T, error) {
	rows, err := conn.Query(ctx, sql, args...)
	if err != nil {
		var zero T
		return zero, err
	}
	row, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[T])
	if errors.Is(err, pgx.ErrNoRows) {
		return row, app.ErrNotFound
	}
	return row, err
}

// All reads every row into T by column name.
func All[T any](ctx context.Context, conn Conn, sql string, args ...any) ([]T, error) {
	rows, err := conn.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByName[T])
}

// Violates tells whether err is the violation of the named unique index or constraint.
func Violates(err error, constraint string) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.ConstraintName == constraint
}

// Contains makes an ilike pattern that finds text anywhere; "" stays "".
func Contains(text string) string {
	if text == "" {
		return ""
	}
	return "%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(text) + "%"
}
