package whm_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// standin answers as the vendor's documents say that a server does, and keeps the accounts that it is told to make. It refuses
// functions and fields that the documents do not know. It shares nothing with the driver.
// Source: https://api.docs.cpanel.net/specifications/whm.openapi
type standin struct {
	*httptest.Server
	mutex     sync.Mutex
	accounts  map[string]*hosted
	packages  []string
	allowed   []string            // functions of the token; nil: all
	faults    map[string][]string // of a function, for its next calls
	effects   []string            // "function user", in order
	asked     []string            // functions called
	passwords map[string]string
	hang      chan struct{}
	acted     chan struct{} // one for each call that acts and then hangs
}

type hosted struct {
	domain, email, plan, owner, reason, ip string
	suspended, reseller                    bool
	acl                                    string
	limits                                 map[string]string
}

const (
	rootToken = "CANARYTOKEN8QWX2"
	serverIP  = "203.0.113.7"
)

func newStandin(t *testing.T) *standin {
	s := &standin{
		accounts: map[string]*hosted{}, packages: []string{"default", "root_gold"}, faults: map[string][]string{}, passwords: map[string]string{},
		hang: make(chan struct{}), acted: make(chan struct{}, 1),
	}
	s.Server = httptest.NewTLSServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.Server.Close)
	t.Cleanup(func() { close(s.hang) })
	return s
}

// fields of each function, required ones with a star.
var documented = map[string]string{
	"applist":               "",
	"accountsummary":        "user domain",
	"verify_new_username":   "user*",
	"getpkginfo":            "pkg*",
	"createacct":            "username* domain* plan password contactemail customip owner reseller",
	"get_nameserver_config": "",
	"showbw":                "searchtype search month year showres",
	"resellerstats":         "user* month year filter_deleted filter_suspended",
	"acctcounts":            "user",
	"create_user_session":   "user* service* app locale preferred_domain",
	"passwd":                "user* password* db_pass_update enabledigest",
	"changepackage":         "user* pkg*",
	"suspendacct":           "user* reason disallowun leave-ftp-accts-enabled",
	"unsuspendacct":         "user* retain-service-proxies",
	"suspendreseller":       "user* reason",
	"unsuspendreseller":     "user*",
	"removeacct":            "username* user keepdns",
	"terminatereseller":     "user* terminatereseller* verify",
	"listresellers":         "",
	"setupreseller":         "user* makeowner",
	"unsetupreseller":       "user*",
	"setacls":               "reseller* acllist",
	"setresellerlimits":     "user* enable_account_limit account_limit enable_resource_limits diskspace_limit bandwidth_limit enable_overselling enable_overselling_diskspace enable_overselling_bandwidth",
}

