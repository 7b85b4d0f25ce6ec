package tickets

import (
	"fmt"
	"time"

	"portico/app/delegates"
	"portico/app/web"
)

// Line is one entry of a thread as views/tickets/timeline.html shows it.
type Line struct {
	Message *Message
	Event   *Event

	// Of a message:
	OfStore  bool   // the store says it
	From     string // "self", "store", "owner", "delegate" or "note": data-from
	Name     string // "You", or the author's
	Tag      string // what the author is, "" where that is plain
	EditPath string // "" where the viewer may not edit it
	Base     string // the address of the ticket's page

	// Of an event:
	Icon string
	Text string // the sentence, without who did it
}

// Timeline puts a thread into words. base is the address of the ticket's page, "/support/ID" or "/admin/support/ID".
func Timeline(r *web.Request, t Thread, base string) []Line {
	lines := make([]Line, 0, len(t.Entries))
	for _, entry := range t.Entries {
		if entry.Message != nil {
			lines = append(lines, messageLine(r, t, base, entry.Message))
		} else {
			lines = append(lines, eventLine(r, entry.Event))
		}
	}
	return lines
}

func messageLine(r *web.Request, t Thread, base string, m *Message) Line {
	line := Line{Message: m, OfStore: m.Voice == VoiceStore, From: m.Voice, Name: m.AuthorName, Base: base}
	switch {
	case m.Internal:
		line.From = "note"
	case m.Own:
		line.From, line.Name = "self", r.T("tickets.you")
	case m.Voice == VoiceStore:
		line.Tag = r.Store.Name
	case m.Voice == VoiceDelegate:
		line.Tag = r.T("tickets.delegate")
	case t.OfStore():
		line.Tag = r.T("tickets.client")
	}
	if m.CanEdit {
		line.EditPath = fmt.Sprintf("%s/messages/%s/edit", base, m.ID)
	}
	return line
}

// eventIcons draw events. A newer program beside this one may know more kinds.
var eventIcons = map[string]string{
	EventSubject: "pencil", EventEdit: "pencil", EventClose: "lock", EventStatus: "hourglass", EventDepartment: "building-2", EventAssign: "user-round",
	delegates.EventInvite: "user-plus", delegates.EventAccept: "share-2", delegates.EventDecline: "user-x", delegates.EventRevoke: "user-x", delegates.EventLeave: "log-out",
	EventSilence: "hourglass", EventRan: "circle-check",
}

func eventLine(r *web.Request, e *Event) Line {
	line := Line{Event: e, Icon: eventIcons[e.Kind], Name: e.ActorName}
	if line.Icon == "" {
		line.Icon = "info"
	}
	if e.Own {
		line.Name = r.T("tickets.you")
	}
	key := "tickets.event-" + e.Kind
	args := []any{}
	for name, value := range e.Data {
		if name == "After" && e.Kind == EventStatus {
			value = r.T("tickets.status-" + chip(value))
		}
		if name == "Until" && e.Kind == EventSilence {
			if at, err := time.Parse(time.RFC3339, value); err == nil {
				value = r.DateTime(at)
			}
		}
		args = append(args, name, value)
	}
	switch {
	case e.Kind == EventClose && e.Data["Number"] != "":
		key += "-duplicate"
	case e.Kind == EventClose && e.Data["Silence"] != "":
		key += "-silence"
	case (e.Kind == EventDepartment || e.Kind == EventAssign) && e.Data["After"] == "":
		key += "-none"
	case e.Kind == EventAssign && e.Data["After"] == e.ActorName && e.Own:
		key += "-own"
	case e.Kind == EventAssign && e.Data["After"] == e.ActorName:
		key += "-self"
	}
	if r.Has(key) || len(args) > 0 && eventIcons[e.Kind] != "" {
		line.Text = r.T(key, args...)
	} else {
		line.Text = r.T("tickets.event-other")
	}
	return line
}
