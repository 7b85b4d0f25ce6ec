package audit

import "reflect"

// Changes are details that say of each changed field what it held before and after.
type Changes map[string]any

// Change is one field of Changes.
type Change struct {
	Before any `json:"before"`
	After  any `json:"after"`
}

// Add notes a field if it changed, and tells whether it did.
func (c Changes) Add(field string, before, after any) bool {
	if reflect.DeepEqual(before, after) {
		return false
	}
	c[field] = Change{before, after}
	return true
}
