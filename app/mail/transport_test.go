package mail

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"portico/app/mail/smtptest"
)

func TestParseURL(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]struct {
		server   string
		security security
	}{
		"smtp://user:pass@mail.example.com:587":  {"mail.example.com:587", startTLS},
		"smtp://mail.example.com":                {"mail.example.com:587", startTLS},
		"smtps://user:p%40ss@mail.example.com":   {"mail.example.com:465", implicitTLS},
		"smtps://user:pass@mail.example.com:465": {"mail.example.com:465", implicitTLS},
		"smtp://127.0.0.1:2525":                  {"127.0.0.1:2525", plain},
		"smtp://localhost:25":                    {"localhost:25", plain},
		"smtp://[::1]:25":                        {"[::1]:25", plain},
		"smtp://127.0.0.1.example.com:25":        {"127.0.0.1.example.com:25", startTLS},
		"smtps://localhost":                      {"localhost:465", implicitTLS},
	} {
		transport, err := ParseURL(value)
		if err != nil {
			t.Errorf("ParseURL(%q): %v", value, err)
		} else if transport.Server() != want.server || transport.security != want.security {
			t.Errorf("ParseURL(%q) = %s with security %d, want %+v", value, transport.Server(), transport.security, want)
		}
	}
	for _, value := range []string{
		"", "mail.example.com:587", "http://user:hunter22@mail.example.com", "smtp://user@mail.example.com", "smtp://:hunter22@mail.example.com",
		"smtp://user:hunter22@mail.example.com:0x1", "smtp://user:hunter22@mail.example.com:99999", "smtp://user:hunter22@mail.example.com/path",
		"smtp://user:hunter22@:587", "smtp://user:hunt er22@mail.example.com", "smtp://user:%zzhunter22@mail.example.com", "smtp://user:hunter22@mail.example.com?tls=no",
	} {
		_, err := ParseURL(value)
		if err == nil {
			t.Errorf("ParseURL(%q) gave no error", value)
			continue
		}
		if text := err.Error(); strings.Contains(text, "hunter22") || strings.Contains(text, "er22") || strings.Contains(text, "\n") || !strings.Contains(text, "may hold") {
			t.Errorf("ParseURL(%q) says %q", value, text)
		}
	}
}

// parse fails the test if the address is bad, and shortens the timeouts.
func parse(t *testing.T, url string) *Transport {
	t.Helper()
	transport, err := ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	transport.connectTimeout, transport.sendTimeout = 5*time.Second, 5*time.Second
	return transport
}

func message() *bytes.Buffer {
	return bytes.NewBufferString("Subject: Hello\r\n\r\nHello.\r\n")
}

func TestSend_EveryAnswer(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]struct {
		reply   smtptest.Reply
		outcome Outcome
		code    int
		answer  string
		taken   int
	}{
		"accepted":      {smtptest.Accept, Accepted, 250, "250 2.0.0 OK: queued", 1},
		"deferred":      {smtptest.Defer, Deferred, 451, "451 4.7.1 Greylisted, come again later", 1},
		"refused":       {smtptest.Refuse, Refused, 550, "550 5.1.1 No such mailbox here", 0},
		"rejected":      {smtptest.Reject, Refused, 554, "554 5.7.1 Looks like spam:", 1},
		"hangs":         {smtptest.Hang, Unknown, 0, "no answer within 1s", 1},
		"drops":         {smtptest.Drop, Unknown, 0, "the server closed the connection", 1},
		"drops earlier": {smtptest.DropEarly, Unreachable, 0, "the server closed the connection", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := (&smtptest.Server{Reply: func(string, int) smtptest.Reply { return want.reply }}).Start(t)
			transport := parse(t, server.URL())
			if want.reply == smtptest.Hang {
				transport.sendTimeout = time.Second
			}
			answer, err := transport.Send(t.Context(), "store@example.com", "bea@example.com", message())
			var failure *Failure
			switch {
			case err == nil && want.outcome == Accepted:
				if answer != want.answer {
					t.Errorf("answer %q, want %q", answer, want.answer)
				}
			case !errors.As(err, &failure):
				t.Fatalf("error %v, want a failure", err)
			case failure.Outcome != want.outcome || failure.Code != want.code || failure.Answer != want.answer:
				t.Errorf("failure %+v, want %+v", failure, want)
			}
			if got := len(server.Mails()); got != want.taken {
				t.Errorf("the server took %d mails, want %d", got, want.taken)
			}
		})
	}
}

