// Command provider is a whole provider for Portico's generic driver, in one file and without dependencies: it sells licence keys.
// The protocol is described in docs/generic-provider.md. Take it as the beginning of your own:
//
//	PROVIDER_KEY=$(openssl rand -base64 32) go run ./docs/examples/provider -addr 127.0.0.1:8090 -state licences.json
//
// With -slow 30s a new licence takes its time: the portal hears at once that it is being made, and by callback when it is ready.
package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Request is what the portal sends.
type Request struct {
	Version   int            `json:"version"`
	Function  string         `json:"function"`
	LookUp    bool           `json:"look_up"`
	Category  string         `json:"category"`
	Key       string         `json:"key"`
	Product   string         `json:"product"`
	Params    map[string]any `json:"params"`
	Fields    map[string]any `json:"fields"`
	Reference string         `json:"reference"`
	VisitorIP string         `json:"visitor_ip"`
	Callback  string         `json:"callback"`
}

// Reply is what the portal gets.
type Reply struct {
	Status    string         `json:"status"` // done, waiting, refused, later, absent or unknown
	Message   string         `json:"message,omitempty"`
	Detail    string         `json:"detail,omitempty"`
	Code      string         `json:"code,omitempty"`
	Data      map[string]any `json:"data,omitempty"`
	Reference string         `json:"reference,omitempty"`
	After     float64        `json:"after,omitempty"`
}

// Licence is what is sold here.
type Licence struct {
	Key       string `json:"key"`
	Service   string `json:"service"`
	Package   string `json:"package"`
	Customer  string `json:"customer"`
	Suspended bool   `json:"suspended"`
}

// Provider keeps its state in one JSON file. Safe for concurrent use.
type Provider struct {
	file string        // "" keeps nothing
	slow time.Duration // how long a new licence takes
	keys [][]byte      // the portal's signing keys

	mutex    sync.Mutex
	Licences map[string]*Licence `json:"licences"`
	Replies  map[string]Reply    `json:"replies"` // what was answered, by operation key: asked again, the same is answered again
	Pending  map[string]Request  `json:"pending"` // what takes its time, by operation key
	seen     map[string]time.Time
}

const (
	tolerance = 5 * time.Minute
	maxBody   = 1 << 20
)

// NewProvider reads the state, if there is any. keys are the signing keys in base64, more than one while they change.
func NewProvider(file string, slow time.Duration, keys ...string) (*Provider, error) {
	p := &Provider{file: file, slow: slow, Licences: map[string]*Licence{}, Replies: map[string]Reply{}, Pending: map[string]Request{}, seen: map[string]time.Time{}}
	for _, text := range keys {
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(text, "whsec_"))
		if err != nil || len(key) < 24 {
			return nil, errors.New("a signing key is at least 24 random bytes in base64")
		}
		p.keys = append(p.keys, key)
	}
	if len(p.keys) == 0 {
		return nil, errors.New("no signing key")
	}
	if file == "" {
		return p, nil
	}
	state, err := os.ReadFile(file)
	if os.IsNotExist(err) {
		return p, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(state, p); err != nil {
		return nil, err
	}
	for _, request := range p.Pending {
		time.AfterFunc(slow, func() { p.finish(request) })
	}
	return p, nil
}

// ServeHTTP takes one call.
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if r.Method != http.MethodPost || err != nil {
		http.Error(w, "a call is a POST of at most 1 MiB", http.StatusBadRequest)
		return
	}
	if err := p.verify(r.Header, body, time.Now()); err != nil {
		http.Error(w, err.Error(), http.StatusUnauthorized)
		return
	}
	var request Request
	if err := json.Unmarshal(body, &request); err != nil || request.Version != 1 {
		http.Error(w, "not a call of version 1", http.StatusBadRequest)
		return
	}
	reply, err := p.answer(request)
	if err != nil {
		log.Printf("%s: %v", request.Function, err)
		reply = Reply{Status: "unknown", Detail: "the state could not be stored"}
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(reply); err != nil {
		log.Printf("%s: %v", request.Function, err)
	}
}

// verify checks the signature, the time, and that the message is not one sent again by a listener.
func (p *Provider) verify(header http.Header, body []byte, now time.Time) error {
	id, timestamp := header.Get("Webhook-Id"), header.Get("Webhook-Timestamp")
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if age := now.Sub(time.Unix(seconds, 0)); err != nil || age > tolerance || age < -tolerance {
		return errors.New("the message is not of now: check the clocks")
	}
	valid := false
	for _, key := range p.keys {
		for given := range strings.FieldsSeq(header.Get("Webhook-Signature")) {
			if hmac.Equal([]byte(given), []byte(signature(key, id, timestamp, body))) {
				valid = true
			}
		}
	}
	if !valid {
		return errors.New("no valid signature: check the signing key")
	}
	p.mutex.Lock()
	defer p.mutex.Unlock()
	for old, at := range p.seen {
		if now.Sub(at) > 2*tolerance {
			delete(p.seen, old)
		}
	}
	if _, again := p.seen[id]; again {
		return errors.New("this message was here before")
	}
	p.seen[id] = now
	return nil
}

