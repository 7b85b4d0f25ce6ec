package billing

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"portico/app"
	"portico/app/db"
	"portico/app/mail"
)

// mailKinds lists the mails about money. They go to the account's owner and to its users who may do the billing. Guide: client,
// "Billing".
var mailKinds = []string{"invoice-issued", "invoice-overdue", "renewal-reminder", "payment-received"}

// tell queues a mail for everybody of the account who is to know. mark, beside the invoice, makes the mail's key: one is sent once.
// Rights are asked again at sending.
func (b *books) tell(ctx context.Context, kind string, i Invoice, mark string) error {
	people, err := payers(ctx, b.tx, b.account.ID)
	if err != nil {
		return fmt.Errorf("find who is told of money: %w", err)
	}
	page, about := "/invoices/"+i.ID, i.ID
	if i.ID == "" {
		about = *i.ContractID
		page = "/contracts/" + about + "/billing"
	}
	data := map[string]string{
		"Page": page, "Account": b.account.ID, "Invoice": i.ID, "Number": i.Name(), "Minor": strconv.FormatInt(i.TotalMinor, 10), "Currency": b.terms.Currency,
	}
	if i.ContractName != "" {
		data["Contract"] = i.ContractName
	}
	if i.DueOn != nil {
		data["Day"] = i.DueOn.Format("2006-01-02")
	}
	for _, person := range people {
		if person.ID == b.v.UserID {
			continue
		}
		err := b.s.mail.Queue(ctx, b.tx, mail.Message{
			Kind: kind, Key: kind + ":" + about + ":" + mark + ":" + person.ID, UserID: person.ID, Recipient: person.Email, Name: person.Name,
			Language: person.Language, Zone: person.TimeZone, Data: data,
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// askMail tells at sending whether somebody may still get a mail about an account's money; one about an invoice that is paid by then is
// not wanted.
func (s *Service) askMail(ctx context.Context, conn db.Conn, m mail.Asked) (reason, quote string, err error) {
	is, err := isPayer(ctx, conn, m.UserID, m.Data["Account"])
	if err != nil {
		return "", "", fmt.Errorf("ask who may do an account's billing: %w", err)
	}
	if !is {
		return "no-access", "", nil
	}
	if m.Kind != "invoice-overdue" {
		return "", "", nil
	}
	i, err := invoiceByID(ctx, conn, m.Data["Invoice"])
	if err == nil && i.Status != Unpaid {
		return "not-wanted", "", nil
	}
	if errors.Is(err, app.ErrNotFound) {
		return "no-access", "", nil
	}
	return "", "", wrap(err, "read an invoice")
}
