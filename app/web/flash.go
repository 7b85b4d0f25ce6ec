package web

import (
	"encoding/base64"
	"encoding/json"
	"time"

	"portico/app"

	"github.com/gofiber/fiber/v2"
)

// fasthttpDelete is a moment in the past: with it a browser drops a cookie.
var fasthttpDelete = time.Unix(1, 0)

const (
	flashCookie  = "portico_flash"
	flashPurpose = "flash"
)

// Flash is one message shown on the next page.
type Flash struct {
	Kind string // "good", "info", "warn", "bad": a .note class
	Text app.Text
}

// SetFlash shows a message on the page the browser goes to next. It travels in a signed cookie: no store is written.
func SetFlash(c *fiber.Ctx, kind, key string, args ...any) {
	r := Of(c)
	text := app.Text{Key: key}
	for i := 0; i+1 < len(args); i += 2 {
		if text.Args == nil {
			text.Args = map[string]any{}
		}
		text.Args[args[i].(string)] = args[i+1]
	}
	raw, err := json.Marshal(Flash{kind, text})
	if err != nil {
		return // only for args that no message can show
	}
	mac := r.Site.Keys.MAC(flashPurpose, string(raw))
	r.Site.SetCookie(c, flashCookie, base64.RawURLEncoding.EncodeToString(append(mac, raw...)), 60)
}

// takeFlash reads the message for this page and forgets it.
func (r *Request) takeFlash(c *fiber.Ctx) *Flash {
	value := c.Cookies(r.Site.CookieName(flashCookie))
	if value == "" {
		return nil
	}
	r.Site.SetCookie(c, flashCookie, "", -1)
	raw, err := base64.RawURLEncoding.DecodeString(value)
	if err != nil || len(raw) < 32 || !r.Site.Keys.Verify(raw[:32], flashPurpose, string(raw[32:])) {
		return nil
	}
	var flash Flash
	if json.Unmarshal(raw[32:], &flash) != nil {
		return nil
	}
	for name, value := range flash.Text.Args {
		if number, ok := value.(float64); ok { // what JSON makes of a count, by which no plural can be picked
			flash.Text.Args[name] = int(number)
		}
	}
	return &flash
}
