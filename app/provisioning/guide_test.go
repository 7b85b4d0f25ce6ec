package provisioning

import (
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"portico/app/locale"
	"portico/views"
)

var update = flag.Bool("update", false, "write docs/actions.md anew")

func TestGuide_IsCurrent(t *testing.T) {
	t.Parallel()
	const path = "../../docs/actions.md"
	catalogue, err := locale.Load(views.Files)
	if err != nil {
		t.Fatal(err)
	}
	want := Guide(catalogue.Printer("en", "UTC", time.Time{}))
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil || string(got) != want {
		t.Errorf("docs/actions.md is not what the catalogue says (%v): run make generate", err)
	}
	for _, c := range Categories() {
		for _, f := range c.Functions {
			title := strings.ReplaceAll(strings.ToLower(catalogue.Printer("en", "UTC", time.Time{}).T(c.LabelKey())), " ", "-")
			if GuidePath(c.Name, f.Name) != "/guides/actions#"+title+"-"+strings.ToLower(f.Name) {
				t.Errorf("%s %s: its heading is not at %s", c.Name, f.Name, GuidePath(c.Name, f.Name))
			}
		}
	}
}
