package provisioning

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"runtime/debug"
	"slices"
	"time"

	"portico/app"
	"portico/app/audit"
	"portico/app/db"
	"portico/app/locale"
	"portico/app/mail"
	"portico/app/provisioning/outbound"

	"github.com/jackc/pgx/v5"
)

// Held says that a run must wait, which costs no attempt.
type Held struct{ For time.Duration }

func (h *Held) Error() string { return "held for " + h.For.String() }

// Ended says that a run ended other than well, and why, without secrets.
type Ended struct{ Reason string }

func (e *Ended) Error() string { return e.Reason }

// turn is one worker's go at a run.
type turn struct {
	run      Run
	product  Product
	function Function
	driver   Driver
	call     Call
	wire     *outbound.Call
	number   int
	at       time.Time
	lookUp   bool // ask the provider first whether the effect is there
	poll     bool // the provider goes on working at it
	say      *locale.Printer
}

// Perform makes one attempt at a run. pause says when the next comes if this one fails for now, by how many there were with it; 0 means
// that this is the last. It may be called twice for one run, by jobs that were queued twice or whose process died: the row decides.
// Holds no transaction while the provider is called.
//
// Returns nil when the run succeeded, is another's turn, or was over; *Held when it must wait; *Ended when it failed or was cancelled;
// any other error if it may be tried again after pause.  Source: threats and faults, section 3.
func (s *Service) Perform(ctx context.Context, runID string, pause func(attempts int) time.Duration) error {
	var t *turn
	var outcome error
	err := db.InTx(ctx, s.pool, func(tx pgx.Tx) (err error) {
		t, outcome, err = s.begin(ctx, tx, runID)
		return err
	})
	switch {
	case errors.Is(err, app.ErrNotFound):
		return nil // deleted with what it was about
	case err != nil:
		return fmt.Errorf("begin run %s: %w", runID, err)
	case t == nil:
		return outcome
	}
	result, err := s.act(ctx, t)
	return s.end(ctx, t, result, err, pause(t.run.Attempts))
}

