package policies

import (
	"encoding/csv"
	"fmt"
	"iter"
	"os"
	"slices"
	"strings"
	"testing"

	"portico/app"
	"portico/app/server/servertest"
)

// relations are all that a viewer can be, by app.Viewer.Relations, and one of nobody's.
func relations() []string {
	all := []string{"nobody"}
	for _, v := range []app.Viewer{
		{}, {UserID: "u"}, {UserID: "u", Confirmed: true}, {UserID: "u", Role: app.RoleStaff, Permissions: permissionNames()},
		{UserID: "u", Role: app.RoleAdmin},
	} {
		all = append(all, v.Relations()...)
	}
	for _, rule := range Default.Rules() {
		all = append(all, rule.Relation)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func permissionNames() []string {
	var names []string
	for _, p := range Permissions {
		names = append(names, string(p))
	}
	return names
}

// TestTable_IsCasbinsAnswer asks both for every line and for all that differs from a line in one field: by what else stands in
// that field, by what is near in letters, by nothing, by a star. A question that differs in more fields is further from every line.
func TestTable_IsCasbinsAnswer(t *testing.T) {
	t.Parallel()
	var known [3][]string // what stands in each field, sorted
	for _, rule := range Default.Rules() {
		for i, value := range []string{rule.Relation, rule.Object, rule.Action} {
			known[i] = append(known[i], value)
		}
	}
	known[0] = append(known[0], relations()...)
	for i := range known {
		slices.Sort(known[i])
		known[i] = slices.Compact(known[i])
	}
	asked := map[Rule]bool{}
	ask := func(q Rule) {
		if asked[q] {
			return
		}
		asked[q] = true
		table := Default.Allows([]string{q.Relation}, q.Object, q.Action)
		line, casbin, err := Default.Explain([]string{q.Relation}, q.Object, q.Action)
		if err != nil {
			t.Fatal(err)
		}
		if table != casbin {
			t.Errorf("%s: the table says %t, Casbin %t", q, table, casbin)
		}
		if casbin && line != q {
			t.Errorf("%s: explained by %s", q, line)
		}
	}
	for i, rule := range Default.Rules() {
		ask(rule)
		for field, value := range []string{rule.Relation, rule.Object, rule.Action} {
			at, _ := slices.BinarySearch(known[field], value)
			others := known[field]
			// Each line with its neighbours by letters, and one after the other with all that there is.
			near := []string{others[(at+1)%len(others)], others[(at+len(others)-1)%len(others)], others[i%len(others)], "", "*", value[:len(value)-1], value + "s", strings.ToUpper(value)}
			for _, other := range near {
				q := rule
				*[]*string{&q.Relation, &q.Object, &q.Action}[field] = other
				ask(q)
			}
		}
	}
	t.Logf("%d questions", len(asked))
}

func TestAllows_AnyRelationIsEnough_NoneMeansNo(t *testing.T) {
	t.Parallel()
	policy := load(t, "p, owner, ticket, close\np, delegate, ticket, read")
	for _, c := range []struct {
		relations string
		action    string
		want      bool
	}{
		{"delegate owner", "close", true}, {"delegate owner", "read", true}, {"delegate", "close", false}, {"", "read", false},
		{"anonymous", "read", false}, {"owner", "Close", false}, {"owner", "clos", false}, {"owner", "", false},
	} {
		if got := policy.Allows(strings.Fields(c.relations), "ticket", c.action); got != c.want {
			t.Errorf("%q may %s: %t", c.relations, c.action, got)
		}
		if _, got, err := policy.Explain(strings.Fields(c.relations), "ticket", c.action); err != nil || got != c.want {
			t.Errorf("%q may %s, says Casbin: %t, %v", c.relations, c.action, got, err)
		}
	}
}

func load(t *testing.T, text string) *Policy {
	t.Helper()
	policy, err := Load(text)
	if err != nil {
		t.Fatal(err)
	}
	return policy
}

func TestLoad_RefusesBrokenFiles(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"field missing": "p, owner, ticket",
		"field empty":   "p, owner, , close",
		"field more":    "p, owner, ticket, close, allow",
		"wildcard":      "p, owner, ticket, *",
		"doubled":       "p, owner, ticket, close\np, owner, ticket, close",
		"no policy":     "x, owner, ticket, close",
		"not CSV":       `p, owner, "ticket, close`,
	} {
		if _, err := Load(text); err == nil {
			t.Errorf("%s: %q was read", name, text)
		}
	}
}

func TestLoad_CommentsAndEmptyLines(t *testing.T) {
	t.Parallel()
	policy := load(t, "# heading\n\np, owner, ticket, close # why\n   # p, stranger, ticket, close\n")
	if got := policy.Rules(); len(got) != 1 || got[0] != (Rule{"owner", "ticket", "close"}) {
		t.Errorf("read %v", got)
	}
}

// matrices are the general one and, by their objects, those of tickets and of contracts, whose relations come from each one's query.
type matrices struct {
	general, ticket servertest.Matrix
	records         map[string]contractMatrix // by object: "contract", "account_billing"
}

// contractMatrix is matrix-contract.csv or matrix-account-billing.csv: by action and column Y, x, - or the name of the permission that it takes.
type contractMatrix map[string]map[string]string

func readContractMatrix(t *testing.T, name string) contractMatrix {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	reader := csv.NewReader(file)
	reader.Comment, reader.TrimLeadingSpace = '#', true
	lines, err := reader.ReadAll()
	if err != nil || len(lines) < 2 {
		t.Fatalf("%s: %d lines, %v", name, len(lines), err)
	}
	m := contractMatrix{}
	for _, line := range lines[1:] {
		m[line[0]] = map[string]string{}
		for i, column := range lines[0][1 : len(lines[0])-1] {
			m[line[0]][column] = strings.TrimSpace(line[i+1])
		}
	}
	return m
}

// contractCase is somebody of a column who has one permission, or none.
type contractCase struct{ column, permission string }

func (c contractCase) relations() []string {
	if c.column == "stranger" {
		return []string{""}
	}
	relations := []string{c.column}
	if c.permission != "" {
		relations = append(relations, "can:"+c.permission)
	}
	return relations
}

// contractCases are every column with none and with each of the permissions that its people may have.
func contractCases() []contractCase {
	var cases []contractCase
	may := map[string][]string{"owner": nil, "user": nil, "delegate": DelegateRights, "staff": permissionNames(), "admin": nil, "stranger": nil}
	for _, permission := range AccountPermissions {
		may["user"] = append(may["user"], string(permission))
	}
	for column, permissions := range may {
		cases = append(cases, contractCase{column, ""})
		for _, permission := range permissions {
			cases = append(cases, contractCase{column, permission})
		}
	}
	return cases
}

// differs names the cells that a policy answers otherwise.
func (m contractMatrix) differs(policy *Policy, object string) iter.Seq[string] {
	cases := contractCases()
	return func(yield func(string) bool) {
		for action, row := range m {
			for _, c := range cases {
				want := row[c.column] == "Y" || c.permission != "" && row[c.column] == c.permission
				if policy.Allows(c.relations(), object, action) != want &&
					!yield(fmt.Sprintf("%s.%s for %s with %q", object, action, c.column, c.permission)) {
					return
				}
			}
		}
	}
}

// TestContractMatrix_NamesAreKnown: a cell that names no permission of its column would ask for nothing.
func TestContractMatrix_NamesAreKnown(t *testing.T) {
	t.Parallel()
	known := map[contractCase]bool{}
	cases := contractCases()
	for _, c := range cases {
		known[c] = true
	}
	for object, m := range readMatrices(t).records {
		for action, row := range m {
			for column, cell := range row {
				if cell != "Y" && cell != "x" && cell != "-" && !known[contractCase{column, cell}] || (cell == "-") != (column == "stranger") {
					t.Errorf("%s.%s for %s is %q", object, action, column, cell)
				}
			}
		}
		t.Logf("%s: %d actions × %d actors with and without permissions", object, len(m), len(cases))
	}
}

func readMatrices(t *testing.T) matrices {
	t.Helper()
	return matrices{servertest.Read(t, "matrix.csv"), servertest.Read(t, "matrix-ticket.csv"), map[string]contractMatrix{
		"contract": readContractMatrix(t, "matrix-contract.csv"), "account_billing": readContractMatrix(t, "matrix-account-billing.csv"),
	}}
}

// ticketRelations are the columns of matrix-ticket.csv, by what the query finds.
var ticketRelations = map[string][]string{
	"OW": {"owner"}, "US": {"user"}, "UO": {"user", "author"}, "TA": {"delegate"}, "CAa": {"reader"}, "CAo": {"opener"}, "SD": {"staff"}, "AD": {"admin"}, "ST": nil,
}

// differs names the cells of the matrices that a policy answers otherwise.
func differs(policy *Policy, both matrices) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, row := range both.ticket.Rows {
			for actor, relations := range ticketRelations {
				if policy.Allows(relations, "ticket", row.Permission) != (row.Says[actor] == servertest.Yes) && !yield("ticket."+row.Permission+" for "+actor) {
					return
				}
			}
		}
		for object, m := range both.records {
			for cell := range m.differs(policy, object) {
				if !yield(cell) {
					return
				}
			}
		}
		for _, row := range both.general.Rows {
			object, action, ok := strings.Cut(row.Permission, ".")
			if !ok {
				continue // open to a stage of signing in, which is not the policy's matter
			}
			for _, actor := range servertest.Actors {
				if policy.Allows(actor.Viewer.Relations(), object, action) != (row.Says[actor.Name] == servertest.Yes) && !yield(row.Permission+" for "+actor.Name) {
					return
				}
			}
		}
	}
}

