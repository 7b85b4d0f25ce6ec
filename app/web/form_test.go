package web

import (
	"errors"
	"io"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"portico/app"

	"github.com/gofiber/fiber/v2"
)

type sampleForm struct {
	Name  string   `form:"name"`
	Agree bool     `form:"agree"`
	Tags  []string `form:"tags"`
	Inner string   // no tag: never filled
}

// bindBody posts a body to a handler that binds it, and returns what it got.
func bindBody(t testing.TB, contentType, body string) (form sampleForm, bindErr error) {
	t.Helper()
	server := fiber.New(fiber.Config{Immutable: true, DisableStartupMessage: true})
	server.Post("/", func(c *fiber.Ctx) error {
		bindErr = Bind(c, &form)
		return nil
	})
	request := httptest.NewRequest("POST", "/", strings.NewReader(body))
	request.Header.Set("Content-Type", contentType)
	response, err := server.Test(request, -1)
	if err != nil {
		return form, err // the server itself refused: no handler ran
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		t.Fatal(err)
	}
	return form, bindErr
}

const urlEncoded = "application/x-www-form-urlencoded"

func TestBind_FillsTaggedFields(t *testing.T) {
	t.Parallel()
	body := url.Values{"name": {"Bea\r\nLindqvist"}, "agree": {"on"}, "tags": {"a", "b"}, "_csrf": {"token"}}.Encode()
	form, err := bindBody(t, urlEncoded, body)
	if err != nil {
		t.Fatal(err)
	}
	if form.Name != "Bea\nLindqvist" || !form.Agree || strings.Join(form.Tags, " ") != "a b" {
		t.Errorf("got %+v", form)
	}
}

func TestBind_Refuses(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"an unknown key":        "name=x&role=admin",
		"an untagged field":     "Inner=x",
		"two of a single field": "name=x&name=y",
		"a NUL byte":            "name=a%00b",
		"invalid UTF-8":         "name=%ff%fe",
		"an outsized value":     "name=" + strings.Repeat("x", maxValue+1),
		"more keys than a form has": func() string {
			var b strings.Builder
			for i := range maxKeys + 50 {
				b.WriteString("k" + strings.Repeat("x", i) + "=1&")
			}
			return b.String()
		}(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := bindBody(t, urlEncoded, body)
			var invalid *app.Invalid
			if !errors.As(err, &invalid) {
				t.Errorf("got %v, want *app.Invalid", err)
			}
		})
	}
}

func FuzzBind(f *testing.F) {
	f.Add(false, "name=x&tags=a&tags=b")
	f.Add(false, "name[0][a]=1&name.b=2&%=&&==")
	f.Add(true, "--x\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\nhello\r\n--x--\r\n")
	f.Add(true, "--x\r\nContent-Disposition: form-data")
	f.Fuzz(func(t *testing.T, multipart bool, body string) {
		contentType := urlEncoded
		if multipart {
			contentType = "multipart/form-data; boundary=x"
		}
		form, err := bindBody(t, contentType, body)
		if err == nil && (strings.ContainsRune(form.Name, 0) || !utf8.ValidString(form.Name)) {
			t.Errorf("text that can't be stored came through: %q", form.Name)
		}
	})
}

func TestLocalPath(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/profile": "/profile", "/admin?x=1#y": "/admin?x=1#y", "/": "/",
		"": "/", "//evil.example": "/", "/\\evil.example": "/", "https://evil.example": "/", "evil": "/", "/a\r\nSet-Cookie: x": "/",
		"/\t/evil.example": "/", "/a\\b": "/",
	} {
		if got := LocalPath(path); got != want {
			t.Errorf("LocalPath(%q) = %q, want %q", path, got, want)
		}
	}
}

func TestID_TakesOnlyCanonicalUUIDs(t *testing.T) {
	t.Parallel()
	server := fiber.New(fiber.Config{DisableStartupMessage: true})
	var got error
	server.Get("/:id", func(c *fiber.Ctx) error {
		_, got = ID(c, "id")
		return nil
	})
	for id, ok := range map[string]bool{
		"0b6bb4a4-3c0a-4a6e-9c57-0f6f0b7b8c11":          true,
		"0B6BB4A4-3C0A-4A6E-9C57-0F6F0B7B8C11":          false,
		"0b6bb4a43c0a4a6e9c570f6f0b7b8c11":              false,
		"%7B0b6bb4a4-3c0a-4a6e-9c57-0f6f0b7b8c11%7D":    false,
		"urn:uuid:0b6bb4a4-3c0a-4a6e-9c57-0f6f0b7b8c11": false,
		"1":   false,
		"'":   false,
		"%00": false,
	} {
		response, err := server.Test(httptest.NewRequest("GET", "/"+id, nil), -1)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if (got == nil) != ok || got != nil && !errors.Is(got, app.ErrNotFound) {
			t.Errorf("ID(%q): %v", id, got)
		}
	}
}
