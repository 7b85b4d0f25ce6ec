package web

import (
	"strings"

	"github.com/gofiber/fiber/v2"
)

// AllowFrames lets this page show other pages of the portal in frames, which the server's policy else refuses.
func AllowFrames(c *fiber.Ctx) {
	policy := string(c.Response().Header.Peek(fiber.HeaderContentSecurityPolicy))
	c.Set(fiber.HeaderContentSecurityPolicy, policy+"; frame-src 'self'")
}

// AllowFormsTo lets forms of this page lead to other origins, as a login does that redirects to a provider: browsers ask the policy for
// where a form's answer redirects, too.
func AllowFormsTo(c *fiber.Ctx, origins ...string) {
	policy := string(c.Response().Header.Peek(fiber.HeaderContentSecurityPolicy))
	for _, origin := range origins {
		if !strings.ContainsAny(origin, " ;,'\"") {
			policy = strings.Replace(policy, "form-action 'self'", "form-action 'self' "+origin, 1)
		}
	}
	c.Set(fiber.HeaderContentSecurityPolicy, policy)
}

// SendFramed answers with a mail's HTML for a frame of our own page. It may not run scripts, load anything or send forms.
// sandbox is the frame's attribute of that name.
func SendFramed(c *fiber.Ctx, html, sandbox string) error {
	c.Set(fiber.HeaderContentSecurityPolicy, "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; base-uri 'none'; "+
		"frame-ancestors 'self'; sandbox "+sandbox)
	c.Set(fiber.HeaderXFrameOptions, "SAMEORIGIN")
	c.Set(fiber.HeaderContentType, fiber.MIMETextHTMLCharsetUTF8)
	return c.SendString(html)
}
