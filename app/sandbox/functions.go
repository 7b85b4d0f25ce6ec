package sandbox

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"portico/app/db"
)

// op is one operation under way, in its transaction.
type op struct {
	p       *Provider
	ctx     context.Context
	tx      db.Conn
	now     time.Time
	params  map[string]any
	product string
	work    time.Duration // how long what takes time takes
	account *account
}

// deed is one function: act does it, answer tells what came of it, at once and to whoever asks again. Without makes, the account that
// the parameter named by its category says must be there.
type deed struct {
	makes  bool // makes the account itself
	alone  bool // is about no account
	active bool // refused while the account is suspended
	act    func(*op) error
	answer func(*op) (map[string]any, error)
}

// named says by which parameters calls name an account of a category.
var named = map[string][]string{
	"web-hosting": {"username"}, "domain-names": {"domain"}, "auto-login": {"username"}, "seo": {"username"}, "website-builders": {"account_reference"},
	"software-licenses": {"license_key"}, "servers": {"instance_id"}, "office-tools": {"service_id"},
}

var deeds = map[string]map[string]deed{
	"web-hosting": {
		"create":         {makes: true, act: (*op).createHosting, answer: hostingInfo},
		"login":          {active: true, answer: (*op).loginLink},
		"changePassword": {act: (*op).changePassword},
		"usage":          {answer: hostingUsage},
		"getInfo":        {answer: hostingInfo},
		"changePackage":  {act: keep("package_name"), answer: hostingInfo},
		"suspend":        {act: suspend(true), answer: hostingInfo},
		"unsuspend":      {act: suspend(false), answer: hostingInfo},
		"grantReseller":  {act: set("reseller", true), answer: answerOf("reseller")},
		"revokeReseller": {act: set("reseller", false), answer: answerOf("reseller")},
		"terminate":      {act: (*op).terminate},
		"createBackup":   {active: true, act: (*op).createBackup, answer: answerOf("backup", "backup_at")},
	},
	"domain-names": {
		"register":              {makes: true, act: (*op).registerDomain, answer: domainInfo},
		"transfer":              {makes: true, act: (*op).transferDomain, answer: domainInfo},
		"transferWithCode":      {makes: true, act: (*op).transferDomain, answer: domainInfo},
		"renew":                 {act: (*op).renewDomain, answer: domainInfo},
		"getInfo":               {answer: domainInfo},
		"getStatus":             {answer: domainStatus},
		"updateNameservers":     {act: (*op).updateNameservers, answer: answerOf("ns1", "ns2", "ns3", "ns4", "ns5")},
		"setLock":               {act: (*op).setLock, answer: domainInfo},
		"setAutoRenew":          {act: flag("auto_renew"), answer: domainInfo},
		"getEppCode":            {answer: (*op).eppCode},
		"updateContact":         {act: (*op).updateContact, answer: contactOf},
		"updateIpsTag":          {act: (*op).release},
		"getVerificationStatus": {answer: verification},
		"resendVerificationEmail": {act: set("verification_sent", true), answer: func(*op) (map[string]any, error) {
			return map[string]any{"success": true, "message": "The e-mail is on its way."}, nil
		}},
		"setGlueRecord":           {act: (*op).setGlue, answer: glue},
		"removeGlueRecord":        {act: (*op).removeGlue, answer: glue},
		"getDnsRecords":           {answer: records},
		"addDnsRecord":            {act: (*op).addRecord, answer: records},
		"updateDnsRecord":         {act: (*op).updateRecord, answer: records},
		"removeDnsRecord":         {act: (*op).removeRecord, answer: records},
		"importZone":              {act: (*op).importZone, answer: records},
		"setDnssec":               {act: flag("dnssec"), answer: (*op).dnssec},
		"domainAvailabilityCheck": {alone: true, answer: (*op).availability},
		"poll":                    {alone: true, act: (*op).acknowledge, answer: (*op).poll},
	},
	"auto-login": service("package_identifier", "create", (*op).createLogin, answerOf("username", "service_identifier", "package_identifier")),
	"seo":        service("package_identifier", "create", (*op).createSEO, answerOf("username", "domain", "package_identifier")),
	"website-builders": {
		"create":        {makes: true, act: (*op).createBuilder, answer: builderInfo},
		"getInfo":       {answer: builderInfo},
		"login":         {active: true, answer: (*op).loginLink},
		"changePackage": {act: keep("package_reference", "billing_cycle_months", "permissions"), answer: builderInfo},
		"suspend":       {act: suspend(true), answer: builderInfo},
		"unsuspend":     {act: suspend(false), answer: builderInfo},
		"terminate":     {act: (*op).terminate},
	},
	"software-licenses": {
		"create":         {makes: true, act: (*op).createLicense, answer: (*op).licenseInfo},
		"usage":          {answer: licenseUsage},
		"showLicenseKey": {answer: (*op).showKey},
		"reissue":        {act: (*op).reissue, answer: (*op).showKey},
		"renew":          {act: (*op).renewLicense, answer: (*op).licensePackage},
		"changePackage":  {act: keep("package_identifier", "billing_cycle_months"), answer: (*op).licensePackage},
		"suspend":        {act: suspend(true)},
		"unsuspend":      {act: suspend(false)},
		"terminate":      {act: (*op).terminate},
	},
	"servers": {
		"create":             {makes: true, act: (*op).createServer, answer: serverInfo},
		"getInfo":            {answer: serverInfo},
		"login":              {active: true, answer: (*op).loginLink},
		"console":            {active: true, answer: console},
		"changeRootPassword": {act: (*op).changeRootPassword, answer: serverInfo},
		"reboot":             {active: true, act: power("Restarting", "On", "On"), answer: serverInfo},
		"reset":              {active: true, act: power("Restarting", "On", "On"), answer: serverInfo},
		"powerOn":            {active: true, act: power("Starting", "On", ""), answer: serverInfo},
		"shutdown":           {active: true, act: power("Stopping", "Off", ""), answer: serverInfo},
		"reinstall":          {active: true, act: (*op).reinstall, answer: serverInfo},
		"attachRecoveryIso":  {active: true, act: recovery(true), answer: serverInfo},
		"detachRecoveryIso":  {active: true, act: recovery(false), answer: serverInfo},
		"resize":             {act: (*op).resize, answer: serverInfo},
		"suspend":            {act: (*op).suspendServer, answer: serverInfo},
		"unsuspend":          {act: (*op).unsuspendServer, answer: serverInfo},
		"terminate":          {act: (*op).terminate},
	},
	"office-tools": {
		"create":        {makes: true, act: (*op).createOffice, answer: officeInfo},
		"getInfo":       {answer: officeInfo},
		"login":         {active: true, answer: (*op).officeLogin},
		"renew":         {act: (*op).renewOffice, answer: officeInfo},
		"changePackage": {act: (*op).changeSeats, answer: officeInfo},
		"suspend":       {act: suspend(true), answer: officeInfo},
		"unsuspend":     {act: suspend(false), answer: officeInfo},
		"terminate":     {act: (*op).terminate},
	},
}

