package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"portico/app"
	"portico/app/accounts"
	"portico/app/attachments"
	"portico/app/audit"
	"portico/app/auth"
	"portico/app/billing"
	"portico/app/blob"
	"portico/app/clients"
	"portico/app/contracts"
	"portico/app/dashboard"
	"portico/app/db"
	"portico/app/delegates"
	"portico/app/dev"
	"portico/app/emails"
	"portico/app/guides"
	"portico/app/keys"
	"portico/app/live"
	"portico/app/locale"
	"portico/app/mail"
	"portico/app/provisioning"
	"portico/app/provisioning/outbound"
	"portico/app/provisionlogs"
	"portico/app/queues"
	"portico/app/reach"
	"portico/app/sandbox"
	"portico/app/server"
	"portico/app/store"
	"portico/app/support"
	"portico/app/team"
	"portico/app/tickets"
	"portico/app/watchdog"
	"portico/app/web"
	"portico/docs"
	"portico/jobs"
	"portico/static"
	"portico/views"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
)

const (
	databaseWait = 30 * time.Second // how long a start waits for the database
	// drainTime is how long a stopping server answers on after /readyz said so, for proxies to send new requests elsewhere: a
	// connection that waits to be accepted when the listener closes is lost.
	drainTime    = 2 * time.Second
	stopWait     = 25 * time.Second // how long a stop waits for requests and jobs
	hashesAtOnce = 2                // 64 MiB each
)

// settings is what a portal is built from.
type settings struct {
	database string
	url      string
	keys     *keys.Ring
	smtp     *mail.Transport
	blobs    blob.Store
	mailbox  *dev.Mailbox // nil in production
	config   config
	hasher   *auth.Hasher
	drain    time.Duration   // see drainTime; 0 in the dev run, which nothing stands in front of
	tracer   pgx.QueryTracer // is told of every query; nil in the program
}

// portal is every part of the program, built once and in this order.
type portal struct {
	pool      *pgxpool.Pool
	smtp      *mail.Transport
	mail      *mail.Service
	logs      *provisionlogs.Service
	auth      *auth.Service
	accounts  *accounts.Service
	runs      *provisioning.Service
	files     *attachments.Service
	delegates *delegates.Service
	tickets   *tickets.Service
	server    *server.Server
	metrics   *server.Metrics
	live      *live.Hub
	watchdog  *watchdog.Service
	billing   *billing.Service
	inserter  *river.Client[pgx.Tx]
	catalogue *locale.Catalogue

	sandbox         *sandbox.Provider // nil where it is off
	sandboxListener net.Listener
	sandboxURL      string

	drain    time.Duration // how long a stop goes on answering
	stopping atomic.Bool

	mailMutex   sync.Mutex // guards the two below
	mailChecked time.Time
	mailError   error
}

// What lies in the program is read once, however many portals run in it.
var (
	catalogue = sync.OnceValues(func() (*locale.Catalogue, error) { return locale.Load(views.Files) })
	guideBook = sync.OnceValues(func() (*guides.Handlers, error) { return guides.NewHandlers(docs.Guides) })
	templates = sync.OnceValues(func() (*views.Templates, error) { return views.Engine(false, static.Path) })
	// devTemplates may be read again from the folder views/.
	devTemplates = sync.OnceValues(func() (*views.Templates, error) { return views.Engine(true, static.Path) })
)

