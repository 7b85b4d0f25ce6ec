package mail

import (
	"net"
	"regexp"
	"strings"
	"unicode"

	"golang.org/x/net/idna"
)

// Limits of an address in bytes.  Source: RFC 5321, 4.5.3.1.
const (
	maxLocalPart = 64
	maxAddress   = 254
)

// localPart is RFC 5322's dot-atom. Quoted local parts and comments are refused: they are what turns one address into
// another in the eyes of the next program.
var localPart = regexp.MustCompile(`^[A-Za-z0-9!#$%&'*+/=?^_{|}~` + "`" + `-]+(\.[A-Za-z0-9!#$%&'*+/=?^_{|}~` + "`" + `-]+)*$`)

// cleanAddress returns an address in the form that goes over the wire, with an international domain name in ASCII. ok is
// false for what is no address of one mailbox.
func cleanAddress(address string) (clean string, ok bool) {
	at := strings.LastIndexByte(address, '@')
	if at < 1 || at > maxLocalPart || !localPart.MatchString(address[:at]) {
		return "", false
	}
	domain, err := idna.Lookup.ToASCII(address[at+1:])
	if err != nil || domain == "" || strings.HasSuffix(domain, ".") || net.ParseIP(domain) != nil {
		return "", false
	}
	clean = address[:at+1] + domain
	return clean, len(clean) <= maxAddress
}

const maxName = 80 // characters of a name in a header

// plainName is a name as it may stand in a header and in a greeting: one line, without control or invisible formatting
// characters. A name that looks like an address or a link gives "": anybody may register with anybody's address, and the name
// they choose must not become a message of theirs in a mail of ours.
func plainName(name string) string {
	name = oneLine(name, maxName)
	if looksLikeLink.MatchString(name) {
		return ""
	}
	return name
}

var looksLikeLink = regexp.MustCompile(`[/\\:@<>]|\pL\.\pL{2,}`)

// oneLine turns every run of white space, control and formatting characters into one space, and cuts to max characters.
func oneLine(text string, max int) string {
	var line []rune
	space := false
	for _, r := range strings.ToValidUTF8(text, "") {
		if unicode.IsSpace(r) || unicode.IsControl(r) || unicode.Is(unicode.Cf, r) && r != '\u200d' && r != '\u200c' {
			space = true
			continue
		}
		if space && len(line) > 0 {
			line = append(line, ' ')
		}
		space = false
		line = append(line, r)
	}
	if len(line) > max {
		line = append(line[:max-1], '…')
	}
	return string(line)
}