func TestPolicy_IsTheMatrix(t *testing.T) {
	t.Parallel()
	both := readMatrices(t)
	matrix := both.general
	for cell := range differs(Default, both) {
		t.Errorf("policy.csv and the matrices differ: %s", cell)
	}
	for _, rule := range Default.Rules() {
		if _, ok := both.ticket.Row(rule.Action); ok && rule.Object == "ticket" {
			continue
		}
		if _, ok := both.records[rule.Object][rule.Action]; ok {
			continue
		}
		if _, ok := matrix.Row(rule.Object + "." + rule.Action); !ok {
			t.Errorf("%s: the matrix has no row for it", rule)
		}
	}
	var names []string
	for _, actor := range servertest.Actors {
		names = append(names, actor.Name)
	}
	if !slices.Equal(names, matrix.Actors) {
		t.Errorf("the matrix has columns %v, the tests have actors %v", matrix.Actors, names)
	}
}

// TestPolicy_EveryLineIsNeeded takes each line away in turn: the matrix must notice.
func TestPolicy_EveryLineIsNeeded(t *testing.T) {
	t.Parallel()
	matrix := readMatrices(t)
	rules := Default.Rules()
	for i, gone := range rules {
		// The table alone: another test holds it equal to Casbin's answers.
		without := &Policy{allowed: map[Rule]bool{}}
		for _, rule := range slices.Delete(slices.Clone(rules), i, i+1) {
			without.allowed[rule] = true
		}
		needed := false
		for range differs(without, matrix) {
			needed = true
			break
		}
		if !needed {
			t.Errorf("without %q nothing changes: add its case to matrix.csv, or drop it", gone)
		}
	}
	t.Logf("%d lines, each needed", len(rules))
}

