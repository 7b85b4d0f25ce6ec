package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"portico/app/dev"

	"github.com/chromedp/cdproto/webauthn"
	"github.com/pquerna/otp/totp"
)

const (
	bea   = "bea@bluebird.example"
	ada   = "ada@northwind.example"
	sam   = "sam@northwind.example"
	other = "correct horse battery staple" // a password nobody has yet
)

func signIn(w window, email, password string) {
	w.visit("/sign-in")
	w.fill("E-mail", email)
	w.fill("Password", password)
	w.press("Sign in")
}

func TestSignIn(t *testing.T) {
	windows(t, func(t *testing.T, s *site, open func() window) {
		w := open()
		w.visit("/profile?x=1") // signing in leads back
		w.at("/sign-in")
		w.fill("E-mail", bea)
		w.fill("Password", "not hers")
		w.press("Sign in")
		w.says("This address and password don’t belong together.")
		w.fill("Password", dev.DemoPassword)
		w.press("Sign in")
		w.at("/profile")
		w.says("E-mail address")
		w.visit("/admin/settings")
		w.says("There is nothing at this address")
		w.visit("/")
		w.menu("Bea Lindqvist")
		w.press("Sign out")
		w.at("/sign-in")
		if n := s.text("select count(*) from sessions"); n != "0" {
			t.Errorf("%s sessions after signing out", n)
		}
		w.visit("/profile")
		w.at("/sign-in")
	})
}

func TestSignIn_StaffLandInTheAdminArea(t *testing.T) {
	windows(t, func(t *testing.T, s *site, open func() window) {
		w := open()
		signIn(w, sam, dev.DemoPassword)
		w.at("/admin")
		w.visit("/admin/settings")
		w.says("not allowed")
	})
}

func TestRegister(t *testing.T) {
	windows(t, func(t *testing.T, s *site, open func() window) {
		w := open()
		w.visit("/sign-in")
		w.follow("Create account")
		w.at("/create-account")
		w.fill("Name", "Nia Berg")
		w.fill("E-mail", "nia@berg.example")
		w.fill("Password", "12345678")
		w.press("Create account")
		w.says("This password is easy to guess.")
		w.fill("Password", other)
		w.press("Create account")
		w.says("Check your e-mail")

		signIn(w, "nia@berg.example", other)
		w.at("/")
		w.says("Confirm your e-mail address.")
		link := s.link(s.mail("nia@berg.example", "Confirm your e-mail address"), "/confirm/")
		w.visit(link)
		if s.text("select email_confirmed_at from users where email = 'nia@berg.example'") != "" {
			t.Error("opening the link alone confirmed the address")
		}
		w.press("Confirm address")
		w.says("Your address is confirmed.")
		w.visit(link)
		w.says("This link no longer works")
	})
}

// TestRegister_TakenAddress: whoever registers learns nothing; the address's owner is told.
func TestRegister_TakenAddress(t *testing.T) {
	t.Parallel()
	s := start(t, options{})
	register := func(email string) *answer {
		return s.visitor().get("/create-account").submit("/create-account", "name", "Nia Berg", "email", email, "password", other)
	}
	taken, free := register(strings.ToUpper(bea)), register("nia@berg.example")
	if taken.status != free.status || taken.header.Get("Location") != free.header.Get("Location") {
		t.Errorf("a taken address gets %d %s, a free one %d %s", taken.status, taken.header.Get("Location"), free.status, free.header.Get("Location"))
	}
	if a, b := taken.follow(), free.follow(); a.words("#flash") != b.words("#flash") || a.words("#flash") == "" {
		t.Errorf("one is told %q, the other %q", a.words("#flash"), b.words("#flash"))
	}
	s.mail(bea, "You already have an account")
	if n := s.text("select count(*) from users where lower(email) = lower($1)", bea); n != "1" {
		t.Errorf("%s users with the address", n)
	}
}

func TestForgotPassword(t *testing.T) {
	windows(t, func(t *testing.T, s *site, open func() window) {
		elsewhere := s.signIn(bea)
		w := open()
		w.visit("/sign-in")
		w.follow("Forgot password?")
		w.fill("E-mail", "Bea@Bluebird.example")
		w.press("Send link")
		w.says("a link is on its way")
		link := s.link(s.mail(bea, "Choose a new password"), "/reset-password/")
		w.visit(link)
		w.fill("New password", "bluebird")
		w.press("Save password")
		w.says("This password is easy to guess.")
		w.fill("New password", other)
		w.press("Save password")
		w.at("/sign-in")
		w.says("Your new password is saved.")
		w.visit(link)
		w.says("This link no longer works")
		if a := elsewhere.get("/profile"); a.status != http.StatusSeeOther {
			t.Errorf("a session from before the new password gets %d", a.status)
		}
		s.mail(bea, "Your password at")
		signIn(w, bea, dev.DemoPassword)
		w.says("don’t belong together")
		signIn(w, bea, other)
		w.at("/")
	})
}

