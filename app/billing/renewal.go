package billing

import (
	"context"
	"errors"
	"fmt"
	"time"

	"portico/app"
	"portico/app/audit"
	"portico/app/contracts"
	"portico/app/db"

	"github.com/jackc/pgx/v5"
)

// The events that billing puts into a contract's timeline. Those that begin with "billing-" are for those who may see billing.
const (
	EventInvoiced    = "billing-invoiced"  // data: Number, From, To
	EventCreditNote  = "billing-credited"  // data: Number
	EventReminded    = "billing-reminded"  // data: Day
	EventPaid        = "billing-paid"      // data: Number
	EventRenewed     = "renewed"           // data: Day, the next renewal
	EventOverdue     = "billing-overdue"   // data: Number
	EventCancelLater = "cancel-later"      // data: Day
	EventCancelBack  = "cancel-taken-back" //
	EventAutoRenew   = "auto-renew"        // data: After ("on" or "off")
	EventPlan        = "plan"              // data: Before, After
	EventOptionAdded = "option-added"      // data: Name
	EventOptionGone  = "option-removed"    // data: Name
	EventLabel       = "label"             // data: Before, After
)

// Renew brings one contract up to what today asks for, in one transaction: what was cancelled to today ends, the next period is
// reminded of and invoiced in time, dates move on, a debt beyond the days of grace suspends, a paid one unsuspends. It may run twice,
// late, and beside itself: each step is taken from dates and rows that the step itself changes. The store's time zone says what today
// is. A contract that does not run is left alone.
func (s *Service) Renew(ctx context.Context, contractID string) error {
	return db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		item, err := contracts.LockForSystem(ctx, tx, contractID)
		if errors.Is(err, app.ErrNotFound) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("lock contract %s: %w", contractID, err)
		}
		if !item.Contract.Running() {
			return nil
		}
		b, err := s.open(ctx, tx, audit.System, item.Contract.AccountID)
		if err != nil {
			return err
		}
		r := &renewal{b, item}
		done, err := r.run(ctx)
		if err != nil {
			return fmt.Errorf("renew %s: %w", item.Contract, err)
		}
		if !done {
			return nil
		}
		if err := contracts.Notify(ctx, tx, item.Product, TopicOfAccount(b.account.ID), TopicAll); err != nil {
			return err
		}
		return nil
	})
}

// renewal is one contract, locked, with its account's books.
type renewal struct {
	*books
	contracts.Item
}

// run takes every step that is due and tells whether it took any.
func (r *renewal) run(ctx context.Context) (done bool, err error) {
	c := r.Contract
	for c.RenewsOn != nil && c.StartsOn != nil && c.TermEndsOn != nil {
		over := c.CancelsOn != nil && !c.CancelsOn.After(r.today)
		if end := c.TermEndsOn; !c.AutoRenew && !end.After(r.today) {
			over = true
		}
		if over {
			return true, r.s.contracts.SetStatus(ctx, r.tx, r.v, r.Item, []string{contracts.Active, contracts.Suspended}, contracts.Ended, contracts.EventEnd, "")
		}
		if !r.goesOn() {
			break
		}
		billFrom := c.RenewsOn.AddDate(0, 0, -r.terms.InvoiceDaysBefore)
		if !billFrom.After(r.today) {
			billed, err := r.billNext(ctx)
			if err != nil {
				return done, err
			}
			done = done || billed
		} else if remindFrom := billFrom.AddDate(0, 0, -r.terms.ReminderDays); !remindFrom.After(r.today) {
			reminded, err := r.remind(ctx)
			if err != nil {
				return done, err
			}
			done = done || reminded
		}
		if c.RenewsOn.After(r.today) {
			break
		}
		if err := r.move(ctx); err != nil {
			return done, err
		}
		done = true
	}
	changed, err := r.debts(ctx)
	return done || changed, err
}

// goesOn tells whether another period follows the one that is paid for.
func (r *renewal) goesOn() bool {
	c := r.Contract
	return (c.CancelsOn == nil || c.RenewsOn.Before(*c.CancelsOn)) && (c.AutoRenew || c.RenewsOn.Before(*c.TermEndsOn))
}

// next is the period that begins with the next renewal.
func (r *renewal) next() Period {
	p, _ := PeriodOn(*r.Contract.StartsOn, r.Contract.CycleMonths, *r.Contract.RenewsOn)
	return p
}

// billNext invoices the next period, once.
func (r *renewal) billNext(ctx context.Context) (bool, error) {
	return r.billPeriod(ctx, r.Item, r.next())
}

