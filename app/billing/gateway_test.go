package billing

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"portico/app"
	"portico/app/contracts"
)

// reference is a gateway as one may be: it signs the time and the body of what it tells with a key that it shares with the portal.
type reference struct{ key []byte }

func (reference) Name() string { return "reference" }

func (g reference) sign(at string, body []byte) string {
	mac := hmac.New(sha256.New, g.key)
	fmt.Fprintf(mac, "%s.%s", at, body)
	return hex.EncodeToString(mac.Sum(nil))
}

func (g reference) Read(header func(string) string, body []byte, now time.Time) (p GatewayPayment, err error) {
	at := header("Timestamp")
	seconds, err := strconv.ParseInt(at, 10, 64)
	if err != nil || now.Sub(time.Unix(seconds, 0)).Abs() > 5*time.Minute {
		return p, errors.New("the message is too old, or from the future")
	}
	if !hmac.Equal([]byte(header("Signature")), []byte(g.sign(at, body))) {
		return p, errors.New("the signature is wrong")
	}
	p.On = time.Unix(seconds, 0)
	return p, json.Unmarshal(body, &p)
}

// TestFromGateway: a signed message pays an invoice once, however often it is told, and brings back what was suspended for the debt; any
// other is refused and changes nothing.
func TestFromGateway(t *testing.T) {
	t.Parallel()
	y := begin(t, "2026-01-31", 1, 12)
	g := reference{[]byte("shared")}
	y.s.Use(g)
	y.on("2026-02-14")
	y.on("2026-03-10")
	if got := y.text("select status from contracts"); got != contracts.Suspended {
		t.Fatalf("the contract is %s", got)
	}
	invoice := y.text("select id from invoices where number = 1")
	tell := func(gateway string, change func(header map[string]string, p *GatewayPayment)) error {
		p := GatewayPayment{ID: "pay_1", InvoiceID: invoice, AmountMinor: 1000, Currency: "EUR"}
		header := map[string]string{"Timestamp": strconv.FormatInt(y.s.now().Unix(), 10)}
		signed, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		header["Signature"] = g.sign(header["Timestamp"], signed)
		change(header, &p)
		body, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		return y.s.FromGateway(t.Context(), gateway, func(name string) string { return header[name] }, body)
	}
	for name, refused := range map[string]func(map[string]string, *GatewayPayment){
		"another amount": func(_ map[string]string, p *GatewayPayment) { p.AmountMinor = 1 },
		"no signature":   func(h map[string]string, _ *GatewayPayment) { delete(h, "Signature") },
		"another time": func(h map[string]string, _ *GatewayPayment) {
			h["Timestamp"] = strconv.FormatInt(y.s.now().Unix()-1, 10)
		},
		"an old message": func(h map[string]string, p *GatewayPayment) {
			h["Timestamp"] = strconv.FormatInt(y.s.now().Unix()-301, 10)
			body, _ := json.Marshal(*p)
			h["Signature"] = g.sign(h["Timestamp"], body)
		},
	} {
		if err := tell("reference", refused); !errors.Is(err, app.ErrForbidden) {
			t.Errorf("%s: %v", name, err)
		}
	}
	same := func(map[string]string, *GatewayPayment) {}
	if err := tell("other", same); !errors.Is(err, app.ErrForbidden) {
		t.Errorf("a gateway that is not there: %v", err)
	}
	if got := y.text("select count(*) from payments"); got != "0" {
		t.Fatalf("refused, and yet %s payments", got)
	}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			if err := tell("reference", same); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if got := y.text("select count(*) || ' ' || (select status from invoices where number = 1) from payments"); got != "1 paid" {
		t.Errorf("payments and the invoice: %s", got)
	}
	if got := y.text("select count(*) from river_job where kind = 'renew_contract'"); got != "1" {
		t.Errorf("%s jobs look at the contract that is paid", got)
	}
	y.renew()
	if got := y.text("select status from contracts"); got != contracts.Active {
		t.Errorf("the contract is %s after it was paid", got)
	}
}
