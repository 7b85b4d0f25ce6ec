package billing

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"portico/app"
	"portico/app/access"
	"portico/app/audit"
)

// manage asks whether the viewer may change an account's money for the store, and works on its books.
func (s *Service) manage(ctx context.Context, v app.Viewer, accountID string, work func(b *books) error) error {
	if err := access.Check(v, "invoices", "edit"); err != nil {
		return err
	}
	if _, err := s.Account(ctx, v, accountID, "manage"); err != nil {
		return err
	}
	return s.within(ctx, v, accountID, work)
}

// manageInvoice is manage for one document, which it locks.
func (s *Service) manageInvoice(ctx context.Context, v app.Viewer, id string, work func(b *books, i Invoice) error) error {
	if err := access.Check(v, "invoices", "edit"); err != nil {
		return err
	}
	found, err := s.invoice(ctx, id)
	if err != nil {
		return err
	}
	return s.manage(ctx, v, found.AccountID, func(b *books) error {
		i, err := lockInvoice(ctx, b.tx, id)
		if err != nil {
			return fmt.Errorf("lock invoice %s: %w", id, err)
		}
		return work(b, i)
	})
}

// Received is money as staff record it.
type Received struct {
	Key       string // the form's token: recorded twice it is one payment
	Method    string // one of Methods
	Amount    string // as it was typed
	On        string // the day it came, 2006-01-02
	Reference string // of the bank, the receipt
	InvoiceID string // "" lets the oldest debt go first
}

// read checks what was typed. digits are those of the currency after the point.
func (r Received) read(invalid *app.Invalid, digits int, today Day) Payment {
	p := Payment{Method: r.Method, Reference: note(invalid, "reference", r.Reference, 200)}
	if !slices.Contains(Methods, r.Method) {
		invalid.Add("method", "billing.method-missing")
	}
	if p.AmountMinor = amount(invalid, "amount", r.Amount, digits); p.AmountMinor == 0 && len(invalid.Fields) == 0 {
		invalid.Add("amount", "billing.amount-unreadable")
	}
	day, err := time.Parse(time.DateOnly, strings.TrimSpace(r.On))
	if err != nil || day.After(today) || day.Before(today.AddDate(-5, 0, 0)) {
		invalid.Add("on", "billing.day-unreadable")
	}
	p.ReceivedOn = day
	if !isID(r.Key) {
		invalid.Add("", "form.unreadable")
	}
	return p
}

// moneyDeed is Record or Refund.
type moneyDeed func(ctx context.Context, v app.Viewer, accountID string, r Received) error

// Record records money that came in: it covers the invoice named, then what is due first; the rest is the account's credit. Contracts
// that were suspended for the debt come back by a job. Returns app.ErrNotFound, app.ErrForbidden, *app.Invalid.
func (s *Service) Record(ctx context.Context, v app.Viewer, accountID string, r Received) error {
	return s.manage(ctx, v, accountID, func(b *books) error {
		var invalid app.Invalid
		p := r.read(&invalid, b.digits(), b.today)
		if r.InvoiceID != "" {
			i, err := s.invoice(ctx, r.InvoiceID)
			if err != nil {
				return err
			}
			if i.AccountID != accountID {
				return fmt.Errorf("pay %s for another account: %w", i, app.ErrNotFound)
			}
		}
		if err := invalid.Err(); err != nil {
			return err
		}
		return b.take(ctx, "form:"+r.Key, p, r.InvoiceID)
	})
}

// take receives a payment and has what it pays for go on.
func (b *books) take(ctx context.Context, key string, p Payment, invoiceID string) error {
	id, paid, added, err := b.receive(ctx, key, p, invoiceID)
	if err != nil || !added {
		return err
	}
	for _, i := range paid {
		if i.ContractID == nil {
			continue
		}
		if err := notePaid(ctx, b, i); err != nil {
			return err
		}
		if err := b.s.renewSoon(ctx, b.tx, *i.ContractID); err != nil {
			return err
		}
	}
	if len(paid) == 0 {
		return nil
	}
	paid[0].TotalMinor = p.AmountMinor
	return b.tell(ctx, "payment-received", paid[0], id)
}

// Refund records credit that was paid back. Returns what Record does, *app.Invalid on "amount" for more than there is.
func (s *Service) Refund(ctx context.Context, v app.Viewer, accountID string, r Received) error {
	return s.manage(ctx, v, accountID, func(b *books) error {
		var invalid app.Invalid
		p := r.read(&invalid, b.digits(), b.today)
		if err := invalid.Err(); err != nil {
			return err
		}
		_, err := b.refund(ctx, "form:"+r.Key, p)
		return err
	})
}

