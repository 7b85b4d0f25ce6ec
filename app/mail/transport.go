package mail

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/wneessen/go-mail/smtp"
)

// Timeouts of the mail server's connection.
const (
	// connectTimeout is until TCP (and with smtps TLS) stands. While the server is out of reach, each worker of the queue waits
	// this long for each mail. That holds up nothing but mail, which could not go anyway, and once the server is back all go on
	// within this time: a breaker that puts mails off would make them later, not sooner.
	connectTimeout = 10 * time.Second
	sendTimeout    = 30 * time.Second // for one whole mail, connecting included
	quitTimeout    = 2 * time.Second
)

// Transport hands mails to one mail server. Safe for concurrent use; each mail has a connection of its own.
type Transport struct {
	host, port     string
	user, password string
	security       security

	connectTimeout, sendTimeout time.Duration
	roots                       *x509.CertPool // nil: the system's
	dial                        func(ctx context.Context, network, address string) (net.Conn, error)
}

// security says how the connection is kept private. There is no "if the server offers it": what is configured happens, or
// nothing is sent.
type security int

const (
	startTLS    security = iota // plain until STARTTLS, which is demanded
	implicitTLS                 // TLS from the first byte
	plain                       // no TLS: only to this machine itself
)

const mayHold = "may hold smtp://user:password@host:587 (STARTTLS; plain only to this machine) or smtps://user:password@host:465"

// ParseURL reads the value of SMTP_URL. Its error says in one line what the value holds, without a password, and what it may
// hold; the caller names the variable.
func ParseURL(value string) (*Transport, error) {
	address, err := url.Parse(value)
	if err != nil || address.Host == "" {
		return nil, fmt.Errorf("holds something that is no address, %s", mayHold) // url's error quotes the password
	}
	shown := url.URL{Scheme: address.Scheme, User: address.User, Host: address.Host}
	holds := fmt.Sprintf("holds %q", shown.Redacted())
	if address.Path != "" && address.Path != "/" || address.RawQuery != "" || address.Fragment != "" || address.Hostname() == "" {
		return nil, fmt.Errorf("%s and more behind it, %s", holds, mayHold)
	}
	if port, err := strconv.Atoi(address.Port()); address.Port() != "" && (err != nil || port < 1 || port > 65535) {
		return nil, fmt.Errorf("%s, whose port is none, %s", holds, mayHold)
	}
	t := &Transport{
		host: address.Hostname(), port: address.Port(), user: address.User.Username(),
		connectTimeout: connectTimeout, sendTimeout: sendTimeout,
	}
	t.password, _ = address.User.Password()
	t.dial = (&net.Dialer{}).DialContext
	if (t.user == "") != (t.password == "") {
		return nil, fmt.Errorf("%s with a user or a password alone, %s", holds, mayHold)
	}
	standard := "587"
	switch address.Scheme {
	case "smtps":
		t.security, standard = implicitTLS, "465"
	case "smtp":
		if loopback(t.host) {
			t.security = plain
		}
	default:
		return nil, fmt.Errorf("%s, %s", holds, mayHold)
	}
	if t.port == "" {
		t.port = standard
	}
	return t, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Server is the mail server's host and port.
func (t *Transport) Server() string { return net.JoinHostPort(t.host, t.port) }

// Outcome is how one attempt ended.
type Outcome string

const (
	Accepted    Outcome = "accepted"    // the server said 250 to the whole mail
	Deferred    Outcome = "deferred"    // the server said 4xx: later perhaps
	Refused     Outcome = "refused"     // the server said 5xx: never
	Unreachable Outcome = "unreachable" // no mail was handed over: no connection, no TLS, no sign-in
	Unknown     Outcome = "unknown"     // the mail was handed over, the answer never came
)

// Failure is why a mail was not accepted. Only Refused is final.
type Failure struct {
	Outcome Outcome
	Code    int    // the SMTP reply code, 0 when the server gave none
	Answer  string // what the server or the network said, redacted

	cause error
}

func (f *Failure) Error() string { return string(f.Outcome) + ": " + f.Answer }

// Unwrap gives the error beneath, so that a stopping program is told from a failing server. Its text is not redacted.
func (f *Failure) Unwrap() error { return f.cause }

// Send hands one mail to the server, for one recipient. It returns the server's 250 text, or a *Failure. from and to are bare
// addresses that cleanAddress has passed.
func (t *Transport) Send(ctx context.Context, from, to string, message io.WriterTo) (answer string, err error) {
	ctx, cancel := context.WithTimeout(ctx, t.sendTimeout)
	defer cancel()
	session, err := t.connect(ctx)
	if err != nil {
		// Whatever the server said here, it was about us and not about this mail, so a wrong password loses none.
		failure := t.failure(ctx, err, Unreachable)
		failure.Outcome = Unreachable
		return "", failure
	}
	defer session.abandon()
	if err := session.Mail("<" + from + ">"); err != nil {
		return "", t.failure(ctx, err, Unreachable)
	}
	if err := session.Rcpt("<" + to + ">"); err != nil {
		return "", t.failure(ctx, err, Unreachable)
	}
	body, err := session.Data()
	if err != nil {
		return "", t.failure(ctx, err, Unreachable)
	}
	if _, err := message.WriteTo(body); err != nil {
		return "", t.failure(ctx, err, Unreachable) // the final dot was not sent: the server has no mail
	}
	if err := body.Close(); err != nil {
		return "", t.failure(ctx, err, Unknown)
	}
	answer = "250 " + body.(*smtp.DataCloser).ServerResponse()
	session.leave()
	return Redact(answer, t.password), nil
}

// Check connects, signs in and leaves again, sending nothing. Its error is fit for a person's eyes.
func (t *Transport) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, t.sendTimeout)
	defer cancel()
	session, err := t.connect(ctx)
	if err == nil {
		defer session.abandon()
		err = session.Noop()
	}
	if err != nil {
		return fmt.Errorf("mail server %s: %s", t.Server(), t.failure(ctx, err, Unreachable).Answer)
	}
	session.leave()
	return nil
}