// TestForgotPassword_UnknownAddress: the answer is the same, and nothing is sent.
func TestForgotPassword_UnknownAddress(t *testing.T) {
	t.Parallel()
	s := start(t, options{idle: true})
	ask := func(email string) *answer {
		return s.visitor().get("/forgot-password").submit("/forgot-password", "email", email)
	}
	unknown, known := ask("nobody@nowhere.example"), ask(bea)
	if unknown.status != known.status || unknown.follow().words("body") != known.follow().words("body") {
		t.Error("unknown and known addresses get different answers")
	}
	if got := s.text("select string_agg(recipient, ' ') from mail_deliveries"); got != bea {
		t.Errorf("mails to %q", got)
	}
	// A second link kills the first.
	ask(bea)
	if n := s.text("select count(*) from tokens where purpose = 'reset'"); n != "1" {
		t.Errorf("%s reset links work", n)
	}
}

// code is what an authenticator app shows for a key.
func code(t *testing.T, key string) string {
	t.Helper()
	digits, err := totp.GenerateCode(strings.ReplaceAll(key, " ", ""), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return digits
}

func TestSecondFactor(t *testing.T) {
	windows(t, func(t *testing.T, s *site, open func() window) {
		elsewhere := s.signIn(bea)
		w := open()
		signIn(w, bea, dev.DemoPassword)
		w.at("/")
		w.visit("/security")
		w.press("Set up")
		w.at("/security/authenticator")
		key := w.read(".secret-key")
		w.fill("Code", "000000")
		w.press("Confirm code")
		w.says("This code is wrong or has expired.")
		w.fill("Code", code(t, key))
		w.press("Confirm code")
		w.says("Each code signs you in once")
		recovery := w.read(".recovery-codes li code")
		w.follow("I have kept them")
		w.says("10 recovery codes left.")
		if a := elsewhere.get("/profile"); a.status != http.StatusSeeOther {
			t.Errorf("a session without the second factor gets %d", a.status)
		}
		s.mail(bea, "How you sign in to")

		leave := func() {
			t.Helper()
			w.menu("Bea Lindqvist")
			w.press("Sign out")
			w.at("/sign-in")
		}
		leave()
		// The step of the code above is behind us: its next one need not be waited for.
		s.exec("update authenticators set last_step = last_step - 10")
		signIn(w, bea, dev.DemoPassword)
		w.at("/sign-in/second-factor")
		w.fill("Code", "000000")
		w.press("Continue")
		w.says("This code is wrong or has expired.")
		digits := code(t, key)
		w.fill("Code", digits)
		w.press("Continue")
		w.at("/")
		leave()
		signIn(w, bea, dev.DemoPassword)
		w.at("/sign-in/second-factor")
		w.fill("Code", digits)
		w.press("Continue")
		w.says("This code was used already.")
		w.fill("Code", strings.ToUpper(recovery))
		w.press("Continue")
		w.at("/")
		leave()
		signIn(w, bea, dev.DemoPassword)
		w.at("/sign-in/second-factor")
		w.fill("Code", recovery)
		w.press("Continue")
		w.says("This code is wrong or has expired.")
	})
}

// TestSecondFactor_PasswordAloneOpensNothing: a session that waits for its second factor is none, and its secret is not the one
// of the session that comes of it.
func TestSecondFactor_PasswordAloneOpensNothing(t *testing.T) {
	t.Parallel()
	s := start(t, options{idle: true})
	w := &walk{t: t, site: s, ids: map[string]string{bea: s.userID(bea)}}
	w.authenticator(bea, true)
	c := s.visitor()
	c.signIn(bea, dev.DemoPassword).want(http.StatusSeeOther)
	waiting := c.cookie("portico_session")
	for _, path := range []string{"/", "/profile", "/security", "/admin"} {
		if a := c.get(path); a.status != http.StatusSeeOther || !strings.HasPrefix(a.header.Get("Location"), "/sign-in") {
			t.Errorf("%s: got %d %s", path, a.status, a.header.Get("Location"))
		}
	}
	a := c.get("/sign-in/second-factor").submit("/sign-in/second-factor", "code", code(t, strings.Repeat("A", 32)))
	if a.status != http.StatusSeeOther || c.cookie("portico_session") == waiting || c.cookie("portico_session") == "" {
		t.Errorf("got %d, the same secret: %t", a.status, c.cookie("portico_session") == waiting)
	}
	c.get("/profile").want(http.StatusOK)
	// Guessing ends after five tries.
	c = s.visitor()
	c.signIn(bea, dev.DemoPassword).want(http.StatusSeeOther)
	page := c.get("/sign-in/second-factor")
	for range 5 {
		page.submit("/sign-in/second-factor", "code", "123456").want(http.StatusUnprocessableEntity)
	}
	page.submit("/sign-in/second-factor", "code", "123456").want(http.StatusTooManyRequests)
}

// TestSession_NotOfTheVisitorsChoosing: a session id from outside is never adopted.
func TestSession_NotOfTheVisitorsChoosing(t *testing.T) {
	t.Parallel()
	s := start(t, options{idle: true})
	c := s.visitor()
	request, err := http.NewRequestWithContext(t.Context(), "GET", s.url+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	chosen := strings.Repeat("x", 43)
	request.AddCookie(&http.Cookie{Name: "portico_session", Value: chosen})
	response, err := c.http.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusSeeOther {
		t.Errorf("got %d", response.StatusCode)
	}
	first, second := s.signIn(bea), s.signIn(bea)
	if a, b := first.cookie("portico_session"), second.cookie("portico_session"); a == b || a == chosen || len(a) < 43 {
		t.Errorf("sessions %q and %q", a, b)
	}
}

func TestPasskeys(t *testing.T) {
	t.Parallel()
	for name, look := range map[string]screen{"desktop": {}, "phone": {width: 360}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, options{host: "localhost"})
			w := s.browse(t, look)
			call(w, webauthn.Enable, webauthn.EnableParams{})
			call(w, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{
				Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportInternal,
				HasResidentKey: true, HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true,
			}})
			signIn(w, bea, dev.DemoPassword)
			w.at("/")
			w.visit("/security")
			w.fill("Name of the passkey", "My laptop")
			w.press("Add a passkey")
			w.says("The passkey is added.")
			s.mail(bea, "How you sign in to")
			leave := func() {
				t.Helper()
				w.menu("Bea Lindqvist")
				w.press("Sign out")
				w.at("/sign-in")
			}
			leave()
			w.press("Sign in with a passkey")
			w.at("/")
			leave()
			signIn(w, bea, dev.DemoPassword)
			w.at("/sign-in/second-factor")
			w.press("Use a passkey")
			w.at("/")
			w.visit("/security")
			w.says("My laptop")
			w.press("Remove passkey My laptop")
			w.says("The passkey is removed.")
			leave()
			w.press("Sign in with a passkey")
			w.says("The passkey did not work.")
			for _, line := range w.complaints() {
				if !strings.Contains(line, "Failed to load resource") {
					t.Errorf("on the console: %s", line)
				}
			}
		})
	}
}

