// Package generic drives whatever a store has written itself: each call is a signed JSON request to an address of the store's own.
// The protocol is in docs/generic-provider.md, a provider for it in docs/examples/provider. Start reading at send; webhook.go has
// the signatures.
package generic

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"portico/app"
	"portico/app/provisioning"
	"portico/app/provisioning/outbound"

	"github.com/google/uuid"
)

// Driver is the generic driver. URL is the portal's public address, at which callbacks arrive.
type Driver struct{ URL string }

func (Driver) Name() string  { return "generic" }
func (Driver) Title() string { return "Generic HTTP" }

// Categories are all of them.
func (Driver) Categories() []string {
	var names []string
	for _, category := range provisioning.Categories() {
		names = append(names, category.Name)
	}
	return names
}

// Settings are the address and the key that both ends sign with. While keys change, the old one signs and is taken as well.
func (Driver) Settings(string) []provisioning.Field {
	return []provisioning.Field{
		{Name: "provider_url", Kind: provisioning.KindURL, Required: true},
		{Name: "signing_key", Kind: provisioning.KindText, Secret: true, Min: 32, Required: true},
		{Name: "old_signing_key", Kind: provisioning.KindText, Secret: true, Min: 32},
	}
}

// Functions are the category's own: a provider refuses those that it does not offer.
func (Driver) Functions(category string) []provisioning.Function {
	found, _ := provisioning.CategoryOf(category)
	return found.Functions
}

