package provisioning

import (
	"maps"
	"regexp"
	"slices"
	"testing"
	"time"

	"portico/app/locale"
	"portico/views"
)

// looksSecret is by what names secrets go. A field is secret because it says so; this only finds one that forgot to.
var looksSecret = regexp.MustCompile(`(^|_)(password|secret|token|epp_code|login_url|websocket_url|post_fields)($|_)|^key$|(api|secret|access|license)_(key|token)`)

// eachField visits fields and all their parts.
func eachField(fields []Field, visit func(f Field, within bool)) {
	var walk func(fields []Field, within bool)
	walk = func(fields []Field, within bool) {
		for _, f := range fields {
			visit(f, within)
			walk(f.Fields, within || f.Secret)
			if f.Item != nil {
				walk([]Field{*f.Item}, within || f.Secret)
			}
		}
	}
	walk(fields, false)
}

func TestCatalogue_IsSound(t *testing.T) {
	t.Parallel()
	catalogue, err := locale.Load(views.Files)
	if err != nil {
		t.Fatal(err)
	}
	english := catalogue.Printer("en", "UTC", time.Time{})
	total := 0
	for _, c := range Categories() {
		if !english.Has(c.LabelKey()) {
			t.Errorf("%s: no message %s", c.Name, c.LabelKey())
		}
		if f, ok := Find(c.Fields, c.Identifier); !ok || f.Secret {
			t.Errorf("%s: the identifier %q is no field that can be shown", c.Name, c.Identifier)
		}
		fields := func(where string, fields []Field) {
			seen := map[string]bool{}
			for _, f := range fields {
				if seen[f.Name] {
					t.Errorf("%s %s: %s is declared twice", c.Name, where, f.Name)
				}
				seen[f.Name] = true
				if f.Unless != "" && !slices.ContainsFunc(fields, func(o Field) bool { return o.Name == f.Unless }) {
					t.Errorf("%s %s: %s is required unless %s, which is not there", c.Name, where, f.Name, f.Unless)
				}
			}
			eachField(fields, func(f Field, within bool) {
				if f.Name != "" && !english.Has(f.LabelKey()) {
					t.Errorf("%s %s: no message %s", c.Name, where, f.LabelKey())
				}
				if looksSecret.MatchString(f.Name) && !f.Secret && !within && f.Kind != KindChoice {
					t.Errorf("%s %s: %s looks secret and is not declared so", c.Name, where, f.Name)
				}
				if f.Kind == "" || (f.Kind == KindChoice) != (len(f.Options) > 0) || (f.Kind == KindObject) != (len(f.Fields) > 0) || (f.Kind == KindList) != (f.Item != nil) {
					t.Errorf("%s %s: %s does not say what it holds", c.Name, where, f.Name)
				}
				if f.Default != nil {
					if _, err := Validate([]Field{f}, map[string]any{f.Name: f.Default}); err != nil {
						t.Errorf("%s %s: the default of %s: %v", c.Name, where, f.Name, err)
					}
				}
			})
		}
		fields("fields", c.Fields)
		names := map[string]bool{}
		for _, f := range c.Functions {
			total++
			if names[f.Name] {
				t.Errorf("%s: %s is declared twice", c.Name, f.Name)
			}
			names[f.Name] = true
			if f.Class == "" || f.Audience == AudienceUndeclared {
				t.Errorf("%s %s declares no class or no audience", c.Name, f.Name)
			}
			if f.Class == ClassLifecycle && f.Audience > AudienceStaff {
				t.Errorf("%s %s is of class L and offered to clients", c.Name, f.Name)
			}
			if (f.Class == ClassKeys || f.Class == ClassDestroy) && f.Audience > AudienceOwners {
				t.Errorf("%s %s is of class %s and offered to delegates", c.Name, f.Name, f.Class)
			}
			if f.Limit > 240*time.Second {
				t.Errorf("%s %s takes longer than a call may", c.Name, f.Name)
			}
			if !english.Has(f.LabelKey()) || !english.Has(f.HelpKey()) {
				t.Errorf("%s: no message %s or %s", c.Name, f.LabelKey(), f.HelpKey())
			}
			fields(f.Name+" parameters", f.Params)
			fields(f.Name+" returns", f.Returns)
			for _, param := range f.Params {
				if _, stored := Find(c.Fields, param.From); param.From != "" && !stored && !slices.Contains(facts, param.From) {
					t.Errorf("%s %s: %s comes from %q, which is nothing", c.Name, f.Name, param.Name, param.From)
				}
				if param.Staff && param.Required && param.From == "" && f.Audience > AudienceStaff {
					t.Errorf("%s %s: clients are not asked for %s, and nothing fills it", c.Name, f.Name, param.Name)
				}
			}
			for _, filled := range []struct {
				what   map[string]string
				fields []Field
			}{{f.Fills, f.Returns}, {f.Sets, f.Params}} {
				for value, field := range filled.what {
					source, ok := Find(filled.fields, value)
					target, stored := Find(c.Fields, field)
					if !ok || !stored {
						t.Errorf("%s %s: %s can't fill %s", c.Name, f.Name, value, field)
					} else if source.Secret != target.Secret {
						t.Errorf("%s %s: %s and %s disagree about being secret", c.Name, f.Name, value, field)
					}
				}
			}
			for field := range f.Marks {
				if _, stored := Find(c.Fields, field); !stored {
					t.Errorf("%s %s: there is no %s to mark", c.Name, f.Name, field)
				}
			}
		}
		for _, f := range c.Functions {
			if f.Undo != "" && !names[f.Undo] {
				t.Errorf("%s %s: nothing puts it back by %s", c.Name, f.Name, f.Undo)
			}
		}
	}
	if len(Categories()) != 8 || total < 79 {
		t.Errorf("%d categories with %d functions", len(Categories()), total)
	}
}

