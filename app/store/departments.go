package store

import (
	"context"
	"fmt"
	"slices"

	"portico/app"
	"portico/app/access"
	"portico/app/audit"
	"portico/app/db"

	"github.com/jackc/pgx/v5"
)

// Departments lists all departments: those in use in their order, then the archived ones.
func (s *Service) Departments(ctx context.Context, v app.Viewer) ([]Department, error) {
	if err := access.Check(v, "departments", "view"); err != nil {
		return nil, err
	}
	departments, err := allDepartments(ctx, s.pool)
	if err != nil {
		return nil, fmt.Errorf("list departments: %w", err)
	}
	return departments, nil
}

// Department returns one department, or app.ErrNotFound.
func (s *Service) Department(ctx context.Context, v app.Viewer, id string) (Department, error) {
	if err := access.Check(v, "departments", "view"); err != nil {
		return Department{}, err
	}
	return departmentByID(ctx, s.pool, id)
}

// maxDepartment is the longest name of a department, in characters.
const maxDepartment = 60

// CreateDepartment adds a department at the end. Names are unique among those in use, whatever their case; returns
// *app.Invalid on field "name" otherwise.
func (s *Service) CreateDepartment(ctx context.Context, v app.Viewer, name string) (Department, error) {
	var invalid app.Invalid
	name = line(&invalid, "name", name, maxDepartment)
	var department Department
	err := s.changeDepartments(ctx, v, &invalid, func(tx pgx.Tx) (err error) {
		if department, err = insertDepartment(ctx, tx, name); err != nil {
			return fmt.Errorf("create a department: %w", err)
		}
		return recordDepartment(ctx, tx, v, "department.create", department, nil)
	})
	return department, err
}

// RenameDepartment gives a department another name, under the same rule.
func (s *Service) RenameDepartment(ctx context.Context, v app.Viewer, id, name string) error {
	var invalid app.Invalid
	name = line(&invalid, "name", name, maxDepartment)
	return s.changeDepartments(ctx, v, &invalid, func(tx pgx.Tx) error {
		department, err := departmentByID(ctx, tx, id)
		if err != nil {
			return err
		}
		changes := audit.Changes{}
		if !changes.Add("name", department.Name, name) {
			return nil
		}
		if err := renameDepartment(ctx, tx, id, name); err != nil {
			return fmt.Errorf("rename %s: %w", department, err)
		}
		return recordDepartment(ctx, tx, v, "department.rename", department, changes)
	})
}

// ArchiveDepartment takes a department out of use: nobody can choose it any more; what belongs to it stays.
func (s *Service) ArchiveDepartment(ctx context.Context, v app.Viewer, id string) error {
	return s.changeDepartments(ctx, v, nil, func(tx pgx.Tx) error {
		department, err := departmentByID(ctx, tx, id)
		if err != nil || department.ArchivedAt != nil {
			return err
		}
		if err := archiveDepartment(ctx, tx, id); err != nil {
			return fmt.Errorf("archive %s: %w", department, err)
		}
		return recordDepartment(ctx, tx, v, "department.archive", department, nil)
	})
}

// RestoreDepartment puts an archived department back into use, at the end. Returns *app.Invalid if its name was given to
// another one meanwhile.
func (s *Service) RestoreDepartment(ctx context.Context, v app.Viewer, id string) error {
	return s.changeDepartments(ctx, v, nil, func(tx pgx.Tx) error {
		department, err := departmentByID(ctx, tx, id)
		if err != nil || department.ArchivedAt == nil {
			return err
		}
		err = restoreDepartment(ctx, tx, id)
		if db.Violates(err, departmentsName) {
			return app.Invalidf("", "store.restore-taken", "Name", department.Name)
		}
		if err != nil {
			return fmt.Errorf("restore %s: %w", department, err)
		}
		return recordDepartment(ctx, tx, v, "department.restore", department, nil)
	})
}

// MoveDepartment swaps a department in use with its neighbour, the one before it or the one after it. At the end of the
// list it does nothing. Returns app.ErrConflict for an archived one.
func (s *Service) MoveDepartment(ctx context.Context, v app.Viewer, id string, up bool) error {
	return s.changeDepartments(ctx, v, nil, func(tx pgx.Tx) error {
		department, err := departmentByID(ctx, tx, id)
		if err != nil {
			return err
		}
		if department.ArchivedAt != nil {
			return fmt.Errorf("move %s, which is archived: %w", department, app.ErrConflict)
		}
		order, err := ListDepartments(ctx, tx)
		if err != nil {
			return err
		}
		from := slices.IndexFunc(order, func(d Department) bool { return d.ID == id })
		to := from + 1
		if up {
			to = from - 1
		}
		if to < 0 || to >= len(order) {
			return nil
		}
		order[from], order[to] = order[to], order[from]
		for position, d := range order {
			if d.Position == position {
				continue
			}
			if err := placeDepartment(ctx, tx, d.ID, position); err != nil {
				return fmt.Errorf("move %s: %w", department, err)
			}
		}
		changes := audit.Changes{}
		changes.Add("position", from+1, to+1)
		return recordDepartment(ctx, tx, v, "department.move", department, changes)
	})
}

// changeDepartments asks the policy, then what is wrong with the form (if there is one), then works alone on the
// departments, so that two changes at once can't end in two departments of one name or place.
func (s *Service) changeDepartments(ctx context.Context, v app.Viewer, invalid *app.Invalid, work func(tx pgx.Tx) error) error {
	if err := access.Check(v, "departments", "edit"); err != nil {
		return err
	}
	if invalid != nil && invalid.Err() != nil {
		return invalid
	}
	return db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if err := lockDepartments(ctx, tx); err != nil {
			return fmt.Errorf("lock the departments: %w", err)
		}
		return work(tx)
	})
}

func recordDepartment(ctx context.Context, tx pgx.Tx, v app.Viewer, action string, d Department, changes audit.Changes) error {
	return audit.Record(ctx, tx, v, audit.Entry{
		Action: action, ObjectType: "department", ObjectID: d.ID, ObjectName: d.Name, Details: changes,
	})
}
