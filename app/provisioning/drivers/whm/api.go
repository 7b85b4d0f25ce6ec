package whm

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"portico/app/provisioning"
	"portico/app/provisioning/outbound"
)

// api speaks WHM API 1 for one call.
// Source: https://api.docs.cpanel.net/whm/introduction and https://api.docs.cpanel.net/whm/tokens
type api struct {
	call    provisioning.Call
	secrets []string
}

func newAPI(call provisioning.Call) *api {
	a := &api{call: call, secrets: []string{call.Setting("api_key")}}
	if password := call.Text("password"); password != "" {
		a.secrets = append(a.secrets, password)
	}
	return a
}

// do calls a function and decodes the data of its answer. Parameters go in the body, where no access log keeps them.
//
// The server answers 200 to what it refuses too: metadata.result decides, and nothing else. Its reason may be any text.
func (a *api) do(ctx context.Context, function string, form url.Values, into any) error {
	port, ok := a.call.Settings["port"].(float64)
	if !ok {
		port = defaultPort
	}
	address := url.URL{Scheme: "https", Host: net.JoinHostPort(a.call.Setting("hostname"), strconv.Itoa(int(port))), Path: "/json-api/" + function}
	body := url.Values{"api.version": {"1"}}
	for name, values := range form {
		body[name] = values
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address.String(), strings.NewReader(body.Encode()))
	if err != nil {
		return &provisioning.Refused{Family: provisioning.FamilyRefused, Detail: "the server's name makes no address"}
	}
	request.Header.Set("Authorization", "whm "+a.call.Setting("whm_username")+":"+a.call.Setting("api_key"))
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Accept", "application/json")
	response, err := a.call.Client.Do(request)
	if err != nil {
		return provisioning.Unanswered(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return provisioning.Unanswered(err)
	}
	if err := provisioning.Answered(response, function); err != nil {
		return err
	}
	return decode(function, answer, into, a.secrets)
}

// decode reads an answer of API 1 and its data.
func decode(function string, answer []byte, into any, secrets []string) error {
	var envelope struct {
		Metadata *struct {
			Result *amount `json:"result"`
			Reason string  `json:"reason"`
		} `json:"metadata"`
		Data json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(answer, &envelope); err != nil || envelope.Metadata == nil || envelope.Metadata.Result == nil || !envelope.Metadata.Result.known {
		return &provisioning.Unknown{Detail: function + ": the answer is not one of WHM API 1"}
	}
	if envelope.Metadata.Result.value != 1 {
		reason := outbound.Scrub(clean(envelope.Metadata.Reason), secrets...)
		return &provisioning.Refused{Family: family(reason), Detail: function + ": " + reason}
	}
	if into == nil {
		return nil
	}
	if len(envelope.Data) == 0 || json.Unmarshal(envelope.Data, into) != nil {
		return &provisioning.Unknown{Detail: function + ": the data in the answer can't be read"}
	}
	return nil
}

var failureMark = regexp.MustCompile(`^\s*(?:API failure:\s*)?(?:\(XID [0-9A-Za-z]+\)\s*)?`)

const maxReason = 500

// clean is the server's reason as one line, without the mark that its log has for it.
func clean(reason string) string {
	reason = strings.Join(strings.Fields(failureMark.ReplaceAllString(reason, "")), " ")
	if len(reason) > maxReason {
		reason = strings.ToValidUTF8(reason[:maxReason], "") + "…"
	}
	if reason == "" {
		reason = "no reason given"
	}
	return reason
}

// family guesses from the server's words what kind of refusal it is; only the sentence that clients read hangs on it.
func family(reason string) string {
	reason = strings.ToLower(reason)
	for _, c := range []struct {
		family string
		words  []string
	}{
		{provisioning.FamilyMissing, []string{"does not exist", "doesn't exist", "no such", "not found", "unable to find", "do not have access to an account"}},
		{provisioning.FamilyExists, []string{"already exists", "already taken", "is reserved", "already has", "already in use", "already configured"}},
		{provisioning.FamilyLimit, []string{"limit", "quota", "maximum", "exceed"}},
		{provisioning.FamilyInvalid, []string{"invalid", "not valid", "too weak", "strength", "must be", "not allowed", "may not"}},
		{provisioning.FamilyState, []string{"suspended", "locked"}},
	} {
		for _, word := range c.words {
			if strings.Contains(reason, word) {
				return c.family
			}
		}
	}
	return provisioning.FamilyRefused
}

// amount is a number that the server writes as 14, "14", "14M", "1.57", "unlimited" or null. M are MiB, which is what it counts in.
type amount struct {
	value float64
	known bool // false: unlimited or nothing
}

func (a *amount) UnmarshalJSON(raw []byte) error {
	*a = amount{}
	var text string
	if json.Unmarshal(raw, &text) != nil {
		text = string(bytes.TrimSpace(raw))
	}
	if value, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(text), "M"), 64); err == nil && value >= 0 && value <= 1e18 {
		*a = amount{value, true}
	}
	return nil
}

