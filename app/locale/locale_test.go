package locale

import (
	"strings"
	"testing"
	"time"

	"portico/views"
)

func printer(t *testing.T, zone string, now time.Time) *Printer {
	t.Helper()
	catalogue, err := Load(views.Files)
	if err != nil {
		t.Fatal(err)
	}
	return catalogue.Printer("en", zone, now)
}

func TestPrinter_TimesInThePersonsZone(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 20, 23, 30, 0, 0, time.UTC)
	p := printer(t, "Europe/Stockholm", now)
	if got := p.DateTime(now); got != "21 November 2026, 00:30" {
		t.Errorf("DateTime: %q", got)
	}
	if got := p.Hour(); got != 0 {
		t.Errorf("Hour: %d", got)
	}
	if got := printer(t, "no such zone", now).DateTime(now); got != "20 November 2026, 23:30" {
		t.Errorf("an unknown zone: %q", got)
	}
}

func TestPrinter_Ago(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	p := printer(t, "UTC", now)
	for back, want := range map[time.Duration]string{
		0: "just now", 59 * time.Second: "just now", time.Minute: "1 min ago", 59 * time.Minute: "59 min ago",
		time.Hour: "1 h ago", 24 * time.Hour: "1 day ago", 29 * 24 * time.Hour: "29 days ago", 31 * 24 * time.Hour: "20 October 2026",
		-3 * 24 * time.Hour: "in 3 days", -2 * time.Hour: "in 2 h",
	} {
		if got := p.Ago(now.Add(-back)); got != want {
			t.Errorf("Ago(%s) = %q, want %q", back, got, want)
		}
	}
}

func TestPrinter_Money(t *testing.T) {
	t.Parallel()
	p := printer(t, "UTC", time.Now())
	for _, c := range []struct {
		minor    int64
		currency string
		want     string
	}{
		{123456, "EUR", "1,234.56\u00a0EUR"}, {5, "EUR", "0.05\u00a0EUR"}, {-250, "USD", "-2.50\u00a0USD"}, {1500, "JPY", "1,500\u00a0JPY"}, {1, "BHD", "0.001\u00a0BHD"},
	} {
		if got := p.Money(c.minor, c.currency); got != c.want {
			t.Errorf("Money(%d, %s) = %q, want %q", c.minor, c.currency, got, c.want)
		}
	}
}

func TestPrinter_EscapesTimes(t *testing.T) {
	t.Parallel()
	p := printer(t, "UTC", time.Now())
	if got := string(p.Time(time.Unix(0, 0))); !strings.HasPrefix(got, `<time datetime="1970-01-01T00:00:00Z" title="1 January 1970, 00:00">`) {
		t.Errorf("Time: %s", got)
	}
}

func TestCatalogue_Match(t *testing.T) {
	t.Parallel()
	catalogue, err := Load(views.Files)
	if err != nil {
		t.Fatal(err)
	}
	for accept, want := range map[string]string{"": "en", "en-GB,de;q=0.5": "en", "xx": "en", "garbage;;q=": "en"} {
		if got := catalogue.Match(accept, "en"); got != want {
			t.Errorf("Match(%q) = %q", accept, got)
		}
	}
}
