package billing

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"portico/app"
	"portico/app/access"
	"portico/app/audit"
	"portico/app/db"

	"github.com/jackc/pgx/v5"
)

// Settings are the store's rules of billing as a form has them.
type Settings struct {
	Details           string `form:"details"`         // the store's name, address and VAT number as invoices print them
	PaymentDetails    string `form:"payment_details"` // how to pay
	InvoicePrefix     string `form:"prefix"`
	TaxCountry        string `form:"tax_country"`
	Rates             string `form:"rates"` // a line for each country: "SE 25"
	ReverseCharge     bool   `form:"reverse_charge"`
	PaymentDays       string `form:"payment_days"`
	InvoiceDaysBefore string `form:"invoice_days"`
	ReminderDays      string `form:"reminder_days"`
	GraceDays         string `form:"grace_days"`
}

// Settings returns the rules. Returns app.ErrForbidden to who is no admin.
func (s *Service) Settings(ctx context.Context, v app.Viewer) (Settings, error) {
	if err := access.Check(v, "settings", "view"); err != nil {
		return Settings{}, err
	}
	return settings(ctx, s.pool)
}

func settings(ctx context.Context, conn db.Conn) (Settings, error) {
	t, err := loadTerms(ctx, conn)
	if err != nil {
		return Settings{}, fmt.Errorf("load the store's terms: %w", err)
	}
	rates, err := taxRates(ctx, conn)
	if err != nil {
		return Settings{}, fmt.Errorf("read the tax rates: %w", err)
	}
	lines := make([]string, len(rates))
	for i, rate := range rates {
		lines[i] = rate.Country + " " + percent(rate.Rate)
	}
	return Settings{
		Details: t.BillingDetails, PaymentDetails: t.PaymentDetails, InvoicePrefix: t.InvoicePrefix, TaxCountry: t.TaxCountry, Rates: strings.Join(lines, "\n"),
		ReverseCharge: t.ReverseCharge, PaymentDays: strconv.Itoa(t.PaymentDays), InvoiceDaysBefore: strconv.Itoa(t.InvoiceDaysBefore),
		ReminderDays: strconv.Itoa(t.ReminderDays), GraceDays: strconv.Itoa(t.GraceDays),
	}, nil
}

// percent writes hundredths of a percent as they are typed: "25", "25.5".
func percent(hundredths int64) string {
	return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%d.%02d", hundredths/100, hundredths%100), "0"), ".")
}

// SaveSettings stores the rules. What was issued keeps the rules it was issued by. Returns app.ErrForbidden, *app.Invalid.
func (s *Service) SaveSettings(ctx context.Context, v app.Viewer, next Settings) error {
	if err := access.Check(v, "settings", "edit"); err != nil {
		return err
	}
	var invalid app.Invalid
	next.Details = note(&invalid, "details", next.Details, 1000)
	next.PaymentDetails = note(&invalid, "payment_details", next.PaymentDetails, 1000)
	next.InvoicePrefix = note(&invalid, "prefix", next.InvoicePrefix, 12)
	next.TaxCountry = strings.ToUpper(strings.TrimSpace(next.TaxCountry))
	rates, ok := readRates(next.Rates)
	if !ok {
		invalid.Add("rates", "billing.rates-unreadable")
	}
	if next.TaxCountry != "" {
		if !isCountry(next.TaxCountry) {
			invalid.Add("tax_country", "billing.country-unknown")
		} else if ok && !slices.ContainsFunc(rates, func(r rateRow) bool { return r.Country == next.TaxCountry }) {
			invalid.Add("rates", "billing.rates-home", "Country", next.TaxCountry)
		}
	}
	days := func(field, text string, most int) int {
		n, ok := number(text, most)
		if !ok {
			invalid.Add(field, "billing.days-unreadable", "Max", most)
		}
		return n
	}
	t := terms{
		BillingDetails: next.Details, PaymentDetails: next.PaymentDetails, InvoicePrefix: next.InvoicePrefix, TaxCountry: next.TaxCountry, ReverseCharge: next.ReverseCharge,
		PaymentDays: days("payment_days", next.PaymentDays, 120), InvoiceDaysBefore: days("invoice_days", next.InvoiceDaysBefore, 60),
		ReminderDays: days("reminder_days", next.ReminderDays, 60), GraceDays: days("grace_days", next.GraceDays, 120),
	}
	if err := invalid.Err(); err != nil {
		return err
	}
	return db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		before, err := settings(ctx, tx)
		if err != nil {
			return err
		}
		if err := setTerms(ctx, tx, t, rates); err != nil {
			return fmt.Errorf("save the store's terms: %w", err)
		}
		after, err := settings(ctx, tx)
		if err != nil {
			return err
		}
		changes := audit.Changes{}
		changes.Add("billing", before, after)
		if len(changes) == 0 {
			return nil
		}
		return audit.Record(ctx, tx, v, audit.Entry{Action: "store.billing", ObjectType: "store", Details: changes})
	})
}

// readRates reads lines of a country and its rate in percent, "SE 25" or "FI 25.5 %".
func readRates(text string) (rates []rateRow, ok bool) {
	for _, line := range strings.Split(text, "\n") {
		fields := strings.Fields(strings.NewReplacer("%", "", ",", ".", ":", " ").Replace(line))
		if len(fields) == 0 {
			continue
		}
		var invalid app.Invalid
		if len(fields) != 2 {
			return nil, false
		}
		rate := rateRow{Country: strings.ToUpper(fields[0]), Rate: amount(&invalid, "", fields[1], 2)}
		if len(invalid.Fields) > 0 || rate.Rate > 10_000 || !isCountry(rate.Country) || slices.ContainsFunc(rates, func(r rateRow) bool { return r.Country == rate.Country }) {
			return nil, false
		}
		rates = append(rates, rate)
	}
	return rates, true
}
