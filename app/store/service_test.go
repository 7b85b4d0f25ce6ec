package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"portico/app"
	"portico/app/audit"
	"portico/app/db"
	"portico/app/db/dbtest"
	"portico/app/locale"
	"portico/views"

	"github.com/jackc/pgx/v5/pgxpool"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

var (
	ada = app.Viewer{UserID: "0a0a0a0a-0000-4000-8000-000000000001", Name: "Ada Moreau", Role: app.RoleAdmin}
	sam = app.Viewer{UserID: "0a0a0a0a-0000-4000-8000-000000000002", Name: "Sam Okafor", Role: app.RoleStaff}
	bea = app.Viewer{UserID: "0a0a0a0a-0000-4000-8000-000000000003", Name: "Bea Lindqvist", Confirmed: true}
)

func service(t *testing.T) (*Service, *pgxpool.Pool) {
	t.Helper()
	pool := dbtest.New(t)
	catalogue, err := locale.Load(views.Files)
	if err != nil {
		t.Fatal(err)
	}
	return NewService(pool, catalogue), pool
}

// filled is a form as the page shows it.
func filled(t *testing.T, s *Service) Form {
	t.Helper()
	settings, err := s.Settings(t.Context(), ada)
	if err != nil {
		t.Fatal(err)
	}
	return NewForm(settings)
}

