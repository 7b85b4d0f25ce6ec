package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"portico/app"
	"portico/app/db/dbtest"

	"github.com/jackc/pgx/v5/pgxpool"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

var (
	ada = app.Viewer{UserID: "0a0a0a0a-0000-4000-8000-000000000001", Name: "Ada Moreau", Role: app.RoleAdmin, IP: "192.0.2.7", RequestID: "req-1"}
	bea = app.Viewer{UserID: "0a0a0a0a-0000-4000-8000-000000000003", Name: "Bea_Lindqvist", Confirmed: true, IP: "2001:db8::1"}
)

func record(t *testing.T, pool *pgxpool.Pool, v app.Viewer, e Entry) {
	t.Helper()
	if err := Record(t.Context(), pool, v, e); err != nil {
		t.Fatal(err)
	}
}

func TestRecord(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	changes := Changes{}
	if !changes.Add("name", "Old", "New") || changes.Add("role", "staff", "staff") || changes.Add("list", []string{"a"}, []string{"a"}) {
		t.Error("Add does not tell what changed")
	}
	record(t, pool, ada, Entry{Action: "team.edit", ObjectType: "user", ObjectID: bea.UserID, ObjectName: "Old", Details: changes})
	record(t, pool, System, Entry{Action: "link.expire", ObjectType: "link"})
	page, next, err := NewService(pool).Activity(t.Context(), ada, Filter{}, 0)
	if err != nil || next != 0 || len(page) != 2 {
		t.Fatalf("%d entries, next %d, %v", len(page), next, err)
	}
	got := page[1]
	if string(got.Details) != `{"name": {"after": "New", "before": "Old"}}` {
		t.Errorf("details are %s", got.Details)
	}
	if time.Since(got.At) > time.Minute {
		t.Errorf("recorded at %v", got.At)
	}
	want := Recorded{
		ID: got.ID, At: got.At, ActorName: "Ada Moreau", Action: "team.edit", ObjectType: "user", ObjectID: bea.UserID, ObjectName: "Old",
		IP: "192.0.2.7", RequestID: "req-1", Details: got.Details,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if page[0].ActorName != "Portico" || string(page[0].Details) != "{}" {
		t.Errorf("the system's entry is %+v", page[0])
	}
}

func TestRecord_StaysAsItIs(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	record(t, pool, ada, Entry{Action: "team.edit", ObjectType: "user"})
	for _, sql := range []string{"update audit_entries set actor_name = 'Nobody'", "delete from audit_entries", "truncate audit_entries"} {
		if _, err := pool.Exec(t.Context(), sql); err == nil {
			t.Errorf("%q was allowed", sql)
		}
	}
}

func TestActivity_Filter(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	s := NewService(pool)
	record(t, pool, ada, Entry{Action: "store.edit", ObjectType: "store", ObjectName: "100% Hosting", Details: Changes{"currency": Change{"EUR", "CHF"}}})
	record(t, pool, bea, Entry{Action: "session.open", ObjectType: "session", ObjectName: "Firefox on Linux"})
	record(t, pool, app.Viewer{}, Entry{Action: "password.forget", ObjectType: "user", ObjectName: "Bea_Lindqvist"})
	if _, err := pool.Exec(t.Context(), `insert into audit_entries (at, actor_name, as_name, action, object_type)
		values ('2025-11-01T23:30:00Z', 'Sam Okafor', 'Stella Novak', 'ticket.open', 'ticket')`); err != nil {
		t.Fatal(err)
	}
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string][]string{
		"":                                     {"password.forget", "session.open", "store.edit", "ticket.open"},
		"person=ada":                           {"store.edit"},
		"person=stella":                        {"ticket.open"},
		"person=_":                             {"session.open"},
		"person=%25":                           nil,
		"action=session.open":                  {"session.open"},
		"action=session":                       nil,
		"object=user":                          {"password.forget"},
		"q=100%25":                             {"store.edit"},
		"q=chf":                                {"store.edit"},
		"q=2001:db8":                           {"session.open"},
		"q=REQ-1":                              {"store.edit"},
		"q=lindqvist":                          {"password.forget", "session.open"},
		"q=lindqvist&object=session":           {"session.open"},
		"q=stella":                             nil, // older than 30 days
		"q=stella&from=2025-11-02":             {"ticket.open"},
		"q=stella&to=2025-12-01":               {"ticket.open"},
		"q=stella&to=2025-12-02":               nil,
		"person=stella&action=ticket.open":     {"ticket.open"},
		"person=o":                             {"store.edit", "ticket.open"}, // once, though both names have it
		"person=portico":                       nil,
		"from=2025-11-02&to=2025-11-02":        {"ticket.open"}, // half past midnight in Berlin
		"from=2025-11-01&to=2025-11-01":        nil,
		"to=2025-11-02":                        {"ticket.open"},
		"from=2000-01-01&to=2000-01-01":        nil,
		"q=%00%FF&person=+ada+":                {"store.edit"},
		"object=%27%3B+drop+table+users%3B+--": nil,
	} {
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		filter, err := ParseFilter(values.Get, berlin, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		page, _, err := s.Activity(t.Context(), ada, filter, 0)
		if err != nil {
			t.Fatalf("%q: %v", query, err)
		}
		var got []string
		for _, entry := range page {
			got = append(got, entry.Action)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q gives %v, want %v", query, got, want)
		}
	}
}

func TestParseFilter_ReadsWhatValuesWrote(t *testing.T) {
	t.Parallel()
	for _, zone := range []string{"UTC", "Pacific/Auckland", "America/St_Johns", "Africa/Cairo"} {
		location, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		for _, query := range []string{
			"", "action=store.edit&from=2026-04-24&object=store&person=Ada&q=a+%26+b%25&to=2026-04-24", "to=2026-10-29", "from=2026-10-30",
		} {
			values, err := url.ParseQuery(query)
			if err != nil {
				t.Fatal(err)
			}
			filter, err := ParseFilter(values.Get, location, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			if got := filter.Values(location).Encode(); got != query {
				t.Errorf("%s: %q became %q", zone, query, got)
			}
		}
	}
}

func TestParseFilter_Invalid(t *testing.T) {
	t.Parallel()
	for _, day := range []string{"yesterday", "2026-02-30", "2026-11-20T10:00"} {
		_, err := ParseFilter(url.Values{"from": {day}, "to": {day}}.Get, time.UTC, time.Now())
		var invalid *app.Invalid
		if !errors.As(err, &invalid) || len(invalid.Fields) != 2 || invalid.Fields[0].Field != "from" || invalid.Fields[1].Field != "to" {
			t.Errorf("%q gives %v", day, err)
		}
	}
}

func TestActivity_Pages(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	s := NewService(pool)
	if _, err := pool.Exec(t.Context(), `insert into audit_entries (actor_name, action, object_type)
		select 'Ada', 'store.edit', 'store' from generate_series(1, $1)`, 2*pageSize+1); err != nil {
		t.Fatal(err)
	}
	var sizes []int
	var last, before int64
	for {
		page, next, err := s.Activity(t.Context(), ada, Filter{Person: "ada"}, before)
		if err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, len(page))
		for _, entry := range page {
			if last != 0 && entry.ID >= last {
				t.Fatalf("entry %d comes after %d", entry.ID, last)
			}
			last = entry.ID
		}
		record(t, pool, ada, Entry{Action: "store.edit", ObjectType: "store"}) // what is new moves no later page
		if before = next; next == 0 {
			break
		}
	}
	if !slices.Equal(sizes, []int{pageSize, pageSize, 1}) {
		t.Errorf("pages have %v entries", sizes)
	}
}

func TestParseFilter_TextReachesBackDays(t *testing.T) {
	t.Parallel()
	auckland, err := time.LoadLocation("Pacific/Auckland")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC) // the 21st in Auckland
	for query, want := range map[string]string{"q=x": "2026-10-23", "q=x&to=2026-03-31": "2026-03-02", "q=x&from=2020-01-01": "2020-01-01", "person=x": ""} {
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		f, err := ParseFilter(values.Get, auckland, now)
		if err != nil {
			t.Fatal(err)
		}
		if got := f.Values(auckland).Get("from"); got != want {
			t.Errorf("%q begins on %q, want %q", query, got, want)
		}
	}
}