func TestPolicy_NamesAreKnown(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	for _, v := range []app.Viewer{
		{}, {UserID: "u"}, {UserID: "u", Confirmed: true}, {UserID: "u", Role: app.RoleStaff, Permissions: permissionNames()},
		{UserID: "u", Role: app.RoleAdmin},
	} {
		for _, relation := range v.Relations() {
			known[relation] = true
		}
	}
	for _, relations := range ticketRelations {
		for _, relation := range relations {
			known[relation] = true
		}
	}
	for _, c := range contractCases() {
		for _, relation := range c.relations() {
			known[relation] = true
		}
	}
	for _, rule := range Default.Rules() {
		if !known[rule.Relation] {
			t.Errorf("%s: nobody is ever %q", rule, rule.Relation)
		}
	}
	seen := map[Permission]bool{}
	for _, p := range Permissions {
		if seen[p] || !strings.Contains(string(p), ".") {
			t.Errorf("the permission %q stands twice, or is not object.action", p)
		}
		seen[p] = true
	}
}

func BenchmarkAllows(b *testing.B) {
	relations := []string{"staff", "can:billing.view"}
	for b.Loop() {
		Default.Allows(relations, "settings", "edit")
	}
}

func BenchmarkExplain(b *testing.B) {
	relations := []string{"staff", "can:billing.view"}
	for b.Loop() {
		if _, _, err := Default.Explain(relations, "settings", "edit"); err != nil {
			b.Fatal(err)
		}
	}
}