// billPeriod invoices a period of a contract, once: one line for each of its products that run. A period that costs nothing is noted as
// billed without an invoice.
func (b *books) billPeriod(ctx context.Context, item contracts.Item, p Period) (bool, error) {
	c := item.Contract
	billed, err := periodBilled(ctx, b.tx, c.ID, p.Start)
	if err != nil || billed {
		return false, wrap(err, "ask what was billed")
	}
	i := Invoice{Kind: KindInvoice, ContractID: &c.ID}
	if i.Reference, err = referenceOf(ctx, b.tx, c.ID); err != nil {
		return false, fmt.Errorf("read the reference: %w", err)
	}
	chosen, err := chosenOptions(ctx, b.tx, c.ID)
	if err != nil {
		return false, fmt.Errorf("read the options of %s: %w", c, err)
	}
	sum := int64(0)
	for _, product := range item.Products {
		if contracts.Final(product.Status) {
			continue
		}
		line := Line{Text: lineText(product), ProductID: &product.ID, PeriodStart: &p.Start, PeriodEnd: &p.End, NetMinor: product.PriceMinor}
		i.Lines = append(i.Lines, line)
		sum += product.PriceMinor
		for _, o := range chosen[product.ID] {
			line.Text, line.NetMinor = o.lineText(product), o.PriceMinor*int64(c.CycleMonths)
			i.Lines = append(i.Lines, line)
			sum += line.NetMinor
		}
	}
	if sum == 0 {
		return false, nil
	}
	id, err := b.draft(ctx, i)
	if err != nil {
		return false, err
	}
	if i, err = b.issue(ctx, id); err != nil {
		return false, err
	}
	if err := insertPeriod(ctx, b.tx, c.ID, p.Start, i.ID); err != nil {
		return false, fmt.Errorf("note a billed period: %w", err)
	}
	err = contracts.Note(ctx, b.tx, b.v, c.ID, "", EventInvoiced, map[string]string{
		"Number": i.Name(), "From": p.Start.Format(time.DateOnly), "To": p.End.AddDate(0, 0, -1).Format(time.DateOnly),
	})
	if err != nil {
		return false, err
	}
	if err := b.tell(ctx, "invoice-issued", i, ""); err != nil {
		return false, err
	}
	_, err = b.settle(ctx, "")
	return true, err
}

// lineText is what an invoice calls a product.
func lineText(p contracts.Product) string {
	text := p.Name + ", " + p.PlanName
	return shortened(text, p)
}

// shortened is the text of a line with what people tell the product by, as long as a line may be.
func shortened(text string, p contracts.Product) string {
	if p.Identifier != "" {
		text += " (" + p.Identifier + ")"
	}
	if letters := []rune(text); len(letters) > 300 {
		text = string(letters[:300])
	}
	return text
}

// remind tells the owner of the next renewal, once.
func (r *renewal) remind(ctx context.Context) (bool, error) {
	first, err := insertStep(ctx, r.tx, r.Contract.ID, *r.Contract.RenewsOn, "reminder")
	if err != nil || !first {
		return false, wrap(err, "note a reminder")
	}
	if err := contracts.Note(ctx, r.tx, r.v, r.Contract.ID, "", EventReminded, map[string]string{"Day": r.Contract.RenewsOn.Format(time.DateOnly)}); err != nil {
		return false, err
	}
	return true, r.tell(ctx, "renewal-reminder", Invoice{ContractID: &r.Contract.ID, ContractName: r.Contract.Name, DueOn: r.Contract.RenewsOn}, r.Contract.RenewsOn.Format(time.DateOnly))
}

// move begins the next period: dates move on by one cycle, and by a term where it ended.
func (r *renewal) move(ctx context.Context) error {
	c, p := r.Contract, r.next()
	end := *c.TermEndsOn
	for !end.After(p.Start) {
		months := monthsBetween(*c.StartsOn, end) + c.TermMonths
		end = AddMonths(*c.StartsOn, months)
	}
	if err := setDates(ctx, r.tx, c.ID, p.End, end); err != nil {
		return fmt.Errorf("move dates: %w", err)
	}
	c.RenewsOn, c.TermEndsOn = &p.End, &end
	if err := contracts.Note(ctx, r.tx, r.v, c.ID, "", EventRenewed, map[string]string{"Day": p.End.Format(time.DateOnly)}); err != nil {
		return err
	}
	return contracts.Record(ctx, r.tx, r.v, r.Item, "contract.renew", map[string]any{"renews_on": p.End.Format(time.DateOnly)})
}

// monthsBetween counts the whole months from a contract's first day to a day that AddMonths made from it.
func monthsBetween(first, later Day) int {
	return (later.Year()-first.Year())*12 + int(later.Month()-first.Month())
}

