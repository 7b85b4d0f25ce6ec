package provisioning

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// Driver is our code for one kind of provider. It keeps no state between calls and is safe for concurrent use.
type Driver interface {
	// Name is stored with configurations and runs, e.g. "whm". Never renamed.
	Name() string
	// Title is the provider's own name, e.g. "cPanel/WHM".
	Title() string
	Categories() []string
	// Settings are the fields of a configuration for a category.
	Settings(category string) []Field
	// Functions are those it offers, taken from the catalogue, and its own. A driver may narrow what it takes from the catalogue
	// (leave parameters out, name options), not widen it.
	Functions(category string) []Function
	// Test tries a configuration without changing anything: *Unauthorised if the credentials are refused, any other error if it
	// can't be used. Only Category, Settings and Client of the call are set.
	Test(ctx context.Context, c Call) error
	// Call runs a function once. The error is one of *Refused, *Later, *Unauthorised and *Unknown, see there; any other counts as
	// *Unknown, or, of a function that is Repeatable, as *Later.
	Call(ctx context.Context, c Call) (Result, error)
	// LookUp tells after an unknown outcome of the same call whether its effect is there.
	LookUp(ctx context.Context, c Call) (Outcome, Result, error)
}

// Call is one call of a function.
type Call struct {
	Category  string
	Function  string
	Key       string         // operation key: a UUID, the same for all tries of one run
	ProductID string         // of the bought product
	Fields    map[string]any // provision fields, secret ones included
	Params    map[string]any // checked, secret ones included
	Settings  map[string]any // of the configuration, checked, secret ones included
	Reference string         // what an earlier try returned, while the provider is at it
	VisitorIP string         // of the person who asked, "" for the system
	Client    *http.Client   // the only way out: it records, masks and limits

	ConfigurationID string // of the configuration, part of the address for callbacks; "" in a test
}

// Text returns a parameter that is a text, "" if it was left out.
func (c Call) Text(name string) string { return textOf(c.Params, name) }

// Setting returns a setting that is a text, "" if it was left out.
func (c Call) Setting(name string) string { return textOf(c.Settings, name) }

func textOf(values map[string]any, name string) string {
	text, _ := values[name].(string)
	return text
}

// Result is what a call gave.
type Result struct {
	Message   string         // for clients too: no secret, no name of the platform behind; "" for the catalogue's own sentence
	Data      map[string]any // as Returns declares
	Reference string         // the provider's own name for what it is doing
	Waiting   bool           // the provider is still at it: call again with Reference
	After     time.Duration  // when to; 0 leaves it to the portal
}

// Outcome is what a look-up found.
type Outcome string

const (
	OutcomeDone    Outcome = "done"    // the effect is there; the result is what the call would have given
	OutcomeAbsent  Outcome = "absent"  // it is not there, and the call may be repeated
	OutcomeUnknown Outcome = "unknown" // it can't be told
)

// Refused: the provider said no, or what was asked can't be done. Final.
type Refused struct {
	Message string   // for clients too, "" for the sentence of the family
	Detail  string   // for the store's people: the provider's own words, without secrets
	Family  string   // one of Families
	Done    []string // steps that were completed before it, for a person to know what is there
}

func (e *Refused) Error() string { return "refused (" + e.Family + "): " + e.Detail }

// Families of errors, for which an admin can write once what clients should read.
var Families = []string{"invalid", "exists", "missing", "limit", "state", "unsupported", "billing", "refused"}

// Families of Refused.
const (
	FamilyInvalid     = "invalid"     // a value that the provider does not take
	FamilyExists      = "exists"      // what should be made is there already
	FamilyMissing     = "missing"     // it knows no such account, name or server
	FamilyLimit       = "limit"       // a quota or limit is reached
	FamilyState       = "state"       // not possible in the present state: locked, suspended, pending
	FamilyUnsupported = "unsupported" // the provider can't do this
	FamilyBilling     = "billing"     // the store's account with the provider is out of funds
	FamilyRefused     = "refused"     // anything else
)

// Later: nothing was done, and the same call may work later: a rate limit, 408, 425, 429, or the provider could not be reached.
type Later struct {
	After  time.Duration // the provider's own wish, 0 if it has none
	Limit  bool          // it was a rate limit: waiting costs no attempt
	Detail string        // without secrets
}

func (e *Later) Error() string { return "later: " + e.Detail }

// Unauthorised: the provider refuses the configuration's credentials. Its configuration is paused, so that no account is locked out.
type Unauthorised struct {
	Detail string // without secrets
}

func (e *Unauthorised) Error() string { return "credentials refused: " + e.Detail }

// Unknown: the call may have had its effect: a time-out, a broken or unreadable answer, a 5xx.
type Unknown struct {
	Detail string   // without secrets
	Done   []string // steps that were surely completed
}

func (e *Unknown) Error() string { return "outcome unknown: " + e.Detail }

// ErrDriver: no driver of this name is installed.
var ErrDriver = errors.New("no such driver")

// Registry holds the installed drivers. Safe for concurrent use.
type Registry struct {
	drivers []Driver
}

// NewRegistry takes the drivers in the order in which people choose among them. It returns an error for a name that comes twice or a
// category that does not exist.
func NewRegistry(drivers ...Driver) (*Registry, error) {
	seen := map[string]bool{}
	for _, d := range drivers {
		if seen[d.Name()] {
			return nil, fmt.Errorf("driver %s: registered twice", d.Name())
		}
		seen[d.Name()] = true
		for _, name := range d.Categories() {
			if _, ok := CategoryOf(name); !ok {
				return nil, fmt.Errorf("driver %s: no category %q", d.Name(), name)
			}
		}
	}
	return &Registry{slices.Clone(drivers)}, nil
}

// Driver returns the driver of that name, or ErrDriver.
func (r *Registry) Driver(name string) (Driver, error) {
	for _, d := range r.drivers {
		if d.Name() == name {
			return d, nil
		}
	}
	return nil, fmt.Errorf("driver %q: %w", name, ErrDriver)
}

// For lists the drivers that serve a category.
func (r *Registry) For(category string) []Driver {
	var serving []Driver
	for _, d := range r.drivers {
		if slices.Contains(d.Categories(), category) {
			serving = append(serving, d)
		}
	}
	return serving
}

// All lists every driver.
func (r *Registry) All() []Driver { return slices.Clone(r.drivers) }

// FunctionOf returns the function that a driver offers for a category under this name.
func FunctionOf(d Driver, category, name string) (Function, bool) {
	return findFunction(d.Functions(category), name)
}

// AnyFunction returns the function of the catalogue or, if it is none of those, of a driver that offers one of that name: for
// showing runs whose configuration is long gone.
func (r *Registry) AnyFunction(category, name string) (Function, bool) {
	if c, ok := CategoryOf(category); ok {
		if f, ok := c.Function(name); ok {
			return f, true
		}
	}
	for _, d := range r.For(category) {
		if f, ok := FunctionOf(d, category, name); ok {
			return f, true
		}
	}
	return Function{}, false
}