func TestEmailChange(t *testing.T) {
	windows(t, func(t *testing.T, s *site, open func() window) {
		const now = "bea@newbird.example"
		w := open()
		signIn(w, bea, dev.DemoPassword)
		w.at("/")
		w.visit("/profile")
		w.follow("Change e-mail address")
		w.fill("New e-mail address", now)
		w.fill("Current password", "not hers")
		w.press("Send the links")
		w.says("This is not your current password.")
		w.fill("Current password", dev.DemoPassword)
		w.press("Send the links")
		w.says("Waits for both addresses")
		w.visit(s.link(s.mail(now, "Confirm your new e-mail address"), "/email-change/"))
		w.press("Confirm address")
		w.says("once the other address has agreed too")
		if s.text("select count(*) from users where email = $1", bea) != "1" {
			t.Error("one end was enough")
		}
		w.visit(s.link(s.mail(bea, "Do you agree"), "/email-change/"))
		w.press("Agree to the change")
		w.says("Your address is changed.")
		s.mail(bea, "has changed")
		w.menu("Bea Lindqvist")
		w.press("Sign out")
		w.at("/sign-in")
		signIn(w, bea, dev.DemoPassword)
		w.says("don’t belong together")
		signIn(w, now, dev.DemoPassword)
		w.at("/")
	})
}

func TestProfile(t *testing.T) {
	windows(t, func(t *testing.T, s *site, open func() window) {
		w := open()
		signIn(w, bea, dev.DemoPassword)
		w.at("/")
		w.visit("/profile")
		w.fill("Name", "Bea <i>L</i>")
		w.choose("Time zone", "Asia/Tokyo")
		w.choose("Appearance", "dark")
		w.press("Save")
		w.says("Your profile is saved.")
		if got := s.text("select name || ', ' || time_zone || ', ' || theme from users where email = $1", bea); got != "Bea <i>L</i>, Asia/Tokyo, dark" {
			t.Errorf("stored %q", got)
		}
		w.visit("/")
		w.menu("Bea <i>L</i>")
		w.press("Light appearance")
		wait(t, "the light appearance", func() bool { return s.text("select theme from users where email = $1", bea) == "light" })
	})
}

