package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"portico/app"
	"portico/app/db"

	"github.com/jackc/pgx/v5"
)

// The interface, JSON over HTTP with a bearer token of 8 characters or more, that does not begin with "wrong":
//
//	GET  /api/ping
//	POST /api/{category}/{function}      {"product": …, "params": {…}}, with an Operation-Key
//	GET  /api/operations/{id}            how an operation goes on that was answered with 202
//	GET  /api/operations?key=            the operation of a key, 404 if nothing was done under it
//	GET  /api/{category}/accounts/{product}   what was made for a product
//
// Answers are {"status": "done" or "working", "operation": id, "data": {…}}, refusals {"error": family, "message": …}.

// behaviour is how badly a call goes, as its header Sandbox-Behaviour says in JSON.
type behaviour struct {
	Fault     string   `json:"fault"`
	Tries     int      `json:"tries"`     // how many tries of an operation it strikes, 0 for all
	Functions []string `json:"functions"` // which it strikes, none for all
	Slow      float64  `json:"slow"`      // seconds until it answers
	Work      float64  `json:"work"`      // seconds that power, registrations and transfers take
	Forgetful bool     `json:"forgetful"` // it does not know operation keys
	Rate      float64  `json:"rate"`      // calls per second of one token, 0 for any number
}

// Faults, by when they strike: before it acts, and after.
const (
	faultUnavailable  = "unavailable"      // 503, nothing done
	faultDrop         = "drop"             // the connection ends, nothing done
	faultRefuse       = "refuse"           // 422, nothing done
	faultUnauthorised = "unauthorised"     // 401
	faultLimit        = "rate-limit"       // 429
	faultAct500       = "act-then-500"     // done, and 500
	faultActDrop      = "act-then-drop"    // done, and the connection ends
	faultActGarbage   = "act-then-garbage" // done, and an answer that can't be read
)

const maxBody = 1 << 20

// Handler answers drivers and people.
func (p *Provider) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/ping", p.api(func(w http.ResponseWriter, r *http.Request, b behaviour) {
		reply(w, http.StatusOK, map[string]any{"status": "done", "data": map[string]any{"name": "Sandbox"}})
	}))
	mux.HandleFunc("GET /api/operations/{id}", p.api(p.operation))
	mux.HandleFunc("GET /api/operations", p.api(p.operationOf))
	mux.HandleFunc("GET /api/{category}/accounts/{product}", p.api(p.made))
	mux.HandleFunc("POST /api/{category}/{function}", p.api(p.run))
	p.panel(mux)
	return mux
}

// Serve answers until ctx ends.
func (p *Provider) Serve(ctx context.Context, listener net.Listener) error {
	server := &http.Server{Handler: p.Handler(), ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(slog.Default().Handler(), slog.LevelDebug)}
	stop := context.AfterFunc(ctx, func() {
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if server.Shutdown(stopping) != nil {
			server.Close()
		}
	})
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the sandbox: %w", err)
	}
	return nil
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body)
}

func refused(w http.ResponseWriter, err error) {
	var no *refusal
	if errors.As(err, &no) {
		reply(w, no.status, map[string]any{"error": no.family, "message": no.message})
		return
	}
	slog.Error("the sandbox failed", "error", err)
	reply(w, http.StatusInternalServerError, map[string]any{"error": "internal", "message": "the sandbox failed"})
}

// api lets calls with a token through, and reads how badly they go.
func (p *Provider) api(next func(w http.ResponseWriter, r *http.Request, b behaviour)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !bearer || len(token) < 8 || strings.HasPrefix(token, "wrong") {
			reply(w, http.StatusUnauthorized, map[string]any{"error": "unauthorised", "message": "the token is not known"})
			return
		}
		var b behaviour
		if header := r.Header.Get("Sandbox-Behaviour"); header != "" {
			if err := json.Unmarshal([]byte(header), &b); err != nil {
				reply(w, http.StatusBadRequest, map[string]any{"error": "invalid", "message": "Sandbox-Behaviour can't be read"})
				return
			}
		}
		if b.Fault == faultUnauthorised {
			reply(w, http.StatusUnauthorized, map[string]any{"error": "unauthorised", "message": "the token was withdrawn"})
			return
		}
		if b.Rate > 0 && !p.rate.take(token, b.Rate, time.Now()) {
			w.Header().Set("Retry-After", "1")
			reply(w, http.StatusTooManyRequests, map[string]any{"error": "limit", "message": "too many calls"})
			return
		}
		next(w, r, b)
	}
}

func (b behaviour) strikes(function string, try int) bool {
	if b.Fault == "" || b.Tries > 0 && try > b.Tries {
		return false
	}
	for _, name := range b.Functions {
		if name == function {
			return true
		}
	}
	return len(b.Functions) == 0
}

