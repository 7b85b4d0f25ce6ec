package tickets

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"portico/app"
	"portico/app/access"
	"portico/app/attachments"
)

// OpenFile opens a file of a ticket's message for a viewer: attachments.Service.Download. It asks anew whether they may have it.
type OpenFile func(ctx context.Context, v app.Viewer, ticketID, id string) (attachments.File, io.ReadCloser, error)

// Export is a ticket to be taken along: what stands in the archive's ticket.json.
type Export struct {
	Number     int64           `json:"number"`
	Subject    string          `json:"subject"`
	Status     string          `json:"status"`
	Account    string          `json:"account"`
	Department string          `json:"department,omitempty"`
	OpenedAt   time.Time       `json:"opened_at"`
	ClosedAt   *time.Time      `json:"closed_at,omitempty"`
	Messages   []ExportMessage `json:"messages"`
	Events     []ExportEvent   `json:"events"`
	files      []exportFile    // in the order of the archive
	thread     Thread          // what it was made from
}

// ExportMessage is one message.
type ExportMessage struct {
	Author   string       `json:"author"`
	Voice    string       `json:"voice"` // owner, delegate or store
	At       time.Time    `json:"at"`
	EditedAt *time.Time   `json:"edited_at,omitempty"`
	Markdown string       `json:"markdown"`
	Files    []ExportFile `json:"files,omitempty"`
}

// ExportFile is one file of a message.
type ExportFile struct {
	Name      string `json:"name"`
	Path      string `json:"path"` // in the archive
	SizeBytes int64  `json:"size_bytes"`
}

// ExportEvent is something that happened to the ticket.
type ExportEvent struct {
	Actor string            `json:"actor"`
	At    time.Time         `json:"at"`
	Kind  string            `json:"kind"`
	Data  map[string]string `json:"data,omitempty"`
}

type exportFile struct{ id, path string }

// Chip is the status as the catalogue spells it.
func (e Export) Chip() string { return chip(e.Status) }

// Name is the archive's.
func (e Export) Name() string { return fmt.Sprintf("ticket-%d.zip", e.Number) }

// Export returns a ticket to be taken along: app.ErrNotFound to a stranger, app.ErrForbidden to all but its owners. It holds nothing
// that only the store's people see.
func (s *Service) Export(ctx context.Context, v app.Viewer, id string) (Export, error) {
	if err := access.Check(v, "tickets", "export"); err != nil {
		return Export{}, err
	}
	t, err := s.Thread(ctx, v, id)
	if err != nil {
		return Export{}, err
	}
	if err := allow(t.Ticket, "export"); err != nil {
		return Export{}, err
	}
	e := Export{
		Number: t.Number, Subject: t.Subject, Status: t.Status, Account: t.AccountName, Department: t.DepartmentName,
		OpenedAt: t.CreatedAt, ClosedAt: t.ClosedAt, Messages: []ExportMessage{}, Events: []ExportEvent{},
	}
	for _, entry := range t.Entries {
		switch {
		case entry.Message != nil && !entry.Message.Internal:
			m := entry.Message
			said := ExportMessage{Author: m.AuthorName, Voice: m.Voice, At: m.CreatedAt, EditedAt: m.EditedAt, Markdown: m.Body}
			for _, f := range m.Files {
				// The number keeps names apart, and from being any that a system has taken for itself.
				path := fmt.Sprintf("files/%03d %s", len(e.files)+1, f.Name)
				e.files = append(e.files, exportFile{f.ID, path})
				said.Files = append(said.Files, ExportFile{f.Name, path, f.SizeBytes})
			}
			e.Messages = append(e.Messages, said)
		case entry.Event != nil && !entry.Event.Internal:
			e.Events = append(e.Events, ExportEvent{entry.Event.ActorName, entry.Event.At, entry.Event.Kind, entry.Event.Data})
		}
	}
	e.thread = t
	return e, nil
}

// Write writes the archive: page as ticket.html, ticket.json, and the files as they are read, none of them whole in memory. Whether
// the viewer may have a file is asked when its turn comes. After an error the archive is broken, and unpacks as such.
func (e Export) Write(ctx context.Context, v app.Viewer, page []byte, open OpenFile, w io.Writer) error {
	archive := zip.NewWriter(w)
	data, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		return fmt.Errorf("encode ticket %d: %w", e.Number, err)
	}
	if err := e.add(archive, "ticket.html", zip.Deflate, bytes.NewReader(page)); err != nil {
		return err
	}
	if err := e.add(archive, "ticket.json", zip.Deflate, bytes.NewReader(data)); err != nil {
		return err
	}
	for _, f := range e.files {
		_, content, err := open(ctx, v, e.thread.ID, f.id)
		if err != nil {
			return fmt.Errorf("open %s of ticket %d: %w", f.id, e.Number, err)
		}
		err = e.add(archive, f.path, zip.Store, content)
		content.Close()
		if err != nil {
			return err
		}
	}
	return archive.Close()
}

func (e Export) add(archive *zip.Writer, name string, method uint16, content io.Reader) error {
	entry, err := archive.CreateHeader(&zip.FileHeader{Name: name, Method: method, Modified: e.thread.UpdatedAt.UTC()})
	if err == nil {
		_, err = io.Copy(entry, content)
	}
	if err != nil {
		return fmt.Errorf("put %s into the archive of ticket %d: %w", name, e.Number, err)
	}
	return nil
}

// markup is a message's HTML with the ticket's pictures where they lie in the archive.
func (e Export) markup(m *Message) string {
	html := m.HTML
	for _, f := range e.files {
		html = strings.ReplaceAll(html, `"`+attachments.ImagesPath+f.id+`"`, `"`+relative(f.path)+`"`)
	}
	return html
}
