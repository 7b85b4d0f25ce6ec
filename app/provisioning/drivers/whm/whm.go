// Package whm drives web hosting on servers with cPanel & WHM, by WHM API 1 with an API token. Start reading at Call; api.go has
// the protocol.
package whm

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"portico/app/provisioning"
	"portico/app/provisioning/outbound"
)

const defaultPort = 2087

// Driver is the driver for cPanel & WHM.
type Driver struct{}

func (Driver) Name() string { return "whm" }

func (Driver) Title() string { return "cPanel/WHM" }

func (Driver) Categories() []string { return []string{"web-hosting"} }

// Settings are the server and the API token: WHM, Development, Manage API Tokens.
func (Driver) Settings(string) []provisioning.Field {
	return []provisioning.Field{
		{Name: "hostname", Kind: provisioning.KindHostname, Required: true},
		{Name: "port", Kind: provisioning.KindWhole, Min: 1, Max: 65535, Default: float64(defaultPort)},
		{Name: "whm_username", Kind: provisioning.KindName, Max: 32, Required: true},
		{Name: "api_key", Kind: provisioning.KindText, Secret: true, Max: 255, Required: true},
	}
}

// ignored are parameters of the catalogue that the server has no use for.
var ignored = []string{
	"customer_id", "subscription_id", "current_password", "software_id", "install_id", "customer_name", "customer_reference", "customer_phone",
	"customer_address", "location",
}

// Functions are all of web hosting, without the parameters that the server has no use for.
func (Driver) Functions(category string) []provisioning.Function {
	hosting, ok := provisioning.CategoryOf(category)
	if !ok || hosting.Name != "web-hosting" {
		return nil
	}
	functions := slices.Clone(hosting.Functions)
	for i := range functions {
		functions[i].Params = slices.DeleteFunc(slices.Clone(functions[i].Params), func(f provisioning.Field) bool {
			return slices.Contains(ignored, f.Name)
		})
	}
	return functions
}

// needed are the server's functions that a token must be allowed to call; forResellers those that only resellers need.
var (
	needed = []string{
		"accountsummary", "changepackage", "create_user_session", "createacct", "getpkginfo", "passwd", "removeacct", "showbw", "suspendacct",
		"unsuspendacct", "verify_new_username",
	}
	forResellers = []string{"listresellers", "setupreseller", "unsetupreseller"}
)

// Test reads which functions the token may call, and says which are missing.
func (Driver) Test(ctx context.Context, c provisioning.Call) error {
	var data struct {
		Functions []word `json:"app"`
	}
	if err := newAPI(c).do(ctx, "applist", nil, &data); err != nil {
		return err
	}
	var missing []string
	for _, name := range needed {
		if !slices.Contains(data.Functions, word(name)) {
			missing = append(missing, name)
		}
	}
	if missing == nil {
		return nil
	}
	detail := "the API token lacks privileges for " + strings.Join(missing, ", ")
	for _, name := range forResellers {
		if !slices.Contains(data.Functions, word(name)) {
			detail += "; and for resellers for " + name
		}
	}
	return &provisioning.Refused{Family: provisioning.FamilyRefused, Detail: detail}
}