// service has the functions of a plain service with an account.
func service(pack, create string, act func(*op) error, answer func(*op) (map[string]any, error)) map[string]deed {
	return map[string]deed{
		create:          {makes: true, act: act, answer: answer},
		"login":         {active: true, answer: (*op).loginLink},
		"changePackage": {act: keep(pack)},
		"renew":         {act: func(o *op) error { o.account.State["renewed_at"] = stamp(o.now); return nil }},
		"suspend":       {act: suspend(true)},
		"unsuspend":     {act: suspend(false)},
		"terminate":     {act: (*op).terminate},
	}
}

func (o *op) text(name string) string {
	value, _ := o.params[name].(string)
	return value
}

func (o *op) number(name string, fallback float64) float64 {
	if n, ok := o.params[name].(float64); ok {
		return n
	}
	return fallback
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// make makes the operation's account.
func (o *op) make(category, ref string, state map[string]any, work time.Duration) error {
	if _, err := find(o.ctx, o.tx, category, ref); err == nil {
		return refuse(http.StatusConflict, "exists", "%s is there already", ref)
	}
	state["suspended"] = false
	o.account = &account{Category: category, Ref: ref, Product: o.product, State: state}
	if password := o.text("password") + o.text("root_password"); password != "" {
		o.account.Password = hashPassword(password)
	}
	if work > 0 {
		settles := o.now.Add(work)
		o.account.SettlesAt = &settles
	}
	return insertAccount(o.ctx, o.tx, o.account)
}

// keep stores parameters as they were given.
func keep(names ...string) func(*op) error {
	return func(o *op) error {
		merge(o.account.State, o.params, names...)
		return nil
	}
}

func set(name string, value any) func(*op) error {
	return func(o *op) error {
		o.account.State[name] = value
		return nil
	}
}

// flag stores a yes or no of the same name; left out it is a no.
func flag(name string) func(*op) error {
	return func(o *op) error {
		o.account.State[name] = o.params[name] == true
		return nil
	}
}

func answerOf(names ...string) func(*op) (map[string]any, error) {
	return func(o *op) (map[string]any, error) { return pick(o.account.State, names...), nil }
}

func suspend(is bool) func(*op) error {
	return func(o *op) error {
		o.account.State["suspended"] = is
		delete(o.account.State, "suspend_reason")
		if is {
			merge(o.account.State, map[string]any{"suspend_reason": o.text("reason")}, "suspend_reason")
			return endSessions(o.ctx, o.tx, o.account.ID)
		}
		return nil
	}
}

func (o *op) terminate() error {
	now := o.now
	o.account.TerminatedAt, o.account.SettlesAt = &now, nil
	return endSessions(o.ctx, o.tx, o.account.ID)
}

const linkLife = 2 * time.Minute

func (o *op) loginLink() (map[string]any, error) {
	link, expires := token(), o.now.Add(linkLife)
	if err := insertLogin(o.ctx, o.tx, hashToken(link), o.account.ID, "link", expires); err != nil {
		return nil, err
	}
	return map[string]any{"login_url": o.p.url + "/panel/enter?ticket=" + link, "expires": stamp(expires)}, nil
}

// Web hosting.

func (o *op) createHosting() error {
	domain, username := o.text("domain"), o.text("username")
	if username == "" {
		for _, r := range strings.SplitN(domain, ".", 2)[0] {
			if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
				username += string(r)
			}
		}
		username = fmt.Sprintf("%.8s", username)
		if username == "" || username[0] <= '9' {
			username = "u" + username
		}
		for i := 2; ; i++ {
			if _, err := find(o.ctx, o.tx, "web-hosting", username); err != nil {
				break
			}
			username = fmt.Sprintf("%.6s%d", username, i)
		}
	}
	state := map[string]any{
		"username": username, "domain": domain, "server_hostname": fmt.Sprintf("web-%02d.sandbox.example", 1+number(domain, 9)),
		"ip": fmt.Sprintf("203.0.113.%d", 10+number(domain, 200)), "nameservers": []any{"ns1.sandbox.example", "ns2.sandbox.example"},
		"reseller": o.params["as_reseller"] == true, "location": "Stockholm",
	}
	merge(state, o.params, "package_name", "customer_id", "location")
	merge(state, map[string]any{"ip": o.text("custom_ip")}, "ip")
	return o.make("web-hosting", username, state, 0)
}

