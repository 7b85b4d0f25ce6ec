package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"portico/app"
	"portico/app/db"
	"portico/app/keys"
	"portico/app/locale"
	"portico/app/mail"
	"portico/app/provisioning"
	"portico/app/provisioning/outbound"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// behaviour is what the provider of the tests does with one call.
type behaviour struct {
	delay     time.Duration
	until     <-chan struct{} // no answer before this closes
	status    int             // answered instead of 200; 0 is 200
	act       bool            // the effect happens, whatever is answered
	hang      bool            // no answer until the caller gives up
	die       bool            // the worker's process ends itself when it has the answer
	waiting   bool            // it goes on working
	after     string          // Retry-After
	broken    bool            // an answer that can't be read
	reference string
	echo      bool // the answer repeats the secret
}

var fine = behaviour{act: true}

// provider is an HTTP stand-in with a ledger of effects, told per call what to do.
type provider struct {
	url string

	mu      sync.Mutex
	effects map[string]int // operation key → effects
	calls   []providerCall
	decide  func(c providerCall) behaviour
	looked  func() // is called before it is told what came of something
	blind   bool   // it can't tell what came of anything
	at      int    // calls at once now, and at most
	most    int
}

type providerCall struct {
	Key, Function, Product string
	N                      int // of this key and function, from 1
	Params                 map[string]any
	At                     time.Time
}

func newProvider(t *testing.T, decide func(c providerCall) behaviour) *provider {
	t.Helper()
	p := &provider{effects: map[string]int{}, decide: decide}
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	p.url = server.URL
	return p
}

func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var c providerCall
	if err := json.NewDecoder(r.Body).Decode(&c); err != nil {
		http.Error(w, "unreadable", http.StatusBadRequest)
		return
	}
	answer := func(value any) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(value)
	}
	p.mu.Lock()
	if r.URL.Path == "/look" {
		done, blind, looked := p.effects[c.Key] > 0, p.blind, p.looked
		p.mu.Unlock()
		if looked != nil {
			looked()
		}
		answer(map[string]any{"done": done, "blind": blind})
		return
	}
	c.N, c.At = 1, time.Now()
	for _, before := range p.calls {
		if before.Key == c.Key {
			c.N++
		}
	}
	p.calls = append(p.calls, c)
	p.at++
	p.most = max(p.most, p.at)
	b := fine
	if p.decide != nil {
		b = p.decide(c)
	}
	p.mu.Unlock()
	defer func() { p.mu.Lock(); p.at--; p.mu.Unlock() }()
	if b.delay > 0 {
		time.Sleep(b.delay)
	}
	if b.until != nil {
		select {
		case <-b.until:
		case <-r.Context().Done():
		}
	}
	if b.act {
		p.mu.Lock()
		p.effects[c.Key]++
		p.mu.Unlock()
	}
	if b.hang {
		<-r.Context().Done()
		return
	}
	if b.after != "" {
		w.Header().Set("Retry-After", b.after)
	}
	secret, _ := c.Params["password"].(string)
	switch {
	case b.status != 0:
		w.WriteHeader(b.status)
		fmt.Fprintf(w, `{"error":"no","password":%q}`, secret)
	case b.broken:
		fmt.Fprintf(w, `{"half": "%s`, secret)
	default:
		whole := map[string]any{"die": b.die, "waiting": b.waiting, "reference": b.reference, "echo": map[bool]string{true: secret}[b.echo]}
		if c.Function == "login" {
			whole["login_url"] = p.url + "/panel?session=" + canary("link")
		}
		answer(whole)
	}
}

func (p *provider) count() (calls, effects, doubled int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, n := range p.effects {
		effects += n
		if n > 1 {
			doubled++
		}
	}
	return len(p.calls), effects, doubled
}

func (p *provider) set(decide func(c providerCall) behaviour) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.decide = decide
}

// canary is a secret that must be found nowhere.
func canary(name string) string { return "Canary-" + name + "-7f3a91" }

// standIn is the driver of the provider of the tests.
type standIn struct{}

func (standIn) Name() string         { return "standin" }
func (standIn) Title() string        { return "Stand-in" }
func (standIn) Categories() []string { return []string{"web-hosting"} }
func (standIn) Settings(string) []provisioning.Field {
	return []provisioning.Field{{Name: "url", Kind: provisioning.KindURL, Required: true}, {Name: "token", Kind: provisioning.KindText, Secret: true}}
}

