package provisioning

import (
	"encoding/json"
	"encoding/pem"
	"maps"
	"math"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"portico/app"

	"golang.org/x/net/idna"
	"golang.org/x/text/currency"
	"golang.org/x/text/language"
)

// Params reads the posted form of a function. ofStore tells people of the store from clients, who are asked for less; known is
// what fills the rest: provision fields and facts, secret ones included. A secret that is left empty is taken from known too, since
// forms never show one.
//
// Returns *app.Invalid for what is wrong, missing or not asked for, by the names in the form.
func Params(f Function, ofStore bool, posted map[string][]string, known map[string]any) (map[string]any, error) {
	values, invalid := readForm(f.Asks(ofStore), posted)
	for _, param := range f.Params {
		asked := ofStore || !param.Staff
		if _, given := values[param.Name]; given || asked && !param.Secret {
			continue
		}
		if value := prefill(param, known); value != nil {
			values[param.Name] = value
		}
	}
	return finish(f.Params, values, invalid)
}

// SystemParams are those of a run by the system: given ones, and for the rest provision fields, facts and defaults.
func SystemParams(f Function, given, known map[string]any) (map[string]any, error) {
	values := Prefill(f.Params, known)
	maps.Copy(values, given)
	return Validate(f.Params, values)
}

// ParseForm reads a posted form of fields that are all asked for: a configuration, or provision fields. kept are the stored values;
// a secret that is left empty keeps its own.
func ParseForm(fields []Field, posted map[string][]string, kept map[string]any) (map[string]any, error) {
	values, invalid := readForm(fields, posted)
	for _, f := range fields {
		if _, given := values[f.Name]; !given && f.Secret && kept[f.Name] != nil {
			values[f.Name] = kept[f.Name]
		}
	}
	return finish(fields, values, invalid)
}

// Validate checks values, e.g. of a JSON document, and returns them in their normal form: without white space around them, domain
// names and hosts in lower-case ASCII, times in UTC. Nothing, null and "" are the same, and take the field's default. Returns
// *app.Invalid, with the names of parts behind dots and the entries of lists by number, e.g. "registrant.email".
func Validate(fields []Field, values map[string]any) (map[string]any, error) {
	return finish(fields, values, &app.Invalid{})
}

// CheckResult is Validate for what a function returned: values that it does not declare are left out instead of refused.
func CheckResult(f Function, data map[string]any) (map[string]any, error) {
	declared := map[string]any{}
	for _, field := range f.Returns {
		if value, ok := data[field.Name]; ok {
			declared[field.Name] = value
		}
	}
	return Validate(f.Returns, declared)
}

// Prefill is what a form starts with: known values, and defaults.
func Prefill(fields []Field, known map[string]any) map[string]any {
	values := map[string]any{}
	for _, f := range fields {
		if value := prefill(f, known); value != nil {
			values[f.Name] = value
		}
	}
	return values
}

func prefill(f Field, known map[string]any) any {
	if f.From != "" && !blank(known[f.From]) {
		return known[f.From]
	}
	if f.Kind == KindObject {
		if inner := Prefill(f.Fields, known); len(inner) > 0 {
			return inner
		}
	}
	return f.Default
}

// Changes says which provision fields a function that succeeded changes, and to what. Names that it does not touch are absent; a
// value that the provider no longer has is nil.
func Changes(f Function, params, data map[string]any) map[string]any {
	changes := map[string]any{}
	for param, field := range f.Sets {
		changes[field] = params[param]
	}
	for returned, field := range f.Fills {
		if value, ok := data[returned]; ok {
			changes[field] = value
		}
	}
	maps.Copy(changes, f.Marks)
	return changes
}

// finish checks values and adds to what is wrong already.
func finish(fields []Field, values map[string]any, invalid *app.Invalid) (map[string]any, error) {
	checked := check(fields, values, "", invalid, 0)
	if err := invalid.Err(); err != nil {
		return nil, err
	}
	return checked, nil
}

const (
	maxDepth   = 8
	maxEntries = 200 // of a list that declares no limit
	maxJSON    = 64 << 10
)

