package provisioning

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"portico/app"
	"portico/app/access"
	"portico/app/audit"
	"portico/app/contracts"
	"portico/app/db"
	"portico/app/mail"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Why a person's run was not asked for by a form of its own.
const (
	causeRetry = "retry"
	causeUndo  = "undo"
)

// pageSize is how many runs a page of a product has.
const pageSize = 20

// RunView is a run with what its viewer may see of it and do with it.
type RunView struct {
	Run
	Function Function
	Tries    []Attempt
	ResultBy *time.Time // until when the viewer may take what it handed out; nil: nothing, or not theirs
	Own      bool       // the viewer asked for it
	Now      time.Time
}

// Runs lists a product's runs, newest first, after a key, and the key of the next page: "" on the last one. Delegates see what was
// asked for from their acceptance on, and nobody but the store's people sees the details of attempts.
func (s *Service) Runs(ctx context.Context, v app.Viewer, productID string, after Key) (page []RunView, next Key, err error) {
	p, err := s.Product(ctx, v, productID)
	if err != nil {
		return nil, "", err
	}
	runs, err := runsOf(ctx, s.pool, p.ID, after, p.AcceptedAt, pageSize+1)
	if err != nil {
		return nil, "", fmt.Errorf("list the runs of product %s: %w", productID, err)
	}
	if len(runs) > pageSize {
		runs = runs[:pageSize]
		next = Key(runs[pageSize-1].ID)
	}
	page, err = s.view(ctx, v, p, runs)
	return page, next, err
}

// Newest returns the newest run of each of some functions of a product, as far as the viewer may see them, by the function's name.
func (s *Service) Newest(ctx context.Context, v app.Viewer, p Product, actions []string) (map[string]RunView, error) {
	runs, err := newestRuns(ctx, s.pool, []string{p.ID}, actions)
	if err != nil {
		return nil, fmt.Errorf("list the newest runs of product %s: %w", p.ID, err)
	}
	views, err := s.view(ctx, v, p, p.shown(runs))
	if err != nil {
		return nil, err
	}
	byAction := map[string]RunView{}
	for _, r := range views {
		byAction[r.Action] = r
	}
	return byAction, nil
}

func (s *Service) view(ctx context.Context, v app.Viewer, p Product, runs []Run) ([]RunView, error) {
	ids := make([]string, len(runs))
	for i, r := range runs {
		ids[i] = r.ID
	}
	attempts, err := attemptsOf(ctx, s.pool, ids)
	if err != nil {
		return nil, fmt.Errorf("read the attempts of runs: %w", err)
	}
	results, err := resultsFor(ctx, s.pool, v.UserID, ids)
	if err != nil {
		return nil, fmt.Errorf("read what runs handed out: %w", err)
	}
	views := make([]RunView, len(runs))
	for i, r := range runs {
		view := RunView{Run: r, Own: r.ActorID != nil && *r.ActorID == v.UserID, Now: time.Now()}
		view.Function, _ = s.drivers.AnyFunction(r.Category, r.Action)
		for _, a := range attempts {
			if a.RunID != r.ID {
				continue
			}
			if !p.OfStore() {
				a.Detail = ""
			}
			view.Tries = append(view.Tries, a)
		}
		if until, ok := results[r.ID]; ok && view.Own {
			view.ResultBy = &until
		}
		if !p.OfStore() && !view.Own {
			view.Result = nil // who did not ask sees the state only
		}
		views[i] = view
	}
	return views, nil
}

// shown are those of a product's runs that its viewer sees: a delegate those from the acceptance on.  Source: permission matrix, note n.
func (p Product) shown(runs []Run) []Run {
	return slices.DeleteFunc(runs, func(r Run) bool { return p.AcceptedAt != nil && r.CreatedAt.Before(*p.AcceptedAt) })
}

