package whm

import (
	"errors"
	"math"
	"strings"
	"testing"

	"portico/app/provisioning"
)

// Whatever a server answers, it is a refusal, unknown, or data that can be used; and no secret comes along.
func FuzzDecode(f *testing.F) {
	for _, answer := range []string{
		`{"metadata":{"result":1,"reason":"OK"},"data":{"acct":[{"user":"a","diskused":"14M","suspended":"0","ip":null}]}}`,
		`{"metadata":{"result":"0","reason":"API failure: (XID ab12) (canary) no"}}`, `{"metadata":{"result":true}}`, `[]`, `{"metadata":null}`,
	} {
		f.Add([]byte(answer))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		var data struct {
			Accounts []account `json:"acct"`
		}
		err := decode("accountsummary", answer, &data, []string{"canary"})
		var refused *provisioning.Refused
		var unknown *provisioning.Unknown
		switch {
		case errors.As(err, &refused):
			if len(refused.Detail) > 2*maxReason || strings.Contains(refused.Detail, "canary") || strings.ContainsAny(refused.Detail, "\r\n") {
				t.Errorf("refused: %q", refused.Detail)
			}
		case errors.As(err, &unknown):
		case err != nil:
			t.Errorf("%T", err)
		}
		for _, a := range data.Accounts {
			units := map[string]any{}
			unit(units, "disk_mb", a.DiskUsed, a.DiskLimit, 1)
			if disk, ok := units["disk_mb"].(map[string]any); ok && (math.IsNaN(disk["used"].(float64)) || disk["used"].(float64) < 0) {
				t.Errorf("used: %v", disk)
			}
		}
	})
}

func TestUsernameFor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		domain, want string
		n            int
	}{
		{"bluebird.example", "bluebird", 0}, {"bluebird.example", "bluebir2", 2}, {"1-2-3.example", "example", 0}, {"testtest12.io", "io", 0},
		{"xn--bcher-kva.example", "xnbcherk", 0}, {"123.45", "site", 0}, {"a.b", "ab", 0}, {"TEST.example", "example", 0},
	} {
		if got := usernameFor(c.domain, c.n); got != c.want {
			t.Errorf("%s, %d: %s, want %s", c.domain, c.n, got, c.want)
		}
	}
	for range 3 {
		if password := newPassword(); len(password) != 24 || password == newPassword() {
			t.Errorf("password %q", password)
		}
	}
}
