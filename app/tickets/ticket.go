// Package tickets is support: tickets, the messages and events of their threads, and drafts. Who sees a ticket is decided by
// its query (relationSQL in store.go), and who may do what with it by the policy, asked with the relation that the query found.
// Start reading at service.go; the staff's side of support is app/support, which builds on this package.
package tickets

import (
	"fmt"
	"html/template"
	"slices"
	"strings"
	"time"

	"portico/app"
	"portico/app/attachments"
	"portico/policies"
)

// The statuses of a ticket. Labels stand in the catalogue under "tickets.status-STATUS", with a hyphen for the underscore.
const (
	Open          = "open"           // new
	StaffReplied  = "staff_replied"  // the newest post is the store's
	ClientReplied = "client_replied" // the newest post is an account holder's or a delegate's
	Waiting       = "waiting"        // set by staff
	Closed        = "closed"         // final
)

// Statuses lists every status, in the order of lists.
var Statuses = []string{Open, ClientReplied, StaffReplied, Waiting, Closed}

// What a viewer is to one ticket: the vocabulary of policies/policy.csv for the object "ticket".
const (
	Owner    = "owner"    // owns the ticket's account, or may let others into its things
	User     = "user"     // another user of the ticket's account
	Author   = "author"   // another user of the ticket's account, who opened this ticket
	Delegate = "delegate" // let into this ticket
	Opener   = "opener"   // let into the contract of the ticket's product, and opened this ticket since
	Reader   = "reader"   // let into that contract before this ticket was opened by others
	Staff    = "staff"    // of the store, and the ticket has no department or one of theirs
	Admin    = "admin"
)

// Whose voice a message has: what its author was to the ticket when they wrote it.
const (
	VoiceOwner    = "owner"
	VoiceDelegate = "delegate"
	VoiceStore    = "store"
)

// Limits of what is typed, in characters.
const (
	MaxSubject = 200
	MaxBody    = 50_000
)

// ErrClosed is app.ErrConflict: the ticket is closed, which is final.
var ErrClosed = fmt.Errorf("the ticket is closed: %w", app.ErrConflict)

// Ticket is one ticket as its viewer sees it.
type Ticket struct {
	ID               string
	Number           int64 // what people call it by
	AccountID        string
	AccountName      string
	OpenerID         *string
	Subject          string
	DepartmentID     *string
	DepartmentName   string // "" without a department
	AssigneeID       *string
	AssigneeName     string // "" without an assignee
	Status           string // one of Statuses
	FollowsID        *string
	DuplicateOf      *string
	CreatedAt        time.Time
	UpdatedAt        time.Time // newest change that the account's people can see
	LastPostAt       time.Time
	LastClientPostAt *time.Time
	WaitingSince     *time.Time // of the first post that the store has yet to answer, nil if it owes none
	ClosedAt         *time.Time
	Version          int64 // grows with every change that the account's people can see
	ProductID        *string
	ProductName      string   // "" without a product
	ContractID       *string  // of the product, nil for a one-off purchase
	Relations        []string // all that the viewer is to it; what any of these may do, they may
}

func (t Ticket) String() string { return fmt.Sprintf("ticket %d", t.Number) }

// Chip is the status as shared/status and the catalogue spell it.
func (t Ticket) Chip() string { return chip(t.Status) }

// Chip is the status as shared/status and the catalogue spell it.
func (l Link) Chip() string { return chip(l.Status) }

func chip(status string) string { return strings.ReplaceAll(status, "_", "-") }

// OfStore tells whether the viewer sees the ticket as one of the store's people.
func (t Ticket) OfStore() bool { return t.is(Staff) || t.is(Admin) }

// OfAccount tells whether the viewer belongs to the ticket's account.
func (t Ticket) OfAccount() bool { return t.is(Owner) || t.is(User) }

// Shared tells whether the viewer sees the ticket because somebody else let them in.
func (t Ticket) Shared() bool { return !t.OfStore() && !t.OfAccount() }

func (t Ticket) is(relation string) bool { return slices.Contains(t.Relations, relation) }

// voice is whose voice the viewer's messages have here.
func (t Ticket) voice() string {
	switch {
	case t.OfStore():
		return VoiceStore
	case t.OfAccount():
		return VoiceOwner
	}
	return VoiceDelegate
}

// Allows tells whether the viewer's relations to the ticket may do something, whatever state the ticket is in.
func (t Ticket) Allows(action string) bool {
	return policies.Allows(t.Relations, "ticket", action)
}

// Can is what the viewer may do with a ticket, as it is now.
type Can struct {
	Reply, Attach, Subject, Close, FollowUp    bool
	Export                                     bool
	Delegates, Leave                           bool // see who was let in; give up one's own access
	Notes, Assign, Status, Department, History bool // History: what messages said before they were edited
}

// Can says what the viewer may do with the ticket now.
func (t Ticket) Can() Can {
	open := t.Status != Closed
	return Can{
		Reply: open && t.Allows("reply"), Attach: open && t.Allows("attach"), Subject: open && t.Allows("subject"), Close: open && t.Allows("close"),
		FollowUp: !open && t.Allows("follow_up"), Delegates: t.Allows("delegates"), Leave: t.Allows("leave"), Export: t.Allows("export"),
		Notes: open && t.Allows("notes"), Assign: open && t.Allows("assign"), Status: open && t.Allows("status"),
		Department: open && t.Allows("department"), History: t.Allows("notes"),
	}
}

