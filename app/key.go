package app

import (
	"encoding/base64"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Key is where a page of a list begins: after the row with this time and id. The zero Key is the first page.
type Key struct {
	At time.Time
	ID string
}

// String writes the key for an address; "" is the first page.
func (k Key) String() string {
	if k.ID == "" {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString([]byte(k.At.UTC().Format(time.RFC3339Nano) + " " + k.ID))
}

// ParseKey reads what String wrote. Returns ErrNotFound for anything else.
func ParseKey(text string) (Key, error) {
	if text == "" {
		return Key{}, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return Key{}, ErrNotFound
	}
	at, id, _ := strings.Cut(string(raw), " ")
	moment, err := time.Parse(time.RFC3339Nano, at)
	if err != nil || !IsID(id) {
		return Key{}, ErrNotFound
	}
	return Key{At: moment, ID: id}, nil
}

// IsID tells whether text is an id as the portal writes them: a canonical UUID.
func IsID(text string) bool {
	id, err := uuid.Parse(text)
	return err == nil && id.String() == text
}
