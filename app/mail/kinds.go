package mail

import (
	"maps"
	"slices"
)

// kind is one sort of mail. Its texts stand in views/messages/mail.en.toml under "mail.KIND": name (for people of the store),
// subject, heading, text (paragraphs, divided by empty lines), why (why one gets it), and where it has them button and second.
type kind struct {
	purpose string    // of the token whose link the button carries, "" for none
	page    string    // where the button of a mail without a token leads, "" for no button; fromData: Data has it, under Page
	second  string    // a page that the mail links to in small, "" for none
	to      addressee // whom the address must still belong to when the mail goes out
	data    []string  // what Message.Data must hold
}

const (
	fromData     = "Page"
	mailSettings = "/support/mails"
)

// addressee is the rule by which a recipient's address is checked at sending.
type addressee int

const (
	toUser    addressee = iota // the user's address as it is now
	toPending                  // the address the user is changing to
	toWhoever                  // no matter whose it is now: the mail says that it was theirs
)

// kinds lists every mail that the portal sends.
//
// Data: Email is the new address; Change is the audit's action, Name the passkey's if it is one; Cause is one of app/watchdog,
// Name the queue's if it is about one, Count and Of its numbers; of an alert Name is its own, Count the runs in Minutes; IP and Browser may be given to any mail that somebody asked
// for, and say from where. Of mails about tickets Ticket is the id, Subject, Number and Name (who did it) stood so then, Message is
// the post's id, Status the new one, Until when it closes (RFC 3339), and Page the path of the button. Of mails about contracts About is the id of a bought product,
// Contract and Product stood so then, and State is the new status. Of mails about delegates Delegate is the id of the row, Subject what
// they are let into (Thing, ID) and Owner whose it is, Name who invited, accepted or revoked, or whose access Ends (RFC 3339). Of mails about provisioning Run is the id,
// Product, Account, Action and Configuration are names, Reason what came of it, and Answer what somebody was
// told who had asked. Of an
// invitation to an account Account is its name and Name who invites.
var kinds = map[string]kind{
	"confirm-address":       {purpose: "confirm"},
	"reset-password":        {purpose: "reset"},
	"staff-invite":          {purpose: "invite"},
	"email-change-old":      {purpose: "email_old", data: []string{"Email"}},
	"email-change-new":      {purpose: "email_new", to: toPending, data: []string{"Email"}},
	"address-changed":       {to: toWhoever, data: []string{"Email"}},
	"account-exists":        {page: "/sign-in", second: "/forgot-password"},
	"password-changed":      {second: "/forgot-password"},
	"second-factor-changed": {second: "/forgot-password", data: []string{"Change"}},
	"watchdog":              {page: "/admin", data: []string{"Cause"}},
	"log-alert":             {page: fromData, data: []string{"Name", "Count", "Minutes", "Page"}},
	"ticket-opened":         {page: fromData, second: mailSettings, data: []string{"Ticket", "Subject", "Number", "Page", "Message"}},
	"reply-posted":          {page: fromData, second: mailSettings, data: []string{"Ticket", "Subject", "Number", "Page", "Message"}},
	"invoice-issued":        {page: fromData, data: []string{"Account", "Invoice", "Page", "Number", "Minor", "Currency"}},
	"invoice-overdue":       {page: fromData, data: []string{"Account", "Invoice", "Page", "Number", "Minor", "Currency", "Day"}},
	"renewal-reminder":      {page: fromData, data: []string{"Account", "Page", "Contract", "Day"}},
	"payment-received":      {page: fromData, data: []string{"Account", "Invoice", "Page", "Number", "Minor", "Currency"}},
	"account-invitation":    {purpose: "account", data: []string{"Account", "Name"}},
	"contract-status":       {page: fromData, data: []string{"About", "Page", "Contract", "Product", "State"}},
	"ticket-invitation":     {purpose: "delegate", data: []string{"Delegate", "Subject", "Name", "Owner"}},
	"contract-invitation":   {purpose: "delegate", data: []string{"Delegate", "Subject", "Name", "Owner"}},
	"invitation-accepted":   {page: fromData, data: []string{"Thing", "ID", "Subject", "Name", "Page"}},
	"access-revoked":        {data: []string{"Subject", "Name", "Owner"}},
	"access-ends":           {page: fromData, data: []string{"Thing", "ID", "Subject", "Name", "Page", "Ends"}},
	"actions-asked":         {page: fromData, data: []string{"Thing", "ID", "Subject", "Name", "Page"}},
	"actions-answered":      {page: fromData, data: []string{"Delegate", "Subject", "Name", "Answer", "Page"}},
	"provision-failed":      {page: fromData, data: []string{"Run", "Product", "Account", "Action", "Reason", "Page"}},
	"provision-approval":    {page: fromData, data: []string{"Run", "Product", "Action", "Name", "Page"}},
	"provision-answered":    {page: fromData, data: []string{"Run", "Product", "Action", "Name", "Answer", "Page"}},
	"provision-paused":      {page: fromData, data: []string{"Configuration", "Reason", "Page"}},
	"provision-notice":      {page: fromData, second: "/security", data: []string{"Run", "Product", "Action", "Name", "Page"}},
	"ticket-status":         {page: fromData, second: mailSettings, data: []string{"Ticket", "Subject", "Number", "Page", "Status"}},
	"ticket-silence":        {page: fromData, second: mailSettings, data: []string{"Ticket", "Subject", "Number", "Page", "Until"}},
}

// Kinds lists the names of all kinds, in the alphabet's order.
func Kinds() []string { return slices.Sorted(maps.Keys(kinds)) }

// linkPaths says which page takes a token of which purpose.
var linkPaths = map[string]string{
	"confirm":   "/confirm/",
	"reset":     "/reset-password/",
	"invite":    "/reset-password/",
	"email_old": "/email-change/",
	"email_new": "/email-change/",
	"delegate":  "/invitations/",
	"account":   "/people/invitations/",
}
