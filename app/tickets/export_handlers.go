package tickets

import (
	"bytes"
	"context"
	"html/template"
	"io"
	"log/slog"
	"net/url"
	"time"

	"portico/app/web"

	"github.com/gofiber/fiber/v2"
)

// exportTimeout is how long sending an archive may take; a reader that takes nothing is cut off long before.
const exportTimeout = 30 * time.Minute

// exportView is what views/tickets/export.html shows.
type exportView struct {
	Export
	Lines []exportLine
}

// exportLine is a Line as it stands in the archive.
type exportLine struct {
	Line
	HTML  template.HTML
	Files []ExportFile
}

// Href leads to the file from the page beside it.
func (f ExportFile) Href() string { return relative(f.Path) }

func relative(path string) string { return (&url.URL{Path: path}).EscapedPath() }

// Export answers GET /support/:id/export with the archive of a ticket, as it is put together.
func (h *Handlers) Export(c *fiber.Ctx) error {
	r := web.Of(c)
	id, err := web.ID(c, "id")
	if err != nil {
		return err
	}
	export, err := h.service.Export(c.UserContext(), r.Viewer, id)
	if err != nil {
		return err
	}
	view := exportView{Export: export}
	said := 0
	for _, line := range Timeline(r, export.thread, "") {
		if line.Message != nil && !line.Message.Internal {
			line.Name = line.Message.AuthorName
			view.Lines = append(view.Lines, exportLine{line, template.HTML(export.markup(line.Message)), export.Messages[said].Files}) // sanitised when it was written
			said++
		} else if line.Event != nil && !line.Event.Internal {
			line.Name = line.Event.ActorName
			view.Lines = append(view.Lines, exportLine{Line: line})
		}
	}
	var page bytes.Buffer
	if err := r.Site.Views.Render(&page, "tickets/export", &web.View{Request: r, Data: view, Form: &web.Form{}}); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.UserContext()), exportTimeout)
	reading, writing := io.Pipe()
	go func() {
		defer cancel()
		err := export.Write(ctx, r.Viewer, page.Bytes(), h.files.Open, writing)
		if err != nil && ctx.Err() == nil {
			slog.WarnContext(ctx, "the archive of a ticket broke off", "error", err, "request_id", r.Viewer.RequestID)
		}
		writing.CloseWithError(err)
	}()
	c.Set(fiber.HeaderContentType, "application/zip")
	c.Set(fiber.HeaderContentDisposition, `attachment; filename="`+export.Name()+`"`)
	c.Set(fiber.HeaderXContentTypeOptions, "nosniff")
	c.Set(fiber.HeaderCacheControl, "no-store")
	return web.SendFile(c, reading, -1)
}