func (a amount) yes() bool { return a.known && a.value == 1 }

// word is a text that may come as a number or null.
type word string

func (w *word) UnmarshalJSON(raw []byte) error {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		*w = word(text)
		return nil
	}
	if text = string(raw); text != "null" {
		*w = word(text)
	}
	return nil
}

// account is data.acct[0] of accountsummary.
type account struct {
	User          word   `json:"user"`
	Domain        word   `json:"domain"`
	Email         word   `json:"email"`
	IP            word   `json:"ip"`
	Plan          word   `json:"plan"`
	Suspended     amount `json:"suspended"`
	SuspendReason word   `json:"suspendreason"`
	DiskUsed      amount `json:"diskused"`
	DiskLimit     amount `json:"disklimit"`
	InodesUsed    amount `json:"inodesused"`
	InodesLimit   amount `json:"inodeslimit"`
}

// account reads an account by "user" or "domain". Missing is a *provisioning.Refused of FamilyMissing.
func (a *api) account(ctx context.Context, by, value string) (account, error) {
	var data struct {
		Accounts []account `json:"acct"`
	}
	if err := a.do(ctx, "accountsummary", url.Values{by: {value}}, &data); err != nil {
		return account{}, err
	}
	for _, found := range data.Accounts {
		if by == "user" && string(found.User) == value || by == "domain" && strings.EqualFold(string(found.Domain), value) {
			return found, nil
		}
	}
	return account{}, &provisioning.Refused{Family: provisioning.FamilyMissing, Detail: "accountsummary: no account of this " + by}
}

// resellers are the usernames of all resellers.
func (a *api) resellers(ctx context.Context) ([]string, error) {
	var data struct {
		Resellers []word `json:"reseller"`
	}
	if err := a.do(ctx, "listresellers", nil, &data); err != nil {
		return nil, err
	}
	names := make([]string, len(data.Resellers))
	for i, name := range data.Resellers {
		names[i] = string(name)
	}
	return names, nil
}

// plan is the package's name as the server knows it: those of a reseller begin with the reseller's name.
func (a *api) plan(ctx context.Context, name string) (string, error) {
	var refused *provisioning.Refused
	err := a.do(ctx, "getpkginfo", url.Values{"pkg": {name}}, nil)
	if err == nil || !isRefused(err, &refused) {
		return name, err
	}
	prefixed := a.call.Setting("whm_username") + "_" + name
	second := a.do(ctx, "getpkginfo", url.Values{"pkg": {prefixed}}, nil)
	if second == nil || !isRefused(second, nil) {
		return prefixed, second
	}
	return "", &provisioning.Refused{Family: provisioning.FamilyInvalid, Detail: "no such package on the server: " + refused.Detail}
}