// run returns a run and its product as the viewer sees them, or app.ErrNotFound.
func (s *Service) run(ctx context.Context, v app.Viewer, id string) (Run, Product, error) {
	if err := access.Check(v, "runs", "view"); err != nil {
		return Run{}, Product{}, err
	}
	run, err := runByID(ctx, s.pool, id)
	if err != nil {
		return Run{}, Product{}, fmt.Errorf("read run %s: %w", id, err)
	}
	p, err := s.Product(ctx, v, run.ProductID)
	if err != nil {
		return Run{}, Product{}, err
	}
	if len(p.shown([]Run{run})) == 0 {
		err = app.ErrNotFound
	}
	return run, p, err
}

// Show returns one run as the viewer sees it, with its product.
func (s *Service) Show(ctx context.Context, v app.Viewer, id string) (RunView, Product, error) {
	run, p, err := s.run(ctx, v, id)
	if err != nil {
		return RunView{}, Product{}, err
	}
	views, err := s.view(ctx, v, p, []Run{run})
	if err != nil {
		return RunView{}, Product{}, err
	}
	return views[0], p, nil
}

// TakeResult hands out what a run brought, once, within a minute, to the one who asked for it and may still do so.
//
// Returns app.ErrNotFound to anybody else, and app.ErrConflict to the one who asked when it was taken or is too old.
func (s *Service) TakeResult(ctx context.Context, v app.Viewer, id string) (Run, map[string]any, error) {
	run, _, err := s.run(ctx, v, id)
	if err != nil {
		return Run{}, nil, err
	}
	if run.ActorID == nil || *run.ActorID != v.UserID {
		return Run{}, nil, app.ErrNotFound
	}
	var values map[string]any
	err = db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		p, err := s.productFor(ctx, tx, run) // under the grant it was asked for with
		if err != nil {
			return err
		}
		f, ok := s.drivers.AnyFunction(run.Category, run.Action)
		if !ok {
			return app.ErrNotFound
		}
		if err := p.mayRun(f); err != nil && run.Cause != causeRetry {
			return err
		}
		sealed, err := takeResult(ctx, tx, run.ID, v.UserID)
		if errors.Is(err, app.ErrNotFound) {
			return fmt.Errorf("take the result of run %s, which is gone: %w", run.ID, app.ErrConflict)
		}
		if err != nil {
			return fmt.Errorf("take the result of run %s: %w", run.ID, err)
		}
		if values, err = s.open(purposeResult, run.ID, sealed); err != nil {
			return err
		}
		if err := audit.Record(ctx, tx, v, audit.Entry{
			Action: "provision.handed-out", ObjectType: "product", ObjectID: p.ID, ObjectName: p.Name, Details: map[string]any{"action": run.Action, "run": run.ID},
		}); err != nil {
			return err
		}
		return notifyRun(ctx, tx, run)
	})
	return run, values, err
}

// Retry queues a failed or cancelled run once more, as a run of the viewer's own. One whose outcome is unknown keeps its operation key:
// the provider is asked first whether it was done.
//
// Returns app.ErrForbidden without the right, app.ErrProof for what needs a fresh one, app.ErrConflict for a run that is not over, that
// was settled as done, or whose secret parameters are gone: that one is asked for by its form.
func (s *Service) Retry(ctx context.Context, v app.Viewer, id, token string) (Run, error) {
	run, p, err := s.run(ctx, v, id)
	if err != nil {
		return Run{}, err
	}
	if !p.OfStore() || !p.Allows("run_retry") {
		return Run{}, app.ErrForbidden
	}
	f, err := s.offered(p, run.Action)
	if errors.Is(err, app.ErrNotFound) || err == nil && (!run.CanRetry() || run.Settled == "done") {
		err = fmt.Errorf("retry run %s: %w", id, app.ErrConflict)
	}
	if err != nil {
		return Run{}, err
	}
	if f.dangerous() && time.Since(v.ProvedAt) > s.limits.Proof {
		return Run{}, app.ErrProof
	}
	if f.AsksSecrets() {
		return Run{}, fmt.Errorf("retry run %s, whose secret parameters are gone: %w", id, app.ErrConflict)
	}
	return s.add(ctx, v, p.ID, f, token, run.Params, origin{causeRetry, &run})
}