func (standIn) Functions(category string) []provisioning.Function {
	c, _ := provisioning.CategoryOf(category)
	functions := slices.Clone(c.Functions)
	for i := range functions {
		functions[i].Limit = callLimit
		functions[i].Wait = 8 * time.Second
		switch functions[i].Name {
		case "changePackage":
			functions[i].Repeatable = false
		case "grantReseller": // for those that must not be over before they are interrupted
			functions[i].Repeatable, functions[i].Limit = false, time.Minute
		}
	}
	return functions
}

// callLimit is the longest call of the tests' provider.
const callLimit = 600 * time.Millisecond

func (standIn) Test(ctx context.Context, c provisioning.Call) error {
	_, err := ask(ctx, c, "/look")
	return err
}

func (standIn) Call(ctx context.Context, c provisioning.Call) (provisioning.Result, error) {
	if c.Function == "suspend" && c.Params["reason"] == "panic" {
		panic("the driver trips over " + c.Setting("token"))
	}
	if c.Params["location"] == inSteps {
		return callInSteps(ctx, c)
	}
	answer, err := ask(ctx, c, "/act")
	if err != nil {
		return provisioning.Result{}, err
	}
	if answer["die"] == true {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
	reference, _ := answer["reference"].(string)
	echo, _ := answer["echo"].(string)
	result := provisioning.Result{Reference: reference, Message: echo, Waiting: answer["waiting"] == true, Data: map[string]any{}}
	if c.Function == "login" {
		result.Data["login_url"] = answer["login_url"]
	}
	return result, nil
}

// inSteps is the location where an account is made in three steps, each a call of its own.
const inSteps = "in-steps"

var steps = []string{"account created", "reseller's rights granted", "limits set"}

// callInSteps goes on at the first step that is not done.
func callInSteps(ctx context.Context, c provisioning.Call) (provisioning.Result, error) {
	key := c.Key
	for i, step := range steps {
		c.Key = fmt.Sprintf("%s/%d", key, i)
		before, err := ask(ctx, c, "/look")
		if err == nil && before["done"] != true {
			_, err = ask(ctx, c, "/act")
		}
		var refused *provisioning.Refused
		switch {
		case errors.As(err, &refused):
			refused.Done = steps[:i]
			return provisioning.Result{}, refused
		case err != nil:
			return provisioning.Result{}, &provisioning.Unknown{Detail: step + ": " + err.Error(), Done: steps[:i]}
		}
	}
	return provisioning.Result{}, nil
}

func (standIn) LookUp(ctx context.Context, c provisioning.Call) (provisioning.Outcome, provisioning.Result, error) {
	if c.Params["location"] == inSteps {
		c.Key += fmt.Sprintf("/%d", len(steps)-1)
	}
	answer, err := ask(ctx, c, "/look")
	switch {
	case err != nil:
		return "", provisioning.Result{}, err
	case answer["blind"] == true:
		return provisioning.OutcomeUnknown, provisioning.Result{}, nil
	case answer["done"] == true:
		return provisioning.OutcomeDone, provisioning.Result{}, nil
	}
	return provisioning.OutcomeAbsent, provisioning.Result{}, nil
}

func ask(ctx context.Context, c provisioning.Call, path string) (map[string]any, error) {
	body, err := json.Marshal(providerCall{Key: c.Key, Function: c.Function, Product: c.ProductID, Params: c.Params})
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.Setting("url")+path, strings.NewReader(string(body)))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+c.Setting("token"))
	response, err := c.Client.Do(request)
	if err != nil {
		return nil, provisioning.Unanswered(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, provisioning.Unanswered(err)
	}
	if err := provisioning.Answered(response, string(text)); err != nil {
		return nil, err
	}
	answer := map[string]any{}
	if err := json.Unmarshal(text, &answer); err != nil {
		return nil, &provisioning.Unknown{Detail: "the answer can't be read: " + string(text)}
	}
	return answer, nil
}

// quick are the durations of runs as these tests have them.
var quick = provisioning.Limits{
	Slack: 300 * time.Millisecond, Age: 24 * time.Hour, ResultLife: 10 * time.Second, Later: 2 * time.Second, Paused: 100 * time.Millisecond, AtOnce: 4,
	Looks: []time.Duration{50 * time.Millisecond, 100 * time.Millisecond}, Approval: time.Hour, Proof: 5 * time.Minute,
}

