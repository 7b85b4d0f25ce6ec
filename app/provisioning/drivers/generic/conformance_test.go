package generic_test

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"portico/app/locale"
	"portico/app/provisioning"
	"portico/app/provisioning/drivers/generic"
	"portico/app/provisioning/outbound"
	"portico/app/provisioning/provisioningtest"
	"portico/views"
)

type values = map[string]any

// anything is a provider of every category: whatever is declared, it gives. Every third call takes a moment.
type anything struct {
	t       *testing.T
	key     []byte
	mutex   sync.Mutex
	done    map[string]values // replies by operation key
	waiting map[string]bool
	effects map[string]int
	calls   int
}

func (a *anything) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		a.t.Error(err)
	}
	if _, err := generic.Verify(r.Header.Get, body, time.Now(), a.key); err != nil {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	var call struct {
		Function, Category, Key, Reference string
		LookUp                             bool `json:"look_up"`
	}
	if err := json.Unmarshal(body, &call); err != nil {
		a.t.Error(err)
	}
	reply := a.reply(call.Category, call.Function, call.Key, call.Reference, call.LookUp)
	if r.URL.Path == "/lost" && !call.LookUp {
		conn, _, _ := w.(http.Hijacker).Hijack()
		conn.Close()
		return
	}
	if err := json.NewEncoder(w).Encode(reply); err != nil {
		a.t.Error(err)
	}
}

func (a *anything) reply(category, function, key, reference string, lookUp bool) values {
	if function == "test" {
		return values{"status": "done"}
	}
	a.mutex.Lock()
	defer a.mutex.Unlock()
	if a.waiting[key] && reference != "" {
		delete(a.waiting, key)
	}
	switch {
	case a.waiting[key]:
		return values{"status": "waiting", "reference": "at-" + key, "after": 1}
	case a.done[key] != nil:
		return a.done[key]
	case lookUp:
		return values{"status": "absent"}
	}
	declared, ok := provisioning.FunctionOf(generic.Driver{}, category, function)
	if !ok {
		return values{"status": "refused", "code": "unsupported"}
	}
	a.effects[key]++
	a.done[key] = values{"status": "done", "data": invent(declared.Returns)}
	if a.calls++; a.calls%3 == 0 {
		a.waiting[key] = true
		return values{"status": "waiting", "reference": "at-" + key}
	}
	return a.done[key]
}

func invent(fields []provisioning.Field) values {
	made := values{}
	for _, f := range fields {
		made[f.Name] = inventOne(f)
	}
	return made
}

// inventOne makes a value of what is declared; secret ones have a canary in them.
func inventOne(f provisioning.Field) any {
	switch f.Kind {
	case provisioning.KindWhole, provisioning.KindNumber:
		return max(f.Min, 1)
	case provisioning.KindBool:
		return true
	case provisioning.KindChoice:
		return f.Options[0]
	case provisioning.KindDomain:
		return "bluebird.example"
	case provisioning.KindHostname:
		return "ns1.bluebird.example"
	case provisioning.KindSuffix:
		return "example"
	case provisioning.KindIP:
		return "192.0.2.9"
	case provisioning.KindEmail:
		return "bea@bluebird.example"
	case provisioning.KindURL:
		return "https://panel.example/canary-link-4711"
	case provisioning.KindPhone:
		return "+442079460000"
	case provisioning.KindCountry:
		return "GB"
	case provisioning.KindCurrency:
		return "EUR"
	case provisioning.KindDay:
		return "2027-01-31"
	case provisioning.KindTime:
		return "2027-01-31T12:00:00Z"
	case provisioning.KindJSON:
		if f.Secret {
			return values{"inner": "canary-inner-4711"}
		}
		return values{"inner": "value"}
	case provisioning.KindList:
		return []any{inventOne(*f.Item)}
	case provisioning.KindObject:
		return invent(f.Fields)
	}
	if f.Secret {
		return "canary-secret-4711"
	}
	return "value"
}

func TestGeneric_Conforms(t *testing.T) {
	t.Parallel()
	catalogue, err := locale.Load(views.Files)
	if err != nil {
		t.Fatal(err)
	}
	text := base64.StdEncoding.EncodeToString([]byte("canary-signing-key-of-32-bytes!!"))
	key, err := generic.ParseKey(text)
	if err != nil {
		t.Fatal(err)
	}
	provider := &anything{t: t, key: key, done: map[string]values{}, waiting: map[string]bool{}, effects: map[string]int{}}
	server := httptest.NewServer(provider)
	t.Cleanup(server.Close)
	policy, err := outbound.ParsePolicy(outbound.Loopback)
	if err != nil {
		t.Fatal(err)
	}
	driver := generic.Driver{URL: "https://portal.example"}
	settings := func(path, key string) values {
		return values{"provider_url": server.URL + path, "signing_key": key}
	}
	provisioningtest.Run(t, provisioningtest.Suite{
		Driver: driver, Client: outbound.New(policy, nil), Settings: settings("/", text),
		Refused: settings("/", base64.StdEncoding.EncodeToString([]byte("another-signing-key-of-32-bytes!"))),
		Steps: func(category, _ string) []provisioningtest.Step {
			var steps []provisioningtest.Step
			for _, f := range driver.Functions(category) {
				// What is filled from provision fields is not known at first, so all of it is given.
				steps = append(steps, provisioningtest.Step{Function: f.Name, Params: invent(f.Params)})
			}
			return steps
		},
		Lost: func(string) map[string]any { return settings("/lost", text) },
		Effects: func(key string) int {
			provider.mutex.Lock()
			defer provider.mutex.Unlock()
			return provider.effects[key]
		},
		Printer: catalogue.Printer("en", "UTC", time.Time{}),
	})
}
