// Package sandbox is a provider of the portal's own, for the dev run and for trying things out: it has accounts, domain names, servers
// and licenses that it remembers in PostgreSQL, and a control panel whose passwords really change. Drivers reach it over HTTP on
// loopback alone, as they do other providers, so it shares no code with them. Its behaviour can be made worse call by call.
//
// Start reading at http.go; functions.go has what it can do.
package sandbox

import (
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"maps"
	"strings"
	"time"

	"portico/app/keys"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Provider is the whole of it. Safe for concurrent use, and for several at once on one database.
type Provider struct {
	pool *pgxpool.Pool
	keys *keys.Ring
	url  string
	rate limiter
}

// New makes a provider whose own address is url, e.g. http://127.0.0.1:8079, which its login links begin with.
func New(pool *pgxpool.Pool, ring *keys.Ring, url string) *Provider {
	return &Provider{pool: pool, keys: ring, url: url}
}

// account is one thing that was made: an account, a domain name, a server, a license.
type account struct {
	ID           string
	Category     string
	Ref          string
	Product      string
	State        map[string]any
	Password     []byte
	SettlesAt    *time.Time
	CreatedAt    time.Time
	TerminatedAt *time.Time
}

// working tells whether it is still at what it was told last.
func (a *account) working(now time.Time) bool { return a.SettlesAt != nil && now.Before(*a.SettlesAt) }

func (a *account) text(name string) string {
	value, _ := a.State[name].(string)
	return value
}

func (a *account) is(name string) bool { return a.State[name] == true }

// effect is one thing that was done.
type effect struct {
	ID        string
	Category  string
	Function  string
	AccountID *string
}

// refusal is why something is not done.
type refusal struct {
	status  int
	family  string
	message string
}

func (e *refusal) Error() string { return e.message }

func refuse(status int, family, format string, args ...any) error {
	return &refusal{status, family, fmt.Sprintf(format, args...)}
}

const (
	passwordRounds = 20_000
	saltLength     = 16
)

func hashPassword(password string) []byte {
	salt := make([]byte, saltLength)
	rand.Read(salt)
	return append(salt, derive(password, salt)...)
}

func derive(password string, salt []byte) []byte {
	key, err := pbkdf2.Key(sha256.New, password, salt, passwordRounds, 32)
	if err != nil {
		panic(err) // only for lengths that SHA-256 can't give
	}
	return key
}

func passwordFits(stored []byte, password string) bool {
	if len(stored) <= saltLength {
		return false
	}
	return subtle.ConstantTimeCompare(stored[saltLength:], derive(password, stored[:saltLength])) == 1
}

// secretOf is a code of an account that is made from the portal's key: it can always be told and never be read in the database.
func (p *Provider) secretOf(purpose string, a *account) string {
	serial := fmt.Sprint(a.State[purpose+"_serial"])
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(p.keys.MAC("sandbox "+purpose, a.ID, serial)[:15]))
}

// licenseKey is a code in the usual shape, four groups of five.
func (p *Provider) licenseKey(a *account) string {
	code := strings.ToUpper(p.secretOf("license", a))[:20]
	return code[:5] + "-" + code[5:10] + "-" + code[10:15] + "-" + code[15:]
}

// number is one of n, always the same for the same text.
func number(text string, n int) int {
	sum := sha256.Sum256([]byte(text))
	return int(binary.BigEndian.Uint32(sum[:4]) % uint32(n))
}

// token is 160 random bits.
func token() string {
	raw := make([]byte, 20)
	rand.Read(raw)
	return strings.ToLower(base32.StdEncoding.EncodeToString(raw))
}

func hashToken(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}

// pick copies those of the values that are there.
func pick(values map[string]any, names ...string) map[string]any {
	picked := map[string]any{}
	for _, name := range names {
		if value, ok := values[name]; ok && value != nil && value != "" {
			picked[name] = value
		}
	}
	return picked
}

// merge copies parameters that were given over what is kept.
func merge(into, given map[string]any, names ...string) { maps.Copy(into, pick(given, names...)) }
