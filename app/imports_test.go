package app_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "portico/"

// rules is who may import whom; it is printed where somebody does otherwise. Test files are free.
const rules = `
layers   : cmd → app/server → app/<domain> and jobs → app/mail, app/audit → app/web, app/live → app/db, policies → app
domains  : auth ← accounts ← team, dashboard;  accounts ← delegates ← contracts ← provisioning ← tickets;  contracts, clients ← billing;  store, attachments ← tickets ← dashboard, reach, support;  store ← team   (never sideways)
app      : imports nothing of ours; nor do migrations, docs, static and views
views    : cmd (templates and messages); app/mail (the templates of mails)
fiber    : app/web, app/server, app/dev, and files named handlers
river    : jobs, cmd, job.go and service.go of a domain, and app/db for its migrations
casbin   : policies
pgx      : not in app/web, handlers and views: no SQL there
`

// layers are packages by height: one imports only what stands lower, so those of one height can't import each other.
var layers = [][]string{
	{"app", "migrations", "docs", "static", "views", "views/mail", "app/mail/smtptest", "docs/examples/provider"},
	{"policies", "app/keys", "app/locale", "app/db/private", "app/markdown", "app/provisioning/outbound"},
	{"app/access", "app/db", "app/blob"},
	{"app/web", "app/limits", "app/db/dbtest", "app/live", "app/sandbox"},
	{"app/audit", "app/guides", "app/mail", "app/db/dbtest/with"},
	{"app/attachments", "app/auth", "app/store", "app/watchdog"},
	{"app/accounts", "app/dev", "app/emails", "app/queues", "app/delegates"},
	{"app/contracts"},
	{"app/provisioning"},
	{"app/provisioning/drivers/generic", "app/provisioning/drivers/sandbox", "app/provisioning/drivers/whm", "app/provisioning/provisioningtest", "app/provisionlogs"},
	{"app/tickets"},
	{"app/team", "app/dashboard", "app/reach", "app/support", "app/clients"},
	{"app/billing"},
	{"jobs"},
	{"app/server"},
	{"cmd/portico", "app/server/servertest"},
}

func height(pkg string) int {
	return slices.IndexFunc(layers, func(layer []string) bool { return slices.Contains(layer, pkg) })
}

// only says which files may import a package, ours or a module of others: all that begins with the name.
var only = []struct {
	imported string
	by       func(pkg, file string) bool
}{
	{"github.com/gofiber/", func(pkg, file string) bool {
		pages := []string{"app/web", "app/server", "app/dev"}
		// The template engine is what views is about; it never sees a request.
		return slices.Contains(pages, pkg) || handlers(file) || pkg == "views"
	}},
	{"github.com/riverqueue/", func(pkg, file string) bool {
		return slices.Contains([]string{"jobs", "cmd/portico", "app/db", "app/db/dbtest"}, pkg) || file == "job.go" || file == "service.go"
	}},
	{"github.com/casbin/", func(pkg, _ string) bool { return pkg == "policies" }},
	{"github.com/jackc/", func(pkg, file string) bool { return pkg != "app/web" && pkg != "views" && !handlers(file) }},
	{module + "views", func(pkg, _ string) bool { return pkg == "cmd/portico" || pkg == "app/mail" }},
	{"testing", func(pkg, _ string) bool { return strings.HasSuffix(pkg, "test") }},
}

// handlers tells the files that answer requests by their names: handlers.go, handlers_mailbox.go, security_handlers.go.
func handlers(file string) bool {
	return strings.HasPrefix(file, "handlers") || strings.HasSuffix(file, "_handlers.go")
}

// TestImports parses the imports of every Go file that is not a test.
func TestImports(t *testing.T) {
	t.Parallel()
	root := os.DirFS("..")
	broken, files := false, 0
	wrong := func(format string, args ...any) {
		t.Helper()
		broken = true
		t.Errorf(format, args...)
	}
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if base := path.Base(name); base != "." && (strings.HasPrefix(base, ".") || base == "bin" || base == "testdata") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		files++
		pkg, file := path.Split(name)
		pkg = strings.TrimSuffix(pkg, "/")
		if height(pkg) < 0 {
			wrong("%s: the package %s has no place in the layers", name, pkg)
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", filepath.FromSlash(name)), nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range parsed.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if ours, ok := strings.CutPrefix(imported, module); ok && height(ours) >= height(pkg) {
				wrong("%s imports %s", name, imported)
			}
			for _, rule := range only {
				if strings.HasPrefix(imported, rule.imported) && !rule.by(pkg, file) {
					wrong("%s imports %s", name, imported)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 50 {
		t.Errorf("only %d files were looked at", files)
	}
	if broken {
		t.Logf("who may import whom:\n%s", rules)
	}
}
