package contracts

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"portico/app"
	"portico/app/access"
	"portico/app/audit"
	"portico/app/db"

	"github.com/jackc/pgx/v5"
)

// The kinds of products in the catalogue.
const (
	KindSubscription = "subscription"
	KindOneOff       = "one-off"
)

// CatalogueProduct is something that the store sells.
type CatalogueProduct struct {
	ID          string
	Name        string
	Description string
	Category    string // one of Categories, "" where nothing is provisioned
	Kind        string // KindSubscription or KindOneOff
	Position    int
	ArchivedAt  *time.Time // not sold any more

	Plans   []Plan   `db:"-"` // in their order; those not sold any more last
	Options []Option `db:"-"` // likewise
}

// Icon draws the product's category.
func (p CatalogueProduct) Icon() string { return categoryIcon(p.Category) }

// Plan is one way of buying a product.
type Plan struct {
	ID          string
	ProductID   string
	Name        string
	CycleMonths *int  // how often it is paid; nil of a one-off purchase
	TermMonths  *int  // how long a contract runs
	PriceMinor  int64 // for one cycle, in minor units of the store's currency, without tax
	Package     map[string]any
	Position    int
	ArchivedAt  *time.Time

	Paths []string `db:"-"` // ids of the plans that an owner may go to
}

// Option is what a product can be bought with besides. It is paid with the plan, for as many months.
type Option struct {
	ID         string
	ProductID  string
	Name       string
	PriceMinor int64 // a month, in minor units of the store's currency, without tax
	Position   int
	ArchivedAt *time.Time
}

// Limits of what is typed.
const (
	maxName        = 120
	maxDescription = 2000
	maxMonths      = 120
	maxPrice       = 1_000_000_000_00
)

// Catalogue lists all products with their plans, those not sold any more last.
func (s *Service) Catalogue(ctx context.Context, v app.Viewer) ([]CatalogueProduct, error) {
	if err := access.Check(v, "catalogue", "view"); err != nil {
		return nil, err
	}
	return catalogue(ctx, s.pool, "")
}

// CatalogueProduct returns one product with its plans, or app.ErrNotFound.
func (s *Service) CatalogueProduct(ctx context.Context, v app.Viewer, id string) (CatalogueProduct, error) {
	if err := access.Check(v, "catalogue", "view"); err != nil {
		return CatalogueProduct{}, err
	}
	return productInCatalogue(ctx, s.pool, id)
}

func productInCatalogue(ctx context.Context, conn db.Conn, id string) (CatalogueProduct, error) {
	products, err := catalogue(ctx, conn, id)
	if err != nil {
		return CatalogueProduct{}, err
	}
	if len(products) == 0 {
		return CatalogueProduct{}, fmt.Errorf("read product %s of the catalogue: %w", id, app.ErrNotFound)
	}
	return products[0], nil
}

// plan finds one of the product's plans, or returns app.ErrNotFound.
func (p CatalogueProduct) plan(id string) (Plan, error) {
	i := slices.IndexFunc(p.Plans, func(plan Plan) bool { return plan.ID == id })
	if i < 0 {
		return Plan{}, fmt.Errorf("read plan %s of product %s: %w", id, p.ID, app.ErrNotFound)
	}
	return p.Plans[i], nil
}

// CatalogueEntry is a product as it is typed.
type CatalogueEntry struct{ Name, Description, Category, Kind string }

func (e *CatalogueEntry) check(invalid *app.Invalid) {
	e.Name, e.Description = strings.TrimSpace(e.Name), strings.TrimSpace(e.Description)
	checkName(invalid, "name", e.Name)
	if utf8.RuneCountInString(e.Description) > maxDescription {
		invalid.Add("description", "contracts.description-long", "Max", maxDescription)
	}
	if e.Category != "" && !slices.Contains(Categories, e.Category) {
		invalid.Add("category", "contracts.choose")
	}
	if e.Kind != KindSubscription && e.Kind != KindOneOff {
		invalid.Add("kind", "contracts.choose")
	}
}

func checkName(invalid *app.Invalid, field, name string) {
	if name == "" {
		invalid.Add(field, "contracts.name-missing")
	} else if utf8.RuneCountInString(name) > maxName {
		invalid.Add(field, "contracts.name-long", "Max", maxName)
	}
}

