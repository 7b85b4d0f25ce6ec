package sandbox

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

var zoneTypes = []string{"A", "AAAA", "CAA", "CNAME", "MX", "NS", "PTR", "SRV", "SSHFP", "TLSA", "TXT"}

// readZone reads a zone file: names, times to live, classes and types in RFC 1035's order, parentheses, quotes, comments, $ORIGIN and
// $TTL. The SOA record, and NS records of the name itself, are the provider's own and are passed over. Names are returned relative to the
// domain, "@" for the domain itself.
func readZone(zone, domain string) ([]map[string]any, error) {
	entries, err := zoneEntries(zone)
	if err != nil {
		return nil, err
	}
	origin, ttl, last := domain+".", 3600.0, "@"
	var read []map[string]any
	for _, e := range entries {
		words := e.words
		switch strings.ToUpper(words[0]) {
		case "$ORIGIN":
			if len(words) != 2 {
				return nil, fmt.Errorf("line %d: $ORIGIN needs a name", e.line)
			}
			origin = absolute(words[1], origin)
			continue
		case "$TTL":
			if len(words) != 2 || !seconds(words[1], &ttl) {
				return nil, fmt.Errorf("line %d: $TTL needs a number", e.line)
			}
			continue
		}
		if strings.HasPrefix(words[0], "$") {
			return nil, fmt.Errorf("line %d: %s is not read", e.line, words[0])
		}
		if !e.indented {
			last, words = absolute(words[0], origin), words[1:]
		}
		own := ttl
		for len(words) > 0 && (strings.EqualFold(words[0], "IN") || seconds(words[0], &own)) {
			words = words[1:]
		}
		if len(words) < 2 {
			return nil, fmt.Errorf("line %d: a record has a type and a content", e.line)
		}
		kind := strings.ToUpper(words[0])
		name, inside := relative(last, domain)
		if !inside {
			return nil, fmt.Errorf("line %d: %s is not inside %s", e.line, last, domain)
		}
		if kind == "SOA" || kind == "NS" && name == "@" {
			continue
		}
		if !slices.Contains(zoneTypes, kind) {
			return nil, fmt.Errorf("line %d: records of type %s are not kept", e.line, kind)
		}
		words = words[1:]
		var priority any
		if kind == "MX" || kind == "SRV" {
			n, err := strconv.ParseUint(words[0], 10, 16)
			if err != nil || len(words) < 2 {
				return nil, fmt.Errorf("line %d: a record of type %s begins with its priority", e.line, kind)
			}
			priority, words = float64(n), words[1:]
		}
		if kind == "CNAME" || kind == "MX" || kind == "NS" || kind == "PTR" || kind == "SRV" {
			words[len(words)-1] = absolute(words[len(words)-1], origin)
		}
		read = append(read, record(name, kind, strings.Join(words, " "), max(60, min(own, 604800)), priority))
	}
	return read, nil
}

type zoneEntry struct {
	line     int
	indented bool // it has no name of its own
	words    []string
}

// zoneEntries cuts a zone file into entries: lines, joined within parentheses, without comments. Quoted words keep their quotes.
func zoneEntries(zone string) ([]zoneEntry, error) {
	var entries []zoneEntry
	depth := 0
	var open zoneEntry
	for i, line := range strings.Split(zone, "\n") {
		if depth == 0 {
			open = zoneEntry{line: i + 1, indented: strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t")}
		}
		for j := 0; j < len(line); {
			switch c := line[j]; {
			case c == ' ' || c == '\t' || c == '\r':
				j++
			case c == ';':
				j = len(line)
			case c == '(':
				depth++
				j++
			case c == ')':
				depth--
				j++
			case c == '"':
				end := j + 1
				for end < len(line) && line[end] != '"' {
					if line[end] == '\\' {
						end++
					}
					end++
				}
				if end >= len(line) {
					return nil, fmt.Errorf("line %d: a quote is not closed", i+1)
				}
				open.words = append(open.words, line[j:end+1])
				j = end + 1
			default:
				end := j
				for end < len(line) && !strings.ContainsRune(" \t\r;()\"", rune(line[end])) {
					end++
				}
				open.words = append(open.words, line[j:end])
				j = end
			}
		}
		if depth < 0 {
			return nil, fmt.Errorf("line %d: a parenthesis is closed that was not opened", i+1)
		}
		if depth == 0 && len(open.words) > 0 {
			entries = append(entries, open)
		}
	}
	if depth > 0 {
		return nil, fmt.Errorf("line %d: a parenthesis is not closed", open.line)
	}
	return entries, nil
}

// seconds reads a time to live: a number, or one with s, m, h, d or w.
func seconds(word string, into *float64) bool {
	factor := 1.0
	if word != "" {
		if f, ok := map[byte]float64{'s': 1, 'm': 60, 'h': 3600, 'd': 86400, 'w': 604800}[word[len(word)-1]|0x20]; ok {
			factor, word = f, word[:len(word)-1]
		}
	}
	n, err := strconv.ParseUint(word, 10, 31)
	if err != nil {
		return false
	}
	*into = float64(n) * factor
	return true
}

func absolute(name, origin string) string {
	switch name = strings.ToLower(name); {
	case name == "@":
		return origin
	case strings.HasSuffix(name, "."):
		return name
	}
	return name + "." + origin
}

func relative(name, domain string) (string, bool) {
	if name == "@" || name == domain+"." {
		return "@", true
	}
	return strings.CutSuffix(name, "."+domain+".")
}
