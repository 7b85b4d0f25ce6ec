package billing

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"portico/app"
	"portico/app/audit"
	"portico/app/contracts"
)

// Option is something that a product is bought with besides. It is paid with the plan, for as many months.
type Option struct {
	ID         string
	Name       string
	PriceMinor int64 // a month, without tax; of a chosen one as it was when it was chosen
}

// lineText is what an invoice calls an option of a product.
func (o Option) lineText(p contracts.Product) string { return shortened(p.Name+", "+o.Name, p) }

// OptionOffer is an option on the page where an owner chooses.
type OptionOffer struct {
	Option
	Chosen     bool  // the product has it now
	Wanted     bool  // it would have it
	CycleMinor int64 // for one billing cycle, without tax
}

// OptionChange is what choosing other options costs today.
type OptionChange struct {
	Offers   []OptionOffer
	Lines    []Line // the rest of the running period of what comes, and, given back, of what goes
	TaxMinor int64
	From     Day // today
	Until    Day // the running period's last day
}

// Changes tells whether anything would be another than now.
func (c OptionChange) Changes() bool {
	return slices.ContainsFunc(c.Offers, func(o OptionOffer) bool { return o.Wanted != o.Chosen })
}

// NetMinor is what is to be paid now without tax; negative, what is credited.
func (c OptionChange) NetMinor() int64 {
	sum := int64(0)
	for _, line := range c.Lines {
		sum += line.NetMinor
	}
	return sum
}

// TotalMinor is NetMinor with tax.
func (c OptionChange) TotalMinor() int64 { return c.NetMinor() + c.TaxMinor }

// optionLine is an option's rest of a running period from today on, charged (sign 1) or given back (-1).
func (b *books) optionLine(c *contracts.Contract, p contracts.Product, o Option, period Period, sign int64) Line {
	return Line{
		Text: o.lineText(p), ProductID: &p.ID, PeriodStart: &b.today, PeriodEnd: &period.End,
		NetMinor: sign * Prorate(o.PriceMinor*int64(c.CycleMonths), period, b.today),
	}
}

// Options says what a running product of a contract has, may have, and what having those that are wanted would cost today; wanted nil is
// those it has. Returns app.ErrNotFound to a stranger, app.ErrForbidden, contracts.ErrState, *app.Invalid for an option that is not on
// offer.
func (s *Service) Options(ctx context.Context, v app.Viewer, contractID, productID string, wanted []string) (change OptionChange, err error) {
	// Nothing is changed: the books are only read, with the same eyes that SetOptions has.
	err = s.change(ctx, v, contractID, "modify", func(b *books, item contracts.Item) error {
		if change, _, err = b.options(ctx, item, productID, wanted); err != nil {
			return err
		}
		return errOnlyRead
	})
	if errors.Is(err, errOnlyRead) {
		err = nil
	}
	return change, err
}

func (b *books) options(ctx context.Context, item contracts.Item, productID string, wanted []string) (OptionChange, contracts.Product, error) {
	n := slices.IndexFunc(item.Products, func(p contracts.Product) bool { return p.ID == productID })
	if n < 0 {
		return OptionChange{}, contracts.Product{}, app.ErrNotFound
	}
	product := item.Products[n]
	if contracts.Final(product.Status) || item.Contract.StartsOn == nil {
		return OptionChange{}, product, contracts.ErrState
	}
	all, err := chosenOptions(ctx, b.tx, item.Contract.ID)
	if err != nil {
		return OptionChange{}, product, fmt.Errorf("read the options of %s: %w", item.Contract, err)
	}
	offered, err := offeredOptions(ctx, b.tx, product.ProductID)
	if err != nil {
		return OptionChange{}, product, fmt.Errorf("read the options on offer: %w", err)
	}
	tax, err := b.tax(ctx)
	if err != nil {
		return OptionChange{}, product, err
	}
	period, _ := PeriodOn(*item.Contract.StartsOn, item.Contract.CycleMonths, b.today)
	change := OptionChange{From: b.today, Until: period.End.AddDate(0, 0, -1)}
	add := func(o Option, chosen bool) {
		offer := OptionOffer{Option: o, Chosen: chosen, Wanted: chosen, CycleMinor: o.PriceMinor * int64(item.Contract.CycleMonths)}
		if wanted != nil {
			offer.Wanted = slices.Contains(wanted, o.ID)
		}
		switch {
		case offer.Wanted && !chosen:
			change.Lines = append(change.Lines, b.optionLine(item.Contract, product, o, period, 1))
		case chosen && !offer.Wanted:
			change.Lines = append(change.Lines, b.optionLine(item.Contract, product, o, period, -1))
		}
		change.Offers = append(change.Offers, offer)
	}
	chosen := all[product.ID]
	for _, o := range chosen {
		add(o, true)
	}
	for _, o := range offered {
		if !slices.ContainsFunc(chosen, func(c Option) bool { return c.ID == o.ID }) {
			add(o, false)
		}
	}
	for _, id := range wanted {
		if !slices.ContainsFunc(change.Offers, func(o OptionOffer) bool { return o.ID == id }) {
			return OptionChange{}, product, app.Invalidf("options", "billing.option-gone")
		}
	}
	change.TaxMinor = tax.On(change.NetMinor())
	return change, product, nil
}

// SetOptions gives a product of a contract the options that are wanted and no others, today: the rest of the running period is paid by
// days, on an invoice of its own, or credited, and the next period is invoiced with them. shownMinor is the net amount that was agreed to.
// Returns what Options does, and ErrPrice.
func (s *Service) SetOptions(ctx context.Context, v app.Viewer, contractID, productID string, wanted []string, shownMinor int64) error {
	return s.change(ctx, v, contractID, "modify", func(b *books, item contracts.Item) error {
		if wanted == nil {
			wanted = []string{}
		}
		change, product, err := b.options(ctx, item, productID, wanted)
		if err != nil {
			return err
		}
		if change.NetMinor() != shownMinor {
			return ErrPrice
		}
		if !change.Changes() {
			return nil
		}
		var before, after []string
		for _, o := range change.Offers {
			event := EventOptionAdded
			if o.Chosen {
				before = append(before, o.Name)
				event = EventOptionGone
			}
			if o.Wanted {
				after = append(after, o.Name)
			}
			if o.Chosen == o.Wanted {
				continue
			}
			if o.Wanted {
				err = insertOption(ctx, b.tx, product.ID, o.Option)
			} else {
				err = deleteOption(ctx, b.tx, product.ID, o.ID)
			}
			if err != nil {
				return fmt.Errorf("change option %s of %s: %w", o.Name, product, err)
			}
			if err := contracts.Note(ctx, b.tx, v, contractID, product.ID, event, map[string]string{"Name": o.Name}); err != nil {
				return err
			}
		}
		if err := b.billRest(ctx, item, product, change.Lines, change.From, change.Until); err != nil {
			return err
		}
		return contracts.Record(ctx, b.tx, v, item, "contract.options", map[string]any{
			"options": audit.Change{Before: strings.Join(before, ", "), After: strings.Join(after, ", ")}, "net": change.NetMinor(),
		})
	})
}
