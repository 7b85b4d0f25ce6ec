package provisioning

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"portico/app/locale"
)

// GuidePath is the address of a function's entry in the guide of all actions.
func GuidePath(category, function string) string {
	return "/guides/actions#" + category + "-" + strings.ToLower(function)
}

// Guide is docs/actions.md: every function of the catalogue with what it takes, what it gives, and who may run it.
func Guide(p *locale.Printer) string {
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	say("# Provision actions\n")
	say("What can be done with a product at its provider, category by category: with which parameters, with what result, and by whom.")
	say("A driver offers the functions that its provider is able to do, and may add some of its own.\n")
	say("## Classes\n")
	say("Permissions speak of classes. People of the store need the named permission of a class; admins have all of them.\n")
	say("| class | functions that | owner | delegate |\n| --- | --- | --- | --- |")
	for _, row := range [][4]string{
		{"R", "read the state at the provider", "yes", "yes"},
		{"A", "sign the person in at the provider", "yes", "yes"},
		{"C", "change something as a matter of routine", "yes", "yes, where the owner lets delegates act"},
		{"K", "hand out or move a lasting power: a credential, a transfer code, the registrant", "with the password given again", "no; some where an admin allows it for the product"},
		{"D", "destroy data", "with the password given again", "no; some where an admin allows it for the product"},
		{"L", "create, change what is paid for, suspend, end", "no", "no"},
	} {
		say("| **%s** | %s | %s | %s |", row[0], row[1], row[2], row[3])
	}
	say("\n## Kinds of values\n")
	say("Values are JSON: texts, numbers, true and false, lists, objects. Empty texts count as left out. **Secret** values are sealed while a")
	say("run needs them, shown to nobody but the one they are for, and appear in no log. A parameter that is **filled from** a provision field")
	say("starts with that field's value; marked **by the store**, only people of the store can change it, and a client's run always takes the")
	say("field's value. A returned value marked so is shown to the store alone.\n")
	say("| kind | holds |\n| --- | --- |")
	for _, row := range [][2]string{
		{"text", "one line, 255 characters unless another limit is given"}, {"long", "several lines, 10,000 characters unless another limit is given"},
		{"whole, number", "a whole number, any number"}, {"bool", "true or false"}, {"choice", "one of the words given"},
		{"domain", "a domain name of two or more labels; international names are turned into their ASCII form"}, {"hostname", "a host name of one or more labels"},
		{"label, suffix", "the part of a domain name before the first dot, and the part after it"}, {"name", "letters, digits, `_`, `-` and `.`"},
		{"ip", "an IP address of version 4 or 6"}, {"email, url, phone", "an e-mail address, an http or https address, a phone number with + and country code"},
		{"country, currency", "ISO 3166-1 alpha-2 (and codes that registries still use), ISO 4217"}, {"pem", "one or more PEM blocks with body lines of 64 to 76 characters"},
		{"day, time", "`2026-11-30`, `2026-11-30T14:00:00Z`"}, {"json", "any JSON object, up to 64 KiB"}, {"list, object", "several values of one kind, several named values"},
	} {
		say("| %s | %s |", row[0], row[1])
	}
	for _, c := range Categories() {
		say("\n## %s\n", p.T(c.LabelKey()))
		say("Category `%s`. Before something is destroyed, the product's `%s` must be typed.\n", c.Name, c.Identifier)
		say("Provision fields, stored on each product:\n")
		table(&b, p, c.Fields, false, func(f Field) string {
			if f.Shown {
				return "shown to clients"
			}
			return ""
		})
		for _, f := range c.Functions {
			say("\n### %s: %s\n", p.T(c.LabelKey()), f.Name)
			say("**%s.** %s\n", p.T(f.LabelKey()), p.T(f.HelpKey()))
			say("Class **%s**. %s", f.Class, strings.Join(audience(f), " "))
			if len(f.Params) > 0 {
				say("\nParameters:\n")
				table(&b, p, f.Params, true, func(f Field) string {
					var notes []string
					if f.From != "" {
						notes = append(notes, "filled from `"+f.From+"`")
					}
					if f.Staff {
						notes = append(notes, "by the store")
					}
					return strings.Join(notes, "; ")
				})
			}
			if len(f.Returns) == 0 {
				say("\nReturns nothing.")
				continue
			}
			say("\nReturns:\n")
			table(&b, p, f.Returns, false, func(r Field) string {
				var notes []string
				if field := f.Fills[r.Name]; field != "" {
					notes = append(notes, "fills `"+field+"`")
				}
				if r.Staff {
					notes = append(notes, "by the store")
				}
				return strings.Join(notes, "; ")
			})
		}
	}
	return b.String()
}

