package billing

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"portico/app"
	"portico/app/audit"
	"portico/app/contracts"

	"github.com/jackc/pgx/v5"
)

// running are the statuses in which an owner may change a contract.
var running = []string{contracts.Active, contracts.Suspended}

// change locks a contract that runs and its account's books for a deed that the policy allows, and tells open pages. Returns
// app.ErrNotFound to a stranger, app.ErrForbidden, contracts.ErrState for a contract that does not run, or what work returns.
func (s *Service) change(ctx context.Context, v app.Viewer, contractID, action string, work func(b *books, item contracts.Item) error) error {
	return s.contracts.Change(ctx, v, contractID, action, func(tx pgx.Tx, c *contracts.Contract) error {
		if !slices.Contains(running, c.Status) {
			return contracts.ErrState
		}
		item, err := contracts.LockForSystem(ctx, tx, c.ID)
		if err != nil {
			return fmt.Errorf("read %s: %w", c, err)
		}
		b, err := s.open(ctx, tx, v, c.AccountID)
		if err != nil {
			return err
		}
		if err := work(b, item); err != nil {
			return err
		}
		return contracts.Notify(ctx, tx, item.Product, TopicOfAccount(c.AccountID), TopicAll)
	})
}

// CancelNow ends a contract at once: its products are terminated, what is paid for the running period is not given back, what was
// invoiced for later ones is. Final. Returns what change does, and *app.Invalid on "reason".
func (s *Service) CancelNow(ctx context.Context, v app.Viewer, contractID, reason string) error {
	return s.change(ctx, v, contractID, "cancel", func(b *books, item contracts.Item) error {
		return s.contracts.SetStatus(ctx, b.tx, v, item, running, contracts.Cancelled, contracts.EventCancel, reason)
	})
}

// CancelLater ends a contract with its term, until when it goes on as it is and this can be taken back. Returns what change does,
// *app.Invalid on "reason", contracts.ErrState if it is cancelled so already.
func (s *Service) CancelLater(ctx context.Context, v app.Viewer, contractID, reason string) error {
	return s.change(ctx, v, contractID, "cancel", func(b *books, item contracts.Item) error {
		var invalid app.Invalid
		reason := note(&invalid, "reason", reason, contracts.MaxReason)
		if err := invalid.Err(); err != nil {
			return err
		}
		c := item.Contract
		if c.CancelsOn != nil || c.TermEndsOn == nil {
			return contracts.ErrState
		}
		if err := setCancelsOn(ctx, b.tx, c.ID, c.TermEndsOn, reason); err != nil {
			return fmt.Errorf("cancel %s: %w", c, err)
		}
		if err := b.unbill(ctx, item, *c.TermEndsOn); err != nil {
			return err
		}
		day := c.TermEndsOn.Format(time.DateOnly)
		if err := contracts.Note(ctx, b.tx, v, c.ID, "", EventCancelLater, map[string]string{"Day": day}); err != nil {
			return err
		}
		return contracts.Record(ctx, b.tx, v, item, "contract.cancel-later", map[string]any{"day": day, "reason": reason})
	})
}

// TakeBack lets a contract that was cancelled to the end of its term go on. Returns what change does, contracts.ErrState if it was not
// cancelled.
func (s *Service) TakeBack(ctx context.Context, v app.Viewer, contractID string) error {
	return s.change(ctx, v, contractID, "cancel", func(b *books, item contracts.Item) error {
		if item.Contract.CancelsOn == nil {
			return contracts.ErrState
		}
		if err := setCancelsOn(ctx, b.tx, contractID, nil, ""); err != nil {
			return fmt.Errorf("take the cancelling of %s back: %w", item.Contract, err)
		}
		if err := contracts.Note(ctx, b.tx, v, contractID, "", EventCancelBack, nil); err != nil {
			return err
		}
		if err := s.renewSoon(ctx, b.tx, contractID); err != nil {
			return err
		}
		return contracts.Record(ctx, b.tx, v, item, "contract.cancel-back", nil)
	})
}

