package provisioning

import "time"

// The provider tells one account from another by these.
var (
	hostingUsername     = required(identity(text("username")))
	hostingCustomer     = identity(text("customer_id"))
	hostingSubscription = identity(text("subscription_id"))
	hostingDomain       = identity(domainName("domain"))
	hostingReseller     = identity(yesNo("is_reseller"))

	hostingAccount = []Field{hostingUsername, hostingCustomer, hostingSubscription, hostingDomain, hostingReseller}

	resellerOptions = parts("reseller_options",
		text("acl_name"), between(0, 1e9, whole("account_limit")),
		between(0, 1e12, whole("diskspace_mb_limit")), yesNo("diskspace_overselling"),
		between(0, 1e12, whole("bandwidth_mb_limit")), yesNo("bandwidth_overselling"))

	hostingInfo = []Field{
		required(text("username")), required(staffOnly(text("server_hostname"))), required(text("package_name")), required(yesNo("suspended")),
		text("suspend_reason"), domainName("domain"), yesNo("reseller"), address("ip"), list("nameservers", hostName("")),
		staffOnly(text("customer_id")), staffOnly(text("subscription_id")), text("location"),
		staffOnly(parts("software", required(text("software_id")), required(text("install_id")), required(webAddress("admin_url")), text("install_version"),
			email("admin_email"), text("admin_username"), secret(text("admin_password")))),
	}
	hostingFills = map[string]string{
		"username": "username", "server_hostname": "server_hostname", "package_name": "package_name", "suspended": "suspended", "domain": "domain",
		"reseller": "is_reseller", "ip": "ip_address", "nameservers": "nameservers", "customer_id": "customer_id",
		"subscription_id": "subscription_id", "location": "location",
	}
)

// usageUnit is how much of one thing is used. No limit is unlimited.
func usageUnit(name string) Field {
	return parts(name, required(number("used")), number("limit"), text("used_pc"))
}

var webHosting = Category{
	Name:       "web-hosting",
	Identifier: "domain",
	Fields: []Field{
		shown(domainName("domain")), shown(text("username")), shown(address("ip_address")), text("package_name"), text("server_hostname"),
		list("nameservers", hostName("")), yesNo("suspended"), yesNo("is_reseller"), text("customer_id"), text("subscription_id"), text("location"),
	},
	Functions: []Function{
		{Name: "login", Class: ClassLogin, Audience: AudienceDelegates, Everyday: true, Repeatable: true,
			Params:  all(hostingAccount, []Field{staffOnly(secret(text("current_password"))), staffOnly(text("software_id")), staffOnly(text("install_id"))}),
			Returns: all(loginReturns, []Field{address("for_ip")})},
		{Name: "changePassword", Class: ClassChange, Audience: AudienceDelegates, Everyday: true, Repeatable: true,
			Params: []Field{required(labelled("actions.field-new-password", password("password"))), hostingUsername, hostingCustomer, hostingSubscription}},
		{Name: "usage", Class: ClassRead, Audience: AudienceDelegates, System: true, Repeatable: true,
			Params: hostingAccount,
			Returns: []Field{
				parts("usage_data", usageUnit("disk_mb"), usageUnit("bandwidth_mb"), usageUnit("inodes"), usageUnit("websites"), usageUnit("mailboxes")),
				parts("reseller_usage_data", usageUnit("disk_mb"), usageUnit("bandwidth_mb"), usageUnit("inodes"), usageUnit("sub_accounts")),
			}},
		{Name: "getInfo", Class: ClassRead, Audience: AudienceDelegates, System: true, Repeatable: true,
			Params: hostingAccount, Returns: hostingInfo, Fills: hostingFills},
		{Name: "create", Class: ClassLifecycle, Audience: AudienceStaff, System: true, Limit: 240 * time.Second,
			Params: []Field{
				required(from("domain", domainName("domain"))), from("username", text("username")), password("password"),
				required(from("package_name", text("package_name"))), required(from(FactEmail, email("email"))),
				from(FactCustomer, text("customer_name")), from(FactAccount, text("customer_reference")), from("customer_id", text("customer_id")),
				phone("customer_phone"), customerAddress, text("owner_username"), yesNo("owns_itself"), yesNo("as_reseller"), resellerOptions,
				address("custom_ip"), from("location", text("location")),
			},
			Returns: hostingInfo, Fills: hostingFills},
		{Name: "changePackage", Class: ClassLifecycle, Audience: AudienceStaff, System: true, Repeatable: true, Undo: "changePackage",
			Params: []Field{
				required(from("package_name", text("package_name"))), hostingUsername, hostingCustomer, hostingSubscription, hostingDomain,
				yesNo("as_reseller"), yesNo("owns_itself"), resellerOptions,
			},
			Returns: hostingInfo, Fills: hostingFills},
		{Name: "suspend", Class: ClassLifecycle, Audience: AudienceStaff, System: true, Repeatable: true, Limit: 240 * time.Second,
			Params:  []Field{reason, hostingUsername, hostingCustomer, hostingSubscription, hostingDomain},
			Returns: hostingInfo, Fills: hostingFills},
		{Name: "unsuspend", Class: ClassLifecycle, Audience: AudienceStaff, System: true, Repeatable: true, Limit: 240 * time.Second,
			Params: hostingAccount, Returns: hostingInfo, Fills: hostingFills},
		{Name: "grantReseller", Class: ClassLifecycle, Audience: AudienceStaff, Repeatable: true,
			Params:  []Field{hostingUsername, yesNo("owns_itself")},
			Returns: []Field{required(yesNo("reseller"))}, Fills: map[string]string{"reseller": "is_reseller"}},
		{Name: "revokeReseller", Class: ClassLifecycle, Audience: AudienceStaff, Repeatable: true,
			Params:  hostingAccount,
			Returns: []Field{required(yesNo("reseller"))}, Fills: map[string]string{"reseller": "is_reseller"}},
		{Name: "terminate", Class: ClassLifecycle, Audience: AudienceStaff, Confirm: true, System: true, Limit: 240 * time.Second,
			Params: hostingAccount},
	},
}
