package outbound

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// Mask stands for what must not be seen. Its width says nothing of the secret's.
const Mask = "•••"

const (
	shortest     = 4        // characters of a secret that is looked for as a value; shorter ones are masked by their fields only
	maxShown     = 32 << 10 // bytes kept of a body, after masking
	maxExchanges = 40       // kept of one call
)

// Exchange is one request and its answer as they may be shown to the store's people. Bodies are cut at 32 KiB.
type Exchange struct {
	Method          string            `json:"method"`
	URL             string            `json:"url"`
	RequestHeaders  map[string]string `json:"request_headers,omitempty"`
	RequestBody     string            `json:"request_body,omitempty"`
	Status          int               `json:"status,omitempty"` // 0: no answer
	ResponseHeaders map[string]string `json:"response_headers,omitempty"`
	ResponseBody    string            `json:"response_body,omitempty"`
	Error           string            `json:"error,omitempty"`
	StartedAt       time.Time         `json:"started_at"`
	DurationMS      int64             `json:"duration_ms"`
}

// The headers that are shown. All others may be credentials.
var (
	shownOfRequest = []string{"Accept", "Content-Type", "User-Agent", "Webhook-Id", "Webhook-Timestamp"}
	shownOfAnswer  = []string{"Content-Length", "Content-Type", "Date", "Location", "Retry-After", "Server", "X-Request-Id"}
)

type (
	fieldsKey struct{}
	valuesKey struct{}
)

// WithSecrets adds values that are secret in what is recorded from the requests made with the context on, as a password that a
// driver makes up.
func WithSecrets(ctx context.Context, values ...string) context.Context {
	before, _ := ctx.Value(valuesKey{}).([]string)
	return context.WithValue(ctx, valuesKey{}, append(slices.Clip(before), values...))
}

// WithSecretFields adds names of fields that are secret in the requests made with the context and in their answers, as the
// provider calls them. An answer to such a request that can't be read is not shown at all.
func WithSecretFields(ctx context.Context, names ...string) context.Context {
	before, _ := ctx.Value(fieldsKey{}).([]string)
	return context.WithValue(ctx, fieldsKey{}, append(slices.Clip(before), names...))
}

// Learn adds values that have turned out to be secret, as a login link in a result.
func (c *Call) Learn(secrets ...string) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.secrets = append(c.secrets, secrets...)
}

// Scrub is the text with every secret the call knows masked: as it is, and escaped as addresses, JSON, HTML and base64 do.
func (c *Call) Scrub(text string) string {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return Scrub(text, c.secrets...)
}

// Exchanges are the requests so far, in the order in which they ended, and how many more there were.
func (c *Call) Exchanges() (exchanges []Exchange, left int) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	s := newScrubber(c.secrets)
	for _, e := range c.exchanges {
		e.URL, e.Error = s.scrub(e.URL), s.scrub(e.Error)
		e.RequestBody, e.ResponseBody = cut(s.scrub(e.RequestBody)), cut(s.scrub(e.ResponseBody))
		e.RequestHeaders, e.ResponseHeaders = s.headers(e.RequestHeaders), s.headers(e.ResponseHeaders)
		exchanges = append(exchanges, e)
	}
	return exchanges, c.left
}

// note keeps an exchange with the secret fields masked. Values are scrubbed when it is read, for some are known only then.
func (c *Call) note(request *http.Request, sent []byte, response *http.Response, answer []byte, err error, started time.Time) {
	declared, _ := request.Context().Value(fieldsKey{}).([]string)
	fields := secretFields(append(slices.Clone(c.options.Fields), declared...))
	e := Exchange{
		Method: request.Method, URL: fields.address(request.URL),
		RequestHeaders: shown(request.Header, shownOfRequest), RequestBody: fields.body(request.Header, sent, len(declared) > 0),
		StartedAt: started.UTC(), DurationMS: time.Since(started).Milliseconds(),
	}
	if response != nil {
		e.Status, e.ResponseHeaders = response.StatusCode, shown(response.Header, shownOfAnswer)
		if location, ok := e.ResponseHeaders["Location"]; ok {
			e.ResponseHeaders["Location"] = Mask
			if at, err := url.Parse(location); err == nil {
				e.ResponseHeaders["Location"] = fields.address(&url.URL{Scheme: at.Scheme, Host: at.Host, Path: at.Path})
			}
		}
		e.ResponseBody = fields.body(response.Header, answer, len(declared) > 0)
	}
	if err != nil {
		e.Error = err.Error()
	}
	values, _ := request.Context().Value(valuesKey{}).([]string)
	c.mutex.Lock()
	defer c.mutex.Unlock()
	for _, value := range values {
		if !slices.Contains(c.secrets, value) {
			c.secrets = append(c.secrets, value)
		}
	}
	if len(c.exchanges) == maxExchanges {
		c.left++
		return
	}
	c.exchanges = append(c.exchanges, e)
}

