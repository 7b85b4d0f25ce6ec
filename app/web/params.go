package web

import (
	"portico/app"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"
)

// ID reads an id from the address. Anything but a canonical UUID is no id of ours: app.ErrNotFound.
func ID(c *fiber.Ctx, name string) (string, error) {
	value := c.Params(name)
	id, err := uuid.Parse(value)
	if err != nil || id.String() != value {
		return "", app.ErrNotFound
	}
	return id.String(), nil
}

// LocalPath returns path if it is a path of this portal, else "/". It keeps ?next= from leading elsewhere.
func LocalPath(path string) string {
	if len(path) == 0 || path[0] != '/' || len(path) > 1 && (path[1] == '/' || path[1] == '\\') {
		return "/"
	}
	for _, b := range []byte(path) {
		if b < ' ' || b == '\\' || b == 0x7f {
			return "/"
		}
	}
	return path
}
