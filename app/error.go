package app

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// The ways a request is refused. app/web/errors.go turns each into one status and one page.
var (
	// ErrNotFound: there is no such thing, or none that this viewer may know of. One answer for both.
	ErrNotFound = errors.New("not found")
	// ErrLink is ErrNotFound for a one-time link: spent, expired, replaced or never made. One answer for all four.
	ErrLink = fmt.Errorf("link: %w", ErrNotFound)
	// ErrForbidden: the viewer may know of the thing, but not do this with it.
	ErrForbidden = errors.New("not allowed")
	// ErrSignedOut: sign in first.
	ErrSignedOut = errors.New("signed out")
	// ErrConflict: the thing is in a state in which this can't be done (any more).
	ErrConflict = errors.New("conflict")
	// ErrBusy: the server is short of something (a hashing slot, the database); the same request may work soon.
	ErrBusy = errors.New("busy")
	// ErrProof: the password or second factor must be given again before this.
	ErrProof = errors.New("proof of identity needed")
)

// Text is a sentence of the message catalogue: its key in views/messages and the values it names.
type Text struct {
	Key  string
	Args map[string]any
}

// Invalid says which fields of a form are wrong, in the order in which they stand on the form. It is answered with 422
// and the form again, with everything that was typed.
type Invalid struct {
	Fields []FieldError
}

// FieldError is one field's name and what is wrong with it. Field "" is about the form as a whole.
type FieldError struct {
	Field string
	Text  Text
}

// Add notes an error. args are pairs of a name and a value for the message.
func (e *Invalid) Add(field, key string, args ...any) {
	text := Text{Key: key}
	for i := 0; i+1 < len(args); i += 2 {
		if text.Args == nil {
			text.Args = map[string]any{}
		}
		text.Args[fmt.Sprint(args[i])] = args[i+1]
	}
	e.Fields = append(e.Fields, FieldError{field, text})
}

// Err returns e as an error, or nil if nothing was added.
func (e *Invalid) Err() error {
	if len(e.Fields) == 0 {
		return nil
	}
	return e
}

func (e *Invalid) Error() string {
	names := make([]string, len(e.Fields))
	for i, f := range e.Fields {
		names[i] = f.Field + " (" + f.Text.Key + ")"
	}
	return "invalid: " + strings.Join(names, ", ")
}

// Invalidf is an Invalid of one field, for services that check one thing at a time.
func Invalidf(field, key string, args ...any) error {
	var e Invalid
	e.Add(field, key, args...)
	return &e
}

// Limited says that something was done too often.
type Limited struct {
	After time.Duration // when to try again
}

func (e *Limited) Error() string { return "too many requests, again in " + e.After.String() }
