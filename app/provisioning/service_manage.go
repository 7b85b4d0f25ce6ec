package provisioning

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"portico/app"
	"portico/app/access"
	"portico/app/audit"
	"portico/app/db"
	"portico/app/live"
	"portico/app/mail"
	"portico/app/provisioning/outbound"

	"github.com/jackc/pgx/v5"
)

// TopicConfigurations changes with every provision configuration.
const TopicConfigurations = "configurations"

// configuration reads a configuration with its secrets opened.
func (s *Service) configuration(ctx context.Context, conn db.Conn, id string) (credentials, error) {
	c, err := credentialsOf(ctx, conn, id)
	if err != nil {
		return credentials{}, err
	}
	driver, err := s.drivers.Driver(c.Driver)
	if err != nil {
		return credentials{}, err
	}
	c.fields = driver.Settings(c.Category)
	c.whole = maps.Clone(c.Settings)
	if c.whole == nil {
		c.whole = map[string]any{}
	}
	if c.Secrets != nil {
		secret, err := s.open(purposeSettings, id, c.Secrets)
		if err != nil {
			return credentials{}, err
		}
		maps.Copy(c.whole, secret)
	}
	return c, nil
}

// Configurations lists all that are in use, by name.
func (s *Service) Configurations(ctx context.Context, v app.Viewer) ([]Configuration, error) {
	if err := access.Check(v, "configurations", "view"); err != nil {
		return nil, err
	}
	all, err := configurations(ctx, s.pool)
	if err != nil {
		return nil, fmt.Errorf("list the provision configurations: %w", err)
	}
	for i := range all {
		s.describe(&all[i])
	}
	return all, nil
}

func (s *Service) describe(c *Configuration) {
	c.DriverTitle = c.Driver
	if driver, err := s.drivers.Driver(c.Driver); err == nil {
		c.DriverTitle, c.Fields = driver.Title(), driver.Settings(c.Category)
	}
}

// Configuration returns one with the bought products that use it, at most 100.
func (s *Service) Configuration(ctx context.Context, v app.Viewer, id string) (Configuration, []UserOf, error) {
	if err := access.Check(v, "configurations", "view"); err != nil {
		return Configuration{}, nil, err
	}
	c, err := s.configurationByID(ctx, s.pool, id)
	if err != nil {
		return Configuration{}, nil, err
	}
	users, err := usersOf(ctx, s.pool, id)
	if err != nil {
		return Configuration{}, nil, fmt.Errorf("list who uses configuration %s: %w", id, err)
	}
	return c, users, nil
}

func (s *Service) configurationByID(ctx context.Context, conn db.Conn, id string) (Configuration, error) {
	c, err := configurationByID(ctx, conn, id)
	if err != nil {
		return Configuration{}, fmt.Errorf("read configuration %s: %w", id, err)
	}
	s.describe(&c)
	stored, err := credentialsOf(ctx, conn, id)
	if err != nil {
		return Configuration{}, fmt.Errorf("read configuration %s: %w", id, err)
	}
	if stored.Secrets != nil {
		secret, err := s.open(purposeSettings, id, stored.Secrets)
		if err != nil {
			return Configuration{}, err
		}
		c.SecretsSet = slices.Sorted(maps.Keys(secret))
	}
	return c, nil
}

// Drivers lists those that serve a category, or all for "".
func (s *Service) Drivers(category string) []Driver {
	if category == "" {
		return s.drivers.All()
	}
	return s.drivers.For(category)
}

// Setting up is a configuration as an admin types it.
type Setup struct {
	Name     string
	Driver   string
	Category string
	Rate     int
	Values   map[string][]string // the settings, by their names; a secret that is left empty stays what it is
}

