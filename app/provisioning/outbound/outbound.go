// Package outbound is how drivers reach providers: an HTTP client that keeps to the public internet and to what the operator
// allows, to times, sizes and rates, and that writes down the exchange for debug data without its secrets. Start reading at
// Open; policy.go decides which addresses may be reached, mask.go what may be seen.
package outbound

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	connectTime = 5 * time.Second
	// DefaultLimit is how long one request may take, and MaxLimit how long one may that declares more.
	DefaultLimit = 30 * time.Second
	MaxLimit     = 240 * time.Second
	maxBody      = 1 << 20 // bytes read of an answer
	maxHeader    = 64 << 10
	userAgent    = "Portico"
	// shortWait is how long a call waits for its turn before anything was sent; for longer it is Busy.
	shortWait = 2 * time.Second
)

// Client makes the clients of single calls. They share connections and the count of calls of each configuration.
type Client struct {
	policy    Policy
	transport *http.Transport
	mutex     sync.Mutex
	rates     map[string]*bucket
}

// New makes a client. roots are the certificate authorities to trust, nil for the system's.
func New(policy Policy, roots *x509.CertPool) *Client {
	c := &Client{policy: policy, rates: map[string]*bucket{}}
	// No proxy of the environment: the address that is checked must be the provider's.
	c.transport = &http.Transport{
		DialContext:            c.dial(true),
		DialTLSContext:         c.dialTLS(roots),
		MaxResponseHeaderBytes: maxHeader,
		MaxIdleConnsPerHost:    4,
		MaxConnsPerHost:        32,
		IdleConnTimeout:        60 * time.Second,
		DisableCompression:     true, // what is small on the wire may be huge in memory
	}
	return c
}

// Policy is what the client was made with.
func (c *Client) Policy() Policy { return c.policy }

func (c *Client) dial(plain bool) func(ctx context.Context, network, address string) (net.Conn, error) {
	checked := net.Dialer{Timeout: connectTime, KeepAlive: 30 * time.Second, Control: c.policy.control(plain)}
	free := net.Dialer{Timeout: connectTime, KeepAlive: 30 * time.Second}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		if c.policy.named(host) {
			return free.DialContext(ctx, network, address)
		}
		return checked.DialContext(ctx, network, address)
	}
}

func (c *Client) dialTLS(roots *x509.CertPool) func(ctx context.Context, network, address string) (net.Conn, error) {
	dial := c.dial(false)
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, connectTime)
		defer cancel()
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		secure := tls.Client(conn, &tls.Config{ServerName: host, RootCAs: roots, MinVersion: tls.VersionTLS12})
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		return secure, nil
	}
}

// Options are what one call declares.
type Options struct {
	Configuration string        // whose rate counts, an id
	PerSecond     int           // requests, 0: no limit
	Limit         time.Duration // of one request; 0 is DefaultLimit, more than MaxLimit is MaxLimit
	Fields        []string      // names of fields that are secret wherever they stand in the exchange
	Secrets       []string      // values that are secret: credentials and secret parameters
}

// Call is one call of a driver: its client, and what went over the wire, masked. It may be used by several goroutines.
type Call struct {
	client    *Client
	options   Options
	acted     atomic.Bool
	mutex     sync.Mutex
	secrets   []string
	exchanges []Exchange
	left      int
}

// Open begins a call.
func (c *Client) Open(options Options) *Call {
	switch {
	case options.Limit <= 0:
		options.Limit = DefaultLimit
	case options.Limit > MaxLimit:
		options.Limit = MaxLimit
	}
	return &Call{client: c, options: options, secrets: append([]string(nil), options.Secrets...)}
}

