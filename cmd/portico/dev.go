package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"portico/app/db/private"
	"portico/app/dev"
	"portico/app/mail"
)

// devRun is what "make run" starts: a private PostgreSQL and a mailbox in the data folder, the demo store where the
// database is empty, web and jobs.
func devRun(ctx context.Context, c config, out io.Writer) (err error) {
	if err := os.MkdirAll(c.dataDir, 0o755); err != nil {
		return fmt.Errorf("PORTICO_DATA_DIR holds %q, which can't be made: %w", c.dataDir, err)
	}
	// Before anything is started: a taken port is the commonest reason not to.
	listener, err := listen("PORTICO_ADDR", c.addr)
	if err != nil {
		return err
	}
	defer listener.Close()
	s := settings{database: c.database, url: c.url, keys: c.keys, smtp: c.smtp, blobs: c.blobs, config: c}
	if s.keys == nil {
		if s.keys, err = devKeys(c.dataDir); err != nil {
			return err
		}
	}
	if s.database == "" {
		postgres, err := private.Start(ctx, private.Options{Dir: filepath.Join(c.dataDir, "postgres"), Output: out})
		if err != nil {
			return err
		}
		defer func() {
			if stopErr := postgres.Stop(); stopErr != nil {
				slog.Error("the private PostgreSQL did not stop", "error", stopErr)
			}
		}()
		var lost context.CancelCauseFunc
		ctx, lost = context.WithCancelCause(ctx)
		defer lost(nil)
		go func() {
			<-postgres.Done()
			lost(errDatabaseGone) // after a stop of ours this changes nothing
		}()
		if err := postgres.CreateDatabase(ctx, "portico"); err != nil {
			return err
		}
		s.database = postgres.URL("portico")
	}
	if s.mailbox, err = dev.OpenMailbox(filepath.Join(c.dataDir, "mail")); err != nil {
		return err
	}
	if s.smtp == nil {
		mails, err := dev.ServeMail(s.mailbox)
		if err != nil {
			return err
		}
		defer mails.Close()
		if s.smtp, err = mail.ParseURL(mails.URL()); err != nil {
			return err
		}
	}
	if s.hasher, err = newHasher(); err != nil {
		return err
	}
	p, err := build(ctx, s)
	if err != nil {
		return err
	}
	defer p.pool.Close()
	loaded, err := dev.LoadDemo(ctx, p.pool, s.hasher, s.keys)
	if err != nil {
		return err
	}
	if loaded {
		if err := dev.LoadMonth(ctx, p.pool); err != nil {
			return err
		}
		fmt.Fprintf(out, "The demo store is loaded. Everybody's password is %s\n", dev.DemoPassword)
	}
	err = p.run(ctx, c, listener, true, out, c.url)
	if errors.Is(context.Cause(ctx), errDatabaseGone) {
		return errDatabaseGone
	}
	return err
}

// errDatabaseGone ends the dev run: without its database it can only fail.
var errDatabaseGone = errors.New("the private PostgreSQL ended by itself; its log is in the data folder, postgres/")
