// Package server puts the portal on the network: every route (routes.go), and what happens to each request before its
// handler runs (this file, in that order).
package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"portico/app"
	"portico/app/access"
	"portico/app/auth"
	"portico/app/limits"
	"portico/app/store"
	"portico/app/web"
	"portico/static"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/middleware/limiter"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Config is what a Server needs.
type Config struct {
	Site           *web.Site
	Pool           *pgxpool.Pool
	Auth           *auth.Service
	Handlers       Handlers
	Ready          func(ctx context.Context) (warnings []string, err error) // what /readyz says
	Metrics        *Metrics
	TrustedProxies []netip.Prefix
	// RequireFactor keeps people of the store to setting up a second factor until they have one.
	RequireFactor bool
}

// Server is the portal on the network.
type Server struct {
	config Config
	fiber  *fiber.App
	host   string

	stopping atomic.Bool
}

// Limits of a request.  The body's is above the largest form, the logo's upload.
const (
	maxBody        = 2 << 20
	maxHeaders     = 16 << 10
	readTimeout    = 30 * time.Second
	writeTimeout   = 60 * time.Second
	idleTimeout    = 75 * time.Second // above the 60 s after which common proxies close theirs
	handlerTimeout = 20 * time.Second
	// visitorsPerMinute is how many pages one address without a session may ask one process for.
	visitorsPerMinute = 1200
)

// changing is how often one person may change anything at all, over all routes without a rate of their own.
var changing = limits.Rate{Times: 600, Window: 15 * time.Minute}

// New builds a server that listens nowhere yet.
func New(config Config) (*Server, error) {
	public, err := url.Parse(config.Site.URL)
	if err != nil {
		return nil, fmt.Errorf("read the public address: %w", err)
	}
	s := &Server{config: config, host: public.Host}
	s.fiber = fiber.New(fiber.Config{
		// Strings of the request stay what they are after the handler returned (services keep some).
		Immutable:         true,
		BodyLimit:         maxBody,
		StreamRequestBody: true, // read in bodies.go, by kind of route
		// A form with files is read as it comes, never parsed before it is known who sends it.
		DisablePreParseMultipartForm: true,
		ReadBufferSize:               maxHeaders,
		ReadTimeout:                  readTimeout,
		WriteTimeout:                 writeTimeout,
		IdleTimeout:                  idleTimeout,
		ErrorHandler:                 s.fail,
		DisableStartupMessage:        true,
	})
	s.fiber.Server().CloseOnShutdown = true
	s.fiber.Server().NoDefaultServerHeader = true

	s.fiber.Use(s.watch, s.headers)
	s.fiber.Get("/healthz", func(c *fiber.Ctx) error { return c.SendString("ok\n") })
	s.fiber.Get("/readyz", s.ready)
	s.fiber.Get("/static/*", asset)
	s.fiber.Use(s.checkHost, s.attach, quiet, limiter.New(limiter.Config{
		Max: visitorsPerMinute, Expiration: time.Minute,
		Next:         func(c *fiber.Ctx) bool { return web.Viewer(c).SignedIn() },
		KeyGenerator: func(c *fiber.Ctx) string { return limits.Source(web.Viewer(c).IP) },
		LimitReached: func(*fiber.Ctx) error { return &app.Limited{After: time.Minute} },
	}))
	for _, route := range Routes(config.Handlers, config.Site.Dev) {
		if route.Method == fiber.MethodGet {
			s.fiber.Get(route.Path, s.guard(route), route.Handler) // answers HEAD as well
		} else {
			s.fiber.Add(route.Method, route.Path, takeBody(route), s.guard(route), route.Handler)
		}
	}
	s.fiber.Use(func(*fiber.Ctx) error { return app.ErrNotFound })
	return s, nil
}

// Serve answers on the listener until Shutdown. It returns when the shutdown begins; wait for Shutdown itself.
func (s *Server) Serve(listener net.Listener) error { return s.fiber.Listener(listener) }

