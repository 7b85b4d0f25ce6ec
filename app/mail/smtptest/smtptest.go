// Package smtptest runs real SMTP servers for tests, which answer as they are told: 250, 4xx, 5xx, not at all, or by dropping
// the connection.
package smtptest

import (
	"bytes"
	"crypto/tls"
	"io"
	"log"
	"net"
	"slices"
	"sync"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// Reply is what the server does with one mail.
type Reply int

const (
	Accept    Reply = iota // 250
	Defer                  // 451 to the mail
	Refuse                 // 550 to the recipient
	Reject                 // 554 to the mail, quoting its lines that hold a web address
	Hang                   // takes the mail and never answers
	Drop                   // takes the mail and closes the connection
	DropEarly              // closes the connection before the mail
)

// Mail is one that the server has taken whole, whatever it then answered.
type Mail struct {
	From, To string
	Data     []byte
	Reply    Reply
}

// Server is a running mail server. Its zero-valued options make a plain one without sign-in.
type Server struct {
	// Reply decides about the n-th mail (from 1) for a recipient; nil accepts all. Called from several goroutines.
	Reply func(to string, n int) Reply
	// TLS offers STARTTLS, or with Implicit speaks TLS from the first byte.
	TLS      *tls.Config
	Implicit bool
	// User and Password are demanded if set.
	User, Password string

	listener net.Listener
	server   *smtp.Server

	mu      sync.Mutex
	mails   []Mail
	seen    map[string]int
	arrived chan struct{} // closed and replaced when a mail comes
	over    chan struct{}
}

// Start begins to serve on a port of the loopback address, until the test ends.
func (s *Server) Start(t testing.TB) *Server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("smtptest: %v", err)
	}
	s.listener, s.seen, s.arrived, s.over = listener, map[string]int{}, make(chan struct{}), make(chan struct{})
	s.serve(listener)
	t.Cleanup(func() {
		close(s.over)
		_ = s.server.Close()
	})
	return s
}

func (s *Server) serve(listener net.Listener) {
	s.server = smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) { return &session{server: s, conn: c}, nil }))
	s.server.Domain = "mail.test"
	s.server.TLSConfig = s.TLS
	s.server.AllowInsecureAuth = true
	s.server.ErrorLog = log.New(io.Discard, "", 0)
	if s.Implicit {
		listener = tls.NewListener(listener, s.TLS)
	}
	go func() { _ = s.server.Serve(listener) }()
}

// Address is the server's host and port.
func (s *Server) Address() string { return s.listener.Addr().String() }

// URL is the value for SMTP_URL of a plain server.
func (s *Server) URL() string { return "smtp://" + s.Address() }

// Mails are those taken so far, in the order of their coming.
func (s *Server) Mails() []Mail {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.mails)
}

// Wait returns once done says so of the mails taken so far. The test's deadline ends it.
func (s *Server) Wait(t testing.TB, done func([]Mail) bool) []Mail {
	t.Helper()
	for {
		s.mu.Lock()
		mails, arrived := slices.Clone(s.mails), s.arrived
		s.mu.Unlock()
		if done(mails) {
			return mails
		}
		select {
		case <-arrived:
		case <-t.Context().Done():
			t.Fatalf("smtptest: gave up waiting, %d mails have come", len(mails))
		}
	}
}

func (s *Server) took(mail Mail) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mails = append(s.mails, mail)
	close(s.arrived)
	s.arrived = make(chan struct{})
}

type session struct {
	server   *Server
	conn     *smtp.Conn
	signedIn bool
	from, to string
	reply    Reply
}

func (s *session) AuthMechanisms() []string {
	if s.server.User == "" {
		return nil
	}
	return []string{sasl.Plain}
}

func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != s.server.User || password != s.server.Password {
			return smtp.ErrAuthFailed
		}
		s.signedIn = true
		return nil
	}), nil
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	if s.server.User != "" && !s.signedIn {
		return &smtp.SMTPError{Code: 530, EnhancedCode: smtp.EnhancedCode{5, 7, 0}, Message: "Authentication required"}
	}
	s.from = from
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = to
	if s.server.Reply != nil {
		s.server.mu.Lock()
		s.server.seen[to]++
		n := s.server.seen[to]
		s.server.mu.Unlock()
		s.reply = s.server.Reply(to, n)
	}
	switch s.reply {
	case Refuse:
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "No such mailbox here"}
	case DropEarly:
		_ = s.conn.Conn().Close()
	}
	return nil
}

func (s *session) Data(r io.Reader) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.server.took(Mail{From: s.from, To: s.to, Data: data, Reply: s.reply})
	switch s.reply {
	case Defer:
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 7, 1}, Message: "Greylisted, come again later"}
	case Reject:
		var quoted []byte
		for line := range bytes.Lines(data) {
			if bytes.Contains(line, []byte("http")) {
				quoted = append(append(quoted, ' '), bytes.TrimSpace(line)...)
			}
		}
		return &smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5, 7, 1}, Message: "Looks like spam:" + string(quoted)}
	case Hang:
		<-s.server.over
	case Drop:
		_ = s.conn.Conn().Close()
	}
	return nil
}

func (s *session) Reset() {}

func (s *session) Logout() error { return nil }