func check(fields []Field, values map[string]any, prefix string, invalid *app.Invalid, depth int) map[string]any {
	checked := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if _, declared := Find(fields, name); !declared {
			invalid.Add("", "actions.unknown-field")
		}
	}
	for _, f := range fields {
		value := values[f.Name]
		if blank(value) {
			value = f.Default
		}
		if blank(value) {
			if f.Required || f.Unless != "" && blank(values[f.Unless]) {
				invalid.Add(prefix+f.Name, "actions.missing")
			}
			continue
		}
		if clean := checkOne(f, value, prefix+f.Name, invalid, depth); clean != nil {
			checked[f.Name] = clean
		}
	}
	return checked
}

func blank(value any) bool {
	switch value := value.(type) {
	case nil:
		return true
	case string:
		return strings.TrimSpace(value) == ""
	case []any:
		return len(value) == 0
	case map[string]any:
		return len(value) == 0
	}
	return false
}

// checkOne returns the value in its normal form, or nil after it added what is wrong with it.
func checkOne(f Field, value any, name string, invalid *app.Invalid, depth int) any {
	wrong := func(key string, args ...any) any {
		invalid.Add(name, key, args...)
		return nil
	}
	if depth > maxDepth {
		return wrong("actions.wrong-json")
	}
	switch f.Kind {
	case KindBool:
		if yes, ok := value.(bool); ok {
			return yes
		}
		return wrong("actions.wrong-bool")
	case KindWhole, KindNumber:
		n, ok := asNumber(value)
		switch {
		case !ok || f.Kind == KindNumber && (math.IsNaN(n) || math.IsInf(n, 0)):
			return wrong("actions.wrong-number")
		case f.Kind == KindWhole && (n != math.Trunc(n) || math.Abs(n) > 1<<53):
			return wrong("actions.wrong-whole")
		case (f.Min != 0 || f.Max != 0) && (n < f.Min || n > f.Max):
			return wrong("actions.out-of-range", "Min", strconv.FormatFloat(f.Min, 'f', -1, 64), "Max", strconv.FormatFloat(f.Max, 'f', -1, 64))
		}
		return n
	case KindList:
		entries, ok := value.([]any)
		if !ok {
			return wrong("actions.wrong-list")
		}
		most := int(f.Max)
		if most == 0 {
			most = maxEntries
		}
		if len(entries) > most {
			return wrong("actions.too-many", "Max", most)
		}
		if len(entries) < int(f.Min) {
			return wrong("actions.missing")
		}
		clean := make([]any, 0, len(entries))
		for i, entry := range entries {
			at := name + "." + strconv.Itoa(i)
			if blank(entry) {
				invalid.Add(at, "actions.missing")
			} else if one := checkOne(*f.Item, entry, at, invalid, depth+1); one != nil {
				clean = append(clean, one)
			}
		}
		return clean
	case KindObject:
		inner, ok := value.(map[string]any)
		if !ok {
			return wrong("actions.wrong-json")
		}
		return check(f.Fields, inner, name+".", invalid, depth+1)
	case KindJSON:
		object, ok := value.(map[string]any)
		if !ok {
			return wrong("actions.wrong-json")
		}
		encoded, err := json.Marshal(object)
		if err != nil || len(encoded) > maxJSON {
			return wrong("actions.wrong-json")
		}
		var clean map[string]any
		if json.Unmarshal(encoded, &clean) != nil {
			return wrong("actions.wrong-json")
		}
		return clean
	}
	written, ok := value.(string)
	if !ok {
		return wrong("actions.wrong-text")
	}
	clean, key, args := checkText(f, written)
	if key != "" {
		return wrong(key, args...)
	}
	return clean
}

func asNumber(value any) (float64, bool) {
	switch n := value.(type) {
	case float64:
		return n, true
	case int:
		return float64(n), true
	case int64:
		return float64(n), true
	}
	return 0, false
}

var (
	label    = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	anyName  = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)
	anyPhone = regexp.MustCompile(`^\+[1-9][0-9]{5,14}$`)
	// localPart is RFC 5322's dot-atom; quoted local parts and comments turn one address into another in the eyes of the next program.
	localPart = regexp.MustCompile(`^[A-Za-z0-9!#$%&'*+/=?^_{|}~` + "`" + `-]+(\.[A-Za-z0-9!#$%&'*+/=?^_{|}~` + "`" + `-]+)*$`)
	// formerCountries are codes that registries keep on using though ISO 3166-1 gave them up, reserves them, or never had them.
	formerCountries = []string{"AN", "BU", "CS", "NT", "SF", "TP", "UK", "YU", "ZR", "XK"}
)

