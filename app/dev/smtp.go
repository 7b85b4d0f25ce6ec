package dev

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"time"

	"github.com/emersion/go-smtp"
)

// MailServer is the dev run's mail server: real SMTP on a port of this machine that the system picks. It takes every mail for
// every address, and puts it into the mailbox.
type MailServer struct {
	server   *smtp.Server
	listener net.Listener
	served   chan struct{}
}

// ServeMail starts a mail server that delivers to a mailbox. End it with Close.
func ServeMail(mailbox *Mailbox) (*MailServer, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start the mail server of the dev run: %w", err)
	}
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &mailSession{mailbox: mailbox}, nil }))
	server.Domain = "localhost"
	server.MaxMessageBytes = 25 << 20
	server.MaxRecipients = 100
	server.ReadTimeout = time.Minute
	server.WriteTimeout = time.Minute
	server.ErrorLog = slog.NewLogLogger(slog.Default().Handler(), slog.LevelWarn)
	s := &MailServer{server: server, listener: listener, served: make(chan struct{})}
	go func() {
		defer close(s.served)
		if err := server.Serve(listener); err != nil && !errors.Is(err, net.ErrClosed) {
			slog.Error("the mail server of the dev run ended", "error", err)
		}
	}()
	return s, nil
}

// URL is the value for SMTP_URL.
func (s *MailServer) URL() string { return "smtp://" + s.listener.Addr().String() }

// Close ends the server and its connections, and returns when it has.
func (s *MailServer) Close() error {
	err := s.server.Close()
	<-s.served
	if err != nil {
		return fmt.Errorf("stop the mail server of the dev run: %w", err)
	}
	return nil
}

// mailSession is one connection.
type mailSession struct {
	mailbox *Mailbox
	to      []string
}

func (s *mailSession) Mail(string, *smtp.MailOptions) error { return nil }

func (s *mailSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = append(s.to, to)
	return nil
}

// Data answers 250 when the mail is in the mailbox, and 451 ("later") when it can't be stored.
func (s *mailSession) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err // larger than the limit, or the sender is gone
	}
	if err := s.mailbox.Keep(s.to, raw); err != nil {
		slog.Error("a mail could not be kept", "error", err)
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "The mail could not be stored"}
	}
	return nil
}

func (s *mailSession) Reset() { s.to = nil }

func (s *mailSession) Logout() error { return nil }
