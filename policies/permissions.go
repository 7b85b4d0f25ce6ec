package policies

// Permission is one thing that an admin may let a member of staff do: the cells marked p in the permission matrix.
// A member of staff who holds it has the relation "can:NAME".
type Permission string

// Permissions lists every named staff permission, in the order in which forms show them. Labels stand in the message
// catalogue under "permission.NAME".
var Permissions = []Permission{
	"tickets.open_for_client",
	"contracts.delegates",
	"accounts.view",
	"billing.view",
	"billing.manage",
	"contracts.auto_renew",
	"contracts.cancel",
	"contracts.upgrade",
	"contracts.modify",
	"provisioning.login",
	"provisioning.change",
	"provisioning.credentials",
	"provisioning.destroy",
	"provisioning.lifecycle",
	"provisioning.retry",
	"provisioning.logs",
	"provisioning.debug",
	"provisioning.fields",
	"clients.impersonate",
}

// AccountPermission is one thing that the owner of an account may let its other users do, beyond what all its users may. A user who
// holds it has the relation "can:NAME" to the account's contracts.
type AccountPermission string

// AccountPermissions lists them in the order in which forms show them. Labels stand in the message catalogue under "clients.can-NAME".
var AccountPermissions = []AccountPermission{"billing", "cancel", "delegates", "keys", "destroy"}

// DelegateRights are what the owner of a contract may take from a delegate: running actions, and tickets. A delegate who has one has
// the relation "can:NAME" to the contract.
var DelegateRights = []string{"act", "tickets"}
