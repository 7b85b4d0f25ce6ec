package mail

import (
	"fmt"
	"math"
	"strconv"
)

// Grounds and inks of mails, as in the portal's design.
const (
	white    = "#ffffff"
	darkCard = "#1c2126"
	darkInk  = "#0c2229"
)

// contrastAA is what text needs towards its ground.  Source: WCAG 2.2, 1.4.3.
const contrastAA = 4.5

// buttonColours derives the grounds of a mail's button from the store's brand colour (#rrggbb): light carries white text, dark
// lies on a dark card and carries dark text. Both keep the hue and move only as far as AA needs. A colour that is none gives
// the portal's own.
func buttonColours(brand string) (light, dark string) {
	colour, ok := parseColour(brand)
	if !ok {
		colour, _ = parseColour("#00637b")
	}
	ink, _ := parseColour(darkInk)
	card, _ := parseColour(darkCard)
	paper, _ := parseColour(white)
	return colour.until(rgb{}, func(c rgb) bool { return contrast(c, paper) >= contrastAA }).hex(),
		colour.until(paper, func(c rgb) bool { return contrast(c, ink) >= contrastAA && contrast(c, card) >= contrastAA }).hex()
}

// rgb holds sRGB channels from 0 to 1.
type rgb struct{ r, g, b float64 }

func parseColour(hex string) (rgb, bool) {
	if len(hex) != 7 || hex[0] != '#' {
		return rgb{}, false
	}
	n, err := strconv.ParseUint(hex[1:], 16, 32)
	if err != nil {
		return rgb{}, false
	}
	return rgb{float64(n>>16) / 255, float64(n>>8&0xff) / 255, float64(n&0xff) / 255}, true
}

func (c rgb) hex() string {
	channel := func(v float64) int { return int(math.Round(v * 255)) }
	return fmt.Sprintf("#%02x%02x%02x", channel(c.r), channel(c.g), channel(c.b))
}

// until mixes c with end, step by step, until it is good enough. end itself must be.
func (c rgb) until(end rgb, good func(rgb) bool) rgb {
	const steps = 50
	for i := range steps {
		share := float64(i) / steps
		mixed := rgb{c.r + (end.r-c.r)*share, c.g + (end.g-c.g)*share, c.b + (end.b-c.b)*share}
		// Judged as it will be written: rounding to bytes must not cost the last bit of contrast.
		if rounded, _ := parseColour(mixed.hex()); good(rounded) {
			return rounded
		}
	}
	return end
}

func (c rgb) luminance() float64 {
	linear := func(v float64) float64 {
		if v <= 0.04045 {
			return v / 12.92
		}
		return math.Pow((v+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(c.r) + 0.7152*linear(c.g) + 0.0722*linear(c.b)
}

func contrast(a, b rgb) float64 {
	x, y := a.luminance(), b.luminance()
	return (math.Max(x, y) + 0.05) / (math.Min(x, y) + 0.05)
}
