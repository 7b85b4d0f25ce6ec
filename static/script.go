package static

import (
	"fmt"
	"path"
	"regexp"
	"strings"
)

// The forms of import and export that our modules use. Each stands on a line of its own but the last, import("…").
var (
	importNames = regexp.MustCompile(`(?m)^import (\{[^}]+\}) from "\./([a-z]+)\.js";$`)
	importOnly  = regexp.MustCompile(`(?m)^import "\./([a-z]+)\.js";$`)
	importLater = regexp.MustCompile(`\bimport\("\./([a-z]+)\.js"\)`)
	exported    = regexp.MustCompile(`(?m)^export (function|const) ([A-Za-z]+)`)
	commented   = regexp.MustCompile(`(?m)^\s*//.*\n`)
)

// joinedScript is app.js with all modules that it leads to, so that a page fetches one script. Each becomes a function that runs once,
// when it is first imported, and returns what the module exports.
func joinedScript() []byte {
	var out strings.Builder
	out.WriteString("const module = (work) => { let made; return () => (made ??= work()); };\n")
	done := map[string]bool{}
	var join func(name string)
	join = func(name string) {
		if done[name] {
			return
		}
		done[name] = true
		text := string(read(path.Join("js", name+".js")))
		for _, form := range []*regexp.Regexp{importNames, importOnly, importLater} {
			for _, found := range form.FindAllStringSubmatch(text, -1) {
				join(found[len(found)-1])
			}
		}
		var names []string
		for _, found := range exported.FindAllStringSubmatch(text, -1) {
			names = append(names, found[2])
		}
		text = importNames.ReplaceAllString(text, "const $1 = $$$2();")
		text = importOnly.ReplaceAllString(text, "$$$1();")
		text = importLater.ReplaceAllString(text, "$$$1()")
		text = exported.ReplaceAllString(text, "$1 $2")
		text = commented.ReplaceAllString(text, "")
		fmt.Fprintf(&out, "const $%s = module(() => {\n%sreturn { %s };\n});\n", name, text, strings.Join(names, ", "))
	}
	join("app")
	out.WriteString("$app();\n")
	return []byte(out.String())
}
