package server

import (
	"time"

	"portico/app/accounts"
	"portico/app/attachments"
	"portico/app/audit"
	"portico/app/auth"
	"portico/app/billing"
	"portico/app/clients"
	"portico/app/contracts"
	"portico/app/dashboard"
	"portico/app/delegates"
	"portico/app/dev"
	"portico/app/emails"
	"portico/app/guides"
	"portico/app/limits"
	"portico/app/provisioning"
	"portico/app/provisionlogs"
	"portico/app/queues"
	"portico/app/reach"
	"portico/app/store"
	"portico/app/support"
	"portico/app/team"
	"portico/app/tickets"

	"github.com/gofiber/fiber/v2"
)

// Handlers are everything that routes lead to. For listing routes without a running portal they may all be nil.
type Handlers struct {
	Auth              *auth.Handlers
	Accounts          *accounts.Handlers
	Dashboard         *dashboard.Handlers
	Store             *store.Handlers
	Team              *team.Handlers
	Audit             *audit.Handlers
	Emails            *emails.Handlers
	Logs              *provisionlogs.Handlers
	Queues            *queues.Handlers
	Billing           *billing.Handlers
	Clients           *clients.Handlers
	People            *clients.PeopleHandlers
	Contracts         *contracts.Handlers
	Runs              *provisioning.Handlers
	Tickets           *tickets.Handlers
	Support           *support.Handlers
	Attachments       *attachments.Handlers
	TicketDelegates   *delegates.Handlers
	ContractDelegates *delegates.Handlers
	ContractTickets   *tickets.ContractHandlers
	Invitations       *delegates.InvitationHandlers
	Reach             *reach.Handlers
	Guides            *guides.Handlers
	Dev               *dev.Handlers
	Mailbox           *dev.MailboxHandlers
}

// Kind says what a route answers with, for the checks that walk over all routes.
type Kind string

const (
	Page   Kind = "page"   // a page, whole or as parts
	Action Kind = "action" // changes something, then redirects or shows the form again
	Data   Kind = "data"   // JSON for a script of ours
	Call   Kind = "call"   // a message of another program
	File   Kind = "file"   // a stylesheet, a picture, a mail's body
	Stream Kind = "stream" // names of what changes, for an open page; asks the permission again and again
	Export Kind = "export" // a file as it is read, which may take long; asks the permission again and again
)

// Permissions that are not object.action lines of the policy.
const (
	// Public routes answer everybody.
	Public = "public"
	// Signed routes answer another program whose message is signed; their service checks that. No browser has such a key.
	Signed = "signature"
	// Waiting routes answer a session that has proved its password and waits for the second factor.
	Waiting = "second-factor"
)

// Route is one address of the portal. Permission is Public, Waiting, Signed or "object.action" of policies/policy.csv, which the
// server asks before the handler runs, and the handler's service asks again.
type Route struct {
	Method     string        `json:"method"`
	Path       string        `json:"path"`
	Permission string        `json:"permission"`
	Kind       Kind          `json:"kind"`
	Rate       *limits.Rate  `json:"-"` // per address and, for who is signed in, per user
	Enrols     bool          `json:"-"` // open to staff who have yet to set up the second factor
	Handler    fiber.Handler `json:"-"`
}

// How often one visitor may ask for what is costly or guessable. A limit on failures stands in the services.
var (
	signingIn = &limits.Rate{Times: 60, Window: 15 * time.Minute}
	proving   = &limits.Rate{Times: 30, Window: 15 * time.Minute}
	opening   = &limits.Rate{Times: 120, Window: 15 * time.Minute} // links from mails
	mailing   = &limits.Rate{Times: 30, Window: time.Hour}         // what sends a mail
	inviting  = &limits.Rate{Times: 60, Window: time.Hour}         // wrong addresses are counted by the service
	running   = &limits.Rate{Times: 240, Window: time.Hour}        // what calls a provider
	trying    = &limits.Rate{Times: 60, Window: time.Hour}
	uploading = &limits.Rate{Times: 60, Window: time.Hour}
	exporting = &limits.Rate{Times: 60, Window: time.Hour}
	calling   = &limits.Rate{Times: 600, Window: time.Minute} // another program
	attaching = &limits.Rate{Times: 600, Window: time.Hour}
)