// Void ends an invoice that was issued by mistake. Returns app.ErrNotFound, app.ErrForbidden, ErrNotUnpaid, ErrSettled.
func (s *Service) Void(ctx context.Context, v app.Viewer, id string) error {
	return s.manageInvoice(ctx, v, id, func(b *books, i Invoice) error { return b.void(ctx, i) })
}

// Credit gives back all of an invoice by a credit note, and returns that one's id. Returns app.ErrNotFound, app.ErrForbidden,
// ErrNotUnpaid, *app.Invalid on "note".
func (s *Service) Credit(ctx context.Context, v app.Viewer, id, why string) (noteID string, err error) {
	err = s.manageInvoice(ctx, v, id, func(b *books, i Invoice) error {
		var invalid app.Invalid
		why := note(&invalid, "note", why, 500)
		if err := invalid.Err(); err != nil {
			return err
		}
		back, err := b.credit(ctx, i, why)
		if err != nil {
			return err
		}
		noteID = back.ID
		if err := b.tell(ctx, "invoice-issued", back, ""); err != nil {
			return err
		}
		_, err = b.settle(ctx, "")
		return err
	})
	return noteID, err
}

// Typed is an invoice as staff type it.
type Typed struct {
	Texts     []string
	Amounts   []string // of each text, without tax
	Reference string
	Note      string
}

func (t Typed) read(invalid *app.Invalid, digits int) Invoice {
	i := Invoice{Kind: KindInvoice, Reference: note(invalid, "reference", t.Reference, 60), Note: note(invalid, "note", t.Note, 500)}
	for n, text := range t.Texts {
		value := ""
		if n < len(t.Amounts) {
			value = t.Amounts[n]
		}
		text = strings.TrimSpace(text)
		if text == "" && strings.TrimSpace(value) == "" {
			continue
		}
		line := Line{Text: note(invalid, "lines", text, 300), NetMinor: amount(invalid, "lines", value, digits)}
		if text == "" {
			invalid.Add("lines", "billing.line-missing")
		}
		i.Lines = append(i.Lines, line)
	}
	if len(i.Lines) == 0 && len(invalid.Fields) == 0 {
		invalid.Add("lines", "billing.line-missing")
	}
	return i
}

// Draft writes an invoice that is nobody's debt until it is issued, and returns its id. Returns app.ErrNotFound, app.ErrForbidden,
// *app.Invalid on "lines", "reference" and "note".
func (s *Service) Draft(ctx context.Context, v app.Viewer, accountID string, t Typed) (id string, err error) {
	err = s.manage(ctx, v, accountID, func(b *books) error {
		var invalid app.Invalid
		i := t.read(&invalid, b.digits())
		if err := invalid.Err(); err != nil {
			return err
		}
		if id, err = b.draft(ctx, i); err != nil {
			return err
		}
		return b.record(ctx, "invoice.draft", Invoice{ID: id}, nil)
	})
	return id, err
}

// Issue gives a draft the next number and makes it the account's debt. Returns app.ErrNotFound, app.ErrForbidden, ErrNotDraft.
func (s *Service) Issue(ctx context.Context, v app.Viewer, id string) error {
	return s.manageInvoice(ctx, v, id, func(b *books, _ Invoice) error {
		i, err := b.issue(ctx, id)
		if err != nil {
			return err
		}
		if err := b.tell(ctx, "invoice-issued", i, ""); err != nil {
			return err
		}
		_, err = b.settle(ctx, "")
		return err
	})
}

// Discard throws a draft away. Returns app.ErrNotFound, app.ErrForbidden, ErrNotDraft.
func (s *Service) Discard(ctx context.Context, v app.Viewer, id string) error {
	return s.manageInvoice(ctx, v, id, func(b *books, i Invoice) error {
		if i.Status != Draft {
			return ErrNotDraft
		}
		if err := deleteInvoice(ctx, b.tx, id); err != nil {
			return fmt.Errorf("throw %s away: %w", i, err)
		}
		return b.record(ctx, "invoice.discard", i, nil)
	})
}

// Details is where an account's invoices go, and how it pays.
type Details struct {
	Name, Address, Country, VatNumber, Email string
	Method                                   string // one of Methods, "" for no wish
	PaymentDays                              string // of the store's people only: from issuing to due, "" for the store's
}

