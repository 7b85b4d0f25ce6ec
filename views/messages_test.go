package views

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"portico/policies"

	"github.com/BurntSushi/toml"
)

// keyShape is how a key of the catalogue looks: topic.thing. prefixShape is the beginning of one that is built from data.
var (
	keyShape    = regexp.MustCompile(`^[a-z]+(\.[a-z0-9_-]+)+$`)
	prefixShape = regexp.MustCompile(`^[a-z]+\.([a-z0-9_.-]*[.-])?$`)
)

// mentioned is how a message mentions a value, and odd is any other way.
var (
	mentioned = regexp.MustCompile(`\{\{\.[A-Za-z]+\}\}`)
	odd       = regexp.MustCompile(`.*(\{\{|\}\}).*`)
)

// catalogue returns the keys of the language that has them all.
func catalogue(t *testing.T) map[string]bool {
	t.Helper()
	keys := map[string]bool{}
	names, err := fs.Glob(Files, "messages/*.en.toml")
	if err != nil || len(names) == 0 {
		t.Fatalf("no messages embedded: %v", err)
	}
	for _, name := range names {
		var table map[string]any
		if _, err := toml.DecodeFS(Files, name, &table); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if text, err := fs.ReadFile(Files, name); err != nil {
			t.Fatal(err)
		} else if odd := odd.FindAllString(mentioned.ReplaceAllString(string(text), ""), -1); odd != nil {
			t.Errorf("%s: messages mention values as {{.Name}} alone, see locale.Printer: %q", name, odd)
		}
		topic := strings.TrimSuffix(strings.TrimPrefix(name, "messages/"), ".en.toml")
		for first := range table {
			if first != topic {
				t.Errorf("%s holds the topic %q", name, first)
			}
		}
		flatten("", table, keys)
	}
	return keys
}

// flatten collects the keys below table. A table with "other" is one message with plural forms.
func flatten(prefix string, table map[string]any, keys map[string]bool) {
	for name, value := range table {
		switch value := value.(type) {
		case string:
			keys[prefix+name] = true
		case map[string]any:
			if _, plural := value["other"].(string); plural {
				keys[prefix+name] = true
			} else {
				flatten(prefix+name+".", value, keys)
			}
		}
	}
}

// uses is what templates and code say: keys that must exist, literals that may be keys, and beginnings of built keys.
type uses struct {
	needed   map[string]string // key to where it is needed
	named    map[string]bool
	prefixes map[string]string
}

func findUses(t *testing.T) uses {
	t.Helper()
	u := uses{map[string]string{}, map[string]bool{}, map[string]string{}}
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if name := entry.Name(); name == "testdata" || strings.HasPrefix(name, ".") && name != ".." {
				return filepath.SkipDir
			}
			return nil
		}
		switch {
		case strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go"):
			u.readGo(t, path)
		case strings.HasSuffix(path, ".html"), strings.HasSuffix(path, ".tmpl"):
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			u.readTemplate(path, string(content))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

var (
	action      = regexp.MustCompile(`(?s)\{\{.*?\}\}`)
	quoted      = regexp.MustCompile(`"([^"]*)"`)
	translated  = regexp.MustCompile(`\.T "([^"]+)"`)
	built       = regexp.MustCompile(`\b(?:printf "([a-z]+\.[a-z0-9_.-]*)%|print "([a-z]+\.[a-z0-9_.-]*)")`)
	fieldCalled = regexp.MustCompile(`\.Field "([^"]+)"([^)]*)`)
)

func (u *uses) readTemplate(path, source string) {
	for _, a := range action.FindAllString(comment.ReplaceAllString(source, ""), -1) {
		for _, q := range quoted.FindAllStringSubmatch(a, -1) {
			u.named[q[1]] = true
		}
		for _, key := range translated.FindAllStringSubmatch(a, -1) {
			u.needed[key[1]] = path
		}
		for _, prefix := range built.FindAllStringSubmatch(a, -1) {
			u.prefixes[prefix[1]+prefix[2]] = path
		}
		for _, f := range fieldCalled.FindAllStringSubmatch(a, -1) {
			if strings.Contains(f[2], `"type" "hidden"`) {
				continue
			}
			if label := regexp.MustCompile(`"label" "([^"]+)"`).FindStringSubmatch(f[2]); label != nil {
				u.needed[label[1]] = path
			} else if !strings.Contains(f[2], `"label"`) {
				u.needed["field."+f[1]] = path
			}
			if hint := regexp.MustCompile(`"hint" "([^"]+)"`).FindStringSubmatch(f[2]); hint != nil {
				u.needed[hint[1]] = path
			}
		}
	}
}

// keyArgument is where a function that speaks takes its key.
var keyArgument = map[string]int{"T": 0, "Invalidf": 1, "SetFlash": 2}

// actionArgument is where a function that records takes the action, which the page of activity names.
var actionArgument = map[string]int{"Record": 4, "record": 1, "recordProduct": 3}

func (u *uses) readGo(t *testing.T, path string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	literal := func(e ast.Expr) string {
		if basic, ok := e.(*ast.BasicLit); ok && basic.Kind == token.STRING {
			text, _ := strconv.Unquote(basic.Value)
			return text
		}
		return ""
	}
	need := func(e ast.Expr) {
		if key := literal(e); key != "" {
			u.needed[key] = path
		}
	}
	needAction := func(e ast.Expr) {
		if action := literal(e); strings.Contains(action, ".") {
			u.needed["activity."+action] = path
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BasicLit:
			text := literal(n)
			u.named[text] = true
			if before, _, formatted := strings.Cut(text, "%"); formatted && prefixShape.MatchString(before) {
				u.prefixes[before] = path
			}
		case *ast.BinaryExpr:
			if text := literal(n.X); n.Op == token.ADD && prefixShape.MatchString(text) {
				u.prefixes[text] = path
			}
		case *ast.CallExpr:
			name := ""
			switch called := n.Fun.(type) {
			case *ast.Ident:
				name = called.Name
			case *ast.SelectorExpr:
				name = called.Sel.Name
			}
			if i, speaks := keyArgument[name]; speaks && i < len(n.Args) {
				need(n.Args[i])
			}
			if i, records := actionArgument[name]; records && i < len(n.Args) {
				needAction(n.Args[i])
			}
		case *ast.CompositeLit:
			selector, ok := n.Type.(*ast.SelectorExpr)
			if !ok {
				break
			}
			for _, element := range n.Elts {
				pair, ok := element.(*ast.KeyValueExpr)
				if !ok {
					continue
				}
				switch field, ok := pair.Key.(*ast.Ident); {
				case ok && selector.Sel.Name == "Text" && field.Name == "Key":
					need(pair.Value)
				case ok && selector.Sel.Name == "Entry" && field.Name == "Action":
					needAction(pair.Value)
				}
			}
		}
		return true
	})
}

