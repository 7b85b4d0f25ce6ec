package billing

import (
	"fmt"
	"io"
	"strings"

	"portico/app/locale"

	"github.com/go-pdf/fpdf"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goregular"
)

// Measures of the page, in millimetres.
const (
	margin     = 18.0
	pageWidth  = 210.0
	textWidth  = pageWidth - 2*margin
	amountWide = 34.0
	lineHigh   = 5.2
)

// PDF writes a document as people print and file it, A4, in the language of p. The fonts are part of the file, so that every name of
// the Latin, Greek and Cyrillic scripts can be read. A draft says that it is one.
func PDF(out io.Writer, p *locale.Printer, i Invoice) error {
	f := fpdf.New("P", "mm", "A4", "")
	f.AddUTF8FontFromBytes("go", "", goregular.TTF)
	f.AddUTF8FontFromBytes("go", "B", gobold.TTF)
	f.SetMargins(margin, margin, margin)
	f.SetAutoPageBreak(true, 24)
	f.SetCellMargin(0)
	made := i.CreatedAt
	if i.IssuedOn != nil {
		made = *i.IssuedOn
	}
	f.SetCreationDate(made)
	f.SetModificationDate(made)
	f.SetCatalogSort(true)
	title := heading(p, i)
	f.SetTitle(title, true)
	f.AliasNbPages("{pages}")
	f.SetFooterFunc(func() {
		f.SetY(-16)
		f.SetFont("go", "", 8)
		f.SetTextColor(90, 90, 90)
		f.CellFormat(textWidth/2, 4, title, "", 0, "L", false, 0, "")
		f.CellFormat(textWidth/2, 4, fmt.Sprintf("%d / {pages}", f.PageNo()), "", 0, "R", false, 0, "")
		f.SetTextColor(0, 0, 0)
	})
	f.AddPage()

	half := textWidth / 2
	top := f.GetY()
	f.SetFont("go", "B", 13)
	f.MultiCell(half-6, 6, i.Seller.Name, "", "L", false)
	f.SetFont("go", "", 9)
	f.MultiCell(half-6, 4.4, i.Seller.Address, "", "L", false)
	below := f.GetY()
	f.SetXY(margin+half, top)
	f.SetFont("go", "B", 16)
	f.MultiCell(half, 8, title, "", "R", false)
	f.SetFont("go", "", 9)
	for _, fact := range facts(p, i) {
		f.SetX(margin + half)
		f.CellFormat(half-40, lineHigh, fact[0], "", 0, "R", false, 0, "")
		f.CellFormat(40, lineHigh, fact[1], "", 1, "R", false, 0, "")
	}
	f.SetY(max(below, f.GetY()) + 8)
	f.SetFont("go", "B", 10)
	f.MultiCell(half, lineHigh, i.Buyer.Name, "", "L", false)
	f.SetFont("go", "", 9)
	f.MultiCell(half, 4.4, strings.TrimSpace(strings.Join(filled(i.Buyer.Address, i.Buyer.Country), "\n")), "", "L", false)
	if i.Buyer.VATNumber != "" {
		f.MultiCell(half, 4.4, p.T("billing.vat-number")+" "+i.Buyer.VATNumber, "", "L", false)
	}
	f.Ln(8)

	f.SetFont("go", "B", 9)
	f.CellFormat(textWidth-amountWide, 7, p.T("billing.line"), "B", 0, "L", false, 0, "")
	f.CellFormat(amountWide, 7, p.T("billing.amount"), "B", 1, "R", false, 0, "")
	f.SetFont("go", "", 9)
	for _, line := range i.Lines {
		text := line.Text
		if line.PeriodStart != nil && line.PeriodEnd != nil {
			text += "\n" + period(p, *line.PeriodStart, *line.PeriodEnd)
		}
		rows := len(f.SplitText(text, textWidth-amountWide-4))
		if f.GetY()+float64(rows)*lineHigh > 297-24 {
			f.AddPage()
		}
		y := f.GetY() + 1.5
		f.SetXY(margin, y)
		f.MultiCell(textWidth-amountWide-4, lineHigh, text, "", "L", false)
		end := f.GetY()
		f.SetXY(margin+textWidth-amountWide, y)
		f.CellFormat(amountWide, lineHigh, p.Money(line.NetMinor, i.Currency), "", 0, "R", false, 0, "")
		f.SetXY(margin, end+1)
	}
	f.Line(margin, f.GetY()+1, margin+textWidth, f.GetY()+1)
	f.Ln(3)
	for n, sum := range totals(p, i) {
		style := ""
		if n == 2 {
			style = "B"
		}
		f.SetFont("go", style, 9.5)
		f.CellFormat(textWidth-amountWide, 6, sum[0], "", 0, "R", false, 0, "")
		f.CellFormat(amountWide, 6, sum[1], "", 1, "R", false, 0, "")
	}
	f.Ln(6)
	f.SetFont("go", "", 9)
	for _, text := range filled(reverse(p, i), i.Note, payable(i)) {
		f.MultiCell(textWidth, 4.6, text, "", "L", false)
		f.Ln(2)
	}
	if err := f.Output(out); err != nil {
		return fmt.Errorf("write %s as PDF: %w", i, err)
	}
	return nil
}