// checkText returns a text in its normal form, or the message that says what is wrong with it. What was typed is in no message.
func checkText(f Field, written string) (clean, key string, args []any) {
	if !utf8.ValidString(written) {
		return "", "actions.wrong-text", nil
	}
	lines := f.Kind == KindLong || f.Kind == KindPEM
	if lines {
		written = strings.ReplaceAll(written, "\r\n", "\n")
	}
	for _, r := range written {
		if unicode.IsControl(r) && !(lines && (r == '\n' || r == '\t')) || unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r) || isDirection(r) {
			return "", "actions.wrong-characters", nil
		}
	}
	if !f.Secret {
		written = strings.TrimSpace(written)
	}
	least, most := int(f.Min), int(f.Max)
	if most == 0 {
		switch f.Kind {
		case KindLong:
			most = 10000
		case KindPEM:
			most = maxJSON
		case KindURL:
			most = 2048
		default:
			most = 255
		}
	}
	if n := utf8.RuneCountInString(written); n > most {
		return "", "actions.too-long", []any{"Max", most}
	} else if n < least {
		return "", "actions.too-short", []any{"Min", least}
	}
	ok := true
	switch f.Kind {
	case KindText, KindLong:
	case KindChoice:
		if !slices.Contains(f.Options, written) {
			return "", "actions.wrong-choice", nil
		}
	case KindDomain:
		written, ok = hostOf(written, 2)
	case KindHostname:
		written, ok = hostOf(written, 1)
	case KindLabel:
		written, ok = hostOf(written, 1)
		ok = ok && !strings.Contains(written, ".")
	case KindSuffix:
		written, ok = hostOf(strings.TrimPrefix(written, "."), 1)
	case KindName:
		ok = anyName.MatchString(written)
	case KindIP:
		address, err := netip.ParseAddr(written)
		ok = err == nil && address.Zone() == ""
		written = address.String()
	case KindEmail:
		at := strings.LastIndexByte(written, '@')
		if ok = at > 0 && at <= 64 && localPart.MatchString(written[:at]); ok {
			var host string
			host, ok = hostOf(written[at+1:], 2)
			written = written[:at+1] + host
			ok = ok && len(written) <= 254
		}
	case KindURL:
		address, err := url.Parse(written)
		ok = err == nil && (address.Scheme == "http" || address.Scheme == "https") && address.Hostname() != "" && address.User == nil && !strings.ContainsAny(written, " \\")
	case KindPhone:
		written = strings.NewReplacer(" ", "", "-", "", ".", "", "(", "", ")", "", "\u00a0", "").Replace(written)
		ok = anyPhone.MatchString(written)
	case KindCountry:
		written = strings.ToUpper(written)
		ok = isCountry(written)
	case KindCurrency:
		written = strings.ToUpper(written)
		_, err := currency.ParseISO(written)
		ok = err == nil
	case KindPEM:
		ok = isPEM(written)
	case KindDay:
		_, err := time.Parse(time.DateOnly, written)
		ok = err == nil
	case KindTime:
		var at time.Time
		at, ok = timeOf(written)
		written = at.UTC().Format(time.RFC3339)
	default:
		ok = false
	}
	if !ok {
		return "", "actions.wrong-" + string(f.Kind), nil
	}
	return written, "", nil
}

// isDirection tells the characters that turn the order of what follows around, so that a text reads as another.
func isDirection(r rune) bool { return r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 }

// hostOf returns a host name in lower-case ASCII if it has at least that many labels. An IP address is none.
func hostOf(written string, labels int) (string, bool) {
	host := strings.ToLower(written)
	for i := range len(host) {
		if host[i] >= utf8.RuneSelf {
			ascii, err := idna.Lookup.ToASCII(host)
			if err != nil {
				return "", false
			}
			host = ascii
			break
		}
	}
	split := strings.Split(host, ".")
	if len(host) > 253 || len(split) < labels || labels > 1 && len(host) < 3 || net.ParseIP(host) != nil {
		return "", false
	}
	for _, l := range split {
		if !label.MatchString(l) {
			return "", false
		}
	}
	return host, true
}

