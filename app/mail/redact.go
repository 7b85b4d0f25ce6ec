package mail

import (
	"regexp"
	"strings"
)

// mask stands for what must not be seen. Its width says nothing of the secret's.
const mask = "•••"

const maxAnswer = 500 // characters kept of what somebody else said

var (
	// A mail server may quote the mail it refuses, and an error may quote an address with a password.
	linkTokens  = regexp.MustCompile(`(/(?:confirm|reset-password|email-change|invitations)/)[A-Za-z0-9_%=-]+`)
	credentials = regexp.MustCompile(`([a-z][a-z0-9+.-]*://)[^\s/@]+@`)
)

// Redact makes one line of what somebody else said: without control characters, at most 500 characters, with the secrets
// given, tokens of links and passwords in addresses masked. It is for answers of mail servers and errors of jobs, which are
// stored and shown.
func Redact(text string, secrets ...string) string {
	for _, secret := range secrets {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, mask)
		}
	}
	text = linkTokens.ReplaceAllString(text, "${1}"+mask)
	text = credentials.ReplaceAllString(text, "${1}"+mask+"@")
	return oneLine(text, maxAnswer)
}