// begin decides whether a run may be taken up now, and takes it up: t is nil if not, and outcome says what becomes of the job.
func (s *Service) begin(ctx context.Context, tx pgx.Tx, runID string) (t *turn, outcome, err error) {
	// The product is locked before the run, here and everywhere, so that two can't wait for each other.
	run, err := runByID(ctx, tx, runID)
	if err != nil || run.Final() {
		return nil, nil, err
	}
	if err := lockProduct(ctx, tx, run.ProductID); err != nil {
		return nil, nil, err
	}
	if run, err = lockRun(ctx, tx, runID); err != nil || run.Final() || run.Status == Approval {
		return nil, nil, err
	}
	if first, err := firstInLine(ctx, tx, run); err != nil || !first {
		return nil, nil, err // whoever ends the one before queues this one again
	}
	t = &turn{run: run}
	if t.say, err = s.sayer(ctx, tx); err != nil {
		return nil, nil, err
	}
	if run.Status == Running && !run.Waiting && run.DeadlineAt != nil {
		if left := time.Until(*run.DeadlineAt); left > 0 {
			return nil, &Held{left + 100*time.Millisecond}, nil // its worker may be alive
		}
		// That worker is gone. What it began is looked up, if it may have had its effect.
		dead := Attempt{RunID: run.ID, Attempt: run.Turn, StartedAt: *run.TurnAt, Outcome: attemptUnknown, Message: t.say.T("provisioning.worker-lost"), Detail: t.say.T("provisioning.worker-lost-detail")}
		if err := insertAttempt(ctx, tx, dead, nil); err != nil {
			return nil, nil, err
		}
	}
	if run.NextAt != nil && (run.Waiting || run.Status == Retrying) {
		if left := time.Until(*run.NextAt); left > time.Second {
			return nil, &Held{left}, nil // another job of this run came before: that of a callback, or of one that was given up too early
		}
	}
	stop := func(status, family string, pairs ...any) (*turn, error, error) {
		if run.InDoubt && status != Succeeded {
			status, family = Failed, FamilyUnknown
		}
		return nil, &Ended{family}, s.finish(ctx, tx, t, ending{Status: status, Family: family, Message: t.say.T("provisioning.ended-"+family, pairs...), Unknown: family == FamilyUnknown})
	}
	if time.Since(run.since()) > s.limits.Age {
		if run.Waiting {
			return stop(Failed, FamilyWaited)
		}
		return stop(Failed, FamilyGaveUp, "Attempts", run.Attempts)
	}
	if t.product, err = s.productFor(ctx, tx, run); errors.Is(err, app.ErrNotFound) {
		return stop(Cancelled, FamilyRevoked)
	} else if err != nil {
		return nil, nil, err
	}
	p := t.product
	if t.function, err = s.offered(p, run.Action); errors.Is(err, app.ErrNotFound) || err == nil && (p.Category != run.Category || p.ConfigurationID == nil) {
		return stop(Failed, FamilyUnavailable)
	} else if err != nil {
		return nil, nil, err
	}
	if t.driver, err = s.drivers.Driver(p.Driver); err != nil {
		return nil, nil, err
	}
	if !s.stillMay(run, p, t.function) {
		return stop(Cancelled, FamilyRevoked)
	}
	if !p.possible(t.function) {
		return stop(Cancelled, FamilyChanged)
	}
	if p.PausedAt != nil {
		if err := hold(ctx, tx, run.ID, t.say.T("provisioning.held-paused"), s.limits.Paused); err != nil {
			return nil, nil, err
		}
		return nil, &Held{s.limits.Paused}, notifyRun(ctx, tx, run)
	}
	rate, err := rateOf(ctx, tx, *p.ConfigurationID)
	if err != nil {
		return nil, nil, err
	}
	if wait, err := takeSlot(ctx, tx, *p.ConfigurationID, rate, s.limits.AtOnce); err != nil {
		return nil, nil, err
	} else if wait > 0 {
		return nil, &Held{wait}, nil
	}
	t.poll = run.Waiting
	t.lookUp = run.InDoubt && !t.poll
	if t.call, err = s.prepare(ctx, tx, t); err != nil {
		return nil, nil, err
	}
	limit := t.function.CallLimit() + s.limits.Slack
	if t.lookUp {
		limit += 30 * time.Second
	}
	cost := 1
	if t.poll {
		cost = 0
	}
	inDoubt := run.InDoubt || !t.poll && !t.function.Repeatable
	if t.number, t.at, err = startTurn(ctx, tx, run.ID, cost, inDoubt, limit); err != nil {
		return nil, nil, err
	}
	t.run.Attempts += cost
	return t, nil, notifyRun(ctx, tx, run)
}

// productFor returns the product as the one sees it under whose rights the run goes. app.ErrNotFound: they are gone.
func (s *Service) productFor(ctx context.Context, conn db.Conn, run Run) (Product, error) {
	if run.ActorID == nil {
		return anyProduct(ctx, conn, run.ProductID)
	}
	p, err := productByID(ctx, conn, *run.ActorID, run.ProductID)
	if err != nil {
		return Product{}, err
	}
	// Another grant than the one it was queued under is none: it may have been given for something else.
	if run.DelegateID != nil && (p.DelegateID == nil || *p.DelegateID != *run.DelegateID) || run.DelegateID == nil && p.DelegateID != nil {
		return Product{}, app.ErrNotFound
	}
	return p, nil
}

// stillMay asks the policy again, with the rights of now.
func (s *Service) stillMay(run Run, p Product, f Function) bool {
	if run.Cause == causeRetry && p.OfStore() {
		return p.Allows("run_retry")
	}
	return p.mayRun(f) == nil
}