// debts reminds of what is overdue, suspends a contract whose debt is older than the days of grace, and unsuspends one that was
// suspended for that once nothing of it is overdue.
func (r *renewal) debts(ctx context.Context) (bool, error) {
	overdue, err := overdueOf(ctx, r.tx, r.Contract.ID, r.today)
	if err != nil {
		return false, fmt.Errorf("ask what is overdue: %w", err)
	}
	suspended, err := suspendedForDebt(ctx, r.tx, r.Contract.ID)
	if err != nil {
		return false, fmt.Errorf("ask why it is suspended: %w", err)
	}
	changed := false
	for _, i := range overdue {
		first, err := insertStep(ctx, r.tx, r.Contract.ID, *i.DueOn, "overdue:"+i.ID)
		if err != nil {
			return false, fmt.Errorf("note a reminder: %w", err)
		}
		if !first {
			continue
		}
		changed = true
		if err := contracts.Note(ctx, r.tx, r.v, r.Contract.ID, "", EventOverdue, map[string]string{"Number": i.Name()}); err != nil {
			return false, err
		}
		if err := r.tell(ctx, "invoice-overdue", i, ""); err != nil {
			return false, err
		}
	}
	item := r.Item
	switch {
	case item.Contract.Status == contracts.Active && len(overdue) > 0 && overdue[0].DueOn.AddDate(0, 0, r.terms.GraceDays).Before(r.today):
		if err := setSuspendedForDebt(ctx, r.tx, item.Contract.ID, true); err != nil {
			return false, fmt.Errorf("note why it is suspended: %w", err)
		}
		return true, r.s.contracts.SetStatus(ctx, r.tx, r.v, item, []string{contracts.Active}, contracts.Suspended, contracts.EventSuspend, "")
	case item.Contract.Status == contracts.Suspended && suspended && len(overdue) == 0:
		if err := setSuspendedForDebt(ctx, r.tx, item.Contract.ID, false); err != nil {
			return false, fmt.Errorf("note that it is paid: %w", err)
		}
		return true, r.s.contracts.SetStatus(ctx, r.tx, r.v, item, []string{contracts.Suspended}, contracts.Active, contracts.EventUnsuspend, "")
	}
	return changed, nil
}

// notePaid puts a paid invoice into its contract's timeline.
func notePaid(ctx context.Context, b *books, i Invoice) error {
	return contracts.Note(ctx, b.tx, b.v, *i.ContractID, "", EventPaid, map[string]string{"Number": i.Name()})
}

// hook acts when a contract begins to run or ends: its first period is invoiced, and what was invoiced of a time that does not come is
// given back.
func (s *Service) hook(ctx context.Context, tx pgx.Tx, v app.Viewer, item contracts.Item, from, to string) error {
	if item.Contract == nil {
		return nil
	}
	if from != contracts.Pending && !contracts.Final(to) {
		return nil
	}
	b, err := s.open(ctx, tx, v, item.Contract.AccountID)
	if err != nil {
		return err
	}
	if contracts.Final(to) {
		return b.unbill(ctx, item, b.today)
	}
	now, err := contracts.LockForSystem(ctx, tx, item.Contract.ID) // with the dates that it has from now on
	if err != nil {
		return fmt.Errorf("read %s again: %w", item.Contract, err)
	}
	first, _ := PeriodOn(*now.Contract.StartsOn, now.Contract.CycleMonths, *now.Contract.StartsOn)
	_, err = b.billPeriod(ctx, now, first)
	return err
}

// unbill gives back what was invoiced for periods that begin on a day or later: an open invoice is void, one that was paid is credited.
func (b *books) unbill(ctx context.Context, item contracts.Item, from Day) error {
	ids, err := billedFrom(ctx, b.tx, item.Contract.ID, from)
	if err != nil {
		return fmt.Errorf("find what is billed ahead: %w", err)
	}
	for _, id := range ids {
		i, err := lockInvoice(ctx, b.tx, id)
		if err != nil {
			return fmt.Errorf("lock invoice %s: %w", id, err)
		}
		switch {
		case i.Status == Unpaid && i.SettledMinor == 0:
			err = b.void(ctx, i)
		case i.Status == Unpaid || i.Status == Paid:
			_, err = b.credit(ctx, i, "")
		}
		if err != nil {
			return err
		}
		if err := deletePeriod(ctx, b.tx, id); err != nil {
			return fmt.Errorf("note that a period is billed no more: %w", err)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	_, err = b.settle(ctx, "")
	return err
}