func (s *standin) serve(w http.ResponseWriter, r *http.Request) {
	function, found := strings.CutPrefix(r.URL.Path, "/json-api/")
	if !found || r.URL.RawQuery != "" || r.Method != http.MethodPost {
		http.Error(w, "not a call by POST without a query", http.StatusNotFound)
		return
	}
	if r.Header.Get("Authorization") != "whm root:"+rootToken {
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"cpanelresult":{"apiversion":"2","error":"Token authentication failed","data":{"reason":"Token authentication failed","result":"0"},"type":"text"}}`)
		return
	}
	if err := r.ParseForm(); err != nil {
		http.Error(w, "bad form", http.StatusBadRequest)
		return
	}
	s.mutex.Lock()
	s.asked = append(s.asked, function)
	fault := ""
	if queue := s.faults[function]; len(queue) > 0 {
		fault, s.faults[function] = queue[0], queue[1:]
	}
	s.mutex.Unlock()
	switch fault {
	case "drop":
		conn, _, _ := w.(http.Hijacker).Hijack()
		conn.Close()
		return
	case "401", "403", "408", "429", "500", "503":
		var status int
		fmt.Sscan(fault, &status)
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(status)
		return
	case "redirect":
		w.Header().Set("Location", s.URL+"/json-api/applist")
		w.WriteHeader(http.StatusFound)
		return
	}
	answer := s.act(function, r)
	switch fault {
	case "act and drop":
		conn, _, _ := w.(http.Hijacker).Hijack()
		conn.Close()
	case "act and hang":
		s.acted <- struct{}{}
		<-s.hang
	case "act and 500":
		w.WriteHeader(http.StatusInternalServerError)
	case "act and lie":
		fmt.Fprint(w, `<html>Password: `+r.PostForm.Get("password")+`</html>`)
	case "act and break":
		fmt.Fprint(w, answer[:len(answer)/2])
	default:
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, answer)
	}
}

// refusal is what the server says no with: 200, result 0, and the mark of its log.
type refusal string

func (s *standin) act(function string, r *http.Request) string {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	data, raw, err := s.perform(function, r)
	metadata := map[string]any{"command": function, "reason": "OK", "result": 1, "version": 1}
	if err != "" {
		metadata["reason"], metadata["result"] = "API failure: (XID a1b2c3) "+string(err), 0
	}
	if raw != "" {
		metadata["output"] = map[string]string{"raw": raw}
	}
	envelope := map[string]any{"metadata": metadata}
	if data != nil {
		envelope["data"] = data
	}
	encoded, _ := json.Marshal(envelope)
	return string(encoded)
}

func (s *standin) perform(function string, r *http.Request) (data any, raw string, _ refusal) {
	fields, known := documented[function]
	if !known || s.allowed != nil && !slices.Contains(s.allowed, function) {
		return nil, "", refusal(fmt.Sprintf("Unknown app (“%s”) requested for this version (1) of the API.", function))
	}
	form := r.PostForm
	if form.Get("api.version") != "1" {
		return nil, "", "this is not a call of version 1"
	}
	for name := range form {
		if name != "api.version" && !slices.Contains(strings.Fields(strings.ReplaceAll(fields, "*", "")), name) {
			return nil, "", refusal("undocumented field: " + name)
		}
	}
	for _, field := range strings.Fields(fields) {
		if name, required := strings.CutSuffix(field, "*"); required && form.Get(name) == "" {
			return nil, "", refusal(fmt.Sprintf("Provide the “%s” argument for the “%s” function.", name, function))
		}
	}
	user := form.Get("user")
	if function == "removeacct" {
		user = form.Get("username")
	}
	acct := s.accounts[user]
	needs := []string{"passwd", "changepackage", "suspendacct", "unsuspendacct", "suspendreseller", "unsuspendreseller", "removeacct", "create_user_session",
		"terminatereseller", "setupreseller", "unsetupreseller", "resellerstats", "acctcounts"}
	if slices.Contains(needs, function) && acct == nil {
		return nil, "", refusal("Account “" + user + "” does not exist.")
	}
	ofResellers := []string{"suspendreseller", "unsuspendreseller", "terminatereseller", "resellerstats", "acctcounts", "unsetupreseller"}
	if slices.Contains(ofResellers, function) && !acct.reseller {
		return nil, "", refusal(user + " is not a reseller.")
	}
	effect := func() { s.effects = append(s.effects, function+" "+user) }
	switch function {
	case "applist":
		var names []string
		for name := range documented {
			if s.allowed == nil || slices.Contains(s.allowed, name) {
				names = append(names, name)
			}
		}
		return map[string]any{"app": names}, "", ""
	case "accountsummary":
		name := user
		for candidate, a := range s.accounts {
			if domain := form.Get("domain"); domain != "" && a.domain == domain {
				name, acct = candidate, a
			}
		}
		if acct == nil {
			return nil, "", "Account does not exist."
		}
		return map[string]any{"acct": []any{summary(name, acct)}}, "", ""
	case "verify_new_username":
		if s.accounts[user] != nil || len(user) > 16 || strings.HasPrefix(user, "test") || regexp.MustCompile(`^[0-9]|[^a-z0-9]`).MatchString(user) {
			return nil, "", refusal("Sorry, the username “" + user + "” is already taken or is reserved.")
		}
		return nil, "", ""
	case "getpkginfo":
		if !slices.Contains(s.packages, form.Get("pkg")) {
			return nil, "", "The package could not be loaded."
		}
		return map[string]any{"pkg": map[string]any{"name": form.Get("pkg"), "quota": "500"}}, "", ""
	case "createacct":
		name := form.Get("username")
		for other, a := range s.accounts {
			if other == name || a.domain == form.Get("domain") {
				return nil, "", refusal("(" + form.Get("password") + ") Sorry, a group or account of that name or domain already exists.")
			}
		}
		if plan := form.Get("plan"); plan != "" && !slices.Contains(s.packages, plan) {
			return nil, "", "Sorry, that plan does not exist."
		}
		if len(form.Get("password")) < 8 {
			return nil, "", refusal("Sorry, the password “" + form.Get("password") + "” you selected cannot be used because it is too weak.")
		}
		ip := serverIP
		if custom := form.Get("customip"); custom != "" {
			ip = custom
		}
		s.accounts[name] = &hosted{domain: form.Get("domain"), email: form.Get("contactemail"), plan: form.Get("plan"), owner: form.Get("owner"), ip: ip, reseller: form.Get("reseller") == "1"}
		s.passwords[name] = form.Get("password")
		s.effects = append(s.effects, function+" "+name)
		return map[string]any{"ip": ip, "package": form.Get("plan"), "nameserver": "ns1.server.example"}, "| UserName: " + name + "\n| PassWord: " + form.Get("password"), ""
	case "get_nameserver_config":
		return map[string]any{"nameservers": []string{"ns1.server.example", "ns2.server.example"}}, "", ""
	case "showbw":
		pattern, err := regexp.Compile(form.Get("search"))
		if err != nil || form.Get("searchtype") != "user" {
			return nil, "", "invalid search"
		}
		rows := []any{}
		names := make([]string, 0, len(s.accounts))
		for name := range s.accounts {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			if pattern.MatchString(name) {
				rows = append(rows, map[string]any{"user": name, "maindomain": s.accounts[name].domain, "totalbytes": 1 << 20 * len(name), "limit": "10485760", "deleted": 0, "bwusage": []any{}})
			}
		}
		return map[string]any{"acct": rows, "month": 11, "year": 2026, "reseller": "root", "totalused": 0}, "", ""
	case "resellerstats":
		return map[string]any{"reseller": map[string]any{"user": user, "diskused": 5.69, "diskquota": 0, "totalbwused": "12", "bandwidthlimit": "500", "acct": []any{}}}, "", ""
	case "acctcounts":
		return map[string]any{"reseller": map[string]any{"user": user, "active": 3, "suspended": 1, "limit": acct.limits["account_limit"]}}, "", ""
	case "create_user_session":
		if service := form.Get("service"); service == "whostmgrd" && !acct.reseller || !slices.Contains([]string{"cpaneld", "whostmgrd", "webmaild"}, service) {
			return nil, "", "invalid service"
		}
		effect()
		return map[string]any{"cp_security_token": "/cpsess6789canary", "expires": 1795987200, "service": form.Get("service"),
			"session": user + ":canarysession,abc", "url": "https://server.example:2083/cpsess6789canary/login/?session=" + user + "%3acanarysession%2cabc"}, "", ""
	case "passwd":
		if len(form.Get("password")) < 8 {
			return nil, "", refusal("Sorry, the password “" + form.Get("password") + "” cannot be used because it is too weak.")
		}
		s.passwords[user] = form.Get("password")
		effect()
		return map[string]any{"app": []string{"system", "ftp", "mail", "mySQL"}}, "Changing password for " + user + " to " + form.Get("password"), ""
	case "changepackage":
		if !slices.Contains(s.packages, form.Get("pkg")) {
			return nil, "", "Sorry, that plan does not exist."
		}
		acct.plan = form.Get("pkg")
		effect()
	case "suspendacct", "suspendreseller":
		if acct.suspended {
			return nil, "", "Account Already Suspended"
		}
		acct.suspended, acct.reason = true, form.Get("reason")
		effect()
	case "unsuspendacct", "unsuspendreseller":
		acct.suspended, acct.reason = false, ""
		effect()
	case "removeacct":
		delete(s.accounts, user)
		effect()
	case "terminatereseller":
		for name, a := range s.accounts {
			if a.owner == user {
				delete(s.accounts, name)
			}
		}
		delete(s.accounts, user)
		effect()
	case "listresellers":
		names := []string{}
		for name, a := range s.accounts {
			if a.reseller {
				names = append(names, name)
			}
		}
		return map[string]any{"reseller": names}, "", ""
	case "setupreseller":
		if acct.reseller {
			return nil, "", refusal(user + " is already configured as a reseller.")
		}
		acct.reseller = true
		effect()
	case "unsetupreseller":
		acct.reseller = false
		effect()
	case "setacls":
		s.accounts[form.Get("reseller")].acl = form.Get("acllist")
	case "setresellerlimits":
		acct.limits = map[string]string{}
		for name := range form {
			acct.limits[name] = form.Get(name)
		}
	}
	return nil, "", ""
}

func summary(name string, a *hosted) map[string]any {
	suspended, reason := 0, "not suspended"
	if a.suspended {
		suspended, reason = 1, a.reason
	}
	return map[string]any{
		"user": name, "domain": a.domain, "email": a.email, "ip": a.ip, "plan": a.plan, "suspended": suspended, "suspendreason": reason, "suspendtime": nil,
		"is_locked": 0, "diskused": "14M", "disklimit": "500M", "inodesused": 12, "inodeslimit": "unlimited", "owner": a.owner, "unix_startdate": 1369256589,
		"theme": "jupiter",
	}
}
