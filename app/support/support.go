// Package support is the store's side of support: the list of tickets over all accounts, a ticket's page with internal notes,
// who looks after it, its status and department, and tickets opened for clients. Threads, messages and who may do what with one
// ticket are app/tickets', whose tables are read here. Start reading at service.go.
package support

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"portico/app"
	"portico/app/tickets"
)

// Values of a Filter beside ids and statuses.
const (
	Ours   = "ours" // as a status: a client's post waits for an answer of the store
	None   = "none" // as a department or an assignee: there is none
	Myself = "me"   // as an assignee: the viewer
)

// Settable lists the statuses that staff set by hand. Closing is a deed of its own.
var Settable = []string{tickets.Open, tickets.ClientReplied, tickets.StaffReplied, tickets.Waiting}

// ErrMeanwhile is app.ErrConflict: others posted since the writer last saw the thread, and nothing was posted.
var ErrMeanwhile = fmt.Errorf("others posted in between: %w", app.ErrConflict)

// Row is one ticket of the list.
type Row struct {
	tickets.Ticket
	OpenerName string // "" for somebody who is gone
}

// Filter says which tickets are wanted. The zero Filter wants all that are not closed.
type Filter struct {
	Text       string // beginnings of words, each of the subject or of a message, or the ticket's number
	Status     string // one of tickets.Statuses, Ours, or "" for all but closed ones
	Department string // id, None, or "" for any
	Assignee   string // id, None, Myself, or "" for anybody
	Waiting    int    // only those that have waited for the store at least so many hours, one of WaitingHours; 0 for any
}

// WaitingHours are the waiting times that the list can be filtered by.
var WaitingHours = []int{1, 4, 24, 72}

// byWaiting tells whether the longest wait comes first.
func (f Filter) byWaiting() bool { return f.Status == Ours || f.Waiting > 0 }

// Values encodes the filter for an address.
func (f Filter) Values() url.Values {
	values := url.Values{}
	for name, value := range map[string]string{"q": f.Text, "status": f.Status, "department": f.Department, "assignee": f.Assignee} {
		if value != "" {
			values.Set(name, value)
		}
	}
	if f.Waiting > 0 {
		values.Set("waiting", strconv.Itoa(f.Waiting))
	}
	return values
}

// maxText is how many characters of a search are looked for.
const maxText = 200

// ParseFilter reads what Values wrote: ?q=, status, department, assignee, waiting (hours). What it does not understand filters nothing.
func ParseFilter(get func(name string) string) Filter {
	f := Filter{
		Text:   strings.ReplaceAll(strings.ToValidUTF8(strings.TrimSpace(get("q")), ""), "\x00", ""),
		Status: strings.Clone(get("status")), Department: strings.Clone(get("department")), Assignee: strings.Clone(get("assignee")),
	}
	if letters := []rune(f.Text); len(letters) > maxText {
		f.Text = string(letters[:maxText])
	}
	if hours, err := strconv.Atoi(get("waiting")); err == nil && slices.Contains(WaitingHours, hours) {
		f.Waiting = hours
	}
	if f.Status != Ours && !slices.Contains(tickets.Statuses, f.Status) {
		f.Status = ""
	}
	if f.Department != None && !app.IsID(f.Department) {
		f.Department = ""
	}
	if f.Assignee != None && f.Assignee != Myself && !app.IsID(f.Assignee) {
		f.Assignee = ""
	}
	return f
}

// keyOf is where the page after a row begins, in the filter's order.
func (f Filter) keyOf(row Row) app.Key {
	at := row.UpdatedAt
	if f.byWaiting() && row.WaitingSince != nil {
		at = *row.WaitingSince
	}
	return app.Key{At: at, ID: row.ID}
}

// Count is how many tickets that are not closed have a status, and how many of them wait for the store.
type Count struct {
	Status string // one of tickets.Statuses but closed, or Ours
	Count  int    // up to MaxCount
}

// MaxCount is how far tickets are counted for the menu of the list.
const MaxCount = 100

// Named is somebody or something to choose.
type Named struct{ ID, Name string }

// Client is an account that a ticket can be opened for.
type Client struct {
	ID     string
	Name   string
	People string // names of its users
}

// newer counts the messages of others that stand after one in a thread. An id that is not in it counts none.
func newer(t tickets.Thread, seen string) int {
	count, found := 0, false
	for _, entry := range t.Entries {
		switch {
		case entry.Message == nil:
		case entry.Message.ID == seen:
			found = true
		case found && !entry.Message.Own:
			count++
		}
	}
	return count
}

// lastMessage is the id of the newest message that the viewer sees.
func lastMessage(t tickets.Thread) string {
	ids := t.MessageIDs()
	if len(ids) == 0 {
		return ""
	}
	return ids[len(ids)-1]
}

// waits is how long a ticket has waited for the store, 0 if it does not.
func waits(t tickets.Ticket, now time.Time) time.Duration {
	if t.WaitingSince == nil || t.Status == tickets.Closed {
		return 0
	}
	return max(now.Sub(*t.WaitingSince), time.Second)
}