// build connects the database, migrates it and wires the services. Close the pool when done.
func build(ctx context.Context, s settings) (_ *portal, err error) {
	p := &portal{smtp: s.smtp, drain: s.drain}
	if p.pool, err = db.OpenTraced(ctx, s.database, databaseWait, s.tracer); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			if p.sandboxListener != nil {
				p.sandboxListener.Close()
			}
			p.pool.Close()
		}
	}()
	if err := p.openSandbox(&s); err != nil {
		return nil, err
	}
	if err := db.Migrate(ctx, p.pool); err != nil {
		return nil, err
	}
	if p.catalogue, err = catalogue(); err != nil {
		return nil, err
	}
	devRun := s.mailbox != nil
	pages := templates
	if devRun {
		pages = devTemplates
	}
	engine, err := pages()
	if err != nil {
		return nil, err
	}
	if p.inserter, err = jobs.NewInserter(p.pool); err != nil {
		return nil, err
	}
	p.mail = mail.New(p.pool, s.keys, p.catalogue, s.url, s.smtp, p.inserter)
	storeName := func(ctx context.Context) (string, error) {
		current, err := store.Current(ctx, p.pool)
		return current.Name, err
	}
	auths, err := auth.New(auth.Config{Pool: p.pool, Keys: s.keys, Mail: p.mail, Hasher: s.hasher, URL: s.url, StoreName: storeName})
	if err != nil {
		return nil, err
	}
	p.auth = auths
	p.accounts = accounts.New(p.pool, s.keys, p.mail, auths, s.hasher, p.catalogue)
	p.watchdog = watchdog.New(p.pool, p.mail, s.smtp.Check, watchdog.DefaultLimits)
	p.metrics = server.NewMetrics(p.pool)
	p.metrics.Watch(p.watchdog.Counts)
	p.live = live.NewHub(p.pool, slog.Default())
	p.logs = provisionlogs.NewService(p.pool, p.mail)
	p.files = attachments.NewService(p.pool, s.blobs)
	audits := audit.NewService(p.pool)
	contractService := contracts.NewService(p.pool, p.mail)
	contractPages := contracts.NewHandlers(contractService, p.live)
	p.billing = billing.NewService(p.pool, p.mail, contractService, p.inserter)
	drivers, err := provisioning.NewRegistry(p.drivers(s.url)...)
	if err != nil {
		return nil, err
	}
	p.runs = provisioning.NewService(provisioning.Config{
		Pool: p.pool, Keys: s.keys, Catalogue: p.catalogue, Mail: p.mail, Jobs: p.inserter, Drivers: drivers,
		Outbound: outbound.New(s.config.outbound, nil), Limits: provisioning.DefaultLimits,
	})
	runHandlers := provisioning.NewHandlers(p.runs, contractPages, p.live)
	logHandlers := provisionlogs.NewHandlers(p.logs, drivers, p.live)
	runHandlers.OfferLogs(logHandlers.OfProduct)
	contractPages.OfferTopics(provisionlogs.Topics)
	contractService.OnStatus(p.runs.OnStatus)
	p.billing.OnPlan(func(ctx context.Context, tx pgx.Tx, _ app.Viewer, product contracts.Product, to contracts.Plan) error {
		return p.runs.OnPlan(ctx, tx, product.ID, to.Package)
	})
	contractService.Offer(contracts.Tab{Name: "manage", Position: 2})
	contractPages.OfferPanel(runHandlers.Everyday)
	ticketService := tickets.NewService(p.pool, p.mail, p.files.Attach)
	p.tickets = ticketService
	p.files.Guard(ticketService)
	fileHandlers := attachments.NewHandlers(p.files)
	p.delegates = delegates.NewService(p.pool, s.keys, p.mail)
	p.delegates.Serve(delegates.Ticket, tickets.Parent{Service: ticketService})
	p.delegates.Serve(delegates.Contract, contracts.Parent{})
	contractService.OfferDelegates(p.delegates)
	clientPages := clients.NewHandlers(clients.NewService(p.pool, p.delegates), contractService, audits, logHandlers, p.live)
	ticketService.OfferTab(contractService)
	ticketService.OfferHelp(p.runs)
	ticketHandlers := tickets.NewHandlers(ticketService, p.live, fileHandlers, runHandlers.Attached)
	handlers := server.Handlers{
		Accounts:          accounts.NewHandlers(p.accounts, store.Zones()),
		Attachments:       fileHandlers,
		Support:           support.NewHandlers(support.NewService(p.pool, ticketService), ticketService, p.live, fileHandlers, runHandlers.Attached),
		Tickets:           ticketHandlers,
		TicketDelegates:   delegates.NewHandlers(p.delegates, ticketHandlers.DelegatesPlace()),
		Reach:             reach.NewHandlers(reach.NewService(p.delegates, ticketService, contractService)),
		Invitations:       delegates.NewInvitationHandlers(p.delegates),
		Contracts:         contractPages,
		Runs:              runHandlers,
		Billing:           billing.NewHandlers(p.billing, contractPages, clientPages),
		ContractDelegates: delegates.NewHandlers(p.delegates, contractPages.DelegatesPlace()),
		ContractTickets:   tickets.NewContractHandlers(ticketService, contractPages),
		Dashboard:         dashboard.NewHandlers(dashboard.New(p.pool, p.accounts, auths, p.watchdog, ticketService, contractService, p.runs), p.live),
		Store:             store.NewHandlers(store.NewService(p.pool, p.catalogue)),
		Team:              team.NewHandlers(team.NewService(p.pool, s.keys, p.mail)),
		Audit:             audit.NewHandlers(audits),
		People:            clients.NewPeopleHandlers(clients.NewPeople(p.pool, s.keys, p.mail), contractPages),
		Clients:           clientPages,
		Emails:            emails.NewHandlers(emails.NewService(p.pool, s.keys, p.mail), p.live),
		Logs:              logHandlers,
		Queues:            queues.NewHandlers(queues.NewService(p.pool, s.keys, p.inserter), p.live),
	}
	if handlers.Guides, err = guideBook(); err != nil {
		return nil, err
	}
	var people []auth.DemoPerson
	if devRun {
		people = dev.People
		handlers.Dev, handlers.Mailbox = dev.NewHandlers(auths), dev.NewMailboxHandlers(s.mailbox)
	}
	handlers.Auth = auth.NewHandlers(auths, people)
	p.server, err = server.New(server.Config{
		Site: &web.Site{Views: engine, Catalogue: p.catalogue, Keys: s.keys, URL: s.url, Dev: devRun, Sandbox: p.sandbox != nil && !devRun, Asset: static.Path},
		Pool: p.pool, Auth: auths, Handlers: handlers, Ready: p.ready, Metrics: p.metrics,
		TrustedProxies: s.config.trustedProxies, RequireFactor: !devRun,
	})
	return p, err
}

