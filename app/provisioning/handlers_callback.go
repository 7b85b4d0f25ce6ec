package provisioning

import "github.com/gofiber/fiber/v2"

// Callback takes a provider's signed message. It is no page's: the signature is what lets it in.
func (h *Handlers) Callback(c *fiber.Ctx) error {
	header := func(name string) string { return c.Get(name) }
	if err := h.service.Callback(c.UserContext(), c.Params("configuration"), header, c.Body()); err != nil {
		return err
	}
	return c.SendStatus(fiber.StatusNoContent)
}
