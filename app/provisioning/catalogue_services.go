package provisioning

// Auto login, SEO and website builders: services with an account and a way in.

var (
	serviceIdentity = []Field{
		required(identity(text("username"))), identity(text("service_identifier")), identity(text("package_identifier")), identity(object("extra")),
	}
	serviceReturns = []Field{required(text("username")), text("service_identifier"), text("package_identifier"), staffOnly(object("extra"))}
	serviceFills   = map[string]string{
		"username": "username", "service_identifier": "service_identifier", "package_identifier": "package_identifier", "extra": "extra",
	}
)

var autoLogin = Category{
	Name:       "auto-login",
	Identifier: "username",
	Fields: []Field{
		shown(text("username")), shown(text("service_identifier")), text("package_identifier"), yesNo("suspended"), object("extra"),
	},
	Functions: []Function{
		{Name: "login", Class: ClassLogin, Audience: AudienceDelegates, Everyday: true, Repeatable: true,
			Params: serviceIdentity, Returns: loginReturns},
		{Name: "create", Class: ClassLifecycle, Audience: AudienceStaff, System: true,
			Params: []Field{
				required(from(FactAccount, text("user_id"))), from("service_identifier", text("service_identifier")),
				from("package_identifier", text("package_identifier")), from(FactEmail, email("email")), from(FactCustomer, text("customer_name")),
				between(0, 20, list("promo_codes", text(""))), from("extra", object("extra")),
			},
			Returns: serviceReturns, Fills: serviceFills},
		{Name: "changePackage", Class: ClassLifecycle, Audience: AudienceStaff, System: true, Repeatable: true, Undo: "changePackage",
			Params: []Field{
				required(from("package_identifier", text("package_identifier"))), required(identity(text("username"))), identity(text("service_identifier")),
				identity(object("extra")),
			},
			Sets: map[string]string{"package_identifier": "package_identifier"}},
		{Name: "renew", Class: ClassLifecycle, Audience: AudienceStaff, System: true, Params: serviceIdentity},
		{Name: "suspend", Class: ClassLifecycle, Audience: AudienceStaff, System: true, Repeatable: true, Params: serviceIdentity,
			Marks: map[string]any{"suspended": true}},
		{Name: "unsuspend", Class: ClassLifecycle, Audience: AudienceStaff, System: true, Repeatable: true, Params: serviceIdentity,
			Marks: map[string]any{"suspended": false}},
		{Name: "terminate", Class: ClassLifecycle, Audience: AudienceStaff, Confirm: true, System: true, Params: serviceIdentity},
	},
}

var seoIdentity = []Field{required(identity(text("username"))), required(identity(domainName("domain"))), identity(object("extra"))}

var seo = Category{
	Name:       "seo",
	Identifier: "domain",
	Fields: []Field{
		shown(domainName("domain")), shown(text("username")), text("package_identifier"), yesNo("suspended"), object("extra"),
	},
	Functions: []Function{
		{Name: "login", Class: ClassLogin, Audience: AudienceDelegates, Everyday: true, Repeatable: true,
			Params: seoIdentity, Returns: loginReturns},
		{Name: "create", Class: ClassLifecycle, Audience: AudienceStaff, System: true,
			Params: []Field{
				required(from("domain", domainName("domain"))), required(from("package_identifier", text("package_identifier"))),
				required(from(FactAccount, text("customer_id"))), required(from(FactEmail, email("customer_email"))), from(FactCustomer, text("customer_name")),
				phone("customer_phone"), customerAddress, between(0, 20, list("promo_codes", text(""))), from(FactProduct, text("service_id")),
				from("extra", object("extra")),
			},
			Returns: []Field{required(text("username")), required(domainName("domain")), required(text("package_identifier"))},
			Fills:   map[string]string{"username": "username", "domain": "domain", "package_identifier": "package_identifier"}},
		{Name: "changePackage", Class: ClassLifecycle, Audience: AudienceStaff, System: true, Repeatable: true, Undo: "changePackage",
			Params: all([]Field{required(from("package_identifier", text("package_identifier")))}, seoIdentity),
			Sets:   map[string]string{"package_identifier": "package_identifier"}},
		{Name: "suspend", Class: ClassLifecycle, Audience: AudienceStaff, System: true, Repeatable: true, Params: seoIdentity,
			Marks: map[string]any{"suspended": true}},
		{Name: "unsuspend", Class: ClassLifecycle, Audience: AudienceStaff, System: true, Repeatable: true, Params: seoIdentity,
			Marks: map[string]any{"suspended": false}},
		{Name: "terminate", Class: ClassLifecycle, Audience: AudienceStaff, Confirm: true, System: true, Params: seoIdentity},
	},
}

