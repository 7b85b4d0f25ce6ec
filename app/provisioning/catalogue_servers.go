package provisioning

import "time"

var (
	theServer = required(identity(text("instance_id")))

	serverInfo = all(
		[]Field{
			required(text("instance_id")), required(labelled("actions.field-power-state", text("state"))), required(text("label")), required(text("image")), required(text("location")),
		},
		serverSize(),
		[]Field{
			yesNo("suspended"), text("hostname"), text("ip_address"), staffOnly(text("node")), text("virtualization_type"), staffOnly(text("customer_identifier")),
			moment("created_at"), moment("updated_at"), list("software", text("")), list("licenses", text("")), staffOnly(object("metadata")),
		})
	serverFills = map[string]string{
		"instance_id": "instance_id", "state": "state", "label": "label", "image": "image", "location": "location", "size": "size", "memory_mb": "memory_mb",
		"cpu_cores": "cpu_cores", "disk_mb": "disk_mb", "suspended": "suspended", "hostname": "hostname", "ip_address": "ip_address", "node": "node",
		"virtualization_type": "virtualization_type", "customer_identifier": "customer_identifier",
	}
)

// serverSize is a size by name, or by memory, cores and disk.
func serverSize() []Field {
	bySize := func(f Field) Field {
		f.Unless, f.From = "size", f.Name
		return f
	}
	return []Field{
		{Name: "size", Kind: KindText, Unless: "memory_mb", From: "size"},
		bySize(between(1, 1<<24, whole("memory_mb"))), bySize(between(1, 1024, whole("cpu_cores"))), bySize(between(1, 1<<30, whole("disk_mb"))),
	}
}

// power declares a function that changes the power state or the disks, at which a provider may be for minutes.
func power(name string, class Class, f Function) Function {
	f.Name, f.Class, f.Wait = name, class, 30*time.Minute
	f.Params, f.Returns, f.Fills = append(f.Params, theServer), serverInfo, serverFills
	return f
}

var servers = Category{
	Name:       "servers",
	Identifier: "hostname",
	Fields: []Field{
		shown(text("hostname")), shown(text("ip_address")), shown(text("image")), shown(text("location")), shown(labelled("actions.field-power-state", text("state"))), text("size"),
		whole("memory_mb"), whole("cpu_cores"), whole("disk_mb"), text("label"), text("instance_id"), text("node"), text("virtualization_type"),
		text("customer_identifier"), yesNo("suspended"),
	},
	Functions: []Function{
		{Name: "login", Class: ClassLogin, Audience: AudienceDelegates, Everyday: true, Repeatable: true,
			Params:  []Field{staffOnly(text("application")), staffOnly(object("application_params")), theServer},
			Returns: loginReturns},
		power("reboot", ClassChange, Function{Audience: AudienceDelegates, Everyday: true}),
		power("powerOn", ClassChange, Function{Audience: AudienceDelegates, Everyday: true, Repeatable: true}),
		power("shutdown", ClassChange, Function{Audience: AudienceDelegates, Everyday: true, Repeatable: true}),
		power("reset", ClassChange, Function{Audience: AudienceDelegates}),
		{Name: "getInfo", Class: ClassRead, Audience: AudienceDelegates, System: true, Repeatable: true,
			Params: []Field{theServer}, Returns: serverInfo, Fills: serverFills},
		{Name: "console", Class: ClassKeys, Audience: AudienceOwners, Delegable: true, Repeatable: true,
			Params: []Field{theServer},
			Returns: []Field{
				required(choice("type", "ssh", "vnc", "redirect", "form_post")), text("command"), secret(webAddress("login_url")), secret(object("post_fields")),
				parts("vnc_connection", secret(text("websocket_url")), text("host"), between(1, 65535, whole("port")), text("username"), secret(text("password"))),
				secret(text("password")), moment("expires_at"),
			}},
		{Name: "changeRootPassword", Class: ClassKeys, Audience: AudienceOwners, Delegable: true, Repeatable: true,
			Params: []Field{required(labelled("actions.field-new-root-password", password("root_password"))), theServer}, Returns: serverInfo, Fills: serverFills},
		power("reinstall", ClassDestroy, Function{Audience: AudienceOwners, Delegable: true, Confirm: true,
			Params: []Field{required(from("image", text("image"))), password("root_password")}}),
		power("attachRecoveryIso", ClassDestroy, Function{Audience: AudienceOwners, Delegable: true, Optional: true, Repeatable: true}),
		power("detachRecoveryIso", ClassDestroy, Function{Audience: AudienceOwners, Delegable: true, Optional: true, Repeatable: true}),
		{Name: "create", Class: ClassLifecycle, Audience: AudienceStaff, System: true, Limit: 120 * time.Second, Wait: 2 * time.Hour,
			Params: all(
				[]Field{
					required(from("label", Field{Name: "label", Kind: KindName})), required(from("image", text("image"))), required(from("location", text("location"))),
				},
				serverSize(),
				[]Field{
					required(from(FactEmail, email("email"))), from(FactAccount, text("customer_identifier")), whole("client_number"),
					from(FactCustomer, text("customer_name")), password("root_password"), from("virtualization_type", text("virtualization_type")),
					between(0, 50, list("software", text(""))), between(0, 50, list("licenses", text(""))), object("metadata"),
				}),
			Returns: serverInfo, Fills: serverFills},
		power("resize", ClassLifecycle, Function{Audience: AudienceStaff, System: true, Repeatable: true, Undo: "resize",
			Params: append(serverSize(), yesNo("resize_running"))}),
		power("suspend", ClassLifecycle, Function{Audience: AudienceStaff, System: true, Repeatable: true}),
		power("unsuspend", ClassLifecycle, Function{Audience: AudienceStaff, System: true, Repeatable: true}),
		{Name: "terminate", Class: ClassLifecycle, Audience: AudienceStaff, Confirm: true, System: true, Limit: 120 * time.Second,
			Params: []Field{theServer}},
	},
}