// ready says whether requests can be answered. A mail server out of reach is a warning: mail waits.
func (p *portal) ready(ctx context.Context) (warnings []string, err error) {
	if p.stopping.Load() {
		return nil, errors.New("stopping")
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := db.Migrated(ctx, p.pool); err != nil {
		return nil, err
	}
	if err := p.checkMail(ctx); err != nil {
		warnings = append(warnings, "the mail server can't be reached: mail waits")
	}
	return warnings, nil
}

// checkMail asks the mail server whether it answers, at most every half minute: anybody may ask /readyz.
func (p *portal) checkMail(ctx context.Context) error {
	p.mailMutex.Lock()
	defer p.mailMutex.Unlock()
	if time.Since(p.mailChecked) > 30*time.Second {
		p.mailError, p.mailChecked = p.smtp.Check(ctx), time.Now()
	}
	return p.mailError
}

// run answers requests and works jobs until ctx ends, then stops gracefully: running requests and jobs finish.
func (p *portal) run(ctx context.Context, c config, listener net.Listener, work bool, out io.Writer, url string) error {
	ending, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	failed := make(chan error, 3)
	if c.metricsAddr != "" {
		metrics, err := listen("PORTICO_METRICS_ADDR", c.metricsAddr)
		if err != nil {
			return err
		}
		go func() {
			if err := p.metrics.Serve(ending, metrics); err != nil {
				failed <- fmt.Errorf("serve metrics: %w", err)
			}
		}()
	}
	if p.sandbox != nil {
		go func() {
			if err := p.sandbox.Serve(ending, p.sandboxListener); err != nil {
				failed <- err
			}
		}()
	}
	var worker *river.Client[pgx.Tx]
	if work {
		var err error
		if worker, err = jobs.NewClient(p.pool, jobs.Deps{Mail: p.mail, Watchdog: p.watchdog, Files: p.files, Billing: p.billing, Delegates: p.delegates, Tickets: p.tickets, Runs: p.runs, Logs: p.logs}, slog.Default()); err != nil {
			return err
		}
		if err := worker.Start(ending); err != nil {
			return fmt.Errorf("start jobs: %w", err)
		}
		go jobs.Tell(ending, worker, p.pool, slog.Default())
	}
	if listener != nil {
		go p.live.Run(ending)
		go func() {
			if err := p.server.Serve(listener); err != nil {
				failed <- fmt.Errorf("serve: %w", err)
			}
		}()
		fmt.Fprintf(out, "Portico is at %s\n", url)
	} else {
		fmt.Fprintln(out, "Portico works jobs")
	}
	var failure error
	select {
	case <-ctx.Done():
	case failure = <-failed:
	}
	slog.Info("stopping: running requests and jobs finish first")
	p.stopping.Store(true)
	if listener != nil && failure == nil {
		p.server.Stopping()
		time.Sleep(p.drain)
	}
	stopping, cancel := context.WithTimeout(ending, stopWait)
	defer cancel()
	errs := []error{failure}
	if listener != nil {
		p.live.Close() // the server waits for connections in use, as streams are
		errs = append(errs, p.server.Shutdown(stopping))
	}
	if worker != nil {
		errs = append(errs, jobs.Stop(stopping, worker))
	}
	return errors.Join(errs...)
}

func newHasher() (*auth.Hasher, error) { return auth.NewHasher(auth.Params, hashesAtOnce) }

// serve is production: nothing of the dev run exists in it.
func serve(ctx context.Context, c config, out io.Writer, web, work bool) error {
	hasher, err := newHasher()
	if err != nil {
		return err
	}
	p, err := build(ctx, settings{database: c.database, url: c.url, keys: c.keys, smtp: c.smtp, blobs: c.blobs, config: c, hasher: hasher, drain: drainTime})
	if err != nil {
		return err
	}
	defer p.pool.Close()
	var listener net.Listener
	if web {
		if listener, err = listen("PORTICO_ADDR", c.addr); err != nil {
			return err
		}
		if !strings.HasPrefix(c.url, "https://") {
			slog.Warn("PORTICO_URL is not https: passwords and sessions cross the network unprotected")
		}
	}
	return p.run(ctx, c, listener, work, out, c.url)
}

// listen opens the address that a variable holds.
func listen(variable, addr string) (net.Listener, error) {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%s holds %q, which can't be listened on: %w", variable, addr, err)
	}
	return listener, nil
}

func migrateDatabase(ctx context.Context, c config) error {
	pool, err := db.Open(ctx, c.database, databaseWait)
	if err != nil {
		return err
	}
	defer pool.Close()
	return db.Migrate(ctx, pool)
}
