package sandbox

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"portico/app"
)

func (o *op) domainState(years float64) map[string]any {
	domain := o.text("domain")
	state := pick(o.params, "ns1", "ns2", "ns3", "ns4", "ns5", "registrant", "admin", "tech", "billing")
	if state["ns1"] == nil {
		state["ns1"], state["ns2"] = "ns1.sandbox.example", "ns2.sandbox.example"
	}
	for _, role := range []string{"admin", "tech", "billing"} {
		if state[role] == nil && state["registrant"] != nil {
			state[role] = state["registrant"]
		}
	}
	state["domain"], state["id"] = domain, fmt.Sprintf("D%07d-SBX", number(domain, 9_999_999))
	state["created_at"], state["updated_at"], state["expires_at"] = stamp(o.now), stamp(o.now), stamp(o.now.AddDate(int(years), 0, 0))
	state["locked"], state["auto_renew"], state["dnssec"], state["whois_privacy"] = true, false, false, o.params["whois_privacy"] != false
	address := fmt.Sprintf("203.0.113.%d", 10+number(domain, 200))
	state["records"] = []any{
		record("@", "A", address, 3600, nil), record("www", "CNAME", domain+".", 3600, nil), record("@", "MX", "mail."+domain+".", 3600, 10.0),
		record("mail", "A", address, 3600, nil), record("@", "TXT", `"v=spf1 mx -all"`, 3600, nil),
	}
	return state
}

func (o *op) registerDomain() error {
	if strings.HasPrefix(o.text("domain"), "taken") {
		return refuse(http.StatusConflict, "exists", "%s belongs to somebody else", o.text("domain"))
	}
	if err := o.make("domain-names", o.text("domain"), o.domainState(o.number("renew_years", 1)), o.work); err != nil {
		return err
	}
	return insertNotification(o.ctx, o.tx, notification{Domain: o.text("domain"), Type: "data_quality", Message: "Confirm the registrant’s e-mail address within 15 days."})
}

// transferDomain takes a name over. A code that begins with "wrong" is refused, as the losing registrar would.
func (o *op) transferDomain() error {
	if code := o.text("epp_code"); strings.HasPrefix(code, "wrong") {
		return refuse(http.StatusUnprocessableEntity, "invalid", "the transfer code is not right")
	}
	state := o.domainState(o.number("renew_years", 1))
	if err := o.make("domain-names", o.text("domain"), state, o.work); err != nil {
		return err
	}
	return insertNotification(o.ctx, o.tx, notification{Domain: o.text("domain"), Type: "transfer_in", Message: "The transfer to this registrar was asked for."})
}

func (o *op) renewDomain() error {
	until, err := time.Parse(time.RFC3339, o.account.text("expires_at"))
	if err != nil {
		until = o.now
	}
	if given := o.text("expires_at"); given != "" && given[:min(10, len(given))] != stamp(until)[:10] {
		return refuse(http.StatusConflict, "state", "the name expires on %s, not on the day that was given", stamp(until)[:10])
	}
	renewed := until.AddDate(int(o.number("renew_years", 1)), 0, 0)
	if renewed.After(o.now.AddDate(10, 0, 1)) {
		return refuse(http.StatusUnprocessableEntity, "limit", "a name can be registered for 10 years at most")
	}
	o.touch("expires_at", stamp(renewed))
	return insertNotification(o.ctx, o.tx, notification{Domain: o.account.Ref, Type: "renewed", Message: "Renewed until " + stamp(renewed)[:10] + "."})
}

func (o *op) touch(name string, value any) {
	o.account.State[name], o.account.State["updated_at"] = value, stamp(o.now)
}

func domainInfo(o *op) (map[string]any, error) {
	info := pick(o.account.State, "id", "domain", "ns1", "ns2", "ns3", "ns4", "ns5", "created_at", "updated_at", "expires_at", "locked", "whois_privacy", "auto_renew", "glue_records")
	for _, role := range []string{"registrant", "admin", "tech", "billing"} {
		if contact, _ := o.account.State[role].(map[string]any); contact != nil {
			info[role] = pick(contact, "id", "name", "organisation", "email", "phone", "address1", "city", "state", "postcode", "country_code")
		}
	}
	statuses := []any{"ok"}
	info["operation_status"] = "complete"
	if o.account.is("locked") {
		statuses = []any{"clientTransferProhibited"}
	}
	if o.account.working(o.now) {
		statuses, info["operation_status"] = []any{"pendingCreate"}, "in_progress"
	}
	info["statuses"] = statuses
	return info, nil
}