// CreateProduct adds a product at the end of the catalogue. Returns *app.Invalid.
func (s *Service) CreateProduct(ctx context.Context, v app.Viewer, e CatalogueEntry) (id string, err error) {
	err = s.changeCatalogue(ctx, v, e.check, func(tx pgx.Tx) error {
		if id, err = insertProduct(ctx, tx, e); err != nil {
			return fmt.Errorf("add a product to the catalogue: %w", err)
		}
		return recordProduct(ctx, tx, v, "catalogue.create", id, e.Name, map[string]any{"category": e.Category, "kind": e.Kind})
	})
	return id, err
}

// UpdateProduct changes a product's name, description and category; what was bought keeps its own. Its kind stays. Returns
// *app.Invalid.
func (s *Service) UpdateProduct(ctx context.Context, v app.Viewer, id string, e CatalogueEntry) error {
	return s.changeCatalogue(ctx, v, e.check, func(tx pgx.Tx) error {
		before, err := productInCatalogue(ctx, tx, id)
		if err != nil {
			return err
		}
		if e.Kind != before.Kind {
			return app.Invalidf("kind", "contracts.kind-stays")
		}
		changes := audit.Changes{}
		changes.Add("name", before.Name, e.Name)
		changes.Add("description", before.Description, e.Description)
		changes.Add("category", before.Category, e.Category)
		if len(changes) == 0 {
			return nil
		}
		if err := updateProduct(ctx, tx, id, e); err != nil {
			return fmt.Errorf("change product %s of the catalogue: %w", id, err)
		}
		return recordProduct(ctx, tx, v, "catalogue.edit", id, e.Name, changes)
	})
}

// ArchiveProduct takes a product out of sale, or with restore puts it back. What was bought stays.
func (s *Service) ArchiveProduct(ctx context.Context, v app.Viewer, id string, restore bool) error {
	return s.changeCatalogue(ctx, v, nil, func(tx pgx.Tx) error {
		product, err := productInCatalogue(ctx, tx, id)
		if err != nil || (product.ArchivedAt == nil) == restore {
			return err
		}
		if err := archive(ctx, tx, "products", id, restore); err != nil {
			return fmt.Errorf("archive product %s: %w", id, err)
		}
		return recordProduct(ctx, tx, v, archiveAction(restore), id, product.Name, nil)
	})
}

func archiveAction(restore bool) string {
	if restore {
		return "catalogue.restore"
	}
	return "catalogue.archive"
}

// PlanEntry is a plan as it is typed. Months are 0 for a one-off purchase.
type PlanEntry struct {
	Name        string
	CycleMonths int
	TermMonths  int
	PriceMinor  int64          // negative: it could not be read
	Package     map[string]any // nil: it could not be read
	Paths       []string       // ids of plans
}

func (e *PlanEntry) check(invalid *app.Invalid, product CatalogueProduct) {
	e.Name = strings.TrimSpace(e.Name)
	checkName(invalid, "name", e.Name)
	if product.Kind == KindSubscription {
		if e.CycleMonths < 1 || e.CycleMonths > maxMonths {
			invalid.Add("cycle", "contracts.months-wrong", "Max", maxMonths)
		}
		if e.TermMonths < 1 || e.TermMonths > maxMonths {
			invalid.Add("term", "contracts.months-wrong", "Max", maxMonths)
		} else if e.CycleMonths > 0 && e.TermMonths%e.CycleMonths != 0 {
			invalid.Add("term", "contracts.term-uneven")
		}
	} else {
		e.CycleMonths, e.TermMonths = 0, 0
	}
	if e.PriceMinor < 0 || e.PriceMinor > maxPrice {
		invalid.Add("price", "contracts.price-wrong")
	}
	if e.Package == nil {
		invalid.Add("package", "contracts.package-wrong")
	}
}

