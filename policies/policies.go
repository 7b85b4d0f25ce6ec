// Package policies decides who may do what. policy.csv is the whole of it, one line per relation, object and action, in
// Casbin's format. Casbin reads the file once at start; its answers are expanded into a table, because a page asks dozens
// of times and the table answers in nanoseconds. A test holds the table equal to Casbin's own answers.
package policies

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"github.com/casbin/casbin/v2"
	"github.com/casbin/casbin/v2/model"
	stringadapter "github.com/casbin/casbin/v2/persist/string-adapter"
)

//go:embed model.conf
var modelText string

//go:embed policy.csv
var policyText string

// Rule is one line of policy.csv.
type Rule struct{ Relation, Object, Action string }

func (r Rule) String() string { return fmt.Sprintf("p, %s, %s, %s", r.Relation, r.Object, r.Action) }

// Policy answers questions about policy.csv. Read-only after Load, so safe for concurrent use.
type Policy struct {
	enforcer *casbin.Enforcer
	allowed  map[Rule]bool
	rules    []Rule
}

// Default is the policy of this program. A broken file stops the program at start.
var Default = mustLoad(policyText)

func mustLoad(text string) *Policy {
	policy, err := Load(text)
	if err != nil {
		panic(err)
	}
	return policy
}

// Load reads a policy in the format of policy.csv. It refuses lines that Casbin would accept silently: a missing field, a
// duplicate, a wildcard.
func Load(text string) (*Policy, error) {
	m, err := model.NewModelFromString(modelText)
	if err != nil {
		return nil, fmt.Errorf("read the policy model: %w", err)
	}
	// Comments after a rule are allowed to people, but are not Casbin's.
	var lines []string
	for _, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	enforcer, err := casbin.NewEnforcer(m, stringadapter.NewAdapter(strings.Join(lines, "\n")))
	if err != nil {
		return nil, fmt.Errorf("read the policy: %w", err)
	}
	stored, err := enforcer.GetPolicy()
	if err != nil {
		return nil, fmt.Errorf("read the policy: %w", err)
	}
	policy := &Policy{enforcer: enforcer, allowed: map[Rule]bool{}}
	if len(stored) != len(lines) {
		return nil, fmt.Errorf("policy has %d lines but %d rules: a line is doubled", len(lines), len(stored))
	}
	for _, fields := range stored {
		if len(fields) != 3 || slices.Contains(fields, "") || slices.Contains(fields, "*") {
			return nil, fmt.Errorf("policy line %q: want relation, object and action, and no *", strings.Join(fields, ", "))
		}
		rule := Rule{fields[0], fields[1], fields[2]}
		policy.rules = append(policy.rules, rule)
		policy.allowed[rule] = true
	}
	return policy, nil
}

// Rules lists every line in the file's order.
func (p *Policy) Rules() []Rule { return slices.Clone(p.rules) }

// Allows tells whether any of the relations may do this. No rule means no.
func (p *Policy) Allows(relations []string, object, action string) bool {
	for _, relation := range relations {
		if p.allowed[Rule{relation, object, action}] {
			return true
		}
	}
	return false
}

// Explain asks Casbin itself and returns the line that allows, or ok false and no line when nothing does.
func (p *Policy) Explain(relations []string, object, action string) (line Rule, ok bool, err error) {
	for _, relation := range relations {
		ok, fields, err := p.enforcer.EnforceEx(relation, object, action)
		if err != nil {
			return Rule{}, false, fmt.Errorf("ask the policy: %w", err)
		}
		if ok && len(fields) == 3 {
			return Rule{fields[0], fields[1], fields[2]}, true, nil
		}
	}
	return Rule{}, false, nil
}

// Allows asks the default policy.
func Allows(relations []string, object, action string) bool {
	return Default.Allows(relations, object, action)
}
