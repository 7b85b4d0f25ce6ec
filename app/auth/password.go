package auth

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"portico/app"

	"github.com/alexedwards/argon2id"
	"github.com/nbutton23/zxcvbn-go"
)

// Lengths of a password, in characters.  Source: OWASP ASVS 5.0, 6.2.1 and 6.2.9.
const (
	MinPassword = 8
	MaxPassword = 128
)

// minStrength is the least zxcvbn score (0 to 4) of a new password: 2 withstands online guessing.
const minStrength = 2

// Hasher makes and compares Argon2id hashes, so many at a time: each takes its memory cost, and an unbounded number of
// sign-ins would take all there is.
type Hasher struct {
	params *argon2id.Params
	slots  chan struct{}
	dummy  string
}

// hashWait is how long a sign-in waits for a free slot before it is answered as busy.
const hashWait = 10 * time.Second

// NewHasher hashes with params, at most atOnce at the same time.
func NewHasher(params *argon2id.Params, atOnce int) (*Hasher, error) {
	dummy, err := argon2id.CreateHash("a password that nobody has", params)
	if err != nil {
		return nil, fmt.Errorf("prepare password hashing: %w", err)
	}
	return &Hasher{params, make(chan struct{}, atOnce), dummy}, nil
}

// Params are the costs in use: 64 MiB and two passes, within OWASP's advice for Argon2id.
var Params = &argon2id.Params{Memory: 64 * 1024, Iterations: 2, Parallelism: 1, SaltLength: 16, KeyLength: 32}

func (h *Hasher) slot(ctx context.Context) (func(), error) {
	ctx, cancel := context.WithTimeout(ctx, hashWait)
	defer cancel()
	select {
	case h.slots <- struct{}{}:
		return func() { <-h.slots }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for a password hashing slot: %w", app.ErrBusy)
	}
}

// Hash makes the hash to store. Returns app.ErrBusy when too many are being made.
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	free, err := h.slot(ctx)
	if err != nil {
		return "", err
	}
	defer free()
	hash, err := argon2id.CreateHash(password, h.params)
	if err != nil {
		return "", fmt.Errorf("hash a password: %w", err)
	}
	return hash, nil
}

// Matches compares. An empty hash, of an unknown user, costs the same as a wrong password. Returns app.ErrBusy when too
// many are being compared.
func (h *Hasher) Matches(ctx context.Context, password, hash string) (bool, error) {
	free, err := h.slot(ctx)
	if err != nil {
		return false, err
	}
	defer free()
	known := hash != ""
	if !known {
		hash = h.dummy
	}
	ok, err := argon2id.ComparePasswordAndHash(password, hash)
	if err != nil {
		return false, fmt.Errorf("compare a password: %w", err)
	}
	return ok && known, nil
}

// guessedBytes is how much of a new password its strength is judged by: zxcvbn's time grows steeply with the length.
const guessedBytes = 32

// CheckNew adds to invalid what is wrong with a password that somebody chooses. about are words it must not consist of: the
// person's name and address. Judging takes a slot, as hashing does. Returns app.ErrBusy when too many are taken.
func (h *Hasher) CheckNew(ctx context.Context, invalid *app.Invalid, field, password string, about ...string) error {
	length := utf8.RuneCountInString(password)
	switch {
	case length < MinPassword:
		invalid.Add(field, "auth.password-short", "Min", MinPassword)
		return nil
	case length > MaxPassword:
		invalid.Add(field, "auth.password-long", "Max", MaxPassword)
		return nil
	}
	free, err := h.slot(ctx)
	if err != nil {
		return err
	}
	defer free()
	var words []string
	for _, a := range about {
		words = append(words, strings.FieldsFunc(strings.ToLower(a), func(r rune) bool { return strings.ContainsRune(" @.", r) })...)
	}
	if zxcvbn.PasswordStrength(password[:min(len(password), guessedBytes)], words).Score < minStrength {
		invalid.Add(field, "auth.password-weak")
	}
	return nil
}