func newRuns(pool *pgxpool.Pool, ring *keys.Ring, catalogue *locale.Catalogue, mails *mail.Service, limits provisioning.Limits) (*provisioning.Service, error) {
	drivers, err := provisioning.NewRegistry(standIn{})
	if err != nil {
		return nil, err
	}
	policy, err := outbound.ParsePolicy(outbound.Loopback)
	if err != nil {
		return nil, err
	}
	inserter, err := NewInserter(pool)
	if err != nil {
		return nil, err
	}
	return provisioning.NewService(provisioning.Config{
		Pool: pool, Keys: ring, Catalogue: catalogue, Mail: mails, Jobs: inserter, Drivers: drivers, Outbound: outbound.New(policy, nil), Limits: limits,
	}), nil
}

// shop is a store with clients and a provider.
type shop struct {
	*bundle
	provider      *provider
	configuration string
	admin, owner  app.Viewer
	account       string
	plan, sold    string
}

func openShop(b *bundle, decide func(c providerCall) behaviour) *shop {
	b.t.Helper()
	s := &shop{bundle: b, provider: newProvider(b.t, decide)}
	person := func(name, email, role string) app.Viewer {
		id := scan[string](b, "insert into users (name, email, role, email_confirmed_at) values ($1, $2, nullif($3, ''), now()) returning id::text", name, email, role)
		return app.Viewer{UserID: id, Name: name, Email: email, Confirmed: true, Role: app.Role(role), ProvedAt: time.Now(), IP: "192.0.2.9"}
	}
	s.admin, s.owner = person("Ada Moreau", "ada@northwind.example", "admin"), person("Bea Lindqvist", "bea@bluebird.example", "")
	s.account = scan[string](b, "insert into accounts (name) values ('Bluebird Bakery') returning id::text")
	b.exec("insert into account_users (account_id, user_id, relation) values ($1, $2, 'owner')", s.account, s.owner.UserID)
	s.sold = scan[string](b, "insert into products (name, category) values ('Web hosting Standard', 'web-hosting') returning id::text")
	s.plan = scan[string](b, "insert into plans (product_id, name, cycle_months, term_months, price_minor) values ($1, 'Two years', 1, 24, 900) returning id::text", s.sold)
	var err error
	s.configuration, err = b.runs.SaveConfiguration(b.t.Context(), s.admin, "", provisioning.Setup{
		Name: "Stand-in", Driver: "standin", Category: "web-hosting", Rate: 1000, Values: map[string][]string{"url": {s.provider.url}, "token": {canary("token")}},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

// product adds a bought product that runs, and returns its id.
func (s *shop) product() string {
	s.t.Helper()
	contract := scan[string](s.bundle, `insert into contracts (account_id, name, status, cycle_months, term_months, starts_on) values ($1, 'Web hosting', 'active', 1, 24, current_date)
		returning id::text`, s.account)
	return scan[string](s.bundle, `insert into contract_products (account_id, contract_id, product_id, plan_id, name, category, status, price_minor, fields, configuration_id)
		values ($1, $2, $3, $4, 'Web hosting Standard', 'web-hosting', 'active', 900, '{"username": "bluebird", "package_name": "standard", "domain": "bluebird.example"}', $5) returning id::text`,
		s.account, contract, s.sold, s.plan, s.configuration)
}

// ask asks for a run and returns its id.
func (s *shop) ask(v app.Viewer, productID, action string, pairs ...string) string {
	s.t.Helper()
	run, err := s.runs.Request(s.t.Context(), v, asking(productID, action, pairs...))
	if err != nil {
		s.t.Fatalf("%s: %v", action, err)
	}
	return run.ID
}

func asking(productID, action string, pairs ...string) provisioning.Asking {
	a := provisioning.Asking{ProductID: productID, Action: action, Token: uuid.NewString(), Values: map[string][]string{}}
	for i := 0; i+1 < len(pairs); i += 2 {
		a.Values[pairs[i]] = []string{pairs[i+1]}
	}
	return a
}

// system queues a run of the portal itself.
func (s *shop) system(productID, action string, params map[string]any) {
	s.t.Helper()
	if err := db.InTx(s.t.Context(), s.pool, func(tx pgx.Tx) error {
		return s.runs.ForSystem(s.t.Context(), tx, productID, action, "test", params)
	}); err != nil {
		s.t.Fatal(err)
	}
}

// final waits until no run is open.
func (s *shop) final() {
	s.t.Helper()
	s.until(0, "select count(*) from provision_runs where finished_at is null")
}

func (s *shop) statuses() map[string]int {
	s.t.Helper()
	counts := map[string]int{}
	rows, err := s.pool.Query(s.t.Context(), "select status || case when unknown_outcome then ' unknown' else '' end, count(*) from provision_runs group by 1")
	if err != nil {
		s.t.Fatal(err)
	}
	var status string
	var n int
	if _, err := pgx.ForEachRow(rows, []any{&status, &n}, func() error { counts[status] = n; return nil }); err != nil {
		s.t.Fatal(err)
	}
	return counts
}

func (s *shop) want(want map[string]int) {
	s.t.Helper()
	if got := s.statuses(); !maps.Equal(got, want) {
		s.t.Errorf("runs are %v, want %v\n%s", got, want, s.dump())
	}
}

func (s *shop) dump() string {
	return scan[string](s.bundle, `select coalesce(string_agg(r.action || ' ' || r.status || ' ' || r.attempts || ' ' || r.message || ': ' ||
		(select string_agg(a.outcome || ' ' || a.detail, '; ' order by a.attempt) from provision_attempts a where a.run_id = r.id), E'\n'), '') from provision_runs r`)
}

// hurry makes the next attempts of what waits come at once, again and again until the test ends: only the pauses between them are shortened.
func (s *shop) hurry() {
	ctx := s.t.Context()
	go func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				// River keeps what comes again within five seconds as available.
				_, _ = s.pool.Exec(ctx, `
					with due as (update provision_runs set next_at = null where status = 'retrying' and next_at > now())
					update river_job set scheduled_at = now(), state = 'available' where kind = 'provision_action'
					and (state = 'retryable' or state = 'available' and scheduled_at > now() + interval '3 seconds')`)
			}
		}
	}()
}

