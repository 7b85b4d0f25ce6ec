package provisioning

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"portico/app"
)

// wrongFields are the names of what an error complains of.
func wrongFields(t *testing.T, err error) []string {
	t.Helper()
	var invalid *app.Invalid
	if err == nil {
		return nil
	}
	if !errors.As(err, &invalid) {
		t.Fatalf("%v is no *app.Invalid", err)
	}
	var names []string
	for _, f := range invalid.Fields {
		names = append(names, f.Field)
	}
	return names
}

func TestValidate_Kinds(t *testing.T) {
	t.Parallel()
	pemBlock := "-----BEGIN CERTIFICATE-----\n" + strings.Repeat("QUJD", 16) + "\n" + strings.Repeat("QUJD", 4) + "\n-----END CERTIFICATE-----"
	long := strings.Repeat("a", 63)
	for _, c := range []struct {
		kind Kind
		good map[string]string // written → normal form
		bad  []string
	}{
		{KindText, map[string]string{" a b ": "a b", "日本": "日本"}, []string{"a\nb", "a\x00b", "a\u202eb", "a\u2028b", "\xff", strings.Repeat("x", 256)}},
		{KindLong, map[string]string{"a\r\nb\tc": "a\nb\tc"}, []string{"a\x1bb", "\xff"}},
		{KindDomain, map[string]string{"Bluebird.Example": "bluebird.example", "bücher.example": "xn--bcher-kva.example", "a.b": "a.b"},
			[]string{"bluebird", "-a.example", "a-.example", "a..example", ".a.example", "a.example.", "a_b.example", long + "a.example", "192.0.2.1", "a.example/x", "a b.example",
				long + "." + long + "." + long + "." + long}},
		{KindHostname, map[string]string{"ns1.bluebird.example": "ns1.bluebird.example", "localhost": "localhost"}, []string{"ns1:53", "[::1]", "a/b", "192.0.2.1"}},
		{KindLabel, map[string]string{"bluebird": "bluebird"}, []string{"a.b", "-a", "a-"}},
		{KindSuffix, map[string]string{".co.uk": "co.uk", "com": "com"}, []string{"..uk", "a b"}},
		{KindName, map[string]string{"web-01.a_b": "web-01.a_b"}, []string{"a b", "a/b", "ü", "$(x)"}},
		{KindIP, map[string]string{"203.0.113.7": "203.0.113.7", "2001:DB8::7": "2001:db8::7"}, []string{"203.0.113", "1.2.3.4.5", "fe80::1%eth0", "0x7f.1", "203.0.113.07"}},
		{KindEmail, map[string]string{"bea@Bluebird.example": "bea@bluebird.example"}, []string{"bea", "bea@", "@a.example", "bea@a", "a b@c.example", "a@b.example,c@d.example", "\"a\"@b.example", "a@b.example\nBcc: x@y.example"}},
		{KindURL, map[string]string{"https://a.example/x?y=1": "https://a.example/x?y=1"}, []string{"a.example", "javascript:alert(1)", "https://", "https://a:b@c.example", "//a.example", "https://a.example/ b", `https:\\a.example`}},
		{KindPhone, map[string]string{"+44 (20) 7946-0000": "+442079460000"}, []string{"020 7946", "+0123456", "+44x", "+"}},
		{KindCountry, map[string]string{"gb": "GB", "UK": "UK", "XK": "XK"}, []string{"G", "GBR", "EU", "12", "ZZ", "QQ"}},
		{KindCurrency, map[string]string{"eur": "EUR"}, []string{"EU", "euro", "€"}},
		{KindPEM, map[string]string{pemBlock: pemBlock, pemBlock + "\n" + pemBlock: pemBlock + "\n" + pemBlock},
			[]string{"x", "-----BEGIN X-----\nQUJD\n-----END X-----\ntrailer", "before\n" + pemBlock, strings.Replace(pemBlock, "\n", "\nQUJD\n", 1)}},
		{KindDay, map[string]string{"2026-11-30": "2026-11-30"}, []string{"30.11.2026", "2026-02-30"}},
		{KindTime, map[string]string{"2026-11-30T14:00": "2026-11-30T14:00:00Z", "2026-11-30T14:00:00+02:00": "2026-11-30T12:00:00Z"}, []string{"2026-11-30", "now"}},
	} {
		field := Field{Name: "x", Kind: c.kind}
		for written, want := range c.good {
			got, err := Validate([]Field{field}, map[string]any{"x": written})
			if err != nil || got["x"] != want {
				t.Errorf("%s %q: %v, %v; want %q", c.kind, written, got["x"], err, want)
			}
		}
		for _, written := range c.bad {
			if got, err := Validate([]Field{field}, map[string]any{"x": written}); len(wrongFields(t, err)) != 1 {
				t.Errorf("%s %q was taken as %q", c.kind, written, got["x"])
			}
		}
		for _, other := range []any{float64(1), true, []any{"x"}, map[string]any{"x": "y"}} {
			if _, err := Validate([]Field{field}, map[string]any{"x": other}); err == nil {
				t.Errorf("%s took %T", c.kind, other)
			}
		}
	}
}

