package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"portico/app"
)

// inUse lists the names in order.
func inUse(t *testing.T, s *Service) []string {
	t.Helper()
	departments, err := ListDepartments(t.Context(), s.pool)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for _, d := range departments {
		names = append(names, d.Name)
	}
	return names
}

func wantInUse(t *testing.T, s *Service, want ...string) {
	t.Helper()
	if got := inUse(t, s); !slices.Equal(got, want) {
		t.Errorf("departments are %v, want %v", got, want)
	}
}

func create(t *testing.T, s *Service, names ...string) []Department {
	t.Helper()
	var all []Department
	for _, name := range names {
		d, err := s.CreateDepartment(t.Context(), ada, name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, d)
	}
	return all
}

func TestDepartments_CreateAndRename(t *testing.T) {
	t.Parallel()
	s, pool := service(t)
	made := create(t, s, " Technical  support ", "Billing")
	wantInUse(t, s, "Technical support", "Billing")
	wantInvalid(t, second(s.CreateDepartment(t.Context(), ada, "BILLING")), "name:store.department-exists")
	wantInvalid(t, second(s.CreateDepartment(t.Context(), ada, "")), "name:store.name-missing")
	wantInvalid(t, second(s.CreateDepartment(t.Context(), ada, strings.Repeat("x", 61))), "name:store.too-long")
	for _, name := range []string{"Bill\u202eing", "Bill\u2066ing", "Bill\u200bing", "Bill\u00ading", "\ufeffBilling", "Bill\u0007ing", "\u200e"} {
		wantInvalid(t, second(s.CreateDepartment(t.Context(), ada, name)), "name:store.name-wrong")
	}
	wantInvalid(t, s.RenameDepartment(t.Context(), ada, made[0].ID, "billing"), "name:store.department-exists")
	if err := s.RenameDepartment(t.Context(), ada, made[1].ID, "billing"); err != nil { // its own name in other case
		t.Fatal(err)
	}
	if err := s.RenameDepartment(t.Context(), ada, made[1].ID, "billing"); err != nil {
		t.Fatal(err)
	}
	create(t, s, "می\u200cخواهم", "👩\u200d💻")
	wantInUse(t, s, "Technical support", "billing", "می\u200cخواهم", "👩\u200d💻")
	wantActions(t, pool, "department.create", "department.create", "department.rename", "department.create", "department.create")
}

func TestDepartments_ArchiveAndRestore(t *testing.T) {
	t.Parallel()
	s, pool := service(t)
	made := create(t, s, "Sales", "Support", "Billing")
	for range 2 { // the second time changes nothing
		if err := s.ArchiveDepartment(t.Context(), ada, made[0].ID); err != nil {
			t.Fatal(err)
		}
	}
	wantInUse(t, s, "Support", "Billing")
	all, err := s.Departments(t.Context(), ada)
	if err != nil || len(all) != 3 || all[2].Name != "Sales" || all[2].ArchivedAt == nil {
		t.Errorf("all departments: %+v, %v", all, err)
	}
	replacement := create(t, s, "SALES")[0] // the name is free
	wantInvalid(t, s.RestoreDepartment(t.Context(), ada, made[0].ID), ":store.restore-taken")
	if err := s.RenameDepartment(t.Context(), ada, replacement.ID, "Partners"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.RestoreDepartment(t.Context(), ada, made[0].ID); err != nil {
			t.Fatal(err)
		}
	}
	wantInUse(t, s, "Support", "Billing", "Partners", "Sales")
	wantActions(t, pool, "department.create", "department.create", "department.create", "department.archive", "department.create",
		"department.rename", "department.restore")
}

func TestDepartments_Move(t *testing.T) {
	t.Parallel()
	s, pool := service(t)
	made := create(t, s, "A", "B", "C")
	if err := s.ArchiveDepartment(t.Context(), ada, made[1].ID); err != nil {
		t.Fatal(err)
	}
	move := func(d Department, up bool) {
		t.Helper()
		if err := s.MoveDepartment(t.Context(), ada, d.ID, up); err != nil {
			t.Fatal(err)
		}
	}
	move(made[2], true) // jumps over the archived one
	wantInUse(t, s, "C", "A")
	move(made[2], true)
	move(made[0], false)
	wantInUse(t, s, "C", "A")
	move(made[2], false)
	wantInUse(t, s, "A", "C")
	if err := s.MoveDepartment(t.Context(), ada, made[1].ID, true); !errors.Is(err, app.ErrConflict) {
		t.Errorf("moving an archived department gives %v", err)
	}
	wantActions(t, pool, "department.create", "department.create", "department.create", "department.archive", "department.move", "department.move")
}

func TestDepartments_AtOnce(t *testing.T) {
	t.Parallel()
	s, _ := service(t)
	var wait sync.WaitGroup
	errs := make([]error, 12)
	for i := range errs {
		wait.Go(func() { _, errs[i] = s.CreateDepartment(context.Background(), ada, fmt.Sprint("Team ", i/2)) })
	}
	wait.Wait()
	refused := 0
	for _, err := range errs {
		if err != nil {
			wantInvalid(t, err, "name:store.department-exists")
			refused++
		}
	}
	departments, err := ListDepartments(t.Context(), s.pool)
	if err != nil || len(departments) != 6 || refused != 6 {
		t.Fatalf("%d departments, %d refused, %v", len(departments), refused, err)
	}
	for i, d := range departments {
		if d.Position != i {
			t.Errorf("%s stands at %d, want %d", d.Name, d.Position, i)
		}
	}
}
