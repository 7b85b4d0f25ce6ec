// Package queues is the page **Jobs**: what waits, runs and failed in the background, and the few things an admin may do about
// it. What jobs do stands in the package jobs; here is only how they are looked at. Start reading at service.go.
package queues

import (
	"encoding/json"
	"time"
)

// State is a job's state in the words of the portal.
type State string

// The states. River has others: see stateSQL.
const (
	Queued    State = "queued"
	Running   State = "running"
	Retrying  State = "retrying" // was tried, and will be again
	Succeeded State = "succeeded"
	Failed    State = "failed" // gave up, or was given up by its own worker
	Cancelled State = "cancelled"
)

// States lists all of them in the order of a job's life.
var States = []State{Queued, Running, Retrying, Succeeded, Failed, Cancelled}

// Final tells whether nothing happens to the job any more, unless somebody asks for it.
func (s State) Final() bool { return s == Succeeded || s == Failed || s == Cancelled }

// Job is one job as a list shows it.
type Job struct {
	Number      int64  `json:"-"`         // River's id; never shown
	ID          string `db:"-" json:"id"` // for addresses: see keys.Ring.Mask
	Kind        string
	Queue       string
	State       State
	Attempt     int
	MaxAttempts int
	CreatedAt   time.Time
	ScheduledAt time.Time  // when it is due, or was
	AttemptedAt *time.Time // start of the newest attempt
	FinalizedAt *time.Time
	Stopping    bool // was asked to stop while it runs
}

// Details are all that is known of one job.
type Details struct {
	Job
	Args   json.RawMessage // ids only
	Errors []Failure       // oldest first
	Rows   string          `db:"-"` // address of the page of what the job is about, "" for none
}

// Failure is what one attempt died of. Its text passed the redactor before it was stored.
type Failure struct {
	At      time.Time `json:"at"`
	Attempt int       `json:"attempt"`
	Error   string    `json:"error"`
	Trace   string    `json:"trace"` // of a panic, else ""
}

// MayRetry tells whether the job may be made due at once. One that succeeded may not, nor one whose own row is final: the
// attempt would find nothing to do and look like a success.
func (j Job) MayRetry(now time.Time) bool {
	switch j.State {
	case Queued, Retrying:
		return j.ScheduledAt.After(now)
	case Failed, Cancelled:
		return rows[j.Kind].path == ""
	}
	return false
}

// MayCancel tells whether there is something left to cancel.
func (j Job) MayCancel() bool { return !j.State.Final() && !j.Stopping }

// rows says which kinds of jobs work on a row of ours that tells more than the job does, and may be done again only from there:
// the argument that holds the row's id, and the page.
var rows = map[string]struct{ argument, path string }{
	"deliver_mail": {"delivery_id", "/admin/emails/"},
}

// Queue is one queue and how many of its jobs are in which state. Counts end at Most.
type Queue struct {
	Name     string
	Waiting  int
	Running  int
	Retrying int
	Failed   int        // in the last 24 hours
	Oldest   *time.Time // since when the job that has been due for longest waits
	PausedAt *time.Time
	Worked   bool // some process worked it within the last day; what was never worked can't be paused
}

// Most is where counting ends: beyond it the page says "10,000+".
const Most = 10_000

// Filter says which jobs are wanted. The zero Filter wants all.
type Filter struct {
	Queue, Kind string // exact
	State       State  // "" for all
	FailedFirst bool   // all failed ones before all others, instead of only the newest first
}

// Key says where a page of the list begins. The zero Key is the first page.
type Key struct {
	Before string // id of the last job of the page before
	Rest   bool   // with Filter.FailedFirst: the failed ones are through
}