// Undo queues what puts back what a run changed: the function's own way back, with the values from before.
//
// Returns what Request returns, and app.ErrConflict where there is no way back.
func (s *Service) Undo(ctx context.Context, v app.Viewer, id, token string) (Run, error) {
	run, p, err := s.run(ctx, v, id)
	if err != nil {
		return Run{}, err
	}
	f, err := s.offered(p, run.Action)
	if err != nil {
		return Run{}, err
	}
	if !run.CanUndo(f) {
		return Run{}, fmt.Errorf("put back run %s: %w", id, app.ErrConflict)
	}
	undo, err := s.offered(p, f.Undo)
	if err != nil {
		return Run{}, err
	}
	if err := p.mayRun(undo); err != nil {
		return Run{}, err
	}
	if undo.dangerous() && time.Since(v.ProvedAt) > s.limits.Proof {
		return Run{}, app.ErrProof
	}
	return s.add(ctx, v, p.ID, undo, token, undoParams(f, undo, run), origin{causeUndo, &run})
}

// undoParams are a run's parameters with the values from before in place of those that it set.
func undoParams(f, undo Function, run Run) map[string]any {
	params := map[string]any{}
	maps.Copy(params, run.Params)
	before := map[string]any{}
	for _, change := range run.Changes {
		before[change.Field] = change.Before
	}
	take := func(name, field string) {
		if value, changed := before[field]; changed {
			params[name] = value
		}
	}
	for _, param := range undo.Params {
		take(param.Name, param.Name)
		take(param.Name, param.From)
	}
	for param, field := range f.Sets {
		take(param, field)
	}
	for name := range params {
		if _, ok := Find(undo.Params, name); !ok || params[name] == nil {
			delete(params, name)
		}
	}
	return params
}

// Cancel ends a run that is not at the provider. Returns app.ErrForbidden without the right, app.ErrConflict for one that is.
func (s *Service) Cancel(ctx context.Context, v app.Viewer, id string) (Run, error) {
	run, p, err := s.run(ctx, v, id)
	if err != nil {
		return Run{}, err
	}
	if !p.OfStore() || !p.Allows("run_retry") {
		return Run{}, app.ErrForbidden
	}
	err = db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if err := lockProduct(ctx, tx, run.ProductID); err != nil {
			return err
		}
		if run, err = lockRun(ctx, tx, id); err != nil {
			return err
		}
		if !run.CanCancel() {
			return fmt.Errorf("cancel run %s, which is %s: %w", id, run.Status, app.ErrConflict)
		}
		say, err := s.sayer(ctx, tx)
		if err != nil {
			return err
		}
		e := ending{Status: Cancelled, Family: FamilyByHand, Message: say.T("provisioning.ended-by-hand", "Name", v.Name), Reference: run.Reference}
		if run.InDoubt || run.Waiting {
			e.Status, e.Family, e.Unknown = Failed, FamilyUnknown, true
		}
		if err := s.finish(ctx, tx, &turn{run: run, say: say}, e); err != nil {
			return err
		}
		return audit.Record(ctx, tx, v, audit.Entry{
			Action: "provision.cancel", ObjectType: "product", ObjectID: p.ID, ObjectName: p.Name, Details: map[string]any{"action": run.Action, "run": run.ID},
		})
	})
	return run, err
}