// prepare puts together what the driver is told, secrets included. They leave this function in memory only.
func (s *Service) prepare(ctx context.Context, tx pgx.Tx, t *turn) (Call, error) {
	run, p := t.run, t.product
	c, err := s.configuration(ctx, tx, *p.ConfigurationID)
	if err != nil {
		return Call{}, fmt.Errorf("read the configuration of run %s: %w", run.ID, err)
	}
	fields, err := s.plainFields(p)
	if err != nil {
		return Call{}, err
	}
	params := maps.Clone(run.Params)
	if params == nil {
		params = map[string]any{}
	}
	sealed, err := secretParams(ctx, tx, run.ID)
	if err != nil {
		return Call{}, err
	}
	if sealed != nil {
		secret, err := s.open(purposeParams, run.ID, sealed)
		if err != nil {
			return Call{}, err
		}
		maps.Copy(params, secret)
	}
	category, _ := CategoryOf(p.Category)
	t.wire = s.outbound.Open(outbound.Options{
		Configuration: *p.ConfigurationID, PerSecond: c.RatePerSecond, Limit: t.function.CallLimit(),
		Fields:  slices.Concat(secretNames(c.fields), secretNames(category.Fields), secretNames(t.function.Params), secretNames(t.function.Returns)),
		Secrets: slices.Concat(Secrets(c.fields, c.whole), Secrets(category.Fields, fields), Secrets(t.function.Params, params)),
	})
	return Call{
		Category: p.Category, Function: run.Action, Key: run.OperationKey, ProductID: p.ID, Fields: fields, Params: params, Settings: c.whole,
		Reference: run.Reference, VisitorIP: run.ActorIP, Client: t.wire.Client(), ConfigurationID: *p.ConfigurationID,
	}, nil
}

// act looks up, calls, or both. Panics of drivers are unknown outcomes.
func (s *Service) act(ctx context.Context, t *turn) (result Result, err error) {
	defer func() {
		if value := recover(); value != nil {
			text := t.wire.Scrub(mail.Redact(fmt.Sprint(value)))
			slog.ErrorContext(ctx, "driver panicked", "driver", t.driver.Name(), "action", t.run.Action, "run", t.run.ID, "panic", text, "stack", string(debug.Stack()))
			result, err = Result{}, &Unknown{Detail: "panic: " + text}
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, time.Until(t.at.Add(t.function.CallLimit()+s.limits.Slack*2/3+t.extra())))
	defer cancel()
	if t.lookUp {
		found, result, err := t.driver.LookUp(ctx, t.call)
		switch {
		case err != nil:
			return Result{}, &lookUpFailed{err}
		case found == OutcomeDone:
			return result, nil
		case found != OutcomeAbsent:
			return Result{}, errCantTell
		}
		// It is repeated, so it is asked again who may do this.
		if err := s.askAgain(ctx, t); err != nil {
			return Result{}, err
		}
	}
	return t.driver.Call(ctx, t.call)
}

func (t *turn) extra() time.Duration {
	if t.lookUp {
		return 30 * time.Second
	}
	return 0
}

// Errors of act besides a driver's.
var (
	errCantTell = errors.New("the provider can't tell whether it was done")
	errRevoked  = errors.New("who asked may not do this any more")
)

type lookUpFailed struct{ err error }

func (e *lookUpFailed) Error() string { return "look up what came of it: " + e.err.Error() }

func (e *lookUpFailed) Unwrap() error { return e.err }

func (s *Service) askAgain(ctx context.Context, t *turn) error {
	p, err := s.productFor(ctx, s.pool, t.run)
	if errors.Is(err, app.ErrNotFound) {
		return errRevoked
	}
	if err != nil {
		return &Later{Detail: err.Error()}
	}
	if !s.stillMay(t.run, p, t.function) || !p.possible(t.function) {
		return errRevoked
	}
	return nil
}

// declared are the returned values that are right, each for itself.
func declared(f Function, data map[string]any) map[string]any {
	right := map[string]any{}
	for _, field := range f.Returns {
		field.Required = false
		if one, err := Validate([]Field{field}, map[string]any{field.Name: data[field.Name]}); err == nil && one[field.Name] != nil {
			right[field.Name] = one[field.Name]
		}
	}
	return right
}

// handsOut tells whether a function gives its secret result to the one who asked.
func handsOut(f Function) bool { return f.Class == ClassLogin || f.Class == ClassKeys }

// fill writes what a call returned and was told into the provision fields, and says what changed.
func (s *Service) fill(ctx context.Context, tx pgx.Tx, t *turn, data map[string]any) ([]FieldChange, error) {
	return s.changeFields(ctx, tx, t.run.ProductID, t.run.Category, Changes(t.function, t.call.Params, data))
}

// changeFields sets provision fields, secret ones sealed, and returns what changed. A nil value takes a field away.
func (s *Service) changeFields(ctx context.Context, tx pgx.Tx, productID, categoryName string, values map[string]any) ([]FieldChange, error) {
	if len(values) == 0 {
		return nil, nil
	}
	stored, err := fieldsOf(ctx, tx, productID)
	if err != nil {
		return nil, fmt.Errorf("read the fields of product %s: %w", productID, err)
	}
	category, _ := CategoryOf(categoryName)
	var changes []FieldChange
	for _, name := range slices.Sorted(maps.Keys(values)) {
		field, ok := Find(category.Fields, name)
		if !ok {
			continue
		}
		value := values[name]
		if field.HasSecret() {
			before, err := s.plainField(productID, name, stored[name])
			if err != nil {
				return nil, err
			}
			if reflect.DeepEqual(before, value) {
				continue
			}
			if value == nil {
				delete(stored, name)
			} else {
				sealed, err := s.seal(purposeField, productID+"/"+name, map[string]any{"value": value})
				if err != nil {
					return nil, err
				}
				stored[name] = map[string]any{sealedKey: base64.StdEncoding.EncodeToString(sealed)}
			}
			changes = append(changes, FieldChange{Field: name})
			continue
		}
		if reflect.DeepEqual(stored[name], value) {
			continue
		}
		changes = append(changes, FieldChange{name, stored[name], value})
		if value == nil {
			delete(stored, name)
		} else {
			stored[name] = value
		}
	}
	if len(changes) == 0 {
		return nil, nil
	}
	if err := setFields(ctx, tx, productID, stored); err != nil {
		return nil, fmt.Errorf("store the fields of product %s: %w", productID, err)
	}
	return changes, nil
}

// sealedKey marks a provision field that is stored sealed.
const sealedKey = "sealed"

// plainField returns a secret field's value, nil if it is not set.
func (s *Service) plainField(productID, name string, stored any) (any, error) {
	inner, ok := stored.(map[string]any)
	if !ok {
		return stored, nil
	}
	text, ok := inner[sealedKey].(string)
	if !ok {
		return stored, nil
	}
	sealed, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("read field %s of product %s: %w", name, productID, err)
	}
	opened, err := s.open(purposeField, productID+"/"+name, sealed)
	if err != nil {
		return nil, err
	}
	return opened["value"], nil
}

