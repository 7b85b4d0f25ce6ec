package main

import (
	"fmt"
	"testing"

	"portico/app/store"
)

// TestLogo_TooLargeIsSaidBeforeSending: the server would cut off a body beyond its limit without an answer.
func TestLogo_TooLargeIsSaidBeforeSending(t *testing.T) {
	t.Parallel()
	s := start(t, options{idle: true})
	b := s.browse(t, screen{})
	b.be(s.signIn("ada@northwind.example"))
	b.open("/admin/settings")
	for size, valid := range map[int]bool{store.MaxLogoBytes + 1: false, store.MaxLogoBytes: true} {
		message := eval[string](b, fmt.Sprintf(`(() => {
			const field = document.getElementById("logo"), files = new DataTransfer()
			files.items.add(new File([new Uint8Array(%d)], "logo.png", {type: "image/png"}))
			field.files = files.files
			field.dispatchEvent(new Event("change", {bubbles: true}))
			return field.validationMessage
		})()`, size))
		want := "The picture is larger than 512 KB."
		if valid {
			want = ""
		}
		if message != want {
			t.Errorf("%d bytes: the browser says %q, want %q", size, message, want)
		}
	}
}