func TestValidate_NumbersListsObjects(t *testing.T) {
	t.Parallel()
	fields := []Field{
		{Name: "years", Kind: KindWhole, Min: 1, Max: 10, Default: float64(1)},
		{Name: "price", Kind: KindNumber},
		{Name: "hosts", Kind: KindList, Min: 1, Max: 2, Item: &Field{Kind: KindHostname}, Required: true},
		{Name: "who", Kind: KindObject, Fields: contact(false)},
		{Name: "more", Kind: KindJSON},
	}
	base := func(name string, value any) map[string]any {
		values := map[string]any{"hosts": []any{"ns1.example"}}
		values[name] = value
		return values
	}
	person := map[string]any{"name": "Bea", "email": "bea@bluebird.example", "phone": "+4420123456", "address1": "1 High St", "city": "Leeds", "postcode": "LS1", "country_code": "gb"}
	for _, c := range []struct {
		name  string
		value any
		wrong string
	}{
		{"years", float64(2), ""}, {"years", 2, ""}, {"years", 2.5, "years"}, {"years", float64(0), "years"}, {"years", float64(11), "years"}, {"years", "2", "years"},
		{"price", 9.99, ""}, {"price", "x", "price"},
		{"hosts", []any{}, "hosts"}, {"hosts", []any{"a.example", "b c"}, "hosts.1"}, {"hosts", []any{"a", "b", "c"}, "hosts"}, {"hosts", []any{nil}, "hosts.0"}, {"hosts", "a", "hosts"},
		{"who", person, ""}, {"who", map[string]any{"name": "Bea"}, "who.email"}, {"who", map[string]any{"name": "Bea", "admin": true}, ""},
		{"more", map[string]any{"a": 1}, ""}, {"more", []any{1}, "more"}, {"more", map[string]any{"a": strings.Repeat("x", maxJSON)}, "more"},
		{"other", "x", ""},
	} {
		got, err := Validate(fields, base(c.name, c.value))
		wrong := wrongFields(t, err)
		undeclared := c.name == "other" || reflect.DeepEqual(c.value, map[string]any{"name": "Bea", "admin": true})
		if c.wrong == "" && err != nil && !undeclared || (c.wrong != "" || undeclared) && !slices.Contains(wrong, c.wrong) {
			t.Errorf("%s = %v: wrong %v, want %q (%v)", c.name, c.value, wrong, c.wrong, got)
		}
	}
	neither, err := Validate(fields, base("who", map[string]any{"email": "bea@bluebird.example", "phone": "+4420123456", "address1": "1", "city": "Leeds", "postcode": "LS1", "country_code": "GB"}))
	if wrong := wrongFields(t, err); !slices.Equal(wrong, []string{"who.name", "who.organisation"}) {
		t.Errorf("neither a name nor an organisation: %v, %v", wrong, neither)
	}
	if got, _ := Validate(fields, base("price", nil)); got["years"] != float64(1) {
		t.Errorf("the default is missing: %v", got)
	}
}

func function(t *testing.T, category, name string) Function {
	t.Helper()
	c, _ := CategoryOf(category)
	f, ok := c.Function(name)
	if !ok {
		t.Fatalf("no function %s %s", category, name)
	}
	return f
}

