package keys

import (
	"bytes"
	"errors"
	"testing"
)

func ring(t *testing.T, list string) *Ring {
	t.Helper()
	r, err := Parse(list)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

const (
	oldKey = "an old key of more than thirty-two characters"
	newKey = "a new key of more than thirty-two characters!"
)

func TestParse_RefusesShortKeys(t *testing.T) {
	t.Parallel()
	for _, list := range []string{"", "short", oldKey + ",short", oldKey + ","} {
		if _, err := Parse(list); err == nil {
			t.Errorf("Parse(%q) took it", list)
		}
	}
}

func TestSeal_OpensForItsPurposeAndObjectOnly(t *testing.T) {
	t.Parallel()
	r := ring(t, oldKey)
	sealed := r.Seal("authenticator", "user 1", []byte("secret"))
	if plain, err := r.Open("authenticator", "user 1", sealed); err != nil || string(plain) != "secret" {
		t.Fatalf("Open: %q, %v", plain, err)
	}
	for _, other := range [][2]string{{"authenticator", "user 2"}, {"configuration", "user 1"}} {
		if _, err := r.Open(other[0], other[1], sealed); !errors.Is(err, ErrSealed) {
			t.Errorf("opened as %v: %v", other, err)
		}
	}
	if bytes.Contains(sealed, []byte("secret")) {
		t.Error("the sealed value shows the plain one")
	}
}

func TestRing_RotatesKeys(t *testing.T) {
	t.Parallel()
	before, during, after := ring(t, oldKey), ring(t, newKey+", "+oldKey), ring(t, newKey)
	sealed := before.Seal("p", "o", []byte("x"))
	secret, hash := before.LinkSecret("id")
	mac := before.MAC("p", "a")
	masked := before.Mask("p", 7)

	if _, err := during.Open("p", "o", sealed); err != nil {
		t.Errorf("during rotation: %v", err)
	}
	if again, err := during.LinkSecretFor("id", hash); err != nil || again != secret {
		t.Errorf("link during rotation: %q, %v", again, err)
	}
	if !during.Verify(mac, "p", "a") {
		t.Error("MAC refused during rotation")
	}
	if n, ok := during.Unmask("p", masked); !ok || n != 7 {
		t.Errorf("masked id during rotation: %d, %v", n, ok)
	}
	if _, err := after.Open("p", "o", sealed); !errors.Is(err, ErrSealed) {
		t.Errorf("after rotation: %v", err)
	}
	if after.Verify(mac, "p", "a") {
		t.Error("MAC of a retired key accepted")
	}
	if _, err := after.LinkSecretFor("id", hash); !errors.Is(err, ErrSealed) {
		t.Errorf("link of a retired key: %v", err)
	}
}

func TestMAC_FramesItsParts(t *testing.T) {
	t.Parallel()
	r := ring(t, oldKey)
	if bytes.Equal(r.MAC("p", "ab", "c"), r.MAC("p", "a", "bc")) {
		t.Error("moving a boundary between parts keeps the MAC")
	}
	if bytes.Equal(r.MAC("p", "a"), r.MAC("q", "a")) {
		t.Error("two purposes share a MAC")
	}
}

func TestMask_IsReversibleAndHidesOrder(t *testing.T) {
	t.Parallel()
	r := ring(t, oldKey)
	one, two := r.Mask("job", 1), r.Mask("job", 2)
	if one == two || one != r.Mask("job", 1) || len(one) != 32 {
		t.Fatalf("masks: %s, %s", one, two)
	}
	if n, ok := r.Unmask("job", two); !ok || n != 2 {
		t.Errorf("Unmask: %d, %v", n, ok)
	}
	for _, id := range []string{"", "2", one[:31], one + "00", "zz" + one[2:], one[:31] + "g", r.Mask("other", 1)} {
		if _, ok := r.Unmask("job", id); ok {
			t.Errorf("Unmask took %q", id)
		}
	}
}

func TestRandom_DoesNotRepeat(t *testing.T) {
	t.Parallel()
	first, second := Generate(), Generate()
	if bytes.Equal(Random(32), Random(32)) || first == second {
		t.Error("random values repeat")
	}
}