// SetAutoRenew says whether a contract begins another term when one ends. Returns what change does. Off, what was invoiced of a term
// that does not come is given back.
func (s *Service) SetAutoRenew(ctx context.Context, v app.Viewer, contractID string, on bool) error {
	return s.change(ctx, v, contractID, "auto_renew", func(b *books, item contracts.Item) error {
		changes := audit.Changes{}
		if !changes.Add("auto_renew", item.Contract.AutoRenew, on) {
			return nil
		}
		if err := setAutoRenew(ctx, b.tx, contractID, on); err != nil {
			return fmt.Errorf("set the renewal of %s: %w", item.Contract, err)
		}
		if !on && item.Contract.TermEndsOn != nil {
			if err := b.unbill(ctx, item, *item.Contract.TermEndsOn); err != nil {
				return err
			}
		}
		after := map[bool]string{true: "on", false: "off"}[on]
		if err := contracts.Note(ctx, b.tx, v, contractID, "", EventAutoRenew, map[string]string{"After": after}); err != nil {
			return err
		}
		if err := s.renewSoon(ctx, b.tx, contractID); err != nil {
			return err
		}
		return contracts.Record(ctx, b.tx, v, item, "contract.auto-renew", changes)
	})
}

// Label is what an owner calls a contract, and what its invoices are marked with.
type Label struct{ Name, Reference string }

// Modify gives a contract a label. Returns what change does, *app.Invalid on "name" and "reference".
func (s *Service) Modify(ctx context.Context, v app.Viewer, contractID string, next Label) error {
	return s.change(ctx, v, contractID, "modify", func(b *books, item contracts.Item) error {
		var invalid app.Invalid
		next.Name = note(&invalid, "name", next.Name, 120)
		next.Reference = note(&invalid, "reference", next.Reference, 60)
		if next.Name == "" {
			invalid.Add("name", "billing.name-missing")
		}
		if err := invalid.Err(); err != nil {
			return err
		}
		before, err := referenceOf(ctx, b.tx, contractID)
		if err != nil {
			return fmt.Errorf("read the reference of %s: %w", item.Contract, err)
		}
		changes := audit.Changes{}
		renamed := changes.Add("name", item.Contract.Name, next.Name)
		if marked := changes.Add("reference", before, next.Reference); !renamed && !marked {
			return nil
		}
		if err := setLabel(ctx, b.tx, contractID, next); err != nil {
			return fmt.Errorf("label %s: %w", item.Contract, err)
		}
		if renamed {
			data := map[string]string{"Before": item.Contract.Name, "After": next.Name}
			if err := contracts.Note(ctx, b.tx, v, contractID, "", EventLabel, data); err != nil {
				return err
			}
		}
		return contracts.Record(ctx, b.tx, v, item, "contract.modify", changes)
	})
}

// Choice is a plan that a bought product may be changed to, with what that costs today.
type Choice struct {
	Plan     contracts.Plan
	Name     string // the plan's, with its product's where that is another
	Switch   Switch // without tax
	Ends     []Line // what is given back of options that the plan's product is not sold with
	TaxMinor int64  // on the switch's net
	From     Day    // of the period's rest that is paid for
	Until    Day    // its last day
	Upgrade  bool   // costs more than today's plan
}

// NetMinor is what is to be paid now without tax; negative, what is credited.
func (c Choice) NetMinor() int64 { return c.Switch.Charge - c.BackMinor() }

// BackMinor is what is given back, without tax.
func (c Choice) BackMinor() int64 {
	back := c.Switch.Credit
	for _, line := range c.Ends {
		back -= line.NetMinor
	}
	return back
}

// TotalMinor is NetMinor with tax.
func (c Choice) TotalMinor() int64 { return c.NetMinor() + c.TaxMinor }