// A client says what the password is, and never whose.
func TestParams_IdentityIsNotTheClients(t *testing.T) {
	t.Parallel()
	change := function(t, "web-hosting", "changePassword")
	known := map[string]any{"username": "bluebird", "domain": "bluebird.example", FactEmail: "bea@bluebird.example"}
	got, err := Params(change, false, map[string][]string{"password": {"correct horse"}}, known)
	if err != nil || got["username"] != "bluebird" || got["password"] != "correct horse" {
		t.Fatalf("%v, %v", got, err)
	}
	for _, key := range []string{"username", "customer_id", "owner", "package_name", "password.x", "is_reseller"} {
		if got, err := Params(change, false, map[string][]string{"password": {"correct horse"}, key: {"corvid"}}, known); err == nil {
			t.Errorf("a client set %s: %v", key, got)
		}
	}
	if _, err := Params(change, false, map[string][]string{"password": {"correct horse", "battery"}}, known); err == nil {
		t.Error("two passwords were taken")
	}
	if _, err := Params(change, false, map[string][]string{"password": {"short"}}, known); !slices.Equal(wrongFields(t, err), []string{"password"}) {
		t.Errorf("a short password: %v", err)
	}
	if strings.Contains(fmt.Sprint(err), "short") {
		t.Error("the error says the password")
	}
	if _, err := Params(change, false, map[string][]string{"password": {"correct horse"}}, nil); !slices.Equal(wrongFields(t, err), []string{"username"}) {
		t.Errorf("without a username: %v", err)
	}
	staff, err := Params(change, true, map[string][]string{"password": {"correct horse"}, "username": {"other"}}, known)
	if err != nil || staff["username"] != "other" {
		t.Errorf("staff: %v, %v", staff, err)
	}

	reissue := function(t, "software-licenses", "reissue")
	for _, ofStore := range []bool{true, false} {
		got, err := Params(reissue, ofStore, nil, map[string]any{"license_key": "KEY-1"})
		if err != nil || got["license_key"] != "KEY-1" {
			t.Errorf("an empty secret (store %v) is not taken from what is stored: %v, %v", ofStore, got, err)
		}
	}
}

func TestForms_RoundTrip(t *testing.T) {
	t.Parallel()
	register := function(t, "domain-names", "register")
	values := map[string]any{
		"domain": "bluebird.example", "renew_years": float64(2), "ns1": "ns1.example", "ns2": "ns2.example", "whois_privacy": true,
		"registrant":        map[string]any{"name": "Bea", "email": "bea@bluebird.example", "phone": "+4420123456", "address1": "1 High St", "city": "Leeds", "postcode": "LS1", "country_code": "GB"},
		"additional_fields": map[string]any{"kind": "LTD"},
	}
	form := NewForm(register.Params, values)
	got, err := Params(register, true, form.Values, nil)
	if err != nil || !reflect.DeepEqual(got, values) {
		t.Errorf("got %v, %v", got, err)
	}

	rows := []Field{{Name: "rules", Kind: KindList, Item: &Field{Kind: KindObject, Fields: []Field{required(text("name")), yesNo("on")}}}, list("hosts", hostName(""))}
	got, err = ParseForm(rows, map[string][]string{"rules.0.name": {"a"}, "rules.0.on": {"on"}, "rules.1.name": {""}, "rules.4.name": {"b"}, "hosts": {"a.example\r\n\r\n b.example "}}, nil)
	want := map[string]any{"rules": []any{map[string]any{"name": "a", "on": true}, map[string]any{"name": "b", "on": false}}, "hosts": []any{"a.example", "b.example"}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("rows: %v, %v", got, err)
	}
	for _, key := range []string{"rules.-1.name", "rules.01.name", "rules.999999999.name", "rules.0.other", "rules", "rules.0"} {
		if got, err := ParseForm(rows, map[string][]string{key: {"x"}}, nil); err == nil {
			t.Errorf("%s was taken: %v", key, got)
		}
	}
}