// usernames as the server takes them; nothing else gets into a pattern or an address.
var usernames = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$`)

// Call runs one of the functions of web hosting.
func (Driver) Call(ctx context.Context, c provisioning.Call) (provisioning.Result, error) {
	a := newAPI(c)
	user := c.Text("username")
	if c.Function == "create" {
		return a.create(ctx)
	}
	if err := checkUsername(user); err != nil {
		return provisioning.Result{}, err
	}
	switch c.Function {
	case "getInfo":
		return a.info(ctx)
	case "usage":
		return a.usage(ctx)
	case "login":
		return a.login(ctx)
	case "changePassword":
		if user == "root" {
			return provisioning.Result{}, rootRefused
		}
		return provisioning.Result{}, a.do(ctx, "passwd", url.Values{"user": {user}, "password": {c.Text("password")}}, nil)
	case "changePackage":
		return a.changePackage(ctx)
	case "suspend":
		return a.suspend(ctx)
	case "unsuspend":
		return a.unsuspend(ctx)
	case "grantReseller":
		return a.grantReseller(ctx)
	case "revokeReseller":
		return a.revokeReseller(ctx)
	case "terminate":
		return a.terminate(ctx)
	}
	return provisioning.Result{}, &provisioning.Refused{Family: provisioning.FamilyUnsupported, Detail: "no such function"}
}

var rootRefused = &provisioning.Refused{Family: provisioning.FamilyInvalid, Detail: "root's account is not one to sell"}

func checkUsername(user string) error {
	if !usernames.MatchString(user) {
		return &provisioning.Refused{Family: provisioning.FamilyInvalid, Detail: "the username is not one that the server takes"}
	}
	return nil
}

// LookUp reads the account and tells whether the effect is there. A password can't be read back, but setting it again is safe.
func (Driver) LookUp(ctx context.Context, c provisioning.Call) (provisioning.Outcome, provisioning.Result, error) {
	a := newAPI(c)
	var result provisioning.Result
	switch c.Function {
	case "create":
		return a.created(ctx)
	case "suspend", "unsuspend", "changePackage":
		found, err := a.account(ctx, "user", c.Text("username"))
		if err != nil {
			return missingIs(provisioning.OutcomeAbsent, err)
		}
		done := found.Suspended.yes() == (c.Function == "suspend")
		if c.Function == "changePackage" {
			done = a.ownPlan(string(found.Plan), c.Text("package_name"))
			if done && (c.Params["as_reseller"] == true || c.Params["reseller_options"] != nil) {
				return provisioning.OutcomeAbsent, result, nil // the steps set values: to run them all again is safe
			}
		}
		if !done {
			return provisioning.OutcomeAbsent, result, nil
		}
		return provisioning.OutcomeDone, provisioning.Result{Data: a.describe(ctx, found)}, nil
	case "grantReseller", "revokeReseller":
		names, err := a.resellers(ctx)
		if err != nil {
			return provisioning.OutcomeUnknown, result, err
		}
		is := slices.Contains(names, c.Text("username"))
		if is != (c.Function == "grantReseller") {
			return provisioning.OutcomeAbsent, result, nil
		}
		return provisioning.OutcomeDone, provisioning.Result{Data: map[string]any{"reseller": is}}, nil
	case "terminate":
		if _, err := a.account(ctx, "user", c.Text("username")); err != nil {
			return missingIs(provisioning.OutcomeDone, err)
		}
		return provisioning.OutcomeAbsent, result, nil
	}
	return provisioning.OutcomeAbsent, result, nil // reads, logins and new passwords
}

// missingIs is the outcome where there is no such account; any other error means that it can't be told.
func missingIs(outcome provisioning.Outcome, err error) (provisioning.Outcome, provisioning.Result, error) {
	var refused *provisioning.Refused
	if isRefused(err, &refused) && refused.Family == provisioning.FamilyMissing {
		return outcome, provisioning.Result{}, nil
	}
	return provisioning.OutcomeUnknown, provisioning.Result{}, err
}

func isRefused(err error, refused **provisioning.Refused) bool {
	if refused == nil {
		refused = new(*provisioning.Refused)
	}
	return errors.As(err, refused)
}

func (a *api) info(ctx context.Context) (provisioning.Result, error) {
	found, err := a.account(ctx, "user", a.call.Text("username"))
	if err != nil {
		return provisioning.Result{}, err
	}
	return provisioning.Result{Data: a.describe(ctx, found)}, nil
}

// describe is the account as the catalogue returns it. Nameservers are the server's, and left out where the token may not read them.
func (a *api) describe(ctx context.Context, found account) map[string]any {
	data := map[string]any{
		"username": string(found.User), "server_hostname": a.call.Setting("hostname"), "package_name": string(found.Plan), "suspended": found.Suspended.yes(),
	}
	if found.Domain != "" {
		data["domain"] = string(found.Domain)
	}
	if ip, err := netip.ParseAddr(string(found.IP)); err == nil {
		data["ip"] = ip.String()
	}
	if found.Suspended.yes() && found.SuspendReason != "" && found.SuspendReason != "not suspended" {
		data["suspend_reason"] = string(found.SuspendReason)
	}
	var servers struct {
		Names []word `json:"nameservers"`
	}
	if a.do(ctx, "get_nameserver_config", nil, &servers) == nil {
		var names []any
		for _, name := range servers.Names {
			if name != "" {
				names = append(names, string(name))
			}
		}
		if names != nil {
			data["nameservers"] = names
		}
	}
	return data
}

const mib = 1 << 20

func (a *api) usage(ctx context.Context) (provisioning.Result, error) {
	user := a.call.Text("username")
	found, err := a.account(ctx, "user", user)
	if err != nil {
		return provisioning.Result{}, err
	}
	units := map[string]any{}
	unit(units, "disk_mb", found.DiskUsed, found.DiskLimit, 1)
	unit(units, "inodes", found.InodesUsed, found.InodesLimit, 1)
	// search is a pattern: it must match the whole name, or another account's traffic comes back.
	var traffic struct {
		Accounts []struct {
			User  word   `json:"user"`
			Total amount `json:"totalbytes"`
			Limit amount `json:"limit"`
		} `json:"acct"`
	}
	form := url.Values{"searchtype": {"user"}, "search": {"^" + regexp.QuoteMeta(user) + "$"}}
	if err := a.do(ctx, "showbw", form, &traffic); err != nil {
		return provisioning.Result{}, err
	}
	for _, of := range traffic.Accounts {
		if string(of.User) == user {
			of.Limit.known = of.Limit.known && of.Limit.value > 0
			unit(units, "bandwidth_mb", of.Total, of.Limit, mib)
		}
	}
	data := map[string]any{"usage_data": units}
	if a.isReseller() {
		if data["reseller_usage_data"], err = a.resellerUsage(ctx); err != nil {
			return provisioning.Result{}, err
		}
	}
	return provisioning.Result{Data: data}, nil
}

func (a *api) resellerUsage(ctx context.Context) (map[string]any, error) {
	form := url.Values{"user": {a.call.Text("username")}}
	var totals struct {
		Reseller struct {
			DiskUsed  amount `json:"diskused"`
			DiskQuota amount `json:"diskquota"`
			Used      amount `json:"totalbwused"`
			Limit     amount `json:"bandwidthlimit"`
		} `json:"reseller"`
	}
	if err := a.do(ctx, "resellerstats", form, &totals); err != nil {
		return nil, err
	}
	var counts struct {
		Reseller struct {
			Active    amount `json:"active"`
			Suspended amount `json:"suspended"`
			Limit     amount `json:"limit"`
		} `json:"reseller"`
	}
	if err := a.do(ctx, "acctcounts", form, &counts); err != nil {
		return nil, err
	}
	units := map[string]any{}
	limit := func(of amount) amount { return amount{of.value, of.known && of.value > 0} }
	unit(units, "disk_mb", totals.Reseller.DiskUsed, limit(totals.Reseller.DiskQuota), 1)
	unit(units, "bandwidth_mb", totals.Reseller.Used, limit(totals.Reseller.Limit), 1)
	unit(units, "sub_accounts", amount{counts.Reseller.Active.value + counts.Reseller.Suspended.value, counts.Reseller.Active.known}, limit(counts.Reseller.Limit), 1)
	return units, nil
}

// unit adds what is used of one thing, if that is known.
func unit(units map[string]any, name string, used, limit amount, size float64) {
	if !used.known {
		return
	}
	one := map[string]any{"used": used.value / size}
	if limit.known {
		one["limit"] = limit.value / size
		if limit.value > 0 {
			one["used_pc"] = fmt.Sprintf("%.1f%%", used.value/limit.value*100)
		}
	}
	units[name] = one
}

func (a *api) isReseller() bool {
	if is, ok := a.call.Params["is_reseller"].(bool); ok {
		return is
	}
	return a.call.Fields["is_reseller"] == true
}

// login makes a session at the panel. Its address is a key, for a few minutes.
func (a *api) login(ctx context.Context) (provisioning.Result, error) {
	user := a.call.Text("username")
	if user == "root" {
		return provisioning.Result{}, rootRefused
	}
	service := "cpaneld"
	if a.isReseller() {
		service = "whostmgrd"
	}
	var session struct {
		URL     word   `json:"url"`
		Expires amount `json:"expires"`
	}
	secret := outbound.WithSecretFields(ctx, "url", "session", "cp_security_token")
	if err := a.do(secret, "create_user_session", url.Values{"user": {user}, "service": {service}}, &session); err != nil {
		return provisioning.Result{}, err
	}
	if at, err := url.Parse(string(session.URL)); err != nil || at.Scheme != "https" || at.Host == "" || at.User != nil {
		return provisioning.Result{}, &provisioning.Refused{Family: provisioning.FamilyRefused, Detail: "create_user_session: the answer has no https address"}
	}
	data := map[string]any{"login_url": string(session.URL)}
	if session.Expires.known {
		data["expires"] = time.Unix(int64(session.Expires.value), 0).UTC().Format(time.RFC3339)
	}
	return provisioning.Result{Data: data}, nil
}

func (a *api) changePackage(ctx context.Context) (provisioning.Result, error) {
	c := a.call
	user := c.Text("username")
	plan, err := a.plan(ctx, c.Text("package_name"))
	if err != nil {
		return provisioning.Result{}, before(err)
	}
	if err := a.do(ctx, "changepackage", url.Values{"user": {user}, "pkg": {plan}}, nil); err != nil {
		return provisioning.Result{}, err
	}
	done := []string{"package changed"}
	if c.Params["as_reseller"] == true {
		if err := a.makeReseller(ctx, user); err != nil {
			return provisioning.Result{}, after(err, done)
		}
		done = append(done, "reseller's rights granted")
	}
	if err := a.limitReseller(ctx, user); err != nil {
		return provisioning.Result{}, after(err, done)
	}
	found, err := a.account(ctx, "user", user)
	if err != nil {
		return provisioning.Result{}, after(err, done)
	}
	data := a.describe(ctx, found)
	if c.Params["as_reseller"] == true {
		data["reseller"] = true
	}
	return provisioning.Result{Data: data}, nil
}

func (a *api) suspend(ctx context.Context) (provisioning.Result, error) {
	user := a.call.Text("username")
	found, err := a.account(ctx, "user", user)
	if err != nil {
		return provisioning.Result{}, before(err)
	}
	if !found.Suspended.yes() {
		form := url.Values{"user": {user}}
		if reason := a.call.Text("reason"); reason != "" {
			form.Set("reason", reason)
		}
		function := "suspendacct"
		if a.isReseller() {
			function = "suspendreseller" // with the accounts that are the reseller's
		}
		if err := a.do(ctx, function, form, nil); err != nil {
			return provisioning.Result{}, err
		}
	}
	return a.infoAfter(ctx, "account suspended")
}

func (a *api) unsuspend(ctx context.Context) (provisioning.Result, error) {
	user := a.call.Text("username")
	found, err := a.account(ctx, "user", user)
	if err != nil {
		return provisioning.Result{}, before(err)
	}
	if found.Suspended.yes() {
		function := "unsuspendacct"
		if a.isReseller() {
			function = "unsuspendreseller"
		}
		if err := a.do(ctx, function, url.Values{"user": {user}}, nil); err != nil {
			return provisioning.Result{}, err
		}
	}
	return a.infoAfter(ctx, "account unsuspended")
}

func (a *api) infoAfter(ctx context.Context, done string) (provisioning.Result, error) {
	result, err := a.info(ctx)
	if err != nil {
		return result, after(err, []string{done})
	}
	return result, nil
}

func (a *api) makeReseller(ctx context.Context, user string) error {
	return a.do(ctx, "setupreseller", url.Values{"user": {user}, "makeowner": {bit(a.call.Params["owns_itself"])}}, nil)
}

func (a *api) grantReseller(ctx context.Context) (provisioning.Result, error) {
	user := a.call.Text("username")
	names, err := a.resellers(ctx)
	if err != nil {
		return provisioning.Result{}, before(err)
	}
	if !slices.Contains(names, user) {
		if err := a.makeReseller(ctx, user); err != nil {
			return provisioning.Result{}, err
		}
	}
	return provisioning.Result{Data: map[string]any{"reseller": true}}, nil
}

func (a *api) revokeReseller(ctx context.Context) (provisioning.Result, error) {
	user := a.call.Text("username")
	names, err := a.resellers(ctx)
	if err != nil {
		return provisioning.Result{}, before(err)
	}
	if slices.Contains(names, user) {
		if err := a.do(ctx, "unsetupreseller", url.Values{"user": {user}}, nil); err != nil {
			return provisioning.Result{}, err
		}
	}
	return provisioning.Result{Data: map[string]any{"reseller": false}}, nil
}

// limitReseller sets a reseller's rights and limits as far as they were asked for. A limit left out is none.
func (a *api) limitReseller(ctx context.Context, user string) error {
	options, ok := a.call.Params["reseller_options"].(map[string]any)
	if !ok || len(options) == 0 {
		return nil
	}
	if acl, _ := options["acl_name"].(string); acl != "" {
		if err := a.do(ctx, "setacls", url.Values{"reseller": {user}, "acllist": {acl}}, nil); err != nil {
			return err
		}
	}
	form := url.Values{"user": {user}}
	number := func(name string) (string, bool) {
		value, ok := options[name].(float64)
		return fmt.Sprintf("%.0f", value), ok
	}
	accounts, limited := number("account_limit")
	form.Set("enable_account_limit", bit(limited))
	if limited {
		form.Set("account_limit", accounts)
	}
	disk, diskLimited := number("diskspace_mb_limit")
	traffic, trafficLimited := number("bandwidth_mb_limit")
	form.Set("enable_resource_limits", bit(diskLimited || trafficLimited))
	if diskLimited {
		form.Set("diskspace_limit", disk)
	}
	if trafficLimited {
		form.Set("bandwidth_limit", traffic)
	}
	form.Set("enable_overselling", bit(options["diskspace_overselling"] == true || options["bandwidth_overselling"] == true))
	form.Set("enable_overselling_diskspace", bit(options["diskspace_overselling"]))
	form.Set("enable_overselling_bandwidth", bit(options["bandwidth_overselling"]))
	return a.do(ctx, "setresellerlimits", form, nil)
}

// terminate removes the account; of a reseller with every account that is theirs.
func (a *api) terminate(ctx context.Context) (provisioning.Result, error) {
	user := a.call.Text("username")
	if user == "root" {
		return provisioning.Result{}, rootRefused
	}
	if a.isReseller() {
		return provisioning.Result{}, a.do(ctx, "terminatereseller", url.Values{"user": {user}, "terminatereseller": {"1"}}, nil)
	}
	return provisioning.Result{}, a.do(ctx, "removeacct", url.Values{"username": {user}, "user": {user}}, nil)
}
