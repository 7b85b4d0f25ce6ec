package provisioning

import "time"

// Configuration is one named set of credentials and settings for a provider. Its secrets are never read back to anybody.
type Configuration struct {
	ID            string
	Name          string
	Driver        string
	Category      string
	Settings      map[string]any // without secrets
	RatePerSecond int
	PausedAt      *time.Time // nothing is called until an admin resumes it
	PausedReason  string     // for the store's people
	UpdatedAt     time.Time
	Products      int // bought products that use it, at most 1,000 are counted

	DriverTitle string   `db:"-"`
	Fields      []Field  `db:"-"` // as the driver declares them
	SecretsSet  []string `db:"-"` // names of secret settings that are set
}

// credentials is a configuration with its secrets, as a driver needs it.
type credentials struct {
	RatePerSecond int
	Driver        string
	Category      string
	Settings      map[string]any
	Secrets       []byte

	fields []Field        `db:"-"`
	whole  map[string]any `db:"-"`
}

// UserOf is a bought product that uses a configuration.
type UserOf struct {
	ID          string
	ContractID  *string
	Name        string
	AccountID   string
	AccountName string
	Category    string
	Status      string
}

// Manage is the address of the product's page.
func (u UserOf) Manage() string { return managePath(u.ContractID, u.ID, true) }
