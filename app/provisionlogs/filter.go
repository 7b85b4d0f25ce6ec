// Package provisionlogs is the record of provision runs: one table of all of them, filtered live, for the whole store, one client
// or one product; its counts, its dashboard, its exports, kept filters, alerts, and how long it is kept.
//
// Runs are written by app/provisioning. Triggers (migrations/0012) count every change and note which runs changed, in the
// transaction of the change. Start reading at filter.go, then store.go: what a filter costs is bounded there.
package provisionlogs

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"portico/app"

	"github.com/google/uuid"
)

// Statuses of runs, in the order of a run's life.
var Statuses = []string{"approval", "queued", "running", "retrying", "succeeded", "failed", "cancelled"}

// System as a Filter's Actor is the portal itself.
const System = "system"

// Fields of a Filter that hold one value, as they are called in an address.
const (
	FieldStatus   = "status"
	FieldCategory = "category"
	FieldAction   = "action"
	FieldProvider = "provider"
	FieldClient   = "client"
	FieldProduct  = "product"
	FieldActor    = "actor"
)

// fields in the order of the form.
var fields = []string{FieldStatus, FieldCategory, FieldAction, FieldProvider, FieldClient, FieldProduct, FieldActor}

// Filter says which runs are meant. The zero Filter is all of them.
type Filter struct {
	// Text is words of which every one must be in a run, each by its beginning, or exactly where it stands in "quotes".
	Text string
	// Is holds at most one value for each field. Of client, product and actor it is an id, or the beginning of a name; System is
	// an actor.
	Is map[string]string
	// Not holds values, by field, that a run must not have; of client, product and actor they are ids, or System.
	Not map[string][]string
	// From and To are when runs began: at From or later, and before To. Zero is open.
	From, To time.Time
}

// Limits of a filter, so that what an address may ask for is bounded.
const (
	maxText  = 200
	maxTerms = 8
	maxNots  = 20
)

// localTime is how a datetime-local field writes a moment.
const localTime = "2006-01-02T15:04"

// ParseFilter reads a filter from an address or a form, by the names of Values; times without a zone are in zone. What can't be
// meant is left out, but for times, which return *app.Invalid.
func ParseFilter(query url.Values, zone *time.Location) (Filter, error) {
	f := Filter{Is: map[string]string{}, Not: map[string][]string{}}
	clean := func(text string) string {
		text = strings.TrimSpace(strings.ReplaceAll(strings.ToValidUTF8(text, ""), "\x00", ""))
		if runes := []rune(text); len(runes) > maxText {
			text = string(runes[:maxText])
		}
		return text
	}
	f.Text = clean(query.Get("q"))
	for _, field := range fields {
		if value := clean(query.Get(field)); value != "" && (field != FieldStatus || slices.Contains(Statuses, value)) {
			f.Is[field] = value
		}
	}
	for i, not := range query["not"] {
		field, value, _ := strings.Cut(clean(not), ":")
		if i < maxNots && value != "" && slices.Contains(fields, field) && (!named(field) || isID(value) || value == System) && !slices.Contains(f.Not[field], value) {
			f.Not[field] = append(f.Not[field], value)
		}
	}
	var invalid app.Invalid
	for name, into := range map[string]*time.Time{"from": &f.From, "to": &f.To} {
		text := clean(query.Get(name))
		if text == "" {
			continue
		}
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			at, err = time.ParseInLocation(localTime, text, zone)
		}
		if err != nil || at.Year() < 1971 || at.Year() > 9999 {
			invalid.Add(name, "provisionlogs.bad-time")
			continue
		}
		*into = at.UTC()
	}
	return f, invalid.Err()
}

// Values is the filter as it stands in an address: the same for everybody, wherever they are.
func (f Filter) Values() url.Values {
	query := url.Values{}
	if f.Text != "" {
		query.Set("q", f.Text)
	}
	for _, field := range fields {
		if value := f.Is[field]; value != "" {
			query.Set(field, value)
		}
		for _, value := range f.Not[field] {
			query.Add("not", field+":"+value)
		}
	}
	if !f.From.IsZero() {
		query.Set("from", f.From.UTC().Format(time.RFC3339))
	}
	if !f.To.IsZero() {
		query.Set("to", f.To.UTC().Format(time.RFC3339))
	}
	return query
}

// with returns the filter with one field set to a value, or without it for "".
func (f Filter) with(field, value string) Filter {
	is := map[string]string{}
	for k, v := range f.Is {
		if k != field {
			is[k] = v
		}
	}
	if value != "" {
		is[field] = value
	}
	f.Is = is
	return f
}

// without returns the filter that does not exclude a value.
func (f Filter) without(field, value string) Filter {
	not := map[string][]string{}
	for k, values := range f.Not {
		for _, v := range values {
			if k != field || v != value {
				not[k] = append(not[k], v)
			}
		}
	}
	f.Not = not
	return f
}

// excluding returns the filter that excludes one more value.
func (f Filter) excluding(field, value string) Filter {
	f = f.without(field, value)
	f.Not[field] = append(f.Not[field], value)
	return f
}

// named tells the fields whose value may be a name.
func named(field string) bool {
	return field == FieldClient || field == FieldProduct || field == FieldActor
}

// counted tells whether provision_counts can answer for the filter: it does not know texts, clients, products and actors.
func (f Filter) counted() bool {
	if f.Text != "" {
		return false
	}
	for _, field := range []string{FieldClient, FieldProduct, FieldActor} {
		if f.Is[field] != "" || len(f.Not[field]) > 0 {
			return false
		}
	}
	return true
}

// term is one word, or several, looked for in a run.
type term struct {
	text  string
	exact bool
}

// terms divides a text at spaces outside of quotes.
func terms(text string) []term {
	var all []term
	for i, part := range strings.Split(text, `"`) {
		if i%2 == 1 {
			all = append(all, term{part, true})
			continue
		}
		for _, word := range strings.Fields(part) {
			all = append(all, term{word, false})
		}
	}
	all = slices.DeleteFunc(all, func(t term) bool { return strings.TrimSpace(t.text) == "" })
	return all[:min(len(all), maxTerms)]
}

// isID tells whether text is an id as our addresses carry it.
func isID(text string) bool {
	id, err := uuid.Parse(text)
	return err == nil && id.String() == text
}
