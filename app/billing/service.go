package billing

import (
	"context"
	"errors"
	"fmt"
	netmail "net/mail"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"portico/app"
	"portico/app/audit"
	"portico/app/contracts"
	"portico/app/db"
	"portico/app/live"
	"portico/app/mail"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"golang.org/x/text/currency"
	"golang.org/x/text/language"
)

// Service keeps invoices and payments. Safe for concurrent use.
type Service struct {
	pool      *pgxpool.Pool
	mail      *mail.Service
	contracts *contracts.Service
	inserter  *river.Client[pgx.Tx]
	hooks     []PlanHook
	gateways  []Gateway
	now       func() time.Time
}

// PlanHook acts on a change of a bought product's plan in its transaction: the product is as it was before. An error undoes it.
type PlanHook func(ctx context.Context, tx pgx.Tx, v app.Viewer, p contracts.Product, to contracts.Plan) error

// NewService returns a Service, and has contracts tell it of changes of status.
func NewService(pool *pgxpool.Pool, mails *mail.Service, contractService *contracts.Service, inserter *river.Client[pgx.Tx]) *Service {
	s := &Service{pool: pool, mail: mails, contracts: contractService, inserter: inserter, now: time.Now}
	for _, kind := range mailKinds {
		mails.Ask(kind, s.askMail)
	}
	contractService.OnStatus(s.hook)
	return s
}

// OnPlan adds a hook. Call it before the portal serves.
func (s *Service) OnPlan(hook PlanHook) { s.hooks = append(s.hooks, hook) }

// books is one transaction's view of an account's money: the store's terms, the account, locked, and today. Every change of what an
// account owes goes through it, so that two changes of one account never cross.
type books struct {
	s       *Service
	tx      pgx.Tx
	v       app.Viewer // audit.System for what happens by itself
	terms   terms
	account account
	today   Day
}

// open locks an account's books for a transaction. Returns app.ErrNotFound for an unknown account.
func (s *Service) open(ctx context.Context, tx pgx.Tx, v app.Viewer, accountID string) (*books, error) {
	t, err := loadTerms(ctx, tx)
	if err != nil {
		return nil, fmt.Errorf("load the store's terms: %w", err)
	}
	zone, err := time.LoadLocation(t.TimeZone)
	if err != nil {
		return nil, fmt.Errorf("the store's time zone: %w", err)
	}
	a, err := lockAccount(ctx, tx, accountID)
	if err != nil {
		return nil, fmt.Errorf("lock the books of account %s: %w", accountID, err)
	}
	return &books{s: s, tx: tx, v: v, terms: t, account: a, today: DayOf(s.now(), zone)}, nil
}

// draft makes an invoice that nobody owes yet.
func (b *books) draft(ctx context.Context, i Invoice) (string, error) {
	i.AccountID, i.Currency = b.account.ID, b.terms.Currency
	for _, line := range i.Lines {
		i.NetMinor += line.NetMinor
	}
	id, err := insertInvoice(ctx, b.tx, i)
	if err != nil {
		return "", fmt.Errorf("draft an %s: %w", i.Kind, err)
	}
	if err := insertLines(ctx, b.tx, id, i.Lines); err != nil {
		return "", fmt.Errorf("write the lines of a draft: %w", err)
	}
	return id, nil
}

// issue gives a draft the next number, its tax and parties as they are now, and puts it on the statement; what the account has in
// credit covers it at once. Returns ErrNotDraft.
func (b *books) issue(ctx context.Context, id string) (Invoice, error) {
	i, err := lockInvoice(ctx, b.tx, id)
	if err != nil {
		return Invoice{}, fmt.Errorf("lock invoice %s: %w", id, err)
	}
	if i.Status != Draft || i.AccountID != b.account.ID {
		return Invoice{}, ErrNotDraft
	}
	tax, err := b.tax(ctx)
	if err != nil {
		return Invoice{}, err
	}
	if i.CreditsID != nil { // gives back at the rate that was charged
		credited, err := invoiceByID(ctx, b.tx, *i.CreditsID)
		if err != nil {
			return Invoice{}, fmt.Errorf("read the invoice that is credited: %w", err)
		}
		tax = Tax{Rate: credited.TaxRate, Reverse: credited.ReverseCharge}
	}
	i.TaxRate, i.ReverseCharge = tax.Rate, tax.Reverse
	i.TaxMinor = tax.On(i.NetMinor)
	return b.finish(ctx, i)
}