func TestSecrets_AreMaskedSplitAndNeverSentBack(t *testing.T) {
	t.Parallel()
	fields := []Field{
		text("hostname"), secret(text("api_key")), parts("vnc", text("host"), secret(text("password"))),
		list("users", parts("", text("name"), secret(text("token")))),
	}
	values := map[string]any{
		"hostname": "a.example", "api_key": "canary-1", "vnc": map[string]any{"host": "b.example", "password": "canary-2"},
		"users": []any{map[string]any{"name": "bea", "token": "canary-3"}}, "undeclared": "canary-4",
	}
	masked, _ := json.Marshal(Masked(fields, values))
	if strings.Contains(string(masked), "canary") || !strings.Contains(string(masked), "b.example") {
		t.Errorf("masked: %s", masked)
	}
	plain, sealed := Split(fields, values)
	if written, _ := json.Marshal(plain); strings.Contains(string(written), "canary") || len(plain) != 1 || len(sealed) != 4 {
		t.Errorf("plain %v, sealed %v", plain, sealed)
	}
	if !reflect.DeepEqual(Join(plain, sealed), values) {
		t.Error("what was split does not join")
	}
	if got := Secrets(fields, values); !slices.Equal(got, []string{"canary-1", "canary-2", "canary-3"}) {
		t.Errorf("secrets: %v", got)
	}
	posted := map[string][]string{"hostname": {"a b"}, "api_key": {"canary-1"}, "vnc.host": {"x"}, "vnc.password": {"canary-2"}, "users.0.token": {"canary-3"}, "other": {"canary-4"}}
	form, err := Typed(fields, posted, app.Invalidf("hostname", "actions.wrong-hostname"))
	if err != nil || strings.Contains(fmt.Sprint(form.Values), "canary") || form.Value("vnc.host") != "x" {
		t.Errorf("%v, %v", form, err)
	}
	if form := NewForm(fields, values); strings.Contains(fmt.Sprint(form.Values), "canary") {
		t.Errorf("a form shows a secret: %v", form.Values)
	}
	kept, err := ParseForm(fields[:2], map[string][]string{"hostname": {"b.example"}, "api_key": {""}}, values)
	if err != nil || kept["api_key"] != "canary-1" || kept["hostname"] != "b.example" {
		t.Errorf("kept: %v, %v", kept, err)
	}
}

// FuzzParams: whatever is posted, nothing undeclared comes through, texts are clean, and what was taken is taken again.
func FuzzParams(f *testing.F) {
	for _, seed := range []string{"domain\x01bluebird.example", "registrant.email\x01bea@bluebird.example\x02ns1\x01a", "zone\x01@ IN A 1", "tlds\x01com\ncö", "acknowledge\x01a\nb", "extra\x01{\"a\":[1e999]}",
		"billing.amount\x010x1p4", "billing.amount\x01NaN", "memory_mb\x019999999999999999999", "login_type\x01redirect", "expires_at\x012026-01-01T00:00", "post\x01\xff\xfe"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, input string) {
		posted := map[string][]string{}
		for pair := range strings.SplitSeq(input, "\x02") {
			name, value, _ := strings.Cut(pair, "\x01")
			posted[name] = append(posted[name], value)
		}
		for _, c := range Categories() {
			for _, f := range c.Functions {
				for _, ofStore := range []bool{true, false} {
					values, err := Params(f, ofStore, posted, nil)
					if err != nil {
						wrongFields(t, err)
						continue
					}
					for name := range posted {
						first, _, _ := strings.Cut(name, ".")
						if param, declared := Find(f.Params, first); !declared || param.Staff && !ofStore {
							t.Fatalf("%s took %q", f.Name, name)
						}
					}
					for _, value := range values {
						eachText(value, func(s string) {
							if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }) {
								t.Fatalf("%s let %q through", f.Name, s)
							}
						})
					}
					again, err := Validate(f.Params, values)
					if err != nil || !reflect.DeepEqual(again, values) {
						t.Fatalf("%s: %v is taken as %v, %v", f.Name, values, again, err)
					}
					if _, err := json.Marshal(values); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
	})
}

// eachText visits the texts of declared kinds; those inside JSON objects are the provider's own business.
func eachText(value any, visit func(string)) {
	switch value := value.(type) {
	case string:
		visit(value)
	case []any:
		for _, entry := range value {
			eachText(entry, visit)
		}
	}
}