func TestSettings(t *testing.T) {
	windows(t, func(t *testing.T, s *site, open func() window) {
		w := open()
		signIn(w, ada, dev.DemoPassword)
		w.at("/admin")
		w.visit("/admin/settings")
		w.fill("Store name", "Südwind & Söhne")
		w.fill("Brand colour", "#aa2244")
		w.press("Save settings")
		w.says("The settings are saved.")
		w.says("Südwind & Söhne")
		if got := s.text("select name || ' ' || brand_colour from store"); got != "Südwind & Söhne #aa2244" {
			t.Errorf("stored %q", got)
		}
		w.follow("Departments")
		w.fill("New department", "Abuse")
		w.press("Add department")
		w.says("Abuse")
		if n := s.text("select count(*) from departments where name = 'Abuse'"); n != "1" {
			t.Errorf("%s departments of the name", n)
		}
		w.visit("/admin/settings/departments")
		w.fill("New department", "abuse")
		w.press("Add department")
		w.says("Another department has this name.")
		w.visit("/admin/settings/departments")
		w.press("Archive Abuse")
		w.says("Archived")
		if s.text("select archived_at from departments where name = 'Abuse'") == "" {
			t.Error("the department is not archived")
		}
	})
}

func TestTeam(t *testing.T) {
	windows(t, func(t *testing.T, s *site, open func() window) {
		w := open()
		signIn(w, ada, dev.DemoPassword)
		w.at("/admin")
		w.visit("/admin/settings/team")
		w.follow("Invite somebody")
		w.fill("Name", "Kofi Mensah")
		w.fill("E-mail", bea)
		w.press("Send invitation")
		w.says("An account holder uses this address.")
		w.fill("E-mail", "kofi@northwind.example")
		w.check("Billing")
		w.press("Send invitation")
		w.says("kofi@northwind.example is invited.")
		link := s.link(s.mail("kofi@northwind.example", "Your account at"), "/reset-password/")

		kofi := open()
		kofi.visit(link)
		kofi.says("Set your password")
		kofi.fill("New password", other)
		kofi.press("Save password")
		kofi.at("/sign-in")
		signIn(kofi, "kofi@northwind.example", other)
		kofi.at("/admin")

		w.visit("/admin/settings/team/" + s.userID("kofi@northwind.example"))
		w.press("Disable")
		w.says("Disabled. All their sessions have ended.")
		kofi.visit("/admin")
		kofi.at("/sign-in")
		signIn(kofi, "kofi@northwind.example", other)
		kofi.says("don’t belong together")
	})
}

func TestSessions(t *testing.T) {
	windows(t, func(t *testing.T, s *site, open func() window) {
		phone := s.visitor()
		page := phone.do("GET", "/sign-in", http.Header{"User-Agent": {"Mozilla/5.0 (Android 15; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0"}}, nil)
		page.submit("/sign-in", "email", bea, "password", dev.DemoPassword).want(http.StatusSeeOther)
		s.exec("update sessions set browser = 'Firefox on Android'")
		w := open()
		signIn(w, bea, dev.DemoPassword)
		w.at("/")
		w.visit("/security")
		w.says("Firefox on Android")
		w.press("Sign out Firefox on Android")
		wait(t, "the session to end", func() bool { return s.text("select count(*) from sessions") == "1" })
		if a := phone.get("/profile"); a.status != http.StatusSeeOther {
			t.Errorf("a session ended from elsewhere gets %d", a.status)
		}
		third := s.signIn(bea)
		w.visit("/security")
		w.press("Sign out everywhere else")
		wait(t, "the other sessions to end", func() bool { return s.text("select count(*) from sessions") == "1" })
		if a := third.get("/profile"); a.status != http.StatusSeeOther {
			t.Errorf("a session ended from elsewhere gets %d", a.status)
		}
		w.visit("/profile")
		w.at("/profile")
	})
}

// TestDisabled: whoever is disabled gets in by no door.
func TestDisabled(t *testing.T) {
	t.Parallel()
	s := start(t, options{idle: true})
	c := s.signIn(bea)
	s.exec("update users set disabled_at = now() where email = $1", bea)
	if a := c.get("/"); a.status != http.StatusSeeOther {
		t.Errorf("an open session gets %d", a.status)
	}
	if a := s.visitor().signIn(bea, dev.DemoPassword); a.status != http.StatusUnprocessableEntity {
		t.Errorf("the password gets %d", a.status)
	}
	s.visitor().get("/forgot-password").submit("/forgot-password", "email", bea).want(http.StatusSeeOther)
	if n := s.text("select count(*) from tokens") + s.text("select count(*) from mail_deliveries"); n != "00" {
		t.Error("a link was made or sent")
	}
}
