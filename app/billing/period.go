package billing

import "time"

// Day is a calendar day in the store's time zone, kept as midnight UTC: days are added, subtracted and compared without any clock
// change coming between them.
type Day = time.Time

// DayOf is the day that a moment falls on in a time zone.
func DayOf(moment time.Time, zone *time.Location) Day {
	year, month, day := moment.In(zone).Date()
	return time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
}

// Period is a time that is paid for at once: from Start up to, and without, End.
type Period struct{ Start, End Day }

// Days is how many days the period has.
func (p Period) Days() int64 { return days(p.Start, p.End) }

// days counts the days from a to b.
func days(a, b Day) int64 { return int64(b.Sub(a) / (24 * time.Hour)) }

// AddMonths is the day n months after a contract's first day: the same day of the month, or the month's last where it has none.
// Always counted from the first day, so that a contract begun on 31 January renews on 28 February and on 31 March.
func AddMonths(first Day, n int) Day {
	year, month, day := first.Date()
	next := time.Date(year, month+time.Month(n), 1, 0, 0, 0, 0, time.UTC)
	last := next.AddDate(0, 1, -1).Day()
	return next.AddDate(0, 0, min(day, last)-1)
}

// PeriodAt is the n-th period, counted from 0, of a contract paid every so many months.
func PeriodAt(first Day, cycleMonths, n int) Period {
	return Period{AddMonths(first, n*cycleMonths), AddMonths(first, (n+1)*cycleMonths)}
}

// PeriodOn is the period that a day falls into, and its number. A day before the first falls into period 0.
func PeriodOn(first Day, cycleMonths int, day Day) (Period, int) {
	months := (day.Year()-first.Year())*12 + int(day.Month()-first.Month())
	n := max(months/cycleMonths, 0)
	for n > 0 && PeriodAt(first, cycleMonths, n).Start.After(day) {
		n--
	}
	return PeriodAt(first, cycleMonths, n), n
}
