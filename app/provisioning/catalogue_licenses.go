package provisioning

var (
	licenseIdentity = []Field{required(identity(secret(text("license_key")))), identity(text("customer_identifier"))}
	licensePackage  = []Field{
		from("package_identifier", text("package_identifier")), from(FactCycle, between(1, 120, whole("billing_cycle_months"))), from("extra", object("extra")),
	}
	licenseReturns = []Field{required(secret(text("license_key"))), text("package_identifier")}
	licenseFills   = map[string]string{"license_key": "license_key", "package_identifier": "package_identifier"}
)

var softwareLicenses = Category{
	Name:       "software-licenses",
	Identifier: "service_identifier",
	Fields: []Field{
		shown(text("service_identifier")), shown(text("package_identifier")), shown(address("ip_address")), secret(text("license_key")),
		text("customer_identifier"), whole("units_consumed"), yesNo("suspended"), object("extra"),
	},
	Functions: []Function{
		{Name: "usage", Class: ClassRead, Audience: AudienceDelegates, Everyday: true, System: true, Repeatable: true,
			Params:  licenseIdentity,
			Returns: []Field{whole("units_consumed"), object("usage_data")}, Fills: map[string]string{"units_consumed": "units_consumed"}},
		{Name: "showLicenseKey", Class: ClassKeys, Audience: AudienceOwners, Everyday: true, Repeatable: true,
			Params: licenseIdentity, Returns: []Field{required(secret(text("license_key")))}},
		{Name: "reissue", Class: ClassKeys, Audience: AudienceOwners,
			Params:  licenseIdentity,
			Returns: []Field{required(secret(text("license_key")))}, Fills: map[string]string{"license_key": "license_key"}},
		{Name: "create", Class: ClassLifecycle, Audience: AudienceStaff, System: true,
			Params: []Field{
				required(from(FactCustomer, text("customer_name"))), required(from(FactEmail, email("customer_email"))), text("company_name"),
				from("customer_identifier", text("customer_identifier")), from("service_identifier", text("service_identifier")),
				from("package_identifier", text("package_identifier")), from(FactCycle, between(1, 120, whole("billing_cycle_months"))),
				from("ip_address", address("ip")), from("extra", object("extra")),
			},
			Returns: all(licenseReturns, []Field{text("service_identifier"), staffOnly(text("customer_identifier"))}),
			Fills: map[string]string{
				"license_key": "license_key", "service_identifier": "service_identifier", "package_identifier": "package_identifier",
				"customer_identifier": "customer_identifier",
			},
			Sets: map[string]string{"ip": "ip_address"}},
		{Name: "renew", Class: ClassLifecycle, Audience: AudienceStaff, System: true,
			Params: all(licensePackage, licenseIdentity), Returns: licenseReturns, Fills: licenseFills},
		{Name: "changePackage", Class: ClassLifecycle, Audience: AudienceStaff, System: true, Repeatable: true, Undo: "changePackage",
			Params: all(licensePackage, licenseIdentity), Returns: licenseReturns, Fills: licenseFills},
		{Name: "suspend", Class: ClassLifecycle, Audience: AudienceStaff, System: true, Repeatable: true, Params: licenseIdentity,
			Marks: map[string]any{"suspended": true}},
		{Name: "unsuspend", Class: ClassLifecycle, Audience: AudienceStaff, System: true, Repeatable: true, Params: licenseIdentity,
			Marks: map[string]any{"suspended": false}},
		{Name: "terminate", Class: ClassLifecycle, Audience: AudienceStaff, Confirm: true, System: true, Params: licenseIdentity},
	},
}