func signingKeys(settings map[string]any) ([][]byte, error) {
	var keys [][]byte
	for _, name := range []string{"signing_key", "old_signing_key"} {
		text, _ := settings[name].(string)
		if text == "" && name == "old_signing_key" {
			continue
		}
		key, err := ParseKey(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// request is the body that a provider gets. Empty values are left out.
type request struct {
	Version  int            `json:"version"` // 1
	Function string         `json:"function"`
	LookUp   bool           `json:"look_up,omitempty"` // only tell whether the call of this key was carried out
	Category string         `json:"category"`
	Key      string         `json:"key,omitempty"`
	Product  string         `json:"product,omitempty"`
	Params   map[string]any `json:"params,omitempty"`
	Fields   map[string]any `json:"fields,omitempty"`
	// Reference is what the provider answered "waiting" with: the call is asked after, not made again.
	Reference string `json:"reference,omitempty"`
	VisitorIP string `json:"visitor_ip,omitempty"`
	Callback  string `json:"callback,omitempty"`
}

// reply is the body that a provider answers with.
type reply struct {
	Status    string         `json:"status"`
	Message   string         `json:"message"`
	Detail    string         `json:"detail"`
	Code      string         `json:"code"`
	Data      map[string]any `json:"data"`
	Reference string         `json:"reference"`
	After     float64        `json:"after"` // seconds
}

// The statuses of a reply.
const (
	statusDone    = "done"
	statusWaiting = "waiting"
	statusRefused = "refused"
	statusLater   = "later"
	statusAbsent  = "absent"
	statusUnknown = "unknown"
)

const (
	maxMessage   = 500
	maxReference = 255
	maxAfter     = 24 * 60 * 60 // seconds
)

// Test sends the function "test", which changes nothing and must be answered with "done".
func (d Driver) Test(ctx context.Context, c provisioning.Call) error {
	answer, err := d.send(ctx, c, request{Version: 1, Function: "test", Category: c.Category})
	if err == nil && answer.Status != statusDone {
		err = &provisioning.Refused{Family: provisioning.FamilyRefused, Detail: `the provider did not answer the test with "done"`}
	}
	return err
}

// Call sends a call, or asks after one that the provider is at.
func (d Driver) Call(ctx context.Context, c provisioning.Call) (provisioning.Result, error) {
	answer, err := d.send(ctx, c, d.request(c))
	if err != nil {
		return provisioning.Result{}, err
	}
	switch answer.Status {
	case statusDone:
		return d.result(c, answer)
	case statusWaiting:
		return provisioning.Result{
			Message: answer.Message, Reference: answer.Reference, Waiting: true, After: time.Duration(answer.After * float64(time.Second)),
		}, nil
	}
	return provisioning.Result{}, &provisioning.Unknown{Detail: strings.TrimSpace(fmt.Sprintf("the reply's status is %q. %s", answer.Status, answer.Detail))}
}

// LookUp asks whether the call of this key was carried out.
func (d Driver) LookUp(ctx context.Context, c provisioning.Call) (provisioning.Outcome, provisioning.Result, error) {
	asked := d.request(c)
	asked.LookUp = true
	answer, err := d.send(ctx, c, asked)
	if err != nil {
		return provisioning.OutcomeUnknown, provisioning.Result{}, err
	}
	switch answer.Status {
	case statusAbsent:
		return provisioning.OutcomeAbsent, provisioning.Result{}, nil
	case statusUnknown:
		return provisioning.OutcomeUnknown, provisioning.Result{}, nil
	case statusWaiting:
		return provisioning.OutcomeDone, provisioning.Result{
			Message: answer.Message, Reference: answer.Reference, Waiting: true, After: time.Duration(answer.After * float64(time.Second)),
		}, nil
	}
	result, err := d.result(c, answer)
	if err != nil {
		return provisioning.OutcomeUnknown, provisioning.Result{}, err
	}
	return provisioning.OutcomeDone, result, nil
}

func (d Driver) request(c provisioning.Call) request {
	asked := request{
		Version: 1, Function: c.Function, Category: c.Category, Key: c.Key, Product: c.ProductID, Params: c.Params, Fields: c.Fields, Reference: c.Reference,
		VisitorIP: c.VisitorIP,
	}
	if c.ConfigurationID != "" {
		asked.Callback = d.URL + "/callbacks/provisioning/" + c.ConfigurationID
	}
	return asked
}

// result checks what came back. Data that is not as declared is no refusal: the provider has acted.
func (d Driver) result(c provisioning.Call, answer reply) (provisioning.Result, error) {
	function, ok := provisioning.FunctionOf(d, c.Category, c.Function)
	if !ok {
		return provisioning.Result{}, &provisioning.Refused{Family: provisioning.FamilyUnsupported, Detail: "no such function"}
	}
	data, err := provisioning.CheckResult(function, answer.Data)
	if err != nil {
		return provisioning.Result{}, &provisioning.Unknown{Detail: "the reply's data is not as declared: " + fields(err)}
	}
	return provisioning.Result{Message: answer.Message, Data: data}, nil
}

// fields names what is wrong, without the values.
func fields(err error) string {
	var invalid *app.Invalid
	if !errors.As(err, &invalid) {
		return "it can't be read"
	}
	var names []string
	for _, f := range invalid.Fields {
		names = append(names, f.Field)
	}
	return strings.Join(names, ", ")
}

// send signs and sends one request and reads the reply. Refusals and delays become errors.
func (d Driver) send(ctx context.Context, c provisioning.Call, asked request) (reply, error) {
	keys, err := signingKeys(c.Settings)
	if err != nil {
		return reply{}, &provisioning.Refused{Family: provisioning.FamilyRefused, Detail: err.Error()}
	}
	body, err := json.Marshal(asked)
	if err != nil {
		return reply{}, fmt.Errorf("encode a call of %s: %w", asked.Function, err)
	}
	function, _ := provisioning.FunctionOf(d, c.Category, asked.Function)
	if secret := provisioning.SecretNames(function.Returns); len(secret) > 0 {
		ctx = outbound.WithSecretFields(ctx, secret...)
	}
	outgoing, err := http.NewRequestWithContext(ctx, http.MethodPost, c.Setting("provider_url"), bytes.NewReader(body))
	if err != nil {
		return reply{}, &provisioning.Refused{Family: provisioning.FamilyRefused, Detail: "the provider's address is none"}
	}
	outgoing.Header.Set("Content-Type", "application/json")
	outgoing.Header.Set("Accept", "application/json")
	Sign(outgoing.Header, "msg_"+strings.ReplaceAll(uuid.NewString(), "-", ""), time.Now(), body, keys...)
	response, err := c.Client.Do(outgoing)
	if err != nil {
		return reply{}, provisioning.Unanswered(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return reply{}, provisioning.Unanswered(err)
	}
	return read(response, content, secrets(c))
}

// read makes a reply of an answer. The HTTP status decides about credentials, and about everything where the body is no reply.
func read(response *http.Response, content []byte, secrets []string) (reply, error) {
	if response.StatusCode == http.StatusUnauthorized || response.StatusCode == http.StatusForbidden {
		return reply{}, provisioning.Answered(response, "")
	}
	answer, err := decode(content)
	if err != nil {
		if failed := provisioning.Answered(response, ""); failed != nil {
			return reply{}, failed
		}
		return reply{}, &provisioning.Unknown{Detail: "the answer is no reply: " + err.Error()}
	}
	answer.Message, answer.Detail = line(answer.Message, secrets), line(answer.Detail, secrets)
	detail := answer.Detail
	if detail == "" {
		detail = answer.Message
	}
	after := time.Duration(answer.After * float64(time.Second))
	switch answer.Status {
	case statusRefused:
		return reply{}, &provisioning.Refused{Message: answer.Message, Detail: detail, Family: answer.Code}
	case statusLater:
		if after == 0 {
			after = outbound.RetryAfter(response, time.Now())
		}
		return reply{}, &provisioning.Later{After: after, Limit: response.StatusCode == http.StatusTooManyRequests, Detail: detail}
	case statusUnknown:
		return answer, nil
	}
	if failed := provisioning.Answered(response, fmt.Sprintf("with a reply of status %q", answer.Status)); failed != nil {
		return reply{}, failed
	}
	return answer, nil
}

// decode reads a reply and checks that each status has what belongs to it. Unknown keys are refused: they are mistakes.
func decode(content []byte) (reply, error) {
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.DisallowUnknownFields()
	var answer reply
	if err := decoder.Decode(&answer); err != nil {
		return reply{}, errors.New("it is not JSON, or has keys that a reply does not have")
	}
	if _, err := decoder.Token(); err != io.EOF {
		return reply{}, errors.New("something follows the JSON")
	}
	if answer.After < 0 || answer.After > maxAfter {
		return reply{}, fmt.Errorf("after is not between 0 and %d seconds", maxAfter)
	}
	switch answer.Status {
	case statusDone, statusLater, statusAbsent, statusUnknown:
	case statusWaiting:
		if answer.Reference == "" || len(answer.Reference) > maxReference || strings.ContainsFunc(answer.Reference, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return reply{}, errors.New("waiting needs a reference of at most 255 characters")
		}
	case statusRefused:
		if answer.Code == "" {
			answer.Code = provisioning.FamilyRefused
		}
		if !slices.Contains(provisioning.Families, answer.Code) {
			return reply{}, errors.New("the code of the refusal is none of " + strings.Join(provisioning.Families, ", "))
		}
	default:
		return reply{}, errors.New("its status is none")
	}
	return answer, nil
}

// line is what the provider says, as one line without secrets.
func line(text string, secrets []string) string {
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "")), " ")
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, text)
	text = outbound.Scrub(text, secrets...)
	if runes := []rune(text); len(runes) > maxMessage {
		text = string(runes[:maxMessage]) + "…"
	}
	return text
}

