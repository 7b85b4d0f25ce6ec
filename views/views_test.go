package views

import (
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"testing"

	"portico/static"
)

// sources returns every template file by path.
func sources(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	names, err := fs.Glob(Files, "*/*.html")
	if err != nil || len(names) == 0 {
		t.Fatalf("no templates embedded: %v", err)
	}
	for _, name := range names {
		content, err := fs.ReadFile(Files, name)
		if err != nil {
			t.Fatal(err)
		}
		found[name] = string(content)
	}
	return found
}

var comment = regexp.MustCompile(`(?s)\{\{/\*.*?\*/\}\}`)

func TestEngine_ParsesEveryTemplate(t *testing.T) {
	t.Parallel()
	templates, err := Engine(false, static.Path)
	if err != nil {
		t.Fatal(err)
	}
	for name, source := range sources(t) {
		for _, call := range regexp.MustCompile(`\{\{-?\s*template "([^"]+)"`).FindAllStringSubmatch(source, -1) {
			if templates.fixed.Templates.Lookup(call[1]) == nil {
				t.Errorf("%s: there is no template %q", name, call[1])
			}
		}
	}
}

// The engine puts all names into one set, where the second of a name replaces the first without a word.
func TestTemplates_NamesAreUniqueAndPathShaped(t *testing.T) {
	t.Parallel()
	owner := map[string]string{}
	claim := func(name, file string) {
		if other, taken := owner[name]; taken {
			t.Errorf("template %q is in %s and in %s", name, other, file)
		}
		owner[name] = file
	}
	all := sources(t)
	for file := range all {
		claim(strings.TrimSuffix(file, ".html"), file)
	}
	shape := regexp.MustCompile(`^[a-z-]+/[a-z0-9-]+$`)
	for file, source := range all {
		for _, define := range regexp.MustCompile(`\{\{-?\s*(?:define|block) "([^"]+)"`).FindAllStringSubmatch(source, -1) {
			claim(define[1], file)
			if !shape.MatchString(define[1]) {
				t.Errorf("%s: %q is not of the shape folder/name", file, define[1])
			}
		}
	}
}

// The content security policy refuses what stands in a page, so it must not be written there.
func TestTemplates_HoldNoStyleOrScript(t *testing.T) {
	t.Parallel()
	refused := map[string]*regexp.Regexp{
		"an inline script":        regexp.MustCompile(`<script(?:\s[^>]*)?>\s*[^<\s]|<script\s*>`),
		"a style element":         regexp.MustCompile(`<style`),
		"a style attribute":       regexp.MustCompile(`\sstyle\s*=`),
		"an event attribute":      regexp.MustCompile(`\son[a-z]+\s*=`),
		"hx-on":                   regexp.MustCompile(`\s(?:data-)?hx-on`),
		"a javascript address":    regexp.MustCompile(`(?i)javascript:`),
		"a trigger filter":        regexp.MustCompile(`hx-trigger="[^"]*\[`),
		"hx-vals of js":           regexp.MustCompile(`hx-(?:vals|headers)=['"]js:`),
		"the engine's embed":      regexp.MustCompile(`\{\{-?\s*embed`),
		"an address of elsewhere": regexp.MustCompile(`(?:src|href|action)="https?://`),
	}
	for file, source := range sources(t) {
		source = comment.ReplaceAllString(source, "")
		for what, pattern := range refused {
			if found := pattern.FindString(source); found != "" {
				t.Errorf("%s holds %s: %q", file, what, found)
			}
		}
	}
}