// SaveConfiguration changes a configuration, or makes one where id is "", and returns its id. Secrets are sealed and never read back.
// Returns *app.Invalid, app.ErrNotFound.
func (s *Service) SaveConfiguration(ctx context.Context, v app.Viewer, id string, set Setup) (string, error) {
	if err := access.Check(v, "configurations", "edit"); err != nil {
		return "", err
	}
	var invalid app.Invalid
	set.Name = strings.Join(strings.Fields(set.Name), " ")
	if set.Name == "" || len([]rune(set.Name)) > 120 {
		invalid.Add("name", "provisioning.name-wrong")
	}
	if set.Rate < 1 || set.Rate > 1000 {
		invalid.Add("rate", "provisioning.rate-wrong")
	}
	err := db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		before := map[string]any{}
		changes := audit.Changes{}
		if id != "" {
			c, err := lockConfiguration(ctx, tx, id)
			if err != nil {
				return fmt.Errorf("read configuration %s: %w", id, err)
			}
			set.Driver, set.Category = c.Driver, c.Category
			changes.Add("name", c.Name, set.Name)
			changes.Add("rate_per_second", c.RatePerSecond, set.Rate)
			whole, err := s.configuration(ctx, tx, id)
			if err != nil {
				return err
			}
			before = whole.whole
		}
		driver, err := s.drivers.Driver(set.Driver)
		if err != nil || !slices.Contains(driver.Categories(), set.Category) {
			invalid.Add("driver", "provisioning.driver-wrong")
			return invalid.Err()
		}
		fields := driver.Settings(set.Category)
		values, err := ParseForm(fields, set.Values, before)
		var wrong *app.Invalid
		if errors.As(err, &wrong) {
			invalid.Fields = append(invalid.Fields, wrong.Fields...)
		} else if err != nil {
			return err
		}
		if err := invalid.Err(); err != nil {
			return err
		}
		open, secret := Split(fields, values)
		wasOpen, wasSecret := Split(fields, before)
		for _, field := range fields {
			if field.HasSecret() {
				if fmt.Sprint(secret[field.Name]) != fmt.Sprint(wasSecret[field.Name]) {
					changes[field.Name] = audit.Change{} // that it changed, and nothing else
				}
			} else {
				changes.Add(field.Name, wasOpen[field.Name], open[field.Name])
			}
		}
		action := "configuration.update"
		if id == "" {
			action = "configuration.create"
			if id, err = newConfiguration(ctx, tx, set); db.Violates(err, "provision_configurations_name") {
				id = ""
				return app.Invalidf("name", "provisioning.name-taken")
			} else if err != nil {
				return fmt.Errorf("make a configuration: %w", err)
			}
		}
		var sealed []byte
		if len(secret) > 0 {
			if sealed, err = s.seal(purposeSettings, id, secret); err != nil {
				return err
			}
		}
		if err := updateConfiguration(ctx, tx, id, set, open, sealed); db.Violates(err, "provision_configurations_name") {
			return app.Invalidf("name", "provisioning.name-taken")
		} else if err != nil {
			return fmt.Errorf("store configuration %s: %w", id, err)
		}
		if err := audit.Record(ctx, tx, v, audit.Entry{Action: action, ObjectType: "configuration", ObjectID: id, ObjectName: set.Name, Details: changes}); err != nil {
			return err
		}
		return live.Notify(ctx, tx, TopicConfigurations)
	})
	return id, err
}

// Tested is what a test of a configuration said.
type Tested struct {
	OK     bool
	Took   time.Duration
	Reason string // why not, for the store's people
}

// TestConfiguration asks the provider with a configuration's credentials, changing nothing there. At most 30 in an hour.
func (s *Service) TestConfiguration(ctx context.Context, v app.Viewer, id string) (Tested, error) {
	if err := access.Check(v, "configurations", "edit"); err != nil {
		return Tested{}, err
	}
	c, err := s.configuration(ctx, s.pool, id)
	if err != nil {
		return Tested{}, fmt.Errorf("test configuration %s: %w", id, err)
	}
	driver, err := s.drivers.Driver(c.Driver)
	if err != nil {
		return Tested{}, err
	}
	wire := s.outbound.Open(outbound.Options{Configuration: id, PerSecond: c.RatePerSecond, Limit: 15 * time.Second, Fields: secretNames(c.fields), Secrets: Secrets(c.fields, c.whole)})
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	started := time.Now()
	err = driver.Test(ctx, Call{Category: c.Category, Settings: c.whole, Client: wire.Client()})
	tested := Tested{OK: err == nil, Took: time.Since(started)}
	if err != nil {
		tested.Reason = mail.Redact(wire.Scrub(err.Error()))
	}
	return tested, nil
}

