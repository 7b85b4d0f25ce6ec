// Package sandbox drives the portal's own Sandbox provider, which does every function of every category and can be told to fail. Start
// reading at Call.
package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"

	"portico/app/provisioning"
	"portico/app/provisioning/outbound"
)

// Driver is the driver for the Sandbox at one address, e.g. http://127.0.0.1:8079.
type Driver struct{ URL string }

func (Driver) Name() string  { return "sandbox" }
func (Driver) Title() string { return "Sandbox" }

func (Driver) Categories() []string {
	var names []string
	for _, c := range provisioning.Categories() {
		names = append(names, c.Name)
	}
	return names
}

// Faults are what a configuration can ask for; each is one of the Sandbox's own.
var faults = []string{"unavailable", "drop", "refuse", "unauthorised", "rate-limit", "act-then-500", "act-then-drop", "act-then-garbage"}

// Settings say how badly calls go.
func (Driver) Settings(string) []provisioning.Field {
	label := func(f provisioning.Field) provisioning.Field {
		f.Label = "actions.sandbox-" + f.Name
		return f
	}
	return []provisioning.Field{
		label(provisioning.Field{Name: "token", Kind: provisioning.KindText, Secret: true, Required: true, Min: 8}),
		label(provisioning.Field{Name: "slow", Kind: provisioning.KindNumber, Min: 0, Max: 300}),
		label(provisioning.Field{Name: "work", Kind: provisioning.KindNumber, Min: 0, Max: 86400, Default: float64(5)}),
		label(provisioning.Field{Name: "fault", Kind: provisioning.KindChoice, Options: faults}),
		label(provisioning.Field{Name: "tries", Kind: provisioning.KindWhole, Min: 0, Max: 100}),
		label(provisioning.Field{Name: "functions", Kind: provisioning.KindList, Max: 100, Item: &provisioning.Field{Kind: provisioning.KindName}}),
		label(provisioning.Field{Name: "forgetful", Kind: provisioning.KindBool}),
		label(provisioning.Field{Name: "rate", Kind: provisioning.KindWhole, Min: 0, Max: 1000}),
	}
}

// backup is a function of this driver alone.
var backup = provisioning.Function{
	Name: "createBackup", Class: provisioning.ClassChange, Audience: provisioning.AudienceDelegates,
	Params: []provisioning.Field{{Name: "username", Kind: provisioning.KindText, Required: true, Staff: true, From: "username"}},
	Returns: []provisioning.Field{
		{Name: "backup", Kind: provisioning.KindText, Required: true}, {Name: "backup_at", Kind: provisioning.KindTime, Required: true},
	},
}

// Functions are all of the catalogue, and for web hosting a backup.
func (Driver) Functions(category string) []provisioning.Function {
	c, ok := provisioning.CategoryOf(category)
	if !ok {
		return nil
	}
	functions := slices.Clone(c.Functions)
	if category == "web-hosting" {
		functions = append(functions, backup)
	}
	return functions
}

// Test asks whether the token is taken.
func (d Driver) Test(ctx context.Context, c provisioning.Call) error {
	_, err := d.send(ctx, c, http.MethodGet, "/api/ping", nil)
	return err
}

// Call runs a function, or asks how one goes on that was answered with a reference.
func (d Driver) Call(ctx context.Context, c provisioning.Call) (provisioning.Result, error) {
	if c.Reference != "" {
		return d.send(ctx, c, http.MethodGet, "/api/operations/"+url.PathEscape(c.Reference), nil)
	}
	return d.send(ctx, c, http.MethodPost, "/api/"+c.Category+"/"+c.Function, map[string]any{"product": c.ProductID, "params": c.Params})
}

// LookUp asks by the operation key, and where keys are not kept, looks at what is there.
func (d Driver) LookUp(ctx context.Context, c provisioning.Call) (provisioning.Outcome, provisioning.Result, error) {
	var none provisioning.Result
	result, err := d.send(ctx, c, http.MethodGet, "/api/operations?key="+url.QueryEscape(c.Key), nil)
	var no *provisioning.Refused
	switch {
	case err == nil:
		return provisioning.OutcomeDone, result, nil
	case !errors.As(err, &no):
		return provisioning.OutcomeUnknown, none, err
	case no.Family == provisioning.FamilyMissing:
		return provisioning.OutcomeAbsent, none, nil
	}
	made, err := d.send(ctx, c, http.MethodGet, "/api/"+c.Category+"/accounts/"+url.PathEscape(c.ProductID), nil)
	absent := errors.As(err, &no) && no.Family == provisioning.FamilyMissing
	if err != nil && !absent {
		return provisioning.OutcomeUnknown, none, err
	}
	there := !absent && made.Data["terminated"] != true
	is := func(done bool, data any) (provisioning.Outcome, provisioning.Result, error) {
		if !done {
			return provisioning.OutcomeAbsent, none, nil
		}
		info, _ := data.(map[string]any)
		return provisioning.OutcomeDone, provisioning.Result{Data: info}, nil
	}
	switch c.Function {
	case "create", "register", "transfer", "transferWithCode":
		return is(there, made.Data["info"])
	case "terminate":
		return is(!there, nil)
	}
	return provisioning.OutcomeUnknown, none, nil
}

// answer is what the Sandbox says.
type answer struct {
	Status    string         `json:"status"`
	Operation string         `json:"operation"`
	Data      map[string]any `json:"data"`
	Error     string         `json:"error"`
	Message   string         `json:"message"`
}

func (d Driver) send(ctx context.Context, c provisioning.Call, method, path string, body any) (provisioning.Result, error) {
	var none provisioning.Result
	var sent io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return none, fmt.Errorf("write the call: %w", err)
		}
		sent = bytes.NewReader(encoded)
	}
	request, err := http.NewRequestWithContext(ctx, method, d.URL+path, sent)
	if err != nil {
		return none, fmt.Errorf("make the call: %w", err)
	}
	behaviour := map[string]any{}
	for _, name := range []string{"slow", "work", "fault", "tries", "functions", "forgetful", "rate"} {
		if value := c.Settings[name]; value != nil {
			behaviour[name] = value
		}
	}
	if encoded, err := json.Marshal(behaviour); err == nil && len(behaviour) > 0 {
		request.Header.Set("Sandbox-Behaviour", string(encoded))
	}
	request.Header.Set("Authorization", "Bearer "+c.Setting("token"))
	request.Header.Set("Operation-Key", c.Key)
	request.Header.Set("Content-Type", "application/json")
	response, err := c.Client.Do(request)
	if err != nil {
		return none, provisioning.Unanswered(err)
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return none, provisioning.Unanswered(err)
	}
	var said answer
	readable := json.Unmarshal(raw, &said) == nil
	if err := provisioning.Answered(response, said.Message); err != nil {
		var no *provisioning.Refused
		if errors.As(err, &no) && slices.Contains(provisioning.Families, said.Error) {
			no.Family = said.Error
		}
		if errors.As(err, &no) && said.Message != "" {
			no.Message = said.Message
		}
		return none, err
	}
	if !readable || said.Status == "" {
		return none, &provisioning.Unknown{Detail: "the provider's answer can't be read"}
	}
	result := provisioning.Result{Data: said.Data}
	if said.Status == "working" {
		result.Waiting, result.Reference = true, said.Operation
		result.After = outbound.RetryAfter(response, time.Now())
	}
	return result, nil
}