// Stopping makes every answer from now on the last of its connection, so that none is in use when the server shuts down.
func (s *Server) Stopping() { s.stopping.Store(true) }

// Shutdown stops accepting, lets running requests finish, and returns when they have, or ctx's error.
func (s *Server) Shutdown(ctx context.Context) error { return s.fiber.ShutdownWithContext(ctx) }

// quiet takes back what the limiter tells of itself: numbers that nobody asked for.
func quiet(c *fiber.Ctx) error {
	err := c.Next()
	for _, name := range []string{"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"} {
		c.Response().Header.Del(name)
	}
	return err
}

// watch gives the request an id and a deadline, keeps a panic to it, and writes it down. The route's pattern is logged,
// never the path: paths carry tokens.
func (s *Server) watch(c *fiber.Ctx) (err error) {
	start := time.Now()
	id := uuid.NewString()
	c.Set("X-Request-Id", id)
	c.Locals("request id", id)
	ctx, cancel := context.WithTimeout(c.UserContext(), handlerTimeout)
	defer cancel()
	c.SetUserContext(ctx)
	func() {
		defer func() {
			if r := recover(); r != nil {
				slog.ErrorContext(ctx, "panic", "panic", r, "request_id", id, "stack", string(debug.Stack()))
				err = fmt.Errorf("panic: %v", r)
			}
		}()
		// A body whose length is said in two ways, or not at all, is how requests are smuggled past a proxy. Browsers say it.
		if len(c.Request().Header.Peek(fiber.HeaderTransferEncoding)) > 0 {
			c.Response().SetConnectionClose()
			err = fiber.ErrLengthRequired
			return
		}
		err = c.Next()
	}()
	if s.stopping.Load() {
		c.Response().SetConnectionClose() // the client's next request goes elsewhere
	}
	if err != nil {
		err = s.fail(c, err)
	}
	leaveBody(c)
	status, took, route := c.Response().StatusCode(), time.Since(start), c.Route().Path
	if route == "/" && c.Path() != "/" {
		route = "none" // only middleware saw it: it is no visit of the first page
	}
	s.config.Metrics.Observe(c.Method(), route, status, took)
	var who app.Viewer
	if r := web.Attached(c); r != nil {
		who = r.Viewer
	}
	slog.InfoContext(ctx, "request", "method", c.Method(), "route", route, "status", status, "ms", took.Milliseconds(),
		"user", who.UserID, "ip", who.IP, "request_id", id)
	return err
}

// fail answers an error. A database out of reach is a passing state, not a fault of ours.
func (s *Server) fail(c *fiber.Ctx, err error) error {
	var connect *pgconn.ConnectError
	if errors.As(err, &connect) || pgconn.SafeToRetry(err) {
		slog.ErrorContext(c.UserContext(), "database out of reach", "error", err)
		err = app.ErrBusy
	}
	return web.Fail(c, err)
}

// contentSecurityPolicy allows nothing but our own files: no inline script or style, no framing, no foreign address.
const contentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; " +
	"connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'; manifest-src 'self'"

