package provisioning

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"

	"portico/app"
	"portico/app/access"
	"portico/app/audit"
	"portico/app/db"
	"portico/app/keys"
	"portico/app/limits"
	"portico/app/live"
	"portico/app/locale"
	"portico/app/mail"
	"portico/app/provisioning/outbound"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Limits are the durations of runs. Tests shrink them.
type Limits struct {
	Slack      time.Duration   // between the end of a call and that of its job, and between fetching a job and taking its run up
	Age        time.Duration   // how long a run is tried
	ResultLife time.Duration   // how long a login link or credential waits for the one who asked
	Later      time.Duration   // the longest that a provider's Retry-After is obeyed
	Paused     time.Duration   // between two looks at a paused configuration
	AtOnce     int             // calls of one configuration at the same time, so that a slow provider takes only its own slots
	Looks      []time.Duration // between looks at a provider that goes on working; the last one repeats
	Approval   time.Duration   // how long a run waits for the owner's approval; so long its secret parameters are kept
	Proof      time.Duration   // how fresh the password or second factor must be for what is dangerous
}

// DefaultLimits are those of threats and faults, section 3.
var DefaultLimits = Limits{
	Slack: 30 * time.Second, Age: 24 * time.Hour, ResultLife: time.Minute, Later: outbound.MaxRetryAfter, Paused: time.Minute, AtOnce: 8,
	Looks: []time.Duration{5 * time.Second, 15 * time.Second, time.Minute, 5 * time.Minute, time.Hour}, Approval: 7 * 24 * time.Hour, Proof: 5 * time.Minute,
}

// Service is provisioning. Safe for concurrent use.
type Service struct {
	pool      *pgxpool.Pool
	ring      *keys.Ring
	catalogue *locale.Catalogue
	mail      *mail.Service
	jobs      Inserter
	drivers   *Registry
	outbound  *outbound.Client
	limits    Limits
	succeeded SuccessHook // nil while nobody wants to know
}

// Config is what a Service is made of.
type Config struct {
	Pool      *pgxpool.Pool
	Keys      *keys.Ring
	Catalogue *locale.Catalogue
	Mail      *mail.Service
	Jobs      Inserter
	Drivers   *Registry
	Outbound  *outbound.Client
	Limits    Limits
}

// NewService returns a Service, and tells mails who may get those about approvals.
func NewService(c Config) *Service {
	s := &Service{c.Pool, c.Keys, c.Catalogue, c.Mail, c.Jobs, c.Drivers, c.Outbound, c.Limits, nil}
	for _, kind := range []string{"provision-approval", "provision-answered"} {
		c.Mail.Ask(kind, s.askMail)
	}
	return s
}

// rateRun is how often one person may ask for a run.
var rateRun = limits.Rate{Times: 240, Window: time.Hour}

// Purposes of what is sealed.
const (
	purposeParams   = "provision-params"
	purposeResult   = "provision-result"
	purposeSettings = "provision-settings"
	purposeField    = "provision-field"
	purposeIntent   = "provision-intent"
)

// Asking is a run as somebody asks for it.
type Asking struct {
	ProductID string
	Action    string
	Token     string              // of the form: posted twice it is one run
	Values    map[string][]string // the form's fields, by the parameters' names
	Confirm   string              // the typed identifier, where the function asks for it
	Proved    bool
}

// Request queues a run and its job, and returns it. The same form again gives the same run.
//
// Returns app.ErrNotFound to a stranger, app.ErrForbidden, app.ErrProof for what needs a fresh one, *app.Invalid for parameters that
// are wrong or not declared, app.ErrConflict where the product's state does not allow it or a form is posted again with other
// values, *app.Limited after 240 in an hour. Queues mail to the owner for what is dangerous or waits for approval, notifies.
func (s *Service) Request(ctx context.Context, v app.Viewer, a Asking) (Run, error) {
	if err := access.Check(v, "runs", "request"); err != nil {
		return Run{}, err
	}
	if _, err := uuid.Parse(a.Token); err != nil {
		return Run{}, app.Invalidf("", "form.unreadable")
	}
	p, f, err := s.function(ctx, v, a.ProductID, a.Action)
	if err != nil {
		return Run{}, err
	}
	if err := p.mayRun(f); err != nil {
		return Run{}, err
	}
	if f.dangerous() && time.Since(v.ProvedAt) > s.limits.Proof {
		return Run{}, app.ErrProof
	}
	known, err := s.known(ctx, s.pool, p)
	if err != nil {
		return Run{}, err
	}
	params, err := Params(f, p.OfStore(), a.Values, known)
	if err != nil {
		return Run{}, err
	}
	if f.Confirm && a.Confirm != p.identifier() {
		return Run{}, app.Invalidf("confirm", "provisioning.confirm-wrong", "Identifier", p.identifier())
	}
	return s.add(ctx, v, p.ID, f, a.Token, params, origin{})
}

