package whm

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"strings"

	"portico/app/provisioning"
	"portico/app/provisioning/outbound"
)

// create checks name and plan, creates the account and reads it. The data of createacct's own answer is not used: it differs from
// version to version, and its raw output holds the password.
func (a *api) create(ctx context.Context) (provisioning.Result, error) {
	c := a.call
	domain := strings.ToLower(c.Text("domain"))
	if found, err := a.account(ctx, "domain", domain); err == nil {
		return provisioning.Result{}, &provisioning.Refused{Family: provisioning.FamilyExists,
			Detail: fmt.Sprintf("the server has an account of this domain, %s: if it is this product's, write that into its field username", found.User)}
	} else if !isRefused(err, nil) { // in whatever words: createacct takes no domain twice
		return provisioning.Result{}, before(err)
	}
	user, err := a.freeUsername(ctx, domain)
	if err != nil {
		return provisioning.Result{}, before(err)
	}
	plan, err := a.plan(ctx, c.Text("package_name"))
	if err != nil {
		return provisioning.Result{}, before(err)
	}
	password := c.Text("password")
	if password == "" {
		password = newPassword()
		a.secrets = append(a.secrets, password)
		ctx = outbound.WithSecrets(ctx, password)
	}
	form := url.Values{
		"username": {user}, "domain": {domain}, "plan": {plan}, "password": {password}, "contactemail": {c.Text("email")}, "reseller": {bit(c.Params["as_reseller"])},
	}
	if ip := c.Text("custom_ip"); ip != "" {
		form.Set("customip", ip)
	}
	if owner := c.Text("owner_username"); c.Params["owns_itself"] == true {
		form.Set("owner", user)
	} else if owner != "" {
		form.Set("owner", owner)
	}
	if err := a.do(ctx, "createacct", form, nil); err != nil {
		return provisioning.Result{}, err
	}
	done := []string{"account created"}
	if err := a.limitReseller(ctx, user); err != nil {
		return provisioning.Result{}, after(err, done)
	}
	found, err := a.account(ctx, "user", user)
	if err != nil {
		return provisioning.Result{}, after(err, done)
	}
	data := a.describe(ctx, found)
	data["reseller"] = c.Params["as_reseller"] == true
	return provisioning.Result{Data: data}, nil
}

// before makes of an unknown outcome, met while only reading, that nothing was done.
func before(err error) error {
	var unknown *provisioning.Unknown
	if errors.As(err, &unknown) {
		return &provisioning.Later{Detail: unknown.Detail}
	}
	return err
}

// after says what was done before a later step failed. Whether to go on is for the look-up.
func after(err error, done []string) error {
	var refused *provisioning.Refused
	if isRefused(err, &refused) {
		return &provisioning.Refused{Message: refused.Message, Family: refused.Family, Detail: refused.Detail, Done: done}
	}
	return &provisioning.Unknown{Detail: err.Error(), Done: done}
}

// created looks for the account that create would have made: of the domain, with the name, the address and the plan that were asked for.
func (a *api) created(ctx context.Context) (provisioning.Outcome, provisioning.Result, error) {
	c := a.call
	found, err := a.account(ctx, "domain", c.Text("domain"))
	if err != nil {
		return missingIs(provisioning.OutcomeAbsent, err)
	}
	asked := strings.ToLower(c.Text("username"))
	ours := (asked == "" || string(found.User) == asked) && strings.EqualFold(string(found.Email), c.Text("email")) &&
		a.ownPlan(string(found.Plan), c.Text("package_name"))
	if !ours || c.Params["reseller_options"] != nil {
		// Somebody else's account, or one whose limits as a reseller may not be set yet.
		return provisioning.OutcomeUnknown, provisioning.Result{}, nil
	}
	data := a.describe(ctx, found)
	data["reseller"] = c.Params["as_reseller"] == true
	return provisioning.OutcomeDone, provisioning.Result{Data: data}, nil
}

func (a *api) ownPlan(found, asked string) bool {
	return found == asked || found == a.call.Setting("whm_username")+"_"+asked
}

// freeUsername is the name asked for if it is free, or one made from the domain.
func (a *api) freeUsername(ctx context.Context, domain string) (string, error) {
	var refused *provisioning.Refused
	if asked := strings.ToLower(a.call.Text("username")); asked != "" {
		if err := checkUsername(asked); err != nil {
			return "", err
		}
		err := a.do(ctx, "verify_new_username", url.Values{"user": {asked}}, nil)
		if isRefused(err, &refused) {
			return "", &provisioning.Refused{Family: provisioning.FamilyExists, Detail: refused.Detail}
		}
		return asked, err
	}
	for n := range 10 {
		name := usernameFor(domain, n)
		err := a.do(ctx, "verify_new_username", url.Values{"user": {name}}, nil)
		if err == nil || !isRefused(err, &refused) {
			return name, err
		}
	}
	return "", &provisioning.Refused{Family: provisioning.FamilyExists, Detail: "no username could be made from the domain: " + refused.Detail}
}

// usernameFor makes a username of at most eight characters: letters and digits of the domain, not beginning with a digit or "test".
// The nth of them ends with n.
func usernameFor(domain string, n int) string {
	var b strings.Builder
	for _, r := range strings.ToLower(domain) {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' && b.Len() > 0 {
			b.WriteRune(r)
		}
	}
	name := b.String()
	for strings.HasPrefix(name, "test") {
		name = strings.TrimLeft(name[len("test"):], "0123456789")
	}
	if name == "" {
		name = "site"
	}
	ending := ""
	if n > 0 {
		ending = fmt.Sprint(n)
	}
	return name[:min(len(name), 8-len(ending))] + ending
}

const passwordLetters = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789-_.!"

// newPassword is for an account whose owner has none yet: they log in through the portal, and set one there.
func newPassword() string {
	password := make([]byte, 24)
	for i := range password {
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(passwordLetters))))
		if err != nil {
			panic(err) // crypto/rand never fails
		}
		password[i] = passwordLetters[n.Int64()]
	}
	return string(password)
}

func bit(value any) string {
	if value == true {
		return "1"
	}
	return "0"
}