func hostingInfo(o *op) (map[string]any, error) {
	return pick(o.account.State, "username", "server_hostname", "package_name", "suspended", "suspend_reason", "domain", "reseller", "ip", "nameservers",
		"customer_id", "subscription_id", "location"), nil
}

func (o *op) changePassword() error {
	password := o.text("password")
	if strings.Contains(strings.ToLower(password), strings.ToLower(o.account.Ref)) {
		return refuse(http.StatusUnprocessableEntity, "invalid", "a password that holds the username is too easy to guess")
	}
	o.account.Password = hashPassword(password)
	return endSessions(o.ctx, o.tx, o.account.ID)
}

// grown is a use that begins with a part of the limit, and grows by the hour.
func grown(a *account, what string, limit float64, now time.Time) map[string]any {
	start := limit * (0.05 + float64(number(a.ID+what, 40))/100)
	used := min(float64(int64(start+now.Sub(a.CreatedAt).Hours()*limit/5000)), limit)
	return map[string]any{"used": used, "limit": limit, "used_pc": fmt.Sprintf("%.1f%%", used/limit*100)}
}

func hostingUsage(o *op) (map[string]any, error) {
	disk := map[string]float64{"northwind_start": 5000, "northwind_business": 100000}[o.account.text("package_name")]
	if disk == 0 {
		disk = 20000
	}
	usage := map[string]any{
		"disk_mb": grown(o.account, "disk", disk, o.now), "bandwidth_mb": grown(o.account, "bandwidth", disk*10, o.now),
		"inodes": grown(o.account, "inodes", 250000, o.now), "websites": grown(o.account, "websites", 10, o.now), "mailboxes": grown(o.account, "mailboxes", 50, o.now),
	}
	return map[string]any{"usage_data": usage}, nil
}

