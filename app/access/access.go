// Package access asks the policy for a viewer and answers in the portal's errors, so that every service refuses in the
// same words. For one record, its domain asks policies with the relations that the record's query found.
package access

import (
	"portico/app"
	"portico/policies"
)

// adminArea are the objects of the admin area. To account holders they don't exist.
var adminArea = map[string]bool{
	"admin": true, "support": true, "replies": true, "emails": true, "jobs": true, "settings": true, "departments": true, "team": true, "permissions": true, "activity": true,
	"clients": true, "accounts": true, "catalogue": true, "invoices": true, "client_contracts": true,
	"contract": true, "manage": true, "configurations": true, "logs": true,
}

// holdersArea are objects that to people of the store don't exist.
var holdersArea = map[string]bool{"invitations": true}

// Check tells whether v may do something with things that belong to nobody in particular. Returns app.ErrSignedOut to a
// visitor, app.ErrNotFound to who asks for what is not for their kind of people at all, else app.ErrForbidden.
func Check(v app.Viewer, object, action string) error {
	switch {
	case policies.Allows(v.Relations(), object, action):
		return nil
	case !v.SignedIn():
		return app.ErrSignedOut
	case adminArea[object] && !v.OfStore(), holdersArea[object] && v.OfStore():
		return app.ErrNotFound
	default:
		return app.ErrForbidden
	}
}