// audience says in sentences who is offered a function and how it is run.
func audience(f Function) []string {
	said := []string{map[Audience]string{
		AudienceUndeclared: "For admins.", AudienceAdmins: "For admins.", AudienceStaff: "For people of the store.",
		AudienceOwners: "For owners and people of the store.", AudienceDelegates: "For owners, delegates and people of the store.",
	}[f.Audience]}
	add := func(is bool, words string) {
		if is {
			said = append(said, words)
		}
	}
	add(f.Delegable, "Delegates only where an admin allows it for the product.")
	add(f.Optional, "Off until an admin switches it on for the product.")
	add(f.System, "Also run by the system.")
	add(f.Confirm, "The identifier must be typed.")
	if f.Limit > 0 {
		add(true, "A call may take "+seconds(f.Limit)+".")
	}
	if f.Wait > 0 {
		add(true, "The provider may go on working for "+hours(f.Wait)+".")
	}
	return said
}

func seconds(d time.Duration) string { return strconv.Itoa(int(d.Seconds())) + " seconds" }

func hours(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return strconv.Itoa(int(d.Hours()/24)) + " days"
	case d >= 2*time.Hour:
		return strconv.Itoa(int(d.Hours())) + " hours"
	}
	return strconv.Itoa(int(d.Minutes())) + " minutes"
}

// table lists fields; deep gives the parts of objects rows of their own instead of naming them.
func table(b *strings.Builder, p *locale.Printer, fields []Field, deep bool, note func(Field) string) {
	fmt.Fprint(b, "| name | on screen | kind | notes |\n| --- | --- | --- | --- |\n")
	var rows func(fields []Field, prefix string, top bool)
	rows = func(fields []Field, prefix string, top bool) {
		for _, f := range fields {
			var notes []string
			switch {
			case f.Required:
				notes = append(notes, "required")
			case f.Unless != "":
				notes = append(notes, "required unless `"+prefix+f.Unless+"` is given")
			}
			if f.Secret {
				notes = append(notes, "secret")
			}
			if top {
				if more := note(f); more != "" {
					notes = append(notes, more)
				}
			} else if f.From != "" {
				notes = append(notes, "filled from `"+f.From+"`")
			}
			if f.Default != nil {
				notes = append(notes, fmt.Sprintf("`%v` if left out", f.Default))
			}
			fmt.Fprintf(b, "| `%s%s` | %s | %s | %s |\n", prefix, f.Name, p.T(f.LabelKey()), kindWords(f, deep), strings.Join(notes, "; "))
			if !deep {
				continue
			}
			rows(f.Fields, prefix+f.Name+".", false)
			if f.Item != nil {
				rows(f.Item.Fields, prefix+f.Name+"[].", false)
			}
		}
	}
	rows(fields, "", true)
}

func kindWords(f Field, deep bool) string {
	number := func(n float64) string { return strconv.FormatFloat(n, 'f', -1, 64) }
	switch {
	case f.Kind == KindChoice:
		return "`" + strings.Join(f.Options, "`, `") + "`"
	case f.Kind == KindObject && !deep:
		return "object of " + partNames(f.Fields)
	case f.Kind == KindList && f.Item.Kind == KindObject && !deep:
		return "list of objects of " + partNames(f.Item.Fields)
	case f.Kind == KindList && f.Max > 0:
		return "list of " + string(f.Item.Kind) + ", at most " + number(f.Max)
	case f.Kind == KindList:
		return "list of " + string(f.Item.Kind)
	case (f.Kind == KindWhole || f.Kind == KindNumber) && f.Max > 0:
		return string(f.Kind) + ", " + number(f.Min) + " to " + number(f.Max)
	case f.Max > 0 && f.Min > 0:
		return string(f.Kind) + ", " + number(f.Min) + " to " + number(f.Max) + " characters"
	case f.Max > 0:
		return string(f.Kind) + ", up to " + number(f.Max) + " characters"
	}
	return string(f.Kind)
}

func partNames(fields []Field) string {
	var names []string
	for _, f := range fields {
		name := "`" + f.Name + "`"
		if f.Required {
			name += " (required)"
		}
		if f.Secret {
			name += " (secret)"
		}
		if f.Kind == KindObject {
			name += " with " + partNames(f.Fields)
		}
		names = append(names, name)
	}
	return strings.Join(names, ", ")
}