type request struct {
	Product string         `json:"product"`
	Params  map[string]any `json:"params"`
}

// run answers a call of a function.
func (p *Provider) run(w http.ResponseWriter, r *http.Request, b behaviour) {
	category, function, key := r.PathValue("category"), r.PathValue("function"), r.Header.Get("Operation-Key")
	var asked request
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&asked); err != nil || key == "" {
		reply(w, http.StatusBadRequest, map[string]any{"error": "invalid", "message": "the call can't be read, or has no Operation-Key"})
		return
	}
	if _, known := deeds[category][function]; !known {
		reply(w, http.StatusUnprocessableEntity, map[string]any{"error": "unsupported", "message": "there is no such function"})
		return
	}
	fault := ""
	if b.Fault != "" {
		try, err := countTry(r.Context(), p.pool, key)
		if err != nil {
			refused(w, err)
			return
		}
		if b.strikes(function, try) {
			fault = b.Fault
		}
	}
	switch fault {
	case faultUnavailable:
		reply(w, http.StatusServiceUnavailable, map[string]any{"error": "unavailable", "message": "down for maintenance"})
		return
	case faultDrop:
		panic(http.ErrAbortHandler)
	case faultRefuse:
		reply(w, http.StatusUnprocessableEntity, map[string]any{"error": "refused", "message": "the sandbox is told to refuse this"})
		return
	case faultLimit:
		w.Header().Set("Retry-After", "1")
		reply(w, http.StatusTooManyRequests, map[string]any{"error": "limit", "message": "too many calls"})
		return
	}
	// What was begun is finished, even if the caller no longer waits.
	ctx := context.WithoutCancel(r.Context())
	answer, err := p.perform(ctx, category, function, key, asked, b)
	if b.Slow > 0 {
		select {
		case <-time.After(time.Duration(b.Slow * float64(time.Second))):
		case <-r.Context().Done():
		}
	}
	if err != nil {
		refused(w, err)
		return
	}
	switch fault {
	case faultAct500:
		reply(w, http.StatusInternalServerError, map[string]any{"error": "internal", "message": "something went wrong"})
	case faultActDrop:
		panic(http.ErrAbortHandler)
	case faultActGarbage:
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<html><body>502 Bad")
	default:
		answer.send(w)
	}
}

// outcome is the answer to a call.
type outcome struct {
	working   bool
	operation string
	data      map[string]any
}

func (o outcome) send(w http.ResponseWriter) {
	status, word := http.StatusOK, "done"
	if o.working {
		status, word = http.StatusAccepted, "working"
		w.Header().Set("Retry-After", "1")
	}
	reply(w, status, map[string]any{"status": word, "operation": o.operation, "data": o.data})
}

// perform does a function once for a key, in one transaction, and answers the same to whoever comes again with the key.
func (p *Provider) perform(ctx context.Context, category, function, key string, asked request, b behaviour) (answer outcome, err error) {
	d := deeds[category][function]
	err = db.InTx(ctx, p.pool, func(tx pgx.Tx) error {
		if err := lockKey(ctx, tx, key); err != nil {
			return err
		}
		o := &op{p: p, ctx: ctx, tx: tx, now: time.Now(), params: asked.Params, product: asked.Product, work: time.Duration(b.Work * float64(time.Second))}
		if o.params == nil {
			o.params = map[string]any{}
		}
		if !b.Forgetful {
			done, err := effectByKey(ctx, tx, key)
			if err == nil {
				answer, err = p.resume(o, done)
				return err
			}
			if !errors.Is(err, app.ErrNotFound) {
				return err
			}
		}
		if !d.makes && !d.alone {
			if o.account, err = p.named(o, category); err != nil {
				return err
			}
			if d.active && o.account.is("suspended") {
				return refuse(http.StatusConflict, "state", "it is suspended")
			}
		}
		if d.act != nil {
			if err := d.act(o); err != nil {
				return err
			}
		}
		e := effect{Category: category, Function: function}
		if o.account != nil {
			if category == "software-licenses" {
				o.account.State["key_hash"] = fmt.Sprintf("%x", hashToken(p.licenseKey(o.account)))
			}
			if d.act != nil {
				if err := updateAccount(ctx, tx, o.account); err != nil {
					return err
				}
			}
			e.AccountID = &o.account.ID
		}
		if d.act != nil && !d.alone {
			if e, err = insertEffect(ctx, tx, key, e); err != nil {
				return err
			}
		}
		answer, err = p.resume(o, e)
		return err
	})
	return answer, err
}

