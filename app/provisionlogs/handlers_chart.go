package provisionlogs

import (
	"fmt"
	"strings"
	"time"

	"portico/app/web"

	"github.com/gofiber/fiber/v2"
)

// chart is a Histogram drawn.
type chart struct {
	Bars             []drawnBar
	Width, Height    int
	Succeeded, Open  int
	Failed, Off      int
	Range            string
	Ticks            []string
	Label            string
	Start            string // RFC 3339, with Step the scale of what is dragged over
	StepSeconds      int
	Newest, Late     bool
	MostBarred       int
	Rows             []drawnBar // those that are not empty, for the table
	FromName, ToName string
}

// drawnBar is one bar: rectangles from the bottom up.
type drawnBar struct {
	X, Width           string
	Rects              []rect
	When, Href         string
	Succeeded, Open    int
	Failed, Off, Total int
}

type rect struct{ Class, Y, Height string }

const (
	chartWidth  = 720
	chartHeight = 64
)

func (h *Handlers) chart(c *fiber.Ctx, at place, f Filter) (*chart, error) {
	r := web.Of(c)
	now := r.Now
	histogram, err := h.service.Histogram(c.UserContext(), r.Viewer, f, now)
	if err != nil {
		return nil, err
	}
	return draw(r, histogram, func(from, to time.Time) string {
		picked := f
		picked.From, picked.To = from, to
		return at.list(picked)
	}), nil
}

// draw lays a histogram out in a box of 720 by 64. href leads to what one bar stands for.
func draw(r *web.Request, h Histogram, href func(from, to time.Time) string) *chart {
	totals := h.Totals()
	ch := &chart{
		Width: chartWidth, Height: chartHeight, Succeeded: totals["succeeded"], Failed: totals["failed"], Off: totals["cancelled"],
		Open: totals["approval"] + totals["queued"] + totals["running"] + totals["retrying"], Start: h.Start.Format(time.RFC3339), StepSeconds: int(h.Step / time.Second),
		Newest: h.Newest, Late: h.Late, MostBarred: mostBarred,
	}
	highest := 1
	for _, bar := range h.Bars {
		highest = max(highest, bar.Sum())
	}
	slot := float64(chartWidth) / float64(max(len(h.Bars), 1))
	number := func(f float64) string { return strings.TrimSuffix(fmt.Sprintf("%.1f", f), ".0") }
	long := h.End.Sub(h.Start) > 36*time.Hour
	when := func(at time.Time) string {
		at = at.In(r.Zone)
		if h.Step >= 24*time.Hour {
			return day(r, at)
		}
		return day(r, at) + " " + at.Format("15:04")
	}
	for i, bar := range h.Bars {
		drawn := drawnBar{
			X: number(float64(i)*slot + 0.1*slot), Width: number(slot * 0.8), When: when(bar.At), Total: bar.Sum(),
			Succeeded: bar.Runs["succeeded"], Failed: bar.Runs["failed"], Off: bar.Runs["cancelled"],
			Open: bar.Runs["approval"] + bar.Runs["queued"] + bar.Runs["running"] + bar.Runs["retrying"],
		}
		y := float64(chartHeight) - 0.6
		for _, part := range []struct {
			class string
			n     int
		}{{"fail", drawn.Failed}, {"wait", drawn.Open}, {"off", drawn.Off}, {"ok", drawn.Succeeded}} {
			if part.n == 0 {
				continue
			}
			height := max(1, float64(part.n)/float64(highest)*56)
			y -= height
			drawn.Rects = append(drawn.Rects, rect{part.class, number(y), number(height)})
		}
		if drawn.Total > 0 {
			drawn.Href = href(bar.At, bar.At.Add(h.Step))
			ch.Rows = append(ch.Rows, drawn)
		}
		ch.Bars = append(ch.Bars, drawn)
	}
	for i := range 5 {
		at := h.Start.Add(h.End.Sub(h.Start) * time.Duration(i) / 4).In(r.Zone)
		switch {
		case long:
			ch.Ticks = append(ch.Ticks, day(r, at))
		case i == 0 || at.Day() != h.Start.Add(h.End.Sub(h.Start)*time.Duration(i-1)/4).In(r.Zone).Day():
			ch.Ticks = append(ch.Ticks, day(r, at)+" "+at.Format("15:04"))
		default:
			ch.Ticks = append(ch.Ticks, at.Format("15:04"))
		}
	}
	ch.FromName, ch.ToName = when(h.Start), when(h.End)
	ch.Range = span(r, h.End.Sub(h.Start))
	ch.Label = r.T("provisionlogs.chart", "From", ch.FromName, "To", ch.ToName, "Succeeded", r.Number(ch.Succeeded), "Open", r.Number(ch.Open), "Failed", r.Number(ch.Failed), "Cancelled", r.Number(ch.Off))
	return ch
}

// span writes how long a range is.
func span(r *web.Request, d time.Duration) string {
	switch {
	case d < 2*time.Hour:
		return r.T("provisionlogs.span-minutes", "Count", int(d.Round(time.Minute)/time.Minute))
	case d < 48*time.Hour:
		return r.T("provisionlogs.span-hours", "Count", int(d.Round(time.Hour)/time.Hour))
	default:
		return r.T("provisionlogs.span-days", "Count", int(d.Round(24*time.Hour)/(24*time.Hour)))
	}
}