func (o *op) createBackup() error {
	o.account.State["backup"], o.account.State["backup_at"] = "backup-"+token()[:8], stamp(o.now)
	return nil
}

// Auto login, SEO, website builders.

func (o *op) createLogin() error {
	username := "al-" + token()[:8]
	state := pick(o.params, "service_identifier", "package_identifier")
	state["username"] = username
	if state["service_identifier"] == nil {
		state["service_identifier"] = "service-" + username[3:]
	}
	return o.make("auto-login", username, state, 0)
}

func (o *op) createSEO() error {
	username := "seo-" + token()[:8]
	state := pick(o.params, "domain", "package_identifier")
	state["username"] = username
	return o.make("seo", username, state, 0)
}

func (o *op) createBuilder() error {
	reference := "site-" + token()[:8]
	state := pick(o.params, "package_reference", "billing_cycle_months", "domain_name", "permissions", "site_builder_user_id")
	state["account_reference"] = reference
	state["ip_address"] = fmt.Sprintf("203.0.113.%d", 10+number(reference, 200))
	if state["site_builder_user_id"] == nil {
		state["site_builder_user_id"] = "user-" + reference[5:]
	}
	return o.make("website-builders", reference, state, 0)
}

func builderInfo(o *op) (map[string]any, error) {
	info := pick(o.account.State, "account_reference", "package_reference", "site_builder_user_id", "domain_name", "suspended", "ip_address", "permissions")
	info["site_count"], info["storage_used"] = float64(1), fmt.Sprintf("%d MB", 40+int(o.now.Sub(o.account.CreatedAt).Hours()))
	info["is_published"], info["has_ssl"] = o.account.text("domain_name") != "", o.account.text("domain_name") != ""
	return info, nil
}

// Software licenses.

func (o *op) createLicense() error {
	service := o.text("service_identifier")
	if service == "" {
		service = "license-" + token()[:8]
	}
	state := pick(o.params, "package_identifier", "billing_cycle_months", "ip", "customer_identifier")
	state["service_identifier"], state["license_serial"] = service, float64(1)
	if state["customer_identifier"] == nil {
		state["customer_identifier"] = "customer-" + token()[:6]
	}
	return o.make("software-licenses", service, state, 0)
}

func (o *op) licenseInfo() (map[string]any, error) {
	info := pick(o.account.State, "package_identifier", "service_identifier", "customer_identifier")
	info["license_key"] = o.p.licenseKey(o.account)
	return info, nil
}

