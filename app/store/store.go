package store

import (
	"context"
	"fmt"

	"portico/app"
	"portico/app/db"

	"github.com/jackc/pgx/v5"
)

const settingsColumns = `name, brand_colour, sender_address, signature, time_zone, currency, language,
	logo is not null as has_logo, version, updated_at`

// Load reads the settings. One cheap query: the logo itself stays where it is.
func Load(ctx context.Context, conn db.Conn) (Settings, error) {
	settings, err := db.One[Settings](ctx, conn, "select "+settingsColumns+" from store")
	if err != nil {
		return Settings{}, fmt.Errorf("load the store: %w", err)
	}
	return settings, nil
}

// lockSettings is Load for writers: a second one waits for the first.
func lockSettings(ctx context.Context, tx pgx.Tx) (Settings, error) {
	settings, err := db.One[Settings](ctx, tx, "select "+settingsColumns+" from store for update")
	if err != nil {
		return Settings{}, fmt.Errorf("lock the store: %w", err)
	}
	return settings, nil
}

func updateSettings(ctx context.Context, tx pgx.Tx, s Settings) error {
	_, err := tx.Exec(ctx, `
		update store set name = $1, brand_colour = $2, sender_address = $3, signature = $4, time_zone = $5, currency = $6,
			language = $7, version = version + 1, updated_at = clock_timestamp()`,
		s.Name, s.BrandColour, s.SenderAddress, s.Signature, s.TimeZone, s.Currency, s.Language)
	return err
}

// updateLogo stores a logo, or with the zero Logo removes it.
func updateLogo(ctx context.Context, tx pgx.Tx, logo Logo) error {
	_, err := tx.Exec(ctx, "update store set logo = $1, logo_type = nullif($2, ''), updated_at = clock_timestamp()", logo.Content, logo.Type)
	return err
}

// currentLogo returns the logo, or app.ErrNotFound.
func currentLogo(ctx context.Context, conn db.Conn) (Logo, error) {
	return db.One[Logo](ctx, conn, "select logo as content, logo_type as type from store where logo is not null")
}

const departmentColumns = "id, name, position, archived_at"

// ListDepartments returns the departments in use, in order. They are no secret: whoever opens a ticket chooses among them.
func ListDepartments(ctx context.Context, conn db.Conn) ([]Department, error) {
	departments, err := db.All[Department](ctx, conn,
		"select "+departmentColumns+" from departments where archived_at is null order by position, lower(name), id")
	if err != nil {
		return nil, fmt.Errorf("list departments: %w", err)
	}
	return departments, nil
}

// allDepartments lists the archived ones too, after the others.
func allDepartments(ctx context.Context, conn db.Conn) ([]Department, error) {
	return db.All[Department](ctx, conn,
		"select "+departmentColumns+" from departments order by archived_at is not null, position, lower(name), id")
}

func departmentByID(ctx context.Context, conn db.Conn, id string) (Department, error) {
	return db.One[Department](ctx, conn, "select "+departmentColumns+" from departments where id = $1", id)
}

// lockDepartments holds off everybody else who changes departments until the transaction ends. Readers go on.
func lockDepartments(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, "lock table departments in share row exclusive mode")
	return err
}

// insertDepartment adds a department at the end.
func insertDepartment(ctx context.Context, tx pgx.Tx, name string) (Department, error) {
	department, err := db.One[Department](ctx, tx, `
		insert into departments (name, position) select $1, coalesce(max(position) + 1, 0) from departments
		returning `+departmentColumns, name)
	return department, nameTaken(err)
}

func renameDepartment(ctx context.Context, tx pgx.Tx, id, name string) error {
	_, err := tx.Exec(ctx, "update departments set name = $2 where id = $1", id, name)
	return nameTaken(err)
}

func archiveDepartment(ctx context.Context, tx pgx.Tx, id string) error {
	_, err := tx.Exec(ctx, "update departments set archived_at = now() where id = $1", id)
	return err
}

// restoreDepartment puts a department back into use, at the end.
func restoreDepartment(ctx context.Context, tx pgx.Tx, id string) error {
	_, err := tx.Exec(ctx, `
		update departments set archived_at = null, position = (select coalesce(max(position) + 1, 0) from departments)
		where id = $1`, id)
	return err
}

func placeDepartment(ctx context.Context, tx pgx.Tx, id string, position int) error {
	_, err := tx.Exec(ctx, "update departments set position = $2 where id = $1", id, position)
	return err
}

// departmentsName is the index that keeps names in use unique.
const departmentsName = "departments_name"

func nameTaken(err error) error {
	if db.Violates(err, departmentsName) {
		return app.Invalidf("name", "store.department-exists")
	}
	return err
}

// silenceOf reads when a department's tickets are closed, or with "" those without one.
func silenceOf(ctx context.Context, conn db.Conn, departmentID string) (Silence, error) {
	const columns = "silence_warn_days as warn_days, silence_close_days as close_days"
	if departmentID == "" {
		return db.One[Silence](ctx, conn, "select "+columns+" from store")
	}
	return db.One[Silence](ctx, conn, "select "+columns+" from departments where id = $1", departmentID)
}

func setSilence(ctx context.Context, tx pgx.Tx, departmentID string, s Silence) error {
	if departmentID == "" {
		_, err := tx.Exec(ctx, "update store set silence_warn_days = $1, silence_close_days = $2", s.WarnDays, s.CloseDays)
		return err
	}
	_, err := tx.Exec(ctx, "update departments set silence_warn_days = $2, silence_close_days = $3 where id = $1", departmentID, s.WarnDays, s.CloseDays)
	return err
}