// heading is what the document is: "Invoice 0042".
func heading(p *locale.Printer, i Invoice) string {
	if i.Status == Draft {
		return p.T("billing.draft-heading")
	}
	return p.T("billing.heading-"+i.Kind, "Number", i.Name())
}

// facts are the lines beside the heading: label and value.
func facts(p *locale.Printer, i Invoice) (all [][2]string) {
	if i.IssuedOn != nil {
		all = append(all, [2]string{p.T("billing.issued-on"), p.CalendarDay(*i.IssuedOn)})
	}
	if i.DueOn != nil {
		all = append(all, [2]string{p.T("billing.due-on"), p.CalendarDay(*i.DueOn)})
	}
	if i.Reference != "" {
		all = append(all, [2]string{p.T("billing.reference"), i.Reference})
	}
	return all
}

// totals are net, tax and total: label and amount.
func totals(p *locale.Printer, i Invoice) [][2]string {
	return [][2]string{
		{p.T("billing.net"), p.Money(i.NetMinor, i.Currency)},
		{p.T("billing.tax-at", "Rate", rate(p, i.TaxRate)), p.Money(i.TaxMinor, i.Currency)},
		{p.T("billing.total"), p.Money(i.TotalMinor, i.Currency)},
	}
}

// rate writes hundredths of a percent: "25", "25.5".
func rate(p *locale.Printer, hundredths int64) string {
	text := fmt.Sprintf("%d", hundredths/100)
	if part := hundredths % 100; part != 0 {
		text += p.T("format.decimal") + strings.TrimRight(fmt.Sprintf("%02d", part), "0")
	}
	return text
}

// reverse is what an invoice under reverse charge has to say, "" on others.
func reverse(p *locale.Printer, i Invoice) string {
	if !i.ReverseCharge {
		return ""
	}
	return p.T("billing.reverse-charge")
}

// payable is how to pay, "" where there is nothing to pay.
func payable(i Invoice) string {
	if i.Kind == KindCreditNote || i.TotalMinor == 0 || i.Status == Draft {
		return ""
	}
	return i.Seller.Details
}

// period writes "1 November 2026 to 30 November 2026": the last day of a period is the one before its end.
func period(p *locale.Printer, start, end Day) string {
	return p.T("billing.period", "From", p.CalendarDay(start), "To", p.CalendarDay(end.AddDate(0, 0, -1)))
}

// filled drops what is empty.
func filled(texts ...string) (all []string) {
	for _, text := range texts {
		if strings.TrimSpace(text) != "" {
			all = append(all, text)
		}
	}
	return all
}
