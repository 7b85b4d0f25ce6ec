// Package servertest is what tests of several packages share: the permission matrix of policies/matrix.csv, and who its actors
// are.
package servertest

import (
	"encoding/csv"
	"os"
	"slices"
	"strings"
	"testing"

	"portico/app"
)

// Says is what the matrix answers one actor: one of the signs below.
type Says string

// The signs. policies/matrix.csv says what each means.
const (
	Yes      Says = "Y"
	Refused  Says = "x"
	Absent   Says = "-"
	SignIn   Says = "L"
	AllDone  Says = "="
	allSigns      = "Yx-L="
)

// Row is one permission's line.
type Row struct {
	Permission string
	Says       map[string]Says // by actor
}

// Matrix is the whole file.
type Matrix struct {
	Actors []string // as the columns stand
	Rows   []Row
}

// Row finds a permission's line.
func (m Matrix) Row(permission string) (Row, bool) {
	i := slices.IndexFunc(m.Rows, func(r Row) bool { return r.Permission == permission })
	if i < 0 {
		return Row{}, false
	}
	return m.Rows[i], true
}

// Read reads the matrix, and fails the test where the file is not whole.
func Read(t testing.TB, path string) Matrix {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	reader := csv.NewReader(file)
	reader.Comment, reader.TrimLeadingSpace = '#', true
	lines, err := reader.ReadAll()
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	if len(lines) < 2 || len(lines[0]) < 3 {
		t.Fatalf("%s holds no matrix", path)
	}
	last := len(lines[0]) - 1 // the reason
	m := Matrix{Actors: lines[0][1:last]}
	for _, line := range lines[1:] {
		row := Row{Permission: line[0], Says: map[string]Says{}}
		if _, twice := m.Row(row.Permission); twice || row.Permission == "" || line[last] == "" {
			t.Errorf("%s: %q stands twice, or lacks its name or reason", path, row.Permission)
		}
		for i, actor := range m.Actors {
			sign := strings.TrimSpace(line[i+1])
			if len(sign) != 1 || !strings.Contains(allSigns, sign) {
				t.Errorf("%s: %s for %s is %q", path, row.Permission, actor, sign)
			}
			row.Says[actor] = Says(sign)
		}
		m.Rows = append(m.Rows, row)
	}
	return m
}

// Actor is one of the matrix's columns.
type Actor struct {
	Name   string
	Email  string // in the demo store, "" for the visitor
	Viewer app.Viewer
}

// Actors are the matrix's columns, with what each is to the store.
var Actors = []Actor{
	{Name: "AN"},
	{"WF", "noor@atelier.example", app.Viewer{}},
	{"UN", "dev@devteam.example", app.Viewer{UserID: "UN"}},
	{"LE", "lee@papertrail.example", app.Viewer{UserID: "LE", Confirmed: true}},
	{"OW", "bea@bluebird.example", app.Viewer{UserID: "OW", Confirmed: true}},
	{"ST", "stella@corvid.example", app.Viewer{UserID: "ST", Confirmed: true}},
	{"SD", "sam@northwind.example", app.Viewer{UserID: "SD", Confirmed: true, Role: app.RoleStaff, Permissions: []string{"tickets.open_for_client", "accounts.view", "contracts.delegates", "provisioning.login", "provisioning.change", "provisioning.logs", "provisioning.debug"}}},
	{"SO", "priya@northwind.example", app.Viewer{UserID: "SO", Confirmed: true, Role: app.RoleStaff, Permissions: []string{
		"accounts.view", "billing.view", "billing.manage", "contracts.auto_renew", "contracts.cancel", "contracts.upgrade", "contracts.modify",
	}}},
	{"AD", "ada@northwind.example", app.Viewer{UserID: "AD", Confirmed: true, Role: app.RoleAdmin}},
}