func TestTemplates_PostFormsCarryTheToken(t *testing.T) {
	t.Parallel()
	form := regexp.MustCompile(`(?s)<form\b([^>]*(?:\{\{[^}]*\}\}[^>]*)*)>(.*?)</form>`)
	posts := 0
	for file, source := range sources(t) {
		forms := form.FindAllStringSubmatch(source, -1)
		if opened := strings.Count(source, "<form"); opened != len(forms) {
			t.Errorf("%s: of %d forms only %d are whole in the file", file, opened, len(forms))
		}
		for _, f := range forms {
			if !strings.Contains(strings.ToLower(f[1]), `method="post"`) {
				if strings.Contains(f[1], "hx-post") {
					t.Errorf("%s: a form posts by htmx only: <form%s>", file, f[1])
				}
				continue
			}
			posts++
			if strings.Contains(f[1], "data-elsewhere") { // a provider's own form, which must not get the token
				if strings.Contains(f[2], ".CSRFInput") {
					t.Errorf("%s: a form that leads elsewhere carries .CSRFInput: <form%s>", file, f[1])
				}
				continue
			}
			if !strings.Contains(f[2], ".CSRFInput}}") {
				t.Errorf("%s: a form that posts lacks .CSRFInput: <form%s>", file, f[1])
			}
		}
	}
	if posts == 0 {
		t.Error("no form that posts was found: the pattern of this test is wrong")
	}
}

func TestTemplates_NameIconsAndFilesThatExist(t *testing.T) {
	t.Parallel()
	icons := static.Icons()
	named := regexp.MustCompile(`(?:\bicon|"Icon") "([^"]+)"`)
	asset := regexp.MustCompile(`\.Asset "([^"]+)"`)
	for file, source := range sources(t) {
		for _, icon := range named.FindAllStringSubmatch(source, -1) {
			if !slices.Contains(icons, icon[1]) {
				t.Errorf("%s: there is no icon %q in static/vendor/icons.txt", file, icon[1])
			}
		}
		for _, name := range asset.FindAllStringSubmatch(source, -1) {
			if _, ok := static.Find(static.Path(name[1])); !ok {
				t.Errorf("%s: there is no file %q", file, name[1])
			}
		}
	}
	for _, status := range []string{
		"active", "accepted", "open", "staff-replied", "client-replied", "waiting", "closed", "invited", "expired", "queued", "running", "retrying",
		"failed", "cancelled", "suspended", "anything else",
	} {
		if icon := statusIcon(status); !slices.Contains(icons, icon) {
			t.Errorf("status %q: there is no icon %q", status, icon)
		}
	}
}

func TestAvatar_Initials(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"Bea Lindqvist": "BL", "Dev Team 1": "D1", "cher": "C", "  Ada   Moreau ": "AM", "(Sam) O'Kafor": "SO", "łukasz żółkiewski": "ŁŻ",
		"نور حداد": "ن", "王小明": "王", "ß. sharp": "ßS", "e\u0301mile zola": "E\u0301Z", "🦊": "🦊", "": "", "-": "-",
	} {
		if got := initials(name); got != want {
			t.Errorf("initials of %q are %q, not %q", name, got, want)
		}
	}
}

func TestAvatar_IsTheSameForANameAndEscaped(t *testing.T) {
	t.Parallel()
	first := avatar("Bea Lindqvist")
	if again := avatar("Bea Lindqvist"); again != first {
		t.Error("two avatars of one name differ")
	}
	if got := string(avatar("<b>", `"onclick`)); strings.Contains(got, "<b>") || strings.Contains(got, `""onclick`) {
		t.Errorf("the avatar is not escaped: %s", got)
	}
	if got := string(avatar("Northwind Hosting", "store", "small")); got != `<span class="avatar store small" aria-hidden="true">N</span>` {
		t.Errorf("the store's avatar is %s", got)
	}
	seen := map[string]bool{}
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"} {
		seen[strings.Fields(strings.Split(string(avatar(name)), `"`)[1])[1]] = true
	}
	if len(seen) != len(tones) {
		t.Errorf("of %d tones only %v are picked", len(tones), seen)
	}
}

func TestDict_RefusesWhatIsNoPair(t *testing.T) {
	t.Parallel()
	if _, err := dict("a"); err == nil {
		t.Error("a key without a value passed")
	}
	if _, err := dict(1, 2); err == nil {
		t.Error("a key that is no string passed")
	}
	if values, err := dict("a", 1, "b", 2); err != nil || values["a"] != 1 || values["b"] != 2 {
		t.Errorf("got %v, %v", values, err)
	}
}
