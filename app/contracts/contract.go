// Package contracts knows what accounts have bought: subscription contracts with their products, one-off purchases, and the catalogue
// that they are bought from. Who sees a contract is decided by its query (AccessSQL in store.go), and who may do what with it by the
// policy, asked with the relations that the query found. Delegates, tickets, provisioning and billing build on this package. Start
// reading at service.go.
package contracts

import (
	"fmt"
	"slices"
	"time"

	"portico/app"
	"portico/policies"
)

// The statuses of a contract and of a bought product. Labels stand in the catalogue under "contracts.status-STATUS".
const (
	Pending   = "pending"   // not running yet
	Active    = "active"    // running
	Suspended = "suspended" // halted; may run again
	Cancelled = "cancelled" // final: ended before its time
	Ended     = "ended"     // final: its time is over
)

// Statuses lists every status, in the order of a life.
var Statuses = []string{Pending, Active, Suspended, Cancelled, Ended}

// What a viewer is to one contract: the vocabulary of policies/policy.csv for the object "contract".
const (
	Owner    = "owner"    // owns the contract's account
	User     = "user"     // another user of the account
	Delegate = "delegate" // accepted, not ended, and the contract runs
	Staff    = "staff"
	Admin    = "admin"
)

// ErrState is app.ErrConflict: the contract's status does not allow this.
var ErrState = fmt.Errorf("the status of the contract does not allow this: %w", app.ErrConflict)

// Access is what a viewer is to one contract or purchase, as its query found it.
type Access struct {
	Relation    string     // Owner, User, Delegate, Staff or Admin
	Permissions []string   // of a User policies.AccountPermissions, of a Delegate policies.DelegateRights, of Staff the named ones
	DelegateID  *string    // of a Delegate: the grant
	AcceptedAt  *time.Time // of a Delegate: when it began
}

// Relations lists what the viewer is, in the vocabulary of policies/policy.csv. A permission counts for those who may have it only.
func (a Access) Relations() []string {
	relations := []string{a.Relation}
	for _, permission := range a.Permissions {
		known := false
		switch a.Relation {
		case User:
			known = slices.Contains(policies.AccountPermissions, policies.AccountPermission(permission))
		case Delegate:
			known = slices.Contains(policies.DelegateRights, permission)
		case Staff:
			known = slices.Contains(policies.Permissions, policies.Permission(permission))
		}
		if known {
			relations = append(relations, "can:"+permission)
		}
	}
	return relations
}

// Allows asks the policy for the object "contract", whatever status it has.
func (a Access) Allows(action string) bool { return policies.Allows(a.Relations(), "contract", action) }

// OfStore tells whether the viewer sees it as one of the store's people.
func (a Access) OfStore() bool { return a.Relation == Staff || a.Relation == Admin }

// OfAccount tells whether the viewer is its owner or another user of the account.
func (a Access) OfAccount() bool { return a.Relation == Owner || a.Relation == User }

// Contract is a subscription as its viewer sees it. Dates are days in the store's time zone, at midnight UTC; nil until it starts.
type Contract struct {
	ID           string
	Number       int64 // what people call it by
	AccountID    string
	AccountName  string
	OwnerName    string // of the account's owner
	Name         string
	Status       string // one of Statuses
	CycleMonths  int    // how often it is paid
	TermMonths   int    // how long it runs
	StartsOn     *time.Time
	RenewsOn     *time.Time // first day of the next cycle
	TermEndsOn   *time.Time // first day after the term
	AutoRenew    bool
	CancelsOn    *time.Time // it was cancelled to this day
	CancelReason string     // for the account's people and the store
	CreatedAt    time.Time
	UpdatedAt    time.Time
	Access
}

func (c Contract) String() string { return fmt.Sprintf("contract %d", c.Number) }

// Running tells whether the contract is active or suspended.
func (c Contract) Running() bool { return running(c.Status) }

func running(status string) bool { return status == Active || status == Suspended }

// Years is the term in years, 0 if it is not whole years.
func (c Contract) Years() int {
	if c.TermMonths%12 != 0 {
		return 0
	}
	return c.TermMonths / 12
}

// Final tells whether a status never changes again.
func Final(status string) bool { return status == Cancelled || status == Ended }

// Product is one bought product: under a contract, or without one a one-off purchase.
type Product struct {
	ID             string
	AccountID      string
	AccountName    string
	OwnerName      string
	ContractID     *string // nil of a one-off purchase
	ContractStatus string  // "" of a one-off purchase
	ProductID      string  // in the catalogue
	PlanID         string
	PlanName       string
	Name           string
	Category       string // one of Categories, "" where nothing is provisioned
	Status         string // one of Statuses
	RegisteredOn   *time.Time
	RenewsOn       *time.Time
	PriceMinor     int64          // what the plan cost when it was bought, in minor units of the store's currency: for who may see billing
	Fields         map[string]any // provision fields: domain, username, ip, …
	Identifier     string         // what people tell it by: a domain, a host name; "" if it has none
	CreatedAt      time.Time
	UpdatedAt      time.Time
	Access
}

func (p Product) String() string { return "product " + p.ID }

// Title is what people tell the product by: its identifier, or else its name.
func (p Product) Title() string {
	if p.Identifier != "" {
		return p.Identifier
	}
	return p.Name
}

// Running tells whether the product, and its contract if it has one, are active.
func (p Product) Running() bool {
	return p.Status == Active && (p.ContractID == nil || p.ContractStatus == Active)
}