// resume says how something that was done goes on.
func (p *Provider) resume(o *op, e effect) (answer outcome, err error) {
	if o.account == nil && e.AccountID != nil {
		if o.account, err = byID(o.ctx, o.tx, *e.AccountID); err != nil {
			return answer, err
		}
	}
	answer.operation = e.ID
	d := deeds[e.Category][e.Function]
	answer.working = d.act != nil && o.account != nil && o.account.working(o.now) && takesTime(e.Category, e.Function)
	answer.data = map[string]any{}
	if d.answer != nil && !answer.working {
		answer.data, err = d.answer(o)
	}
	return answer, err
}

// takesTime tells what is answered before it is over.
func takesTime(category, function string) bool {
	switch category {
	case "servers":
		return function != "terminate" && function != "changeRootPassword"
	case "domain-names":
		return function == "register" || function == "transfer" || function == "transferWithCode"
	}
	return false
}

// named finds the account that the parameters name.
func (p *Provider) named(o *op, category string) (*account, error) {
	for _, name := range named[category] {
		ref := o.text(name)
		var a *account
		var err error
		if category == "software-licenses" {
			a, err = byKeyHash(o.ctx, o.tx, fmt.Sprintf("%x", hashToken(ref)))
		} else {
			a, err = find(o.ctx, o.tx, category, ref)
		}
		if err == nil {
			return a, nil
		}
		if !errors.Is(err, app.ErrNotFound) {
			return nil, err
		}
	}
	return nil, refuse(http.StatusNotFound, "missing", "nothing goes by that name")
}

// operation answers how an operation goes on.
func (p *Provider) operation(w http.ResponseWriter, r *http.Request, b behaviour) {
	p.tell(w, r, func(ctx context.Context, conn db.Conn) (effect, error) {
		return effectByID(ctx, conn, r.PathValue("id"))
	})
}

func (p *Provider) operationOf(w http.ResponseWriter, r *http.Request, b behaviour) {
	if b.Forgetful {
		reply(w, http.StatusUnprocessableEntity, map[string]any{"error": "unsupported", "message": "operation keys are not kept"})
		return
	}
	p.tell(w, r, func(ctx context.Context, conn db.Conn) (effect, error) {
		return effectByKey(ctx, conn, r.URL.Query().Get("key"))
	})
}

func (p *Provider) tell(w http.ResponseWriter, r *http.Request, which func(ctx context.Context, conn db.Conn) (effect, error)) {
	var answer outcome
	err := db.InTx(r.Context(), p.pool, func(tx pgx.Tx) error {
		e, err := which(r.Context(), tx)
		if err != nil {
			return err
		}
		answer, err = p.resume(&op{p: p, ctx: r.Context(), tx: tx, now: time.Now(), params: map[string]any{}}, e)
		return err
	})
	switch {
	case errors.Is(err, app.ErrNotFound):
		reply(w, http.StatusNotFound, map[string]any{"error": "missing", "message": "there is no such operation"})
	case err != nil:
		refused(w, err)
	default:
		answer.send(w)
	}
}

// made answers what was made for a product.
func (p *Provider) made(w http.ResponseWriter, r *http.Request, b behaviour) {
	a, err := byProduct(r.Context(), p.pool, r.PathValue("category"), r.PathValue("product"))
	switch {
	case errors.Is(err, app.ErrNotFound):
		reply(w, http.StatusNotFound, map[string]any{"error": "missing", "message": "nothing was made for it"})
	case err != nil:
		refused(w, err)
	default:
		o := &op{p: p, ctx: r.Context(), tx: p.pool, now: time.Now(), params: map[string]any{}, account: a}
		data := map[string]any{"terminated": a.TerminatedAt != nil, "suspended": a.is("suspended")}
		for _, name := range []string{"create", "register"} {
			if d, ok := deeds[a.Category][name]; ok && d.answer != nil {
				if data["info"], err = d.answer(o); err != nil {
					refused(w, err)
					return
				}
			}
		}
		reply(w, http.StatusOK, map[string]any{"status": "done", "data": data})
	}
}

// limiter counts calls of a token within the running second. Its zero value counts from nothing.
type limiter struct {
	mutex sync.Mutex
	seen  map[string]window
}

type window struct {
	begins time.Time
	calls  float64
}

const mostTokens = 1000

func (l *limiter) take(token string, rate float64, now time.Time) bool {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.seen == nil || len(l.seen) > mostTokens {
		l.seen = map[string]window{}
	}
	w := l.seen[token]
	if now.Sub(w.begins) >= time.Second {
		w = window{begins: now}
	}
	w.calls++
	l.seen[token] = w
	return w.calls <= rate
}