// session is a signed-in connection.
type session struct {
	*smtp.Client
	conn net.Conn
	stop func() bool // stops watching the context
	left bool
}

// leave says goodbye without making anybody wait for the server's answer to it.
func (s *session) leave() {
	s.stop()
	s.left = true
	go func() {
		_ = s.conn.SetDeadline(time.Now().Add(quitTimeout))
		_ = s.Quit()
		_ = s.conn.Close()
	}()
}

func (s *session) abandon() {
	if !s.left {
		s.stop()
		_ = s.conn.Close()
	}
}

func (t *Transport) connect(ctx context.Context) (*session, error) {
	dialing, cancel := context.WithTimeout(ctx, t.connectTimeout)
	defer cancel()
	conn, err := t.dial(dialing, "tcp", t.Server())
	if err != nil {
		return nil, err
	}
	config := &tls.Config{ServerName: t.host, RootCAs: t.roots, MinVersion: tls.VersionTLS12}
	if t.security == implicitTLS {
		secured := tls.Client(conn, config)
		if err := secured.HandshakeContext(dialing); err != nil {
			_ = conn.Close()
			return nil, fmt.Errorf("TLS: %w", err)
		}
		conn = secured
	}
	// Closing the connection is the one thing that ends every read and write, wherever the server hangs.
	s := &session{conn: conn, stop: context.AfterFunc(ctx, func() { _ = conn.Close() })}
	if s.Client, err = smtp.NewClient(conn, t.host); err == nil {
		err = t.greet(s.Client, config)
	}
	if err != nil {
		s.abandon()
		return nil, err
	}
	return s, nil
}

func (t *Transport) greet(client *smtp.Client, config *tls.Config) error {
	client.SkipSMTPUTF8(true) // our addresses are ASCII, so a next server without the extension is no obstacle
	if err := client.Hello(ownName()); err != nil {
		return err
	}
	if t.security == startTLS {
		if offered, _ := client.Extension("STARTTLS"); !offered {
			return errors.New("the server offers no STARTTLS, and without it nothing is sent")
		}
		if err := client.StartTLS(config); err != nil {
			return fmt.Errorf("STARTTLS: %w", err)
		}
	}
	if t.user == "" {
		return nil
	}
	_, mechanisms := client.Extension("AUTH")
	auth := t.auth(strings.Fields(mechanisms))
	if auth == nil {
		return errors.New("the server offers no way to sign in that we know (SCRAM-SHA-256, PLAIN, LOGIN)")
	}
	if err := client.Auth(auth); err != nil {
		return fmt.Errorf("sign in: %w", err)
	}
	return nil
}

func (t *Transport) auth(offered []string) smtp.Auth {
	has := map[string]bool{}
	for _, mechanism := range offered {
		has[strings.ToUpper(mechanism)] = true
	}
	switch {
	case has["SCRAM-SHA-256"]:
		return smtp.ScramSHA256Auth(t.user, t.password)
	case has["PLAIN"]:
		return smtp.PlainAuth("", t.user, t.password, t.host, t.security == plain)
	case has["LOGIN"]:
		return smtp.LoginAuth(t.user, t.password, t.host, t.security == plain)
	}
	return nil
}

var hostName = regexp.MustCompile(`^[A-Za-z0-9.-]+$`)

// ownName is what we call ourselves to the server.
func ownName() string {
	if name, err := os.Hostname(); err == nil && hostName.MatchString(name) {
		return name
	}
	return "localhost"
}

// failure sorts an error by the server's reply code; without one the outcome is what the caller says.
func (t *Transport) failure(ctx context.Context, err error, without Outcome) *Failure {
	failure := &Failure{Outcome: without, cause: err, Answer: Redact(err.Error(), t.password)}
	var reply *textproto.Error
	switch {
	case errors.As(err, &reply):
		failure.Code, failure.Answer = reply.Code, Redact(fmt.Sprintf("%d %s", reply.Code, reply.Msg), t.password)
		switch {
		case reply.Code >= 500 && reply.Code != 530: // 530: it wants a sign-in first, which is ours to mend
			failure.Outcome = Refused
		case reply.Code >= 400:
			failure.Outcome = Deferred
		}
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		failure.Answer = fmt.Sprintf("no answer within %s", t.sendTimeout)
	case ctx.Err() != nil:
		failure.Answer, failure.cause = "interrupted, the portal was stopping", ctx.Err()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		failure.Answer = "the server closed the connection"
	}
	return failure
}
