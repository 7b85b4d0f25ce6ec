package provisionlogs

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"portico/app"
	"portico/app/access"
)

// exportRows is how many runs an export reads at a time.
const exportRows = 1000

// Format is how an export writes runs.
type Format string

const (
	CSV       Format = "csv"   // one line of names, then one of values for each run
	JSONLines Format = "jsonl" // one JSON object for each run
)

// exported is a run as exports write it, in the order of the columns.
type exported struct {
	ID            string `json:"id"`
	Time          string `json:"time"` // RFC 3339, UTC
	Status        string `json:"status"`
	Unknown       bool   `json:"outcome_unknown"`
	Category      string `json:"category"`
	Action        string `json:"action"`
	Provider      string `json:"provider"`
	Configuration string `json:"configuration"`
	Client        string `json:"client"`
	Product       string `json:"product"`
	Domain        string `json:"domain"`
	Username      string `json:"username"`
	Actor         string `json:"actor"`
	Attempts      int    `json:"attempts"`
	DurationMS    *int   `json:"duration_ms"`
	Message       string `json:"message"`
}

var exportColumns = []string{
	"id", "time", "status", "outcome_unknown", "category", "action", "provider", "configuration", "client", "product", "domain", "username", "actor", "attempts", "duration_ms", "message",
}

func exportOf(r Run) exported {
	return exported{
		r.ID, r.CreatedAt.UTC().Format(time.RFC3339Nano), r.Status, r.UnknownOutcome, r.Category, r.Action, r.Driver, r.ConfigurationName,
		r.AccountName, r.ProductName, r.Domain, r.Username, r.ActorName, r.Attempts, r.DurationMS, r.Message,
	}
}

func (e exported) cells() []string {
	duration := ""
	if e.DurationMS != nil {
		duration = strconv.Itoa(*e.DurationMS)
	}
	cells := []string{
		e.ID, e.Time, e.Status, strconv.FormatBool(e.Unknown), e.Category, e.Action, e.Provider, e.Configuration,
		e.Client, e.Product, e.Domain, e.Username, e.Actor, strconv.Itoa(e.Attempts), duration, e.Message,
	}
	for i, cell := range cells {
		cells[i] = harmless(cell)
	}
	return cells
}

// harmless keeps a spreadsheet from taking a text for a formula: an apostrophe goes before what begins like one.
// Source: OWASP, "CSV Injection".
func harmless(cell string) string {
	if strings.HasPrefix(cell, "\t") || strings.HasPrefix(cell, "\r") || strings.HasPrefix(cell, "\n") || strings.ContainsAny(firstOf(cell), "=+-@＝＋－＠") && firstOf(cell) != "" {
		return "'" + cell
	}
	return cell
}

func firstOf(text string) string {
	for _, r := range strings.TrimLeft(text, " ") {
		return string(r)
	}
	return ""
}

// Export returns all runs that match, newest first, as they are read: nothing is held but a few rows. still is asked before each
// thousand; its error ends the export. Close it when done.
func (s *Service) Export(v app.Viewer, f Filter, format Format, still func(context.Context) error) (io.ReadCloser, error) {
	if err := access.Check(v, "logs", "export"); err != nil {
		return nil, err
	}
	e := &export{service: s, filter: f, format: format, still: still}
	e.ctx, e.cancel = context.WithCancel(context.Background()) // the request is over before the answer is
	if format == CSV {
		e.out.WriteString(strings.Join(exportColumns, ",") + "\r\n")
	}
	return e, nil
}

type export struct {
	service *Service
	filter  Filter
	format  Format
	still   func(context.Context) error
	ctx     context.Context
	cancel  context.CancelFunc
	out     bytes.Buffer
	before  string
	over    bool
}

func (e *export) Read(p []byte) (int, error) {
	for e.out.Len() == 0 {
		if e.over {
			return 0, io.EOF
		}
		if err := e.next(); err != nil {
			e.over = true
			return 0, err
		}
	}
	return e.out.Read(p)
}

// next reads on.
func (e *export) next() error {
	ctx, cancel := context.WithTimeout(e.ctx, 30*time.Second)
	defer cancel()
	if err := e.still(ctx); err != nil {
		return err
	}
	page, err := list(ctx, e.service.pool, e.filter, e.before, exportRows)
	if err != nil {
		return fmt.Errorf("export runs: %w", err)
	}
	e.before, e.over = page.Next, page.Next == ""
	if e.format == JSONLines {
		encoder := json.NewEncoder(&e.out)
		encoder.SetEscapeHTML(false)
		for _, run := range page.Runs {
			if err := encoder.Encode(exportOf(run)); err != nil {
				return fmt.Errorf("export run %s: %w", run.ID, err)
			}
		}
		return nil
	}
	w := csv.NewWriter(&e.out)
	w.UseCRLF = true
	for _, run := range page.Runs {
		if err := w.Write(exportOf(run).cells()); err != nil {
			return fmt.Errorf("export run %s: %w", run.ID, err)
		}
	}
	w.Flush()
	return w.Error()
}

func (e *export) Close() error {
	e.cancel()
	return nil
}
