package provisioning

import (
	"slices"

	"portico/app"
)

// deeds are the classes as policies/policy.csv spells them, for the object "contract".
var deeds = map[Class]string{
	ClassRead: "run_read", ClassLogin: "run_login", ClassChange: "run_change", ClassKeys: "run_keys", ClassDestroy: "run_destroy", ClassLifecycle: "run_lifecycle",
}

// deed is what the policy calls running a function of the product. One without a class is the admins' alone, like what changes a
// product's life.
func (p Product) deed(f Function) string {
	if p.Relation == Delegate && f.Delegable {
		return "run_switched"
	}
	if deed, ok := deeds[f.Class]; ok {
		return deed
	}
	return "run_lifecycle"
}

// dangerous tells what needs a fresh proof, and what the owner is told of.
func (f Function) dangerous() bool {
	return f.Class == ClassKeys || f.Class == ClassDestroy || f.Name == "terminate"
}

// identifier is what people know the product by, "" if its fields don't say.
func (p Product) identifier() string {
	category, _ := CategoryOf(p.Category)
	text, _ := p.Fields[category.Identifier].(string)
	return text
}

// offers tells whether a function is there at all for somebody with the viewer's relation.
func (p Product) offers(f Function) bool {
	if p.Relation == System {
		return f.System
	}
	if f.Optional && !slices.Contains(p.Optional, f.Name) && !p.OfStore() {
		return false
	}
	switch p.Relation {
	case Admin:
		return true
	case Staff:
		return f.Audience >= AudienceStaff
	case Owner, User:
		return f.Audience >= AudienceOwners
	case Delegate:
		return f.Audience >= AudienceDelegates && !f.Delegable || f.Delegable && slices.Contains(p.ForDelegates, f.Name)
	}
	return false
}

// taken tells whether the viewer is a delegate whose actions the owner switched off.
func (p Product) taken() bool { return p.Relation == Delegate && !p.Allows("run_read") }

// mayRun asks the policy whether the viewer may run a function of the product, whatever state that is in.
func (p Product) mayRun(f Function) error {
	if p.Relation == System {
		if !f.System {
			return app.ErrForbidden
		}
		return nil
	}
	if !p.offers(f) || !p.Allows(p.deed(f)) {
		return app.ErrForbidden
	}
	return nil
}

// possible tells whether a function makes sense in the product's present state.
func (p Product) possible(f Function) bool {
	status := p.Status
	if p.ContractStatus != "" && (status == "active" || status == "suspended") && p.ContractStatus != "active" {
		status = p.ContractStatus
	}
	ended := status == "cancelled" || status == "ended"
	if p.OfStore() || p.Relation == System {
		switch {
		case f.Name == "terminate":
			return true
		case f.Name == "create" || f.Name == "register":
			return !ended
		case ended:
			return f.Class == ClassRead
		case p.Status == "pending":
			return f.Class == ClassRead || f.Class == ClassLifecycle
		}
		return true
	}
	return status == "active" || status == "suspended" && f.Class == ClassRead
}