var (
	builderIdentity = []Field{
		required(identity(text("account_reference"))), identity(text("site_builder_user_id")), identity(from("domain", domainName("domain_name"))),
	}
	builderPackage = []Field{
		required(from("package_reference", text("package_reference"))), required(from(FactCycle, between(1, 120, whole("billing_cycle_months")))),
	}
	builderInfo = []Field{
		required(text("account_reference")), required(text("package_reference")), staffOnly(text("site_builder_user_id")), domainName("domain_name"),
		yesNo("suspended"), whole("site_count"), text("storage_used"), address("ip_address"), yesNo("is_published"), yesNo("has_ssl"), text("permissions"),
		staffOnly(object("extra")),
	}
	builderFills = map[string]string{
		"account_reference": "account_reference", "package_reference": "package_reference", "site_builder_user_id": "site_builder_user_id",
		"domain_name": "domain", "suspended": "suspended", "ip_address": "ip_address", "permissions": "permissions", "extra": "extra",
	}
)

var websiteBuilders = Category{
	Name:       "website-builders",
	Identifier: "account_reference",
	Fields: []Field{
		shown(domainName("domain")), shown(address("ip_address")), text("account_reference"), text("package_reference"), text("site_builder_user_id"),
		text("permissions"), yesNo("suspended"), object("extra"),
	},
	Functions: []Function{
		{Name: "login", Class: ClassLogin, Audience: AudienceDelegates, Everyday: true, Repeatable: true,
			Params: builderIdentity, Returns: loginReturns},
		{Name: "getInfo", Class: ClassRead, Audience: AudienceDelegates, System: true, Repeatable: true,
			Params: builderIdentity, Returns: builderInfo, Fills: builderFills},
		{Name: "create", Class: ClassLifecycle, Audience: AudienceStaff, System: true,
			Params: all(
				[]Field{
					required(from(FactAccount, text("customer_id"))), required(from(FactCustomer, text("customer_name"))),
					required(from(FactEmail, email("customer_email"))),
				},
				builderPackage,
				[]Field{
					from("site_builder_user_id", text("site_builder_user_id")), from("domain", domainName("domain_name")), password("password"),
					from(FactLanguage, between(2, 10, Field{Name: "language_code", Kind: KindName})), from("permissions", text("permissions")),
					from("extra", object("extra")),
				}),
			Returns: builderInfo, Fills: builderFills},
		{Name: "changePackage", Class: ClassLifecycle, Audience: AudienceStaff, System: true, Repeatable: true, Undo: "changePackage",
			Params:  all(builderPackage, []Field{from("permissions", text("permissions"))}, builderIdentity),
			Returns: builderInfo, Fills: builderFills},
		{Name: "suspend", Class: ClassLifecycle, Audience: AudienceStaff, System: true, Repeatable: true,
			Params: builderIdentity, Returns: builderInfo, Fills: builderFills},
		{Name: "unsuspend", Class: ClassLifecycle, Audience: AudienceStaff, System: true, Repeatable: true,
			Params: all(builderPackage, builderIdentity), Returns: builderInfo, Fills: builderFills},
		{Name: "terminate", Class: ClassLifecycle, Audience: AudienceStaff, Confirm: true, System: true, Params: builderIdentity},
	},
}
