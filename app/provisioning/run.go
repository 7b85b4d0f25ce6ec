package provisioning

import (
	"time"

	"portico/app/contracts"
)

// The statuses of a run. A run ends in one of the last three, and then never changes its status again.
const (
	Approval  = "approval" // a delegate's, which waits for the owner's
	Queued    = "queued"
	Running   = "running" // also while the provider goes on working: Run.Waiting
	Retrying  = "retrying"
	Succeeded = "succeeded"
	Failed    = "failed"
	Cancelled = "cancelled"
)

// Statuses lists every status, in the order of lists.
var Statuses = []string{Approval, Queued, Running, Retrying, Succeeded, Failed, Cancelled}

// What somebody is to one bought product, beside the relations of contracts: the portal itself.
const (
	Owner    = contracts.Owner
	User     = contracts.User
	Delegate = contracts.Delegate
	Staff    = contracts.Staff
	Admin    = contracts.Admin
	System   = "system"
)

// The families of failures that are the portal's own, beside those of Families.
const (
	FamilyUnknown     = "unknown"     // it can't be told what came of it
	FamilyGaveUp      = "gave-up"     // tried as often and as long as may be
	FamilyWaited      = "waited"      // the provider went on for too long
	FamilyChanged     = "changed"     // the product or contract changed meanwhile
	FamilyRevoked     = "revoked"     // who asked may not do it any more
	FamilyByHand      = "by-hand"     // somebody cancelled it
	FamilyUnavailable = "unavailable" // the provider is not set up for it any more
)

// Run is one call of a function for one bought product, as its row says.
type Run struct {
	ID                string
	ProductID         string
	ProductName       string
	AccountID         string
	AccountName       string
	ContractID        *string
	Category          string
	Action            string // the function's name
	Driver            string
	ConfigurationID   *string
	ConfigurationName string
	ActorID           *string // nil: the system
	ActorName         string
	ActorRelation     string
	ActorIP           string
	DelegateID        *string // the grant it was queued under
	OperationKey      string
	Cause             string
	OriginID          *string
	Params            map[string]any // without secrets
	Status            string
	UnknownOutcome    bool
	Settled           string // "done" or "absent", once somebody found out
	SettledBy         string
	ErrorFamily       string
	Message           string // for whoever ran it
	Attempts          int
	MaxAttempts       int
	Turn              int
	TurnAt            *time.Time
	DeadlineAt        *time.Time
	InDoubt           bool
	NextAt            *time.Time
	Waiting           bool
	WaitingSince      *time.Time
	Reference         string
	Changes           []FieldChange
	Result            map[string]any // without secrets
	TicketID          *string
	DecidedByName     string // who approved or declined it, "" where nobody was asked or has answered
	DecidedAt         *time.Time
	CreatedAt         time.Time
	StartedAt         *time.Time
	FinishedAt        *time.Time
	DurationMS        *int
}

// Final tells whether the run is over.
func (r Run) Final() bool { return r.FinishedAt != nil }

// since is when it began to be anybody's business to run it.
func (r Run) since() time.Time {
	if r.DecidedAt != nil {
		return *r.DecidedAt
	}
	return r.CreatedAt
}

// Overdue tells whether the run should have been over: its worker is gone, or stuck.
func (r Run) Overdue(now time.Time) bool {
	return r.Status == Running && !r.Waiting && r.DeadlineAt != nil && now.After(*r.DeadlineAt)
}

// Duration is how long its calls took together.
func (r Run) Duration() time.Duration {
	if r.DurationMS == nil {
		return 0
	}
	return time.Duration(*r.DurationMS) * time.Millisecond
}

// Unsettled tells whether somebody has yet to find out what came of it.
func (r Run) Unsettled() bool { return r.UnknownOutcome && r.Settled == "" }

// CanCancel tells whether nothing is under way at the provider that a cancellation could not stop.
func (r Run) CanCancel() bool {
	return r.Status == Approval || r.Status == Queued || r.Status == Retrying || r.Waiting
}

// CanRetry tells whether it may be tried again as a new run.
func (r Run) CanRetry() bool { return r.Status == Failed || r.Status == Cancelled }

// CanUndo tells whether a successful run changed something that can be put back.
func (r Run) CanUndo(f Function) bool {
	return r.Status == Succeeded && f.Undo != "" && len(r.Changes) > 0
}

// FieldChange is a provision field before and after a run or an edit. Of a secret field the values are nil.
type FieldChange struct {
	Field  string `json:"field"`
	Before any    `json:"before"`
	After  any    `json:"after"`
}

// Attempt is one turn of a run at the provider.
type Attempt struct {
	RunID      string
	Attempt    int // the turn's number
	StartedAt  time.Time
	FinishedAt time.Time
	Outcome    string
	Message    string
	Detail     string // for the store's people
	NextAt     *time.Time
}

// Took is how long it lasted.
func (a Attempt) Took() time.Duration { return a.FinishedAt.Sub(a.StartedAt) }

// Outcomes of an attempt.
const (
	attemptSucceeded = "succeeded"
	attemptFailed    = "failed"
	attemptRetry     = "retry"
	attemptWaiting   = "waiting"
	attemptCancelled = "cancelled"
	attemptUnknown   = "unknown"
)

// Product is a bought product as its viewer sees it, with what provisioning needs of it.
type Product struct {
	ID                string
	AccountID         string
	AccountName       string
	ContractID        *string
	Name              string
	Category          string
	Status            string
	ContractStatus    string // "" of a one-off purchase
	Fields            map[string]any
	ConfigurationID   *string
	ConfigurationName string
	Driver            string // "" while it has no configuration
	Settings          map[string]any
	PausedAt          *time.Time
	PausedReason      string
	Identifier        string   // what people know it by, e.g. its domain
	Optional          []string // optional functions that an admin switched on
	ForDelegates      []string // functions that an admin switched on for delegates
	AskFirst          bool     // of a Delegate: what changes something waits for the owner's approval
	Asked             bool     // of a Delegate who may not act: the owner was asked for it, and did not answer yet
	contracts.Access
}

// title is what people know the product by.
func (p Product) title() string { return or(p.Identifier, p.Name) }

// Key is where a page of runs begins: after the run of this id. The zero Key is the first page.
type Key string

// Topics of open pages.
const TopicAll = "runs"

// TopicOf is one run's.
func TopicOf(runID string) string { return "run:" + runID }

// TopicOfTicket changes with every run that a ticket is about.
func TopicOfTicket(ticketID string) string { return "ticket-runs:" + ticketID }

// TopicOfProduct changes with every run and every provision field of a bought product.
func TopicOfProduct(productID string) string { return contracts.TopicOfProduct(productID) }

// managePath is the address of the page **Manage** of a product, in the admin area or the client area.
func managePath(contractID *string, productID string, admin bool) string {
	path := "/purchases/" + productID + "/manage"
	if contractID != nil {
		path = "/contracts/" + *contractID + "/manage?product=" + productID
	}
	if admin {
		path = "/admin" + path
	}
	return path
}
