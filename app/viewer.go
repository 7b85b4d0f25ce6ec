package app

import (
	"slices"
	"time"
)

// Role says what a user is to the store.
type Role string

const (
	RoleHolder Role = ""      // an account holder: a client or a lead
	RoleStaff  Role = "staff" // answers tickets and does what their named permissions allow
	RoleAdmin  Role = "admin" // does everything
)

// Viewer is who is asking. It is read from the session in every request and never outlives it, so a changed right applies
// at once. The zero Viewer is an anonymous visitor.
type Viewer struct {
	UserID      string // "" for an anonymous visitor
	Name        string
	Email       string
	Confirmed   bool // the e-mail address was confirmed
	Role        Role
	Permissions []string // named staff permissions, see policies.Permissions; empty for account holders
	Departments []string // ids of the departments a member of staff belongs to

	Language string // catalogue language, e.g. "en"
	Zone     string // IANA time zone; "" is the store's
	Theme    string // "light", "dark", or "" for the system's

	SessionID    string
	SecondFactor bool      // this session was opened with a second factor
	ProvedAt     time.Time // when the password or second factor was last given in this session

	IP        string
	Browser   string // what the User-Agent header says, shortened
	RequestID string
}

// SignedIn tells a user from an anonymous visitor.
func (v Viewer) SignedIn() bool { return v.UserID != "" }

// OfStore tells staff and admins from account holders.
func (v Viewer) OfStore() bool { return v.Role == RoleStaff || v.Role == RoleAdmin }

// Relations lists what this viewer is towards things that belong to nobody in particular (a page, the store, the
// viewer's own settings). Relations to one record, such as owner or delegate, come from that record's query.
//
// The answer is the vocabulary of policies/policy.csv: "anonymous", "holder", "unconfirmed", "staff", "admin", and
// "can:NAME" for each named permission of a member of staff.
func (v Viewer) Relations() []string {
	switch {
	case !v.SignedIn():
		return []string{"anonymous"}
	case v.Role == RoleAdmin:
		return []string{"admin"}
	case v.Role == RoleStaff:
		relations := []string{"staff"}
		for _, permission := range v.Permissions {
			relations = append(relations, "can:"+permission)
		}
		return relations
	case !v.Confirmed:
		return []string{"unconfirmed"}
	default:
		return []string{"holder"}
	}
}

// Has tells whether a member of staff holds a named permission; an admin holds all.
func (v Viewer) Has(permission string) bool {
	return v.Role == RoleAdmin || v.Role == RoleStaff && slices.Contains(v.Permissions, permission)
}