// Twenty posts of one form at once are one run with one effect; the same form with other values is refused.
func TestRuns_DoubleSubmit(t *testing.T) {
	t.Parallel()
	s := openShop(setUp(t, nil), nil)
	product := s.product()
	s.start()
	a := asking(product, "changePassword", "password", canary("password"))
	ids := make([]string, 20)
	var group sync.WaitGroup
	for i := range ids {
		group.Go(func() {
			run, err := s.runs.Request(t.Context(), s.owner, a)
			if err != nil {
				t.Error(err)
			}
			ids[i] = run.ID
		})
	}
	group.Wait()
	if slices.Sort(ids); ids[0] != ids[19] {
		t.Errorf("%d runs", len(slices.Compact(ids)))
	}
	s.final()
	s.want(map[string]int{"succeeded": 1})
	if calls, effects, _ := s.provider.count(); calls != 1 || effects != 1 {
		t.Errorf("%d calls, %d effects", calls, effects)
	}
	a.Values["password"] = []string{"another-password"}
	if _, err := s.runs.Request(t.Context(), s.owner, a); !errors.Is(err, app.ErrConflict) {
		t.Errorf("the same form with other values: %v", err)
	}
	a = asking(product, "changePassword", "password", "another-password", "package_name", "gold")
	var invalid *app.Invalid
	if _, err := s.runs.Request(t.Context(), s.owner, a); !errors.As(err, &invalid) {
		t.Errorf("an undeclared key: %v", err)
	}
}