// origin is the run that another one tries again or puts back.
type origin struct {
	cause string
	run   *Run
}

// add writes a person's run with all that belongs to it, in one transaction.
func (s *Service) add(ctx context.Context, v app.Viewer, productID string, f Function, token string, params map[string]any, from origin) (run Run, err error) {
	whole, err := json.Marshal(params)
	if err != nil {
		return Run{}, fmt.Errorf("encode the parameters of %s: %w", f.Name, err)
	}
	if err := limits.Hit(ctx, s.pool, "provision.run", v.UserID, rateRun); err != nil {
		return Run{}, err
	}
	err = db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if err := lockProduct(ctx, tx, productID); err != nil {
			return err
		}
		p, err := productByID(ctx, tx, v.UserID, productID)
		if err != nil {
			return err
		}
		if from.run == nil {
			if err := p.mayRun(f); err != nil {
				return err
			}
		}
		id, err := uuid.NewV7()
		if err != nil {
			return err
		}
		before, err := takeIntent(ctx, tx, token, intent{v.UserID, p.ID, f.Name, s.ring.MAC(purposeIntent, token, string(whole)), id.String()})
		if err != nil {
			return fmt.Errorf("store an intent: %w", err)
		}
		if before != nil {
			if before.ActorID != v.UserID || before.ProductID != p.ID || before.Action != f.Name || !s.ring.Verify(before.ParamsHash, purposeIntent, token, string(whole)) {
				return fmt.Errorf("post a form again with other values: %w", app.ErrConflict)
			}
			run, err = runByID(ctx, tx, before.RunID)
			return err
		}
		if p.Driver == "" || !p.possible(f) {
			return fmt.Errorf("run %s of a product that is %s: %w", f.Name, p.Status, app.ErrConflict)
		}
		run = newRun(id.String(), p, f)
		run.ActorID, run.ActorName, run.ActorRelation, run.ActorIP, run.DelegateID = &v.UserID, v.Name, p.Relation, v.IP, p.DelegateID
		if from.run != nil {
			run.Cause, run.OriginID = from.cause, &from.run.ID
			if from.cause == causeRetry {
				run.TicketID = from.run.TicketID
			}
			if from.cause == causeRetry && from.run.Unsettled() {
				// It is the same intent, and may have had its effect: the provider is asked before anything is repeated.
				run.OperationKey, run.InDoubt = from.run.OperationKey, true
			}
		}
		if p.waits(f) {
			run.Status = Approval
		}
		if err := s.insert(ctx, tx, &run, f, p, params); err != nil {
			return err
		}
		switch {
		case run.Status == Approval:
			if err := s.askApproval(ctx, tx, p, run); err != nil {
				return err
			}
		case f.dangerous():
			if err := s.tellOwner(ctx, tx, v, p, run, f); err != nil {
				return err
			}
		}
		err = audit.Record(ctx, tx, v, audit.Entry{
			Action: "provision.run", ObjectType: "product", ObjectID: p.ID, ObjectName: p.Name, Details: map[string]any{"action": f.Name, "run": run.ID, "cause": run.Cause},
		})
		if err != nil {
			return err
		}
		return notifyRun(ctx, tx, run)
	})
	return run, err
}

func newRun(id string, p Product, f Function) Run {
	return Run{
		ID: id, ProductID: p.ID, ProductName: p.Name, AccountID: p.AccountID, AccountName: p.AccountName, ContractID: p.ContractID, Category: p.Category, Action: f.Name,
		Driver: p.Driver, ConfigurationID: p.ConfigurationID, ConfigurationName: p.ConfigurationName, OperationKey: uuid.NewString(), MaxAttempts: MaxAttempts,
		Status: Queued, CreatedAt: time.Now(),
	}
}

// insert stores a run with its sealed parameters and its job, which one that waits for approval gets later.
func (s *Service) insert(ctx context.Context, tx pgx.Tx, run *Run, f Function, p Product, params map[string]any) error {
	open, secret := Split(f.Params, params)
	run.Params = open
	domain, _ := p.Fields["domain"].(string)
	username, _ := p.Fields["username"].(string)
	if err := insertRun(ctx, tx, *run, domain, username); err != nil {
		return fmt.Errorf("store a run of %s: %w", f.Name, err)
	}
	if len(secret) > 0 {
		sealed, err := s.seal(purposeParams, run.ID, secret)
		if err != nil {
			return err
		}
		if err := putSecret(ctx, tx, run.ID, "params", run.ActorID, sealed, 0); err != nil {
			return fmt.Errorf("store the secret parameters of a run: %w", err)
		}
	}
	if run.Status == Approval {
		return nil
	}
	return s.enqueue(ctx, tx, run.ID, run.ActorID == nil)
}

