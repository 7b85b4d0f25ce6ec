// Package provisioning runs the functions of providers for bought products.
//
// Start with category.go: the catalogue declares every function once, and forms, permissions, logs, redaction and docs/actions.md
// are made from that. A Driver (driver.go) speaks to one kind of provider; a run (run.go) is one call of a function for one product.
package provisioning

import (
	"slices"
	"time"
)

// Class says how far a function reaches, and so who may run it: the policy speaks of classes.
type Class string

const (
	ClassRead      Class = "R" // reads the state at the provider
	ClassLogin     Class = "A" // signs the person in at the provider
	ClassChange    Class = "C" // routine change
	ClassKeys      Class = "K" // hands out or moves a lasting power: a credential, a transfer code, the registrant
	ClassDestroy   Class = "D" // destroys data
	ClassLifecycle Class = "L" // creates, changes what is paid for, suspends, ends
)

// Audience says who is offered a function at all; each one includes those before. The policy then decides by class.
type Audience int

const (
	AudienceUndeclared Audience = iota // admins alone
	AudienceAdmins
	AudienceStaff
	AudienceOwners
	AudienceDelegates
)

// Function declares what can be done with a product of a category at its provider.
type Function struct {
	Name     string // camelCase: in addresses, rows and logs
	Class    Class
	Audience Audience

	Optional   bool // off until an admin switches it on for the product
	Delegable  bool // not for delegates until an admin switches that on for the product
	Confirm    bool // destroys: the product's identifier must be typed
	System     bool // also run by the system
	Repeatable bool // running it twice does no more than once: reads, and changes that set a value
	// Everyday marks what the product's overview offers beside the details.
	Everyday bool

	Params  []Field
	Returns []Field
	// Fills says which returned value is written to which provision field.
	Fills map[string]string
	// Sets says which parameter, once the function succeeded, is written to which provision field.
	Sets map[string]string
	// Marks is what provision fields are set to once the function succeeded.
	Marks map[string]any

	Limit time.Duration // longest call; 0 is 30 s, at most 240 s
	Wait  time.Duration // longest wait at a provider that goes on working; 0 is 24 h

	// Undo names the function that puts back what this one changed, called with the values from before under the same names.
	Undo string
	// Label is the message key of the button, "" for actions.do-NAME. Its explanation has the same key with -help.
	Label string
}

// LabelKey is the message key of the function's name on screen.
func (f Function) LabelKey() string {
	if f.Label != "" {
		return f.Label
	}
	return "actions.do-" + kebab(f.Name)
}

// HelpKey is the message key of the function's explanation.
func (f Function) HelpKey() string { return f.LabelKey() + "-help" }

// CallLimit is how long one call may take.
func (f Function) CallLimit() time.Duration {
	if f.Limit == 0 {
		return 30 * time.Second
	}
	return f.Limit
}

// WaitLimit is how long a provider may go on working.
func (f Function) WaitLimit() time.Duration {
	if f.Wait == 0 {
		return 24 * time.Hour
	}
	return f.Wait
}

// AsksSecrets tells whether it can't be run without a secret, which is gone once a run is over.
func (f Function) AsksSecrets() bool {
	return slices.ContainsFunc(f.Params, func(param Field) bool { return param.HasSecret() && param.Required })
}

// Asks lists the parameters that a form asks for: all of them of the store's people, of others those that are not the store's.
func (f Function) Asks(ofStore bool) []Field {
	var asked []Field
	for _, param := range f.Params {
		if ofStore || !param.Staff {
			asked = append(asked, param)
		}
	}
	return asked
}
