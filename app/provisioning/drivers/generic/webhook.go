package generic

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Tolerance is how far a message's time may be from ours.
const Tolerance = 5 * time.Minute

// The headers of a signed message, and the lengths of a key in bytes.
// Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
const (
	headerID        = "Webhook-Id"
	headerTime      = "Webhook-Timestamp"
	headerSignature = "Webhook-Signature"
	keyPrefix       = "whsec_"
	minKey, maxKey  = 24, 64
	maxID           = 255
	maxSignatures   = 10
)

// ErrKey: a signing key that is none.
var ErrKey = errors.New("a signing key is 24 to 64 random bytes in base64, with or without whsec_ in front")

// ErrSignature: a message that nobody with the key has signed lately. One answer for all that can be wrong with it.
var ErrSignature = errors.New("no valid signature")

// ParseKey reads a signing key, or returns ErrKey.
func ParseKey(text string) ([]byte, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(strings.TrimSpace(text), keyPrefix))
	if err != nil || len(key) < minKey || len(key) > maxKey {
		return nil, ErrKey
	}
	return key, nil
}

// Sign sets the headers of a message: its id, the time, and a signature by each key.
func Sign(header http.Header, id string, at time.Time, body []byte, keys ...[]byte) {
	timestamp := strconv.FormatInt(at.Unix(), 10)
	signatures := make([]string, len(keys))
	for i, key := range keys {
		signatures[i] = "v1," + base64.StdEncoding.EncodeToString(signature(id, timestamp, body, key))
	}
	header.Set(headerID, id)
	header.Set(headerTime, timestamp)
	header.Set(headerSignature, strings.Join(signatures, " "))
}

func signature(id, timestamp string, body, key []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + timestamp + "."))
	mac.Write(body)
	return mac.Sum(nil)
}

// Verify checks the headers of a message that get returns by name, and returns the message's id, or ErrSignature. Any of its
// signatures by any of the keys will do. Whether the id was seen before is for the caller to know.
func Verify(get func(name string) string, body []byte, now time.Time, keys ...[]byte) (id string, err error) {
	id, timestamp := get(headerID), get(headerTime)
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil || id == "" || len(id) > maxID || strings.Contains(id, ".") {
		return "", ErrSignature
	}
	if age := now.Sub(time.Unix(seconds, 0)); age > Tolerance || age < -Tolerance {
		return "", ErrSignature
	}
	given := strings.Fields(get(headerSignature))
	if len(given) > maxSignatures {
		return "", ErrSignature
	}
	valid := false
	for _, key := range keys {
		want := signature(id, timestamp, body, key)
		for _, text := range given {
			encoded, ok := strings.CutPrefix(text, "v1,")
			if !ok {
				continue // of a version that is not ours
			}
			if got, err := base64.StdEncoding.DecodeString(encoded); err == nil && hmac.Equal(got, want) {
				valid = true
			}
		}
	}
	if !valid {
		return "", ErrSignature
	}
	return id, nil
}
