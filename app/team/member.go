// Package team is the people of the store: staff and admins, how they come, what they may do, how they go. It also answers
// who may what and why. Start reading at service.go; permissions.go explains the policy.
package team

import (
	"slices"
	"time"

	"portico/app"
	"portico/policies"
)

// Member is one person of the store.
type Member struct {
	ID              string
	Name            string
	Email           string
	Role            app.Role // staff or admin
	Permissions     []string // see policies.Permissions; an admin has none of them and needs none
	Departments     []string // ids
	DepartmentNames []string // in the same order
	Joined          bool     // has chosen how to sign in, so the invitation is over
	InvitedUntil    *time.Time
	DisabledAt      *time.Time
	SeenAt          *time.Time // last request of a session that is still open
	Authenticator   bool       // an authenticator app is set up
	Passkeys        int
	CreatedAt       time.Time
}

// Status is the member's state at now: "active", "invited", "expired" (the invitation is) or "disabled".
func (m Member) Status(now time.Time) string {
	switch {
	case m.DisabledAt != nil:
		return "disabled"
	case m.Joined:
		return "active"
	case m.InvitedUntil != nil && m.InvitedUntil.After(now):
		return "invited"
	default:
		return "expired"
	}
}

// Has tells whether the member was given a permission.
func (m Member) Has(permission policies.Permission) bool {
	return slices.Contains(m.Permissions, string(permission))
}

// Place is what somebody is in the team, as an admin decides it.
type Place struct {
	Name        string
	Role        app.Role
	Permissions []string // kept for staff only
	Departments []string // ids
}

// Group is a heading and the permissions below it.
type Group struct {
	Name        string // message key "permission.group-NAME"
	Permissions []policies.Permission
}

// groups puts every permission under what it is about, which is how its name begins.
var groups = []struct{ name, prefix string }{
	{"tickets", "tickets."},
	{"contracts", "contracts."},
	{"accounts", "accounts."},
	{"accounts", "clients."},
	{"billing", "billing."},
	{"provisioning", "provisioning."},
}

// Groups lists all permissions by group, for the form.
func Groups() []Group {
	var all []Group
	for _, g := range groups {
		at := slices.IndexFunc(all, func(group Group) bool { return group.Name == g.name })
		if at < 0 {
			all = append(all, Group{Name: g.name})
			at = len(all) - 1
		}
		for _, permission := range policies.Permissions {
			if len(permission) > len(g.prefix) && string(permission[:len(g.prefix)]) == g.prefix {
				all[at].Permissions = append(all[at].Permissions, permission)
			}
		}
	}
	return all
}
