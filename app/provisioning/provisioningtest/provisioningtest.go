// Package provisioningtest is what every driver must pass: Run tries each function that it offers against its backend, over real HTTP,
// once with answers and once with lost ones.
package provisioningtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"portico/app/locale"
	"portico/app/provisioning"
	"portico/app/provisioning/outbound"

	"github.com/google/uuid"
)

// Suite is a driver with a backend.
type Suite struct {
	Driver provisioning.Driver
	Client *outbound.Client
	// Settings work; Refused are credentials that the backend refuses.
	Settings, Refused map[string]any
	// Steps are calls in an order in which they succeed, each offered function at least once. name is new for each pass, a word to
	// build usernames and domain names from.
	Steps func(category, name string) []Step
	// Lost are settings with which the backend acts, but its answer is lost. Without, or where it returns nil, that is not tried.
	Lost func(function string) map[string]any
	// Effects counts what the backend did under an operation key; nil where it can't tell.
	Effects func(key string) int
	// Printer has the message catalogue.
	Printer *locale.Printer
}

// Step is one call.
type Step struct {
	Function string
	Params   map[string]any // beside what comes from provision fields and facts; a *string is read when the step comes
	Family   string         // the call is refused, with an error of this family
	After    func(t *testing.T, data map[string]any)
}

// Facts are those of an invented account.
var Facts = map[string]any{
	provisioning.FactAccount: "5f0c3f4e-1111-4222-8333-444455556666", provisioning.FactCustomer: "Bluebird Bakery",
	provisioning.FactEmail: "bea@bluebird.example", provisioning.FactCycle: float64(12), provisioning.FactPrice: 48.5,
	provisioning.FactCurrency: "EUR", provisioning.FactLanguage: "en",
}

// Run runs the whole suite as subtests.
func Run(t *testing.T, s Suite) {
	t.Run("Declarations", s.declarations)
	for _, category := range s.Driver.Categories() {
		t.Run(category, func(t *testing.T) {
			t.Parallel()
			s.credentials(t, category)
			s.pass(t, category, "plain"+category[:2], false)
			if s.Lost != nil {
				s.pass(t, category, "lost"+category[:2], true)
			}
		})
	}
}

var looksSecret = regexp.MustCompile(`(^|_)(password|secret|token)($|_)|^key$|(api|secret|access|license)_(key|token)`)

func (s Suite) declarations(t *testing.T) {
	fields := func(where string, declared []provisioning.Field) {
		for _, f := range declared {
			if !s.Printer.Has(f.LabelKey()) {
				t.Errorf("%s: no message %s", where, f.LabelKey())
			}
			if looksSecret.MatchString(f.Name) && !f.HasSecret() && f.Kind != provisioning.KindChoice {
				t.Errorf("%s: %s looks secret and is not declared so", where, f.Name)
			}
		}
	}
	for _, name := range s.Driver.Categories() {
		category, ok := provisioning.CategoryOf(name)
		if !ok {
			t.Fatalf("no category %s", name)
		}
		fields(name+" settings", s.Driver.Settings(name))
		seen := map[string]bool{}
		for _, f := range s.Driver.Functions(name) {
			where := name + " " + f.Name
			if seen[f.Name] {
				t.Errorf("%s is offered twice", where)
			}
			seen[f.Name] = true
			fields(where+" parameters", f.Params)
			fields(where+" returns", f.Returns)
			common, ok := category.Function(f.Name)
			if !ok {
				if f.Class == "" || f.Audience == provisioning.AudienceUndeclared || !s.Printer.Has(f.LabelKey()) || !s.Printer.Has(f.HelpKey()) {
					t.Errorf("%s is the driver's own, and lacks a class, an audience, a label or an explanation", where)
				}
				continue
			}
			if f.Class != common.Class || f.Audience > common.Audience || f.Confirm != common.Confirm || common.Optional && !f.Optional || f.Delegable && !common.Delegable {
				t.Errorf("%s is wider than the catalogue has it", where)
			}
			for _, p := range f.Params {
				in, ok := provisioning.Find(common.Params, p.Name)
				if !ok || in.Secret != p.Secret || in.Staff && !p.Staff {
					t.Errorf("%s asks for %s, which the catalogue has not, or not so", where, p.Name)
				}
			}
			for _, r := range f.Returns {
				if in, ok := provisioning.Find(common.Returns, r.Name); !ok || in.Secret && !r.Secret {
					t.Errorf("%s returns %s, which the catalogue has not, or not so", where, r.Name)
				}
			}
		}
	}
}