// pause stops every call of a configuration until an admin resumes it, and tells them.
func (s *Service) pause(ctx context.Context, tx pgx.Tx, t *turn, reason string) error {
	id := *t.product.ConfigurationID
	paused, err := setPaused(ctx, tx, id, reason)
	if err != nil || !paused {
		return err
	}
	people, err := admins(ctx, tx)
	if err != nil {
		return fmt.Errorf("list the admins: %w", err)
	}
	for _, person := range people {
		err := s.mail.Queue(ctx, tx, mail.Message{
			Kind: "provision-paused", Key: "provision-paused:" + t.run.ID + ":" + person.ID, UserID: person.ID, Recipient: person.Email, Name: person.Name,
			Language: person.Language, Zone: person.TimeZone,
			Data: map[string]string{"Configuration": t.product.ConfigurationName, "Reason": reason, "Page": "/admin/provisioning/configurations/" + id},
		})
		if err != nil {
			return err
		}
	}
	if err := audit.Record(ctx, tx, audit.System, audit.Entry{
		Action: "configuration.pause", ObjectType: "configuration", ObjectID: id, ObjectName: t.product.ConfigurationName, Details: map[string]any{"reason": reason, "run": t.run.ID},
	}); err != nil {
		return err
	}
	return live.Notify(ctx, tx, TopicConfigurations)
}

// Pause stops every call of a configuration, and Resume lets them go on: what waited begins at once.
func (s *Service) Pause(ctx context.Context, v app.Viewer, id string) error {
	return s.setPause(ctx, v, id, true)
}

// Resume lets a configuration be called again.
func (s *Service) Resume(ctx context.Context, v app.Viewer, id string) error {
	return s.setPause(ctx, v, id, false)
}

func (s *Service) setPause(ctx context.Context, v app.Viewer, id string, pause bool) error {
	if err := access.Check(v, "configurations", "edit"); err != nil {
		return err
	}
	return db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		c, err := lockConfiguration(ctx, tx, id)
		if err != nil {
			return fmt.Errorf("read configuration %s: %w", id, err)
		}
		if pause == (c.PausedAt != nil) {
			return nil
		}
		action := "configuration.resume"
		if pause {
			action = "configuration.pause"
			if _, err := setPaused(ctx, tx, id, v.Name); err != nil {
				return err
			}
		} else {
			waiting, err := resume(ctx, tx, id)
			if err != nil {
				return fmt.Errorf("resume configuration %s: %w", id, err)
			}
			for _, runID := range waiting {
				if err := s.enqueue(ctx, tx, runID, false); err != nil {
					return err
				}
			}
		}
		if err := audit.Record(ctx, tx, v, audit.Entry{Action: action, ObjectType: "configuration", ObjectID: id, ObjectName: c.Name}); err != nil {
			return err
		}
		return live.Notify(ctx, tx, TopicConfigurations)
	})
}

// ArchiveConfiguration takes a configuration out of use. Returns app.ErrConflict while bought products use it.
func (s *Service) ArchiveConfiguration(ctx context.Context, v app.Viewer, id string) error {
	if err := access.Check(v, "configurations", "edit"); err != nil {
		return err
	}
	return db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		c, err := lockConfiguration(ctx, tx, id)
		if err != nil {
			return fmt.Errorf("read configuration %s: %w", id, err)
		}
		if c.Products > 0 {
			return fmt.Errorf("archive configuration %s, which %d products use: %w", id, c.Products, app.ErrConflict)
		}
		if err := archiveConfiguration(ctx, tx, id); err != nil {
			return fmt.Errorf("archive configuration %s: %w", id, err)
		}
		if err := audit.Record(ctx, tx, v, audit.Entry{Action: "configuration.archive", ObjectType: "configuration", ObjectID: id, ObjectName: c.Name}); err != nil {
			return err
		}
		return live.Notify(ctx, tx, TopicConfigurations)
	})
}

// Choose makes a bought product use a configuration, "" for that of what the store sells. Returns *app.Invalid for one of another
// category.
func (s *Service) Choose(ctx context.Context, v app.Viewer, productID, configurationID string) error {
	if err := access.Check(v, "configurations", "edit"); err != nil {
		return err
	}
	return s.changeProduct(ctx, v, productID, func(tx pgx.Tx, p Product) error {
		changes := audit.Changes{"before": p.ConfigurationName}
		if configurationID != "" {
			c, err := configurationByID(ctx, tx, configurationID)
			if err != nil || c.Category != p.Category {
				return app.Invalidf("configuration", "provisioning.configuration-wrong")
			}
			changes["after"] = c.Name
		}
		if err := setConfiguration(ctx, tx, p.ID, configurationID); err != nil {
			return fmt.Errorf("choose a configuration for product %s: %w", p.ID, err)
		}
		return audit.Record(ctx, tx, v, audit.Entry{Action: "provision.configuration", ObjectType: "product", ObjectID: p.ID, ObjectName: p.Name, Details: changes})
	})
}