func domainStatus(o *op) (map[string]any, error) {
	info, err := domainInfo(o)
	status := "active"
	if until, err := time.Parse(time.RFC3339, o.account.text("expires_at")); err == nil && until.Before(o.now) {
		status = "expired"
	}
	return map[string]any{"status": status, "expires_at": info["expires_at"], "raw_statuses": info["statuses"]}, err
}

func (o *op) updateNameservers() error {
	seen := map[any]bool{}
	for i := 1; i <= 5; i++ {
		name := fmt.Sprintf("ns%d", i)
		host := o.text(name)
		if host != "" && seen[host] {
			return refuse(http.StatusUnprocessableEntity, "invalid", "%s is named twice", host)
		}
		seen[host] = true
		if strings.HasPrefix(host, "unknown") {
			return refuse(http.StatusUnprocessableEntity, "missing", "the registry knows no nameserver %s", host)
		}
		if host == "" {
			delete(o.account.State, name)
		} else {
			o.touch(name, host)
		}
	}
	return nil
}

func (o *op) setLock() error {
	o.touch("locked", o.params["lock"] == true)
	return nil
}

func (o *op) eppCode() (map[string]any, error) {
	if o.account.is("locked") {
		return nil, refuse(http.StatusConflict, "state", "the name is locked: unlock it first")
	}
	return map[string]any{"epp_code": o.p.secretOf("epp", o.account)}, nil
}

func (o *op) updateContact() error {
	o.touch(o.text("contact_type"), pick(o.params, "name", "organisation", "email", "phone", "address1", "city", "state", "postcode", "country_code"))
	return nil
}

func contactOf(o *op) (map[string]any, error) {
	contact, _ := o.account.State[o.text("contact_type")].(map[string]any)
	return pick(contact, slices.Collect(maps.Keys(contact))...), nil
}

func (o *op) release() error {
	if err := insertNotification(o.ctx, o.tx, notification{Domain: o.account.Ref, Type: "transfer_out", Message: "Released to " + o.text("ips_tag") + "."}); err != nil {
		return err
	}
	return o.terminate()
}

func verification(o *op) (map[string]any, error) {
	if o.now.Sub(o.account.CreatedAt) < 15*24*time.Hour && o.account.is("unverified") {
		return map[string]any{"icann_verification_status": "pending", "days_to_suspend": float64(15)}, nil
	}
	return map[string]any{"icann_verification_status": "verified", "email_bounced": false}, nil
}

func (o *op) setGlue() error {
	host := o.text("hostname")
	if !strings.HasSuffix(host, "."+o.account.Ref) {
		return refuse(http.StatusUnprocessableEntity, "invalid", "%s is not inside %s", host, o.account.Ref)
	}
	var ips []any
	for i := 1; i <= 4; i++ {
		if ip := o.text(fmt.Sprintf("ip_%d", i)); ip != "" {
			ips = append(ips, ip)
		}
	}
	kept := o.without("glue_records", "hostname", host)
	o.touch("glue_records", append(kept, map[string]any{"hostname": host, "ips": ips}))
	return nil
}

func (o *op) removeGlue() error {
	kept := o.without("glue_records", "hostname", o.text("hostname"))
	if all, _ := o.account.State["glue_records"].([]any); len(kept) == len(all) {
		return refuse(http.StatusNotFound, "missing", "there is no glue record of %s", o.text("hostname"))
	}
	o.touch("glue_records", kept)
	return nil
}

// without returns a list of objects without those whose name is value.
func (o *op) without(list, name, value string) []any {
	all, _ := o.account.State[list].([]any)
	return slices.DeleteFunc(slices.Clone(all), func(entry any) bool {
		object, _ := entry.(map[string]any)
		return object[name] == value
	})
}

func glue(o *op) (map[string]any, error) { return pick(o.account.State, "glue_records"), nil }

func record(name, kind, content string, ttl float64, priority any) map[string]any {
	r := map[string]any{"record_id": "rr-" + token()[:8], "name": name, "type": kind, "content": content, "ttl": ttl}
	if priority != nil {
		r["priority"] = priority
	}
	return r
}

func records(o *op) (map[string]any, error) {
	all, _ := o.account.State["records"].([]any)
	sorted := slices.Clone(all)
	slices.SortStableFunc(sorted, func(a, b any) int {
		x, _ := a.(map[string]any)
		y, _ := b.(map[string]any)
		return cmp.Or(strings.Compare(fmt.Sprint(x["name"]), fmt.Sprint(y["name"])), strings.Compare(fmt.Sprint(x["type"]), fmt.Sprint(y["type"])))
	})
	if sorted == nil {
		sorted = []any{}
	}
	return map[string]any{"records": sorted}, nil
}

const mostRecords = 200

