package dev

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"portico/app"
	"portico/app/keys"

	"github.com/jhillyerd/enmime/v2"
	"golang.org/x/net/html"
)

// mailboxSize is how many mails are kept; the oldest goes when one more comes.
const mailboxSize = 500

// Mailbox keeps the mails that the dev run has sent, one .eml file each, so that they survive a restart. Safe for concurrent
// use by one process.
type Mailbox struct {
	folder string
	mu     sync.Mutex
	mails  []Mail // oldest first
}

// Mail is what the list shows of one mail.
type Mail struct {
	ID      string // random, and the file's name without .eml
	From    string
	To      []string // whom it was delivered to
	Subject string
	At      time.Time // when it came
}

// Letter is a whole mail.
type Letter struct {
	Mail
	MessageID string
	HTML      string // "" if it has no HTML part
	Text      string
	Links     []Link // of the HTML part, each address once
}

// Link is an address in a mail.
type Link struct{ Label, URL string }

// OpenMailbox opens the mailbox in a folder, which it makes where missing. A file that is no mail is left out.
func OpenMailbox(folder string) (*Mailbox, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("open the mailbox: %w", err)
	}
	entries, err := os.ReadDir(folder) // by name, which begins with the time
	if err != nil {
		return nil, fmt.Errorf("open the mailbox: %w", err)
	}
	m := &Mailbox{folder: folder}
	for _, entry := range entries {
		id, isMail := strings.CutSuffix(entry.Name(), ".eml")
		if !isMail || !mailID.MatchString(id) {
			continue
		}
		if letter, err := m.read(id); err == nil {
			m.mails = append(m.mails, letter.Mail)
		}
	}
	return m, m.trim()
}

// A mail's id is the moment it came and something random.
const idTime = "20060102T150405.000000000"

var mailID = regexp.MustCompile(`^[0-9]{8}T[0-9]{6}\.[0-9]{9}-[0-9a-f]{16}$`)

// The mailbox writes down whom a mail was delivered to in headers of its own, above all others.
const deliveredTo = "Delivered-To"

// Keep stores a mail that came for these recipients.
func (m *Mailbox) Keep(to []string, raw []byte) error {
	var eml bytes.Buffer
	for _, recipient := range to {
		fmt.Fprintf(&eml, "%s: <%s>\r\n", deliveredTo, recipient)
	}
	eml.Write(raw)

	m.mu.Lock()
	defer m.mu.Unlock()
	id := time.Now().UTC().Format(idTime) + "-" + hex.EncodeToString(keys.Random(8))
	// Written aside first: a mail is there whole or not at all.
	aside := filepath.Join(m.folder, id+".part")
	if err := os.WriteFile(aside, eml.Bytes(), 0o600); err != nil {
		return fmt.Errorf("keep a mail: %w", err)
	}
	if err := os.Rename(aside, m.path(id)); err != nil {
		return fmt.Errorf("keep a mail: %w", err)
	}
	letter, err := m.read(id)
	if err != nil {
		return err
	}
	m.mails = append(m.mails, letter.Mail)
	return m.trim()
}

func (m *Mailbox) path(id string) string { return filepath.Join(m.folder, id+".eml") }

func (m *Mailbox) trim() error {
	for len(m.mails) > mailboxSize {
		if err := os.Remove(m.path(m.mails[0].ID)); err != nil {
			return fmt.Errorf("forget the oldest mail: %w", err)
		}
		m.mails = m.mails[1:]
	}
	return nil
}

// List returns the mails, newest first: all, or those to recipients whose address contains to.
func (m *Mailbox) List(to string) []Mail {
	m.mu.Lock()
	defer m.mu.Unlock()
	to = strings.ToLower(strings.TrimSpace(to))
	var found []Mail
	for _, mail := range slices.Backward(m.mails) {
		if slices.ContainsFunc(mail.To, func(address string) bool { return strings.Contains(strings.ToLower(address), to) }) {
			found = append(found, mail)
		}
	}
	return found
}

