// Package limits counts costly and guessable deeds in PostgreSQL, so that all processes count together.
package limits

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"time"

	"portico/app"
	"portico/app/db"
)

// Rate is so many times within a window. Windows are fixed: they start at multiples of Window since the epoch.
type Rate struct {
	Times  int
	Window time.Duration
}

// Hit counts one more deed under name and key, and returns *app.Limited if that is more than the rate allows. Keys are
// stored hashed.
func Hit(ctx context.Context, conn db.Conn, name, key string, rate Rate) error {
	var hits int
	var ends time.Time
	err := conn.QueryRow(ctx, `
		insert into rate_limits (key, starts_at) values ($1, date_bin($2, now(), 'epoch'))
		on conflict (key, starts_at) do update set hits = rate_limits.hits + 1
		returning hits, starts_at + $2`, hash(name, key), rate.Window).Scan(&hits, &ends)
	if err != nil {
		return fmt.Errorf("count %s: %w", name, err)
	}
	if hits > rate.Times {
		return limited(ends)
	}
	return nil
}

// Return takes the newest hit back: the deed turned out not to be one to count, as a right password.
func Return(ctx context.Context, conn db.Conn, name, key string, rate Rate) error {
	_, err := conn.Exec(ctx, `
		update rate_limits set hits = hits - 1 where key = $1 and starts_at = date_bin($2, now(), 'epoch') and hits > 0`,
		hash(name, key), rate.Window)
	if err != nil {
		return fmt.Errorf("take back a count of %s: %w", name, err)
	}
	return nil
}

// Source is the key for counting what one address does. Of IPv6 it is the /64, which is what one customer of a network has:
// whole addresses would be as many identities as anybody liked.
func Source(ip string) string {
	addr, err := netip.ParseAddr(ip)
	if err != nil || addr.Unmap().Is4() {
		return ip
	}
	prefix, err := addr.WithZone("").Prefix(64)
	if err != nil {
		return ip
	}
	return prefix.String()
}

func limited(ends time.Time) error {
	return &app.Limited{After: max(time.Second, time.Until(ends).Round(time.Second))}
}

func hash(name, key string) string {
	sum := sha256.Sum256([]byte(key))
	return name + ":" + hex.EncodeToString(sum[:16])
}
