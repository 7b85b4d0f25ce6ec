package contracts

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Categories are the kinds of provisioning, in the order of lists. Of a product for which nothing is provisioned it is
// "".
var Categories = []string{
	"web-hosting", "domain-names", "auto-login", "seo", "website-builders", "software-licenses", "servers", "office-tools",
}

func categoryIcon(category string) string {
	switch category {
	case "web-hosting":
		return "panels-top-left"
	case "domain-names":
		return "globe"
	case "auto-login":
		return "log-in"
	case "seo":
		return "chart-line"
	case "website-builders":
		return "palette"
	case "software-licenses":
		return "file-text"
	case "servers":
		return "server"
	case "office-tools":
		return "briefcase-business"
	}
	return "package"
}

// details are the provision fields that **Product details** shows to everybody who sees a product, in order: identifiers and
// addresses, never a credential. Labels stand in the catalogue under "contracts.field-NAME".
var details = map[string][]string{
	"web-hosting":       {"domain", "username", "ip_address"},
	"domain-names":      {"domain", "ns1", "ns2", "ns3", "ns4", "ns5"},
	"auto-login":        {"username", "service_identifier", "package_identifier"},
	"seo":               {"domain", "username", "package_identifier"},
	"website-builders":  {"domain", "account_reference", "package_reference", "ip_address"},
	"software-licenses": {"package_identifier", "service_identifier", "ip_address"},
	"servers":           {"hostname", "ip_address", "image", "size", "location", "state", "instance_id"},
	"office-tools":      {"domain", "plan", "seat_count", "seat_count_used", "workspace_url"},
}

// copied are the fields that people take along.
var copied = []string{"domain", "username", "ip_address", "hostname", "ns1", "ns2", "instance_id"}

// Detail is one line of **Product details**.
type Detail struct {
	Name  string // in the catalogue "contracts.field-NAME"
	Value string
	Copy  bool // people take it along
}

// Details lists the provision fields that everybody who sees the product may see.
func (p Product) Details() []Detail {
	var list []Detail
	for _, name := range details[p.Category] {
		value := text(p.Fields[name])
		if name == "domain" && value == "" && p.Category == "domain-names" {
			value = p.Identifier
		}
		if value != "" {
			list = append(list, Detail{name, value, slices.Contains(copied, name)})
		}
	}
	return list
}

// text writes a field's value; "" for none.
func text(value any) string {
	switch value := value.(type) {
	case nil:
		return ""
	case string:
		return value
	case float64:
		return strconv.FormatFloat(value, 'f', -1, 64)
	case []any:
		parts := make([]string, len(value))
		for i, part := range value {
			parts[i] = text(part)
		}
		return strings.Join(parts, ", ")
	case map[string]any:
		return text(value["host"]) // a name server
	}
	return fmt.Sprint(value)
}
