package mail

import (
	"strings"
	"testing"
)

func TestCleanAddress(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"bea@bluebird.example":        "bea@bluebird.example",
		"Bea.L+shop@Bluebird.EXAMPLE": "Bea.L+shop@bluebird.example",
		"o'neill@example.com":         "o'neill@example.com",
		"bea@bücher.example":          "bea@xn--bcher-kva.example",
		"portal@localhost":            "portal@localhost",
	} {
		if got, ok := cleanAddress(address); !ok || got != want {
			t.Errorf("cleanAddress(%q) = %q, %t, want %q", address, got, ok, want)
		}
	}
	for _, address := range []string{
		"", "bea", "@example.com", "bea@", "bea@@example.com", "bea@example.com.", "bea @example.com", "bea@example.com,eve@example.com", "bea@example.com eve@example.com",
		"bea@example.com\r\nBcc: eve@example.com", "bea\n@example.com", "<bea@example.com>", "Bea <bea@example.com>", `"bea"@example.com`, `"eve@example.com> x"@example.com`,
		"bea(comment)@example.com", "bea@example.com(comment)", ".bea@example.com", "bea..l@example.com", "bea@[127.0.0.1]", "bea@127.0.0.1", "bea@exa mple.com", "bea@-example.com",
		"bea@example.com\x00", "béa@example.com", strings.Repeat("a", 65) + "@example.com", "a@" + strings.Repeat("a.", 130) + "example",
	} {
		if got, ok := cleanAddress(address); ok {
			t.Errorf("cleanAddress(%q) = %q, want it refused", address, got)
		}
	}
}

func TestPlainName(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"Bea Lindqvist":                       "Bea Lindqvist",
		"  Bea \t Lindqvist\n":                "Bea Lindqvist",
		"J. R. Smith":                         "J. R. Smith",
		"نور حداد":                            "نور حداد",
		"Bea\r\nBcc: eve":                     "", // holds a colon
		"Bea\r\nBcc eve":                      "Bea Bcc eve",
		"\u202eaeB":                           "aeB",
		"Win a prize at https://evil.example": "",
		"Win at evil.example":                 "",
		"Write to eve@evil":                   "",
		strings.Repeat("a", 100):              strings.Repeat("a", 79) + "…",
	} {
		if got := plainName(name); got != want {
			t.Errorf("plainName(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestRedact(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"550 no\r\nsuch\x00 user":                              "550 no such user",
		"554 spam: http://p.example/reset-password/abc_DEF-1 ": "554 spam: http://p.example/reset-password/" + mask,
		"dial smtp://user:hunter22@mail.example:587 failed":    "dial smtp://" + mask + "@mail.example:587 failed",
		"535 bad password s3cr3t given":                        "535 bad password " + mask + " given",
		"\xff\xfe bytes":                                       "bytes",
	} {
		if got := Redact(text, "s3cr3t"); got != want {
			t.Errorf("Redact(%q) = %q, want %q", text, got, want)
		}
	}
	if got := []rune(Redact(strings.Repeat("ä", 600))); len(got) != maxAnswer {
		t.Errorf("a long text has %d characters left, want %d", len(got), maxAnswer)
	}
}

func TestButtonColours_AlwaysAA(t *testing.T) {
	t.Parallel()
	paper, _ := parseColour(white)
	card, _ := parseColour(darkCard)
	ink, _ := parseColour(darkInk)
	for _, brand := range []string{"#00637b", "#ffd400", "#111111", "#000000", "#ffffff", "#ff0000", "#0000ff", "#00ff00", "#777777", "nonsense", ""} {
		lightHex, darkHex := buttonColours(brand)
		light, ok := parseColour(lightHex)
		if !ok || contrast(light, paper) < contrastAA {
			t.Errorf("%s: light button %s has contrast %.2f to its text", brand, lightHex, contrast(light, paper))
		}
		dark, ok := parseColour(darkHex)
		if !ok || contrast(dark, ink) < contrastAA || contrast(dark, card) < contrastAA {
			t.Errorf("%s: dark button %s has contrast %.2f to its text, %.2f to its card", brand, darkHex, contrast(dark, ink), contrast(dark, card))
		}
	}
	if light, _ := buttonColours("#00637b"); light != "#00637b" {
		t.Errorf("a colour that is good enough became %s", light)
	}
}
