package billing

import (
	"context"
	"fmt"

	"portico/app"
	"portico/app/access"
	"portico/app/contracts"
	"portico/policies"
)

// Account is whose money it is, as its viewer sees it.
type Account struct {
	ID             string
	Name           string
	BillingName    string
	BillingAddress string
	Country        string
	VatNumber      string
	BillingEmail   string
	PaymentMethod  string
	PaymentDays    *int // nil: the store's

	Relation    string // owner, user, staff or admin
	Permissions []string
}

// Allows asks the policy for the object "account_billing".
func (a Account) Allows(action string) bool {
	relations := []string{a.Relation}
	for _, permission := range a.Permissions {
		relations = append(relations, "can:"+permission)
	}
	return policies.Allows(relations, "account_billing", action)
}

// Accounts lists those whose billing the viewer may do, as owner or user; none for people of the store.
func (s *Service) Accounts(ctx context.Context, v app.Viewer) ([]Account, error) {
	if err := access.Check(v, "billing", "view"); err != nil {
		return nil, err
	}
	all, err := accountsOf(ctx, s.pool, v.UserID)
	if err != nil {
		return nil, fmt.Errorf("list accounts: %w", err)
	}
	var mine []Account
	for _, a := range all {
		if a.Allows("view") {
			mine = append(mine, a)
		}
	}
	return mine, nil
}

// Account returns an account for something that the policy allows with its money. Returns app.ErrNotFound to who has nothing to do with
// the account, app.ErrForbidden to its users and staff who may not do this.
func (s *Service) Account(ctx context.Context, v app.Viewer, id, action string) (Account, error) {
	if !v.SignedIn() {
		return Account{}, app.ErrSignedOut
	}
	if !isID(id) {
		return Account{}, app.ErrNotFound
	}
	a, err := accountByID(ctx, s.pool, v.UserID, id)
	if err != nil {
		return Account{}, fmt.Errorf("read account %s: %w", id, err)
	}
	if !a.Allows(action) {
		return Account{}, app.ErrForbidden
	}
	return a, nil
}

// Invoice returns a document with its lines and its account. Drafts are the store's own. Returns app.ErrNotFound to a stranger,
// app.ErrForbidden to who may not see the account's money.
func (s *Service) Invoice(ctx context.Context, v app.Viewer, id string) (Invoice, Account, error) {
	i, err := s.invoice(ctx, id)
	if err != nil {
		return Invoice{}, Account{}, err
	}
	a, err := s.Account(ctx, v, i.AccountID, "view")
	if err != nil {
		return Invoice{}, Account{}, err
	}
	if i.Status == Draft && !a.Allows("manage") {
		return Invoice{}, Account{}, app.ErrNotFound
	}
	if i.Lines, err = linesOf(ctx, s.pool, id); err != nil {
		return Invoice{}, Account{}, fmt.Errorf("read the lines of %s: %w", i, err)
	}
	return i, a, nil
}

// pageSize is how many invoices, or lines of a statement, a page has.
const pageSize = 25

// Filter says which invoices are wanted. The zero Filter wants all that the viewer may see.
type Filter struct {
	AccountID  string
	ContractID string
	ProductID  string
	Status     string // one of Statuses, Overdue, or "" for any
	Text       string // a part of the client's name, or a number
	drafts     bool
}

// Overdue as a status is what is unpaid and was due before today.
const Overdue = "overdue"

// OfAccount returns a page of an account's invoices, newest first, and the key of the next page: nil on the last one.
func (s *Service) OfAccount(ctx context.Context, a Account, f Filter, after app.Key) (page []Invoice, next *app.Key, err error) {
	f.AccountID, f.drafts = a.ID, a.Allows("manage")
	return s.page(ctx, f, after)
}

// All returns a page of the store's invoices. Returns app.ErrForbidden to who may not see clients' money.
func (s *Service) All(ctx context.Context, v app.Viewer, f Filter, after app.Key) (page []Invoice, next *app.Key, err error) {
	if err := access.Check(v, "invoices", "view"); err != nil {
		return nil, nil, err
	}
	f.drafts = access.Check(v, "invoices", "edit") == nil
	return s.page(ctx, f, after)
}

func (s *Service) page(ctx context.Context, f Filter, after app.Key) (page []Invoice, next *app.Key, err error) {
	if page, err = listInvoices(ctx, s.pool, f, after, pageSize+1); err != nil {
		return nil, nil, fmt.Errorf("list invoices: %w", err)
	}
	if len(page) > pageSize {
		page = page[:pageSize]
		last := page[pageSize-1]
		next = &app.Key{At: last.CreatedAt, ID: last.ID}
	}
	return page, next, nil
}