// No filter may read entries far beyond what it shows: the page must stay quick with millions of them.
func TestActivity_Plans(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	for _, sql := range []string{`
		insert into audit_entries (at, actor_name, action, object_type, object_name)
			select timestamptz '2026-01-01' + n * interval '1 minute', case when n % 3 = 0 then 'Ada' else 'Person ' || n % 90 end,
				'action.' || n % 40, 'object.' || n % 20, 'Thing ' || n
			from generate_series(1, 40000) n`,
		"analyze audit_entries",
	} {
		if _, err := pool.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	day := time.Date(2026, 1, 3, 0, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		name string
		f    Filter
		most int64 // entries read
	}{
		{"newest", Filter{}, 100},
		{"an old day", Filter{From: day, To: day.AddDate(0, 0, 1)}, 100},
		{"a day without any", Filter{From: day.AddDate(-9, 0, 0), To: day.AddDate(-9, 0, 1)}, 100},
		{"a person without any", Filter{Person: "nobody"}, 100},
		{"a person", Filter{Person: "person 77"}, 10000},
		{"two thirds", Filter{Person: "person"}, 1000},
		{"an action", Filter{Action: "action.3"}, 100},
		{"a kind and an action that never met", Filter{ObjectType: "object.1", Action: "action.2"}, 100},
		{"a kind and an action on an old day", Filter{ObjectType: "object.2", Action: "action.2", From: day, To: day.AddDate(0, 0, 1)}, 100},
		{"text of an old day", Filter{Text: "nowhere", From: day, To: day.AddDate(0, 0, 1)}, 2000},
	} {
		for _, before := range []int64{0, 39000} {
			var names []string
			if test.f.Person != "" {
				var err error
				if names, err = matching(t.Context(), pool, test.f.Person, fewNames+1); err != nil {
					t.Fatal(err)
				}
			}
			sql, args := query(test.f, names, before, pageSize+1)
			if read := rowsRead(t, pool, sql, args); read > test.most {
				t.Errorf("%s, before %d: reads %d entries, want at most %d", test.name, before, read, test.most)
			}
		}
	}
}

// rowsRead runs a query and counts the rows that its scans of audit_entries looked at, those thrown away included.
func rowsRead(t *testing.T, pool *pgxpool.Pool, sql string, args []any) int64 {
	t.Helper()
	type node struct {
		Relation string  `json:"Relation Name"`
		Rows     float64 `json:"Actual Rows"` // on average per loop
		Removed  float64 `json:"Rows Removed by Filter"`
		Rechecks float64 `json:"Rows Removed by Index Recheck"`
		Loops    float64 `json:"Actual Loops"`
		Plans    []json.RawMessage
	}
	var raw []byte
	if err := pool.QueryRow(t.Context(), "explain (analyze, format json) "+sql, args...).Scan(&raw); err != nil {
		t.Fatal(err)
	}
	var plans []struct{ Plan json.RawMessage }
	if err := json.Unmarshal(raw, &plans); err != nil {
		t.Fatal(err)
	}
	var sum func(raw json.RawMessage) float64
	sum = func(raw json.RawMessage) float64 {
		var n node
		if err := json.Unmarshal(raw, &n); err != nil {
			t.Fatal(err)
		}
		read := 0.0
		if n.Relation == "audit_entries" {
			read = (n.Rows + n.Removed + n.Rechecks) * n.Loops
		}
		for _, plan := range n.Plans {
			read += sum(plan)
		}
		return read
	}
	read := sum(plans[0].Plan)
	if read == 0 && !strings.Contains(string(raw), "audit_entries") {
		t.Fatalf("the plan reads nothing: %s", raw)
	}
	return int64(read)
}

func TestChoices(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	s := NewService(pool)
	actions, objects, err := s.Choices(t.Context(), ada)
	if err != nil || len(actions)+len(objects) != 0 {
		t.Fatalf("nothing recorded gives %v, %v, %v", actions, objects, err)
	}
	for i := range 9 {
		record(t, pool, ada, Entry{Action: fmt.Sprint("store.", i%3), ObjectType: []string{"user", "store"}[i%2]})
	}
	actions, objects, err = s.Choices(t.Context(), ada)
	if err != nil || !slices.Equal(actions, []string{"store.0", "store.1", "store.2"}) || !slices.Equal(objects, []string{"store", "user"}) {
		t.Errorf("got %v, %v, %v", actions, objects, err)
	}
}

func TestActivity_WhoMay(t *testing.T) {
	t.Parallel()
	s := NewService(dbtest.New(t))
	for _, test := range []struct {
		who  string
		v    app.Viewer
		want error
	}{
		{"visitor", app.Viewer{}, app.ErrSignedOut},
		{"account holder", bea, app.ErrNotFound},
		{"staff", app.Viewer{UserID: ada.UserID, Role: app.RoleStaff}, app.ErrForbidden},
		{"admin", ada, nil},
	} {
		_, _, activityErr := s.Activity(context.Background(), test.v, Filter{}, 0)
		_, _, choicesErr := s.Choices(context.Background(), test.v)
		if !errors.Is(activityErr, test.want) || !errors.Is(choicesErr, test.want) {
			t.Errorf("%s: got %v and %v, want %v", test.who, activityErr, choicesErr, test.want)
		}
	}
}
