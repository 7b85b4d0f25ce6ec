package jobs

import (
	"fmt"
	"hash/fnv"
	"time"

	"portico/app/billing"
	"portico/app/mail"
	"portico/app/provisioning"

	"github.com/riverqueue/river/rivertype"
)

// pauses says how long a kind of job waits after its first, second, … failed attempt. A kind has one attempt more than pauses.
// Each is spread by a tenth either way, so that what failed together does not come back together.
var pauses = map[string][]time.Duration{
	// A mail server that is being restarted is back within a minute, greylisting lets a mail in after five; a full disk or a
	// wrong password takes people. After 24 hours most links in mails are dead.
	mail.DeliverArgs{}.Kind(): append([]time.Duration{
		30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 20 * time.Minute, 30 * time.Minute, time.Hour,
	}, repeat(2*time.Hour, 11)...),
	// Somebody looks on: what was a moment's trouble is over within seconds. A panel that restarts is back within minutes, a backup or a
	// data centre's trouble takes hours. Beyond eight attempts or 24 hours a person has to look.
	provisioning.PerformArgs{}.Kind(): {5 * time.Second, 20 * time.Second, time.Minute, 5 * time.Minute, 20 * time.Minute, time.Hour, 3 * time.Hour},
	// The next sweep comes soon anyway.
	sweepArgs{}.Kind(): {time.Minute, 2 * time.Minute},
	// The next hour looks again; a contract that can't be renewed now, because its rows are locked or the database is away, can soon.
	renewalsArgs{}.Kind():      {time.Minute, 5 * time.Minute},
	billing.RenewArgs{}.Kind(): {10 * time.Second, time.Minute, 10 * time.Minute, time.Hour},
	// So does the next look.
	watchArgs{}.Kind():   {20 * time.Second},
	silenceArgs{}.Kind(): {5 * time.Minute},
}

// defaultPauses are for kinds that this program does not know, put there by a newer one that runs beside it.
var defaultPauses = []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour, 3 * time.Hour}

func repeat(pause time.Duration, times int) []time.Duration {
	all := make([]time.Duration, times)
	for i := range all {
		all[i] = pause
	}
	return all
}

// pauseAfter is how long a job waits after this attempt, the same at every call; 0 if it was its last.
func pauseAfter(job *rivertype.JobRow) time.Duration {
	if job.Attempt >= job.MaxAttempts {
		return 0
	}
	table, ok := pauses[job.Kind]
	if !ok {
		table = defaultPauses
	}
	pause := table[min(max(job.Attempt, 1), len(table))-1]
	spread := fnv.New32a()
	fmt.Fprintf(spread, "%d/%d", job.ID, job.Attempt)
	tenths := float64(spread.Sum32()%2001)/1000 - 1 // -1 to 1
	return pause + time.Duration(tenths*float64(pause)/10)
}

// retryPolicy gives River the table.
type retryPolicy struct{}

func (retryPolicy) NextRetry(job *rivertype.JobRow) time.Time { return time.Now().Add(pauseAfter(job)) }
