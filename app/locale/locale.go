// Package locale speaks to people: sentences from the message catalogue (views/messages, one TOML file per topic and language),
// dates in a time zone, numbers and money by language.
package locale

import (
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"portico/app"

	"github.com/BurntSushi/toml"
	"github.com/nicksnyder/go-i18n/v2/i18n"
	i18ntemplate "github.com/nicksnyder/go-i18n/v2/i18n/template"
	"golang.org/x/text/currency"
	"golang.org/x/text/language"
	"golang.org/x/text/language/display"
	"golang.org/x/text/message"
)

// Fallback is the language every key exists in.
const Fallback = "en"

// Catalogue holds every language's messages. Safe for concurrent use.
type Catalogue struct {
	bundle    *i18n.Bundle
	languages []string
	raw       sync.Map // language and key → the message, of those that count nothing: a page has hundreds
	zones     sync.Map // name → *time.Location, which would be read from a file each time
}

// Load reads every messages/TOPIC.LANGUAGE.toml of files.
func Load(files fs.FS) (*Catalogue, error) {
	c := &Catalogue{bundle: i18n.NewBundle(language.MustParse(Fallback))}
	c.bundle.RegisterUnmarshalFunc("toml", toml.Unmarshal)
	names, err := fs.Glob(files, "messages/*.toml")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if _, err := c.bundle.LoadMessageFileFS(files, name); err != nil {
			return nil, fmt.Errorf("load messages %s: %w", name, err)
		}
		_, lang, _ := strings.Cut(strings.TrimSuffix(path.Base(name), ".toml"), ".")
		if !slices.Contains(c.languages, lang) {
			c.languages = append(c.languages, lang)
		}
	}
	if !slices.Contains(c.languages, Fallback) {
		return nil, fmt.Errorf("messages for %q are missing", Fallback)
	}
	return c, nil
}

// Language is one the portal speaks, named in itself.
type Language struct{ Code, Name string }

// Languages lists what the catalogue holds, by code.
func (c *Catalogue) Languages() []Language {
	var all []Language
	for _, code := range c.languages {
		all = append(all, Language{code, display.Self.Name(language.MustParse(code))})
	}
	return all
}

// Speaks tells whether the catalogue has this language.
func (c *Catalogue) Speaks(code string) bool { return slices.Contains(c.languages, code) }

// Match picks the language for an Accept-Language header; the store's when nothing fits.
func (c *Catalogue) Match(accept, store string) string {
	wanted, _, _ := language.ParseAcceptLanguage(accept)
	for _, tag := range wanted {
		base, _ := tag.Base()
		if c.Speaks(base.String()) {
			return base.String()
		}
	}
	if c.Speaks(store) {
		return store
	}
	return Fallback
}

// Printer returns a Printer for one person. An unknown zone is UTC.
func (c *Catalogue) Printer(lang, zone string, now time.Time) *Printer {
	location := c.zone(zone)
	if !c.Speaks(lang) {
		lang = Fallback
	}
	return &Printer{
		Lang: lang, Zone: location, now: now, catalogue: c,
		messages: i18n.NewLocalizer(c.bundle, lang, Fallback),
		numbers:  message.NewPrinter(language.MustParse(lang)),
	}
}

func (c *Catalogue) zone(name string) *time.Location {
	if known, ok := c.zones.Load(name); ok {
		return known.(*time.Location)
	}
	location, err := time.LoadLocation(name)
	if err != nil {
		return time.UTC // not remembered: anything may be asked for
	}
	c.zones.Store(name, location)
	return location
}

// Printer speaks one language in one time zone at one moment. Not safe for concurrent use.
type Printer struct {
	Lang      string
	Zone      *time.Location
	now       time.Time
	catalogue *Catalogue
	messages  *i18n.Localizer
	numbers   *message.Printer
}

// T returns the message with this key. pairs are names and values that the message mentions as {{.Name}}, and as nothing else; the pair
// "Count" also picks the plural form. A missing key shows itself and is logged; tests forbid it.
func (p *Printer) T(key string, pairs ...any) string {
	var args map[string]any
	if len(pairs) > 0 {
		args = make(map[string]any, len(pairs)/2)
		for i := 0; i+1 < len(pairs); i += 2 {
			args[fmt.Sprint(pairs[i])] = pairs[i+1]
		}
	}
	return p.Text(app.Text{Key: key, Args: args})
}