func TestMessages_EveryKeySaidExists(t *testing.T) {
	t.Parallel()
	keys, u := catalogue(t), findUses(t)
	for _, key := range slices.Sorted(maps.Keys(u.needed)) {
		if !keys[key] {
			t.Errorf("%s says %q, which views/messages does not have", u.needed[key], key)
		}
	}
	if len(u.needed) < 50 {
		t.Errorf("only %d keys found: this test looks at the wrong places", len(u.needed))
	}
}

func TestMessages_NoneIsUnused(t *testing.T) {
	t.Parallel()
	u := findUses(t)
	for _, key := range slices.Sorted(maps.Keys(catalogue(t))) {
		if !keyShape.MatchString(key) {
			t.Errorf("%q is not of the shape topic.thing", key)
		}
		if u.named[key] {
			continue
		}
		_, labels := u.needed[key]
		if labels || slices.ContainsFunc(slices.Collect(maps.Keys(u.prefixes)), func(prefix string) bool { return strings.HasPrefix(key, prefix) }) {
			continue
		}
		t.Errorf("nothing says %q", key)
	}
}

// The page Permissions says every line of the policy in words.
func TestMessages_SayThePolicy(t *testing.T) {
	t.Parallel()
	keys := catalogue(t)
	say := func(key string) {
		if !keys[key] {
			t.Errorf("the policy needs %q, which views/messages does not have", key)
		}
	}
	for _, rule := range policies.Default.Rules() {
		say("permission.object-" + rule.Object)
		say("permission.action-" + rule.Action)
		if !strings.HasPrefix(rule.Relation, "can:") {
			say("permission.relation-" + rule.Relation)
		}
	}
	for _, permission := range policies.Permissions {
		say("permission." + string(permission))
	}
	for _, permission := range policies.AccountPermissions {
		say("permission.relation-user-" + string(permission))
	}
	for _, right := range policies.DelegateRights {
		say("permission.relation-delegate-" + right)
	}
}

// Every language has its own words for the same things: none may name a key that English lacks.
func TestMessages_OtherLanguagesAddNothing(t *testing.T) {
	t.Parallel()
	keys := catalogue(t)
	names, err := fs.Glob(Files, "messages/*.toml")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		var table map[string]any
		if _, err := toml.DecodeFS(Files, name, &table); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		own := map[string]bool{}
		flatten("", table, own)
		for key := range own {
			if !keys[key] {
				t.Errorf("%s has %q, which English lacks", name, key)
			}
		}
	}
}