func shown(header http.Header, names []string) map[string]string {
	headers := map[string]string{}
	for _, name := range names {
		if value := header.Get(name); value != "" {
			headers[name] = value
		}
	}
	return headers
}

func cut(text string) string {
	if len(text) <= maxShown {
		return text
	}
	end := maxShown
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return fmt.Sprintf("%s… (%d bytes more)", text[:end], len(text)-end)
}

// fieldSet are names of secret fields, without case, dashes and underlines.
type fieldSet map[string]bool

// Usual names of credentials, masked whether or not a driver declares them.
var usual = []string{"password", "passwd", "pass", "secret", "token", "apikey", "accesskey", "secretkey", "privatekey", "authorization",
	"cookie", "authinfo", "eppcode", "authcode", "signature", "clientsecret", "accesstoken", "refreshtoken"}

func secretFields(names []string) fieldSet {
	set := fieldSet{}
	for _, name := range usual {
		set[name] = true
	}
	for _, name := range names {
		set[plain(name)] = true
	}
	return set
}

func plain(name string) string {
	return strings.ToLower(strings.NewReplacer("_", "", "-", "", ".", "", " ", "").Replace(name))
}

func (f fieldSet) has(name string) bool {
	name = plain(name)
	return f[name] || strings.HasSuffix(name, "password") || strings.HasSuffix(name, "secret") || strings.HasSuffix(name, "token")
}

// address is the URL without user, fragment and secret parameters.
func (f fieldSet) address(u *url.URL) string {
	shown := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	text := shown.String()
	if u.RawQuery != "" {
		text += "?" + f.form(u.RawQuery)
	}
	return text
}

// form masks the values of secret fields in a form or query, and leaves the rest and the order as they are.
func (f fieldSet) form(encoded string) string {
	pairs := strings.Split(encoded, "&")
	for i, pair := range pairs {
		name, _, found := strings.Cut(pair, "=")
		decoded, err := url.QueryUnescape(name)
		switch {
		case err != nil:
			pairs[i] = Mask
		case found && f.has(innermost(decoded)):
			pairs[i] = name + "=" + Mask
		}
	}
	return strings.Join(pairs, "&")
}

// innermost is the last part of a nested name, as of user[password] or user.password.
func innermost(name string) string {
	name = strings.TrimRight(name, "[]")
	return name[strings.LastIndexAny(name, "[.")+1:]
}

// body masks the values of secret fields in a body of JSON or a form. careful: what can't be read is not shown.
func (f fieldSet) body(header http.Header, content []byte, careful bool) string {
	if len(content) == 0 {
		return ""
	}
	if !utf8.Valid(content) {
		return fmt.Sprintf("(%d bytes that are no text)", len(content))
	}
	if masked, ok := f.json(content); ok {
		return masked
	}
	if kind, _, _ := mime.ParseMediaType(header.Get("Content-Type")); kind == "application/x-www-form-urlencoded" {
		return f.form(string(content))
	}
	if careful {
		return fmt.Sprintf("(%d bytes, not shown: they can't be read and may hold a secret)", len(content))
	}
	return string(content)
}