// Choices lists the plans that a product of a contract may be changed to along the catalogue's paths, the cheapest first. Empty if
// there are none, or while the contract does not run.
func (s *Service) Choices(ctx context.Context, v app.Viewer, productID string) (p contracts.Product, choices []Choice, err error) {
	if p, err = s.contracts.Product(ctx, v, productID); err != nil {
		return p, nil, err
	}
	if !p.Allows("upgrade") {
		return p, nil, app.ErrForbidden
	}
	if p.ContractID == nil {
		return p, nil, nil
	}
	// Nothing is changed: the books are only read, with the same eyes that ChangePlan has.
	err = s.change(ctx, v, *p.ContractID, "upgrade", func(b *books, item contracts.Item) error {
		choices, err = b.choices(ctx, item, productID)
		if err != nil {
			return err
		}
		return errOnlyRead
	})
	if errors.Is(err, errOnlyRead) || errors.Is(err, contracts.ErrState) {
		err = nil
	}
	return p, choices, err
}

var errOnlyRead = errors.New("nothing was to be changed")

func (b *books) choices(ctx context.Context, item contracts.Item, productID string) ([]Choice, error) {
	n := slices.IndexFunc(item.Products, func(p contracts.Product) bool { return p.ID == productID })
	if n < 0 || contracts.Final(item.Products[n].Status) || item.Contract.StartsOn == nil {
		return nil, nil
	}
	product := item.Products[n]
	plans, err := plansFrom(ctx, b.tx, product.PlanID, item.Contract.CycleMonths)
	if err != nil {
		return nil, fmt.Errorf("read the paths from a plan: %w", err)
	}
	tax, err := b.tax(ctx)
	if err != nil {
		return nil, err
	}
	chosen, err := chosenOptions(ctx, b.tx, item.Contract.ID)
	if err != nil {
		return nil, fmt.Errorf("read the options of %s: %w", item.Contract, err)
	}
	p, _ := PeriodOn(*item.Contract.StartsOn, item.Contract.CycleMonths, b.today)
	var choices []Choice
	for _, to := range plans {
		plan := to.Plan
		choice := Choice{
			Plan: plan, Name: plan.Name, Switch: SwitchOn(product.PriceMinor, plan.PriceMinor, p, b.today), From: b.today, Until: p.End.AddDate(0, 0, -1),
			Upgrade: plan.PriceMinor > product.PriceMinor,
		}
		if plan.ProductID != product.ProductID {
			choice.Name = to.ProductName + ", " + plan.Name
			for _, o := range chosen[product.ID] {
				choice.Ends = append(choice.Ends, b.optionLine(item.Contract, product, o, p, -1))
			}
		}
		choice.TaxMinor = tax.On(choice.NetMinor())
		choices = append(choices, choice)
	}
	return choices, nil
}

// ErrPrice is app.ErrConflict: what the change costs is not what was shown any more.
var ErrPrice = fmt.Errorf("the price is another by now: %w", app.ErrConflict)

