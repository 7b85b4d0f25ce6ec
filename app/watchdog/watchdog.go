// Package watchdog notices what is stuck, overdue or failing: in queues, in mail, in the database. It is asked by the admin
// dashboard and by metrics, and once a minute by a job (jobs/watchdog.go) that mails admins. Start reading at service.go.
package watchdog

import "time"

// The causes. Each has its words in the catalogue under "watchdog.KEY", and as a sentence under
// "watchdog.KEY-text".
const (
	NoWorker    = "no-worker"    // no process works jobs
	JobsRunning = "jobs-running" // jobs run far beyond every limit
	JobsWaiting = "jobs-waiting" // jobs of one queue are due and don't begin
	JobsFailed  = "jobs-failed"  // jobs gave up within the last hour
	MailServer  = "mail-server"  // the mail server can't be reached
	MailFailing = "mail-failing" // the newest attempts to deliver failed, all of them
	MailWaiting = "mail-waiting" // mails are not delivered for long
	Connections = "connections"  // the database is nearly out of connections
)

// Keys lists every cause, what holds up most first.
var Keys = []string{NoWorker, Connections, MailServer, JobsRunning, JobsWaiting, MailFailing, MailWaiting, JobsFailed}

// Cause is one thing that needs attention.
type Cause struct {
	Key   string
	Name  string    // which queue, for JobsWaiting; else ""
	Since time.Time // zero where that is not known
	Count int       // jobs, mails, attempts or connections; 0 where there is nothing to count. Counting ends at 10,000
	Of    int       // what Count is of, for Connections; else 0
	Href  string    // the page on which to look after it
}

// ID tells causes apart: what is mailed once an hour.
func (c Cause) ID() string {
	if c.Name == "" {
		return c.Key
	}
	return c.Key + ":" + c.Name
}

// Limits say when something counts as stuck, overdue or failing.
type Limits struct {
	// Running is beyond the longest time any job may take and the time after which a lost one is rescued, both with room.
	Running time.Duration
	// Waiting is how long a due job may wait; Queues has the queues that differ.
	Waiting time.Duration
	Queues  map[string]time.Duration
	// Failed is how long a failed job is told of.
	Failed time.Duration
	// MailWaiting is longer than a mail waits for a server that lets strangers in at their second or third try.
	MailWaiting time.Duration
	// MailFailures attempts in a row, of at least MailsFailing mails, within MailFailed: one odd recipient is no cause.
	MailFailures, MailsFailing int
	MailFailed                 time.Duration
	// Connections in use, as a share of those that the database allows.
	Connections float64
	// Again is how long admins are left in peace after a mail about a cause.
	Again time.Duration
}

// DefaultLimits are those of the portal.
var DefaultLimits = Limits{
	Running:      15 * time.Minute,
	Waiting:      10 * time.Minute,
	Queues:       map[string]time.Duration{"mail": 5 * time.Minute}, // people wait for confirmations and resets
	Failed:       time.Hour,
	MailWaiting:  30 * time.Minute,
	MailFailures: 5, MailsFailing: 3, MailFailed: time.Hour,
	Connections: 0.9,
	Again:       time.Hour,
}
