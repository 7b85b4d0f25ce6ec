package billing

// share is amount × part ÷ whole in minor units, rounded to the nearest; a half goes away from zero. whole is greater than 0.
func share(amount, part, whole int64) int64 {
	product := amount * part
	if product < 0 {
		return -((-product*2 + whole) / (whole * 2))
	}
	return (product*2 + whole) / (whole * 2)
}

// Prorate is what of a period's price falls to the days from day on: by days, of which the first is day itself. Rounded to the
// nearest minor unit, a half away from zero. All of it before the period, nothing after it.
func Prorate(priceMinor int64, p Period, day Day) int64 {
	left := min(max(days(day, p.End), 0), p.Days())
	return share(priceMinor, left, p.Days())
}

// Switch is what changing a plan within a period costs: the new plan's rest of the period, and the old one's, which is given back.
// Each is rounded by itself, as each is a line of its own.
type Switch struct{ Charge, Credit int64 }

// Net is what is to be paid, or, if it is negative, what is credited. Without tax.
func (s Switch) Net() int64 { return s.Charge - s.Credit }

// SwitchOn says what changing from one price to another on a day costs. On the period's last day one day of it is left.
func SwitchOn(oldMinor, newMinor int64, p Period, day Day) Switch {
	return Switch{Charge: Prorate(newMinor, p, day), Credit: Prorate(oldMinor, p, day)}
}