// ChangePlan changes a product to another plan along the catalogue's paths, today: the rest of the period is paid by days, on an invoice
// of its own, or credited. shownMinor is the net amount that was agreed to. What was invoiced for the next period is invoiced again at
// the new price. Returns app.ErrNotFound to a stranger and for a plan that no path leads to, app.ErrForbidden, contracts.ErrState,
// ErrPrice.
func (s *Service) ChangePlan(ctx context.Context, v app.Viewer, productID, planID string, shownMinor int64) error {
	p, err := s.contracts.Product(ctx, v, productID)
	if err != nil {
		return err
	}
	if !p.Allows("upgrade") {
		return app.ErrForbidden
	}
	if p.ContractID == nil {
		return fmt.Errorf("change the plan of the one-off purchase %s: %w", productID, app.ErrNotFound)
	}
	return s.change(ctx, v, *p.ContractID, "upgrade", func(b *books, item contracts.Item) error {
		choices, err := b.choices(ctx, item, productID)
		if err != nil {
			return err
		}
		n := slices.IndexFunc(choices, func(c Choice) bool { return c.Plan.ID == planID })
		if n < 0 {
			return app.ErrNotFound
		}
		choice := choices[n]
		if choice.NetMinor() != shownMinor {
			return ErrPrice
		}
		product := item.Products[slices.IndexFunc(item.Products, func(p contracts.Product) bool { return p.ID == productID })]
		for _, hook := range s.hooks {
			if err := hook(ctx, b.tx, v, product, choice.Plan); err != nil {
				return err
			}
		}
		after, err := setPlan(ctx, b.tx, product, choice.Plan)
		if err != nil {
			return fmt.Errorf("change the plan of %s: %w", product, err)
		}
		var lines []Line
		if choice.Switch != (Switch{}) {
			end := choice.Until.AddDate(0, 0, 1)
			lines = []Line{
				{Text: lineText(after), ProductID: &product.ID, PeriodStart: &choice.From, PeriodEnd: &end, NetMinor: choice.Switch.Charge},
				{Text: lineText(product), ProductID: &product.ID, PeriodStart: &choice.From, PeriodEnd: &end, NetMinor: -choice.Switch.Credit},
			}
		}
		if err := b.billRest(ctx, item, product, append(lines, choice.Ends...), choice.From, choice.Until); err != nil {
			return err
		}
		data := map[string]string{"Before": product.PlanName, "After": choice.Plan.Name}
		if after.ProductID != product.ProductID {
			data = map[string]string{"Before": product.Name + ", " + product.PlanName, "After": choice.Name}
		}
		if err := contracts.Note(ctx, b.tx, v, item.Contract.ID, product.ID, EventPlan, data); err != nil {
			return err
		}
		return contracts.Record(ctx, b.tx, v, item, "contract.plan", map[string]any{
			"plan": audit.Change{Before: data["Before"], After: data["After"]}, "net": choice.NetMinor(),
		})
	})
}

// billRest invoices what a change of a product costs for the rest of the running period, or credits what it gives back, and has the
// next period, which may be invoiced already as things were, invoiced again.
func (b *books) billRest(ctx context.Context, item contracts.Item, product contracts.Product, lines []Line, from, until Day) error {
	if len(lines) > 0 {
		if err := b.billLines(ctx, item, product, lines, from, until); err != nil {
			return err
		}
	}
	if err := b.unbill(ctx, item, until.AddDate(0, 0, 1)); err != nil {
		return err
	}
	return b.s.renewSoon(ctx, b.tx, item.Contract.ID)
}

func (b *books) billLines(ctx context.Context, item contracts.Item, product contracts.Product, lines []Line, from, until Day) error {
	i := Invoice{Kind: KindInvoice, ContractID: &item.Contract.ID, Lines: lines}
	var err error
	if i.Reference, err = referenceOf(ctx, b.tx, item.Contract.ID); err != nil {
		return fmt.Errorf("read the reference: %w", err)
	}
	sum, event := int64(0), EventInvoiced
	for _, line := range lines {
		sum += line.NetMinor
	}
	if sum < 0 {
		i.Kind, event = KindCreditNote, EventCreditNote
	}
	id, err := b.draft(ctx, i)
	if err != nil {
		return err
	}
	if i, err = b.issue(ctx, id); err != nil {
		return err
	}
	err = contracts.Note(ctx, b.tx, b.v, item.Contract.ID, product.ID, event, map[string]string{
		"Number": i.Name(), "From": from.Format(time.DateOnly), "To": until.Format(time.DateOnly),
	})
	if err != nil {
		return err
	}
	if err := b.tell(ctx, "invoice-issued", i, ""); err != nil {
		return err
	}
	_, err = b.settle(ctx, "")
	return err
}

// renewSoon has a job look at a contract as soon as the transaction commits.
func (s *Service) renewSoon(ctx context.Context, tx pgx.Tx, contractID string) error {
	if _, err := s.inserter.InsertTx(ctx, tx, RenewArgs{contractID}, nil); err != nil {
		return fmt.Errorf("queue the renewal of contract %s: %w", contractID, err)
	}
	return nil
}