func TestSend_NobodyListens(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	transport := parse(t, "smtp://"+listener.Addr().String())
	_, err = transport.Send(t.Context(), "store@example.com", "bea@example.com", message())
	var failure *Failure
	if !errors.As(err, &failure) || failure.Outcome != Unreachable || failure.Code != 0 {
		t.Errorf("error %v, want unreachable", err)
	}
	if err := transport.Check(t.Context()); err == nil || !strings.Contains(err.Error(), listener.Addr().String()) {
		t.Errorf("Check: %v, want an error that names the server", err)
	}
}

func TestSend_SilentServer(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close() // connections are taken by the kernel, and nobody ever says a word
	transport := parse(t, "smtp://"+listener.Addr().String())
	transport.sendTimeout = 200 * time.Millisecond
	_, err = transport.Send(t.Context(), "store@example.com", "bea@example.com", message())
	var failure *Failure
	if !errors.As(err, &failure) || failure.Outcome != Unreachable || failure.Answer != "no answer within 200ms" {
		t.Errorf("error %v, want unreachable for want of an answer", err)
	}
}

func TestSend_StoppingInterrupts(t *testing.T) {
	t.Parallel()
	server := (&smtptest.Server{Reply: func(string, int) smtptest.Reply { return smtptest.Hang }}).Start(t)
	transport := parse(t, server.URL())
	transport.sendTimeout = time.Minute
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		server.Wait(t, func(mails []smtptest.Mail) bool { return len(mails) == 1 })
		cancel()
	}()
	_, err := transport.Send(ctx, "store@example.com", "bea@example.com", message())
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want one that says cancelled", err)
	}
}

// remote makes a transport believe that the loopback server is elsewhere, under a name.
func remote(t *testing.T, url string, server *smtptest.Server, roots *x509.CertPool) *Transport {
	t.Helper()
	transport := parse(t, url)
	transport.roots = roots
	transport.dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, server.Address())
	}
	return transport
}

func TestSend_Security(t *testing.T) {
	t.Parallel()
	certificate, roots := certify(t, "mail.example.com")
	config := &tls.Config{Certificates: []tls.Certificate{certificate}}
	for name, test := range map[string]struct {
		server *smtptest.Server
		url    string
		roots  *x509.CertPool
		fails  string
	}{
		"STARTTLS and sign-in":       {&smtptest.Server{TLS: config, User: "portal", Password: "hunter22"}, "smtp://portal:hunter22@mail.example.com", roots, ""},
		"TLS and sign-in":            {&smtptest.Server{TLS: config, Implicit: true, User: "portal", Password: "hunter22"}, "smtps://portal:hunter22@mail.example.com", roots, ""},
		"no STARTTLS offered":        {&smtptest.Server{User: "portal", Password: "hunter22"}, "smtp://portal:hunter22@mail.example.com", roots, "no STARTTLS"},
		"certificate of a stranger":  {&smtptest.Server{TLS: config}, "smtp://mail.example.com", x509.NewCertPool(), "certificate"},
		"certificate of another":     {&smtptest.Server{TLS: config}, "smtp://other.example.com", roots, "certificate"},
		"plain where TLS is spoken":  {&smtptest.Server{}, "smtps://mail.example.com", roots, "TLS"},
		"wrong password":             {&smtptest.Server{TLS: config, User: "portal", Password: "other"}, "smtp://portal:hunter22@mail.example.com", roots, "535"},
		"sign-in missing":            {&smtptest.Server{TLS: config, User: "portal", Password: "hunter22"}, "smtp://mail.example.com", roots, "530"},
		"sign-in where there's none": {&smtptest.Server{TLS: config}, "smtp://portal:hunter22@mail.example.com", roots, "no way to sign in"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := test.server.Start(t)
			transport := remote(t, test.url, server, test.roots)
			_, err := transport.Send(t.Context(), "store@example.com", "bea@example.com", message())
			if test.fails == "" {
				if err != nil {
					t.Fatal(err)
				}
				if err := transport.Check(t.Context()); err != nil {
					t.Errorf("Check: %v", err)
				}
				return
			}
			var failure *Failure
			if !errors.As(err, &failure) || failure.Outcome == Refused {
				t.Fatalf("error %v, want a failure that is tried again: it is not the mail's fault", err)
			}
			if !strings.Contains(failure.Answer, test.fails) || strings.Contains(failure.Answer, "hunter22") {
				t.Errorf("answer %q, want it to mention %q and no password", failure.Answer, test.fails)
			}
			if mails := server.Mails(); len(mails) != 0 {
				t.Errorf("%d mails were handed over", len(mails))
			}
		})
	}
}

// certify makes a self-signed certificate for a host, and the pool that trusts it.
func certify(t *testing.T, host string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{host}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}, pool
}