func isCountry(code string) bool {
	if len(code) != 2 {
		return false
	}
	if slices.Contains(formerCountries, code) {
		return true
	}
	region, err := language.ParseRegion(code)
	return err == nil && region.IsCountry() && region.String() == code
}

// isPEM tells whether a text is one or more PEM blocks and nothing else, with body lines of 64 to 76 characters.
func isPEM(written string) bool {
	rest := []byte(strings.TrimSpace(written) + "\n")
	blocks := 0
	for len(rest) > 0 {
		if !strings.HasPrefix(string(rest), "-----BEGIN ") {
			return false
		}
		block, after := pem.Decode(rest)
		if block == nil {
			return false
		}
		lines := strings.Split(strings.TrimSpace(string(rest[:len(rest)-len(after)])), "\n")
		for i, line := range lines {
			if i > 0 && i < len(lines)-2 && (len(line) < 64 || len(line) > 76) {
				return false
			}
		}
		blocks++
		rest = []byte(strings.TrimLeft(string(after), "\n"))
	}
	return blocks > 0
}

// timeOf reads RFC 3339, and what a browser's field for a date and time sends, which is taken as UTC.
func timeOf(written string) (time.Time, bool) {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04", "2006-01-02T15:04:05"} {
		if at, err := time.Parse(layout, written); err == nil {
			return at, true
		}
	}
	return time.Time{}, false
}

// Secrets returns every secret text among the values, for searching what is about to be written.
func Secrets(fields []Field, values map[string]any) []string {
	var found []string
	for _, f := range fields {
		found = append(found, secretsOf(f, values[f.Name], false)...)
	}
	return found
}

// SecretNames are the names of all fields that are secret, parts of others included, for hiding them in an exchange.
func SecretNames(fields []Field) []string {
	var names []string
	for _, f := range fields {
		if f.Secret {
			names = append(names, f.Name)
		}
		names = append(names, SecretNames(f.Fields)...)
		if f.Item != nil {
			names = append(names, SecretNames(f.Item.Fields)...)
		}
	}
	return names
}

func secretsOf(f Field, value any, within bool) []string {
	within = within || f.Secret
	var found []string
	switch value := value.(type) {
	case string:
		if within && value != "" {
			found = append(found, value)
		}
	case []any:
		for _, entry := range value {
			item := Field{}
			if f.Item != nil {
				item = *f.Item
			}
			found = append(found, secretsOf(item, entry, within)...)
		}
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(value)) {
			part, _ := Find(f.Fields, key)
			found = append(found, secretsOf(part, value[key], within)...)
		}
	}
	return found
}

// Mask is what stands for a secret: of one width, whatever it hides.
const Mask = "••••••••"

// Masked returns the values with every secret replaced by Mask, for rows, logs and pages.
func Masked(fields []Field, values map[string]any) map[string]any {
	masked := make(map[string]any, len(values))
	for name, value := range values {
		f, declared := Find(fields, name)
		if !declared {
			f.Secret = true
		}
		masked[name] = maskedOne(f, value)
	}
	return masked
}

func maskedOne(f Field, value any) any {
	switch {
	case value == nil:
		return nil
	case f.Secret:
		return Mask
	case f.Kind == KindObject:
		if inner, ok := value.(map[string]any); ok {
			return Masked(f.Fields, inner)
		}
	case f.Kind == KindList && f.Item != nil:
		if entries, ok := value.([]any); ok {
			masked := make([]any, len(entries))
			for i, entry := range entries {
				masked[i] = maskedOne(*f.Item, entry)
			}
			return masked
		}
	}
	return value
}

// Split parts values into those that may be stored as they are and those that must be sealed: a field with any secret in it is sealed
// whole.
func Split(fields []Field, values map[string]any) (plain, sealed map[string]any) {
	plain, sealed = map[string]any{}, map[string]any{}
	for name, value := range values {
		if f, declared := Find(fields, name); !declared || f.HasSecret() {
			sealed[name] = value
		} else {
			plain[name] = value
		}
	}
	return plain, sealed
}

// Join puts together what Split parted.
func Join(plain, sealed map[string]any) map[string]any {
	joined := make(map[string]any, len(plain)+len(sealed))
	maps.Copy(joined, plain)
	maps.Copy(joined, sealed)
	return joined
}