// Icon draws the product's category.
func (p Product) Icon() string { return categoryIcon(p.Category) }

// Path is the address of the product's page for its viewer.
func (p Product) Path() string {
	path := "/purchases/" + p.ID
	if p.ContractID != nil {
		path = "/contracts/" + *p.ContractID
	}
	if p.OfStore() {
		path = "/admin" + path
	}
	if p.ContractID != nil {
		path += "?product=" + p.ID
	}
	return path
}

// Item is a contract, or a one-off purchase, as a page shows it.
type Item struct {
	Contract *Contract // nil of a one-off purchase
	Products []Product // at least one
	Product  Product   // the one that is shown
}

// Access is the viewer's to the whole.
func (i Item) Access() Access { return i.Product.Access }

// Allows asks the policy for the object "contract", whatever status it has.
func (i Item) Allows(action string) bool { return i.Product.Allows(action) }

// Name is the heading of its page.
func (i Item) Name() string {
	if i.Contract != nil {
		return i.Contract.Name
	}
	return i.Product.Name
}

// Status is the contract's, or the purchase's.
func (i Item) Status() string {
	if i.Contract != nil {
		return i.Contract.Status
	}
	return i.Product.Status
}

// AccountID names whose it is.
func (i Item) AccountID() string { return i.Product.AccountID }

// Path is the address of its page for the viewer, without the product.
func (i Item) Path() string {
	path := "/purchases/" + i.Product.ID
	if i.Contract != nil {
		path = "/contracts/" + i.Contract.ID
	}
	if i.Product.OfStore() {
		path = "/admin" + path
	}
	return path
}

// Final tells whether its status never changes again.
func (i Item) Final() bool { return Final(i.Status()) }

// Topic is what live pages of it watch.
func (i Item) Topic() string {
	if i.Contract != nil {
		return TopicOf(i.Contract.ID)
	}
	return TopicOfPurchase(i.Product.ID)
}

// Deeds are the changes of status that the store may make now, in the order of buttons.
func (i Item) Deeds() []Deed {
	var deeds []Deed
	for _, deed := range allDeeds {
		if slices.Contains(deed.From, i.Status()) && i.Allows(deed.Permission) && i.Product.OfStore() {
			deeds = append(deeds, deed)
		}
	}
	return deeds
}

// Deed is a change of status by the store.
type Deed struct {
	Name       string   // the end of its address, and in the catalogue "contracts.deed-NAME"
	From       []string // statuses
	To         string
	Permission string // action of the object "contract"
	Final      bool   // asks once before
}

var allDeeds = []Deed{
	{"activate", []string{Pending}, Active, "modify", false},
	{"suspend", []string{Active}, Suspended, "modify", false},
	{"unsuspend", []string{Suspended}, Active, "modify", false},
	{"cancel", []string{Pending, Active, Suspended}, Cancelled, "cancel", true},
	{"end", []string{Active, Suspended}, Ended, "cancel", true},
}

// DeedNamed finds a change of status by its name.
func DeedNamed(name string) (Deed, bool) {
	i := slices.IndexFunc(allDeeds, func(d Deed) bool { return d.Name == name })
	if i < 0 {
		return Deed{}, false
	}
	return allDeeds[i], true
}

// Row is one contract in a list, with what its products are told by.
type Row struct {
	Contract
	Since    time.Time // when it came to the viewer: made, or accepted
	Products []Brief
}

// Brief is a bought product as lists name it.
type Brief struct {
	ID         string `json:"id"`
	Name       string `json:"name"`
	Category   string `json:"category"`
	Identifier string `json:"identifier"`
}

// Title is what the contract's link says: the identifier of its first product, or else the contract's name.
func (r Row) Title() string {
	for _, product := range r.Products {
		if product.Identifier != "" {
			return product.Identifier
		}
	}
	return r.Name
}

// More is how many further products the contract has.
func (r Row) More() int { return max(len(r.Products)-1, 0) }

// Icon draws the category of its first product.
func (r Row) Icon() string {
	if len(r.Products) == 0 {
		return categoryIcon("")
	}
	return categoryIcon(r.Products[0].Category)
}

// Event is something that happened to a contract or a purchase, in its timeline.
type Event struct {
	ID        string
	At        time.Time
	ActorID   *string
	ActorName string
	Kind      string // a sentence in the catalogue: "contracts.event-KIND"
	Data      map[string]string
}

// The kinds of events of this package. A kind that begins with "delegate-" is for those who may see the delegates, one that begins
// with "billing-" for those who may see billing; all others are for everybody who sees the contract. Data: see the catalogue.
const (
	EventCreate       = "create"
	EventActivate     = "activate"
	EventSuspend      = "suspend"
	EventUnsuspend    = "unsuspend"
	EventCancel       = "cancel"
	EventEnd          = "end"
	EventProductAdded = "product-added"
)

// TopicOf is one contract's: the contract, its products or its timeline changed.
func TopicOf(id string) string { return "contract:" + id }

// TopicOfPurchase is one one-off purchase's.
func TopicOfPurchase(id string) string { return "purchase:" + id }

// TopicOfProduct is one bought product's: its runs or its provision fields changed.
func TopicOfProduct(id string) string { return "product:" + id }

// TopicOfAccount is of what an account has bought.
func TopicOfAccount(id string) string { return "account-contracts:" + id }

// TopicOfDelegate is of the list of contracts that a user is a delegate of.
func TopicOfDelegate(userID string) string { return "delegate-contracts:" + userID }
