package provisionlogs

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"portico/app"
	"portico/app/provisioning"
	"portico/app/web"

	"github.com/gofiber/fiber/v2"
)

// panel is one run beside the list.
type panel struct {
	row
	TicketID            *string
	Close               string
	Link                string // for others: without the filter
	Why                 string // the detailed message
	Tries               []tryRow
	Facts               []fact
	Params              []fact
	Changed             []changed
	Picks               []pick
	Debug               bool // may be shown
	CopyText            string
	CanRetry, CanCancel bool
	Gone                bool   // it could be retried, had its secret parameters not been deleted
	CanSettle           bool   // what came of it is unknown
	SettledText         string // what somebody found out
	Token               string // of the form that retries
	Back                string // query by which what is done with the run leads back here
}

// tryRow is an Attempt in words.
type tryRow struct {
	Attempt
	Icon             string
	Bad              bool
	ISO, Exact, Time string
	Took             string
	Said, Detail     string
	Debug            string // pretty JSON
	Large            bool   // shortened; the whole is a download
	File             string // address of the whole
}

// fact is a label and a value.
type fact struct{ Label, Value, Href string }

// changed is a field before and after.
type changed struct{ Label, Before, After string }

// pick filters by one value of the run.
type pick struct{ Name, Value, Only, Not string }

// debugShown is how much of an attempt's debug data the panel shows, in bytes.
const debugShown = 32 << 10

