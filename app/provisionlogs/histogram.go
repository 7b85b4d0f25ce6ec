package provisionlogs

import (
	"context"
	"fmt"
	"time"

	"portico/app"
	"portico/app/access"
)

// Histogram is how many runs of each status began when.
type Histogram struct {
	Start, End time.Time
	Step       time.Duration
	Bars       []Bar
	// Newest says that only the newest runs were counted, because more match than are read one by one; Late that not even those
	// could be, in time.
	Newest, Late bool
}

// Bar is one bar of a histogram: runs by status.
type Bar struct {
	At   time.Time
	Runs map[string]int
}

// Sum is how many runs a bar stands for.
func (b Bar) Sum() int {
	sum := 0
	for _, n := range b.Runs {
		sum += n
	}
	return sum
}

// Totals are the runs of all bars by status.
func (h Histogram) Totals() map[string]int {
	totals := map[string]int{}
	for _, bar := range h.Bars {
		for status, n := range bar.Runs {
			totals[status] += n
		}
	}
	return totals
}

const (
	mostBars     = 96
	defaultRange = 24 * time.Hour
)

var steps = []time.Duration{
	time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 20 * time.Minute, 30 * time.Minute,
	time.Hour, 2 * time.Hour, 3 * time.Hour, 4 * time.Hour, 6 * time.Hour, 8 * time.Hour, 12 * time.Hour,
	24 * time.Hour, 2 * 24 * time.Hour, 7 * 24 * time.Hour, 14 * 24 * time.Hour, 28 * 24 * time.Hour, 91 * 24 * time.Hour, 364 * 24 * time.Hour,
}

// bars lays out the bars of a range: each begins at a multiple of the step since 1970.
func bars(from, to time.Time) Histogram {
	if !to.After(from) {
		to = from.Add(time.Minute)
	}
	step := steps[len(steps)-1]
	for _, s := range steps {
		if to.Sub(from) <= mostBars*s*3/4 {
			step = s
			break
		}
	}
	h := Histogram{Step: step, Start: from.UTC().Truncate(time.Minute)}
	h.Start = time.Unix(h.Start.Unix()-h.Start.Unix()%int64(step/time.Second), 0).UTC()
	h.End = h.Start
	for len(h.Bars) < 2*mostBars && h.End.Before(to) {
		h.Bars = append(h.Bars, Bar{At: h.End, Runs: map[string]int{}})
		h.End = h.End.Add(step)
	}
	return h
}

// Histogram counts the runs that match over the filter's range; without From, over the 24 hours before To or now.
func (s *Service) Histogram(ctx context.Context, v app.Viewer, f Filter, now time.Time) (Histogram, error) {
	if err := access.Check(v, "logs", "view"); err != nil {
		return Histogram{}, err
	}
	to := f.To
	if to.IsZero() || to.After(now.Add(24*time.Hour)) {
		to = now
	}
	from := f.From
	if from.IsZero() {
		from = to.Add(-defaultRange)
	}
	h := bars(from, to)
	var tallies []tally
	var err error
	if f.counted() {
		tallies, err = countBars(ctx, s.pool, f, h.Start, h.End, h.Step)
	} else {
		all := true
		// From and to are the filter's own here, to the second.
		f.From, f.To = from, to
		if tallies, all, err = readBars(ctx, s.pool, f, h.Start, h.Step); !all {
			h.Newest, h.Late = tallies != nil, tallies == nil
		}
	}
	if err != nil {
		return Histogram{}, fmt.Errorf("count runs: %w", err)
	}
	for _, t := range tallies {
		if t.Bar >= 0 && t.Bar < len(h.Bars) {
			h.Bars[t.Bar].Runs[t.Status] += t.Runs
		}
	}
	return h, nil
}