// Settle notes what an admin found out about a run whose outcome was unknown: that it was done, or was not. The run stays Failed.
// What was done writes its parameters to the provision fields as its success would have.
func (s *Service) Settle(ctx context.Context, v app.Viewer, id string, done bool) (Run, error) {
	run, p, err := s.run(ctx, v, id)
	if err != nil {
		return Run{}, err
	}
	if !p.OfStore() || !p.Allows("run_retry") {
		return Run{}, app.ErrForbidden
	}
	err = db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if err := lockProduct(ctx, tx, run.ProductID); err != nil {
			return err
		}
		if run, err = lockRun(ctx, tx, id); err != nil {
			return err
		}
		if !run.Unsettled() {
			return fmt.Errorf("settle run %s: %w", id, app.ErrConflict)
		}
		run.Settled, run.SettledBy = "absent", v.Name
		var changes []FieldChange
		if done {
			run.Settled = "done"
			f, _ := s.drivers.AnyFunction(run.Category, run.Action)
			if changes, err = s.changeFields(ctx, tx, run.ProductID, run.Category, Changes(f, run.Params, nil)); err != nil {
				return err
			}
			if len(changes) > 0 {
				if err := s.recordFields(ctx, tx, v, p.ID, p.Name, run.ID, changes); err != nil {
					return err
				}
			}
			if err := setStatus(ctx, tx, p.ID, run.Action); err != nil {
				return err
			}
		}
		if err := setSettled(ctx, tx, id, run.Settled, v.Name, changes); err != nil {
			return fmt.Errorf("settle run %s: %w", id, err)
		}
		if err := audit.Record(ctx, tx, v, audit.Entry{
			Action: "provision.settle", ObjectType: "product", ObjectID: p.ID, ObjectName: p.Name, Details: map[string]any{"action": run.Action, "run": run.ID, "settled": run.Settled},
		}); err != nil {
			return err
		}
		return notifyRun(ctx, tx, run)
	})
	return run, err
}

// Rescue queues open runs again whose job or worker is gone, cancels those that nobody approved, and drops secrets that were not taken. It returns how many runs it found.
func (s *Service) Rescue(ctx context.Context) (int, error) {
	if err := dropExpired(ctx, s.pool); err != nil {
		return 0, fmt.Errorf("drop what was not taken: %w", err)
	}
	if err := s.expire(ctx); err != nil {
		return 0, err
	}
	ids, err := lost(ctx, s.pool, PerformArgs{}.Kind(), s.limits.Slack, 500)
	if err != nil {
		return 0, fmt.Errorf("find lost runs: %w", err)
	}
	for _, id := range ids {
		if err := db.InTx(ctx, s.pool, func(tx pgx.Tx) error { return s.enqueue(ctx, tx, id, false) }); err != nil {
			return 0, err
		}
	}
	return len(ids), nil
}