// SavePlan adds a plan to a product, or with an id changes one; what was bought keeps its price. Returns *app.Invalid, also for paths
// to plans that are not on offer, and app.ErrNotFound.
func (s *Service) SavePlan(ctx context.Context, v app.Viewer, productID, id string, e PlanEntry) error {
	return s.changeCatalogue(ctx, v, nil, func(tx pgx.Tx) error {
		product, err := productInCatalogue(ctx, tx, productID)
		if err != nil {
			return err
		}
		var before Plan
		if id != "" {
			if before, err = product.plan(id); err != nil {
				return err
			}
		}
		var invalid app.Invalid
		e.check(&invalid, product)
		offered, err := pathsFrom(ctx, tx, product, id)
		if err != nil {
			return err
		}
		for _, path := range e.Paths {
			if !slices.ContainsFunc(offered, func(c PathChoice) bool { return c.ID == path }) {
				invalid.Add("paths", "contracts.choose")
				break
			}
		}
		if err := invalid.Err(); err != nil {
			return err
		}
		if id == "" {
			if id, err = insertPlan(ctx, tx, productID, e); err != nil {
				return fmt.Errorf("add a plan: %w", err)
			}
			if err := setPaths(ctx, tx, id, e.Paths); err != nil {
				return fmt.Errorf("set the paths of plan %s: %w", id, err)
			}
			return recordProduct(ctx, tx, v, "catalogue.plan-create", productID, product.Name, map[string]any{"plan": e.Name, "price": e.PriceMinor})
		}
		if err := updatePlan(ctx, tx, id, e); err != nil {
			return fmt.Errorf("change plan %s: %w", id, err)
		}
		if err := setPaths(ctx, tx, id, e.Paths); err != nil {
			return fmt.Errorf("set the paths of plan %s: %w", id, err)
		}
		changes := audit.Changes{}
		changes.Add("plan", before.Name, e.Name)
		changes.Add("price", before.PriceMinor, e.PriceMinor)
		changes.Add("paths", len(before.Paths), len(e.Paths))
		return recordProduct(ctx, tx, v, "catalogue.plan-edit", productID, product.Name, changes)
	})
}

// ArchivePlan takes a plan out of sale, or with restore puts it back.
func (s *Service) ArchivePlan(ctx context.Context, v app.Viewer, productID, id string, restore bool) error {
	return s.changeCatalogue(ctx, v, nil, func(tx pgx.Tx) error {
		product, err := productInCatalogue(ctx, tx, productID)
		if err != nil {
			return err
		}
		plan, err := product.plan(id)
		if err != nil || (plan.ArchivedAt == nil) == restore {
			return err
		}
		if err := archive(ctx, tx, "plans", id, restore); err != nil {
			return fmt.Errorf("archive plan %s: %w", id, err)
		}
		return recordProduct(ctx, tx, v, archiveAction(restore), productID, product.Name+", "+plan.Name, nil)
	})
}

// option finds one of the product's options, or returns app.ErrNotFound.
func (p CatalogueProduct) option(id string) (Option, error) {
	i := slices.IndexFunc(p.Options, func(o Option) bool { return o.ID == id })
	if i < 0 {
		return Option{}, fmt.Errorf("read option %s of product %s: %w", id, p.ID, app.ErrNotFound)
	}
	return p.Options[i], nil
}

// OptionEntry is an option as it is typed.
type OptionEntry struct {
	Name       string
	PriceMinor int64 // negative: it could not be read
}

// SaveOption adds an option to a product that is sold by subscription, or with an id changes one; who has it keeps its price. Returns
// *app.Invalid, app.ErrNotFound, app.ErrConflict for a product that is bought once.
func (s *Service) SaveOption(ctx context.Context, v app.Viewer, productID, id string, e OptionEntry) error {
	check := func(invalid *app.Invalid) {
		e.Name = strings.TrimSpace(e.Name)
		checkName(invalid, "name", e.Name)
		if e.PriceMinor < 0 || e.PriceMinor > maxPrice {
			invalid.Add("price", "contracts.price-wrong")
		}
	}
	return s.changeCatalogue(ctx, v, check, func(tx pgx.Tx) error {
		product, err := productInCatalogue(ctx, tx, productID)
		if err != nil {
			return err
		}
		if product.Kind != KindSubscription {
			return app.ErrConflict
		}
		if id == "" {
			if err := insertOption(ctx, tx, productID, e); err != nil {
				return fmt.Errorf("add an option: %w", err)
			}
			return recordProduct(ctx, tx, v, "catalogue.option-create", productID, product.Name, map[string]any{"option": e.Name, "price": e.PriceMinor})
		}
		before, err := product.option(id)
		if err != nil {
			return err
		}
		changes := audit.Changes{}
		changes.Add("option", before.Name, e.Name)
		changes.Add("price", before.PriceMinor, e.PriceMinor)
		if len(changes) == 0 {
			return nil
		}
		if err := updateOption(ctx, tx, id, e); err != nil {
			return fmt.Errorf("change option %s: %w", id, err)
		}
		return recordProduct(ctx, tx, v, "catalogue.option-edit", productID, product.Name, changes)
	})
}