// tax is what the account pays.
func (b *books) tax(ctx context.Context) (Tax, error) {
	rates, err := taxRates(ctx, b.tx)
	if err != nil {
		return Tax{}, fmt.Errorf("read the tax rates: %w", err)
	}
	rules := TaxRules{Country: b.terms.TaxCountry, ReverseCharge: b.terms.ReverseCharge, Rates: map[string]int64{}}
	for _, rate := range rates {
		rules.Rates[rate.Country] = rate.Rate
	}
	return rules.For(b.account.Country, b.account.VatNumber), nil
}

// finish is what issuing does once net and tax are known.
func (b *books) finish(ctx context.Context, i Invoice) (Invoice, error) {
	i.TotalMinor = i.NetMinor + i.TaxMinor
	i.Prefix = b.terms.InvoicePrefix
	paymentDays := b.terms.PaymentDays
	if b.account.PaymentDays != nil {
		paymentDays = *b.account.PaymentDays
	}
	due := b.today.AddDate(0, 0, paymentDays)
	i.IssuedOn, i.DueOn = &b.today, &due
	i.Status = Unpaid
	if i.Kind == KindCreditNote || i.TotalMinor == 0 {
		i.Status, i.DueOn = Paid, nil
	}
	i.Buyer = Party{
		Name: b.account.BillingName, Address: b.account.BillingAddress, Country: b.account.Country, VATNumber: b.account.VatNumber, Email: b.account.BillingEmail,
	}
	if i.Buyer.Name == "" {
		i.Buyer.Name = b.account.Name
	}
	i.Seller = Party{Name: b.terms.Name, Address: b.terms.BillingDetails, Country: b.terms.TaxCountry, Email: b.terms.SenderAddress, Details: b.terms.PaymentDetails}
	number, err := nextNumber(ctx, b.tx)
	if err != nil {
		return Invoice{}, fmt.Errorf("take the next invoice number: %w", err)
	}
	i.Number = &number
	if err := setIssued(ctx, b.tx, i); err != nil {
		return Invoice{}, fmt.Errorf("issue %s: %w", i, err)
	}
	if err := addEntry(ctx, b.tx, b.today, b.account.ID, i.Kind, i.TotalMinor, &i.ID, nil); err != nil {
		return Invoice{}, fmt.Errorf("put %s on the statement: %w", i, err)
	}
	if err := b.record(ctx, i.Kind+".issue", i, map[string]any{"total": i.TotalMinor, "currency": i.Currency}); err != nil {
		return Invoice{}, err
	}
	return i, nil
}

// record adds the audit's row for a document.
func (b *books) record(ctx context.Context, action string, i Invoice, details map[string]any) error {
	if details == nil {
		details = map[string]any{}
	}
	details["account"] = b.account.Name
	return audit.Record(ctx, b.tx, b.v, audit.Entry{Action: action, ObjectType: "invoice", ObjectID: i.ID, ObjectName: i.Name(), Details: details})
}