// secrets are the values of a call that nobody may repeat.
func secrets(c provisioning.Call) []string {
	found := []string{c.Setting("signing_key"), c.Setting("old_signing_key")}
	if function, ok := provisioning.FunctionOf(Driver{}, c.Category, c.Function); ok {
		found = append(found, provisioning.Secrets(function.Params, c.Params)...)
	}
	if category, ok := provisioning.CategoryOf(c.Category); ok {
		found = append(found, provisioning.Secrets(category.Fields, c.Fields)...)
	}
	return found
}

// Callback is what a provider posts to the callback address: which call it has finished with. What came of it is asked there.
type Callback struct {
	Key string `json:"key"`
}

// VerifyCallback checks a callback under the settings of its configuration, and returns the message's id and the operation key, or
// ErrSignature. get returns a header by its name.
func (Driver) VerifyCallback(settings map[string]any, get func(name string) string, body []byte, now time.Time) (id, key string, err error) {
	keys, err := signingKeys(settings)
	if err != nil {
		return "", "", ErrSignature
	}
	if id, err = Verify(get, body, now, keys...); err != nil {
		return "", "", err
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	var callback Callback
	if decoder.Decode(&callback) != nil {
		return "", "", ErrSignature
	}
	parsed, err := uuid.Parse(callback.Key)
	if err != nil {
		return "", "", ErrSignature
	}
	return id, parsed.String(), nil
}
