package queues

import (
	"net/url"
	"slices"
	"strings"

	"portico/app"
	"portico/app/live"
	"portico/app/web"

	"github.com/gofiber/fiber/v2"
)

// Handlers are the page **Jobs** of the admin area.
type Handlers struct {
	service *Service
	hub     *live.Hub
}

// NewHandlers returns the handlers of a Service.
func NewHandlers(s *Service, hub *live.Hub) *Handlers { return &Handlers{s, hub} }

const jobsPath = "/admin/jobs"

// indexView is what views/queues/index.html shows.
type indexView struct {
	Queues     []Queue
	Jobs       []Job
	Filtered   bool
	Next       string // address of the next page, "" on the last one
	Most       int
	QueueNames []web.Option
	Kinds      []web.Option
	States     []web.Option
	Orders     []web.Option
}

// filterForm is the filter as it stands in the address.
type filterForm struct {
	Queue string `form:"queue"`
	Kind  string `form:"kind"`
	State string `form:"state"`
	Order string `form:"order"`
}

const failedFirst = "failed"

// Index answers GET /admin/jobs: ?queue=, kind= and state= filter, order=failed puts failed jobs first, before= and rest= are the
// key of a later page.
func (h *Handlers) Index(c *fiber.Ctx) error {
	r := web.Of(c)
	text := func(name string) string {
		return strings.ReplaceAll(strings.ToValidUTF8(c.Query(name), ""), "\x00", "")
	}
	form := filterForm{text("queue"), text("kind"), text("state"), text("order")}
	filter := Filter{Queue: form.Queue, Kind: form.Kind, State: State(form.State), FailedFirst: form.Order == failedFirst}
	at := Key{Before: text("before"), Rest: text("rest") != ""}
	page, next, err := h.service.List(c.UserContext(), r.Viewer, filter, at)
	if err != nil {
		return err
	}
	queues, err := h.service.Queues(c.UserContext(), r.Viewer)
	if err != nil {
		return err
	}
	kinds, err := h.service.Kinds(c.UserContext(), r.Viewer)
	if err != nil {
		return err
	}
	view := indexView{
		Queues: queues, Jobs: page, Filtered: filter.Queue+filter.Kind+string(filter.State) != "", Most: Most,
		QueueNames: []web.Option{{Value: "", Label: r.T("queues.any")}},
		Kinds:      []web.Option{{Value: "", Label: r.T("queues.any")}},
		States:     []web.Option{{Value: "", Label: r.T("queues.any")}},
		Orders:     []web.Option{{Value: "", Label: r.T("queues.order-newest")}, {Value: failedFirst, Label: r.T("queues.order-failed")}},
	}
	for _, queue := range queues {
		view.QueueNames = append(view.QueueNames, web.Option{Value: queue.Name, Label: queue.Name})
	}
	for _, kind := range kinds {
		view.Kinds = append(view.Kinds, web.Option{Value: kind, Label: kind})
	}
	for _, state := range States {
		view.States = append(view.States, web.Option{Value: string(state), Label: r.T("queues.state-" + string(state))})
	}
	view.QueueNames, view.Kinds = chosen(view.QueueNames, form.Queue), chosen(view.Kinds, form.Kind)
	if next != nil {
		view.Next = address(filter, *next)
	}
	return web.Render(c, web.Page{
		View: "queues/index", Frame: web.FrameAdmin, Title: app.Text{Key: "queues.title"}, Section: "jobs", Data: view, Form: web.NewForm(form),
		Parts: []string{"queues/overview", "queues/jobs"},
	})
}

// chosen adds what is filtered by to the choices, where no job has it any more.
func chosen(options []web.Option, value string) []web.Option {
	if slices.ContainsFunc(options, func(o web.Option) bool { return o.Value == value }) {
		return options
	}
	return append(options, web.Option{Value: value, Label: value})
}

// address is a page of the list.
func address(f Filter, at Key) string {
	query := url.Values{}
	set := func(name, value string) {
		if value != "" {
			query.Set(name, value)
		}
	}
	set("queue", f.Queue)
	set("kind", f.Kind)
	set("state", string(f.State))
	if f.FailedFirst {
		query.Set("order", failedFirst)
	}
	set("before", at.Before)
	if at.Rest {
		query.Set("rest", "1")
	}
	if len(query) == 0 {
		return jobsPath
	}
	return jobsPath + "?" + query.Encode()
}

// showView is what views/queues/show.html shows.
type showView struct {
	Details
	Arguments string // indented JSON
	Retry     bool   // may be retried
	Cancel    bool   // may be cancelled
}

// Show answers GET /admin/jobs/:id.
func (h *Handlers) Show(c *fiber.Ctx) error {
	r := web.Of(c)
	job, err := h.service.Get(c.UserContext(), r.Viewer, c.Params("id"))
	if err != nil {
		return err
	}
	view := showView{Details: job, Arguments: string(job.Args), Retry: job.MayRetry(r.Now), Cancel: job.MayCancel()}
	return web.Render(c, web.Page{
		View: "queues/show", Frame: web.FrameAdmin, Title: app.Text{Key: "queues.job", Args: map[string]any{"Kind": job.Kind}}, Section: "jobs", Data: view,
		Parts: []string{"queues/job"},
	})
}

// Retry answers POST /admin/jobs/:id/retry.
func (h *Handlers) Retry(c *fiber.Ctx) error {
	id := c.Params("id")
	if err := h.service.Retry(c.UserContext(), web.Viewer(c), id); err != nil {
		return err
	}
	web.SetFlash(c, "good", "queues.retried")
	return web.Redirect(c, jobsPath+"/"+id)
}

// Cancel answers POST /admin/jobs/:id/cancel.
func (h *Handlers) Cancel(c *fiber.Ctx) error {
	id := c.Params("id")
	if err := h.service.Cancel(c.UserContext(), web.Viewer(c), id); err != nil {
		return err
	}
	web.SetFlash(c, "good", "queues.cancelled")
	return web.Redirect(c, jobsPath+"/"+id)
}

// Pause answers POST /admin/jobs/queues/:queue/pause.
func (h *Handlers) Pause(c *fiber.Ctx) error {
	name := c.Params("queue")
	if err := h.service.Pause(c.UserContext(), web.Viewer(c), name); err != nil {
		return err
	}
	web.SetFlash(c, "good", "queues.paused", "Queue", name)
	return web.Redirect(c, jobsPath)
}

// Resume answers POST /admin/jobs/queues/:queue/resume.
func (h *Handlers) Resume(c *fiber.Ctx) error {
	name := c.Params("queue")
	if err := h.service.Resume(c.UserContext(), web.Viewer(c), name); err != nil {
		return err
	}
	web.SetFlash(c, "good", "queues.resumed", "Queue", name)
	return web.Redirect(c, jobsPath)
}

// Live answers GET /admin/jobs/live, the event stream of both pages.
func (h *Handlers) Live(c *fiber.Ctx) error {
	r := web.Of(c)
	return live.Stream(c, h.hub, live.Watch{Topics: []string{Topic}, UserID: r.Viewer.UserID, SessionID: r.Viewer.SessionID, Allowed: r.Still})
}