// ForSystem queues a run of the portal itself in the transaction of its cause, e.g. "contract.activate". params are given beside what
// the product's fields and facts fill. A product without a configuration, or whose provider does not offer the function, gets none.
func (s *Service) ForSystem(ctx context.Context, tx pgx.Tx, productID, action, cause string, params map[string]any) error {
	if err := lockProduct(ctx, tx, productID); err != nil {
		return fmt.Errorf("%s a product for %s: %w", action, cause, err)
	}
	p, err := anyProduct(ctx, tx, productID)
	if err != nil {
		return fmt.Errorf("%s a product for %s: %w", action, cause, err)
	}
	f, err := s.offered(p, action)
	if errors.Is(err, app.ErrNotFound) || err == nil && !f.System {
		return nil
	}
	if err != nil {
		return err
	}
	known, err := s.known(ctx, tx, p)
	if err != nil {
		return err
	}
	whole, err := SystemParams(f, params, known)
	if err != nil {
		return fmt.Errorf("%s a product for %s: %w", action, cause, err)
	}
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	run := newRun(id.String(), p, f)
	run.ActorName, run.ActorRelation, run.Cause = audit.System.Name, System, cause
	if err := s.insert(ctx, tx, &run, f, p, whole); err != nil {
		return err
	}
	return notifyRun(ctx, tx, run)
}

// known is what parameters are filled with: provision fields, secret ones included, and facts.
func (s *Service) known(ctx context.Context, conn db.Conn, p Product) (map[string]any, error) {
	known, err := factsOf(ctx, conn, p.ID)
	if err != nil {
		return nil, fmt.Errorf("read the facts about product %s: %w", p.ID, err)
	}
	fields, err := s.plainFields(p)
	if err != nil {
		return nil, err
	}
	maps.Copy(known, fields)
	return known, nil
}

// notifyRun tells every open page that shows the run.
func notifyRun(ctx context.Context, tx pgx.Tx, r Run) error {
	topics := []string{TopicAll, TopicOf(r.ID), TopicOfProduct(r.ProductID)}
	if r.TicketID != nil {
		topics = append(topics, TopicOfTicket(*r.TicketID))
	}
	return live.Notify(ctx, tx, topics...)
}

// function returns a product that the viewer sees, and a function that its provider offers to somebody.
func (s *Service) function(ctx context.Context, v app.Viewer, productID, action string) (Product, Function, error) {
	p, err := s.Product(ctx, v, productID)
	if err != nil {
		return Product{}, Function{}, err
	}
	f, err := s.offered(p, action)
	return p, f, err
}

// offered returns the function of that name which the product's provider offers, or app.ErrNotFound.
func (s *Service) offered(p Product, action string) (Function, error) {
	if p.Driver == "" {
		return Function{}, fmt.Errorf("%s of a product without a provider: %w", action, app.ErrNotFound)
	}
	driver, err := s.drivers.Driver(p.Driver)
	if err != nil {
		return Function{}, fmt.Errorf("%s by driver %s: %w", action, p.Driver, app.ErrNotFound)
	}
	f, ok := FunctionOf(driver, p.Category, action)
	if !ok {
		return Function{}, fmt.Errorf("%s by driver %s: %w", action, p.Driver, app.ErrNotFound)
	}
	return f, nil
}

// Product returns a bought product as the viewer sees it, or app.ErrNotFound to a stranger.
func (s *Service) Product(ctx context.Context, v app.Viewer, id string) (Product, error) {
	if err := access.Check(v, "runs", "view"); err != nil {
		return Product{}, err
	}
	p, err := productByID(ctx, s.pool, v.UserID, id)
	if err != nil {
		return Product{}, fmt.Errorf("read product %s: %w", id, err)
	}
	return p, nil
}

// Sees returns app.ErrNotFound if a user sees no such product, as things are now. It is what streams ask.
func (s *Service) Sees(ctx context.Context, userID, id string) error {
	_, err := productByID(ctx, s.pool, userID, id)
	return err
}

func (s *Service) seal(purpose, object string, values any) ([]byte, error) {
	plain, err := json.Marshal(values)
	if err != nil {
		return nil, fmt.Errorf("encode what is sealed for %s: %w", purpose, err)
	}
	return s.ring.Seal(purpose, object, plain), nil
}

func (s *Service) open(purpose, object string, sealed []byte) (map[string]any, error) {
	plain, err := s.ring.Open(purpose, object, sealed)
	if err != nil {
		return nil, err
	}
	values := map[string]any{}
	if err := json.Unmarshal(plain, &values); err != nil {
		return nil, fmt.Errorf("decode what was sealed for %s: %w", purpose, err)
	}
	return values, nil
}