// SaveDetails stores an account's billing address and terms. Who is not of the store can't change the days of payment. Returns
// app.ErrNotFound, app.ErrForbidden, *app.Invalid.
func (s *Service) SaveDetails(ctx context.Context, v app.Viewer, accountID string, d Details) error {
	a, err := s.Account(ctx, v, accountID, "edit")
	if err != nil {
		return err
	}
	return s.within(ctx, v, accountID, func(b *books) error {
		var invalid app.Invalid
		d.Name, d.Address = note(&invalid, "name", d.Name, 120), note(&invalid, "address", d.Address, 500)
		d.VatNumber = strings.ToUpper(strings.ReplaceAll(note(&invalid, "vat_number", d.VatNumber, 30), " ", ""))
		d.Country = strings.ToUpper(strings.TrimSpace(d.Country))
		if d.Country != "" && !isCountry(d.Country) {
			invalid.Add("country", "billing.country-unknown")
		}
		if d.Email = strings.TrimSpace(d.Email); d.Email != "" && !looksLikeAddress(d.Email) {
			invalid.Add("email", "billing.email-unreadable")
		}
		if d.Method != "" && !slices.Contains(Methods, d.Method) {
			invalid.Add("method", "billing.method-missing")
		}
		days := b.account.PaymentDays
		if a.Allows("manage") {
			days = nil
			if text := strings.TrimSpace(d.PaymentDays); text != "" {
				n, ok := number(text, 120)
				if !ok {
					invalid.Add("payment_days", "billing.days-unreadable", "Max", 120)
				}
				days = &n
			}
		}
		if err := invalid.Err(); err != nil {
			return err
		}
		changes := audit.Changes{}
		changes.Add("name", a.BillingName, d.Name)
		changes.Add("address", a.BillingAddress, d.Address)
		changes.Add("country", a.Country, d.Country)
		changes.Add("vat_number", a.VatNumber, d.VatNumber)
		changes.Add("email", a.BillingEmail, d.Email)
		changes.Add("method", a.PaymentMethod, d.Method)
		changes.Add("payment_days", a.PaymentDays, days)
		if len(changes) == 0 {
			return nil
		}
		if err := setDetails(ctx, b.tx, accountID, d, days); err != nil {
			return fmt.Errorf("save the billing details of %s: %w", a.Name, err)
		}
		return audit.Record(ctx, b.tx, v, audit.Entry{
			Action: "account.billing", ObjectType: "account", ObjectID: accountID, ObjectName: a.Name, AccountID: accountID, Details: changes,
		})
	})
}

// GatewayPayment is what a gateway says of one payment.
type GatewayPayment struct {
	ID          string // the gateway's own, never given twice
	InvoiceID   string // what was paid
	AmountMinor int64
	Currency    string
	On          time.Time
}

// Gateway takes payments for the store and tells of them by requests to the portal. Nothing of such a request is believed before Read
// has checked that it is the gateway's.
type Gateway interface {
	Name() string // the end of its address, and stored with payments
	// Read returns what a request tells, or an error for one that is not the gateway's, is too old or was changed.
	Read(header func(name string) string, body []byte, now time.Time) (GatewayPayment, error)
}

// Use adds a gateway. Call it before the portal serves.
func (s *Service) Use(g Gateway) { s.gateways = append(s.gateways, g) }

// FromGateway records what a gateway tells. The same payment told again changes nothing. Returns app.ErrForbidden for a request that is
// not the gateway's, and for a gateway that is not there, app.ErrNotFound for an unknown invoice, *app.Invalid for another currency.
func (s *Service) FromGateway(ctx context.Context, name string, header func(string) string, body []byte) error {
	n := slices.IndexFunc(s.gateways, func(g Gateway) bool { return g.Name() == name })
	if n < 0 {
		return fmt.Errorf("take a payment of gateway %s, which is not there: %w", name, app.ErrForbidden)
	}
	p, err := s.gateways[n].Read(header, body, s.now())
	if err != nil {
		return errors.Join(app.ErrForbidden, fmt.Errorf("read what gateway %s tells: %w", name, err))
	}
	i, err := s.invoice(ctx, p.InvoiceID)
	if err != nil {
		return err
	}
	if p.Currency != i.Currency || p.AmountMinor <= 0 || p.AmountMinor > maxAmount || p.ID == "" {
		return app.Invalidf("amount", "billing.amount-unreadable")
	}
	return s.within(ctx, audit.System, i.AccountID, func(b *books) error {
		return b.take(ctx, "gateway:"+name+":"+p.ID, Payment{
			Method: MethodGateway, AmountMinor: p.AmountMinor, Currency: p.Currency, ReceivedOn: DayOf(p.On, time.UTC), Reference: name + " " + p.ID,
		}, i.ID)
	})
}
