package static

import (
	"bytes"
	"compress/gzip"
	"io"
	"io/fs"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

func TestPath_NamesTheContent(t *testing.T) {
	t.Parallel()
	shape := regexp.MustCompile(`^/static/(?:[a-z]+/)?[a-z.-]+-[0-9a-f]{8}\.[a-z0-9]+$`)
	for _, name := range []string{"app.css", "chevron.svg", "js/app.js", "vendor/htmx.min.js", "vendor/inter-latin.woff2", "vendor/icons.svg"} {
		address := Path(name)
		if !shape.MatchString(address) {
			t.Errorf("%s is served at %q", name, address)
		}
		file, ok := Find(address)
		if !ok || len(file.Content) == 0 || file.Type == "" {
			t.Errorf("%s is not found at its own address %s", name, address)
		}
	}
	for _, other := range []string{"", "/static/", "/static/app.css", "/static/app-00000000.css", "/static/../static.go", "app.css"} {
		if _, ok := Find(other); ok {
			t.Errorf("%q is served", other)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("an unknown name has an address")
		}
	}()
	Path("nothing.css")
}

func TestFind_GzipHoldsTheSame(t *testing.T) {
	t.Parallel()
	small := 0
	for address, file := range built().files {
		if file.Gzip == nil {
			continue
		}
		r, err := gzip.NewReader(bytes.NewReader(file.Gzip))
		if err != nil {
			t.Fatal(err)
		}
		plain, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(plain, file.Content) {
			t.Errorf("%s: compressed it is something else: %v", address, err)
		}
		small++
	}
	if file, _ := Find(Path("app.css")); file.Gzip == nil {
		t.Error("the stylesheet is not compressed")
	}
	if file, _ := Find(Path("vendor/inter-latin.woff2")); file.Gzip != nil {
		t.Error("a font is compressed twice")
	}
	if small == 0 {
		t.Error("nothing is compressed")
	}
}

// What a stylesheet or script refers to must itself be served under its fingerprint, or the browser keeps an old one.
func TestFiles_ReferToFingerprints(t *testing.T) {
	t.Parallel()
	address := regexp.MustCompile(`url\("([^"]+)"\)|(?:from|import) ?\(?"([^"]+)"`)
	found := 0
	for name, path := range built().paths {
		if strings.HasPrefix(name, "vendor/") || strings.HasSuffix(name, ".svg") {
			continue
		}
		file, _ := Find(path)
		for _, reference := range address.FindAllStringSubmatch(string(file.Content), -1) {
			found++
			if _, ok := Find(reference[1] + reference[2]); !ok {
				t.Errorf("%s refers to %q", name, reference[1]+reference[2])
			}
		}
	}
	if found < 6 {
		t.Errorf("only %d references found", found)
	}
}

// A file whose content depends on another's changes its address with it.
func TestAdd_FollowsReferences(t *testing.T) {
	t.Parallel()
	address := func(icon string) string {
		b := &bundle{files: map[string]File{}, paths: map[string]string{}}
		b.add("icon.svg", []byte(icon), nil)
		b.add("sheet.css", []byte(`a { background: url("icon.svg") }`), nil)
		return b.paths["sheet.css"]
	}
	before := address("<svg/>")
	if again := address("<svg/>"); again != before {
		t.Error("the same content has two addresses")
	}
	if before == address("<svg></svg>") {
		t.Error("the stylesheet keeps its address while its icon changes")
	}
}

func TestStylesheet_HoldsItsLayersInOrder(t *testing.T) {
	t.Parallel()
	file, _ := Find(Path("app.css"))
	sheet := string(file.Content)
	if !strings.HasPrefix(sheet, "@layer reset, tokens, base, layout, components, utilities;\n") {
		t.Errorf("the stylesheet begins with %q", sheet[:80])
	}
	for _, layer := range stylesheet {
		if strings.Count(sheet, "\n@layer "+layer+" {") != 1 {
			t.Errorf("the layer %s does not stand there once", layer)
		}
	}
	if strings.Count(sheet, "{") != strings.Count(sheet, "}") {
		t.Error("the braces do not match")
	}
}

func TestFiles_AskNobodyElse(t *testing.T) {
	t.Parallel()
	elsewhere := regexp.MustCompile(`(?:url\(|from |import |fetch\()["']?(?:https?:)?//`)
	err := fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasPrefix(name, "vendor/") {
			return err
		}
		if found := elsewhere.Find(read(name)); found != nil {
			t.Errorf("%s asks another server: %s", name, found)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestSprite_HoldsEveryIcon(t *testing.T) {
	t.Parallel()
	sprite := string(read("vendor/icons.svg"))
	for _, name := range Icons() {
		if !strings.Contains(sprite, `<symbol id="`+name+`" `) {
			t.Errorf("the sprite lacks %s: run static/vendor/update.sh", name)
		}
	}
	if got := strings.Count(sprite, "<symbol "); got != len(Icons()) {
		t.Errorf("the sprite holds %d icons, icons.txt names %d: run static/vendor/update.sh", got, len(Icons()))
	}
}

func TestVendored_FilesAreAsRecorded(t *testing.T) {
	t.Parallel()
	if out, err := exec.CommandContext(t.Context(), "vendor/update.sh", "--check").CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// TestScript_IsOneFile: a page fetches one script of ours, which imports nothing more.
func TestScript_IsOneFile(t *testing.T) {
	t.Parallel()
	file, ok := Find(Path("js/app.js"))
	if !ok {
		t.Fatal("there is no app.js")
	}
	if found := regexp.MustCompile(`(?m)^\s*(import|export)\b.*|\bimport\(.*`).FindAllString(string(file.Content), -1); len(found) > 0 {
		t.Errorf("app.js still has %q", found)
	}
	for _, part := range []string{"$composer = ", "$passkey = ", "return { each };", "return { say };"} {
		if !strings.Contains(string(file.Content), part) {
			t.Errorf("app.js lacks %q", part)
		}
	}
}