func (o *op) licensePackage() (map[string]any, error) {
	info := pick(o.account.State, "package_identifier")
	info["license_key"] = o.p.licenseKey(o.account)
	return info, nil
}

func (o *op) showKey() (map[string]any, error) {
	return map[string]any{"license_key": o.p.licenseKey(o.account)}, nil
}

func (o *op) reissue() error {
	serial, _ := o.account.State["license_serial"].(float64)
	o.account.State["license_serial"] = serial + 1
	delete(o.account.State, "ip")
	return nil
}

func (o *op) renewLicense() error {
	o.account.State["renewed_at"] = stamp(o.now)
	return keep("package_identifier", "billing_cycle_months")(o)
}

func licenseUsage(o *op) (map[string]any, error) {
	units := float64(1 + number(o.account.ID, 20) + int(o.now.Sub(o.account.CreatedAt).Hours()/24))
	return map[string]any{"units_consumed": units, "usage_data": map[string]any{"activations": units, "package": o.account.text("package_identifier")}}, nil
}

// Office tools.

func (o *op) createOffice() error {
	service := "office-" + token()[:8]
	state := pick(o.params, "domain", "customer_id", "plan", "seat_count")
	state["service_id"] = service
	expiry := o.now.AddDate(1, 0, 0).Format(time.DateOnly)
	if billing, _ := o.params["billing"].(map[string]any); billing["billing_cycle_months"] != nil {
		months, _ := billing["billing_cycle_months"].(float64)
		expiry = o.now.AddDate(0, int(months), 0).Format(time.DateOnly)
	}
	state["expiry_date"] = expiry
	return o.make("office-tools", service, state, 0)
}

func officeInfo(o *op) (map[string]any, error) {
	info := pick(o.account.State, "customer_id", "service_id", "domain", "plan", "seat_count", "expiry_date")
	seats, _ := o.account.State["seat_count"].(float64)
	used, ok := o.account.State["seat_count_used"].(float64)
	if !ok {
		used = min(seats, float64(1+number(o.account.ID, 5)))
	}
	info["seat_count_used"], info["status"] = used, "active"
	if o.account.is("suspended") {
		info["status"] = "suspended"
	}
	info["control_panel_url"], info["workspace_url"] = o.p.url+"/panel", o.p.url+"/panel"
	return info, nil
}

func (o *op) officeLogin() (map[string]any, error) {
	link, err := o.loginLink()
	if err != nil {
		return nil, err
	}
	link["type"] = "redirect"
	return link, nil
}

func (o *op) renewOffice() error {
	billing, _ := o.params["billing"].(map[string]any)
	months, ok := billing["billing_cycle_months"].(float64)
	if !ok {
		months = 12
	}
	until, err := time.Parse(time.DateOnly, o.account.text("expiry_date"))
	if err != nil {
		until = o.now
	}
	o.account.State["expiry_date"] = until.AddDate(0, int(months), 0).Format(time.DateOnly)
	return nil
}

func (o *op) changeSeats() error {
	info, err := officeInfo(o)
	if err != nil {
		return err
	}
	if used, _ := info["seat_count_used"].(float64); o.number("seat_count", used) < used {
		return refuse(http.StatusConflict, "limit", "%v seats are in use", used)
	}
	return keep("plan", "seat_count")(o)
}

// Servers.

func (o *op) createServer() error {
	instance := "srv-" + token()[:8]
	state := pick(o.params, "label", "image", "location", "size", "memory_mb", "cpu_cores", "disk_mb", "customer_identifier", "virtualization_type", "software", "licenses")
	state["instance_id"], state["hostname"] = instance, o.text("label")+".sandbox.example"
	state["ip_address"], state["node"] = fmt.Sprintf("203.0.113.%d", 10+number(instance, 200)), fmt.Sprintf("node-%d", 1+number(instance, 4))
	if state["virtualization_type"] == nil {
		state["virtualization_type"] = "kvm"
	}
	state["state"], state["target"] = "Creating", "On"
	return o.make("servers", instance, state, o.work)
}

