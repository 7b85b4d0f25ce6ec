// Package emails is the page **Emails** of the admin area: every mail of the last 90 days with its status, what the mail server
// said at each attempt, how it reads, and a way to send it again. How mails are queued and delivered is app/mail's, whose tables
// are read here. Start reading at service.go.
package emails

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"
	"time"

	"portico/app"

	"github.com/google/uuid"
)

// Statuses lists every status of a mail, in the order of its life. Labels stand in the catalogue under "emails.status-STATUS".
var Statuses = []string{"queued", "sending", "retrying", "sent", "failed", "cancelled"}

// Email is one mail to one recipient, as the list shows it.
type Email struct {
	ID         string
	Kind       string // one of mail.Kinds
	Recipient  string // address
	Subject    string
	Status     string // one of Statuses
	Reason     string // why it failed or was cancelled, else ""; see migrations/0003_mail.sql
	Attempts   int
	Answer     string // the mail server's last answer, redacted
	CreatedAt  time.Time
	NextAt     *time.Time // when the next attempt is due, for one that waits
	FinishedAt *time.Time // nil while it is under way
}

// Details are all that is known of one mail.
type Details struct {
	Email
	Name        string // of the recipient
	MessageID   string // without angle brackets, the same at every attempt
	Tries       []Attempt
	WhyNotAgain string // as mail.Service.WhyNotAgain says
}

// Attempt is one try at handing a mail to the mail server.
type Attempt struct {
	Attempt    int
	StartedAt  time.Time
	FinishedAt *time.Time // nil while it runs
	Outcome    *string    // nil while it runs, else one of mail.Outcome
	Code       *int       // the SMTP reply code, nil where the server gave none
	Answer     string
}

// Filter says which mails are wanted. The zero Filter wants all.
type Filter struct {
	Text     string    // part of the recipient or the subject
	Status   string    // exact
	Kind     string    // exact
	From, To time.Time // when it was queued: from, inclusive, and to, exclusive; zero is open
}

// Values encodes the filter for an address, with dates in the time zone in which they were chosen.
func (f Filter) Values(zone *time.Location) url.Values {
	values := url.Values{}
	set := func(name, value string) {
		if value != "" {
			values.Set(name, value)
		}
	}
	set("q", f.Text)
	set("status", f.Status)
	set("kind", f.Kind)
	if !f.From.IsZero() {
		set("from", f.From.In(zone).Format(time.DateOnly))
	}
	if !f.To.IsZero() {
		set("to", f.To.In(zone).AddDate(0, 0, -1).Format(time.DateOnly))
	}
	return values
}

// ParseFilter reads what Values wrote: ?q=, status, kind, and the days from and to, both inclusive, in zone. Returns
// *app.Invalid for a day that is none.
func ParseFilter(get func(name string) string, zone *time.Location) (Filter, error) {
	var invalid app.Invalid
	text := func(name string) string {
		return strings.ReplaceAll(strings.ToValidUTF8(strings.TrimSpace(get(name)), ""), "\x00", "")
	}
	day := func(name string) time.Time {
		value := text(name)
		if value == "" {
			return time.Time{}
		}
		date, err := time.ParseInLocation(time.DateOnly, value, zone)
		if err != nil {
			invalid.Add(name, "emails.day-wrong")
			return time.Time{}
		}
		return date
	}
	f := Filter{Text: text("q"), Status: text("status"), Kind: text("kind"), From: day("from"), To: day("to")}
	if !f.To.IsZero() {
		f.To = f.To.AddDate(0, 0, 1)
	}
	return f, invalid.Err()
}

// Key is the last mail of a page, after which the next one begins. The zero Key stands before the newest mail.
type Key struct {
	CreatedAt time.Time
	ID        string
}

func keyOf(e Email) Key { return Key{e.CreatedAt, e.ID} }

// String writes the key as it stands in addresses; "" for the zero Key.
func (k Key) String() string {
	if k.ID == "" {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%s %s", k.CreatedAt.UTC().Format(time.RFC3339Nano), k.ID))
}

// ParseKey reads what String wrote, or returns app.ErrNotFound.
func ParseKey(text string) (Key, error) {
	if text == "" {
		return Key{}, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return Key{}, app.ErrNotFound
	}
	moment, id, _ := strings.Cut(string(raw), " ")
	at, err := time.Parse(time.RFC3339Nano, moment)
	if err != nil || uuid.Validate(id) != nil {
		return Key{}, app.ErrNotFound
	}
	return Key{at, id}, nil
}