// Runs of one product go one at a time and in order, those of many side by side.
func TestRuns_OneAtATimeInOrder(t *testing.T) {
	t.Parallel()
	// No call is answered before two are there at once.
	two, called := make(chan struct{}), map[string]bool{}
	s := openShop(setUp(t, nil), func(c providerCall) behaviour {
		if called[c.Product] = true; len(called) == 2 {
			select {
			case <-two:
			default:
				close(two)
			}
		}
		return behaviour{act: true, until: two}
	})
	product, others := s.product(), []string{s.product(), s.product()}
	var want []string
	for i := range 8 {
		password := fmt.Sprintf("password-%d", i)
		want = append(want, password)
		s.ask(s.owner, product, "changePassword", "password", password)
		s.ask(s.owner, others[i%2], "changePassword", "password", password)
	}
	s.start()
	s.final()
	var got []string
	for _, c := range s.provider.calls {
		if c.Product == product {
			got = append(got, fmt.Sprint(c.Params["password"]))
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("in the order %v", got)
	}
	if s.provider.most < 2 || s.provider.most > 3 {
		t.Errorf("%d calls at once of three products", s.provider.most)
	}
}

// What a provider may answer, and what becomes of the run.
func TestRuns_Answers(t *testing.T) {
	t.Parallel()
	first := func(b behaviour) func(providerCall) behaviour {
		return func(c providerCall) behaviour {
			if c.N == 1 {
				return b
			}
			return fine
		}
	}
	always := func(b behaviour) func(providerCall) behaviour { return func(providerCall) behaviour { return b } }
	for name, c := range map[string]struct {
		decide         func(providerCall) behaviour
		action         string
		blind          bool
		want           string
		calls, effects int
		attempts       int
	}{
		"done":                                {always(fine), "create", false, "succeeded", 1, 1, 1},
		"acts, then answers 500":              {always(behaviour{act: true, status: 500}), "create", false, "succeeded", 1, 1, 2},
		"acts, then never answers":            {always(behaviour{act: true, hang: true}), "create", false, "succeeded", 1, 1, 2},
		"acts, then answers rubbish":          {always(behaviour{act: true, broken: true}), "create", false, "succeeded", 1, 1, 2},
		"500 before it acts":                  {first(behaviour{status: 502}), "create", false, "succeeded", 2, 1, 2},
		"500, and can't tell":                 {always(behaviour{act: true, status: 503}), "create", true, "failed unknown", 1, 1, 2},
		"500, what is repeatable is repeated": {first(behaviour{act: true, status: 504}), "changePassword", true, "succeeded", 2, 2, 2},
		"400":                                 {always(behaviour{status: 400}), "create", false, "failed", 1, 0, 1},
		"404":                                 {always(behaviour{status: 404}), "changePassword", false, "failed", 1, 0, 1},
		"408":                                 {first(behaviour{status: 408}), "create", false, "succeeded", 2, 1, 2},
		"425":                                 {first(behaviour{status: 425}), "create", false, "succeeded", 2, 1, 2},
		"429 costs no attempt":                {first(behaviour{status: 429, after: "1"}), "create", false, "succeeded", 2, 1, 1},
		"it goes on working": {func(c providerCall) behaviour { return behaviour{act: c.N == 1, waiting: c.N < 4, reference: "op-1"} },
			"create", false, "succeeded", 4, 1, 1},
		"it goes on for ever":  {always(behaviour{waiting: true, reference: "op-2"}), "create", false, "failed unknown", 0, 0, 1},
		"408 for ever":         {always(behaviour{status: 408}), "create", false, "failed", 8, 0, 8},
		"500 for ever, a read": {always(behaviour{status: 500}), "usage", false, "failed", 8, 0, 8},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := openShop(setUp(t, nil), c.decide)
			s.provider.blind = c.blind
			product := s.product()
			if c.action == "create" {
				s.exec("update contract_products set status = 'pending'")
				s.system(product, "create", map[string]any{"domain": "bluebird.example", "package_name": "standard"})
			} else if c.action == "usage" {
				s.system(product, c.action, nil)
			} else {
				s.ask(s.owner, product, c.action, "password", canary("password"))
			}
			s.hurry()
			s.start()
			s.final()
			s.want(map[string]int{c.want: 1})
			calls, effects, _ := s.provider.count()
			if (calls != c.calls && c.calls > 0) || effects != c.effects {
				t.Errorf("%d calls and %d effects, want %d and %d\n%s", calls, effects, c.calls, c.effects, s.dump())
			}
			if attempts := scan[int](s.bundle, "select attempts from provision_runs"); attempts != c.attempts {
				t.Errorf("%d attempts, want %d\n%s", attempts, c.attempts, s.dump())
			}
			if c.want != "succeeded" {
				s.until(1, "select count(*) from mail_deliveries where kind = 'provision-failed'")
			}
			if left := scan[int](s.bundle, "select count(*) from provision_secrets"); left != 0 {
				t.Errorf("%d sealed values are left", left)
			}
		})
	}
}