// plainFields are a product's provision fields with the secret ones opened.
func (s *Service) plainFields(p Product) (map[string]any, error) {
	category, _ := CategoryOf(p.Category)
	fields := map[string]any{}
	for name, value := range p.Fields {
		if field, ok := Find(category.Fields, name); ok && field.HasSecret() {
			plain, err := s.plainField(p.ID, name, value)
			if err != nil {
				return nil, err
			}
			value = plain
		}
		fields[name] = value
	}
	return fields, nil
}

func (s *Service) recordFields(ctx context.Context, tx pgx.Tx, v app.Viewer, productID, productName, runID string, changes []FieldChange) error {
	details := audit.Changes{}
	for _, change := range changes {
		details.Add(change.Field, change.Before, change.After)
	}
	if runID != "" {
		details["run"] = runID
	}
	return audit.Record(ctx, tx, v, audit.Entry{Action: "provision.fields", ObjectType: "product", ObjectID: productID, ObjectName: productName, Details: details})
}

// debug is the exchange of a turn as the store's people may see it, nil if there was none.
func (s *Service) debug(t *turn) []byte {
	if t.wire == nil {
		return nil
	}
	exchanges, left := t.wire.Exchanges()
	if len(exchanges) == 0 {
		return nil
	}
	data, err := json.Marshal(map[string]any{"exchanges": exchanges, "left": left})
	if err != nil {
		return nil
	}
	return data
}

// sayer prints in the store's language: what it says is stored with the run.
func (s *Service) sayer(ctx context.Context, conn db.Conn) (*locale.Printer, error) {
	var language, zone string
	if err := conn.QueryRow(ctx, "select language, time_zone from store").Scan(&language, &zone); err != nil {
		return nil, fmt.Errorf("read the store: %w", err)
	}
	return s.catalogue.Printer(language, zone, time.Now()), nil
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// secretNames are the names of fields that are secret, inner ones included.
func secretNames(fields []Field) []string {
	var names []string
	for _, f := range fields {
		if f.Secret {
			names = append(names, f.Name)
		}
		if f.Item != nil {
			names = append(names, secretNames([]Field{*f.Item})...)
		}
		names = append(names, secretNames(f.Fields)...)
	}
	return names
}