func (s Suite) credentials(t *testing.T, category string) {
	try := func(settings map[string]any) error {
		call := s.Client.Open(outbound.Options{})
		return s.Driver.Test(t.Context(), provisioning.Call{Category: category, Settings: settings, Client: call.Client()})
	}
	if err := try(s.Settings); err != nil {
		t.Fatalf("the connection test: %v", err)
	}
	var no *provisioning.Unauthorised
	if err := try(s.Refused); !errors.As(err, &no) {
		t.Errorf("refused credentials: %v is no *Unauthorised", err)
	}
}

// bought is a product that the steps of one pass are about.
type bought struct {
	id     string
	fields map[string]any
}

// pass calls every function once.
func (s Suite) pass(t *testing.T, category, name string, lost bool) {
	product := bought{id: uuid.NewString(), fields: map[string]any{}}
	offered := map[string]bool{}
	for _, f := range s.Driver.Functions(category) {
		offered[f.Name] = true
	}
	for _, step := range s.Steps(category, name) {
		f, ok := provisioning.FunctionOf(s.Driver, category, step.Function)
		if !ok {
			t.Fatalf("%s %s is not offered", category, step.Function)
		}
		delete(offered, step.Function)
		s.step(t, category, f, step, &product, lost)
		if t.Failed() {
			t.Fatalf("%s %s (%s): what follows builds on it", category, step.Function, name)
		}
	}
	if len(offered) > 0 {
		t.Errorf("%s: never called: %v", category, slices.Sorted(maps.Keys(offered)))
	}
}

const patience = 30 * time.Second

