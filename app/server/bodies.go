package server

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"portico/app/web"

	"github.com/gofiber/fiber/v2"
)

// Bodies of requests reach us as streams. A route of kind Upload reads its own, once guard let the request in; for every other
// the body is read before, whole, up to maxBody. What nobody read must not be taken for the connection's next request.

// Upload is an action whose form may hold files.
const Upload Kind = "upload"

const (
	// maxUpload is more than the largest form that the store's limits allow may need, so that its text arrives whatever is wrong
	// with its files. How large each file may be is the service's to say.
	maxUpload = 2 << 30
	// uploadTimeout is how long a form with files may take; a sender that stalls is cut off long before.
	uploadTimeout = 30 * time.Minute
)

// takeBody reads the body of a request that is no upload, nor a form without files that went to a route for those.
func takeBody(route Route) fiber.Handler {
	return func(c *fiber.Ctx) error {
		fields := strings.HasPrefix(c.Get(fiber.HeaderContentType), fiber.MIMEApplicationForm)
		if route.Kind == Upload && !fields || !c.Request().IsBodyStream() {
			return c.Next()
		}
		body, err := io.ReadAll(io.LimitReader(c.Context().RequestBodyStream(), maxBody+1))
		switch {
		case err != nil:
			c.Context().SetConnectionClose()
			return errors.Join(fiber.ErrBadRequest, err)
		case len(body) > maxBody:
			return fiber.ErrRequestEntityTooLarge
		}
		c.Request().SetBody(body)
		return c.Next()
	}
}

// streamBody hands the body to the handler as it comes, and gives the request the time that takes. Call end when it is done.
func streamBody(c *fiber.Ctx) (end func()) {
	if !c.Request().IsBodyStream() {
		return func() {}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.UserContext()), uploadTimeout)
	c.SetUserContext(ctx)
	web.StreamBody(c, maxUpload)
	return cancel
}

// leaveBody ends the connection after the answer if the body was not read to its end. A short rest is read, for closing a
// connection with something unread may take the answer away from its reader.
func leaveBody(c *fiber.Ctx) {
	var rest io.Reader
	if body := web.BodyOf(c); body != nil {
		rest = body
	} else if c.Request().IsBodyStream() {
		rest = c.Context().RequestBodyStream()
	} else {
		return
	}
	if _, err := io.CopyN(io.Discard, rest, maxBody); err != io.EOF {
		c.Context().SetConnectionClose()
	}
}