// settle covers open invoices with what the account has in credit: the first one given before the others, then the one due first.
// Returns those that are paid now.
func (b *books) settle(ctx context.Context, first string) (paid []Invoice, err error) {
	free, err := sources(ctx, b.tx, b.account.ID)
	if err != nil {
		return nil, fmt.Errorf("find the credit of %s: %w", b.account.Name, err)
	}
	invoices, err := unpaid(ctx, b.tx, b.account.ID)
	if err != nil {
		return nil, fmt.Errorf("find what %s owes: %w", b.account.Name, err)
	}
	for n, i := range invoices {
		if i.ID == first {
			copy(invoices[1:n+1], invoices[:n])
			invoices[0] = i
			break
		}
	}
	for _, i := range invoices {
		settled := i.SettledMinor
		for n := range free {
			amount := min(free[n].FreeMinor, i.TotalMinor-settled)
			if amount <= 0 {
				continue
			}
			if err := insertSettlement(ctx, b.tx, free[n], &i.ID, nil, amount); err != nil {
				return nil, fmt.Errorf("cover %s: %w", i, err)
			}
			free[n].FreeMinor -= amount
			settled += amount
		}
		if settled == i.SettledMinor {
			continue
		}
		done := settled == i.TotalMinor
		if err := setSettled(ctx, b.tx, i.ID, settled, done); err != nil {
			return nil, fmt.Errorf("note what covers %s: %w", i, err)
		}
		if done {
			i.SettledMinor, i.Status = settled, Paid
			if err := b.record(ctx, "invoice.paid", i, nil); err != nil {
				return nil, err
			}
			paid = append(paid, i)
		}
	}
	return paid, nil
}

// receive records money that came in. added is false, and nothing changes, if a payment with this key is there already.
func (b *books) receive(ctx context.Context, key string, p Payment, invoiceID string) (id string, paid []Invoice, added bool, err error) {
	p.AccountID, p.RecordedByName = b.account.ID, b.v.Name
	if p.Currency == "" {
		p.Currency = b.terms.Currency
	}
	id, added, err = insertPayment(ctx, b.tx, key, p, b.v.UserID)
	if err != nil || !added {
		return id, nil, added, wrap(err, "record a payment of %s", b.account.Name)
	}
	if err := addEntry(ctx, b.tx, b.today, b.account.ID, "payment", -p.AmountMinor, nil, &id); err != nil {
		return id, nil, true, fmt.Errorf("put a payment on the statement: %w", err)
	}
	err = audit.Record(ctx, b.tx, b.v, audit.Entry{
		Action: "payment.record", ObjectType: "payment", ObjectID: id, ObjectName: b.account.Name,
		Details: map[string]any{"amount": p.AmountMinor, "currency": p.Currency, "method": p.Method, "reference": p.Reference},
	})
	if err != nil {
		return id, nil, true, err
	}
	paid, err = b.settle(ctx, invoiceID)
	return id, paid, true, err
}

// refund pays credit back to the client. Returns *app.Invalid on "amount" for more than there is.
func (b *books) refund(ctx context.Context, key string, p Payment) (id string, err error) {
	free, err := sources(ctx, b.tx, b.account.ID)
	if err != nil {
		return "", fmt.Errorf("find the credit of %s: %w", b.account.Name, err)
	}
	var credit int64
	for _, from := range free {
		credit += from.FreeMinor
	}
	amount := p.AmountMinor
	p.AccountID, p.Currency, p.RecordedByName, p.AmountMinor = b.account.ID, b.terms.Currency, b.v.Name, -amount
	id, added, err := insertPayment(ctx, b.tx, key, p, b.v.UserID)
	if err != nil || !added {
		return id, wrap(err, "record a refund to %s", b.account.Name)
	}
	if amount > credit {
		return "", app.Invalidf("amount", "billing.refund-beyond")
	}
	for _, from := range free {
		part := min(from.FreeMinor, amount)
		if part == 0 {
			break
		}
		if err := insertSettlement(ctx, b.tx, from, nil, &id, part); err != nil {
			return "", fmt.Errorf("take a refund from the credit of %s: %w", b.account.Name, err)
		}
		amount -= part
	}
	if err := addEntry(ctx, b.tx, b.today, b.account.ID, "refund", -p.AmountMinor, nil, &id); err != nil {
		return "", fmt.Errorf("put a refund on the statement: %w", err)
	}
	return id, audit.Record(ctx, b.tx, b.v, audit.Entry{
		Action: "payment.refund", ObjectType: "payment", ObjectID: id, ObjectName: b.account.Name,
		Details: map[string]any{"amount": -p.AmountMinor, "currency": p.Currency, "method": p.Method, "reference": p.Reference},
	})
}