// ArchiveOption takes an option out of sale, or with restore puts it back. Who has it keeps it.
func (s *Service) ArchiveOption(ctx context.Context, v app.Viewer, productID, id string, restore bool) error {
	return s.changeCatalogue(ctx, v, nil, func(tx pgx.Tx) error {
		product, err := productInCatalogue(ctx, tx, productID)
		if err != nil {
			return err
		}
		option, err := product.option(id)
		if err != nil || (option.ArchivedAt == nil) == restore {
			return err
		}
		if err := archive(ctx, tx, "product_options", id, restore); err != nil {
			return fmt.Errorf("archive option %s: %w", id, err)
		}
		return recordProduct(ctx, tx, v, archiveAction(restore), productID, product.Name+", "+option.Name, nil)
	})
}

// PathChoice is a plan that a path may lead to.
type PathChoice struct{ ID, Product, Name string }

// Paths lists the plans that an owner of one of the product's plans might go to: of products of the same category, in sale.
func (s *Service) Paths(ctx context.Context, v app.Viewer, product CatalogueProduct, planID string) ([]PathChoice, error) {
	if err := access.Check(v, "catalogue", "view"); err != nil {
		return nil, err
	}
	return pathsFrom(ctx, s.pool, product, planID)
}

func (s *Service) changeCatalogue(ctx context.Context, v app.Viewer, check func(*app.Invalid), work func(tx pgx.Tx) error) error {
	if err := access.Check(v, "catalogue", "edit"); err != nil {
		return err
	}
	if check != nil {
		var invalid app.Invalid
		check(&invalid)
		if err := invalid.Err(); err != nil {
			return err
		}
	}
	return db.InTx(ctx, s.pool, work)
}

func recordProduct(ctx context.Context, tx pgx.Tx, v app.Viewer, action, id, name string, details map[string]any) error {
	return audit.Record(ctx, tx, v, audit.Entry{Action: action, ObjectType: "catalogue", ObjectID: id, ObjectName: name, Details: details})
}

// Offered is a plan in sale with its product, as one who adds it for a client chooses it.
type Offered struct {
	Plan
	Product CatalogueProduct
}

// Offers lists the plans in sale, in the catalogue's order. With kind only products of that kind.
func (s *Service) Offers(ctx context.Context, v app.Viewer, kind string) ([]Offered, error) {
	if err := access.Check(v, "client_contracts", "modify"); err != nil {
		return nil, err
	}
	products, err := catalogue(ctx, s.pool, "")
	if err != nil {
		return nil, err
	}
	var offers []Offered
	for _, product := range products {
		for _, plan := range product.Plans {
			if product.ArchivedAt == nil && plan.ArchivedAt == nil && (kind == "" || product.Kind == kind) {
				offers = append(offers, Offered{plan, product})
			}
		}
	}
	return offers, nil
}

// domainShape is a domain or host name in lower case.  Source: RFC 1123, 2.1.
var domainShape = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// identify makes the provision fields that say what a bought product is called by. Returns *app.Invalid on "identifier".
func identify(category, identifier string) (map[string]any, error) {
	identifier = strings.ToLower(strings.TrimSpace(identifier))
	fields := map[string]any{}
	if identifier == "" {
		return fields, nil
	}
	field := "label"
	switch category {
	case "web-hosting", "seo", "office-tools", "domain-names":
		field = "domain"
	case "website-builders":
		field = "domain_name"
	case "servers":
		field = "hostname"
	case "":
		field = "domain"
	}
	if field != "label" && (len(identifier) > 253 || !domainShape.MatchString(identifier)) || utf8.RuneCountInString(identifier) > maxName {
		return nil, app.Invalidf("identifier", "contracts.identifier-wrong")
	}
	fields[field] = identifier
	if category == "domain-names" {
		fields["sld"], fields["tld"], _ = strings.Cut(identifier, ".")
	}
	return fields, nil
}