// powerState is the present one: what it was told last is so only when it has settled.
func powerState(a *account, now time.Time) string {
	if target := a.text("target"); target != "" && !a.working(now) {
		return target
	}
	return a.text("state")
}

func serverInfo(o *op) (map[string]any, error) {
	info := pick(o.account.State, "instance_id", "label", "image", "location", "size", "memory_mb", "cpu_cores", "disk_mb", "suspended", "hostname", "ip_address",
		"node", "virtualization_type", "customer_identifier", "software", "licenses")
	info["state"] = powerState(o.account, o.now)
	info["created_at"] = stamp(o.account.CreatedAt)
	return info, nil
}

// turn begins a change of power that takes its time.
func (o *op) turn(during, target string) {
	o.account.State["state"], o.account.State["target"] = during, target
	settles := o.now.Add(o.work)
	o.account.SettlesAt = &settles
}

func (o *op) idle() error {
	if o.account.working(o.now) {
		return refuse(http.StatusConflict, "state", "the server is still %s", strings.ToLower(o.account.text("state")))
	}
	return nil
}

// power is a change of power; with needs, the server must be in that state before.
func power(during, target, needs string) func(*op) error {
	return func(o *op) error {
		if err := o.idle(); err != nil {
			return err
		}
		present := powerState(o.account, o.now)
		if needs != "" && present != needs && present != "Recovery" {
			return refuse(http.StatusConflict, "state", "the server is %s", strings.ToLower(present))
		}
		if present != target || needs != "" {
			o.turn(during, target)
		}
		return nil
	}
}

func recovery(attach bool) func(*op) error {
	return func(o *op) error {
		if err := o.idle(); err != nil {
			return err
		}
		target := "On"
		if attach {
			target = "Recovery"
		}
		if powerState(o.account, o.now) != target {
			o.turn("Restarting", target)
		}
		return nil
	}
}

func (o *op) reinstall() error {
	if err := o.idle(); err != nil {
		return err
	}
	if password := o.text("root_password"); password != "" {
		o.account.Password = hashPassword(password)
	}
	o.account.State["image"] = o.text("image")
	o.turn("Rebuilding", "On")
	return nil
}

func (o *op) changeRootPassword() error {
	o.account.Password = hashPassword(o.text("root_password"))
	return endSessions(o.ctx, o.tx, o.account.ID)
}

func (o *op) resize() error {
	if err := o.idle(); err != nil {
		return err
	}
	present := powerState(o.account, o.now)
	if o.text("size") != "" {
		for _, name := range []string{"memory_mb", "cpu_cores", "disk_mb"} {
			delete(o.account.State, name)
		}
	} else {
		delete(o.account.State, "size")
	}
	merge(o.account.State, o.params, "size", "memory_mb", "cpu_cores", "disk_mb")
	if present == "On" && o.params["resize_running"] != true {
		o.turn("Resizing", "On")
	}
	return nil
}

func (o *op) suspendServer() error {
	o.account.State["suspended"] = true
	if powerState(o.account, o.now) != "Off" {
		o.turn("Stopping", "Off")
	}
	return endSessions(o.ctx, o.tx, o.account.ID)
}

func (o *op) unsuspendServer() error {
	o.account.State["suspended"] = false
	if powerState(o.account, o.now) == "Off" {
		o.turn("Starting", "On")
	}
	return nil
}

func console(o *op) (map[string]any, error) {
	return map[string]any{
		"type": "vnc", "expires_at": stamp(o.now.Add(linkLife)),
		"vnc_connection": map[string]any{"host": o.account.text("node") + ".sandbox.example", "port": float64(5900 + number(o.account.ID, 99)), "username": "console", "password": token()[:16]},
	}, nil
}
