// Package mail sends the portal's e-mails. Whatever causes a mail queues it in its own transaction ([Service.Queue]): a
// delivery row and a River job that carries the row's id. The job's worker (jobs/mail.go) calls [Service.Deliver], which asks
// once more whether the mail may go out, renders it and hands it to the mail server. The row keeps every attempt and what the
// server said. Start reading at service.go; kinds.go lists every mail there is.
package mail

// Message asks for one e-mail to one recipient.
type Message struct {
	Kind      string            // one of kinds.go, e.g. "confirm-address"; also names its texts in the catalogue ("mail.KIND…")
	Key       string            // one mail per event and recipient: a second Queue with the same key does nothing
	UserID    string            // whose rights are asked at sending; "" for an address without a user
	Recipient string            // address
	Name      string            // of the recipient
	Language  string            // catalogue language
	Zone      string            // IANA time zone of the recipient, "" for the store's
	TokenID   string            // row in tokens whose link the mail carries, "" for none; the link is made at sending
	Data      map[string]string // ids and plain facts for the template; never a secret
}
