package provisioning

import (
	"fmt"
	"time"
)

var (
	theDomain = required(identity(domainName("domain")))

	nameserverFills = map[string]string{"ns1": "ns1", "ns2": "ns2", "ns3": "ns3", "ns4": "ns4", "ns5": "ns5"}

	contactReturns = []Field{
		text("id"), text("name"), text("organisation"), text("email"), text("phone"), text("address1"), text("city"), text("state"), text("postcode"),
		text("country_code"),
	}

	glueReturns = list("glue_records", parts("", required(hostName("hostname")), required(list("ips", address("")))))

	domainInfo = all(
		[]Field{required(staffOnly(text("id"))), required(domainName("domain")), required(list("statuses", text("")))},
		nameservers(0),
		[]Field{
			moment("created_at"), moment("updated_at"), moment("expires_at"), yesNo("locked"), yesNo("whois_privacy"), yesNo("auto_renew"),
			parts("registrant", contactReturns...), parts("admin", contactReturns...), parts("tech", contactReturns...), labelled("actions.field-billing-contact", parts("billing", contactReturns...)),
			glueReturns, choice("operation_status", "in_progress", "complete"),
		})
	domainFills = map[string]string{
		"id": "registry_id", "domain": "domain", "expires_at": "expires_at", "locked": "locked", "whois_privacy": "whois_privacy", "auto_renew": "auto_renew",
		"ns1": "ns1", "ns2": "ns2", "ns3": "ns3", "ns4": "ns4", "ns5": "ns5",
	}

	dnsTypes  = []string{"A", "AAAA", "CAA", "CNAME", "MX", "NS", "PTR", "SRV", "SSHFP", "TLSA", "TXT"}
	dnsRecord = []Field{
		required(Field{Name: "name", Kind: KindText, Max: 253, Default: "@", Label: "actions.field-record-name"}),
		required(Field{Name: "type", Kind: KindChoice, Options: dnsTypes, Label: "actions.field-record-type"}),
		required(Field{Name: "content", Kind: KindLong, Max: 4096}),
		{Name: "ttl", Kind: KindWhole, Min: 60, Max: 604800, Default: float64(3600)},
		between(0, 65535, whole("priority")),
	}
	dnsRecords = required(list("records", parts("", all([]Field{required(text("record_id"))}, dnsRecord)...)))
)

// nameservers are the fields ns1 to ns5, the first of them required.
func nameservers(needed int) []Field {
	var fields []Field
	for i := 1; i <= 5; i++ {
		f := hostName(fmt.Sprintf("ns%d", i))
		f.From = f.Name
		f.Required = i <= needed
		fields = append(fields, f)
	}
	return fields
}

// nameserverAddresses are needed where a nameserver lies inside the domain that it serves.
func nameserverAddresses() []Field {
	var fields []Field
	for i := 1; i <= 5; i++ {
		fields = append(fields, staffOnly(address(fmt.Sprintf("ns%d_ip", i))))
	}
	return fields
}

// contact is a person or company, or the provider's id of one that it knows. facts fills it from the account.
func contact(facts bool) []Field {
	fill := func(source string, f Field) Field {
		if facts {
			f.From = source
		}
		return f
	}
	unless := func(other string, f Field) Field {
		f.Unless = other
		return f
	}
	return []Field{
		fill(FactCustomer, unless("organisation", text("name"))), unless("name", text("organisation")), required(fill(FactEmail, email("email"))),
		required(phone("phone")), required(text("address1")), required(text("city")), text("state"), required(text("postcode")), required(country("country_code")),
	}
}

// contactOr is a contact, or the id of one that the provider knows.
func contactOr(name string) Field {
	fields := []Field{labelled("actions.field-contact-id", text("id"))}
	for _, f := range contact(name == "registrant") {
		if f.Required {
			f.Required, f.Unless = false, "id"
		} else if f.Unless != "" {
			f.Unless = ""
		}
		fields = append(fields, f)
	}
	return parts(name, fields...)
}