func (h *Handlers) panel(r *web.Request, at place, d Details, f Filter) *panel {
	p := &panel{
		row: h.rows(r, at, []Run{d.Run}, f)[0], TicketID: d.TicketID, Close: at.list(f), Link: at.run(d.ID, Filter{}.with(at.field, at.id)),
		Back: "?back=" + url.QueryEscape(at.run(d.ID, f)+at.anchor()),
	}
	p.Debug = (&web.View{Request: r}).Can("logs", "debug")
	function, known := h.drivers.AnyFunction(d.Category, d.Action)
	for i, try := range d.Tries {
		p.Tries = append(p.Tries, h.try(r, d, try))
		if i == len(d.Tries)-1 {
			p.Why = try.Detail
		}
	}
	add := func(key, value string) {
		if value != "" {
			p.Facts = append(p.Facts, fact{Label: r.T(key), Value: value})
		}
	}
	add("provisionlogs.client", d.AccountName)
	can := &web.View{Request: r}
	if len(p.Facts) > 0 && can.Can("clients", "view") {
		p.Facts[0].Href = "/admin/clients/" + d.AccountID
	}
	if can.Can("contract", "run_retry") {
		p.CanRetry = (d.Status == "failed" || d.Status == "cancelled") && d.Settled != "done"
		if p.CanRetry && known && function.AsksSecrets() {
			p.CanRetry, p.Gone = false, true
		}
		p.CanSettle = d.UnknownOutcome && d.Settled == ""
		p.CanCancel = d.Status == "approval" || d.Status == "queued" || d.Status == "retrying" || d.Waiting
		p.Token = provisioning.NewToken()
	}
	if d.Settled != "" {
		p.SettledText = r.T("provisioning.settled-"+d.Settled, "Name", d.SettledBy)
	}
	add("provisionlogs.product", d.ProductName)
	add("provisionlogs.domain", d.Domain)
	add("provisionlogs.username", d.Username)
	add("provisionlogs.actor", p.Actor)
	add("provisionlogs.decided", d.DecidedByName)
	add("provisionlogs.cause", d.Cause)
	add("provisionlogs.category", categoryName(r, d.Category))
	add("provisionlogs.provider", p.Provider)
	add("provisionlogs.configuration", d.ConfigurationName)
	add("provisionlogs.reference", d.Reference)
	if d.StartedAt != nil {
		add("provisionlogs.started", exact(r, d.StartedAt.In(r.Zone)))
	}
	if d.FinishedAt != nil {
		add("provisionlogs.finished", exact(r, d.FinishedAt.In(r.Zone)))
	}
	if d.ErrorFamily != "" {
		add("provisionlogs.family", familyName(r, d.ErrorFamily))
	}
	labels := map[string]string{}
	if known {
		for _, param := range function.Params {
			if r.Has(param.LabelKey()) {
				labels[param.Name] = r.T(param.LabelKey())
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.Params)) {
		label := labels[name]
		if label == "" {
			label = name
		}
		p.Params = append(p.Params, fact{Label: label, Value: shown(d.Params[name])})
	}
	var fieldsChanged []struct {
		Field         string
		Before, After any
	}
	if json.Unmarshal(d.Changes, &fieldsChanged) == nil {
		for _, one := range fieldsChanged {
			label := r.T("provisionlogs.field", "Name", one.Field)
			if key := (provisioning.Field{Name: one.Field}).LabelKey(); r.Has(key) {
				label = r.T(key)
			}
			p.Changed = append(p.Changed, changed{label, shown(one.Before), shown(one.After)})
		}
	}
	for _, one := range []struct{ field, value, name string }{
		{FieldStatus, d.Status, p.StatusName}, {FieldAction, d.Action, p.ActionName}, {FieldProvider, d.Driver, p.Provider},
		{FieldClient, d.AccountID, d.AccountName}, {FieldProduct, d.ProductID, d.Product()}, {FieldActor, p.ActorKey, p.Actor},
	} {
		if at.field != "" && (one.field == at.field || one.field == FieldClient) {
			continue // all runs of a section have it
		}
		p.Picks = append(p.Picks, pick{r.T("provisionlogs." + one.field), one.name, at.list(f.with(one.field, one.value)), at.list(f.excluding(one.field, one.value))})
	}
	var lines []string
	lines = append(lines, p.ActionName+" · "+p.StatusName+" · "+p.Exact, d.ID)
	if p.MessageText != "" {
		lines = append(lines, p.MessageText)
	}
	for _, fact := range p.Facts {
		lines = append(lines, fact.Label+": "+fact.Value)
	}
	for _, try := range p.Tries {
		lines = append(lines, try.Exact+" "+try.Said)
	}
	p.CopyText = strings.Join(lines, "\n")
	return p
}

func familyName(r *web.Request, family string) string {
	if key := "provisionlogs.family-" + family; r.Has(key) {
		return r.T(key)
	}
	return family
}

// shown writes a value of a parameter.
func shown(value any) string {
	switch v := value.(type) {
	case nil:
		return ""
	case string:
		return v
	case float64, bool:
		return fmt.Sprint(v)
	}
	raw, err := json.Marshal(value)
	if err != nil {
		return ""
	}
	return string(raw)
}

func (h *Handlers) try(r *web.Request, d Details, a Attempt) tryRow {
	at := a.StartedAt.In(r.Zone)
	t := tryRow{
		Attempt: a, Icon: "circle-x", Bad: true, ISO: at.Format(time.RFC3339), Exact: exact(r, at), Time: at.Format("15:04:05"), Took: took(r, a.FinishedAt.Sub(a.StartedAt)),
		Said: a.Message, Detail: a.Detail,
	}
	switch a.Outcome {
	case "succeeded":
		t.Icon, t.Bad = "circle-check", false
	case "waiting":
		t.Icon, t.Bad = "hourglass", false
	case "cancelled":
		t.Icon, t.Bad = "ban", false
	case "unknown":
		t.Icon = "circle-help"
	case "retry":
		t.Icon, t.Bad = "rotate-cw", false
	}
	if t.Said == "" {
		t.Said = r.T("provisionlogs.outcome-" + a.Outcome)
	}
	if t.Detail == t.Said {
		t.Detail = ""
	}
	if a.Debug != nil {
		t.Debug = pretty(*a.Debug)
		t.File = fmt.Sprintf("%s/%s/debug/%d", logsPath, d.ID, a.Attempt)
		if len(t.Debug) > debugShown {
			t.Debug, t.Large = strings.ToValidUTF8(t.Debug[:debugShown], ""), true
		}
	}
	return t
}

// pretty indents JSON.
func pretty(raw string) string {
	var value any
	if json.Unmarshal([]byte(raw), &value) != nil {
		return raw
	}
	var out strings.Builder
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false) // the template escapes
	encoder.SetIndent("", "  ")
	if encoder.Encode(value) != nil {
		return raw
	}
	return strings.TrimSpace(out.String())
}

// Debug answers GET /admin/provisioning/logs/:id/debug/:attempt with all of an attempt's debug data, as a file.
func (h *Handlers) Debug(c *fiber.Ctx) error {
	id, err := web.ID(c, "id")
	if err != nil {
		return err
	}
	details, err := h.service.Get(c.UserContext(), web.Viewer(c), id)
	if err != nil {
		return err
	}
	for _, try := range details.Tries {
		if fmt.Sprint(try.Attempt) == c.Params("attempt") && try.Debug != nil {
			c.Set(fiber.HeaderContentType, fiber.MIMEApplicationJSONCharsetUTF8)
			c.Set(fiber.HeaderContentDisposition, fmt.Sprintf(`attachment; filename="run-%s-%d.json"`, id, try.Attempt))
			return c.SendString(pretty(*try.Debug))
		}
	}
	return app.ErrNotFound
}
