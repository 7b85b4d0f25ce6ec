package web

import (
	"crypto/subtle"
	"encoding/base64"
	"html/template"
	"net/url"
	"strings"

	"portico/app/keys"

	"github.com/gofiber/fiber/v2"
)

// The form token: an HMAC of the session's id, or for a visitor of a random cookie. Stateless, so any process checks it,
// and different for every session.  Source: OWASP CSRF prevention, "HMAC based token pattern".
//
// Every answer shows it under a pad of its own: the pad, then the HMAC XOR the pad. Pages are compressed, and what stood in them
// unchanged could be guessed from their length, letter by letter.  Source: BREACH (Gluck, Harris, Prado 2013), 3.4, "masking
// secrets".
const (
	csrfField     = "_csrf"
	csrfHeader    = "X-CSRF-Token"
	csrfPurpose   = "csrf"
	visitorCookie = "portico_visitor"
)

// CookieName is the name a cookie has on this site. On https it carries the __Host- prefix, with which browsers refuse to
// let another host, path or plain http set it.
func (s *Site) CookieName(name string) string {
	if s.Secure() {
		return "__Host-" + name
	}
	return name
}

// SetCookie sends a cookie that scripts can't read and other sites' posts don't carry. maxAge is in seconds; 0 lasts as
// long as the browser is open, below 0 deletes.
func (s *Site) SetCookie(c *fiber.Ctx, name, value string, maxAge int) {
	cookie := &fiber.Cookie{
		Name: s.CookieName(name), Value: value, Path: "/", HTTPOnly: true, Secure: s.Secure(), SameSite: fiber.CookieSameSiteLaxMode,
	}
	switch {
	case maxAge < 0:
		cookie.MaxAge = -1
		cookie.Expires = fasthttpDelete
	case maxAge == 0:
		cookie.SessionOnly = true
	default:
		cookie.MaxAge = maxAge
	}
	c.Cookie(cookie)
}

// BindCSRF decides what r's form token is derived from: the session, or the visitor's cookie, which it sets if missing.
func (r *Request) BindCSRF(c *fiber.Ctx) {
	if r.Viewer.SessionID != "" {
		r.csrf = "session:" + r.Viewer.SessionID
		return
	}
	visitor := c.Cookies(r.Site.CookieName(visitorCookie))
	if len(visitor) != 43 {
		if c.Method() != fiber.MethodGet {
			return // no cookie, no token that could match
		}
		visitor = base64.RawURLEncoding.EncodeToString(keys.Random(32))
		r.Site.SetCookie(c, visitorCookie, visitor, 0)
	}
	r.csrf = "visitor:" + visitor
}

// CSRF is this visitor's form token, as this answer shows it.
func (r *Request) CSRF() string {
	if r.token == "" {
		mac := r.Site.Keys.MAC(csrfPurpose, r.csrf)
		pad := keys.Random(len(mac))
		subtle.XORBytes(mac, mac, pad)
		r.token = base64.RawURLEncoding.EncodeToString(append(pad, mac...))
	}
	return r.token
}

// CSRFInput is the hidden field that every form posting to us carries.
func (r *Request) CSRFInput() template.HTML {
	return template.HTML(`<input type="hidden" name="` + csrfField + `" value="` + r.CSRF() + `">`)
}

// SameOrigin tells whether an unsafe request came from one of our own pages: by Sec-Fetch-Site where the browser sends it,
// else by Origin. A request with neither comes from no browser page and is decided by the token alone. The dev run is reached
// by several names, so there the page's host must be the request's.
func (s *Site) SameOrigin(c *fiber.Ctx) bool {
	switch c.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return true
	case "":
	default:
		return false
	}
	origin := c.Get("Origin")
	if origin == "" {
		return true
	}
	if !s.Dev {
		return origin == s.URL
	}
	parsed, err := url.Parse(origin)
	return err == nil && parsed.Host == string(c.Request().URI().Host())
}

// postedToken reads the token from the body, never from the address, which ends up in logs and histories.
func postedToken(c *fiber.Ctx) string {
	if strings.HasPrefix(c.Get(fiber.HeaderContentType), fiber.MIMEMultipartForm) {
		form, err := c.MultipartForm()
		if err != nil || len(form.Value[csrfField]) != 1 {
			return ""
		}
		return form.Value[csrfField][0]
	}
	return string(c.Request().PostArgs().Peek(csrfField))
}

// CheckCSRF tells whether the request carries this visitor's form token, as a field or (from scripts) as a header.
func (r *Request) CheckCSRF(c *fiber.Ctx) bool {
	if r.csrf == "" {
		return false
	}
	token := c.Get(csrfHeader)
	if body := BodyOf(c); body != nil {
		if first := body.FormToken(c.Get(fiber.HeaderContentType)); token == "" {
			token = first
		}
	} else if token == "" {
		token = postedToken(c)
	}
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(raw) == 0 || len(raw)%2 != 0 {
		return false
	}
	pad, mac := raw[:len(raw)/2], raw[len(raw)/2:]
	subtle.XORBytes(mac, mac, pad)
	// A key being rotated out still verifies forms that were open meanwhile.
	ok := 0
	for _, want := range r.Site.Keys.MACs(csrfPurpose, r.csrf) {
		ok |= subtle.ConstantTimeCompare(mac, want)
	}
	return ok == 1
}