func (o *op) keepRecords(all []any) error {
	if len(all) > mostRecords {
		return refuse(http.StatusConflict, "limit", "a zone has %d records at most", mostRecords)
	}
	aliases := map[any]int{}
	for _, entry := range all {
		r, _ := entry.(map[string]any)
		aliases[r["name"]]++
	}
	for _, entry := range all {
		if r, _ := entry.(map[string]any); r["type"] == "CNAME" && aliases[r["name"]] > 1 {
			return refuse(http.StatusConflict, "exists", "%v has a CNAME record, which stands alone", r["name"])
		}
	}
	o.touch("records", all)
	return nil
}

func (o *op) given() map[string]any {
	r := pick(o.params, "name", "type", "content", "ttl", "priority")
	if r["ttl"] == nil {
		r["ttl"] = 3600.0
	}
	return r
}

func (o *op) addRecord() error {
	all, _ := o.account.State["records"].([]any)
	added := o.given()
	added["record_id"] = "rr-" + token()[:8]
	return o.keepRecords(append(slices.Clone(all), added))
}

func (o *op) updateRecord() error {
	id := o.text("record_id")
	kept := o.without("records", "record_id", id)
	if all, _ := o.account.State["records"].([]any); len(kept) == len(all) {
		return refuse(http.StatusNotFound, "missing", "there is no record %s", id)
	}
	changed := o.given()
	changed["record_id"] = id
	return o.keepRecords(append(kept, changed))
}

func (o *op) removeRecord() error {
	kept := o.without("records", "record_id", o.text("record_id"))
	if all, _ := o.account.State["records"].([]any); len(kept) == len(all) {
		return refuse(http.StatusNotFound, "missing", "there is no record %s", o.text("record_id"))
	}
	return o.keepRecords(kept)
}

func (o *op) importZone() error {
	read, err := readZone(o.text("zone"), o.account.Ref)
	if err != nil {
		return refuse(http.StatusUnprocessableEntity, "invalid", "%v", err)
	}
	var all []any
	if o.params["replace"] != true {
		existing, _ := o.account.State["records"].([]any)
		all = slices.Clone(existing)
	}
	same := func(a, b map[string]any) bool {
		return a["name"] == b["name"] && a["type"] == b["type"] && a["content"] == b["content"]
	}
	for _, r := range read {
		if !slices.ContainsFunc(all, func(entry any) bool { have, _ := entry.(map[string]any); return same(have, r) }) {
			all = append(all, r)
		}
	}
	return o.keepRecords(all)
}

func (o *op) dnssec() (map[string]any, error) {
	info := map[string]any{"dnssec": o.account.is("dnssec")}
	if o.account.is("dnssec") {
		digest := strings.ToUpper(hex.EncodeToString(o.p.keys.MAC("sandbox ds", o.account.ID)))
		info["ds_records"] = []any{map[string]any{"key_tag": float64(number(digest, 65535)), "algorithm": 13.0, "digest_type": 2.0, "digest": digest}}
	}
	return info, nil
}

func (o *op) availability() (map[string]any, error) {
	var domains []any
	tlds, _ := o.params["tlds"].([]any)
	for _, tld := range tlds {
		domain := o.text("sld") + "." + fmt.Sprint(tld)
		_, err := find(o.ctx, o.tx, "domain-names", domain)
		if err != nil && !errors.Is(err, app.ErrNotFound) {
			return nil, err
		}
		free := err != nil && !strings.HasPrefix(domain, "taken")
		description := "taken"
		if free {
			description = "free"
		}
		domains = append(domains, map[string]any{
			"domain": domain, "tld": tld, "can_register": free, "can_transfer": !free && err != nil, "is_premium": free && len(o.text("sld")) < 4, "description": description,
		})
	}
	return map[string]any{"domains": domains}, nil
}

func (o *op) acknowledge() error {
	var ids []string
	kept, _ := o.params["acknowledge"].([]any)
	for _, id := range kept {
		ids = append(ids, fmt.Sprint(id))
	}
	return dropNotifications(o.ctx, o.tx, ids)
}

func (o *op) poll() (map[string]any, error) {
	var since *time.Time
	if at, err := time.Parse(time.RFC3339, o.text("after_date")); err == nil {
		since = &at
	}
	found, left, err := notifications(o.ctx, o.tx, since, int(o.number("limit", 50)))
	if err != nil {
		return nil, err
	}
	told := []any{}
	for _, n := range found {
		told = append(told, map[string]any{"id": n.ID, "type": n.Type, "message": n.Message, "domains": []any{n.Domain}, "created_at": stamp(n.At)})
	}
	return map[string]any{"count_remaining": float64(left), "notifications": told}, nil
}