// void ends an invoice that was issued by mistake. Returns ErrNotUnpaid, or ErrSettled where something was paid.
func (b *books) void(ctx context.Context, i Invoice) error {
	if i.Status != Unpaid {
		return ErrNotUnpaid
	}
	if i.SettledMinor != 0 {
		return ErrSettled
	}
	if err := setStatus(ctx, b.tx, i.ID, Void); err != nil {
		return fmt.Errorf("void %s: %w", i, err)
	}
	if err := addEntry(ctx, b.tx, b.today, b.account.ID, "void", -i.TotalMinor, &i.ID, nil); err != nil {
		return fmt.Errorf("take %s off the statement: %w", i, err)
	}
	return b.record(ctx, "invoice.void", i, nil)
}

// credit gives back all of an invoice that is not given back yet: what was paid for it becomes the account's credit. Returns
// ErrNotUnpaid for one that is neither unpaid nor paid.
func (b *books) credit(ctx context.Context, i Invoice, note string) (Invoice, error) {
	if i.Kind != KindInvoice || i.Status != Unpaid && i.Status != Paid {
		return Invoice{}, ErrNotUnpaid
	}
	lines, err := linesOf(ctx, b.tx, i.ID)
	if err != nil {
		return Invoice{}, fmt.Errorf("read the lines of %s: %w", i, err)
	}
	creditedNet, creditedTotal, err := creditedOf(ctx, b.tx, i.ID)
	if err != nil {
		return Invoice{}, fmt.Errorf("read what of %s is credited: %w", i, err)
	}
	back := Invoice{Kind: KindCreditNote, ContractID: i.ContractID, CreditsID: &i.ID, Reference: i.Reference, Note: note}
	if creditedTotal == 0 {
		for _, line := range lines {
			line.NetMinor = -line.NetMinor
			back.Lines = append(back.Lines, line)
		}
	} else {
		back.Lines = []Line{{Text: i.Name(), NetMinor: creditedNet - i.NetMinor}}
	}
	id, err := b.draft(ctx, back)
	if err != nil {
		return Invoice{}, err
	}
	if back, err = lockInvoice(ctx, b.tx, id); err != nil {
		return Invoice{}, fmt.Errorf("read a credit note: %w", err)
	}
	// Not the tax of the rest, which rounding could set off by one, but the rest of the tax.
	back.TaxRate, back.ReverseCharge, back.TaxMinor = i.TaxRate, i.ReverseCharge, -(i.TaxMinor - (creditedTotal - creditedNet))
	if back, err = b.finish(ctx, back); err != nil {
		return Invoice{}, err
	}
	if err := b.releaseTo(ctx, i, back); err != nil {
		return Invoice{}, err
	}
	return back, b.record(ctx, "invoice.credit", i, map[string]any{"by": back.Name()})
}

// releaseTo covers an invoice with its credit note and frees as much of what paid it. What partial credit notes covered stays, as they
// cover their own invoice before others.
func (b *books) releaseTo(ctx context.Context, i, note Invoice) error {
	back := -note.TotalMinor
	if beyond := i.SettledMinor + back - i.TotalMinor; beyond > 0 {
		if err := release(ctx, b.tx, i.ID, beyond); err != nil {
			return fmt.Errorf("free what paid %s: %w", i, err)
		}
	}
	if back != 0 {
		if err := insertSettlement(ctx, b.tx, source{CreditID: &note.ID}, &i.ID, nil, back); err != nil {
			return fmt.Errorf("cover %s by its credit note: %w", i, err)
		}
	}
	if err := setSettled(ctx, b.tx, i.ID, min(i.SettledMinor+back, i.TotalMinor), false); err != nil {
		return fmt.Errorf("note what covers %s: %w", i, err)
	}
	if err := setStatus(ctx, b.tx, i.ID, Credited); err != nil {
		return fmt.Errorf("note that %s is credited: %w", i, err)
	}
	return nil
}

