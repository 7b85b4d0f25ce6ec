// Package billing is money: invoices with gapless numbers, payments, credit and refunds on one account statement, and what happens to
// a contract for money's sake: renewal, suspension when overdue, cancelling, upgrading. Amounts are whole minor units (cents) of the
// store's currency. How days, shares and taxes are counted stands in period.go, amount.go and tax.go; the rules begin at service.go.
package billing

import (
	"fmt"
	"time"

	"portico/app"
)

// The kinds of documents.
const (
	KindInvoice    = "invoice"
	KindCreditNote = "credit-note" // gives back what an invoice charged; its amounts are negative
)

// The statuses of a document. Labels stand in the catalogue under "billing.status-STATUS".
const (
	Draft    = "draft"    // without a number, and nobody's debt yet
	Unpaid   = "unpaid"   // issued
	Paid     = "paid"     // covered by payments or credit; a credit note is so from the start
	Void     = "void"     // issued by mistake, and never paid: keeps its number, is nobody's debt
	Credited = "credited" // covered by credit notes of its own
)

// Statuses lists every status, in the order of lists.
var Statuses = []string{Draft, Unpaid, Paid, Void, Credited}

// Party is who an invoice names as its buyer or seller, as they were when it was issued.
type Party struct {
	Name      string `json:"name"`
	Address   string `json:"address"` // lines
	Country   string `json:"country"`
	VATNumber string `json:"vat_number"`
	Email     string `json:"email"`
	Details   string `json:"details"` // of the seller: how to pay
}

// Invoice is an invoice or a credit note. Days are the store's.
type Invoice struct {
	ID            string
	Kind          string
	Number        *int64 // nil while it is a draft
	Prefix        string
	AccountID     string
	AccountName   string
	ContractID    *string
	ContractName  string
	Status        string
	CreditsID     *string // of a credit note: the invoice that it gives back
	Reference     string  // the client's own mark
	IssuedOn      *Day
	DueOn         *Day
	Currency      string
	NetMinor      int64
	TaxRate       int64 // hundredths of a percent
	ReverseCharge bool
	TaxMinor      int64
	TotalMinor    int64
	SettledMinor  int64 // what payments and credit cover
	Buyer         Party
	Seller        Party
	Note          string
	PaidAt        *time.Time
	CreatedAt     time.Time

	Lines []Line `db:"-"`
}

// Line is one line of an invoice, without tax.
type Line struct {
	InvoiceID   string
	Position    int
	Text        string
	ProductID   *string
	PeriodStart *Day
	PeriodEnd   *Day // the first day after
	NetMinor    int64
}

// Name is what people call the document by: its number with the store's prefix, "" for a draft.
func (i Invoice) Name() string {
	if i.Number == nil {
		return ""
	}
	return fmt.Sprintf("%s%04d", i.Prefix, *i.Number)
}

func (i Invoice) String() string {
	if i.Number == nil {
		return "draft " + i.ID
	}
	return i.Kind + " " + i.Name()
}

// OpenMinor is what is still to be paid.
func (i Invoice) OpenMinor() int64 {
	if i.Status != Unpaid {
		return 0
	}
	return i.TotalMinor - i.SettledMinor
}

// Overdue tells whether an unpaid invoice was due before today.
func (i Invoice) Overdue(today Day) bool {
	return i.Status == Unpaid && i.DueOn != nil && i.DueOn.Before(today)
}

// Payment is money that came in, or as a refund went out: then its amount is negative.
type Payment struct {
	ID             string
	AccountID      string
	Method         string // one of Methods, or "gateway"
	AmountMinor    int64
	Currency       string
	ReceivedOn     Day
	Reference      string
	RecordedByName string
	CreatedAt      time.Time
	FreeMinor      int64 // of a payment: what has covered nothing yet
}

// Methods lists the ways of paying that staff record.
var Methods = []string{"bank-transfer", "cash", "other"}

// MethodGateway is what a gateway's payments are recorded as.
const MethodGateway = "gateway"

// Entry is one line of an account's statement. AmountMinor is what the account owes more, or, negative, less; BalanceMinor what it
// owes after the entry, negative for credit.
type Entry struct {
	ID           int64
	Day          Day
	Kind         string // invoice, credit-note, void, payment or refund
	AmountMinor  int64
	BalanceMinor int64
	InvoiceID    *string
	Number       *int64
	Prefix       string
	Method       string
	Reference    string
}

// Name is the document's, "" for payments.
func (e Entry) Name() string { return Invoice{Number: e.Number, Prefix: e.Prefix}.Name() }

// Balance is where an account stands.
type Balance struct {
	OwedMinor   int64 // on unpaid invoices
	CreditMinor int64 // of payments and credit notes that cover nothing yet
}

// ErrNotDraft is app.ErrConflict: only a draft can be changed, issued or thrown away.
var ErrNotDraft = fmt.Errorf("the invoice was issued already: %w", app.ErrConflict)

// ErrSettled is app.ErrConflict: what was paid, in part or whole, can only be credited.
var ErrSettled = fmt.Errorf("the invoice was paid in part or whole: %w", app.ErrConflict)

// ErrNotUnpaid is app.ErrConflict: the invoice is not open.
var ErrNotUnpaid = fmt.Errorf("the invoice is not open: %w", app.ErrConflict)
