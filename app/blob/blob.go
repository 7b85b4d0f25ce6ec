// Package blob keeps files that people hand in, outside the database: in a folder (folder.go) or in an S3 bucket (s3.go).
// Files are streamed, never held whole in memory. What a file is called, whose it is and what is in it stands in our own
// rows; here it is only bytes under a random key.
package blob

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"strings"

	"portico/app/keys"
)

// ErrNotFound means that there is no file under that key.
var ErrNotFound = errors.New("no such blob")

// Store keeps files by key. Keys are made by NewKey; any other is refused. All methods may be called side by side.
type Store interface {
	// Put keeps what r gives under the key, and returns how many bytes that were. It is all or nothing: after an error, r's
	// or the store's, there is nothing under the key. When it returns without one, the file survives a crash.
	Put(ctx context.Context, key string, r io.Reader) (size int64, err error)
	// Open returns the file and its size in bytes; ErrNotFound if there is none. ctx must last until the file is closed.
	Open(ctx context.Context, key string) (io.ReadCloser, int64, error)
	// Delete removes the file. One that is not there (any more) is no error.
	Delete(ctx context.Context, key string) error
	// Stat returns the file's size in bytes; ErrNotFound if there is none.
	Stat(ctx context.Context, key string) (int64, error)
}

// NewKey returns a new random key: 256 bits in hex.
func NewKey() string { return hex.EncodeToString(keys.Random(32)) }

var keyForm = regexp.MustCompile(`^[0-9a-f]{64}$`)

func checkKey(key string) error {
	if !keyForm.MatchString(key) {
		return fmt.Errorf("blob key %q: not one of ours", key)
	}
	return nil
}

// Forms says what Open takes, for messages about configuration.
const Forms = "file:///a/folder, or s3://key:secret@bucket?endpoint=https://…&region=…"

// Open returns the store at an address:
//
//	file:///a/folder
//	s3://bucket?region=eu-central-1                      Amazon; credentials from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY
//	s3://key:secret@bucket/prefix?endpoint=http://host:9000   any S3 server
//
// A folder is made if it is missing. A bucket is not looked for: Check does that. Errors never hold the address, which may
// hold a secret.
func Open(address string) (Store, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, errors.New("not an address")
	}
	switch u.Scheme {
	case "file":
		if u.Host != "" || u.Path == "" || u.RawQuery != "" || u.User != nil {
			return nil, errors.New("a folder's address has three slashes and an absolute path")
		}
		return openFolder(u.Path)
	case "s3":
		return openBucket(u)
	}
	return nil, errors.New("neither file:// nor s3://")
}

// Check writes, reads and deletes a small file, and returns what went wrong.
func Check(ctx context.Context, store Store) error {
	const text = "portico doctor was here"
	key := NewKey()
	if _, err := store.Put(ctx, key, strings.NewReader(text)); err != nil {
		return err
	}
	file, _, err := store.Open(ctx, key)
	if err != nil {
		return err
	}
	defer file.Close()
	read, err := io.ReadAll(io.LimitReader(file, int64(len(text))+1))
	if err != nil {
		return fmt.Errorf("read a file: %w", err)
	}
	if string(read) != text {
		return errors.New("a file came back changed")
	}
	return store.Delete(ctx, key)
}
