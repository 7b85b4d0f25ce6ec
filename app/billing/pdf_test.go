package billing

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"portico/app/locale"
	"portico/views"
)

// TestPDF: every sort of document becomes a PDF, also one with more lines than a page has.
func TestPDF(t *testing.T) {
	t.Parallel()
	catalogue, err := locale.Load(views.Files)
	if err != nil {
		t.Fatal(err)
	}
	number := int64(42)
	issued, due := day("2026-11-29"), day("2026-12-13")
	start, end := day("2026-11-29"), day("2027-11-29")
	long := Invoice{
		ID: "x", Kind: KindInvoice, Number: &number, Prefix: "NW-", Status: Unpaid, IssuedOn: &issued, DueOn: &due, Currency: "EUR", Reference: "PO 7",
		NetMinor: 123456, TaxRate: 2550, TaxMinor: 31481, TotalMinor: 154937, CreatedAt: issued, Note: "Thank you.",
		Buyer:  Party{Name: "Bageriet Blåmesen Łódź Ελλάδα Киев", Address: "Storgatan 1\n111 22 Stockholm", Country: "SE", VATNumber: "SE556677889901"},
		Seller: Party{Name: "Northwind Hosting", Address: "Harbour Street 12", Details: "Bank transfer to DE00 1234"},
	}
	for range 70 {
		long.Lines = append(long.Lines, Line{Text: strings.Repeat("Web hosting, Business ", 6), PeriodStart: &start, PeriodEnd: &end, NetMinor: 1764})
	}
	draft := Invoice{Kind: KindInvoice, Status: Draft, Currency: "JPY", CreatedAt: issued, Lines: []Line{{Text: "Work", NetMinor: 1000}}}
	note := Invoice{Kind: KindCreditNote, Number: &number, Status: Paid, Currency: "EUR", ReverseCharge: true, NetMinor: -100, TotalMinor: -100, IssuedOn: &issued}
	for name, i := range map[string]Invoice{"long": long, "draft": draft, "note": note} {
		var out, again bytes.Buffer
		for _, to := range []*bytes.Buffer{&out, &again} {
			if err := PDF(to, catalogue.Printer("en", "America/Los_Angeles", time.Now()), i); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.HasPrefix(out.Bytes(), []byte("%PDF-1.")) || !bytes.Contains(out.Bytes(), []byte("%%EOF")) {
			t.Errorf("%s is no PDF", name)
		}
		if !bytes.Equal(out.Bytes(), again.Bytes()) {
			t.Errorf("%s differs each time it is written", name)
		}
		if folder := os.Getenv("PORTICO_SHOTS"); folder != "" {
			if err := os.WriteFile(folder+"/invoice-"+name+".pdf", out.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}
