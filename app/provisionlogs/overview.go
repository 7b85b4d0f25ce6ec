package provisionlogs

import (
	"context"
	"fmt"
	"time"

	"portico/app"
	"portico/app/access"
)

// Overview is how provisioning does: for a page that an admin opens in the morning.
type Overview struct {
	Week     Histogram // all runs of seven days
	Queue    []Waiting // runs that are not final, by status
	Drivers  []Speed   // providers by how slow they are, of the newest runs of a day
	Failures []Failing // configurations with failed runs in seven days, most first
	Families []Family  // kinds of errors of those
}

// Waiting is how many runs have a status that is not final, and since when the oldest.
type Waiting struct {
	Status string
	Runs   int
	Oldest time.Time
}

// Speed is how long a provider's calls took, in milliseconds: half of them at most Median, 19 of 20 at most Slow.
type Speed struct {
	Driver string
	Runs   int
	Failed int
	Median int
	Slow   int
}

// Failing is a configuration with failed runs.
type Failing struct {
	Driver            string
	ConfigurationName string
	Runs              int
	LastAt            time.Time
}

// Family is how many runs failed with errors of a kind; "" is unknown outcomes and what was not told.
type Family struct {
	Family string
	Runs   int
}

const week = 7 * 24 * time.Hour

// Overview gathers all of it. It reads 20,000 rows of each kind at most.
func (s *Service) Overview(ctx context.Context, v app.Viewer, now time.Time) (Overview, error) {
	if err := access.Check(v, "logs", "view"); err != nil {
		return Overview{}, err
	}
	o := Overview{}
	var err error
	if o.Week, err = s.Histogram(ctx, v, Filter{From: now.Add(-week)}, now); err != nil {
		return Overview{}, err
	}
	if o.Queue, err = waiting(ctx, s.pool); err != nil {
		return Overview{}, fmt.Errorf("count waiting runs: %w", err)
	}
	if o.Drivers, err = speeds(ctx, s.pool, now.Add(-24*time.Hour)); err != nil {
		return Overview{}, fmt.Errorf("measure providers: %w", err)
	}
	if o.Failures, err = failing(ctx, s.pool, now.Add(-week)); err != nil {
		return Overview{}, fmt.Errorf("list failing configurations: %w", err)
	}
	if o.Families, err = families(ctx, s.pool, now.Add(-week)); err != nil {
		return Overview{}, fmt.Errorf("list kinds of errors: %w", err)
	}
	return o, nil
}
