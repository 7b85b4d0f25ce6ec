// Package store is the hosting business that installed the portal: its name, look, sender address and habits (time zone,
// currency, language), and its departments. Start reading at service.go; departments.go has the departments.
package store

import (
	"fmt"
	"net/mail"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"portico/app"
	"portico/app/locale"
)

// Settings are the store's own facts, one row in the database.
type Settings struct {
	Name          string
	BrandColour   string // #rrggbb, lower case
	SenderAddress string // what the portal's e-mails come from, an address without a name
	Signature     string // plain text under every e-mail, may be empty
	TimeZone      string // IANA name, for everybody who chose none
	Currency      string // ISO 4217
	Language      string // a language of the catalogue, for everybody who chose none
	HasLogo       bool
	Version       int64     // grows with every saved form
	UpdatedAt     time.Time // when a form was saved or the logo changed
}

// LogoPath is where browsers get the logo, "" if there is none. A new logo has a new path, so that the old one may stay in
// caches for ever.
func (s Settings) LogoPath() string {
	if !s.HasLogo {
		return ""
	}
	return "/store/logo/" + s.logoVersion()
}

func (s Settings) logoVersion() string { return strconv.FormatInt(s.UpdatedAt.UnixMicro(), 36) }

// BrandPath is where browsers get the stylesheet with the brand colour; a changed colour has a new path.
func (s Settings) BrandPath() string { return "/store/brand/" + strconv.FormatInt(s.Version, 10) }

// Form is the settings as people type them.
type Form struct {
	Name          string `form:"name"`
	BrandColour   string `form:"brand_colour"`
	SenderAddress string `form:"sender_address"`
	Signature     string `form:"signature"`
	TimeZone      string `form:"time_zone"`
	Currency      string `form:"currency"`
	Language      string `form:"language"`
	Version       string `form:"version"` // of the settings that the form was filled from
}

// NewForm fills a form with what is stored.
func NewForm(s Settings) Form {
	return Form{
		Name: s.Name, BrandColour: s.BrandColour, SenderAddress: s.SenderAddress, Signature: s.Signature, TimeZone: s.TimeZone,
		Currency: s.Currency, Language: s.Language, Version: strconv.FormatInt(s.Version, 10),
	}
}

// Limits of the texts, in characters.
const (
	MaxName      = 80
	MaxSignature = 2000
)

var colour = regexp.MustCompile(`^#[0-9a-f]{6}$`)

// settings reads the form, or says what is wrong with it.
func (f *Form) settings(languages *locale.Catalogue) (Settings, error) {
	var invalid app.Invalid
	s := Settings{
		Name:          line(&invalid, "name", f.Name, MaxName),
		BrandColour:   strings.ToLower(strings.TrimSpace(f.BrandColour)),
		SenderAddress: strings.TrimSpace(f.SenderAddress),
		Signature:     strings.TrimSpace(f.Signature),
		TimeZone:      f.TimeZone,
		Currency:      f.Currency,
		Language:      f.Language,
	}
	if !colour.MatchString(s.BrandColour) {
		invalid.Add("brand_colour", "store.colour-wrong")
	}
	if !isAddress(s.SenderAddress) {
		invalid.Add("sender_address", "store.sender-wrong")
	}
	if utf8.RuneCountInString(s.Signature) > MaxSignature {
		invalid.Add("signature", "store.too-long", "Max", MaxSignature)
	}
	if !IsZone(s.TimeZone) {
		invalid.Add("time_zone", "store.choose")
	}
	if !IsCurrency(s.Currency) {
		invalid.Add("currency", "store.choose")
	}
	if !languages.Speaks(s.Language) {
		invalid.Add("language", "store.choose")
	}
	var err error
	if s.Version, err = strconv.ParseInt(f.Version, 10, 64); err != nil {
		invalid.Add("", "form.unreadable")
	}
	return s, invalid.Err()
}

// field is one of the settings by the name it has in forms and in the audit.
type field struct{ name, value string }

// fields lists what the form holds, in its order.
func (s Settings) fields() []field {
	return []field{
		{"name", s.Name}, {"brand_colour", s.BrandColour}, {"sender_address", s.SenderAddress}, {"signature", s.Signature},
		{"time_zone", s.TimeZone}, {"currency", s.Currency}, {"language", s.Language},
	}
}

// line reads a required name of one line: white space is made single; control characters are refused, and so is what can't be
// seen and turns text around or makes two names look the same. What is wrong goes to invalid, on field.
func line(invalid *app.Invalid, field, text string, most int) string {
	text = strings.Join(strings.Fields(text), " ")
	switch {
	case text == "":
		invalid.Add(field, "store.name-missing")
	case utf8.RuneCountInString(text) > most:
		invalid.Add(field, "store.too-long", "Max", most)
	case strings.ContainsFunc(text, hidden):
		invalid.Add(field, "store.name-wrong")
	}
	return text
}

// hidden tells control and format characters. The two joiners are format characters that some scripts need inside words.
func hidden(r rune) bool {
	const nonJoiner, joiner = '\u200c', '\u200d'
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) && r != nonJoiner && r != joiner
}

// domain is a host name, also without a dot: a store may mail within its own network.
var domain = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$`)

// isAddress tells whether text is one bare e-mail address: no name, no list, no comment, no quotes, nothing that a mail
// header could read as more.  Source: go-mail CVE-2025-59937; RFC 5321, 4.5.3.1 for the lengths.
func isAddress(text string) bool {
	local, host, _ := strings.Cut(text, "@")
	if len(text) > 254 || len(local) > 64 || strings.Contains(local, `"`) || !domain.MatchString(host) {
		return false
	}
	parsed, err := mail.ParseAddress(text)
	return err == nil && parsed.Address == text && !strings.ContainsFunc(text, func(r rune) bool { return r > '~' })
}

// Department is a part of the store that answers tickets.
type Department struct {
	ID         string
	Name       string
	Position   int        // order in lists, from 0
	ArchivedAt *time.Time // nil while it is in use
}

func (d Department) String() string { return fmt.Sprintf("department %s (%s)", d.ID, d.Name) }
