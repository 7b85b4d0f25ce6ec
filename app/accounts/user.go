// Package accounts knows account holders: how they register and confirm their address, what their profile says, and the
// accounts (companies or persons) they belong to. Start reading at service.go.
package accounts

import (
	"net/mail"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"portico/app"
)

// Lengths in characters.
const (
	MaxName  = 100
	MaxEmail = 254 // RFC 5321, 4.5.3.1.3
)

// Profile is what a user says of themselves.
type Profile struct {
	Name     string
	Email    string
	TimeZone string // IANA name, "" for the store's
	Language string
	Theme    string // "", "light", "dark"

	Confirmed bool
	Change    *EmailChange `db:"-"` // a change of address under way
	Accounts  []Membership `db:"-"`
}

// EmailChange waits for both addresses to agree.
type EmailChange struct {
	Email     string
	OldAgreed bool
	NewAgreed bool
	ExpiresAt time.Time
}

// Membership is an account a user belongs to.
type Membership struct {
	ID       string
	Name     string
	Kind     string // "person" or "company"
	Relation string // "owner" or "user"
	Client   bool   // has bought something; else a lead
}

// CheckName adds to invalid what is wrong with a person's name. Line ends and control characters never pass: names stand
// in mail headers.
func CheckName(invalid *app.Invalid, field, name string) {
	switch {
	case name == "":
		invalid.Add(field, "accounts.name-missing")
	case utf8.RuneCountInString(name) > MaxName:
		invalid.Add(field, "accounts.name-long", "Max", MaxName)
	case strings.IndexFunc(name, unseen) >= 0:
		invalid.Add(field, "accounts.name-characters")
	}
}

// unseen tells control and format characters: they turn text around or hide in it. The joiners are letters' own in some
// scripts.
func unseen(r rune) bool {
	const joiner, nonJoiner = '\u200d', '\u200c'
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) && r != joiner && r != nonJoiner
}

// CheckEmail adds to invalid what is wrong with an address. Only a plain address passes: no display name, no comment, no
// list, no quoted local part.
func CheckEmail(invalid *app.Invalid, field, email string) {
	if email == "" {
		invalid.Add(field, "accounts.email-missing")
		return
	}
	parsed, err := mail.ParseAddress(email)
	_, domain, _ := strings.Cut(email, "@")
	if err != nil || parsed.Address != email || len(email) > MaxEmail || !strings.Contains(domain, ".") || strings.ContainsAny(email, "\"(),:;<>[]\\ \t\r\n") {
		invalid.Add(field, "accounts.email-invalid")
	}
}