func (s Suite) step(t *testing.T, category string, f provisioning.Function, step Step, product *bought, lost bool) {
	where := category + " " + f.Name
	known := maps.Clone(Facts)
	known[provisioning.FactProduct] = product.id
	maps.Copy(known, product.fields)
	given := map[string]any{}
	for name, value := range step.Params {
		if later, ok := value.(*string); ok {
			value = *later
		}
		given[name] = value
	}
	params, err := provisioning.SystemParams(f, given, known)
	if err != nil {
		t.Errorf("%s: its parameters: %v", where, err)
		return
	}
	hidden := provisioning.SecretNames(append(slices.Clone(f.Params), f.Returns...))
	secrets := append(provisioning.Secrets(f.Params, params), provisioning.Secrets(s.Driver.Settings(category), s.Settings)...)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	key := uuid.NewString()
	newCall := func(settings map[string]any) (provisioning.Call, *outbound.Call) {
		out := s.Client.Open(outbound.Options{Limit: f.CallLimit(), Secrets: secrets, Fields: hidden})
		return provisioning.Call{
			Category: category, Function: f.Name, Key: key, ProductID: product.id, Fields: product.fields, Params: params, Settings: settings,
			VisitorIP: "192.0.2.44", Client: out.Client(),
		}, out
	}
	quiet := func(out *outbound.Call, more []string, said ...string) {
		t.Helper()
		exchanges, _ := out.Exchanges()
		written, _ := json.Marshal(exchanges)
		for _, secret := range append(secrets, more...) {
			if len(secret) < 4 {
				continue
			}
			for _, text := range append(said, string(written)) {
				if strings.Contains(text, secret) {
					t.Errorf("%s: a secret stands in what is written: %s", where, text)
				}
			}
		}
	}

	var result provisioning.Result
	call, out := newCall(s.Settings)
	if outcome, _, err := s.Driver.LookUp(ctx, call); err == nil && outcome == provisioning.OutcomeDone && !f.Repeatable {
		t.Errorf("%s: the look-up finds it done before it was", where)
	}
	losing := map[string]any(nil)
	if lost && step.Family == "" {
		losing = s.Lost(f.Name)
	}
	if losing != nil {
		call, out = newCall(losing)
		_, err := s.Driver.Call(ctx, call)
		var unknown *provisioning.Unknown
		var later *provisioning.Later
		if !errors.As(err, &unknown) && !(f.Repeatable && errors.As(err, &later)) {
			t.Errorf("%s: a lost answer is %v", where, err)
		}
		quiet(out, nil, fmt.Sprint(err))
		call, out = newCall(s.Settings)
		outcome, found, err := s.Driver.LookUp(ctx, call)
		switch {
		case err != nil:
			t.Errorf("%s: the look-up: %v", where, err)
			return
		case outcome == provisioning.OutcomeDone:
			result = found
		case outcome == provisioning.OutcomeAbsent && f.Class != provisioning.ClassRead && f.Class != provisioning.ClassLogin && !f.Repeatable:
			t.Errorf("%s: it was done, and the look-up says that it is absent", where)
			return
		case outcome == provisioning.OutcomeUnknown && !f.Repeatable:
			t.Errorf("%s: it was done, and the look-up can't tell", where)
			return
		default:
			result, err = s.Driver.Call(ctx, call)
			if err != nil {
				t.Errorf("%s: repeated: %v", where, err)
				return
			}
		}
	} else {
		result, err = s.Driver.Call(ctx, call)
		if step.Family != "" {
			var no *provisioning.Refused
			if !errors.As(err, &no) || no.Family != step.Family {
				t.Errorf("%s: %v is not refused as %s", where, err, step.Family)
			}
			quiet(out, nil, fmt.Sprint(err))
			return
		}
		if err != nil {
			t.Errorf("%s: %v", where, err)
			return
		}
	}
	for result.Waiting {
		if result.Reference == "" {
			t.Errorf("%s waits without a reference", where)
			return
		}
		select {
		case <-ctx.Done():
			t.Errorf("%s: the provider does not come to an end", where)
			return
		case <-time.After(20 * time.Millisecond):
		}
		call, out = newCall(s.Settings)
		call.Reference = result.Reference
		if result, err = s.Driver.Call(ctx, call); err != nil {
			t.Errorf("%s, looked at again: %v", where, err)
			return
		}
	}
	for name := range result.Data {
		if _, declared := provisioning.Find(f.Returns, name); !declared {
			t.Errorf("%s returns %s, which it does not declare", where, name)
		}
	}
	data, err := provisioning.CheckResult(f, result.Data)
	if err != nil {
		t.Errorf("%s returns what it does not declare: %v", where, err)
		return
	}
	made := provisioning.Secrets(f.Returns, data)
	quiet(out, made, result.Message)
	if s.Effects != nil && f.Class != provisioning.ClassRead && f.Class != provisioning.ClassLogin {
		again, _ := newCall(s.Settings)
		before := s.Effects(key)
		if before > 1 {
			t.Errorf("%s: %d effects of one key", where, before)
		}
		if _, err := s.Driver.Call(ctx, again); err != nil && before > 0 {
			t.Errorf("%s, repeated under its key: %v", where, err)
		}
		if after := s.Effects(key); after != before {
			t.Errorf("%s: repeated under its key, its effects went from %d to %d", where, before, after)
		}
	}
	maps.Copy(product.fields, provisioning.Changes(f, params, data))
	if step.After != nil {
		step.After(t, data)
	}
}
