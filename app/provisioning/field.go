package provisioning

import "strings"

// Kind is what a field holds. Values are as encoding/json decodes them: a string, a float64, a bool, a []any, a map[string]any,
// so that they come back from a row as they went in.
type Kind string

const (
	KindText     Kind = "text"     // one line of at most Max characters, 255 where Max is 0
	KindLong     Kind = "long"     // several lines of at most Max characters, 10,000 where Max is 0
	KindWhole    Kind = "whole"    // a whole number between Min and Max, where they are not both 0
	KindNumber   Kind = "number"   // a number, with the same limits
	KindBool     Kind = "bool"     // yes or no
	KindChoice   Kind = "choice"   // one of Options
	KindDomain   Kind = "domain"   // two or more labels, e.g. bluebird.example
	KindHostname Kind = "hostname" // one or more labels, e.g. ns1.bluebird.example
	KindLabel    Kind = "label"    // one label of a domain name, e.g. bluebird
	KindSuffix   Kind = "suffix"   // what follows that label, e.g. example or co.example
	KindName     Kind = "name"     // letters, digits, _ - and . alone
	KindIP       Kind = "ip"       // an address of version 4 or 6
	KindEmail    Kind = "email"
	KindURL      Kind = "url"      // http or https, with a host and without a password
	KindPhone    Kind = "phone"    // with + and country code
	KindCountry  Kind = "country"  // ISO 3166-1 alpha-2
	KindCurrency Kind = "currency" // ISO 4217
	KindPEM      Kind = "pem"      // one or more PEM blocks
	KindDay      Kind = "day"      // 2006-01-02
	KindTime     Kind = "time"     // RFC 3339, in UTC
	KindJSON     Kind = "json"     // any JSON object
	KindList     Kind = "list"     // of values of Item
	KindObject   Kind = "object"   // of Fields
)

// Field declares one value: a parameter, a returned value, a setting of a configuration, or a provision field. Forms, checks,
// labels, redaction and docs/actions.md follow from it.
type Field struct {
	Name     string // snake_case: the key in maps, rows and forms
	Kind     Kind
	Required bool
	Unless   string   // the field is required unless its neighbour of this name is given
	Secret   bool     // shown once where it must be, never again; logged nowhere; stored sealed
	Options  []string // of a choice
	Item     *Field   // of a list: what each entry is; its Name is not used
	Fields   []Field  // of an object
	Min, Max float64  // of a number its limits, of a text its length in characters, of a list its entries
	Default  any      // what a form is filled with where nothing is known; of a choice, what holds if it is left out

	// From names what fills a parameter: a provision field ("domain"), or a fact about the account or the product such as
	// FactEmail. Staff see it in the form and may change it.
	From string
	// Staff marks a parameter that only people of the store are asked for: in a client's request it is filled by From, or left
	// out, and a client who posts it is refused. Of a returned value it says that only they are shown it.
	Staff bool
	// Shown marks a provision field that clients see among the product details.
	Shown bool
	// Label is the message key of the name on screen, "" for the one of this name: actions.field-NAME. Its explanation, where
	// there is one, has the same key with -help, and an option with -is-OPTION.
	Label string
}

// Facts fill parameters like provision fields do.
const (
	FactAccount  = "account.id"       // of the account, as a reference for the provider
	FactCustomer = "account.name"     // of the account
	FactEmail    = "account.email"    // of its owner
	FactProduct  = "product.id"       // of the bought product
	FactCycle    = "plan.cycle"       // months from payment to payment
	FactPrice    = "plan.price"       // of one cycle, as a decimal number
	FactCurrency = "store.currency"   // ISO 4217
	FactLanguage = "account.language" // of its owner, e.g. "en"
)

// LabelKey is the message key of the field's name on screen.
func (f Field) LabelKey() string {
	if f.Label != "" {
		return f.Label
	}
	return "actions.field-" + kebab(f.Name)
}

// HelpKey is the message key of the field's explanation; not every field has one.
func (f Field) HelpKey() string { return f.LabelKey() + "-help" }

// OptionKey is the message key of one of the options; one without is shown as it is.
func (f Field) OptionKey(option string) string { return f.LabelKey() + "-is-" + kebab(option) }

// HasSecret tells whether the field or a part of it is secret.
func (f Field) HasSecret() bool {
	if f.Secret || f.Item != nil && f.Item.HasSecret() {
		return true
	}
	for _, part := range f.Fields {
		if part.HasSecret() {
			return true
		}
	}
	return false
}

// Find returns the field of that name.
func Find(fields []Field, name string) (Field, bool) {
	for _, f := range fields {
		if f.Name == name {
			return f, true
		}
	}
	return Field{}, false
}

// kebab turns changePassword, package_name and CNAME into parts of message keys: change-password, package-name, cname.
func kebab(name string) string {
	var b strings.Builder
	lower := false
	for _, r := range name {
		switch {
		case r >= 'A' && r <= 'Z':
			if lower {
				b.WriteByte('-')
			}
			b.WriteRune(r + 'a' - 'A')
			lower = false
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			b.WriteRune(r)
			lower = true
		default:
			b.WriteByte('-')
			lower = false
		}
	}
	return b.String()
}
