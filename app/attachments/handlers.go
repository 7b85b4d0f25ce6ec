package attachments

import (
	"context"
	"errors"
	"io"
	"net/url"
	"time"

	"portico/app"
	"portico/app/web"

	"github.com/gofiber/fiber/v2"
)

// Handlers are how files come in and go out, and the tab **Attachments** under **Settings**.
type Handlers struct{ service *Service }

// NewHandlers returns the handlers of a Service.
func NewHandlers(s *Service) *Handlers { return &Handlers{s} }

const (
	settingsPath = "/admin/settings/attachments"
	// sendTimeout is how long sending one file may take; a reader that takes nothing is cut off long before.
	sendTimeout = 30 * time.Minute
	// filePolicy keeps a file that a browser shows after all from doing anything.  Source: CSP 3, 6.3.2.
	filePolicy = "default-src 'none'; sandbox; frame-ancestors 'none'"
	// maxRefusals is how many files of one form are told what is wrong with them.
	maxRefusals = 20
)

// Picker is what attachments/picker.html shows: the files that wait for a form, and a field for more.
type Picker struct {
	Object string // whose files, as in drafts
	Limits Limits
	Files  []File
}

// Picker returns what the viewer's form shows of files.
func (h *Handlers) Picker(c *fiber.Ctx, object string) (Picker, error) {
	limits, err := h.service.Limits(c.UserContext())
	if err != nil {
		return Picker{}, err
	}
	files, err := h.service.Waiting(c.UserContext(), web.Viewer(c), object)
	return Picker{object, limits, files}, err
}

// Bind is web.Bind for a form that attachments/picker.html is part of: files that came with it wait for it from now on, whatever
// else is wrong with it, and ids names them. Add them to the form's field "uploads". The route's kind is Upload.
func (h *Handlers) Bind(c *fiber.Ctx, form any, object string) (ids []string, err error) {
	refused := 0
	err = web.BindFiles(c, form, func(name, fileName string, r io.Reader) error {
		if name != field || refused >= maxRefusals {
			return nil
		}
		file, err := h.service.Upload(c.UserContext(), web.Viewer(c), object, fileName, r)
		if err != nil {
			refused++
			return err
		}
		ids = append(ids, file.ID)
		return nil
	})
	return ids, err
}

// row is what attachments/row.html shows.
type row struct {
	File File
}

// Create answers POST /uploads?form=OBJECT: the body is one file, the header X-File-Name its name, percent-encoded. It answers with
// the file's row, or with 422 and what is wrong in words.
func (h *Handlers) Create(c *fiber.Ctx) error {
	body := web.BodyOf(c)
	name, err := url.PathUnescape(c.Get("X-File-Name"))
	if body == nil || err != nil {
		return fiber.ErrBadRequest
	}
	file, err := h.service.Upload(c.UserContext(), web.Viewer(c), c.Query("form"), name, body)
	var invalid *app.Invalid
	if errors.As(err, &invalid) {
		return c.Status(fiber.StatusUnprocessableEntity).Type("txt", "utf-8").SendString(web.Of(c).Text(invalid.Fields[0].Text))
	}
	if err != nil {
		return err
	}
	return web.Render(c, web.Page{View: "attachments/row", Title: app.Text{Key: "attachments.files"}, Data: row{file}})
}

// Destroy answers POST /uploads/:id/remove.
func (h *Handlers) Destroy(c *fiber.Ctx) error {
	if err := h.service.Remove(c.UserContext(), web.Viewer(c), c.Params("id")); err != nil {
		return err
	}
	return c.SendStatus(fiber.StatusNoContent)
}

// Download answers GET …/support/:ticket/files/:id, for the staff's address as for the client's.
func (h *Handlers) Download(c *fiber.Ctx) error {
	ctx, cancel := lasting(c)
	file, content, err := h.service.Download(ctx, web.Viewer(c), c.Params("ticket"), c.Params("id"))
	if err != nil {
		cancel()
		return err
	}
	c.Set(fiber.HeaderContentType, typeOf(file.Name))
	return send(c, "attachment", file, content, cancel)
}

// ShowPicture answers GET /files/:id, for pictures within messages.
func (h *Handlers) ShowPicture(c *fiber.Ctx) error {
	ctx, cancel := lasting(c)
	file, content, err := h.service.Picture(ctx, web.Viewer(c), c.Params("id"))
	if err != nil {
		cancel()
		return err
	}
	c.Set(fiber.HeaderContentType, file.Image)
	return send(c, "inline", file, content, cancel)
}

// lasting is the request's context for what is sent after the handler returned.
func lasting(c *fiber.Ctx) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(c.UserContext()), sendTimeout)
}

func send(c *fiber.Ctx, kind string, file File, content io.ReadCloser, done context.CancelFunc) error {
	c.Set(fiber.HeaderContentDisposition, disposition(kind, file.Name))
	c.Set(fiber.HeaderContentSecurityPolicy, filePolicy)
	c.Set(fiber.HeaderXContentTypeOptions, "nosniff")
	c.Set(fiber.HeaderCacheControl, "no-store")
	return web.SendFile(c, &ending{content, done}, file.SizeBytes)
}

// ending ends a context with the file that is sent under it.
type ending struct {
	io.ReadCloser
	done context.CancelFunc
}

func (e *ending) Close() error {
	defer e.done()
	return e.ReadCloser.Close()
}

func settingsPage(form Settings) web.Page {
	return web.Page{
		View: "attachments/settings", Frame: web.FrameAdmin, Title: app.Text{Key: "attachments.files"}, Section: "settings", Form: web.NewForm(form),
	}
}

// ShowSettings answers GET /admin/settings/attachments.
func (h *Handlers) ShowSettings(c *fiber.Ctx) error {
	limits, err := h.service.Limits(c.UserContext())
	if err != nil {
		return err
	}
	return web.Render(c, settingsPage(NewSettings(limits)))
}

// UpdateSettings answers POST /admin/settings/attachments.
func (h *Handlers) UpdateSettings(c *fiber.Ctx) error {
	var form Settings
	err := web.Bind(c, &form)
	if err == nil {
		err = h.service.SaveLimits(c.UserContext(), web.Viewer(c), form)
	}
	if err != nil {
		return web.Rerender(c, err, settingsPage(form), form)
	}
	web.SetFlash(c, "good", "attachments.saved")
	return web.Redirect(c, settingsPath)
}

// Open is Service.Download, for whoever sends many files at once.
func (h *Handlers) Open(ctx context.Context, v app.Viewer, ticketID, id string) (File, io.ReadCloser, error) {
	return h.service.Download(ctx, v, ticketID, id)
}
