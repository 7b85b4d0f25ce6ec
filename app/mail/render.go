package mail

import (
	"bytes"
	"fmt"
	"html/template"
	"strconv"
	"strings"
	texttemplate "text/template"
	"time"

	"portico/app/locale"
	mailviews "portico/views/mail"
)

var (
	htmlFrame = template.Must(template.ParseFS(mailviews.Files, "frame.html.tmpl"))
	textFrame = texttemplate.Must(texttemplate.ParseFS(mailviews.Files, "frame.text.tmpl"))
)

// Content is a mail as its recipient sees it.
type Content struct {
	Subject string
	HTML    string
	Text    string
}

// frame is the dot of both templates.
type frame struct {
	Lang       string
	Store      string
	Signature  []string // lines
	Heading    string
	Hello      string
	Paragraphs []string
	Quote      []string // lines of what somebody wrote
	Button     link     // URL "" for none
	Copy       string
	Second     link // URL "" for none
	Notes      []string
	Why        string

	ButtonLight, ButtonDark, DarkInk, DarkCard template.CSS
}

type link struct{ Label, URL string }

// render makes the mail. secret is the link's, or mask in a preview; it is used only where the kind has a link.
func (s *Service) render(d delivery, store storeFacts, secret string) (Content, error) {
	kind, ok := kinds[d.Kind]
	if !ok {
		return Content{}, fmt.Errorf("mail of unknown kind %q", d.Kind)
	}
	zone := d.TimeZone
	if zone == "" {
		zone = store.TimeZone
	}
	p := s.catalogue.Printer(d.Language, zone, time.Now())
	args := textArgs(p, d, store)
	say := func(name string) string { return p.T("mail."+d.Kind+"."+name, args...) }

	light, dark := buttonColours(store.BrandColour)
	f := frame{
		Lang: p.Lang, Store: oneLine(store.Name, maxName), Heading: say("heading"), Hello: hello(p, d.Name),
		Paragraphs: paragraphs(say("text")), Why: say("why"),
		// Our own arithmetic's output, #rrggbb and nothing else.
		ButtonLight: template.CSS(light), ButtonDark: template.CSS(dark), DarkInk: darkInk, DarkCard: darkCard,
	}
	if signature := strings.TrimSpace(store.Signature); signature != "" {
		for line := range strings.Lines(signature) {
			f.Signature = append(f.Signature, oneLine(line, 200))
		}
	}
	switch {
	case kind.purpose != "":
		f.Button = link{say("button"), s.url + linkPaths[kind.purpose] + secret}
		f.Copy = p.T("mail.copy")
		if d.TokenExpires != nil {
			f.Notes = append(f.Notes, p.T("mail.until", "Until", moment(p, *d.TokenExpires)))
		}
	case kind.page != "":
		page := kind.page
		if page == fromData {
			page = d.Data["Page"]
		}
		f.Button = link{say("button"), s.url + page}
		f.Copy = p.T("mail.copy")
	}
	if kind.second != "" {
		f.Second = link{say("second"), s.url + kind.second}
	}
	if change := d.Data["Change"]; change != "" && d.Kind == "second-factor-changed" {
		f.Paragraphs = append([]string{p.T("mail.second-factor-changed.change."+change, args...)}, f.Paragraphs...)
	}
	if d.Data["Cause"] != "" {
		sentence, err := whatIsWrong(p, d)
		if err != nil {
			return Content{}, err
		}
		f.Paragraphs = append([]string{sentence}, f.Paragraphs...)
	}
	f.Quote = quoted(d.Quote)
	if d.Data["IP"] != "" {
		f.Notes = append(f.Notes, p.T("mail.asked-from", "IP", fact(d, "IP"), "Browser", fact(d, "Browser"), "When", moment(p, d.CreatedAt)))
	}
	content := Content{Subject: oneLine(say("subject"), 200)}
	var html, text bytes.Buffer
	if err := htmlFrame.Execute(&html, f); err != nil {
		return Content{}, fmt.Errorf("render the HTML of %s: %w", d.Kind, err)
	}
	if err := textFrame.Execute(&text, f); err != nil {
		return Content{}, fmt.Errorf("render the text of %s: %w", d.Kind, err)
	}
	content.HTML, content.Text = html.String(), text.String()
	return content, nil
}