func actions(t *testing.T, pool *pgxpool.Pool) []string {
	t.Helper()
	entries, _, err := audit.NewService(pool).Activity(t.Context(), ada, audit.Filter{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for _, entry := range slices.Backward(entries) {
		names = append(names, entry.Action)
	}
	return names
}

func wantActions(t *testing.T, pool *pgxpool.Pool, want ...string) {
	t.Helper()
	if got := actions(t, pool); !slices.Equal(got, want) && len(got)+len(want) > 0 {
		t.Errorf("audit has %v, want %v", got, want)
	}
}

// wantInvalid checks that err is *app.Invalid with exactly these messages, "field:key" each.
func wantInvalid(t *testing.T, err error, want ...string) {
	t.Helper()
	var invalid *app.Invalid
	if !errors.As(err, &invalid) {
		t.Fatalf("got %v, want an invalid form", err)
	}
	var got []string
	for _, f := range invalid.Fields {
		got = append(got, f.Field+":"+f.Text.Key)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestSave(t *testing.T) {
	t.Parallel()
	s, pool := service(t)
	form := filled(t, s)
	form.Name = "  Northwind\t Hosting "
	form.BrandColour = "#0A5FFF"
	form.SenderAddress = "hello@northwind.example"
	form.Signature = "Northwind Hosting\nKaiserstr. 1"
	form.TimeZone = "Europe/Berlin"
	form.Currency = "CHF"
	if err := s.Save(t.Context(), ada, &form); err != nil {
		t.Fatal(err)
	}
	got, err := Load(t.Context(), pool)
	if err != nil {
		t.Fatal(err)
	}
	want := Settings{
		Name: "Northwind Hosting", BrandColour: "#0a5fff", SenderAddress: "hello@northwind.example", Signature: "Northwind Hosting\nKaiserstr. 1",
		TimeZone: "Europe/Berlin", Currency: "CHF", Language: "en", Version: 2, UpdatedAt: got.UpdatedAt,
	}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	current, err := Current(t.Context(), pool)
	if err != nil || current.Name != "Northwind Hosting" || current.BrandCSS != "/store/brand/2" || current.Logo != "" || current.TimeZone != "Europe/Berlin" {
		t.Errorf("Current gives %+v, %v", current, err)
	}
	wantActions(t, pool, "store.edit")
	entries, _, err := audit.NewService(pool).Activity(t.Context(), ada, audit.Filter{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if details := string(entries[0].Details); !strings.Contains(details, `"currency": {"after": "CHF", "before": "EUR"}`) || strings.Contains(details, "language") {
		t.Errorf("audit details are %s", details)
	}
}

func TestSave_NothingChangedLeavesNoTrace(t *testing.T) {
	t.Parallel()
	s, pool := service(t)
	form := filled(t, s)
	if err := s.Save(t.Context(), ada, &form); err != nil {
		t.Fatal(err)
	}
	wantActions(t, pool)
	if after := filled(t, s); after.Version != form.Version {
		t.Errorf("version went from %s to %s", form.Version, after.Version)
	}
}

func TestSave_Invalid(t *testing.T) {
	t.Parallel()
	s, pool := service(t)
	for _, test := range []struct {
		name   string
		change func(f *Form)
		want   string
	}{
		{"no name", func(f *Form) { f.Name = " " }, "name:store.name-missing"},
		{"long name", func(f *Form) { f.Name = strings.Repeat("ü", MaxName+1) }, "name:store.too-long"},
		{"name with control character", func(f *Form) { f.Name = "North\x1bwind" }, "name:store.name-wrong"},
		{"colour by name", func(f *Form) { f.BrandColour = "red" }, "brand_colour:store.colour-wrong"},
		{"colour that ends the rule", func(f *Form) { f.BrandColour = "#00637b}" }, "brand_colour:store.colour-wrong"},
		{"sender with a name", func(f *Form) { f.SenderAddress = "Portal <p@a.example>" }, "sender_address:store.sender-wrong"},
		{"sender with a new line", func(f *Form) { f.SenderAddress = "p@a.example\nBcc: q@b.example" }, "sender_address:store.sender-wrong"},
		{"two senders", func(f *Form) { f.SenderAddress = "p@a.example,q@a.example" }, "sender_address:store.sender-wrong"},
		{"sender with quotes", func(f *Form) { f.SenderAddress = `"p q"@a.example` }, "sender_address:store.sender-wrong"},
		{"sender with a comment", func(f *Form) { f.SenderAddress = "p(x)@a.example" }, "sender_address:store.sender-wrong"},
		{"sender at an address literal", func(f *Form) { f.SenderAddress = "p@[127.0.0.1]" }, "sender_address:store.sender-wrong"},
		{"sender beyond ASCII", func(f *Form) { f.SenderAddress = "pö@a.example" }, "sender_address:store.sender-wrong"},
		{"long signature", func(f *Form) { f.Signature = strings.Repeat("x", MaxSignature+1) }, "signature:store.too-long"},
		{"unknown zone", func(f *Form) { f.TimeZone = "Europe/Atlantis" }, "time_zone:store.choose"},
		{"the machine's zone", func(f *Form) { f.TimeZone = "Local" }, "time_zone:store.choose"},
		{"a zone by path", func(f *Form) { f.TimeZone = "../../etc/passwd" }, "time_zone:store.choose"},
		{"unknown currency", func(f *Form) { f.Currency = "XYZ" }, "currency:store.choose"},
		{"gold", func(f *Form) { f.Currency = "XAU" }, "currency:store.choose"},
		{"unknown language", func(f *Form) { f.Language = "tlh" }, "language:store.choose"},
		{"no version", func(f *Form) { f.Version = "" }, ":form.unreadable"},
	} {
		form := filled(t, s)
		test.change(&form)
		t.Log(test.name)
		wantInvalid(t, s.Save(t.Context(), ada, &form), test.want)
	}
	wantActions(t, pool)
}

func TestSave_SomebodyElseWasQuicker(t *testing.T) {
	t.Parallel()
	s, pool := service(t)
	first, second := filled(t, s), filled(t, s)
	first.Name = "First"
	if err := s.Save(t.Context(), ada, &first); err != nil {
		t.Fatal(err)
	}
	second.Currency = "USD"
	err := s.Save(t.Context(), ada, &second)
	wantInvalid(t, err, ":store.changed-meanwhile", "name:store.now-is", "currency:store.now-is")
	var invalid *app.Invalid
	errors.As(err, &invalid)
	if now := invalid.Fields[1].Text.Args["Value"]; now != "First" {
		t.Errorf("the form says that the name is %v", now)
	}
	if stored, _ := Load(t.Context(), pool); stored.Name != "First" || stored.Currency != "EUR" {
		t.Errorf("a stale form was stored: %+v", stored)
	}
	if err := s.Save(t.Context(), ada, &second); err != nil { // knowing what it replaces
		t.Fatal(err)
	}
	if stored, _ := Load(t.Context(), pool); stored.Name != "Portico" || stored.Currency != "USD" {
		t.Errorf("saving again stored %+v", stored)
	}
}

func TestSave_AtOnce(t *testing.T) {
	t.Parallel()
	s, pool := service(t)
	const people = 8
	var wait sync.WaitGroup
	errs := make([]error, people)
	form := filled(t, s) // what all of them saw
	for i := range people {
		form := form
		form.Name = fmt.Sprint("Store ", i)
		wait.Go(func() { errs[i] = s.Save(context.Background(), ada, &form) })
	}
	wait.Wait()
	saved := 0
	for _, err := range errs {
		if err == nil {
			saved++
		} else {
			wantInvalid(t, err, ":store.changed-meanwhile", "name:store.now-is")
		}
	}
	if saved != 1 {
		t.Errorf("%d of %d forms were saved, want 1", saved, people)
	}
	wantActions(t, pool, "store.edit")
}

func TestSettings_WhoMay(t *testing.T) {
	t.Parallel()
	s, pool := service(t)
	picture := encoded(t, "png", 10, 10)
	for _, test := range []struct {
		who  string
		v    app.Viewer
		want error
	}{{"visitor", app.Viewer{}, app.ErrSignedOut}, {"account holder", bea, app.ErrNotFound}, {"staff", sam, app.ErrForbidden}, {"admin", ada, nil}} {
		form := filled(t, s)
		form.Name = "Changed by " + test.who
		missing := "0a0a0a0a-0000-4000-8000-00000000000f"
		for name, err := range map[string]error{
			"Settings":    second(s.Settings(t.Context(), test.v)),
			"Save":        s.Save(t.Context(), test.v, &form),
			"SaveLogo":    s.SaveLogo(t.Context(), test.v, bytes.NewReader(picture)),
			"RemoveLogo":  s.RemoveLogo(t.Context(), test.v),
			"Departments": second(s.Departments(t.Context(), test.v)),
			"Create":      second(s.CreateDepartment(t.Context(), test.v, "By "+test.who)),
		} {
			if !errors.Is(err, test.want) {
				t.Errorf("%s: %s gives %v, want %v", test.who, name, err, test.want)
			}
		}
		if test.want == nil {
			test.want = app.ErrNotFound // of a department that does not exist
		}
		for name, err := range map[string]error{
			"Department": second(s.Department(t.Context(), test.v, missing)),
			"Rename":     s.RenameDepartment(t.Context(), test.v, missing, "x"),
			"Archive":    s.ArchiveDepartment(t.Context(), test.v, missing),
			"Restore":    s.RestoreDepartment(t.Context(), test.v, missing),
			"Move":       s.MoveDepartment(t.Context(), test.v, missing, true),
		} {
			if !errors.Is(err, test.want) {
				t.Errorf("%s: %s gives %v, want %v", test.who, name, err, test.want)
			}
		}
		if test.v.Role != app.RoleAdmin {
			wantActions(t, pool)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func picture(width, height int) image.Image {
	p := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			p.Set(x, y, color.RGBA{uint8(x), uint8(y), 90, 255})
		}
	}
	return p
}

func encoded(t *testing.T, kind string, width, height int) []byte {
	t.Helper()
	var out bytes.Buffer
	var err error
	if kind == "png" {
		err = png.Encode(&out, picture(width, height))
	} else {
		err = jpeg.Encode(&out, picture(width, height), nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// webpFile is a lossless WebP of one pixel.
var webpFile = []byte("RIFF\x1a\x00\x00\x00WEBPVP8L\x0d\x00\x00\x00\x2f\x00\x00\x00\x10\x07\x10\x11\x11\x88\x88\xfe\x07\x00")

func TestSaveLogo(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name          string
		file          []byte
		width, height int // of what is kept
	}{
		{"png", encoded(t, "png", 64, 32), 64, 32},
		{"jpeg", encoded(t, "jpeg", 64, 32), 64, 32},
		{"webp", webpFile, 1, 1},
		{"wide", encoded(t, "png", 2000, 10), 512, 2},
		{"high", encoded(t, "jpeg", 500, 2000), 128, 512},
		{"a line", encoded(t, "png", 2000, 1), 512, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s, pool := service(t)
			file := append(slices.Clone(test.file), "<script>alert(1)</script>"...)
			if test.name == "webp" {
				file = test.file
			}
			if err := s.SaveLogo(t.Context(), ada, bytes.NewReader(file)); err != nil {
				t.Fatal(err)
			}
			current, err := Current(t.Context(), pool)
			if err != nil {
				t.Fatal(err)
			}
			version, found := strings.CutPrefix(current.Logo, "/store/logo/")
			if !found {
				t.Fatalf("the logo is at %q", current.Logo)
			}
			logo, isCurrent, err := s.Logo(t.Context(), version)
			if err != nil || !isCurrent || logo.Type != "image/png" {
				t.Fatalf("got %s, current %v, %v", logo.Type, isCurrent, err)
			}
			kept, err := png.Decode(bytes.NewReader(logo.Content))
			if err != nil {
				t.Fatal(err)
			}
			if size := kept.Bounds().Size(); size != image.Pt(test.width, test.height) {
				t.Errorf("kept %v, want %d × %d", size, test.width, test.height)
			}
			if bytes.Contains(logo.Content, []byte("script")) {
				t.Error("what was appended to the picture was kept")
			}
			wantActions(t, pool, "store.logo-change")
		})
	}
}

func TestSaveLogo_Invalid(t *testing.T) {
	t.Parallel()
	s, pool := service(t)
	large := encoded(t, "png", 10, 10)
	large = append(large, make([]byte, MaxLogoBytes)...)
	broken := encoded(t, "png", 10, 10)
	broken = broken[:len(broken)-20]
	for _, test := range []struct {
		name string
		file []byte
		want string
	}{
		{"empty", nil, "logo:store.logo-missing"},
		{"too large", large, "logo:store.logo-too-large"},
		{"too wide", encoded(t, "png", MaxLogoSide+1, 1), "logo:store.logo-too-wide"},
		{"too high", encoded(t, "jpeg", 1, MaxLogoSide+1), "logo:store.logo-too-wide"},
		{"broken", broken, "logo:store.logo-broken"},
		{"svg", []byte(`<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>`), "logo:store.logo-type"},
		{"html", []byte("<!doctype html><script>alert(1)</script>"), "logo:store.logo-type"},
		{"gif", []byte("GIF89a\x01\x00\x01\x00\x00\x00\x00;"), "logo:store.logo-type"},
	} {
		t.Log(test.name)
		wantInvalid(t, s.SaveLogo(t.Context(), ada, bytes.NewReader(test.file)), test.want)
	}
	wantActions(t, pool)
}

// Not parallel: it holds the one place that all logos share.
func TestSaveLogo_OneAtATime(t *testing.T) {
	s, pool := service(t)
	decoding <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	broken := encoded(t, "png", 10, 10)
	broken = broken[:len(broken)-20]
	answer := make(chan error, 1)
	go func() { answer <- s.SaveLogo(ctx, ada, bytes.NewReader(broken)) }()
	wantInvalid(t, s.SaveLogo(t.Context(), ada, strings.NewReader("GIF89a")), "logo:store.logo-type") // is not read at all
	cancel()
	if err := <-answer; !errors.Is(err, context.Canceled) {
		t.Errorf("while another logo is read, a broken one gives %v", err)
	}
	<-decoding
	wantInvalid(t, s.SaveLogo(t.Context(), ada, bytes.NewReader(broken)), "logo:store.logo-broken")
	wantActions(t, pool)
}

func TestRemoveLogo(t *testing.T) {
	t.Parallel()
	s, pool := service(t)
	if err := s.RemoveLogo(t.Context(), ada); err != nil {
		t.Fatal(err)
	}
	wantActions(t, pool)
	if err := s.SaveLogo(t.Context(), ada, bytes.NewReader(encoded(t, "png", 4, 4))); err != nil {
		t.Fatal(err)
	}
	before, _ := Current(t.Context(), pool)
	if err := s.SaveLogo(t.Context(), ada, bytes.NewReader(encoded(t, "png", 5, 5))); err != nil {
		t.Fatal(err)
	}
	if after, _ := Current(t.Context(), pool); after.Logo == before.Logo {
		t.Errorf("another logo has the same address %s", after.Logo)
	}
	if _, current, err := s.Logo(t.Context(), strings.TrimPrefix(before.Logo, "/store/logo/")); err != nil || current {
		t.Errorf("under the old address: current %v, %v", current, err)
	}
	if err := s.RemoveLogo(t.Context(), ada); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Logo(t.Context(), "1"); !errors.Is(err, app.ErrNotFound) {
		t.Errorf("a removed logo gives %v", err)
	}
	if current, _ := Current(t.Context(), pool); current.Logo != "" {
		t.Errorf("a removed logo is still at %s", current.Logo)
	}
	wantActions(t, pool, "store.logo-change", "store.logo-change", "store.logo-remove")
}

func TestBrand(t *testing.T) {
	t.Parallel()
	s, _ := service(t)
	css, current, err := s.Brand(t.Context(), "1")
	if err != nil || !current || css != ":root{--brand:#00637b}\n" {
		t.Errorf("got %q, current %v, %v", css, current, err)
	}
	if _, current, err := s.Brand(t.Context(), "2"); err != nil || current {
		t.Errorf("another version: current %v, %v", current, err)
	}
}

func TestZones(t *testing.T) {
	t.Parallel()
	all := Zones()
	if !slices.IsSorted(all) || len(all) < 400 {
		t.Fatalf("%d zones, sorted %v", len(all), slices.IsSorted(all))
	}
	for _, zone := range all {
		if _, err := time.LoadLocation(zone); err != nil {
			t.Error(err)
		}
	}
	for _, zone := range []string{"UTC", "Europe/Berlin", "Europe/Amsterdam", "America/New_York", "Asia/Kolkata"} {
		if !IsZone(zone) {
			t.Errorf("%s can't be chosen", zone)
		}
	}
}

func TestCurrencies(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"EUR", "USD", "CHF", "JPY"} {
		if !IsCurrency(code) {
			t.Errorf("%s can't be chosen", code)
		}
	}
	if codes := Currencies(); !slices.IsSorted(codes) || len(codes) < 100 {
		t.Errorf("currencies are %v", codes)
	}
}

func TestCurrent_WithoutStoreIsAnError(t *testing.T) {
	t.Parallel()
	_, pool := service(t)
	if _, err := pool.Exec(t.Context(), "delete from store"); err != nil {
		t.Fatal(err)
	}
	if _, err := Current(t.Context(), db.Conn(pool)); err == nil {
		t.Error("a database without a store gives no error")
	}
}
