package billing

import (
	"testing"
	"time"
)

func day(text string) Day {
	d, err := time.Parse(time.DateOnly, text)
	if err != nil {
		panic(err)
	}
	return d
}

// TestAddMonths_CountedFromTheFirstDay: month ends and leap days do not wear a contract's day of the month down.
func TestAddMonths_CountedFromTheFirstDay(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		first  string
		months int
		want   string
	}{
		{"2026-01-31", 1, "2026-02-28"},
		{"2026-01-31", 2, "2026-03-31"},
		{"2026-01-31", 3, "2026-04-30"},
		{"2028-01-31", 1, "2028-02-29"},
		{"2028-02-29", 12, "2029-02-28"},
		{"2028-02-29", 48, "2032-02-29"},
		{"2026-12-15", 1, "2027-01-15"},
		{"2026-11-30", 3, "2027-02-28"},
		{"2026-11-29", 24, "2028-11-29"},
		{"2100-01-30", 1, "2100-02-28"}, // no leap year
	} {
		if got := AddMonths(day(c.first), c.months).Format(time.DateOnly); got != c.want {
			t.Errorf("%s and %d months is %s, want %s", c.first, c.months, got, c.want)
		}
	}
}

func TestPeriodOn(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		first          string
		cycle          int
		on, start, end string
		number         int
	}{
		{"2026-01-31", 1, "2026-02-27", "2026-01-31", "2026-02-28", 0},
		{"2026-01-31", 1, "2026-02-28", "2026-02-28", "2026-03-31", 1},
		{"2026-01-31", 1, "2026-03-30", "2026-02-28", "2026-03-31", 1},
		{"2026-01-31", 1, "2026-03-31", "2026-03-31", "2026-04-30", 2},
		{"2028-02-29", 12, "2029-02-27", "2028-02-29", "2029-02-28", 0},
		{"2028-02-29", 12, "2029-02-28", "2029-02-28", "2030-02-28", 1},
		{"2025-05-10", 12, "2026-11-29", "2026-05-10", "2027-05-10", 1},
		{"2026-11-29", 12, "2026-11-29", "2026-11-29", "2027-11-29", 0},
		{"2026-11-29", 12, "2026-11-01", "2026-11-29", "2027-11-29", 0}, // before it begins
	} {
		period, number := PeriodOn(day(c.first), c.cycle, day(c.on))
		if period.Start != day(c.start) || period.End != day(c.end) || number != c.number {
			t.Errorf("%s, every %d months, on %s: period %d from %s to %s, want %d from %s to %s", c.first, c.cycle, c.on,
				number, period.Start.Format(time.DateOnly), period.End.Format(time.DateOnly), c.number, c.start, c.end)
		}
	}
}

// TestDayOf_TimeZone: the store's day decides, whatever the day is in UTC, and clock changes make no day longer.
func TestDayOf_TimeZone(t *testing.T) {
	t.Parallel()
	stockholm, err := time.LoadLocation("Europe/Stockholm")
	if err != nil {
		t.Fatal(err)
	}
	for moment, want := range map[string]string{
		"2026-11-29T22:59:59Z": "2026-11-29",
		"2026-11-29T23:00:00Z": "2026-11-30",
		"2026-03-28T23:30:00Z": "2026-03-29", // the night of the clock change
		"2026-10-24T21:59:59Z": "2026-10-24",
		"2026-10-24T22:00:00Z": "2026-10-25",
	} {
		at, err := time.Parse(time.RFC3339, moment)
		if err != nil {
			t.Fatal(err)
		}
		if got := DayOf(at, stockholm).Format(time.DateOnly); got != want {
			t.Errorf("%s is %s in Stockholm, want %s", moment, got, want)
		}
	}
	for _, month := range []string{"2026-03-01", "2026-10-01"} { // 31 days each, one of 23 and one of 25 hours
		if got := PeriodAt(day(month), 1, 0).Days(); got != 31 {
			t.Errorf("the month from %s has %d days", month, got)
		}
	}
}

// TestSwitchOn are worked examples of changing a plan within a period.
func TestSwitchOn(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name           string
		old, new       int64
		start, end     string
		on             string
		charge, credit int64
	}{
		{"half of a month of 30 days", 1000, 2000, "2026-11-01", "2026-12-01", "2026-11-16", 1000, 500},
		{"on the first day", 1000, 2000, "2026-11-01", "2026-12-01", "2026-11-01", 2000, 1000},
		{"on the last day", 1000, 2000, "2026-11-01", "2026-12-01", "2026-11-30", 67, 33},
		{"at the end", 1000, 2000, "2026-11-01", "2026-12-01", "2026-12-01", 0, 0},
		{"thirds", 100, 200, "2026-11-01", "2026-12-01", "2026-11-11", 133, 67},
		{"a half is rounded away from zero", 1, 3, "2026-11-01", "2026-12-01", "2026-11-16", 2, 1},
		{"a downgrade", 2000, 1000, "2026-11-01", "2026-12-01", "2026-11-16", 500, 1000},
		{"a year with a leap day", 36600, 73200, "2028-01-01", "2029-01-01", "2028-02-29", 61400, 30700},
		{"a free plan", 0, 36500, "2026-01-01", "2027-01-01", "2026-12-31", 100, 0},
		{"before the period begins", 1000, 2000, "2026-11-01", "2026-12-01", "2026-10-20", 2000, 1000},
	} {
		got := SwitchOn(c.old, c.new, Period{day(c.start), day(c.end)}, day(c.on))
		if want := (Switch{c.charge, c.credit}); got != want {
			t.Errorf("%s: %+v, want %+v", c.name, got, want)
		}
	}
	// Two changes in one term: what is left of each is given back, and nothing is paid twice. 10.00 + (13.33 − 6.67) + (10.00 − 6.67): each
	// line is rounded by itself, which is at most half a minor unit a line.
	november := Period{day("2026-11-01"), day("2026-12-01")}
	first, second := SwitchOn(1000, 2000, november, day("2026-11-11")), SwitchOn(2000, 3000, november, day("2026-11-21"))
	if got := 1000 + first.Net() + second.Net(); got != 1999 {
		t.Errorf("10 days of 10, 20 and 30 € each came to %d", got)
	}
}

func TestTax(t *testing.T) {
	t.Parallel()
	rules := TaxRules{Country: "SE", Rates: map[string]int64{"SE": 2500, "DE": 1900, "FI": 2550}, ReverseCharge: true}
	for _, c := range []struct {
		country, vat string
		want         Tax
	}{
		{"SE", "", Tax{Rate: 2500}},
		{"SE", "SE556677889901", Tax{Rate: 2500}}, // at home a business pays as anybody
		{"", "", Tax{Rate: 2500}},
		{"DE", "", Tax{Rate: 1900}},
		{"DE", "DE136695976", Tax{Reverse: true}},
		{"CH", "CHE123456788", Tax{}},
		{"US", "", Tax{}},
	} {
		if got := rules.For(c.country, c.vat); got != c.want {
			t.Errorf("%q with %q: %+v, want %+v", c.country, c.vat, got, c.want)
		}
	}
	for net, want := range map[int64]int64{0: 0, 1: 0, 2: 1, 333: 85, 1000: 255, -1000: -255, -2: -1} {
		if got := (Tax{Rate: 2550}).On(net); got != want {
			t.Errorf("25.5 %% of %d is %d, want %d", net, got, want)
		}
	}
	if got := (TaxRules{}).For("SE", ""); got != (Tax{}) {
		t.Errorf("a store that charges no tax charges %+v", got)
	}
}