// Message is one post of a thread, or an internal note.
type Message struct {
	ID         string
	TicketID   string
	AuthorID   *string
	AuthorName string
	Voice      string // VoiceOwner, VoiceDelegate or VoiceStore
	Internal   bool
	Body       string // Markdown, as it was typed
	HTML       string // made from Body by app/markdown when it was written
	CreatedAt  time.Time
	EditedAt   *time.Time

	Own      bool               `db:"-"` // the viewer wrote it
	CanEdit  bool               `db:"-"` // the viewer may edit it now
	Files    []attachments.File `db:"-"` // in the order they were handed in
	Versions []Version          `db:"-"` // what it said before, oldest first; for those who may see notes
}

// Markup is the message as HTML. It was sanitised when it was written.
func (m Message) Markup() template.HTML { return template.HTML(m.HTML) }

// Version is what a message said before it was edited.
type Version struct {
	MessageID  string
	ReplacedAt time.Time
	Body       string
	HTML       string
}

// Markup is the version as HTML. It was sanitised when it was written.
func (v Version) Markup() template.HTML { return template.HTML(v.HTML) }

// The kinds of events. Sentences stand in the catalogue under "tickets.event-KIND".
const (
	EventSubject    = "subject"    // data: Before, After
	EventEdit       = "edit"       // data: Message (id)
	EventClose      = "close"      // data: Number of the ticket it doubles, if it was closed as a duplicate
	EventStatus     = "status"     // data: After
	EventDepartment = "department" // data: Before, After: names, "" for none
	EventAssign     = "assign"     // data: After: name, "" for nobody
	EventRan        = "ran"        // data: Action: label of what went well at last
)

// Event is something that happened to a ticket, in its timeline.
type Event struct {
	ID        string
	At        time.Time
	ActorID   *string
	ActorName string
	Kind      string
	Data      map[string]string
	Internal  bool

	Own bool `db:"-"` // the viewer did it
}

// Entry is one line of a thread: a message or an event.
type Entry struct {
	At      time.Time
	Message *Message
	Event   *Event
}

// Link is another ticket that the viewer may read, with what a link to it says.
type Link struct {
	ID      string
	Number  int64
	Subject string
	Status  string
}

// Person is somebody who reads a ticket.
type Person struct {
	ID       string
	Name     string
	Mail     bool       // gets mail about replies
	Delegate bool       // was let into the ticket, or into the contract of its product
	Since    *time.Time // of a delegate
}

// Thread is a ticket with all that its viewer sees of it.
type Thread struct {
	Ticket
	Can       Can
	Entries   []Entry  // oldest first
	People    []Person // of the account, then its delegates who read this ticket
	Follows   *Link    // the ticket that this one goes on with
	FollowUps []Link   // those that go on with this one
	Double    *Link    // the ticket that this one doubles
	Draft     Draft    // the viewer's own reply, as far as it is written
}

// readOnly takes away all that could be done with it.
func (t *Thread) readOnly() {
	t.Can = Can{}
	for _, entry := range t.Entries {
		if entry.Message != nil {
			entry.Message.CanEdit = false
		}
	}
}

// MessageIDs lists the messages that the viewer sees.
func (t Thread) MessageIDs() []string {
	var ids []string
	for _, entry := range t.Entries {
		if entry.Message != nil {
			ids = append(ids, entry.Message.ID)
		}
	}
	return ids
}

// merge puts messages and events in one order.
func merge(messages []Message, events []Event) []Entry {
	entries := make([]Entry, 0, len(messages)+len(events))
	for i := range messages {
		entries = append(entries, Entry{At: messages[i].CreatedAt, Message: &messages[i]})
	}
	for i := range events {
		entries = append(entries, Entry{At: events[i].At, Event: &events[i]})
	}
	slices.SortStableFunc(entries, func(a, b Entry) int { return a.At.Compare(b.At) })
	return entries
}

// Draft is what somebody is writing.
type Draft struct {
	Object       string // "new", or "ticket:ID" (a reply), "note:ID" (a note to that ticket) or "message:ID" (an edit)
	Subject      string
	DepartmentID string
	Body         string
	UpdatedAt    time.Time // zero if there is none
}

func (d Draft) empty() bool { return d.Subject == "" && d.Body == "" }

// DraftOfReply names the draft of a reply to a ticket.
func DraftOfReply(ticketID string) string { return "ticket:" + ticketID }

// DraftOfNote names the draft of an internal note to a ticket.
func DraftOfNote(ticketID string) string { return "note:" + ticketID }

// DraftOfEdit names the draft of an edit of a message.
func DraftOfEdit(messageID string) string { return "message:" + messageID }

// DraftOfNew is a new ticket's draft.
const DraftOfNew = "new"

// TopicAll is the topic of every list of the store's: any ticket changed. Live pages watch it, and the topics below. All of them
// but TopicOfStaff change with what the account's people can see, and never with notes.
const TopicAll = "tickets"

// TopicOf is one ticket's.
func TopicOf(id string) string { return "ticket:" + id }

// TopicOfStaff is of what only the store's people see of a ticket: notes and presence.
func TopicOfStaff(id string) string { return "ticket-staff:" + id }

// TopicOfAccount is the list of an account's tickets.
func TopicOfAccount(id string) string { return "account-tickets:" + id }
