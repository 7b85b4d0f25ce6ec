package provisionlogs

import (
	"encoding/json"
	"time"
)

// Topic is what open pages watch: some run began or changed. The triggers of migrations/0012 tell it.
const Topic = "provision-logs"

// Run is one row of the logs.
type Run struct {
	ID                string
	CreatedAt         time.Time
	Status            string
	UnknownOutcome    bool
	Waiting           bool // running, and the provider is still at it
	Message           string
	Attempts          int
	MaxAttempts       int
	NextAt            *time.Time
	ProductID         string
	ProductName       string
	AccountID         string
	AccountName       string
	Category          string
	Action            string
	Driver            string
	ConfigurationName string
	ActorID           *string // nil: the system
	ActorName         string
	Domain            string
	Username          string
	DurationMS        *int
}

// Product is the name by which people know the product: its domain, else its name.
func (r Run) Product() string {
	if r.Domain != "" {
		return r.Domain
	}
	return r.ProductName
}

// Details are everything about one run.
type Details struct {
	Run
	ErrorFamily     string
	ContractID      *string
	ConfigurationID *string
	ActorRelation   string
	Cause           string
	Params          map[string]any
	Changes         json.RawMessage
	Reference       string
	TicketID        *string
	DecidedByName   string // who approved or declined it, "" for nobody
	Settled         string // "done" or "absent": what somebody found out about an unknown outcome
	SettledBy       string
	StartedAt       *time.Time
	FinishedAt      *time.Time
	Tries           []Attempt `db:"-"`
}

// Attempt is one try of a run.
type Attempt struct {
	Attempt    int
	StartedAt  time.Time
	FinishedAt time.Time
	Outcome    string // succeeded, failed, retry, waiting, cancelled or unknown
	Message    string
	Detail     string
	Debug      *string // JSON; nil where there is none, or it may not be shown
}

// Page is a part of a filtered list, newest first.
type Page struct {
	Runs []Run
	// Next is the key of the next page, "" if this is the last.
	Next string
	// Further says that reading stopped before the page was full, because it had read enough rows: Next goes on from there.
	Further bool
	// Snapshot tells Changes what this page has seen.
	Snapshot string
}

// Changes are what became of runs since a page was read.
type Changes struct {
	Runs     []Run    // changed runs that match, newest first
	Gone     []string // ids of changed runs that don't
	Snapshot string   // for asking on
	// Reset says that too much changed, or too long ago, to be told in pieces: the page must be read afresh.
	Reset bool
}
