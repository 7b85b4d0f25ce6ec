package main

import (
	"context"
	"fmt"
	"io"
)

// rotateKeys encrypts everything that is stored sealed with the first key of PORTICO_SECRET_KEY. Afterwards the other keys open nothing
// that is kept; sessions and links do not depend on them but for forms that are open and mails under way.
func rotateKeys(ctx context.Context, c config, out io.Writer) error {
	hasher, err := newHasher()
	if err != nil {
		return err
	}
	c.sandbox = "" // nothing is provisioned here
	p, err := build(ctx, settings{database: c.database, url: c.url, keys: c.keys, smtp: c.smtp, blobs: c.blobs, config: c, hasher: hasher})
	if err != nil {
		return err
	}
	defer p.pool.Close()
	apps, err := p.auth.Reseal(ctx)
	if err != nil {
		return fmt.Errorf("encrypt the secrets of authenticator apps anew: %w", err)
	}
	values, err := p.runs.Reseal(ctx)
	if err != nil {
		return fmt.Errorf("encrypt what provisioning keeps anew: %w", err)
	}
	fmt.Fprintf(out, "%d secrets of authenticator apps and %d of provisioning are encrypted with the first key\n", apps, values)
	return nil
}