var domainNames = Category{
	Name:       "domain-names",
	Identifier: "domain",
	Fields: all(
		[]Field{shown(domainName("domain"))}, shownAll(nameservers(0)),
		[]Field{
			moment("expires_at"), yesNo("locked"), yesNo("whois_privacy"), yesNo("auto_renew"), yesNo("dnssec"), text("registry_status"), text("registry_id"),
		}),
	Functions: []Function{
		{Name: "updateNameservers", Class: ClassChange, Audience: AudienceDelegates, Everyday: true, System: true, Repeatable: true, Undo: "updateNameservers",
			Params: all(nameservers(2), []Field{theDomain}, nameserverAddresses()), Returns: nameservers(0), Fills: nameserverFills},
		{Name: "getInfo", Class: ClassRead, Audience: AudienceDelegates, System: true, Repeatable: true,
			Params: []Field{theDomain}, Returns: domainInfo, Fills: domainFills},
		{Name: "getStatus", Class: ClassRead, Audience: AudienceDelegates, System: true, Repeatable: true,
			Params: []Field{theDomain},
			Returns: []Field{
				required(choice("status", "active", "expired", "transferred_away", "cancelled", "unknown", "not_implemented")), moment("expires_at"),
				list("raw_statuses", text("")), staffOnly(object("extra")),
			},
			Fills: map[string]string{"status": "registry_status", "expires_at": "expires_at"}},
		{Name: "getDnsRecords", Class: ClassRead, Audience: AudienceDelegates, Everyday: true, Repeatable: true,
			Params: []Field{theDomain}, Returns: []Field{dnsRecords}},
		{Name: "addDnsRecord", Class: ClassChange, Audience: AudienceDelegates,
			Params: all(dnsRecord, []Field{theDomain}), Returns: []Field{dnsRecords}},
		{Name: "updateDnsRecord", Class: ClassChange, Audience: AudienceDelegates, Repeatable: true,
			Params: all([]Field{required(text("record_id"))}, dnsRecord, []Field{theDomain}), Returns: []Field{dnsRecords}},
		{Name: "removeDnsRecord", Class: ClassChange, Audience: AudienceDelegates,
			Params: []Field{required(text("record_id")), theDomain}, Returns: []Field{dnsRecords}},
		{Name: "importZone", Class: ClassChange, Audience: AudienceDelegates, Repeatable: true,
			Params:  []Field{required(Field{Name: "zone", Kind: KindLong, Max: 50000}), yesNo("replace"), theDomain},
			Returns: []Field{dnsRecords}},
		{Name: "setGlueRecord", Class: ClassChange, Audience: AudienceOwners, Delegable: true, Repeatable: true,
			Params:  []Field{required(hostName("hostname")), required(address("ip_1")), address("ip_2"), address("ip_3"), address("ip_4"), theDomain},
			Returns: []Field{glueReturns}},
		{Name: "removeGlueRecord", Class: ClassChange, Audience: AudienceOwners, Delegable: true,
			Params: []Field{required(hostName("hostname")), theDomain}, Returns: []Field{glueReturns}},
		{Name: "getVerificationStatus", Class: ClassRead, Audience: AudienceDelegates, System: true, Repeatable: true,
			Params: []Field{theDomain},
			Returns: []Field{
				{Name: "icann_verification_status", Kind: KindText, Unless: "cctld_verification_status"},
				{Name: "cctld_verification_status", Kind: KindText, Unless: "icann_verification_status"},
				text("verification_deadline"), whole("days_to_suspend"), yesNo("email_bounced"), staffOnly(object("provider_specific_data")),
			}},
		{Name: "resendVerificationEmail", Class: ClassChange, Audience: AudienceDelegates,
			Params: []Field{theDomain}, Returns: []Field{required(yesNo("success")), text("message")}},
		{Name: "getEppCode", Class: ClassKeys, Audience: AudienceOwners, Repeatable: true,
			Params: []Field{theDomain}, Returns: []Field{required(secret(text("epp_code")))}},
		{Name: "setLock", Class: ClassKeys, Audience: AudienceOwners, Repeatable: true, Undo: "setLock",
			Params: []Field{from("locked", yesNo("lock")), theDomain}, Returns: domainInfo, Fills: domainFills},
		{Name: "setDnssec", Class: ClassKeys, Audience: AudienceOwners, Delegable: true, Repeatable: true,
			Params: []Field{from("dnssec", yesNo("dnssec")), theDomain},
			Returns: []Field{
				required(yesNo("dnssec")),
				list("ds_records", parts("", required(whole("key_tag")), required(whole("algorithm")), required(whole("digest_type")), required(text("digest")))),
			},
			Fills: map[string]string{"dnssec": "dnssec"}},
		{Name: "updateContact", Class: ClassKeys, Audience: AudienceOwners, Repeatable: true,
			Params:  all([]Field{required(choice("contact_type", "registrant", "admin", "billing", "tech"))}, contact(true), []Field{theDomain}),
			Returns: contactReturns},
		{Name: "updateIpsTag", Class: ClassKeys, Audience: AudienceOwners, Optional: true, Confirm: true,
			Params: []Field{required(between(2, 16, text("ips_tag"))), theDomain}},
		{Name: "transferWithCode", Class: ClassKeys, Audience: AudienceOwners, Optional: true, Wait: 14 * 24 * time.Hour,
			Params: []Field{required(secret(text("epp_code"))), theDomain}, Returns: domainInfo, Fills: domainFills},
		{Name: "domainAvailabilityCheck", Class: ClassRead, Audience: AudienceStaff, System: true, Repeatable: true,
			Params: []Field{
				required(Field{Name: "sld", Kind: KindLabel, Min: 2, Max: 63}),
				required(between(1, 50, list("tlds", Field{Kind: KindSuffix}))),
			},
			Returns: []Field{required(list("domains", parts("", required(domainName("domain")), required(Field{Name: "tld", Kind: KindSuffix}),
				required(yesNo("can_register")), required(yesNo("can_transfer")), required(yesNo("is_premium")), required(text("description")))))}},
		{Name: "register", Class: ClassLifecycle, Audience: AudienceStaff, System: true, Limit: 120 * time.Second, Wait: 7 * 24 * time.Hour,
			Params: all(
				[]Field{required(from("domain", domainName("domain"))), required(renewYears()), required(contactOr("registrant")), contactOr("admin"), contactOr("tech"), labelled("actions.field-billing-contact", contactOr("billing"))},
				nameservers(2), nameserverAddresses(),
				[]Field{{Name: "whois_privacy", Kind: KindBool, Default: true}, object("additional_fields")}),
			Returns: domainInfo, Fills: domainFills},
		{Name: "transfer", Class: ClassLifecycle, Audience: AudienceStaff, System: true, Limit: 120 * time.Second, Wait: 14 * 24 * time.Hour,
			Params: []Field{
				required(from("domain", domainName("domain"))), secret(text("epp_code")), renewYears(), {Name: "whois_privacy", Kind: KindBool, Default: true},
				contactOr("registrant"), contactOr("admin"), contactOr("tech"), labelled("actions.field-billing-contact", contactOr("billing")),
			},
			Returns: domainInfo, Fills: domainFills},
		{Name: "renew", Class: ClassLifecycle, Audience: AudienceStaff, System: true, Limit: 120 * time.Second,
			Params: []Field{required(renewYears()), from("expires_at", moment("expires_at")), theDomain}, Returns: domainInfo, Fills: domainFills},
		{Name: "setAutoRenew", Class: ClassLifecycle, Audience: AudienceAdmins, System: true, Repeatable: true, Undo: "setAutoRenew",
			Params: []Field{from("auto_renew", yesNo("auto_renew")), theDomain}, Returns: domainInfo, Fills: domainFills},
		{Name: "poll", Class: ClassLifecycle, Audience: AudienceAdmins, System: true, Repeatable: true,
			Params: []Field{
				required(Field{Name: "limit", Kind: KindWhole, Min: 1, Max: 100, Default: float64(50)}), moment("after_date"),
				between(0, 100, list("acknowledge", text(""))),
			},
			Returns: []Field{
				required(whole("count_remaining")),
				required(list("notifications", parts("", required(text("id")),
					required(labelled("actions.field-notification-type", choice("type", "data_quality", "transfer_in", "transfer_out", "renewed", "suspended", "deleted"))),
					required(Field{Name: "message", Kind: KindLong}), required(list("domains", domainName(""))), required(moment("created_at")), object("extra")))),
			}},
	},
}

func renewYears() Field {
	return Field{Name: "renew_years", Kind: KindWhole, Min: 1, Max: 10, Default: float64(1)}
}

func shownAll(fields []Field) []Field {
	for i := range fields {
		fields[i].Shown = true
	}
	return fields
}