// headers sets what browsers need to know to keep people safe. Source: OWASP ASVS 5.0, 3.4.
func (s *Server) headers(c *fiber.Ctx) error {
	c.Set(fiber.HeaderContentSecurityPolicy, contentSecurityPolicy)
	c.Set(fiber.HeaderXContentTypeOptions, "nosniff")
	c.Set(fiber.HeaderXFrameOptions, "DENY")
	c.Set(fiber.HeaderReferrerPolicy, "same-origin")
	c.Set(fiber.HeaderPermissionsPolicy, "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
	c.Set("Cross-Origin-Opener-Policy", "same-origin")
	c.Set("Cross-Origin-Resource-Policy", "same-origin")
	c.Set(fiber.HeaderCacheControl, "no-store")
	if s.config.Site.Secure() {
		c.Set(fiber.HeaderStrictTransportSecurity, "max-age=63072000; includeSubDomains")
	}
	return c.Next()
}

func (s *Server) ready(c *fiber.Ctx) error {
	warnings, err := s.config.Ready(c.UserContext())
	answer := fiber.Map{"ready": err == nil, "warnings": warnings}
	if err != nil {
		slog.WarnContext(c.UserContext(), "not ready", "error", err)
		c.Status(fiber.StatusServiceUnavailable)
	}
	return c.JSON(answer)
}

// asset sends a file of static/. Its name holds a hash of its content, so it may be kept for ever.
func asset(c *fiber.Ctx) error {
	file, ok := static.Find(c.Path())
	if !ok {
		return c.Status(fiber.StatusNotFound).SendString("not found\n")
	}
	c.Set(fiber.HeaderCacheControl, "public, max-age=31536000, immutable")
	c.Set(fiber.HeaderContentType, file.Type)
	c.Set(fiber.HeaderVary, fiber.HeaderAcceptEncoding)
	if file.Gzip != nil && c.Request().Header.HasAcceptEncoding("gzip") {
		c.Set(fiber.HeaderContentEncoding, "gzip")
		return c.Send(file.Gzip)
	}
	return c.Send(file.Content)
}

// checkHost refuses requests for other names: a foreign page must not reach the portal by a name of its own (DNS
// rebinding). The dev run is reached by any loopback name.
func (s *Server) checkHost(c *fiber.Ctx) error {
	host := string(c.Request().URI().Host())
	if host == s.host {
		return c.Next()
	}
	if s.config.Site.Dev {
		name := host
		if h, _, err := net.SplitHostPort(host); err == nil {
			name = h
		}
		if ip, err := netip.ParseAddr(strings.Trim(name, "[]")); name == "localhost" || err == nil && ip.IsLoopback() {
			return c.Next()
		}
	}
	return c.Status(fiber.StatusMisdirectedRequest).SendString("This portal answers at " + s.config.Site.URL + "\n")
}

// attach finds out who asks, of which store, in which language.
func (s *Server) attach(c *fiber.Ctx) error {
	ctx := c.UserContext()
	now := time.Now()
	from := auth.Visitor{
		IP: s.clientIP(c), Browser: auth.BrowserName(c.Get(fiber.HeaderUserAgent)), RequestID: c.Locals("request id").(string),
		Background: c.Get(web.HeaderBackground) != "",
	}
	current, err := store.Current(ctx, s.config.Pool)
	if err != nil {
		return fmt.Errorf("read the store: %w", errors.Join(app.ErrBusy, err))
	}
	var viewer app.Viewer
	var stage auth.Stage
	if secret := c.Cookies(s.config.Site.CookieName(auth.SessionCookie)); secret != "" {
		if viewer, stage, err = s.config.Auth.Resolve(ctx, secret, from); err != nil {
			return fmt.Errorf("find the session: %w", errors.Join(app.ErrBusy, err))
		}
		if stage == auth.StageNone {
			s.config.Site.SetCookie(c, auth.SessionCookie, "", -1)
		}
	}
	viewer.IP, viewer.Browser, viewer.RequestID = from.IP, from.Browser, from.RequestID
	language, zone := viewer.Language, viewer.Zone
	if language == "" {
		language = s.config.Site.Catalogue.Match(c.Get(fiber.HeaderAcceptLanguage), current.Language)
	}
	if zone == "" {
		zone = current.TimeZone
	}
	r := &web.Request{
		Printer: s.config.Site.Catalogue.Printer(language, zone, now), Site: s.config.Site, Viewer: viewer, Store: current,
		Path: c.OriginalURL(), Now: now,
		FactorMissing: s.factorMissing(viewer),
	}
	r.BindCSRF(c)
	web.Attach(c, r)
	return c.Next()
}

func (s *Server) factorMissing(v app.Viewer) bool {
	return s.config.RequireFactor && v.OfStore() && !v.SecondFactor
}

// clientIP is the address the request came from: the connection's, or, where that is a trusted proxy's, the last one in
// X-Forwarded-For that no trusted proxy added. Addresses further left were written by whoever liked to.
func (s *Server) clientIP(c *fiber.Ctx) string {
	remote, ok := netip.AddrFromSlice(c.Context().RemoteIP())
	if !ok {
		return ""
	}
	ip := remote.Unmap()
	if !s.trusted(ip) {
		return ip.String()
	}
	hops := strings.Split(c.Get(fiber.HeaderXForwardedFor), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		if ip = hop.Unmap(); !s.trusted(ip) {
			break
		}
	}
	return ip.String()
}

func (s *Server) trusted(ip netip.Addr) bool {
	for _, prefix := range s.config.TrustedProxies {
		if prefix.Contains(ip) {
			return true
		}
	}
	return false
}

// guard is what a route asks before its handler runs: who you are, whether you may, whether one of our own pages sent
// this, and whether it is too often. Without a permission in the list there is no way in.
func (s *Server) guard(route Route) fiber.Handler {
	object, action, _ := strings.Cut(route.Permission, ".")
	return func(c *fiber.Ctx) error {
		r := web.Of(c)
		v := r.Viewer
		switch route.Permission {
		case Public, Signed:
		case Waiting:
			if v.SignedIn() && route.Method == fiber.MethodGet {
				break // goes on to where they wanted
			}
			if v.SignedIn() || v.SessionID == "" {
				return app.ErrSignedOut
			}
		default:
			if !v.SignedIn() && route.Kind == Stream {
				return c.SendStatus(fiber.StatusUnauthorized) // nobody sees where a stream would be sent on to
			}
			if !v.SignedIn() {
				return app.ErrSignedOut
			}
			if r.FactorMissing && !route.Enrols {
				return web.Redirect(c, "/security")
			}
			if err := access.Check(v, object, action); err != nil {
				return err
			}
		}
		if route.Kind == Upload {
			end := streamBody(c)
			defer end()
		}
		if route.Method != fiber.MethodGet && route.Permission != Signed {
			if !s.config.Site.SameOrigin(c) || !r.CheckCSRF(c) {
				return fmt.Errorf("form token: %w", web.ErrForeignForm)
			}
		}
		if route.Rate != nil || route.Method != fiber.MethodGet {
			if err := s.count(c.UserContext(), route, v); err != nil {
				return err
			}
		}
		if route.Kind == Stream || route.Kind == Export {
			r.Still = s.still(v.SessionID, route)
		}
		return c.Next()
	}
}

// still asks what guard asked, of the session's user as they are at that moment. It keeps nothing of the request.
func (s *Server) still(sessionID string, route Route) func(ctx context.Context) error {
	object, action, _ := strings.Cut(route.Permission, ".")
	return func(ctx context.Context) error {
		v, err := s.config.Auth.Still(ctx, sessionID)
		if err != nil {
			return err
		}
		if s.factorMissing(v) && !route.Enrols {
			return app.ErrForbidden
		}
		return access.Check(v, object, action)
	}
}

func (s *Server) count(ctx context.Context, route Route, v app.Viewer) error {
	if route.Rate == nil {
		if !v.SignedIn() {
			return nil
		}
		return limits.Hit(ctx, s.config.Pool, "changes", v.UserID, changing)
	}
	name := route.Method + " " + route.Path
	if err := limits.Hit(ctx, s.config.Pool, name, limits.Source(v.IP), *route.Rate); err != nil {
		return err
	}
	if v.SignedIn() {
		return limits.Hit(ctx, s.config.Pool, name, v.UserID, *route.Rate)
	}
	return nil
}

// Print writes the routes, as lines for people or as JSON.
func Print(routes []Route, asJSON bool) (string, error) {
	if asJSON {
		out, err := json.MarshalIndent(routes, "", "  ")
		return string(out) + "\n", err
	}
	var out strings.Builder
	for _, r := range routes {
		fmt.Fprintf(&out, "%-5s %-48s %s\n", r.Method, r.Path, r.Permission)
	}
	return out.String(), nil
}