// Routes lists every address of the portal but static files and health checks. The dev run has a few more.
func Routes(h Handlers, devRun bool) []Route {
	get, post := fiber.MethodGet, fiber.MethodPost
	routes := []Route{
		// Signing in
		{get, "/sign-in", Public, Page, nil, false, h.Auth.SignInForm},
		{post, "/sign-in", Public, Action, signingIn, false, h.Auth.SignIn},
		{post, "/sign-in/passkey/options", Public, Data, signingIn, false, h.Auth.AskPasskey},
		{post, "/sign-in/passkey", Public, Data, signingIn, false, h.Auth.SignInWithPasskey},
		{get, "/sign-in/second-factor", Waiting, Page, nil, false, h.Auth.SecondFactorForm},
		{post, "/sign-in/second-factor", Waiting, Action, signingIn, false, h.Auth.SecondFactor},
		{post, "/sign-in/second-factor/passkey/options", Waiting, Data, signingIn, false, h.Auth.AskSecondFactor},
		{post, "/sign-in/second-factor/passkey", Waiting, Data, signingIn, false, h.Auth.SecondFactorPasskey},
		{get, "/forgot-password", Public, Page, nil, false, h.Auth.ForgotPasswordForm},
		{post, "/forgot-password", Public, Action, mailing, false, h.Auth.ForgotPassword},
		{get, "/reset-password/:token", Public, Page, opening, false, h.Auth.ResetPasswordForm},
		{post, "/reset-password/:token", Public, Action, opening, false, h.Auth.ResetPassword},
		{get, "/create-account", Public, Page, nil, false, h.Accounts.RegisterForm},
		{post, "/create-account", Public, Action, mailing, false, h.Accounts.Register},
		{get, "/confirm/:token", Public, Page, opening, false, h.Accounts.ConfirmForm},
		{post, "/confirm/:token", Public, Action, opening, false, h.Accounts.Confirm},
		{get, "/email-change/:token", Public, Page, opening, false, h.Accounts.ChangeForm},
		{post, "/email-change/:token", Public, Action, opening, false, h.Accounts.Change},
		{post, "/sign-out", "security.edit", Action, nil, true, h.Auth.SignOut},

		// The store's look
		{get, "/store/logo/:version", Public, File, nil, false, h.Store.ShowLogo},
		{get, "/store/brand/:version", Public, File, nil, false, h.Store.ShowBrand},

		// The user guides
		{get, "/guides/:name", Public, Page, nil, true, h.Guides.Show},

		// Providers that call back
		{post, "/callbacks/payments/:gateway", Signed, Call, calling, false, h.Billing.TakePayment},
		{post, "/callbacks/provisioning/:configuration", Signed, Call, calling, false, h.Runs.Callback},

		// Everybody's own
		{get, "/", "dashboard.view", Page, nil, false, h.Dashboard.Home},
		{get, "/live", "dashboard.view", Stream, nil, false, h.Dashboard.Live},
		{get, "/profile", "profile.view", Page, nil, false, h.Accounts.Profile},
		{post, "/profile", "profile.edit", Action, nil, false, h.Accounts.SaveProfile},
		{get, "/profile/email", "profile.edit", Page, nil, false, h.Accounts.EmailForm},
		{post, "/profile/email", "profile.edit", Action, mailing, false, h.Accounts.ChangeEmail},
		{post, "/profile/email/cancel", "profile.edit", Action, nil, false, h.Accounts.CancelEmailChange},
		{post, "/confirmation", "profile.edit", Action, mailing, false, h.Accounts.SendConfirmation},
		{post, "/theme", "profile.edit", Action, nil, true, h.Accounts.SetTheme},
		{get, "/security", "security.view", Page, nil, true, h.Auth.Security},
		{post, "/security/password", "security.edit", Action, proving, true, h.Auth.ChangePassword},
		{get, "/security/proof", "security.edit", Page, nil, true, h.Auth.ProofForm},
		{post, "/security/proof", "security.edit", Action, proving, true, h.Auth.Proof},
		{get, "/security/authenticator", "security.edit", Page, nil, true, h.Auth.AuthenticatorForm},
		{post, "/security/authenticator", "security.edit", Action, proving, true, h.Auth.ConfirmAuthenticator},
		{post, "/security/authenticator/start", "security.edit", Action, proving, true, h.Auth.StartAuthenticator},
		{post, "/security/authenticator/remove", "security.edit", Action, proving, true, h.Auth.RemoveAuthenticator},
		{post, "/security/recovery-codes", "security.edit", Action, proving, true, h.Auth.NewRecoveryCodes},
		{post, "/security/passkeys/options", "security.edit", Data, proving, true, h.Auth.AskNewPasskey},
		{post, "/security/passkeys", "security.edit", Data, proving, true, h.Auth.AddPasskey},
		{post, "/security/passkeys/:id/remove", "security.edit", Action, proving, true, h.Auth.RemovePasskey},
		{post, "/security/sessions/end-others", "security.edit", Action, nil, true, h.Auth.EndOtherSessions},
		{post, "/security/sessions/:id/end", "security.edit", Action, nil, true, h.Auth.EndSession},

		// Support, for account holders
		{get, "/support", "tickets.view", Page, nil, false, h.Tickets.Index},
		{post, "/support", "tickets.open", Upload, attaching, false, h.Tickets.Create},
		{get, "/support/closed", "tickets.view", Page, nil, false, h.Tickets.IndexClosed},
		{get, "/support/live", "tickets.view", Stream, nil, false, h.Tickets.Live},
		{get, "/support/new", "tickets.open", Page, nil, false, h.Tickets.New},
		{post, "/support/drafts", "tickets.edit", Action, nil, false, h.Tickets.SaveDraft},
		{post, "/support/preview", "tickets.edit", Action, nil, false, h.Tickets.Preview},
		{get, "/support/mails", "profile.view", Page, nil, false, h.Tickets.EditMails},
		{post, "/support/mails", "profile.edit", Action, nil, false, h.Tickets.UpdateMails},
		{get, "/support/:id", "tickets.view", Page, nil, false, h.Tickets.Show},
		{get, "/support/:id/live", "tickets.view", Stream, nil, false, h.Tickets.LiveOne},
		{post, "/support/:id/messages", "tickets.edit", Upload, attaching, false, h.Tickets.CreateMessage},
		{get, "/support/:id/messages/:message/edit", "tickets.edit", Page, nil, false, h.Tickets.EditMessage},
		{post, "/support/:id/messages/:message", "tickets.edit", Action, nil, false, h.Tickets.UpdateMessage},
		{get, "/support/:id/subject", "tickets.edit", Page, nil, false, h.Tickets.EditSubject},
		{post, "/support/:id/subject", "tickets.edit", Action, nil, false, h.Tickets.UpdateSubject},
		{get, "/support/:id/export", "tickets.export", File, exporting, false, h.Tickets.Export},
		{get, "/support/:id/closure", "tickets.edit", Page, nil, false, h.Tickets.ConfirmClosure},
		{post, "/support/:id/closure", "tickets.edit", Action, nil, false, h.Tickets.CreateClosure},
		{get, "/support/:id/delegates", "tickets.view", Page, nil, false, h.TicketDelegates.Index},
		{post, "/support/:id/delegates", "tickets.edit", Action, inviting, false, h.TicketDelegates.Create},
		{get, "/support/:id/delegates/new", "tickets.edit", Page, nil, false, h.TicketDelegates.New},
		{get, "/support/:id/delegates/:delegate", "tickets.edit", Page, nil, false, h.TicketDelegates.Edit},
		{post, "/support/:id/delegates/:delegate", "tickets.edit", Action, nil, false, h.TicketDelegates.Update},
		{post, "/support/:id/delegates/:delegate/again", "tickets.edit", Action, inviting, false, h.TicketDelegates.Again},
		{post, "/support/:id/delegates/:delegate/extend", "tickets.edit", Action, nil, false, h.TicketDelegates.Extend},
		{post, "/support/:id/delegates/:delegate/revoke", "tickets.edit", Action, nil, false, h.TicketDelegates.Revoke},
		{post, "/support/:id/leave", "tickets.leave", Action, nil, false, h.TicketDelegates.Leave},

		// Invitations
		{get, "/invitations/:token", "invitations.view", Page, opening, false, h.Invitations.Show},
		{post, "/invitations/:token", "invitations.answer", Action, opening, false, h.Invitations.Accept},
		{post, "/invitations/:token/decline", "invitations.answer", Action, opening, false, h.Invitations.Decline},

		// The users of accounts
		{get, "/people", "people.view", Page, nil, false, h.People.Index},
		{get, "/people/invitations/:token", "people.edit", Page, opening, false, h.People.ShowInvitation},
		{post, "/people/invitations/:token/accept", "people.edit", Action, opening, false, h.People.AnswerInvitation},
		{post, "/people/invitations/:token/decline", "people.edit", Action, opening, false, h.People.AnswerInvitation},
		{get, "/people/:account/invite", "people.edit", Page, nil, false, h.People.InviteForm},
		{post, "/people/:account/invite", "people.edit", Action, mailing, false, h.People.Invite},
		{post, "/people/:account/invitations/:id/again", "people.edit", Action, mailing, false, h.People.AnswerWaiting},
		{post, "/people/:account/invitations/:id/withdraw", "people.edit", Action, nil, false, h.People.AnswerWaiting},
		{get, "/people/:account/users/:id", "people.edit", Page, nil, false, h.People.Edit},
		{post, "/people/:account/users/:id", "people.edit", Action, nil, false, h.People.Update},
		{post, "/people/:account/users/:id/remove", "people.edit", Action, nil, false, h.People.Remove},

		// Products & Services, for account holders
		{get, "/products", "products.view", Page, nil, false, h.Contracts.Index},
		{get, "/products/live", "products.view", Stream, nil, false, h.Contracts.Live},
		{get, "/products/purchases", "products.view", Page, nil, false, h.Contracts.IndexPurchases},
		{get, "/contracts/:id", "products.view", Page, nil, false, h.Contracts.Show},
		{get, "/contracts/:id/live", "products.view", Stream, nil, false, h.Contracts.LiveOne},
		{get, "/contracts/:id/billing", "billing.view", Page, nil, false, h.Billing.ShowItem},
		{post, "/contracts/:id/auto-renew", "own_contracts.auto_renew", Action, nil, false, h.Billing.SetAutoRenew},
		{get, "/contracts/:id/cancellation", "own_contracts.cancel", Page, nil, false, h.Billing.ConfirmCancel},
		{post, "/contracts/:id/cancellation", "own_contracts.cancel", Action, nil, false, h.Billing.Cancel},
		{post, "/contracts/:id/cancellation/back", "own_contracts.cancel", Action, nil, false, h.Billing.TakeBack},
		{get, "/contracts/:id/plan", "own_contracts.upgrade", Page, nil, false, h.Billing.Plans},
		{post, "/contracts/:id/plan", "own_contracts.upgrade", Action, nil, false, h.Billing.ChangePlan},
		{get, "/contracts/:id/label", "own_contracts.modify", Page, nil, false, h.Billing.EditLabel},
		{post, "/contracts/:id/label", "own_contracts.modify", Action, nil, false, h.Billing.UpdateLabel},
		{get, "/contracts/:id/options", "own_contracts.modify", Page, nil, false, h.Billing.EditOptions},
		{post, "/contracts/:id/options", "own_contracts.modify", Action, nil, false, h.Billing.UpdateOptions},
		{get, "/purchases/:id/billing", "billing.view", Page, nil, false, h.Billing.ShowItem},
		{get, "/invoices", "billing.view", Page, nil, false, h.Billing.Index},
		{get, "/invoices/details/:account", "billing.edit", Page, nil, false, h.Billing.EditDetails},
		{post, "/invoices/details/:account", "billing.edit", Action, nil, false, h.Billing.UpdateDetails},
		{get, "/invoices/:id", "billing.view", Page, nil, false, h.Billing.Show},
		{get, "/invoices/:id/pdf", "billing.view", File, nil, false, h.Billing.Download},
		{get, "/purchases/:id", "products.view", Page, nil, false, h.Contracts.Show},
		{get, "/purchases/:id/live", "products.view", Stream, nil, false, h.Contracts.LiveOne},
		{get, "/contracts/:id/delegates", "products.view", Page, nil, false, h.ContractDelegates.Index},
		{post, "/contracts/:id/delegates", "delegates.edit", Action, inviting, false, h.ContractDelegates.Create},
		{get, "/contracts/:id/delegates/new", "delegates.edit", Page, nil, false, h.ContractDelegates.New},
		{get, "/contracts/:id/delegates/:delegate", "delegates.edit", Page, nil, false, h.ContractDelegates.Edit},
		{post, "/contracts/:id/delegates/:delegate", "delegates.edit", Action, nil, false, h.ContractDelegates.Update},
		{post, "/contracts/:id/delegates/:delegate/again", "delegates.edit", Action, inviting, false, h.ContractDelegates.Again},
		{post, "/contracts/:id/delegates/:delegate/extend", "delegates.edit", Action, nil, false, h.ContractDelegates.Extend},
		{post, "/contracts/:id/delegates/:delegate/revoke", "delegates.edit", Action, nil, false, h.ContractDelegates.Revoke},
		{post, "/contracts/:id/delegates/:delegate/answer", "delegates.edit", Action, nil, false, h.ContractDelegates.Answer},
		{post, "/contracts/:id/ask", "delegates.ask", Action, mailing, false, h.ContractDelegates.Ask},
		{post, "/contracts/:id/leave", "delegates.leave", Action, nil, false, h.ContractDelegates.Leave},
		{get, "/contracts/:id/tickets", "products.view", Page, nil, false, h.ContractTickets.Index},
		{get, "/purchases/:id/tickets", "products.view", Page, nil, false, h.ContractTickets.Index},
		{post, "/purchases/:id/delegates", "products.view", Action, inviting, false, h.Contracts.RefuseDelegates},

		// Who can reach my things
		{get, "/reach", "reach.view", Page, nil, false, h.Reach.Index},
		{get, "/reach/:user", "reach.view", Page, nil, false, h.Reach.Show},
		{get, "/reach/:user/tickets/:ticket", "reach.view", Page, nil, false, h.Reach.ShowTicket},
		{post, "/reach/:user/remove", "reach.edit", Action, nil, false, h.Reach.Remove},
		{get, "/contracts/:id/manage", "runs.view", Page, nil, false, h.Runs.Manage},
		{get, "/purchases/:id/manage", "runs.view", Page, nil, false, h.Runs.Manage},
		{get, "/manage/:id/:action", "runs.request", Page, nil, false, h.Runs.ShowAction},
		{post, "/manage/:id/:action", "runs.request", Action, running, false, h.Runs.Request},
		{get, "/runs/:id", "runs.view", Page, nil, false, h.Runs.ShowRun},
		{get, "/runs/:id/live", "runs.view", Stream, nil, false, h.Runs.LiveRun},
		{post, "/runs/:id/result", "runs.request", Action, nil, false, h.Runs.TakeResult},
		{post, "/runs/:id/decision", "runs.decide", Action, running, false, h.Runs.Decide},
		{post, "/runs/:id/undo", "runs.undo", Action, running, false, h.Runs.Undo},

		{get, "/support/:ticket/files/:id", "tickets.view", File, nil, false, h.Attachments.Download},
		{get, "/admin/support/:ticket/files/:id", "tickets.view", File, nil, false, h.Attachments.Download},
		{get, "/files/:id", "tickets.view", File, nil, false, h.Attachments.ShowPicture},
		{post, "/uploads", "tickets.edit", Upload, attaching, false, h.Attachments.Create},
		{post, "/uploads/:id/remove", "tickets.edit", Action, nil, false, h.Attachments.Destroy},

		// The admin area
		{get, "/admin", "admin.view", Page, nil, false, h.Dashboard.Admin},
		{get, "/admin/support", "support.view", Page, nil, false, h.Support.Index},
		{get, "/admin/support/live", "support.view", Stream, nil, false, h.Support.Live},
		{get, "/admin/support/new", "tickets.open_for_client", Page, nil, false, h.Support.New},
		{post, "/admin/support/new", "tickets.open_for_client", Upload, attaching, false, h.Support.Create},
		{post, "/admin/support/bulk", "support.edit", Action, nil, false, h.Support.Bulk},
		{get, "/admin/support/replies", "replies.view", Page, nil, false, h.Support.IndexReplies},
		{post, "/admin/support/replies", "replies.edit", Action, nil, false, h.Support.CreateReply},
		{get, "/admin/support/replies/new", "replies.edit", Page, nil, false, h.Support.NewReply},
		{get, "/admin/support/replies/:id", "replies.edit", Page, nil, false, h.Support.EditReply},
		{post, "/admin/support/replies/:id", "replies.edit", Action, nil, false, h.Support.UpdateReply},
		{post, "/admin/support/replies/:id/remove", "replies.edit", Action, nil, false, h.Support.DestroyReply},
		{get, "/admin/support/:id", "support.view", Page, nil, false, h.Support.Show},
		{get, "/admin/support/:id/live", "support.view", Stream, nil, false, h.Support.LiveOne},
		{post, "/admin/support/:id/messages", "support.edit", Upload, attaching, false, h.Support.CreateMessage},
		{post, "/admin/support/:id/presence", "support.edit", Action, nil, false, h.Support.Attend},
		{get, "/admin/support/:id/duplicate", "support.edit", Page, nil, false, h.Support.EditDuplicate},
		{post, "/admin/support/:id/duplicate", "support.edit", Action, nil, false, h.Support.CreateDuplicate},
		{get, "/admin/support/:id/messages/:message/edit", "support.edit", Page, nil, false, h.Tickets.EditMessage},
		{get, "/admin/support/:id/subject", "support.edit", Page, nil, false, h.Tickets.EditSubject},
		{post, "/admin/support/:id/status", "support.edit", Action, nil, false, h.Support.UpdateStatus},
		{post, "/admin/support/:id/department", "support.edit", Action, nil, false, h.Support.UpdateDepartment},
		{post, "/admin/support/:id/assignee", "support.edit", Action, nil, false, h.Support.UpdateAssignee},
		{get, "/admin/support/:id/closure", "support.edit", Page, nil, false, h.Tickets.ConfirmClosure},
		{post, "/admin/support/:id/closure", "support.edit", Action, nil, false, h.Tickets.CreateClosure},
		{get, "/admin/support/:id/delegates", "support.view", Page, nil, false, h.TicketDelegates.Index},
		{post, "/admin/support/:id/delegates", "support.edit", Action, inviting, false, h.TicketDelegates.Create},
		{get, "/admin/support/:id/delegates/new", "support.edit", Page, nil, false, h.TicketDelegates.New},
		{get, "/admin/support/:id/delegates/:delegate", "support.edit", Page, nil, false, h.TicketDelegates.Edit},
		{post, "/admin/support/:id/delegates/:delegate", "support.edit", Action, nil, false, h.TicketDelegates.Update},
		{post, "/admin/support/:id/delegates/:delegate/again", "support.edit", Action, inviting, false, h.TicketDelegates.Again},
		{post, "/admin/support/:id/delegates/:delegate/extend", "support.edit", Action, nil, false, h.TicketDelegates.Extend},
		{post, "/admin/support/:id/delegates/:delegate/revoke", "support.edit", Action, nil, false, h.TicketDelegates.Revoke},
		{get, "/admin/support/:id/follow-up", "support.edit", Page, nil, false, h.Support.FollowUp},
		{post, "/admin/support/:id/follow-up", "support.edit", Upload, attaching, false, h.Support.CreateFollowUp},
		{get, "/admin/clients", "clients.view", Page, nil, false, h.Clients.Index},
		{get, "/admin/clients/:id", "clients.view", Page, nil, false, h.Clients.Show},
		{get, "/admin/clients/:id/live", "clients.view", Stream, nil, false, h.Clients.Live},
		{get, "/admin/clients/:id/tickets", "clients.view", Page, nil, false, h.Clients.Tickets},
		{get, "/admin/clients/:id/users", "accounts.view", Page, nil, false, h.Clients.Users},
		{get, "/admin/clients/:id/activity", "accounts.view", Page, nil, false, h.Clients.Activity},
		{get, "/admin/clients/:id/add", "client_contracts.modify", Page, nil, false, h.Contracts.New},
		{post, "/admin/clients/:id/add", "client_contracts.modify", Action, nil, false, h.Contracts.Create},
		{get, "/admin/contracts/:id/add", "client_contracts.modify", Page, nil, false, h.Contracts.New},
		{post, "/admin/contracts/:id/add", "client_contracts.modify", Action, nil, false, h.Contracts.Create},
		{post, "/admin/contracts/:id/activate", "client_contracts.modify", Action, nil, false, h.Contracts.Do},
		{post, "/admin/contracts/:id/suspend", "client_contracts.modify", Action, nil, false, h.Contracts.Do},
		{post, "/admin/contracts/:id/unsuspend", "client_contracts.modify", Action, nil, false, h.Contracts.Do},
		{get, "/admin/contracts/:id/cancel", "client_contracts.cancel", Page, nil, false, h.Contracts.ConfirmDeed},
		{post, "/admin/contracts/:id/cancel", "client_contracts.cancel", Action, nil, false, h.Contracts.Do},
		{get, "/admin/contracts/:id/end", "client_contracts.cancel", Page, nil, false, h.Contracts.ConfirmDeed},
		{post, "/admin/contracts/:id/end", "client_contracts.cancel", Action, nil, false, h.Contracts.Do},
		{post, "/admin/purchases/:id/activate", "client_contracts.modify", Action, nil, false, h.Contracts.Do},
		{post, "/admin/purchases/:id/suspend", "client_contracts.modify", Action, nil, false, h.Contracts.Do},
		{post, "/admin/purchases/:id/unsuspend", "client_contracts.modify", Action, nil, false, h.Contracts.Do},
		{get, "/admin/purchases/:id/cancel", "client_contracts.cancel", Page, nil, false, h.Contracts.ConfirmDeed},
		{post, "/admin/purchases/:id/cancel", "client_contracts.cancel", Action, nil, false, h.Contracts.Do},
		{get, "/admin/purchases/:id/end", "client_contracts.cancel", Page, nil, false, h.Contracts.ConfirmDeed},
		{post, "/admin/purchases/:id/end", "client_contracts.cancel", Action, nil, false, h.Contracts.Do},
		{get, "/admin/contracts/:id", "clients.view", Page, nil, false, h.Contracts.Show},
		{get, "/admin/contracts/:id/live", "clients.view", Stream, nil, false, h.Contracts.LiveOne},
		{get, "/admin/contracts/:id/billing", "invoices.view", Page, nil, false, h.Billing.ShowItem},
		{post, "/admin/contracts/:id/auto-renew", "client_contracts.auto_renew", Action, nil, false, h.Billing.SetAutoRenew},
		{get, "/admin/contracts/:id/cancellation", "client_contracts.cancel", Page, nil, false, h.Billing.ConfirmCancel},
		{post, "/admin/contracts/:id/cancellation", "client_contracts.cancel", Action, nil, false, h.Billing.Cancel},
		{post, "/admin/contracts/:id/cancellation/back", "client_contracts.cancel", Action, nil, false, h.Billing.TakeBack},
		{get, "/admin/contracts/:id/plan", "client_contracts.upgrade", Page, nil, false, h.Billing.Plans},
		{post, "/admin/contracts/:id/plan", "client_contracts.upgrade", Action, nil, false, h.Billing.ChangePlan},
		{get, "/admin/contracts/:id/label", "client_contracts.modify", Page, nil, false, h.Billing.EditLabel},
		{post, "/admin/contracts/:id/label", "client_contracts.modify", Action, nil, false, h.Billing.UpdateLabel},
		{get, "/admin/contracts/:id/options", "client_contracts.modify", Page, nil, false, h.Billing.EditOptions},
		{post, "/admin/contracts/:id/options", "client_contracts.modify", Action, nil, false, h.Billing.UpdateOptions},
		{get, "/admin/purchases/:id/billing", "invoices.view", Page, nil, false, h.Billing.ShowItem},
		{get, "/admin/invoices", "invoices.view", Page, nil, false, h.Billing.IndexAll},
		{get, "/admin/invoices/export", "invoices.view", File, exporting, false, h.Billing.Export},
		{get, "/admin/invoices/details/:account", "invoices.edit", Page, nil, false, h.Billing.EditDetails},
		{post, "/admin/invoices/details/:account", "invoices.edit", Action, nil, false, h.Billing.UpdateDetails},
		{get, "/admin/invoices/:id", "invoices.view", Page, nil, false, h.Billing.Show},
		{get, "/admin/invoices/:id/pdf", "invoices.view", File, nil, false, h.Billing.Download},
		{post, "/admin/invoices/:id/issue", "invoices.edit", Action, nil, false, h.Billing.Issue},
		{post, "/admin/invoices/:id/discard", "invoices.edit", Action, nil, false, h.Billing.Discard},
		{post, "/admin/invoices/:id/payment", "invoices.edit", Action, nil, false, h.Billing.Pay},
		{post, "/admin/invoices/:id/credit", "invoices.edit", Action, nil, false, h.Billing.Credit},
		{post, "/admin/invoices/:id/void", "invoices.edit", Action, nil, false, h.Billing.Void},
		{get, "/admin/clients/:id/invoices", "invoices.view", Page, nil, false, h.Billing.Client},
		{get, "/admin/clients/:id/delegates", "clients.view", Page, nil, false, h.Clients.Delegates},
		{post, "/admin/clients/:id/delegates", "support.edit", Action, inviting, false, h.Clients.CreateDelegate},
		{get, "/admin/clients/:id/delegates/new", "support.edit", Page, nil, false, h.Clients.NewDelegate},
		{post, "/admin/clients/:id/delegates/:user/remove", "clients.delegates", Action, nil, false, h.Clients.RemoveDelegate},
		{get, "/admin/clients/:id/logs", "logs.view", Page, nil, false, h.Clients.Logs},
		{post, "/admin/clients/:id/invoices", "invoices.edit", Action, nil, false, h.Billing.CreateDraft},
		{get, "/admin/clients/:id/invoices/new", "invoices.edit", Page, nil, false, h.Billing.NewDraft},
		{post, "/admin/clients/:id/payments", "invoices.edit", Action, nil, false, h.Billing.PayAccount},
		{post, "/admin/clients/:id/refunds", "invoices.edit", Action, nil, false, h.Billing.RefundAccount},
		{get, "/admin/settings/billing", "settings.view", Page, nil, false, h.Billing.ShowSettings},
		{post, "/admin/settings/billing", "settings.edit", Action, nil, false, h.Billing.UpdateSettings},
		{get, "/admin/purchases/:id", "clients.view", Page, nil, false, h.Contracts.Show},
		{get, "/admin/purchases/:id/live", "clients.view", Stream, nil, false, h.Contracts.LiveOne},
		{get, "/admin/contracts/:id/delegates", "clients.delegates", Page, nil, false, h.ContractDelegates.Index},
		{post, "/admin/contracts/:id/delegates", "clients.delegates", Action, inviting, false, h.ContractDelegates.Create},
		{get, "/admin/contracts/:id/delegates/new", "clients.delegates", Page, nil, false, h.ContractDelegates.New},
		{get, "/admin/contracts/:id/delegates/:delegate", "clients.delegates", Page, nil, false, h.ContractDelegates.Edit},
		{post, "/admin/contracts/:id/delegates/:delegate", "clients.delegates", Action, nil, false, h.ContractDelegates.Update},
		{post, "/admin/contracts/:id/delegates/:delegate/again", "clients.delegates", Action, inviting, false, h.ContractDelegates.Again},
		{post, "/admin/contracts/:id/delegates/:delegate/extend", "clients.delegates", Action, nil, false, h.ContractDelegates.Extend},
		{post, "/admin/contracts/:id/delegates/:delegate/answer", "clients.delegates", Action, nil, false, h.ContractDelegates.Answer},
		{post, "/admin/contracts/:id/delegates/:delegate/revoke", "clients.delegates", Action, nil, false, h.ContractDelegates.Revoke},
		{get, "/admin/contracts/:id/tickets", "clients.view", Page, nil, false, h.ContractTickets.Index},
		{get, "/admin/purchases/:id/tickets", "clients.view", Page, nil, false, h.ContractTickets.Index},
		{get, "/admin/contracts/:id/manage", "manage.view", Page, nil, false, h.Runs.ManageStore},
		{get, "/admin/purchases/:id/manage", "manage.view", Page, nil, false, h.Runs.ManageStore},
		{post, "/admin/manage/:id/configuration", "configurations.edit", Action, nil, false, h.Runs.Choose},
		{post, "/admin/manage/:id/switch", "configurations.edit", Action, nil, false, h.Runs.Switch},
		{get, "/admin/manage/:id/fields", "contract.run_fields", Page, nil, false, h.Runs.EditFields},
		{post, "/admin/manage/:id/fields", "contract.run_fields", Action, nil, false, h.Runs.UpdateFields},
		{get, "/admin/manage/:id/:action", "manage.edit", Page, nil, false, h.Runs.ShowAction},
		{post, "/admin/manage/:id/:action", "manage.edit", Action, running, false, h.Runs.Request},
		{get, "/admin/runs/:id", "manage.view", Page, nil, false, h.Runs.ShowRun},
		{get, "/admin/runs/:id/live", "manage.view", Stream, nil, false, h.Runs.LiveRun},
		{post, "/admin/runs/:id/result", "contract.run_login", Action, nil, false, h.Runs.TakeResult},
		{post, "/admin/runs/:id/undo", "contract.run_change", Action, running, false, h.Runs.Undo},
		{post, "/admin/runs/:id/retry", "contract.run_retry", Action, running, false, h.Runs.Retry},
		{post, "/admin/runs/:id/cancel", "contract.run_retry", Action, nil, false, h.Runs.Cancel},
		{post, "/admin/runs/:id/settle", "contract.run_retry", Action, nil, false, h.Runs.Settle},
		{get, "/admin/provisioning/configurations", "configurations.view", Page, nil, false, h.Runs.IndexConfigurations},
		{post, "/admin/provisioning/configurations", "configurations.edit", Action, nil, false, h.Runs.CreateConfiguration},
		{get, "/admin/provisioning/configurations/new/:driver/:category", "configurations.edit", Page, nil, false, h.Runs.NewConfiguration},
		{get, "/admin/provisioning/configurations/:id", "configurations.view", Page, nil, false, h.Runs.ShowConfiguration},
		{post, "/admin/provisioning/configurations/:id", "configurations.edit", Action, nil, false, h.Runs.UpdateConfiguration},
		{post, "/admin/provisioning/configurations/:id/test", "configurations.edit", Action, trying, false, h.Runs.TestConfiguration},
		{post, "/admin/provisioning/configurations/:id/pause", "configurations.edit", Action, nil, false, h.Runs.PauseConfiguration},
		{post, "/admin/provisioning/configurations/:id/resume", "configurations.edit", Action, nil, false, h.Runs.ResumeConfiguration},
		{post, "/admin/provisioning/configurations/:id/archive", "configurations.edit", Action, nil, false, h.Runs.ArchiveConfiguration},
		{get, "/admin/provisioning/words", "configurations.view", Page, nil, false, h.Runs.EditWords},
		{post, "/admin/provisioning/words", "configurations.edit", Action, nil, false, h.Runs.UpdateWords},
		{get, "/admin/provisioning", "logs.view", Page, nil, false, h.Logs.Overview},
		{get, "/admin/provisioning/logs", "logs.view", Page, nil, false, h.Logs.Index},
		{get, "/admin/provisioning/logs/live", "logs.view", Stream, nil, false, h.Logs.Live},
		{get, "/admin/provisioning/logs/export.csv", "logs.export", Export, exporting, false, h.Logs.ExportCSV},
		{get, "/admin/provisioning/logs/export.jsonl", "logs.export", Export, exporting, false, h.Logs.ExportLines},
		{get, "/admin/provisioning/logs/filters", "logs.keep", Page, nil, false, h.Logs.NewFilter},
		{post, "/admin/provisioning/logs/filters", "logs.keep", Action, nil, false, h.Logs.CreateFilter},
		{post, "/admin/provisioning/logs/filters/:id/remove", "logs.keep", Action, nil, false, h.Logs.DestroyFilter},
		{get, "/admin/provisioning/logs/settings", "logs.manage", Page, nil, false, h.Logs.Settings},
		{post, "/admin/provisioning/logs/settings", "logs.manage", Action, nil, false, h.Logs.UpdateSettings},
		{post, "/admin/provisioning/logs/alerts", "logs.manage", Action, nil, false, h.Logs.CreateAlert},
		{post, "/admin/provisioning/logs/alerts/:id/remove", "logs.manage", Action, nil, false, h.Logs.DestroyAlert},
		{get, "/admin/provisioning/logs/:id", "logs.view", Page, nil, false, h.Logs.Show},
		{get, "/admin/provisioning/logs/:id/debug/:attempt", "logs.debug", File, nil, false, h.Logs.Debug},
		{get, "/admin/emails", "emails.view", Page, nil, false, h.Emails.Index},
		{get, "/admin/emails/live", "emails.view", Stream, nil, false, h.Emails.Live},
		{get, "/admin/emails/:id", "emails.view", Page, nil, false, h.Emails.Show},
		{get, "/admin/emails/:id/live", "emails.view", Stream, nil, false, h.Emails.LiveOne},
		{get, "/admin/emails/:id/preview", "emails.view", File, nil, false, h.Emails.Preview},
		{post, "/admin/emails/:id/again", "emails.edit", Action, mailing, false, h.Emails.Again},
		{get, "/admin/jobs", "jobs.view", Page, nil, false, h.Queues.Index},
		{get, "/admin/jobs/live", "jobs.view", Stream, nil, false, h.Queues.Live},
		{post, "/admin/jobs/queues/:queue/pause", "jobs.edit", Action, nil, false, h.Queues.Pause},
		{post, "/admin/jobs/queues/:queue/resume", "jobs.edit", Action, nil, false, h.Queues.Resume},
		{get, "/admin/jobs/:id", "jobs.view", Page, nil, false, h.Queues.Show},
		{post, "/admin/jobs/:id/retry", "jobs.edit", Action, nil, false, h.Queues.Retry},
		{post, "/admin/jobs/:id/cancel", "jobs.edit", Action, nil, false, h.Queues.Cancel},
		{get, "/admin/settings", "settings.view", Page, nil, false, h.Store.ShowSettings},
		{post, "/admin/settings", "settings.edit", Action, nil, false, h.Store.UpdateSettings},
		{post, "/admin/settings/logo", "settings.edit", Action, uploading, false, h.Store.CreateLogo},
		{post, "/admin/settings/logo/remove", "settings.edit", Action, nil, false, h.Store.DestroyLogo},
		{get, "/admin/settings/departments", "departments.view", Page, nil, false, h.Store.IndexDepartments},
		{post, "/admin/settings/departments", "departments.edit", Action, nil, false, h.Store.CreateDepartment},
		{get, "/admin/settings/departments/silence", "departments.edit", Page, nil, false, h.Store.EditSilence},
		{post, "/admin/settings/departments/silence", "departments.edit", Action, nil, false, h.Store.UpdateSilence},
		{get, "/admin/settings/departments/:id/silence", "departments.edit", Page, nil, false, h.Store.EditSilence},
		{post, "/admin/settings/departments/:id/silence", "departments.edit", Action, nil, false, h.Store.UpdateSilence},
		{get, "/admin/settings/departments/:id", "departments.edit", Page, nil, false, h.Store.EditDepartment},
		{post, "/admin/settings/departments/:id", "departments.edit", Action, nil, false, h.Store.UpdateDepartment},
		{post, "/admin/settings/departments/:id/archive", "departments.edit", Action, nil, false, h.Store.ArchiveDepartment},
		{post, "/admin/settings/departments/:id/restore", "departments.edit", Action, nil, false, h.Store.RestoreDepartment},
		{post, "/admin/settings/departments/:id/up", "departments.edit", Action, nil, false, h.Store.MoveDepartmentUp},
		{post, "/admin/settings/departments/:id/down", "departments.edit", Action, nil, false, h.Store.MoveDepartmentDown},
		{get, "/admin/settings/products", "catalogue.view", Page, nil, false, h.Contracts.IndexCatalogue},
		{get, "/admin/settings/products/new", "catalogue.edit", Page, nil, false, h.Contracts.NewProduct},
		{post, "/admin/settings/products", "catalogue.edit", Action, nil, false, h.Contracts.CreateProduct},
		{get, "/admin/settings/products/:id", "catalogue.edit", Page, nil, false, h.Contracts.EditProduct},
		{post, "/admin/settings/products/:id", "catalogue.edit", Action, nil, false, h.Contracts.UpdateProduct},
		{post, "/admin/settings/products/:id/archive", "catalogue.edit", Action, nil, false, h.Contracts.ArchiveProduct},
		{post, "/admin/settings/products/:id/restore", "catalogue.edit", Action, nil, false, h.Contracts.ArchiveProduct},
		{get, "/admin/settings/products/:id/plans/new", "catalogue.edit", Page, nil, false, h.Contracts.EditPlan},
		{post, "/admin/settings/products/:id/plans", "catalogue.edit", Action, nil, false, h.Contracts.SavePlan},
		{get, "/admin/settings/products/:id/plans/:plan", "catalogue.edit", Page, nil, false, h.Contracts.EditPlan},
		{post, "/admin/settings/products/:id/plans/:plan", "catalogue.edit", Action, nil, false, h.Contracts.SavePlan},
		{post, "/admin/settings/products/:id/plans/:plan/archive", "catalogue.edit", Action, nil, false, h.Contracts.ArchivePlan},
		{post, "/admin/settings/products/:id/plans/:plan/restore", "catalogue.edit", Action, nil, false, h.Contracts.ArchivePlan},
		{get, "/admin/settings/products/:id/options/new", "catalogue.edit", Page, nil, false, h.Contracts.EditOption},
		{post, "/admin/settings/products/:id/options", "catalogue.edit", Action, nil, false, h.Contracts.SaveOption},
		{get, "/admin/settings/products/:id/options/:option", "catalogue.edit", Page, nil, false, h.Contracts.EditOption},
		{post, "/admin/settings/products/:id/options/:option", "catalogue.edit", Action, nil, false, h.Contracts.SaveOption},
		{post, "/admin/settings/products/:id/options/:option/archive", "catalogue.edit", Action, nil, false, h.Contracts.ArchiveOption},
		{post, "/admin/settings/products/:id/options/:option/restore", "catalogue.edit", Action, nil, false, h.Contracts.ArchiveOption},
		{get, "/admin/settings/attachments", "settings.view", Page, nil, false, h.Attachments.ShowSettings},
		{post, "/admin/settings/attachments", "settings.edit", Action, nil, false, h.Attachments.UpdateSettings},
		{get, "/admin/settings/team", "team.view", Page, nil, false, h.Team.Index},
		{get, "/admin/settings/team/new", "team.edit", Page, nil, false, h.Team.New},
		{post, "/admin/settings/team", "team.edit", Action, mailing, false, h.Team.Create},
		{get, "/admin/settings/team/:id", "team.view", Page, nil, false, h.Team.Show},
		{post, "/admin/settings/team/:id", "team.edit", Action, nil, false, h.Team.Update},
		{post, "/admin/settings/team/:id/disable", "team.edit", Action, nil, false, h.Team.Disable},
		{post, "/admin/settings/team/:id/enable", "team.edit", Action, nil, false, h.Team.Enable},
		{post, "/admin/settings/team/:id/sign-out", "team.edit", Action, nil, false, h.Team.SignOut},
		{post, "/admin/settings/team/:id/factor/remove", "team.edit", Action, mailing, false, h.Team.RemoveFactor},
		{post, "/admin/settings/team/:id/invite", "team.edit", Action, mailing, false, h.Team.InviteAgain},
		{get, "/admin/settings/permissions", "permissions.view", Page, nil, false, h.Team.Permissions},
		{get, "/admin/settings/activity", "activity.view", Page, nil, false, h.Audit.Index},
	}
	if devRun {
		routes = append(routes,
			Route{post, "/dev/sign-in", Public, Action, nil, false, h.Dev.SignIn},
			Route{get, "/dev/pieces", Public, Page, nil, false, dev.Pieces},
			Route{get, "/dev/mailbox", Public, Page, nil, false, h.Mailbox.Index},
			Route{get, "/dev/mailbox/:id", Public, Page, nil, false, h.Mailbox.Show},
			Route{get, "/dev/mailbox/:id/html", Public, File, nil, false, h.Mailbox.HTML},
			Route{get, "/dev/mailbox/:id/text", Public, Page, nil, false, h.Mailbox.Text},
		)
	}
	return routes
}