// Text is T for a message that a service returned.
func (p *Printer) Text(text app.Text) string {
	type key struct{ lang, key string }
	count, counts := text.Args["Count"]
	if !counts {
		if raw, ok := p.catalogue.raw.Load(key{p.Lang, text.Key}); ok {
			return fill(raw.(string), text.Args)
		}
	}
	raw, err := p.messages.Localize(&i18n.LocalizeConfig{MessageID: text.Key, PluralCount: count, TemplateParser: asItStands})
	if err != nil {
		slog.Error("message missing", "key", text.Key, "error", err)
		if raw == "" {
			return text.Key
		}
	} else if !counts {
		p.catalogue.raw.Store(key{p.Lang, text.Key}, raw)
	}
	return fill(raw, text.Args)
}

// asItStands leaves a message's {{.Name}} to fill, which is quicker than templates are.
var asItStands = i18ntemplate.IdentityParser{}

// fill puts values in the place of what a message mentions.
func fill(raw string, args map[string]any) string {
	before, rest, found := strings.Cut(raw, "{{.")
	if !found {
		return raw
	}
	var said strings.Builder
	for found {
		said.WriteString(before)
		name, after, _ := strings.Cut(rest, "}}")
		if value, ok := args[name]; ok {
			fmt.Fprint(&said, value)
		} else {
			said.WriteString("<no value>") // tests forbid it
		}
		before, rest, found = strings.Cut(after, "{{.")
	}
	said.WriteString(before)
	return said.String()
}

// Has tells whether the catalogue holds a key, for keys that are built from data.
func (p *Printer) Has(key string) bool {
	said, err := p.messages.Localize(&i18n.LocalizeConfig{MessageID: key})
	return err == nil && said != ""
}

// Number writes a whole number with the language's separators.
func (p *Printer) Number(n any) string { return p.numbers.Sprintf("%d", n) }

// Size writes a number of bytes for people: "184 KB", "1.2 MB". A KB is 1,024 bytes, as file managers count.
func (p *Printer) Size(bytes int64) string {
	switch {
	case bytes < 1<<10:
		return p.numbers.Sprintf("%d B", bytes)
	case bytes < 1<<20:
		return p.numbers.Sprintf("%d KB", (bytes+1<<9)>>10)
	default:
		return p.numbers.Sprintf("%.1f MB", float64(bytes)/(1<<20))
	}
}

// Money writes an amount of minor units (cents) in an ISO 4217 currency.
func (p *Printer) Money(minor int64, code string) string {
	unit, err := currency.ParseISO(code)
	if err != nil {
		return fmt.Sprintf("%d %s", minor, code)
	}
	digits, _ := currency.Standard.Rounding(unit)
	sign, whole, scale := "", minor, int64(1)
	if minor < 0 {
		sign, whole = "-", -minor
	}
	for range digits {
		scale *= 10
	}
	amount := p.numbers.Sprintf("%d", whole/scale)
	if digits > 0 {
		amount += p.T("format.decimal") + fmt.Sprintf("%0*d", digits, whole%scale)
	}
	return sign + amount + "\u00a0" + unit.String()
}

// Decimal writes an amount of minor units as fields for money hold it, e.g. "96.00", and ParseMoney reads it.
func Decimal(minor int64, code string) string {
	digits := minorDigits(code)
	text := fmt.Sprintf("%0*d", digits+1, minor)
	if digits == 0 {
		return text
	}
	return text[:len(text)-digits] + "." + text[len(text)-digits:]
}

