package emails

import (
	"fmt"
	"maps"
	"net/url"
	"strings"
	"time"

	"portico/app"
	"portico/app/live"
	"portico/app/mail"
	"portico/app/web"

	"github.com/gofiber/fiber/v2"
)

// Handlers are the page **Emails** of the admin area.
type Handlers struct {
	service *Service
	hub     *live.Hub
}

// NewHandlers returns the handlers of a Service.
func NewHandlers(s *Service, hub *live.Hub) *Handlers { return &Handlers{s, hub} }

const emailsPath = "/admin/emails"

func emailPath(id string) string { return emailsPath + "/" + id }

// filterForm is the filter as it stands in the address.
type filterForm struct {
	Text   string `form:"q"`
	Status string `form:"status"`
	Kind   string `form:"kind"`
	From   string `form:"from"`
	To     string `form:"to"`
}

// indexView is what views/emails/index.html shows.
type indexView struct {
	Kinds    []web.Option
	Segments []segment
	Chips    []chip
	Clear    string // address without the filters of the chips
	Emails   []emailRow
	Filtered bool
	Next     string // address of the next page, "" on the last one
}

// segment is a link that shows one status, or all.
type segment struct {
	Label   string
	Count   int
	Href    string
	Current bool
}

// chip is one filter in use.
type chip struct {
	Name, Value string
	Href        string // the page without it
	Remove      string // what the link to there says
}

// emailRow is an Email in words.
type emailRow struct {
	Email
	KindName string
	Chip     string // its status, as shared/status knows it
	Said     string // why it ended, else the mail server's last answer
}

func inWords(r *web.Request, e Email) emailRow {
	row := emailRow{Email: e, KindName: kindWord(r, e.Kind), Chip: e.Status, Said: e.Answer}
	if e.Status == "sending" {
		row.Chip = "running"
	}
	if e.Reason != "" && e.Reason != "refused" { // what the mail server said of that says more
		row.Said = r.T("emails.reason-" + e.Reason)
	}
	return row
}

// kindWord is what the catalogue calls a kind. A newer program beside this one may know more kinds.
func kindWord(r *web.Request, kind string) string {
	if key := "mail." + kind + ".name"; r.Has(key) {
		return r.T(key)
	}
	return kind
}

// Index answers GET /admin/emails: the filter as Filter.Values has it, and ?after=, the key of a later page.
func (h *Handlers) Index(c *fiber.Ctx) error {
	r := web.Of(c)
	after, err := ParseKey(c.Query("after"))
	if err != nil {
		return err
	}
	counts, err := h.service.Counts(c.UserContext(), r.Viewer)
	if err != nil {
		return err
	}
	view := indexView{Kinds: []web.Option{{Value: "", Label: r.T("emails.any")}}}
	for _, kind := range mail.Kinds() {
		view.Kinds = append(view.Kinds, web.Option{Value: kind, Label: kindWord(r, kind)})
	}
	page := web.Page{
		View: "emails/index", Frame: web.FrameAdmin, Title: app.Text{Key: "emails.title"}, Section: "emails", Parts: []string{"emails/list"},
	}
	typed := filterForm{c.Query("q"), c.Query("status"), c.Query("kind"), c.Query("from"), c.Query("to")}
	filter, err := ParseFilter(func(name string) string { return c.Query(name) }, r.Zone)
	if err != nil {
		page.Data = view
		return web.Rerender(c, err, page, typed)
	}
	emails, next, err := h.service.List(c.UserContext(), r.Viewer, filter, after)
	if err != nil {
		return err
	}
	for _, email := range emails {
		view.Emails = append(view.Emails, inWords(r, email))
	}
	query := filter.Values(r.Zone)
	view.Filtered, view.Segments, view.Chips = len(query) > 0, segments(r, filter.Status, counts, query), chips(r, filter, query)
	view.Clear = address(url.Values{"status": query["status"]})
	if next != nil {
		query.Set("after", next.String())
		view.Next = address(query)
	}
	page.Data, page.Form = view, web.NewForm(typed)
	return web.Render(c, page)
}

// address is a page of the list.
func address(query url.Values) string {
	if encoded := query.Encode(); encoded != "" {
		return emailsPath + "?" + encoded
	}
	return emailsPath
}

// segments are the statuses with how many mails have each, under the other filters of the query.
func segments(r *web.Request, chosen string, counts map[string]int, query url.Values) []segment {
	href := func(status string) string {
		with := maps.Clone(query)
		delete(with, "status")
		if status != "" {
			with.Set("status", status)
		}
		return address(with)
	}
	all := []segment{{Label: r.T("emails.all"), Href: href(""), Current: chosen == ""}}
	for _, status := range Statuses {
		all = append(all, segment{Label: r.T("emails.status-" + status), Count: counts[status], Href: href(status), Current: chosen == status})
	}
	return all
}

