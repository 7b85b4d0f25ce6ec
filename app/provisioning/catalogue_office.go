package provisioning

var (
	officeIdentity = []Field{required(identity(text("service_id"))), required(identity(text("customer_id")))}
	officeBilling  = required(parts("billing",
		required(from(FactPrice, between(0, 1e12, number("amount")))), required(from(FactCurrency, Field{Name: "currency", Kind: KindCurrency})),
		text("transaction_id"), text("invoice_number"), between(0, 1e12, number("discount")), between(0, 1e12, number("tax")),
		from(FactCycle, between(1, 120, whole("billing_cycle_months"))), day("expiry_date")))
	officePlan = []Field{required(from("plan", text("plan"))), required(from("seat_count", between(1, 100000, whole("seat_count"))))}
	officeInfo = []Field{
		required(staffOnly(text("customer_id"))), required(text("service_id")), required(domainName("domain")), required(text("plan")),
		required(whole("seat_count")), required(whole("seat_count_used")), text("status"), day("expiry_date"), staffOnly(object("metadata")),
		webAddress("control_panel_url"), webAddress("workspace_url"),
	}
	officeFills = map[string]string{
		"customer_id": "customer_id", "service_id": "service_id", "domain": "domain", "plan": "plan", "seat_count": "seat_count",
		"seat_count_used": "seat_count_used", "expiry_date": "expiry_date", "control_panel_url": "control_panel_url", "workspace_url": "workspace_url",
		"status": "status",
	}
)

var officeTools = Category{
	Name:       "office-tools",
	Identifier: "domain",
	Fields: []Field{
		shown(domainName("domain")), shown(text("plan")), shown(whole("seat_count")), shown(whole("seat_count_used")), shown(webAddress("workspace_url")),
		webAddress("control_panel_url"), day("expiry_date"), text("status"), text("service_id"), text("customer_id"),
	},
	Functions: []Function{
		{Name: "login", Class: ClassLogin, Audience: AudienceDelegates, Everyday: true, Repeatable: true,
			Params: all([]Field{staffOnly(text("locale")), staffOnly(choice("login_type", "redirect", "token"))}, officeIdentity),
			Returns: []Field{
				required(choice("type", "redirect", "token")), {Name: "login_url", Kind: KindURL, Secret: true, Unless: "token"},
				{Name: "token", Kind: KindText, Secret: true, Unless: "login_url", Max: 4096}, moment("expires"),
			}},
		{Name: "getInfo", Class: ClassRead, Audience: AudienceDelegates, System: true, Repeatable: true,
			Params: officeIdentity, Returns: officeInfo, Fills: officeFills},
		{Name: "create", Class: ClassLifecycle, Audience: AudienceStaff, System: true,
			Params: all(
				[]Field{
					required(from("domain", domainName("domain"))), required(from(FactAccount, text("customer_id"))), required(from(FactEmail, email("customer_email"))),
				},
				officePlan, []Field{officeBilling, from(FactCustomer, text("customer_name")), country("country_code"), object("metadata")}),
			Returns: officeInfo, Fills: officeFills},
		{Name: "renew", Class: ClassLifecycle, Audience: AudienceStaff, System: true,
			Params:  all([]Field{officeBilling, required(identity(domainName("domain"))), object("metadata")}, officeIdentity),
			Returns: officeInfo, Fills: officeFills},
		{Name: "changePackage", Class: ClassLifecycle, Audience: AudienceStaff, System: true, Repeatable: true, Undo: "changePackage",
			Params:  all(officePlan, []Field{officeBilling, required(identity(domainName("domain"))), object("metadata")}, officeIdentity),
			Returns: officeInfo, Fills: officeFills},
		{Name: "suspend", Class: ClassLifecycle, Audience: AudienceStaff, System: true, Repeatable: true,
			Params: officeIdentity, Returns: officeInfo, Fills: officeFills},
		{Name: "unsuspend", Class: ClassLifecycle, Audience: AudienceStaff, System: true, Repeatable: true,
			Params: officeIdentity, Returns: officeInfo, Fills: officeFills},
		{Name: "terminate", Class: ClassLifecycle, Audience: AudienceStaff, Confirm: true, System: true, Params: officeIdentity},
	},
}
