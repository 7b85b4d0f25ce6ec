package dev

import (
	"time"

	"portico/app"
	"portico/app/web"
	"portico/static"

	"github.com/gofiber/fiber/v2"
)

// piecesData is what views/dev/pieces.html fills its pieces with.
type piecesData struct {
	Confirm  bool // show the page that stands in for a dialog
	People   []string
	Statuses []string
	Icons    []string
	Choices  []web.Option

	JustNow, Today, Yesterday, LongAgo, Soon time.Time
}

// Pieces shows every piece of the interface in every state, for those who build pages.
func Pieces(c *fiber.Ctx) error {
	now := web.Of(c).Now
	t := web.Of(c).T
	return web.Render(c, web.Page{
		View: "dev/pieces", Title: app.Text{Key: "pieces.title"}, Section: "pieces",
		Data: piecesData{
			Confirm: c.Query("show") == "confirm",
			People: []string{
				"Bea Lindqvist", "Dev Team 1", "نور حداد", "王小明", "Łukasz Żółkiewski", "Cher", "🦊",
				"Maximiliane Theodora von Hohenzollern-Sigmaringen-Wolfenbüttel",
			},
			Statuses: []string{
				"open", "staff-replied", "client-replied", "waiting", "closed", "invited", "accepted", "expired", "queued", "running", "retrying",
				"succeeded", "failed", "cancelled", "active", "suspended", "unconfirmed", "disabled",
			},
			Icons: static.Icons(),
			Choices: []web.Option{
				{Value: "web", Label: t("pieces.choice-web")}, {Value: "mail", Label: t("pieces.choice-mail")}, {Value: "dns", Label: t("pieces.choice-dns")},
			},
			JustNow: now, Today: now.Add(-12 * time.Minute), Yesterday: now.Add(-26 * time.Hour), LongAgo: now.Add(-400 * 24 * time.Hour),
			Soon: now.Add(3 * 24 * time.Hour),
		},
		Form: &web.Form{
			Values: map[string][]string{"message": {t("pieces.form-message-typed")}, "wrong-choice": {"mail"}, "wrong-box": {"on"}, "boxes": {"web", "dns"}, "colour": {"#00637b"}},
			Errors: []app.FieldError{
				{Field: "subject", Text: app.Text{Key: "pieces.form-subject-missing"}},
				{Field: "wrong-choice", Text: app.Text{Key: "pieces.form-choice-gone"}},
				{Field: "files", Text: app.Text{Key: "pieces.form-file-large", Args: map[string]any{"Name": "shop-backup.zip", "Size": 41, "Limit": 25}}},
				{Text: app.Text{Key: "pieces.form-whole"}},
			},
		},
	})
}
