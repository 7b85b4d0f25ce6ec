package provisionlogs

import (
	"fmt"
	"time"

	"portico/app/provisioning"
	"portico/app/web"
)

// row is a Run in words.
type row struct {
	Run
	Href        string
	ISO, Exact  string
	Clock       string
	StatusName  string
	ActionName  string
	Provider    string
	Took        string
	MessageText string
	Message     []Piece
	ProductText []Piece
	Actor       string
	ActorKey    string // its value in a filter
	Current     bool
}

func (h *Handlers) rows(r *web.Request, at place, runs []Run, filter Filter) []row {
	looked := lookedFor(filter.Text)
	rows := make([]row, len(runs))
	for i, run := range runs {
		began := run.CreatedAt.In(r.Zone)
		rows[i] = row{
			Run: run, Href: at.run(run.ID, filter), ISO: began.Format(time.RFC3339), Exact: exact(r, began), Clock: clock(r, began),
			StatusName: r.T("provisionlogs.status-" + run.Status), ActionName: h.actionName(r, run.Category, run.Action), Provider: h.providerName(run.Driver),
			MessageText: messageOf(r, run), ProductText: highlight(run.Product(), looked),
			Actor: run.ActorName, ActorKey: System,
		}
		rows[i].Message = highlight(rows[i].MessageText, looked)
		if run.ActorID != nil {
			rows[i].ActorKey = *run.ActorID
		} else {
			rows[i].Actor = r.T("provisionlogs.system")
		}
		if run.DurationMS != nil {
			rows[i].Took = took(r, time.Duration(*run.DurationMS)*time.Millisecond)
		}
	}
	return rows
}

// messageOf is what a run says: where it stands if it is not final, and that an outcome is unknown.
func messageOf(r *web.Request, run Run) string {
	switch {
	case run.Status == "retrying" && run.NextAt != nil:
		said := r.T("provisionlogs.retrying", "Attempt", run.Attempts, "Of", run.MaxAttempts, "At", run.NextAt.In(r.Zone).Format("15:04:05"))
		if run.Message != "" {
			said = run.Message + " · " + said
		}
		return said
	case run.Status == "running" && run.Waiting && run.NextAt != nil:
		return r.T("provisionlogs.waiting", "At", run.NextAt.In(r.Zone).Format("15:04:05"))
	case run.Status == "failed" && run.UnknownOutcome:
		if run.Message == "" {
			return r.T("provisionlogs.unknown")
		}
		return r.T("provisionlogs.unknown") + ": " + run.Message
	}
	return run.Message
}

// actionName is what people call an action; one that no driver declares any more keeps its own name.
func (h *Handlers) actionName(r *web.Request, category, action string) string {
	if f, ok := h.drivers.AnyFunction(category, action); ok && r.Has(f.LabelKey()) {
		return r.T(f.LabelKey())
	}
	return action
}

func (h *Handlers) providerName(driver string) string {
	if d, err := h.drivers.Driver(driver); err == nil {
		return d.Title()
	}
	return driver
}

func categoryName(r *web.Request, name string) string {
	if category, ok := provisioning.CategoryOf(name); ok && r.Has(category.LabelKey()) {
		return r.T(category.LabelKey())
	}
	return name
}

// clock is a moment as a log shows it: the time of today, with the day before that.
func clock(r *web.Request, at time.Time) string {
	if at.Format(time.DateOnly) == r.Now.In(r.Zone).Format(time.DateOnly) {
		return at.Format("15:04:05")
	}
	return day(r, at) + " " + at.Format("15:04")
}

func day(r *web.Request, at time.Time) string {
	return r.T("provisionlogs.day", "Day", at.Day(), "Month", r.T(fmt.Sprintf("provisionlogs.month-%d", int(at.Month()))))
}

func exact(r *web.Request, at time.Time) string {
	return r.T("format.datetime", "Date", r.Date(at), "Time", at.Format("15:04:05"))
}

// took writes a duration: seconds and tenths, or minutes.
func took(r *web.Request, d time.Duration) string {
	if d >= 2*time.Minute {
		return r.T("provisionlogs.minutes", "Minutes", r.Number(int(d.Round(time.Minute)/time.Minute)))
	}
	tenths := int(d.Round(100*time.Millisecond) / (100 * time.Millisecond))
	return r.T("provisionlogs.seconds", "Seconds", fmt.Sprintf("%s%s%d", r.Number(tenths/10), r.T("format.decimal"), tenths%10))
}