// notify tells open pages of the account's money.
func (b *books) notify(ctx context.Context) error {
	return live.Notify(ctx, b.tx, TopicOfAccount(b.account.ID), TopicAll)
}

// TopicAll is the topic of the store's lists of invoices, TopicOfAccount that of one account's.
const TopicAll = "invoices"

// TopicOfAccount is the topic of one account's invoices and payments.
func TopicOfAccount(id string) string { return "account-billing:" + id }

func wrap(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf(format+": %w", append(args, err)...)
}

// digits is how many digits the store's currency has after the point.
func (b *books) digits() int { return digitsOf(b.terms.Currency) }

// digitsOf is how many digits a currency has after the point.
func digitsOf(code string) int {
	unit, err := currency.ParseISO(code)
	if err != nil {
		return 2
	}
	digits, _ := currency.Standard.Rounding(unit)
	return digits
}

// isCountry tells whether two letters are a country's.
func isCountry(code string) bool {
	region, err := language.ParseRegion(code)
	return err == nil && len(code) == 2 && region.IsCountry()
}

// looksLikeAddress tells whether something may be an e-mail address. Nothing is sent to it unless somebody's account has it.
func looksLikeAddress(text string) bool {
	parsed, err := netmail.ParseAddress(text)
	return err == nil && parsed.Address == text && len(text) <= 254
}

// number reads a whole number from 0 to most.
func number(text string, most int) (int, bool) {
	n, err := strconv.Atoi(strings.TrimSpace(text))
	return n, err == nil && n >= 0 && n <= most
}

// maxAmount keeps sums of invoices far from the end of 64 bits.
const maxAmount = 1_000_000_000_00

// amount reads what somebody typed as money, "12", "12.5" or "12,50", in minor units of a currency with so many digits after the point.
func amount(invalid *app.Invalid, field, text string, digits int) int64 {
	text = strings.ReplaceAll(strings.TrimSpace(text), ",", ".")
	whole, part, _ := strings.Cut(text, ".")
	value := int64(0)
	ok := whole != "" && len(whole) <= 10 && len(part) <= digits
	for _, digit := range whole + part + strings.Repeat("0", max(digits-len(part), 0)) {
		if digit < '0' || digit > '9' {
			ok = false
		}
		value = value*10 + int64(digit-'0')
	}
	if !ok || value > maxAmount {
		invalid.Add(field, "billing.amount-unreadable")
		return 0
	}
	return value
}

func note(invalid *app.Invalid, field, text string, limit int) string {
	text = strings.TrimSpace(text)
	if utf8.RuneCountInString(text) > limit {
		invalid.Add(field, "billing.text-long", "Max", limit)
	}
	return text
}

func isID(id string) bool {
	parsed, err := uuid.Parse(id)
	return err == nil && parsed.String() == id
}

// within runs work on an account's books in one transaction and tells open pages.
func (s *Service) within(ctx context.Context, v app.Viewer, accountID string, work func(b *books) error) error {
	return db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		b, err := s.open(ctx, tx, v, accountID)
		if err != nil {
			return err
		}
		if err := work(b); err != nil {
			return err
		}
		return b.notify(ctx)
	})
}

// invoice finds a document and its account; the account is locked before the document, always.
func (s *Service) invoice(ctx context.Context, id string) (Invoice, error) {
	if !isID(id) {
		return Invoice{}, app.ErrNotFound
	}
	i, err := invoiceByID(ctx, s.pool, id)
	if errors.Is(err, app.ErrNotFound) {
		return Invoice{}, app.ErrNotFound
	}
	return i, wrap(err, "read invoice %s", id)
}
