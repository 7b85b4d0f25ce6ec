package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"portico/app/blob"
	"portico/app/db"

	"github.com/jackc/pgx/v5/pgxpool"
)

// doctor checks the configuration and says for each part whether it is well, or what is wrong and the mend. It returns an
// error if anything is wrong, so that the exit code says so too.
func doctor(ctx context.Context, c config, out io.Writer) error {
	wrong := 0
	say := func(part string, err error, mend string) {
		if err == nil {
			fmt.Fprintf(out, "ok     %s\n", part)
			return
		}
		wrong++
		fmt.Fprintf(out, "WRONG  %s: %v\n       %s\n", part, err, mend)
	}
	pool, err := db.Open(ctx, c.database, 3*time.Second)
	say("database", err, "check DATABASE_URL, and that PostgreSQL runs and lets this user in")
	if err == nil {
		defer pool.Close()
		schema := db.Migrated(ctx, pool)
		say("schema", schema, "run portico migrate")
		say("durability", durable(ctx, pool), "turn these on in postgresql.conf: an acknowledged change must survive a crash")
		if schema == nil {
			say("admin", hasAdmin(ctx, pool), "run portico admin create")
		}
	}
	say("mail server", c.smtp.Check(ctx), "check SMTP_URL, and that the mail server takes this user from here")
	say("attachments", blob.Check(ctx, c.blobs), "check PORTICO_BLOB_URL, and that the folder or bucket is there and can be written to")
	say("inner addresses of providers", c.outbound.Check(ctx), "check the names in PORTICO_OUTBOUND_ALLOW")
	var plain error
	if !strings.HasPrefix(c.url, "https://") {
		plain = errors.New("PORTICO_URL is not https")
	}
	say("public address", plain, "put the portal behind a proxy with a certificate and set PORTICO_URL to its https address")
	say("keys", nil, "")
	if wrong > 0 {
		return fmt.Errorf("%d of the checks above failed", wrong)
	}
	return nil
}

func durable(ctx context.Context, pool *pgxpool.Pool) error {
	var off []string
	for _, name := range []string{"fsync", "full_page_writes", "synchronous_commit"} {
		var value string
		if err := pool.QueryRow(ctx, "select current_setting($1)", name).Scan(&value); err != nil {
			return err
		}
		if value == "off" {
			off = append(off, name)
		}
	}
	if off != nil {
		return fmt.Errorf("%s off", strings.Join(off, ", "))
	}
	return nil
}

func hasAdmin(ctx context.Context, pool *pgxpool.Pool) error {
	var admins int
	if err := pool.QueryRow(ctx, "select count(*) from users where role = 'admin' and disabled_at is null").Scan(&admins); err != nil {
		return err
	}
	if admins == 0 {
		return errors.New("there is none")
	}
	return nil
}
