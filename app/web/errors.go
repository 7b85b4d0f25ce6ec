package web

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"net/url"
	"strconv"

	"portico/app"

	"github.com/gofiber/fiber/v2"
)

// ErrorData is what views/errors/show.html says.
type ErrorData struct {
	Status    int
	Key       string // message keys under "error.KEY": title, text
	RequestID string // shown only with errors that are ours
}

// Fail is the one place where an error becomes an answer. Details go to the log, never to the page.
func Fail(c *fiber.Ctx, err error) error {
	status, key := classify(err)
	var limited *app.Limited
	if errors.As(err, &limited) {
		c.Set(fiber.HeaderRetryAfter, strconv.Itoa(int(math.Ceil(limited.After.Seconds()))))
	}
	r := Attached(c)
	id := ""
	if status >= 500 {
		if r != nil {
			id = r.Viewer.RequestID
		}
		slog.ErrorContext(c.UserContext(), "request failed", "error", err, "method", c.Method(), "route", c.Route().Path, "request_id", id, "status", status)
	}
	if r == nil {
		// Before the request's facts are known (a malformed request, the database gone) there is no page to draw.
		return c.Status(status).Type("txt", "utf-8").SendString(plainError(status))
	}
	if status == fiber.StatusSeeOther {
		return askToSignIn(c)
	}
	page := Page{
		View: "errors/show", Status: status, Title: app.Text{Key: "error." + key + ".title"},
		Data: ErrorData{Status: status, Key: key, RequestID: id},
	}
	if WantsPart(c) {
		page.View = "errors/note"
		c.Set(headerRetarget, "#flash")
		c.Set(headerReswap, "innerHTML")
	}
	if err := Render(c, page); err != nil {
		slog.ErrorContext(c.UserContext(), "error page failed", "error", err)
		return c.Status(status).Type("txt", "utf-8").SendString(plainError(status))
	}
	return nil
}

// ErrForeignForm means that an unsafe request carried no form token of this session: it came from elsewhere, or the session
// changed since the form was shown.
var ErrForeignForm = errors.New("no form of this session")

func classify(err error) (status int, key string) {
	var invalid *app.Invalid
	var limited *app.Limited
	var fiberError *fiber.Error
	switch {
	case errors.As(err, &invalid):
		return fiber.StatusUnprocessableEntity, "invalid"
	case errors.As(err, &limited):
		return fiber.StatusTooManyRequests, "limited"
	case errors.Is(err, app.ErrSignedOut):
		return fiber.StatusSeeOther, ""
	case errors.Is(err, ErrForeignForm):
		return fiber.StatusForbidden, "foreign-form"
	case errors.Is(err, app.ErrProof):
		return fiber.StatusForbidden, "proof"
	case errors.Is(err, app.ErrForbidden):
		return fiber.StatusForbidden, "forbidden"
	case errors.Is(err, app.ErrLink):
		return fiber.StatusNotFound, "link"
	case errors.Is(err, app.ErrNotFound):
		return fiber.StatusNotFound, "not-found"
	case errors.Is(err, app.ErrConflict):
		return fiber.StatusConflict, "conflict"
	case errors.Is(err, app.ErrBusy), errors.Is(err, context.DeadlineExceeded):
		return fiber.StatusServiceUnavailable, "busy"
	case errors.As(err, &fiberError):
		switch fiberError.Code {
		case fiber.StatusNotFound, fiber.StatusMethodNotAllowed:
			return fiber.StatusNotFound, "not-found"
		case fiber.StatusRequestEntityTooLarge:
			return fiberError.Code, "too-large"
		}
		if fiberError.Code < 500 {
			return fiberError.Code, "invalid"
		}
	}
	return fiber.StatusInternalServerError, "internal"
}

func plainError(status int) string {
	switch {
	case status == fiber.StatusServiceUnavailable || status >= 500:
		return "The portal can't answer right now. Nothing was changed. Please try again in a moment.\n"
	case status == fiber.StatusRequestEntityTooLarge:
		return "That is larger than the portal accepts.\n"
	default:
		return "The portal could not read this request.\n"
	}
}

// askToSignIn sends a visitor to the sign-in page and back afterwards; the same whether or not the thing exists.
func askToSignIn(c *fiber.Ctx) error {
	to := "/sign-in"
	if c.Method() == fiber.MethodGet {
		if path := Of(c).Path; path != "/" {
			to += "?next=" + url.QueryEscape(path)
		}
	}
	if c.Get(headerRequest) == "true" {
		c.Set(headerRedirect, to)
		return c.SendStatus(fiber.StatusUnauthorized)
	}
	return c.Redirect(to, fiber.StatusSeeOther)
}
