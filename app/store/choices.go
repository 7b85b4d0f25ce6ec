package store

import (
	_ "embed"
	"slices"
	"strings"
	"sync"
	"time"
	_ "time/tzdata" // the program must know every zone on machines without a zoneinfo folder

	"golang.org/x/text/currency"
)

// The canonical zone of every place in the IANA database's zone.tab (2026), and UTC. Go embeds the zones, but no list.
//
//go:embed zones.txt
var zonesText string

var zones = sync.OnceValue(func() []string { return strings.Fields(zonesText) })

// Zones lists the time zones one may choose, by name, e.g. "Europe/Berlin".
func Zones() []string { return slices.Clone(zones()) }

// IsZone tells whether name is one of Zones.
func IsZone(name string) bool {
	if _, listed := slices.BinarySearch(zones(), name); !listed {
		return false
	}
	_, err := time.LoadLocation(name)
	return err == nil
}

// currencies are those that are legal tender somewhere, by code.  Source: CLDR, as golang.org/x/text has it.
var currencies = sync.OnceValue(func() []string {
	var codes []string
	for all := currency.Query(); all.Next(); {
		codes = append(codes, all.Unit().String())
	}
	slices.Sort(codes)
	return slices.Compact(codes)
})

// Currencies lists the ISO 4217 codes one may choose.
func Currencies() []string { return slices.Clone(currencies()) }

// IsCurrency tells whether code is one of Currencies.
func IsCurrency(code string) bool {
	_, listed := slices.BinarySearch(currencies(), code)
	return listed
}
