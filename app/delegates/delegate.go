// Package delegates lets account holders into one ticket or one contract of somebody else's: once, for both. Tickets and contracts
// are its parents: they answer who may invite and revoke (Parent), and ask Live in their own queries who is let in.
// Start reading at service.go.
package delegates

import "time"

// What delegates are let into.
const (
	Ticket   = "ticket"
	Contract = "contract"
)

// The statuses of a delegate's row.
const (
	Invited  = "invited"
	Accepted = "accepted"
	Declined = "declined"
	Revoked  = "revoked"
	Left     = "left"
	Ended    = "ended" // its end came, and the person was invited anew
)

// Expired is what State says of an invitation whose link works no more.
const Expired = "expired"

// Live tells of a row "delegates d" whether it grants access, as things are at that moment. Every query of tickets and contracts
// decides by it.
const Live = "d.status = 'accepted' and (d.ends_at is null or d.ends_at > now())"

// Thing is what somebody is let into.
type Thing struct {
	Kind        string // Ticket or Contract
	ID          string
	Name        string // subject, or the contract's name
	AccountID   string
	AccountName string
	Final       bool // takes no new delegates any more: closed, cancelled, ended
}

// Path is the address of the thing's page for account holders.
func (t Thing) Path() string {
	if t.Kind == Contract {
		return "/contracts/" + t.ID
	}
	return "/support/" + t.ID
}

// Delegate is one invitation and what became of it.
type Delegate struct {
	ID             string
	Kind           string // of what the person is let into
	ThingID        string
	UserID         string
	Name           string
	Email          string
	Status         string
	InvitedByName  string
	InvitedAt      time.Time  // of the newest sending
	LinkUntil      *time.Time // while the invitation can be accepted
	AcceptedAt     *time.Time
	FinishedAt     *time.Time
	FinishedByName string
	EndsAt         *time.Time // access ends by itself then; nil: until it is revoked
	UntilClosed    bool
	MayAct         bool
	MayTickets     bool
	AskFirst       bool       // what their actions change waits for the owner's approval
	AskedAt        *time.Time // since when they ask to run actions again, nil if they don't
	UsedAt         *time.Time // last use, to the hour
	Over           bool       // EndsAt has come
	Hidden         int        // of a contract: tickets about its products that were opened before the acceptance
}

// State is the status as people see it: Invited, Expired, Accepted, Ended, Declined, Revoked or Left.
func (d Delegate) State() string {
	switch {
	case d.Status == Invited && d.LinkUntil == nil:
		return Expired
	case d.Status == Accepted && d.Over:
		return Ended
	}
	return d.Status
}

// In tells whether the person has access now.
func (d Delegate) In() bool { return d.Status == Accepted && !d.Over }

// Present tells whether the person stands on the panel: invited or let in, also where that ended by itself.
func (d Delegate) Present() bool { return d.Status == Invited || d.Status == Accepted }

// EndsSoon tells whether the access ends within a week, or has ended.
func (d Delegate) EndsSoon() bool {
	return d.Status == Accepted && d.EndsAt != nil && time.Until(*d.EndsAt) < remindBefore
}

// Can is what the viewer may do on a panel now.
type Can struct{ Invite, Resend, Revoke, Leave bool }

// Panel is who is and was let into a thing.
type Panel struct {
	Thing
	Present []Delegate // oldest first
	History []Delegate // who is out again, newest first
	Can     Can
}

// Terms are what an owner sets for one delegate.
type Terms struct {
	EndsOn      string // day in zone, "2006-01-02", the last with access; "" for none
	UntilClosed bool
	MayAct      bool
	MayTickets  bool
	AskFirst    bool // of a contract: what their actions change waits for the owner's approval
}

// Invitation is what the accept page shows.
type Invitation struct {
	Thing    Thing
	Delegate Delegate
	Done     bool // it was accepted already
}

// The events that a thing's timeline tells. Parents store them as they stand here.
const (
	EventInvite  = "delegate-invite"
	EventAccept  = "delegate-accept"
	EventDecline = "delegate-decline"
	EventRevoke  = "delegate-revoke"
	EventLeave   = "delegate-leave"
	EventAsk     = "delegate-ask"    // for actions that were taken
	EventAllow   = "delegate-allow"  // which were given back
	EventRefuse  = "delegate-refuse" // or not
)

// Event is what became of a delegate.
type Event struct {
	Kind   string
	UserID string // the delegate
	Name   string
}

// TopicOf is the lists of what is shared with a user. Live pages of that user watch it.
func TopicOf(userID string) string { return "shared:" + userID }

// Reach is what one person reaches of an owner's things.
type Reach struct {
	UserID string
	Name   string
	Email  string
	Things []Reached
}

// Since is the earliest acceptance, nil where there is only an invitation.
func (r Reach) Since() *time.Time {
	var since *time.Time
	for _, thing := range r.Things {
		if at := thing.Delegate.AcceptedAt; at != nil && (since == nil || at.Before(*since)) {
			since = at
		}
	}
	return since
}

// Used is the newest use of any of it.
func (r Reach) Used() *time.Time {
	var used *time.Time
	for _, thing := range r.Things {
		if at := thing.Delegate.UsedAt; at != nil && (used == nil || at.After(*used)) {
			used = at
		}
	}
	return used
}

// Reached is one thing that somebody was let into.
type Reached struct {
	Thing    Thing
	Delegate Delegate
}