// tellAdmins queues a mail to every admin about a run that failed.
func (s *Service) tellAdmins(ctx context.Context, tx pgx.Tx, run Run) error {
	people, err := admins(ctx, tx)
	if err != nil {
		return fmt.Errorf("list the admins: %w", err)
	}
	for _, person := range people {
		err := s.mail.Queue(ctx, tx, mail.Message{
			Kind: "provision-failed", Key: "provision-failed:" + run.ID + ":" + person.ID, UserID: person.ID, Recipient: person.Email, Name: person.Name,
			Language: person.Language, Zone: person.TimeZone,
			Data: map[string]string{"Run": run.ID, "Product": run.ProductName, "Account": run.AccountName, "Action": s.label(person.Language, run), "Reason": run.Message,
				"Page": managePath(run.ContractID, run.ProductID, true) + "#run-" + run.ID},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// tellOwner queues a mail to the account's owner about something dangerous that was asked for, and by whom.
func (s *Service) tellOwner(ctx context.Context, tx pgx.Tx, v app.Viewer, p Product, run Run, f Function) error {
	people, err := ownerOf(ctx, tx, p.AccountID)
	if err != nil {
		return fmt.Errorf("find the owner of account %s: %w", p.AccountID, err)
	}
	for _, person := range people {
		err := s.mail.Queue(ctx, tx, mail.Message{
			Kind: "provision-notice", Key: "provision-notice:" + run.ID, UserID: person.ID, Recipient: person.Email, Name: person.Name, Language: person.Language, Zone: person.TimeZone,
			Data: map[string]string{"Run": run.ID, "Product": p.Name, "Action": s.label(person.Language, run), "Name": v.Name, "Page": managePath(p.ContractID, p.ID, false), "IP": v.IP, "Browser": v.Browser},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// label is a run's action in a language.
func (s *Service) label(language string, run Run) string {
	f, ok := s.drivers.AnyFunction(run.Category, run.Action)
	if !ok {
		return run.Action
	}
	return s.catalogue.Printer(language, "", time.Now()).T(f.LabelKey())
}

// NewToken is what a form carries so that posting it twice is one run.
func NewToken() string { return uuid.NewString() }

// loginOrigin is where a login that is ready for the viewer leads, without the link itself; "" if there is none. plain tells that a
// redirect is all that it takes.
func (s *Service) loginOrigin(ctx context.Context, v app.Viewer, run Run) (origin string, plain bool) {
	sealed, err := sealedResult(ctx, s.pool, run.ID, v.UserID)
	if err != nil {
		return "", false
	}
	held, err := s.open(purposeResult, run.ID, sealed)
	if err != nil {
		return "", false
	}
	_, origin = loginLink(held)
	return origin, isPlain(held)
}

// OnStatus queues what a change of status means for the products at their providers: it is a contracts.StatusHook.
func (s *Service) OnStatus(ctx context.Context, tx pgx.Tx, _ app.Viewer, item contracts.Item, from, to string) error {
	var actions []string
	cause := "contract." + to
	switch {
	case to == contracts.Active && from == contracts.Pending:
		actions = []string{"create", "register"}
	case to == contracts.Active && from == contracts.Suspended:
		actions = []string{"unsuspend"}
	case to == contracts.Suspended:
		actions = []string{"suspend"}
	case contracts.Final(to) && from != contracts.Pending:
		actions = []string{"terminate"}
	}
	for _, product := range item.Products {
		for _, action := range actions {
			if err := s.ForSystem(ctx, tx, product.ID, action, cause, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// OnPlan queues what changes a product at its provider after its plan changed, in the transaction of the change: changing the package,
// or of a server its size. pack is the new plan's.
func (s *Service) OnPlan(ctx context.Context, tx pgx.Tx, productID string, pack map[string]any) error {
	p, err := anyProduct(ctx, tx, productID)
	if err != nil {
		return fmt.Errorf("change a product's plan: %w", err)
	}
	for _, action := range []string{"changePackage", "resize"} {
		f, err := s.offered(p, action)
		if errors.Is(err, app.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		given := map[string]any{}
		for _, param := range f.Params {
			if value, ok := pack[param.Name]; ok {
				given[param.Name] = value
			}
		}
		if err := s.ForSystem(ctx, tx, productID, action, "contract.plan", given); err != nil {
			return err
		}
	}
	return nil
}

// Login is the button with which a list of products offers to sign in at the provider.
type Login struct {
	Path  string // where it posts to
	Token string
	Label string // message key
}

// Logins returns the buttons of those products that the viewer may sign in to now, by the product's id.
func (s *Service) Logins(ctx context.Context, v app.Viewer, productIDs []string) (map[string]Login, error) {
	if access.Check(v, "runs", "request") != nil || len(productIDs) == 0 {
		return nil, nil
	}
	products, err := productsByID(ctx, s.pool, v.UserID, productIDs)
	if err != nil {
		return nil, fmt.Errorf("read products: %w", err)
	}
	logins := map[string]Login{}
	for _, p := range products {
		f, err := s.offered(p, "login")
		if err == nil && p.mayRun(f) == nil && p.possible(f) && p.PausedAt == nil && len(f.Asks(false)) == 0 {
			logins[p.ID] = Login{"/manage/" + p.ID + "/login?from=overview", NewToken(), f.LabelKey()}
		}
	}
	return logins, nil
}