// Export writes every invoice that a filter finds, newest first, by calling row for each.
func (s *Service) Export(ctx context.Context, v app.Viewer, f Filter, row func(Invoice) error) error {
	var after app.Key
	for {
		page, next, err := s.All(ctx, v, f, after)
		if err != nil {
			return err
		}
		for _, i := range page {
			if err := row(i); err != nil {
				return err
			}
		}
		if next == nil {
			return nil
		}
		after = *next
	}
}

// Statement returns a page of an account's statement, newest first, and where the next page begins: 0 on the last one.
func (s *Service) Statement(ctx context.Context, a Account, before int64) (page []Entry, next int64, err error) {
	if page, err = statement(ctx, s.pool, a.ID, before, pageSize+1); err != nil {
		return nil, 0, fmt.Errorf("read the statement of %s: %w", a.Name, err)
	}
	if len(page) > pageSize {
		page = page[:pageSize]
		next = page[pageSize-1].ID
	}
	return page, next, nil
}

// Balance returns where an account stands.
func (s *Service) Balance(ctx context.Context, a Account) (Balance, error) {
	balance, err := balanceOf(ctx, s.pool, a.ID)
	return balance, wrap(err, "sum up %s", a.Name)
}

// Next is what a contract's next renewal brings.
type Next struct {
	Day      Day
	NetMinor int64
	GoesOn   bool // false: the contract ends instead
	BillOn   Day  // when its invoice is issued
}

// Billing is what a contract's owner sees of its money.
type Billing struct {
	Item      contracts.Item
	Account   Account
	Currency  string
	Reference string
	ForDebt   bool                // suspended until what is overdue is paid
	Next      *Next               // nil of a contract that does not run, and of a one-off purchase
	Options   map[string][]Option // that are chosen, by bought product
	Invoices  []Invoice
}

// Of returns the money of a contract or a one-off purchase. Returns app.ErrForbidden to who sees the item but not its billing.
func (s *Service) Of(ctx context.Context, item contracts.Item) (Billing, error) {
	if !item.Allows("billing") {
		return Billing{}, app.ErrForbidden
	}
	t, err := loadTerms(ctx, s.pool)
	if err != nil {
		return Billing{}, fmt.Errorf("load the store's terms: %w", err)
	}
	b := Billing{Item: item, Currency: t.Currency}
	f := Filter{AccountID: item.AccountID(), ProductID: item.Product.ID}
	if c := item.Contract; c != nil {
		f.ContractID, f.ProductID = c.ID, ""
		if b.Reference, err = referenceOf(ctx, s.pool, c.ID); err != nil {
			return Billing{}, fmt.Errorf("read the reference of %s: %w", c, err)
		}
		if b.ForDebt, err = suspendedForDebt(ctx, s.pool, c.ID); err != nil {
			return Billing{}, fmt.Errorf("ask why %s is suspended: %w", c, err)
		}
		if b.Options, err = chosenOptions(ctx, s.pool, c.ID); err != nil {
			return Billing{}, fmt.Errorf("read the options of %s: %w", c, err)
		}
		if c.Running() && c.RenewsOn != nil && c.TermEndsOn != nil {
			b.Next = &Next{
				Day: *c.RenewsOn, BillOn: c.RenewsOn.AddDate(0, 0, -t.InvoiceDaysBefore),
				GoesOn: (c.CancelsOn == nil || c.RenewsOn.Before(*c.CancelsOn)) && (c.AutoRenew || c.RenewsOn.Before(*c.TermEndsOn)),
			}
			for _, product := range item.Products {
				if contracts.Final(product.Status) {
					continue
				}
				b.Next.NetMinor += product.PriceMinor
				for _, o := range b.Options[product.ID] {
					b.Next.NetMinor += o.PriceMinor * int64(c.CycleMonths)
				}
			}
		}
	}
	b.Invoices, _, err = s.page(ctx, f, app.Key{})
	return b, err
}

// Reference is what a contract's invoices are marked with.
func (s *Service) Reference(ctx context.Context, item contracts.Item) (string, error) {
	reference, err := referenceOf(ctx, s.pool, item.Contract.ID)
	return reference, wrap(err, "read the reference of %s", item.Contract)
}

// Mismatches sums the ledger against invoices and payments over all accounts. None is how it has to be.
func (s *Service) Mismatches(ctx context.Context) ([]Mismatch, error) {
	all, err := mismatches(ctx, s.pool)
	return all, wrap(err, "sum the ledger")
}