// Switch turns an optional function of a product on or off, or with kind "delegates" one that delegates may have.
func (s *Service) Switch(ctx context.Context, v app.Viewer, productID, action, kind string, on bool) error {
	if err := access.Check(v, "configurations", "edit"); err != nil {
		return err
	}
	return s.changeProduct(ctx, v, productID, func(tx pgx.Tx, p Product) error {
		f, err := s.offered(p, action)
		if err != nil {
			return err
		}
		if kind == "optional" && !f.Optional || kind == "delegates" && !f.Delegable || kind != "optional" && kind != "delegates" {
			return app.ErrNotFound
		}
		if err := setSwitch(ctx, tx, p.ID, action, kind, on); err != nil {
			return fmt.Errorf("switch %s of product %s: %w", action, p.ID, err)
		}
		return audit.Record(ctx, tx, v, audit.Entry{
			Action: "provision.switch", ObjectType: "product", ObjectID: p.ID, ObjectName: p.Name, Details: map[string]any{"action": action, "for": kind, "on": on},
		})
	})
}

// SaveFields changes provision fields by hand. A secret that is left empty stays what it is.
func (s *Service) SaveFields(ctx context.Context, v app.Viewer, productID string, values map[string][]string) error {
	p, err := s.Product(ctx, v, productID)
	if err != nil {
		return err
	}
	if !p.OfStore() || !p.Allows("run_fields") {
		return app.ErrForbidden
	}
	return s.changeProduct(ctx, v, productID, func(tx pgx.Tx, p Product) error {
		category, ok := CategoryOf(p.Category)
		if !ok {
			return app.ErrNotFound
		}
		before, err := s.plainFields(p)
		if err != nil {
			return err
		}
		typed, err := ParseForm(optional(category.Fields), values, before)
		if err != nil {
			return err
		}
		set := map[string]any{}
		for _, field := range category.Fields {
			set[field.Name] = typed[field.Name] // nil takes it away
		}
		changes, err := s.changeFields(ctx, tx, p.ID, p.Category, set)
		if err != nil || len(changes) == 0 {
			return err
		}
		return s.recordFields(ctx, tx, v, p.ID, p.Name, "", changes)
	})
}

// optional are fields none of which must be filled.
func optional(fields []Field) []Field {
	free := slices.Clone(fields)
	for i := range free {
		free[i].Required = false
	}
	return free
}

func (s *Service) changeProduct(ctx context.Context, v app.Viewer, productID string, change func(tx pgx.Tx, p Product) error) error {
	return db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if err := lockProduct(ctx, tx, productID); err != nil {
			return err
		}
		p, err := productByID(ctx, tx, v.UserID, productID)
		if err != nil {
			return err
		}
		if err := change(tx, p); err != nil {
			return err
		}
		return live.Notify(ctx, tx, TopicOfProduct(productID))
	})
}

// FieldHistory is one change of provision fields.
type FieldHistory struct {
	At        time.Time
	ActorName string
	Details   map[string]any // of each field before and after; "run" is the run that did it
}

// History lists the newest changes of a product's fields.
func (s *Service) History(ctx context.Context, v app.Viewer, productID string) ([]FieldHistory, error) {
	p, err := s.Product(ctx, v, productID)
	if err != nil {
		return nil, err
	}
	if !p.OfStore() {
		return nil, app.ErrNotFound
	}
	entries, err := fieldHistory(ctx, s.pool, p.ID)
	if err != nil {
		return nil, fmt.Errorf("read the history of the fields of product %s: %w", productID, err)
	}
	return entries, nil
}

// Words are what clients read about a family of refusals.
type Words struct{ Family, Text string }

// Words lists what an admin wrote for the families, and SaveWords changes it.
func (s *Service) Words(ctx context.Context, v app.Viewer) ([]Words, error) {
	if err := access.Check(v, "configurations", "view"); err != nil {
		return nil, err
	}
	return allWords(ctx, s.pool)
}

// SaveWords sets what clients read about a family of refusals; "" brings back the portal's own sentence.
func (s *Service) SaveWords(ctx context.Context, v app.Viewer, family, text string) error {
	if err := access.Check(v, "configurations", "edit"); err != nil {
		return err
	}
	text = strings.TrimSpace(text)
	if !slices.Contains(Families, family) {
		return app.ErrNotFound
	}
	if len([]rune(text)) > 500 {
		return app.Invalidf(family, "provisioning.words-long")
	}
	return db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if err := setWords(ctx, tx, family, text); err != nil {
			return fmt.Errorf("store the words for %s: %w", family, err)
		}
		return audit.Record(ctx, tx, v, audit.Entry{Action: "provision.words", ObjectType: "store", ObjectName: family, Details: map[string]any{"text": text}})
	})
}