var facts = []string{FactAccount, FactCustomer, FactEmail, FactProduct, FactCycle, FactPrice, FactCurrency, FactLanguage}

// TestCatalogue_Matrix holds the catalogue to the matrix of permissions: class by class, what a delegate and an owner are offered.
func TestCatalogue_Matrix(t *testing.T) {
	t.Parallel()
	delegates := map[string]string{
		"web-hosting":       "changePassword getInfo login usage",
		"domain-names":      "addDnsRecord getDnsRecords getInfo getStatus getVerificationStatus importZone removeDnsRecord resendVerificationEmail updateDnsRecord updateNameservers",
		"auto-login":        "login",
		"seo":               "login",
		"website-builders":  "getInfo login",
		"software-licenses": "usage",
		"servers":           "getInfo login powerOn reboot reset shutdown",
		"office-tools":      "getInfo login",
	}
	ownersToo := map[string]string{
		"domain-names":      "getEppCode removeGlueRecord setDnssec setGlueRecord setLock transferWithCode updateContact updateIpsTag",
		"software-licenses": "reissue showLicenseKey",
		"servers":           "attachRecoveryIso changeRootPassword console detachRecoveryIso reinstall",
	}
	mayBeDelegated := map[string]string{
		"domain-names": "removeGlueRecord setDnssec setGlueRecord",
		"servers":      "attachRecoveryIso changeRootPassword console detachRecoveryIso reinstall",
	}
	optional := map[string]string{"domain-names": "transferWithCode updateIpsTag", "servers": "attachRecoveryIso detachRecoveryIso"}
	for _, c := range Categories() {
		compare := func(what, want string, is func(f Function) bool) {
			names := map[string]bool{}
			for _, f := range c.Functions {
				if is(f) {
					names[f.Name] = true
				}
			}
			got := ""
			for _, name := range slices.Sorted(maps.Keys(names)) {
				got += " " + name
			}
			if want != "" {
				want = " " + want
			}
			if got != want {
				t.Errorf("%s, %s:\n got%s\nwant%s", c.Name, what, got, want)
			}
		}
		compare("delegates", delegates[c.Name], func(f Function) bool { return f.Audience == AudienceDelegates })
		compare("owners", ownersToo[c.Name], func(f Function) bool { return f.Audience == AudienceOwners })
		compare("delegable", mayBeDelegated[c.Name], func(f Function) bool { return f.Delegable })
		compare("optional", optional[c.Name], func(f Function) bool { return f.Optional })
	}
}
