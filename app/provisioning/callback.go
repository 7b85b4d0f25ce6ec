package provisioning

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"portico/app"
	"portico/app/db"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// MaxCallback is how long the body of a callback may be, in bytes.
const MaxCallback = 4 << 10

// CalledBack is a driver whose providers tell by signed messages that there is news of a run.
type CalledBack interface {
	// VerifyCallback checks a message under the settings of its configuration, and returns its id and the run's operation key.
	// header returns a header by its name. Any error means that nobody with the configuration's keys has signed it lately.
	VerifyCallback(settings map[string]any, header func(name string) string, body []byte, now time.Time) (id, key string, err error)
}

// Callback takes a provider's message that there is news of a run, and wakes the run if it waits: what came of it is asked of the
// provider, over a connection of ours. A message that was here before, or of which no run waits, changes nothing.
//
// Returns app.ErrForbidden for what is not signed by the configuration's provider, also where there is no such configuration.
func (s *Service) Callback(ctx context.Context, configurationID string, header func(name string) string, body []byte) error {
	if _, err := uuid.Parse(configurationID); err != nil || len(body) > MaxCallback {
		return app.ErrForbidden
	}
	c, err := s.configuration(ctx, s.pool, configurationID)
	if errors.Is(err, app.ErrNotFound) || errors.Is(err, ErrDriver) {
		return app.ErrForbidden
	}
	if err != nil {
		return fmt.Errorf("read configuration %s: %w", configurationID, err)
	}
	driver, err := s.drivers.Driver(c.Driver)
	if err != nil {
		return err
	}
	taker, ok := driver.(CalledBack)
	if !ok {
		return app.ErrForbidden
	}
	id, key, err := taker.VerifyCallback(c.whole, header, body, time.Now())
	if err != nil {
		slog.WarnContext(ctx, "a callback was refused", "configuration", configurationID)
		return app.ErrForbidden
	}
	return db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		fresh, err := rememberCallback(ctx, tx, configurationID, id)
		if err != nil {
			return fmt.Errorf("remember a callback: %w", err)
		}
		if !fresh {
			return nil
		}
		runID, bySystem, err := wake(ctx, tx, configurationID, key)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("wake the run of key %s: %w", key, err)
		}
		return s.enqueue(ctx, tx, runID, bySystem)
	})
}