// Open returns a mail, or app.ErrNotFound.
func (m *Mailbox) Open(id string) (Letter, error) {
	m.mu.Lock()
	known := slices.ContainsFunc(m.mails, func(mail Mail) bool { return mail.ID == id })
	m.mu.Unlock()
	if !known {
		return Letter{}, app.ErrNotFound
	}
	return m.read(id)
}

func (m *Mailbox) read(id string) (Letter, error) {
	file, err := os.Open(m.path(id))
	if err != nil {
		return Letter{}, fmt.Errorf("read mail %s: %w", id, err)
	}
	defer file.Close()
	envelope, err := enmime.ReadEnvelope(file)
	if err != nil {
		return Letter{}, fmt.Errorf("read mail %s: %w", id, err)
	}
	at, err := time.Parse(idTime, id[:len(idTime)])
	if err != nil {
		return Letter{}, fmt.Errorf("read mail %s: %w", id, err)
	}
	letter := Letter{
		Mail:      Mail{ID: id, From: envelope.GetHeader("From"), Subject: envelope.GetHeader("Subject"), At: at},
		MessageID: envelope.GetHeader("Message-ID"),
		HTML:      envelope.HTML, Text: envelope.Text, Links: linksOf(envelope.HTML),
	}
	for _, recipient := range envelope.GetHeaderValues(deliveredTo) {
		letter.To = append(letter.To, strings.Trim(recipient, "<>"))
	}
	return letter, nil
}

// linksOf lists the links of an HTML document, each address once, with the first words that link to it.
func linksOf(document string) []Link {
	root, err := html.Parse(strings.NewReader(document))
	if err != nil {
		return nil // html.Parse fails only where reading does
	}
	var links []Link
	for node := range root.Descendants() {
		if node.Type != html.ElementNode || node.Data != "a" {
			continue
		}
		for _, attribute := range node.Attr {
			if attribute.Key != "href" || !webAddress.MatchString(attribute.Val) {
				continue
			}
			if slices.ContainsFunc(links, func(link Link) bool { return link.URL == attribute.Val }) {
				continue
			}
			links = append(links, Link{strings.Join(strings.Fields(textOf(node)), " "), attribute.Val})
		}
	}
	return links
}

func textOf(node *html.Node) string {
	var text strings.Builder
	for inner := range node.Descendants() {
		if inner.Type == html.TextNode {
			text.WriteString(inner.Data)
		}
	}
	return text.String()
}

var webAddress = regexp.MustCompile(`^https?://`)

// Part is a run of text, or a link if URL is set.
type Part struct{ Text, URL string }

var addressInText = regexp.MustCompile(`https?://[^\s<>"]+`)

// Lines divides the text into its lines, and each line at its web addresses.
func (l Letter) Lines() [][]Part {
	var lines [][]Part
	for line := range strings.Lines(strings.TrimSpace(l.Text)) {
		lines = append(lines, parts(strings.TrimRight(line, "\r\n")))
	}
	return lines
}

func parts(line string) []Part {
	var all []Part
	for {
		at := addressInText.FindStringIndex(line)
		if at == nil {
			return append(all, Part{Text: line})
		}
		address := strings.TrimRight(line[at[0]:at[1]], ".,;:!?)'’”")
		all = append(all, Part{Text: line[:at[0]]}, Part{URL: address})
		line = line[at[0]+len(address):]
	}
}

// Framed is the HTML part as it stands in a frame: its links replace the whole page, not the frame.
func (l Letter) Framed() string {
	const base = `<base target="_top">`
	if at := headTag.FindStringIndex(l.HTML); at != nil {
		return l.HTML[:at[1]] + base + l.HTML[at[1]:]
	}
	return base + l.HTML
}

var headTag = regexp.MustCompile(`(?i)<head(\s[^>]*)?>`)