// ParseMoney reads an amount that somebody typed, with a point or a comma before its minor units and no other separators.
func ParseMoney(text, code string) (minor int64, ok bool) {
	digits := minorDigits(code)
	whole, part, _ := strings.Cut(strings.ReplaceAll(strings.TrimSpace(text), ",", "."), ".")
	if whole == "" || len(whole) > 12 || len(part) > digits {
		return 0, false
	}
	for _, r := range whole + part {
		if r < '0' || r > '9' {
			return 0, false
		}
	}
	minor, err := strconv.ParseInt(whole+part+strings.Repeat("0", digits-len(part)), 10, 64)
	return minor, err == nil
}

// minorDigits is how many digits of a currency are minor units; 2 for an unknown one.
func minorDigits(code string) int {
	unit, err := currency.ParseISO(code)
	if err != nil {
		return 2
	}
	digits, _ := currency.Standard.Rounding(unit)
	return digits
}

// Date writes a day, e.g. "20 November 2026".
func (p *Printer) Date(t time.Time) string {
	t = t.In(p.Zone)
	return p.T("format.date", "Day", t.Day(), "Month", p.month(t), "Year", t.Year())
}

// DateTime writes a moment to the minute, e.g. "20 November 2026, 09:48".
func (p *Printer) DateTime(t time.Time) string {
	return p.T("format.datetime", "Date", p.Date(t), "Time", t.In(p.Zone).Format("15:04"))
}

func (p *Printer) month(t time.Time) string {
	return p.T(fmt.Sprintf("format.month-%d", int(t.Month())))
}

// Ago writes how long ago t was, e.g. "12 min ago"; after a month, the date.
func (p *Printer) Ago(t time.Time) string {
	d := p.now.Sub(t)
	switch {
	case d < -time.Minute:
		return p.In(t)
	case d < time.Minute:
		return p.T("format.now")
	case d < time.Hour:
		return p.T("format.minutes-ago", "Count", int(d/time.Minute))
	case d < 24*time.Hour:
		return p.T("format.hours-ago", "Count", int(d/time.Hour))
	case d < 30*24*time.Hour:
		return p.T("format.days-ago", "Count", int(d/(24*time.Hour)))
	default:
		return p.Date(t)
	}
}

// In writes how far ahead t is, e.g. "in 3 days".
func (p *Printer) In(t time.Time) string {
	d := t.Sub(p.now) + time.Second/2
	switch {
	case d < time.Minute:
		return p.T("format.now")
	case d < time.Hour:
		return p.T("format.in-minutes", "Count", int(d/time.Minute))
	case d < 24*time.Hour:
		return p.T("format.in-hours", "Count", int(d/time.Hour))
	default:
		return p.T("format.in-days", "Count", int(d/(24*time.Hour)))
	}
}

// Hour is the hour of the day where the person is, 0 to 23.
func (p *Printer) Hour() int { return p.now.In(p.Zone).Hour() }

// Time renders <time>: relative words, with the exact moment on hover and focus.
func (p *Printer) Time(t time.Time) template.HTML {
	return p.timeElement(t, p.Ago(t))
}

// Day renders <time> with a date.
func (p *Printer) Day(t time.Time) template.HTML { return p.timeElement(t, p.Date(t)) }

// CalendarDay writes a day that has no time zone, as dates of contracts and invoices are: t is its midnight UTC.
func (p *Printer) CalendarDay(t time.Time) string {
	return p.T("format.date", "Day", t.Day(), "Month", p.month(t), "Year", t.Year())
}

// Calendar renders <time> with a day that has no time zone, as dates of contracts are: t is its midnight UTC. Nil is "".
func (p *Printer) Calendar(t *time.Time) template.HTML {
	if t == nil {
		return ""
	}
	return template.HTML(fmt.Sprintf(`<time datetime="%s">%s</time>`, t.Format(time.DateOnly),
		template.HTMLEscapeString(p.CalendarDay(*t))))
}

// Moment renders <time> with date and time.
func (p *Printer) Moment(t time.Time) template.HTML { return p.timeElement(t, p.DateTime(t)) }

func (p *Printer) timeElement(t time.Time, words string) template.HTML {
	return template.HTML(fmt.Sprintf(`<time datetime="%s" title="%s">%s</time>`,
		t.In(p.Zone).Format(time.RFC3339), template.HTMLEscapeString(p.DateTime(t)), template.HTMLEscapeString(words)))
}