func signature(key []byte, id, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + timestamp + "."))
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// answer carries a call out, once for each operation key.
func (p *Provider) answer(request Request) (Reply, error) {
	if request.Function == "test" {
		return Reply{Status: "done"}, nil
	}
	if request.Category != "software-licenses" {
		return refused("unsupported", "this provider sells licences only"), nil
	}
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if before, known := p.Replies[request.Key]; known {
		return before, nil
	}
	if request.LookUp {
		return Reply{Status: "absent"}, nil
	}
	if request.Function == "create" && p.slow > 0 {
		waiting := Reply{Status: "waiting", Reference: "licence-" + request.Key, After: max(1, p.slow.Seconds()), Message: "Your licence is being made."}
		p.Pending[request.Key] = request
		time.AfterFunc(p.slow, func() { p.finish(request) })
		return waiting, p.keep(request.Key, waiting)
	}
	reply := p.act(request)
	if request.Function == "usage" || request.Function == "showLicenseKey" || reply.Status == "later" {
		return reply, nil // a read is read again
	}
	return reply, p.keep(request.Key, reply)
}

// finish makes a licence that took its time, and tells the portal, which then asks what came of it.
func (p *Provider) finish(request Request) {
	p.mutex.Lock()
	delete(p.Pending, request.Key)
	err := p.keep(request.Key, p.act(request))
	p.mutex.Unlock()
	if err == nil && request.Callback != "" {
		err = p.callBack(request)
	}
	if err != nil {
		log.Printf("finish %s: %v", request.Key, err) // the portal asks by itself, only later
	}
}

func (p *Provider) callBack(request Request) error {
	body, err := json.Marshal(map[string]string{"key": request.Key})
	if err != nil {
		return err
	}
	post, err := http.NewRequest(http.MethodPost, request.Callback, bytes.NewReader(body))
	if err != nil {
		return err
	}
	id, timestamp := "msg_"+random(), strconv.FormatInt(time.Now().Unix(), 10)
	post.Header.Set("Content-Type", "application/json")
	post.Header.Set("Webhook-Id", id)
	post.Header.Set("Webhook-Timestamp", timestamp)
	post.Header.Set("Webhook-Signature", signature(p.keys[0], id, timestamp, body))
	client := http.Client{Timeout: 10 * time.Second}
	response, err := client.Do(post)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode >= 300 {
		return fmt.Errorf("the portal answered the callback with %s", response.Status)
	}
	return nil
}

// act is the business: the functions of software licences.
func (p *Provider) act(request Request) Reply {
	if request.Function == "create" {
		licence := &Licence{
			Key: random(), Service: "svc-" + random()[:8], Package: text(request.Params, "package_identifier"), Customer: text(request.Params, "customer_identifier"),
		}
		if licence.Customer == "" {
			licence.Customer = "customer-" + random()[:8]
		}
		p.Licences[licence.Key] = licence
		data := described(licence)
		data["service_identifier"], data["customer_identifier"] = licence.Service, licence.Customer
		return Reply{Status: "done", Data: data}
	}
	licence := p.Licences[text(request.Params, "license_key")]
	if licence == nil {
		return refused("missing", "no such licence")
	}
	switch request.Function {
	case "usage":
		return Reply{Status: "done", Data: map[string]any{"units_consumed": 1, "usage_data": map[string]any{"package": licence.Package}}}
	case "showLicenseKey":
		return Reply{Status: "done", Data: map[string]any{"license_key": licence.Key}}
	case "renew", "changePackage":
		if to := text(request.Params, "package_identifier"); to != "" {
			licence.Package = to
		}
		return Reply{Status: "done", Data: described(licence)}
	case "reissue":
		delete(p.Licences, licence.Key)
		licence.Key = random()
		p.Licences[licence.Key] = licence
		return Reply{Status: "done", Data: map[string]any{"license_key": licence.Key}}
	case "suspend", "unsuspend":
		licence.Suspended = request.Function == "suspend"
		return Reply{Status: "done"}
	case "terminate":
		delete(p.Licences, licence.Key)
		return Reply{Status: "done"}
	}
	return refused("unsupported", "this provider has no function "+request.Function)
}

func described(licence *Licence) map[string]any {
	data := map[string]any{"license_key": licence.Key}
	if licence.Package != "" {
		data["package_identifier"] = licence.Package
	}
	return data
}

func refused(code, detail string) Reply { return Reply{Status: "refused", Code: code, Detail: detail} }

func text(values map[string]any, name string) string {
	value, _ := values[name].(string)
	return value
}

// random is a licence key, or anything else that nobody can guess.
func random() string { return rand.Text() }

// keep remembers a reply and stores the state, before anybody hears of it: what is not stored did not happen.
func (p *Provider) keep(key string, reply Reply) error {
	p.Replies[key] = reply
	if p.file == "" {
		return nil
	}
	state, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(p.file+".new", state, 0o600); err != nil {
		return err
	}
	return os.Rename(p.file+".new", p.file)
}

func main() {
	addr := flag.String("addr", "127.0.0.1:8090", "address to listen on")
	file := flag.String("state", "licences.json", "file to keep the licences in")
	slow := flag.Duration("slow", 0, "how long a new licence takes")
	flag.Parse()
	keys := []string{os.Getenv("PROVIDER_KEY")}
	if old := os.Getenv("PROVIDER_OLD_KEY"); old != "" {
		keys = append(keys, old)
	}
	provider, err := NewProvider(*file, *slow, keys...)
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("the provider is at http://%s", listener.Addr())
	server := http.Server{Handler: provider, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second}
	log.Fatal(server.Serve(listener))
}
