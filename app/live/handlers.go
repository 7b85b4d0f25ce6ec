package live

import (
	"errors"

	"portico/app"

	"github.com/gofiber/fiber/v2"
)

// Stream answers with an open page's event stream. Events name topics of the watch, one "data:" line each; the event
// "resync" says that everything may have changed.
//
// Returns what Allowed returns, but answers app.ErrSignedOut with 401, since a stream can't follow to the sign-in page;
// *app.Limited beyond 6 streams of one user or 5,000 of the process; app.ErrBusy at shutdown. Nothing may read the answer's
// body before the server does: keep compression and ETag middleware off the route. The server's WriteTimeout does not end
// a stream, which sets a deadline of its own for each event.
func Stream(c *fiber.Ctx, h *Hub, w Watch) error {
	err := w.Allowed(c.UserContext())
	if errors.Is(err, app.ErrSignedOut) {
		return c.SendStatus(fiber.StatusUnauthorized)
	}
	if err != nil {
		return err
	}
	// A right revoked since Allowed answered was heard by the hub, which asks again about pages that open after that.
	s, err := h.open(c.Context().Conn(), w)
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderContentType, "text/event-stream")
	c.Set(fiber.HeaderCacheControl, "no-store, no-transform")
	c.Set("X-Accel-Buffering", "no")
	c.Response().SetConnectionClose()
	c.Context().SetBodyStream(s, -1)
	return nil
}
