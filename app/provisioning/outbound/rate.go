package outbound

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// bucket allows so many requests a second, and as many at once after a pause.
type bucket struct {
	mutex  sync.Mutex
	rate   float64
	tokens float64
	at     time.Time
}

// take takes one token and says how long to wait before using it. If that is longer than patience, nothing is taken.
func (b *bucket) take(now time.Time, perSecond int, patience time.Duration) (time.Duration, bool) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	if rate := float64(perSecond); b.rate != rate {
		b.rate, b.tokens, b.at = rate, rate, now
	}
	b.tokens = min(b.rate, b.tokens+now.Sub(b.at).Seconds()*b.rate)
	b.at = now
	wait := time.Duration(max(0, 1-b.tokens) / b.rate * float64(time.Second))
	if wait > patience {
		return wait, false
	}
	b.tokens--
	return wait, true
}

// wait waits for the call's turn. Once the provider has seen something of this call it waits as long as it takes: to give up
// in the middle would cost more.
func (c *Call) wait(ctx context.Context) error {
	if c.options.PerSecond <= 0 {
		return nil
	}
	patience := shortWait
	if c.acted.Load() {
		patience = time.Hour
	}
	delay, ok := c.client.bucket(c.options.Configuration).take(time.Now(), c.options.PerSecond, patience)
	if !ok {
		return &Busy{After: delay + rand.N(delay+time.Second)}
	}
	if delay == 0 {
		return nil
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return &Error{what: "the call was given up while it waited for its turn", err: ctx.Err()}
	}
}

func (c *Client) bucket(configuration string) *bucket {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	b := c.rates[configuration]
	if b == nil {
		b = &bucket{}
		c.rates[configuration] = b
	}
	return b
}

// MaxRetryAfter is the longest that a provider's Retry-After is obeyed.
const MaxRetryAfter = 15 * time.Minute

// RetryAfter is when to try again as the answer's Retry-After says (RFC 9110, 10.2.3: seconds or a date), at most
// MaxRetryAfter; 0 if it says nothing of use.
func RetryAfter(response *http.Response, now time.Time) time.Duration {
	value := response.Header.Get("Retry-After")
	var after time.Duration
	if seconds, err := strconv.Atoi(value); err == nil {
		after = time.Duration(min(seconds, int(MaxRetryAfter/time.Second))) * time.Second
	} else if at, err := http.ParseTime(value); err == nil {
		after = at.Sub(now)
	}
	return max(0, min(after, MaxRetryAfter))
}