func (f fieldSet) json(content []byte) (string, bool) {
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.UseNumber()
	var value any
	if decoder.Decode(&value) != nil {
		return "", false
	}
	if _, err := decoder.Token(); err != io.EOF {
		return "", false
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if encoder.Encode(f.value(value)) != nil {
		return "", false
	}
	return strings.TrimSuffix(out.String(), "\n"), true
}

func (f fieldSet) value(value any) any {
	switch value := value.(type) {
	case map[string]any:
		for name, inner := range value {
			if f.has(name) && inner != nil {
				value[name] = Mask
			} else {
				value[name] = f.value(inner)
			}
		}
	case []any:
		for i := range value {
			value[i] = f.value(value[i])
		}
	}
	return value
}

// Scrub is the text with the secrets masked, in every form that Call.Scrub names. Secrets shorter than 4 characters are left:
// as values they are everywhere.
func Scrub(text string, secrets ...string) string { return newScrubber(secrets).scrub(text) }

type scrubber struct{ forms []string }

func newScrubber(secrets []string) *scrubber {
	var s scrubber
	seen := map[string]bool{}
	for _, secret := range secrets {
		for _, whole := range []string{secret, strings.TrimSpace(secret)} {
			if utf8.RuneCountInString(whole) < shortest || seen[whole] {
				continue
			}
			seen[whole] = true
			s.forms = append(s.forms, forms(whole)...)
		}
	}
	return &s
}

// forms are the ways in which a secret may stand in a text.
func forms(secret string) []string {
	all := []string{secret, html.EscapeString(secret), url.QueryEscape(secret), url.PathEscape(secret), percent(secret)}
	all = append(all, strings.ReplaceAll(url.QueryEscape(secret), "+", "%20"))
	for _, escaped := range slices.Clone(all[2:]) {
		all = append(all, lowerPercent(escaped))
	}
	for _, ascii := range []bool{false, true} {
		for _, slashes := range []bool{false, true} {
			escaped := jsonEscape(secret, ascii, slashes)
			all = append(all, escaped, jsonEscape(escaped, ascii, slashes)) // the second: JSON inside a string of JSON
		}
	}
	if quoted, err := json.Marshal(secret); err == nil {
		all = append(all, strings.Trim(string(quoted), `"`))
	}
	quoted := fmt.Sprintf("%q", secret)
	all = append(all, quoted[1:len(quoted)-1])
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for offset := range 3 {
			// Inside a longer text, as user:password, the first and the last character depend on the neighbours.
			encoded := encoding.EncodeToString(append(make([]byte, offset), secret...))
			from := []int{0, 2, 3}[offset]
			to := len(encoded)
			if (offset+len(secret))%3 != 0 {
				to--
			}
			if to-from >= shortest {
				all = append(all, encoded[from:to])
			}
			if offset == 0 {
				all = append(all, encoded)
			}
		}
	}
	all = append(all, fmt.Sprintf("%x", secret), fmt.Sprintf("%X", secret))
	slices.Sort(all)
	return slices.Compact(all)
}

// percent escapes everything but letters, digits and RFC 3986's other unreserved characters.
func percent(s string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

func lowerPercent(s string) string {
	out := []byte(s)
	for i := 0; i+2 < len(out); i++ {
		if out[i] == '%' {
			copy(out[i+1:], bytes.ToLower(out[i+1:i+3]))
			i += 2
		}
	}
	return string(out)
}

// jsonEscape is a string's inside as other encoders write it: with only ASCII, or with escaped slashes.
func jsonEscape(s string, ascii, slashes bool) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '"' || r == '\\' || r == '/' && slashes:
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < ' ' || ascii && r > '~' && r <= 0xffff:
			fmt.Fprintf(&b, `\u%04x`, r)
		case ascii && r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// scrub masks every place where a secret stands, overlapping ones as one.
func (s *scrubber) scrub(text string) string {
	type span struct{ from, to int }
	var spans []span
	for _, form := range s.forms {
		for at := 0; ; {
			i := strings.Index(text[at:], form)
			if i < 0 {
				break
			}
			spans = append(spans, span{at + i, at + i + len(form)})
			at += i + 1
		}
	}
	if spans == nil {
		return text
	}
	slices.SortFunc(spans, func(a, b span) int { return a.from - b.from })
	var b strings.Builder
	end := 0
	for i := 0; i < len(spans); {
		from, to := spans[i].from, spans[i].to
		for i++; i < len(spans) && spans[i].from <= to; i++ {
			to = max(to, spans[i].to)
		}
		b.WriteString(text[end:from])
		b.WriteString(Mask)
		end = to
	}
	return b.String() + text[end:]
}

func (s *scrubber) headers(headers map[string]string) map[string]string {
	clean := make(map[string]string, len(headers))
	for name, value := range headers {
		clean[name] = s.scrub(value)
	}
	return clean
}