// Adding is what somebody of the store adds for a client.
type Adding struct {
	AccountID  string
	ContractID string // a contract that gets one more product, "" for a new contract or a one-off purchase
	PlanID     string
	Name       string // "" takes the product's
	Identifier string // domain, host name or the like; may be ""
}

// Add adds a contract, a product to a contract, or a one-off purchase for a client, pending. Returns app.ErrForbidden, app.ErrNotFound
// for an account that is not there, ErrState for a contract that is over, *app.Invalid. The owner gets no mail before it runs.
func (s *Service) Add(ctx context.Context, v app.Viewer, a Adding) (Item, error) {
	offers, err := s.Offers(ctx, v, "")
	if err != nil {
		return Item{}, err
	}
	a.Name = strings.TrimSpace(a.Name)
	var invalid app.Invalid
	i := slices.IndexFunc(offers, func(o Offered) bool { return o.ID == a.PlanID })
	if i < 0 || a.ContractID != "" && offers[i].Product.Kind != KindSubscription {
		invalid.Add("plan", "contracts.choose")
	}
	if a.Name != "" {
		checkName(&invalid, "name", a.Name)
	}
	if err := invalid.Err(); err != nil {
		return Item{}, err
	}
	offer := offers[i]
	if a.Name == "" {
		a.Name = offer.Product.Name
	}
	fields, err := identify(offer.Product.Category, a.Identifier)
	if err != nil {
		return Item{}, err
	}
	if a.ContractID != "" {
		return s.addProduct(ctx, v, a, offer, fields)
	}
	var item Item
	err = db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if err := accountThere(ctx, tx, a.AccountID); err != nil {
			return err
		}
		var contractID, productID string
		if offer.Product.Kind == KindSubscription {
			contractID, productID, err = insertContract(ctx, tx, a.AccountID, offer.Plan, offer.Product, a.Name, fields)
		} else {
			productID, err = insertBought(ctx, tx, a.AccountID, nil, offer.Plan, offer.Product, a.Name, fields)
		}
		if err != nil {
			return fmt.Errorf("add for account %s: %w", a.AccountID, err)
		}
		product, err := productByID(ctx, tx, v.UserID, productID)
		if err != nil {
			return fmt.Errorf("read what was added: %w", err)
		}
		item = Item{Products: []Product{product}, Product: product}
		noted := productID
		if contractID != "" {
			noted = ""
			contract, err := contractByID(ctx, tx, v.UserID, contractID)
			if err != nil {
				return fmt.Errorf("read what was added: %w", err)
			}
			item.Contract = &contract
		}
		if err := Note(ctx, tx, v, contractID, noted, EventCreate, nil); err != nil {
			return err
		}
		if err := Record(ctx, tx, v, item, "contract.create", map[string]any{"plan": offer.Plan.Name, "account": product.AccountName}); err != nil {
			return err
		}
		return Notify(ctx, tx, product)
	})
	return item, err
}

func (s *Service) addProduct(ctx context.Context, v app.Viewer, a Adding, offer Offered, fields map[string]any) (item Item, err error) {
	err = s.Change(ctx, v, a.ContractID, "modify", func(tx pgx.Tx, c *Contract) error {
		if Final(c.Status) {
			return ErrState
		}
		id, err := insertBought(ctx, tx, c.AccountID, &c.ID, offer.Plan, offer.Product, a.Name, fields)
		if err != nil {
			return fmt.Errorf("add to %s: %w", c, err)
		}
		if item, err = itemOf(ctx, tx, v.UserID, *c, id); err != nil {
			return err
		}
		if c.Status == Active {
			if err := startProduct(ctx, tx, id); err != nil {
				return fmt.Errorf("start a product of %s: %w", c, err)
			}
			added := Item{Contract: c, Products: []Product{item.Product}, Product: item.Product}
			if err := s.hook(ctx, tx, v, added, Pending, Active); err != nil {
				return err
			}
		}
		if item, err = itemOf(ctx, tx, v.UserID, *c, id); err != nil {
			return err
		}
		if err := Note(ctx, tx, v, c.ID, id, EventProductAdded, map[string]string{"Name": a.Name}); err != nil {
			return err
		}
		if err := Record(ctx, tx, v, item, "contract.add-product", map[string]any{"plan": offer.Plan.Name, "product": a.Name}); err != nil {
			return err
		}
		return Notify(ctx, tx, item.Product)
	})
	return item, err
}