// subject is what the list of mails shows while a mail still waits.
func (s *Service) subject(d delivery, store storeFacts) string {
	p := s.catalogue.Printer(d.Language, "", time.Now())
	return oneLine(p.T("mail."+d.Kind+".subject", textArgs(p, d, store)...), 200)
}

func textArgs(p *locale.Printer, d delivery, store storeFacts) []any {
	args := []any{
		"Store", oneLine(store.Name, maxName), "Recipient", d.Recipient, "Sender", store.SenderAddress,
		"Email", fact(d, "Email"), "Name", fact(d, "Name"), "Subject", fact(d, "Subject"), "Number", fact(d, "Number"),
		"Contract", fact(d, "Contract"), "Product", fact(d, "Product"),
		"Owner", fact(d, "Owner"),
	}
	if ends, err := time.Parse(time.RFC3339, d.Data["Ends"]); err == nil {
		args = append(args, "Ends", moment(p, ends))
	}
	if until, err := time.Parse(time.RFC3339, d.Data["Until"]); err == nil {
		args = append(args, "Until", moment(p, until))
	}
	if status := d.Data["Status"]; status != "" {
		args = append(args, "Status", p.T("tickets.status-"+strings.ReplaceAll(status, "_", "-")))
	}
	if minor, err := strconv.ParseInt(d.Data["Minor"], 10, 64); err == nil {
		args = append(args, "Amount", p.Money(minor, d.Data["Currency"]))
	}
	if day, err := time.Parse(time.DateOnly, d.Data["Day"]); err == nil {
		args = append(args, "Day", p.CalendarDay(day))
	}
	if state := d.Data["State"]; state != "" {
		args = append(args, "State", p.T("contracts.status-"+state))
	}
	if answer := d.Data["Answer"]; answer != "" {
		args = append(args, "Answer", p.T("mail.answer-"+answer))
	}
	for _, name := range []string{"Account", "Action", "Configuration", "Reason", "Minutes"} {
		if d.Data[name] != "" {
			args = append(args, name, fact(d, name))
		}
	}
	if cause := d.Data["Cause"]; cause != "" {
		args = append(args, "Cause", p.T("watchdog."+cause))
	} else if count, err := strconv.Atoi(d.Data["Count"]); err == nil {
		args = append(args, "Count", count)
	}
	return args
}

// whatIsWrong is a watchdog's cause as a sentence, the same as the dashboard's.
func whatIsWrong(p *locale.Printer, d delivery) (string, error) {
	args := []any{"Name", fact(d, "Name")}
	for _, name := range []string{"Count", "Of"} {
		if d.Data[name] == "" {
			continue
		}
		number, err := strconv.Atoi(d.Data[name])
		if err != nil {
			return "", fmt.Errorf("read the numbers of %s: %w", d.Kind, err)
		}
		if name == "Count" {
			args = append(args, "Count", number, "Number", p.Number(number))
		} else {
			args = append(args, name, p.Number(number))
		}
	}
	return p.T("watchdog."+d.Data["Cause"]+"-text", args...), nil
}

// fact is a value of the delivery's data as it may stand in a sentence.
func fact(d delivery, name string) string { return oneLine(d.Data[name], 200) }

func hello(p *locale.Printer, name string) string {
	if name = plainName(name); name != "" {
		return p.T("mail.hello-name", "Name", name)
	}
	return p.T("mail.hello")
}

func paragraphs(text string) []string {
	var all []string
	for paragraph := range strings.SplitSeq(text, "\n\n") {
		if paragraph = strings.TrimSpace(paragraph); paragraph != "" {
			all = append(all, strings.ReplaceAll(paragraph, "\n", " "))
		}
	}
	return all
}

// maxQuote is how much of what somebody wrote a mail repeats, in characters. The rest is behind the button.
const maxQuote = 4000

// quoted are the lines of what somebody wrote, as it was typed.
func quoted(text string) []string {
	signs := []rune(strings.TrimSpace(text))
	if len(signs) == 0 {
		return nil
	}
	more := len(signs) > maxQuote
	var lines []string
	for line := range strings.Lines(string(signs[:min(len(signs), maxQuote)])) {
		lines = append(lines, strings.TrimRight(line, "\n"))
	}
	if more {
		lines = append(lines, "…")
	}
	return lines
}

// moment writes a time with its zone, since a mail is read anywhere.
func moment(p *locale.Printer, t time.Time) string {
	return p.DateTime(t) + " (" + t.In(p.Zone).Format("MST") + ")"
}
