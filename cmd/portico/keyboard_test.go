package main

import (
	"strings"
	"testing"

	"portico/app/dev"

	"github.com/chromedp/cdproto/input"
)

// tabTo presses Tab until what has the focus is called name, and shows that it has it.
func (b *tab) tabTo(name string) {
	b.t.Helper()
	passed := []string{}
	wait(b.t, "the focus on "+name, func() bool {
		now := eval[string](b, `((e) => e.matches(":focus-visible") ? (e.getAttribute("aria-label") ?? e.labels?.[0]?.innerText ?? e.innerText ?? "").trim() : "")(document.activeElement)`)
		if now == name || strings.HasPrefix(now, name+" (") || strings.HasPrefix(now, name+"\n") {
			return true
		}
		if passed = append(passed, now); len(passed) > 400 {
			b.t.Fatalf("Tab does not lead to %q at %s, but through %q", name, b.path(), passed[len(passed)-60:])
		}
		b.key("Tab")
		return false
	})
}

// enter goes to something by Tab and presses Enter there.
func (b *tab) enter(name string) { b.t.Helper(); b.tabTo(name); b.key("Enter") }

// write goes to a field by Tab and types into it, in place of what it holds.
func (b *tab) write(label, text string) {
	b.t.Helper()
	b.tabTo(label)
	call(b, input.DispatchKeyEvent, input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeKeyDown, Key: "a", Code: "KeyA", WindowsVirtualKeyCode: 65, Modifiers: 2, Commands: []string{"selectAll"}})
	call(b, input.InsertText, input.InsertTextParams{Text: text})
}

// TestTickets_ByKeyboard walks through the guide's article with Tab, Enter, Space and typing alone.
func TestTickets_ByKeyboard(t *testing.T) {
	t.Parallel()
	s := start(t, options{idle: true})
	b := s.browse(t, screen{})
	b.open("/sign-in")
	b.write("E-mail", bea)
	b.write("Password", dev.DemoPassword)
	b.enter("Sign in")
	b.at("/")
	b.enter("Support")
	b.at("/support")
	b.enter("Open new ticket")
	b.at("/support/new")
	b.write("Subject", "The oven’s page is gone")
	b.tabTo("Department")
	b.key("T") // as far as it takes to tell the departments apart
	b.write("Message", "It says **404** since noon.")
	b.enter("Create ticket")
	b.says("Your ticket is open.")
	id := s.text("select t.id from tickets t join departments d on d.id = t.department_id where subject = 'The oven’s page is gone' and d.name = 'Technical support'")
	page := "/support/" + id
	b.at(page)

	b.tabTo("Ticket menu")
	b.key(" ")
	b.enter("Edit subject")
	b.at(page + "/subject")
	b.write("Subject", "The page about our oven is gone")
	b.enter("Save")
	b.at(page)
	b.says("The page about our oven is gone")

	b.enter("Message menu")
	b.enter("Edit")
	b.says("Save")
	b.write("Message", "It says **404** since eleven.")
	b.enter("Save")
	b.at(page)
	b.says("It says 404 since eleven.")

	b.write("Reply", "And the one about bread too.")
	b.enter("Post reply")
	b.says("And the one about bread too.")
	b.says("Client replied")

	b.at(page)
	b.enter("Close ticket")
	b.says("Keep open")
	b.tabTo("Close ticket")
	b.key(" ")
	b.says("This ticket is closed.")
	b.enter("Dashboard")
	b.at("/")
	b.enter("View all")
	b.at("/support")
	b.enter("Closed")
	b.at("/support/closed")
	b.enter("The page about our oven is gone")
	b.at(page)
}