// Client is what the driver gets. Redirects are answers to it like others; answers are read whole and at most 1 MiB long.
func (c *Call) Client() *http.Client {
	return &http.Client{
		Transport:     c,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Busy says that the configuration's limit of calls is used up, and nothing was sent.
type Busy struct{ After time.Duration }

func (e *Busy) Error() string { return "the configuration's limit of calls is used up" }

// Error is a request that got no whole answer. Its text holds neither address nor credentials.
type Error struct {
	Sent bool // whether the provider may have seen the request
	what string
	err  error
}

func (e *Error) Error() string { return e.what }

// Unwrap lets errors.Is find ErrInner, ErrPlain and the context's errors. What else is below may hold an address.
func (e *Error) Unwrap() error { return e.err }

// NotSent says whether err means that the provider has seen nothing of the request, so that it can't have acted.
func NotSent(err error) bool {
	var busy *Busy
	var failure *Error
	return errors.As(err, &busy) || errors.As(err, &failure) && !failure.Sent
}

// Clean is err without the address that http.Client puts around what its transport says.
func Clean(err error) error {
	var around *url.Error
	if errors.As(err, &around) {
		return around.Err
	}
	return err
}

// RoundTrip sends the request when the configuration's rate allows it, reads the answer whole and notes both.
func (c *Call) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.URL.User != nil {
		closeBody(request)
		return nil, &Error{what: "the provider's address holds credentials, which is not allowed"}
	}
	if err := c.wait(request.Context()); err != nil {
		closeBody(request)
		return nil, err
	}
	sent, err := body(request)
	if err != nil {
		return nil, err
	}
	var connected atomic.Bool
	ctx, cancel := context.WithTimeout(request.Context(), c.options.Limit)
	defer cancel()
	trace := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }})
	outgoing := request.Clone(trace)
	if outgoing.Header.Get("User-Agent") == "" {
		outgoing.Header.Set("User-Agent", userAgent)
	}
	if sent != nil {
		outgoing.Body = io.NopCloser(bytes.NewReader(sent))
		outgoing.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(sent)), nil }
		outgoing.ContentLength = int64(len(sent))
	}
	started := time.Now()
	response, err := c.client.transport.RoundTrip(outgoing)
	var answer []byte
	if err == nil {
		answer, err = io.ReadAll(io.LimitReader(response.Body, maxBody+1))
		response.Body.Close()
		if err == nil && len(answer) > maxBody {
			err = errTooLong
		}
	}
	if connected.Load() {
		c.acted.Store(true)
	}
	if err != nil {
		err = failure(err, connected.Load(), c.options.Limit)
	}
	c.note(outgoing, sent, response, answer, err, started)
	if err != nil {
		return nil, err
	}
	response.Request = request
	response.Body = io.NopCloser(bytes.NewReader(answer))
	response.ContentLength = int64(len(answer))
	return response, nil
}

var errTooLong = errors.New("the provider's answer is too long")

// failure puts what went wrong into words without addresses, which are for the store's people.
func failure(err error, sent bool, limit time.Duration) error {
	e := &Error{Sent: sent}
	var dns *net.DNSError
	var verification *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	switch {
	case errors.Is(err, ErrInner):
		e.what, e.err = ErrInner.Error(), ErrInner
	case errors.Is(err, ErrPlain):
		e.what, e.err = ErrPlain.Error(), ErrPlain
	case errors.Is(err, errTooLong):
		e.what = errTooLong.Error()
	case errors.As(err, &verification):
		e.what = "the provider's certificate can't be trusted: " + verification.Err.Error()
	case errors.As(err, &record):
		e.what = "the provider does not speak TLS there"
	case errors.As(err, &dns):
		e.what = "no address is known of the provider's name"
	case errors.Is(err, context.Canceled):
		e.what, e.err = "the call was given up", context.Canceled
	case !sent && timeout(err):
		e.what, e.err = "no connection to the provider within "+connectTime.String(), context.DeadlineExceeded
	case timeout(err):
		e.what, e.err = "no answer from the provider within "+limit.String(), context.DeadlineExceeded
	case !sent:
		e.what = "no connection to the provider: " + system(err)
	default:
		e.what = "the connection to the provider broke off: " + system(err)
	}
	return e
}

func timeout(err error) bool {
	var timed interface{ Timeout() bool }
	return errors.As(err, &timed) && timed.Timeout() || errors.Is(err, context.DeadlineExceeded)
}

// system is the innermost error, e.g. "connection refused"; those around it name addresses.
func system(err error) string {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			break
		}
		err = inner
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok && len(joined.Unwrap()) > 0 {
		return system(joined.Unwrap()[0])
	}
	// Of an answer that is no HTTP the error quotes the beginning.
	what, _, _ := strings.Cut(err.Error(), `"`)
	return strings.TrimSpace(what)
}

func body(request *http.Request) ([]byte, error) {
	if request.Body == nil || request.Body == http.NoBody {
		return nil, nil
	}
	defer request.Body.Close()
	sent, err := io.ReadAll(request.Body)
	if err != nil {
		return nil, fmt.Errorf("read what is to be sent: %w", err)
	}
	return sent, nil
}

func closeBody(request *http.Request) {
	if request.Body != nil {
		request.Body.Close()
	}
}
