package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"portico/app"
	"portico/app/access"
	"portico/app/audit"
	"portico/app/db"
	"portico/app/locale"
	"portico/app/web"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Service is the store's settings and departments.
type Service struct {
	pool      *pgxpool.Pool
	catalogue *locale.Catalogue
}

// NewService returns a Service. catalogue says which languages may be chosen.
func NewService(pool *pgxpool.Pool, catalogue *locale.Catalogue) *Service {
	return &Service{pool, catalogue}
}

// Current is what every page shows of the store.
func Current(ctx context.Context, conn db.Conn) (web.Store, error) {
	s, err := Load(ctx, conn)
	if err != nil {
		return web.Store{}, err
	}
	return web.Store{
		Name: s.Name, Logo: s.LogoPath(), BrandCSS: s.BrandPath(), TimeZone: s.TimeZone, Currency: s.Currency, Language: s.Language,
	}, nil
}

// Settings returns the settings to those who may see them.
func (s *Service) Settings(ctx context.Context, v app.Viewer) (Settings, error) {
	if err := access.Check(v, "settings", "view"); err != nil {
		return Settings{}, err
	}
	return Load(ctx, s.pool)
}

// Save stores the settings. Returns *app.Invalid for wrong values, and also when somebody else saved others since the form
// was filled: each field that differs says what is stored now, and form.Version becomes the stored one, so that saving
// again is a choice made knowingly. A form that changes nothing succeeds and leaves no trace.
func (s *Service) Save(ctx context.Context, v app.Viewer, form *Form) error {
	if err := access.Check(v, "settings", "edit"); err != nil {
		return err
	}
	next, err := form.settings(s.catalogue)
	if err != nil {
		return err
	}
	return db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		now, err := lockSettings(ctx, tx)
		if err != nil {
			return err
		}
		changes := audit.Changes{}
		var stale app.Invalid
		stale.Add("", "store.changed-meanwhile")
		wanted := next.fields()
		for i, stored := range now.fields() {
			if changes.Add(stored.name, stored.value, wanted[i].value) {
				stale.Add(stored.name, "store.now-is", "Value", shortened(stored.value))
			}
		}
		if len(changes) == 0 {
			return nil
		}
		if next.Version != now.Version {
			form.Version = strconv.FormatInt(now.Version, 10)
			return stale.Err()
		}
		if err := updateSettings(ctx, tx, next); err != nil {
			return fmt.Errorf("save the settings: %w", err)
		}
		return audit.Record(ctx, tx, v, audit.Entry{Action: "store.edit", ObjectType: "store", ObjectName: next.Name, Details: changes})
	})
}

// shortened keeps a long text from filling the page.
func shortened(text string) string {
	if signs := []rune(text); len(signs) > 200 {
		return string(signs[:200]) + "…"
	}
	return text
}

// SaveLogo stores a new logo from a PNG, JPEG or WebP file. Returns *app.Invalid on field "logo" for a file that is none of
// these, larger than MaxLogoBytes or MaxLogoSide, or broken.
func (s *Service) SaveLogo(ctx context.Context, v app.Viewer, file io.Reader) error {
	if err := access.Check(v, "settings", "edit"); err != nil {
		return err
	}
	logo, err := readLogo(ctx, file)
	if err != nil {
		return err
	}
	return s.changeLogo(ctx, v, logo, audit.Entry{
		Action: "store.logo-change", ObjectType: "store", Details: map[string]any{"bytes": len(logo.Content)},
	})
}

// RemoveLogo goes back to the store's initial. Without a logo it does nothing.
func (s *Service) RemoveLogo(ctx context.Context, v app.Viewer) error {
	if err := access.Check(v, "settings", "edit"); err != nil {
		return err
	}
	return s.changeLogo(ctx, v, Logo{}, audit.Entry{Action: "store.logo-remove", ObjectType: "store"})
}

func (s *Service) changeLogo(ctx context.Context, v app.Viewer, logo Logo, entry audit.Entry) error {
	return db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		now, err := lockSettings(ctx, tx)
		if err != nil || logo.Content == nil && !now.HasLogo {
			return err
		}
		if err := updateLogo(ctx, tx, logo); err != nil {
			return fmt.Errorf("change the logo: %w", err)
		}
		entry.ObjectName = now.Name
		return audit.Record(ctx, tx, v, entry)
	})
}

// Logo returns the current logo, for everybody, and whether version is the one of its path: only then may the answer be
// kept. Returns app.ErrNotFound if there is none.
func (s *Service) Logo(ctx context.Context, version string) (logo Logo, current bool, err error) {
	settings, err := Load(ctx, s.pool)
	if err != nil {
		return Logo{}, false, err
	}
	logo, err = currentLogo(ctx, s.pool)
	if err != nil && !errors.Is(err, app.ErrNotFound) {
		err = fmt.Errorf("load the logo: %w", err)
	}
	return logo, version == settings.logoVersion(), err
}

// Brand returns the stylesheet with the brand colour, for everybody, and whether version is the one of its path.
func (s *Service) Brand(ctx context.Context, version string) (css string, current bool, err error) {
	settings, err := Load(ctx, s.pool)
	if err != nil {
		return "", false, err
	}
	return ":root{--brand:" + settings.BrandColour + "}\n", version == strconv.FormatInt(settings.Version, 10), nil
}