// chips shows the other filters in use, in the form's order. query is the filter as it stands in the address.
func chips(r *web.Request, f Filter, query url.Values) []chip {
	var all []chip
	add := func(name, label, value string) {
		if !query.Has(name) {
			return
		}
		without := maps.Clone(query)
		delete(without, name)
		label = r.T(label)
		all = append(all, chip{Name: label, Value: value, Href: address(without), Remove: r.T("emails.remove", "Name", label, "Value", value)})
	}
	add("q", "emails.text", f.Text)
	add("kind", "emails.kind", kindWord(r, f.Kind))
	add("from", "emails.from", r.Date(f.From))
	add("to", "emails.to", r.Date(f.To.AddDate(0, 0, -1)))
	return all
}

// showView is what views/emails/show.html shows.
type showView struct {
	emailRow
	Name      string
	MessageID string
	Tries     []tryRow
	Why       string   // why it failed or was cancelled, as a sentence, else ""
	WhyNot    string   // why it can't be sent again, as a sentence, else ""
	Text      []string // lines
	Sandbox   string
}

// tryRow is an Attempt in words.
type tryRow struct {
	Attempt
	Icon string
	Bad  bool
	Took string
	Word string // how it ended
}

// previewSandbox allows a previewed mail nothing, not even to follow its links, whose tokens are masked.
const previewSandbox = ""

// Show answers GET /admin/emails/:id.
func (h *Handlers) Show(c *fiber.Ctx) error {
	r := web.Of(c)
	id, err := web.ID(c, "id")
	if err != nil {
		return err
	}
	details, err := h.service.Get(c.UserContext(), r.Viewer, id)
	if err != nil {
		return err
	}
	content, err := h.service.Preview(c.UserContext(), r.Viewer, id)
	if err != nil {
		return err
	}
	view := showView{
		emailRow: inWords(r, details.Email), Name: details.Name, MessageID: details.MessageID, Sandbox: previewSandbox,
		Text: strings.Split(strings.TrimSpace(content.Text), "\n"),
	}
	if details.Reason != "" {
		view.Why = r.T("emails.why-" + details.Reason)
	}
	if details.WhyNotAgain != "" {
		view.WhyNot = r.T("emails.not-again-" + details.WhyNotAgain)
	}
	for _, attempt := range details.Tries {
		view.Tries = append(view.Tries, tryInWords(r, attempt))
	}
	web.AllowFrames(c)
	return web.Render(c, web.Page{
		View: "emails/show", Frame: web.FrameAdmin, Title: app.Text{Key: "emails.email", Args: map[string]any{"Subject": details.Subject}},
		Section: "emails", Data: view, Parts: []string{"emails/state"},
	})
}

func tryInWords(r *web.Request, a Attempt) tryRow {
	if a.Outcome == nil || a.FinishedAt == nil {
		return tryRow{Attempt: a, Icon: "loader-circle", Word: r.T("emails.outcome-running")}
	}
	row := tryRow{Attempt: a, Icon: "circle-x", Bad: true, Took: took(r, a.FinishedAt.Sub(a.StartedAt)), Word: r.T("emails.outcome-" + *a.Outcome)}
	switch mail.Outcome(*a.Outcome) {
	case mail.Accepted:
		row.Icon, row.Bad = "circle-check", false
	case mail.Unknown:
		row.Icon = "circle-help"
	}
	return row
}

// took writes a duration in seconds and tenths.
func took(r *web.Request, d time.Duration) string {
	tenths := d.Round(100*time.Millisecond) / (100 * time.Millisecond)
	return r.T("emails.seconds", "Seconds", fmt.Sprintf("%s%s%d", r.Number(int(tenths/10)), r.T("format.decimal"), tenths%10))
}

// Preview answers GET /admin/emails/:id/preview with the mail's HTML alone, for a frame.
func (h *Handlers) Preview(c *fiber.Ctx) error {
	id, err := web.ID(c, "id")
	if err != nil {
		return err
	}
	content, err := h.service.Preview(c.UserContext(), web.Viewer(c), id)
	if err != nil {
		return err
	}
	// Links would open a new window, which the sandbox does not allow.
	return web.SendFramed(c, strings.Replace(content.HTML, "<head>", `<head><base target="_blank">`, 1), previewSandbox)
}

// Again answers POST /admin/emails/:id/again.
func (h *Handlers) Again(c *fiber.Ctx) error {
	id, err := web.ID(c, "id")
	if err != nil {
		return err
	}
	again, err := h.service.SendAgain(c.UserContext(), web.Viewer(c), id)
	if err != nil {
		return err
	}
	web.SetFlash(c, "good", "emails.sent-again")
	return web.Redirect(c, emailPath(again))
}

// Live answers GET /admin/emails/live, the event stream of the list.
func (h *Handlers) Live(c *fiber.Ctx) error { return h.stream(c, mail.Topic) }

// LiveOne answers GET /admin/emails/:id/live, the event stream of one mail's page.
func (h *Handlers) LiveOne(c *fiber.Ctx) error {
	id, err := web.ID(c, "id")
	if err != nil {
		return err
	}
	if _, err := h.service.Get(c.UserContext(), web.Viewer(c), id); err != nil {
		return err
	}
	return h.stream(c, mail.TopicOf(id))
}

func (h *Handlers) stream(c *fiber.Ctx, topic string) error {
	r := web.Of(c)
	return live.Stream(c, h.hub, live.Watch{Topics: []string{topic}, UserID: r.Viewer.UserID, SessionID: r.Viewer.SessionID, Allowed: r.Still})
}
