// Package clients is **Clients** in the admin area: the accounts of clients and leads, and what the store sees of each. What they bought
// is app/contracts', their tickets app/tickets', whose tables are read here. Start reading at service.go.
package clients

import "time"

// Client is an account as the store sees it.
type Client struct {
	ID             string
	Name           string
	Kind           string // "person" or "company"
	BecameClientAt *time.Time
	CreatedAt      time.Time
	OwnerName      string
	OwnerEmail     string // "" for who may not see accounts
	Running        int    // contracts that are active or suspended
}

// Lead tells an account that has bought nothing yet.
func (c Client) Lead() bool { return c.BecameClientAt == nil }

// Status is the account's kind as shared/status and the catalogue spell it: "client" or "lead".
func (c Client) Status() string {
	if c.Lead() {
		return "lead"
	}
	return "client"
}

// Filter says which accounts are wanted. The zero Filter wants all.
type Filter struct {
	Text string // part of a name or an address, or the beginning of a product's domain or username
	Kind string // "client", "lead" or ""
}

// Person is a user of an account.
type Person struct {
	ID          string
	Name        string
	Email       string
	Relation    string   // "owner" or "user"
	Permissions []string // of policies.AccountPermissions
	Confirmed   bool
	Disabled    bool
	CreatedAt   time.Time // when they joined the account
}
