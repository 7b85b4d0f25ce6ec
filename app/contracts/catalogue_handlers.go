package contracts

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"portico/app"
	"portico/app/locale"
	"portico/app/web"

	"github.com/gofiber/fiber/v2"
)

const cataloguePath = "/admin/settings/products"

// catalogueView is what views/contracts/catalogue.html shows.
type catalogueView struct{ Products []catalogueRow }

type catalogueRow struct {
	CatalogueProduct
	Prices []string // of the plans in sale
}

// IndexCatalogue answers GET /admin/settings/products.
func (h *Handlers) IndexCatalogue(c *fiber.Ctx) error {
	r := web.Of(c)
	products, err := h.service.Catalogue(c.UserContext(), r.Viewer)
	if err != nil {
		return err
	}
	var view catalogueView
	for _, product := range products {
		row := catalogueRow{CatalogueProduct: product}
		for _, plan := range product.Plans {
			if plan.ArchivedAt == nil {
				row.Prices = append(row.Prices, plan.Name+", "+r.Money(plan.PriceMinor, r.Store.Currency))
			}
		}
		view.Products = append(view.Products, row)
	}
	return web.Render(c, web.Page{View: "contracts/catalogue", Frame: web.FrameAdmin, Title: app.Text{Key: "contracts.catalogue"}, Section: "settings", Data: view})
}

// productForm is a product of the catalogue as people type it.
type productForm struct {
	Name        string `form:"name"`
	Description string `form:"description"`
	Category    string `form:"category"`
	Kind        string `form:"kind"`
}

// productView is what views/contracts/catalogue-product.html shows.
type productView struct {
	Product    *CatalogueProduct // nil of a new one
	Plans      []planRow
	Options    []optionRow
	Categories []web.Option
	Kinds      []web.Option
}

type planRow struct {
	Plan
	Price string
	Every int // months of a billing cycle, 0: paid once
}

type optionRow struct {
	Option
	Price string // a month
}

func (h *Handlers) productPage(c *fiber.Ctx, product *CatalogueProduct) web.Page {
	r := web.Of(c)
	view := productView{Product: product, Categories: []web.Option{{Label: r.T("contracts.category-none")}}}
	for _, category := range Categories {
		view.Categories = append(view.Categories, web.Option{Value: category, Label: r.T("actions.category-" + category)})
	}
	title := app.Text{Key: "contracts.product-new"}
	form := productForm{Kind: KindSubscription}
	if product != nil {
		title = app.Text{Key: "contracts.product-title", Args: map[string]any{"Name": product.Name}}
		form = productForm{product.Name, product.Description, product.Category, product.Kind}
		for _, plan := range product.Plans {
			row := planRow{Plan: plan, Price: r.Money(plan.PriceMinor, r.Store.Currency)}
			if plan.CycleMonths != nil {
				row.Every = *plan.CycleMonths
			}
			view.Plans = append(view.Plans, row)
		}
		for _, option := range product.Options {
			view.Options = append(view.Options, optionRow{option, r.Money(option.PriceMinor, r.Store.Currency)})
		}
	}
	for _, kind := range []string{KindSubscription, KindOneOff} {
		if product == nil || product.Kind == kind {
			view.Kinds = append(view.Kinds, web.Option{Value: kind, Label: r.T("contracts.kind-" + kind)})
		}
	}
	return web.Page{View: "contracts/catalogue-product", Frame: web.FrameAdmin, Title: title, Section: "settings", Data: view, Form: web.NewForm(form)}
}

// NewProduct answers GET /admin/settings/products/new.
func (h *Handlers) NewProduct(c *fiber.Ctx) error { return web.Render(c, h.productPage(c, nil)) }

// CreateProduct answers POST /admin/settings/products.
func (h *Handlers) CreateProduct(c *fiber.Ctx) error {
	var form productForm
	var id string
	err := web.Bind(c, &form)
	if err == nil {
		id, err = h.service.CreateProduct(c.UserContext(), web.Viewer(c), CatalogueEntry(form))
	}
	if err != nil {
		return web.Rerender(c, err, h.productPage(c, nil), form)
	}
	web.SetFlash(c, "good", "contracts.product-created")
	return web.Redirect(c, cataloguePath+"/"+id)
}

func (h *Handlers) findProduct(c *fiber.Ctx) (CatalogueProduct, error) {
	id, err := web.ID(c, "id")
	if err != nil {
		return CatalogueProduct{}, err
	}
	return h.service.CatalogueProduct(c.UserContext(), web.Viewer(c), id)
}

// EditProduct answers GET /admin/settings/products/:id.
func (h *Handlers) EditProduct(c *fiber.Ctx) error {
	product, err := h.findProduct(c)
	if err != nil {
		return err
	}
	return web.Render(c, h.productPage(c, &product))
}

// UpdateProduct answers POST /admin/settings/products/:id.
func (h *Handlers) UpdateProduct(c *fiber.Ctx) error {
	product, err := h.findProduct(c)
	if err != nil {
		return err
	}
	var form productForm
	if err = web.Bind(c, &form); err == nil {
		err = h.service.UpdateProduct(c.UserContext(), web.Viewer(c), product.ID, CatalogueEntry(form))
	}
	if err != nil {
		return web.Rerender(c, err, h.productPage(c, &product), form)
	}
	web.SetFlash(c, "good", "contracts.product-saved")
	return web.Redirect(c, cataloguePath+"/"+product.ID)
}

// ArchiveProduct answers POST /admin/settings/products/:id/archive and /restore.
func (h *Handlers) ArchiveProduct(c *fiber.Ctx) error {
	id, err := web.ID(c, "id")
	if err != nil {
		return err
	}
	if err := h.service.ArchiveProduct(c.UserContext(), web.Viewer(c), id, strings.HasSuffix(c.Path(), "/restore")); err != nil {
		return err
	}
	return web.Redirect(c, cataloguePath+"/"+id)
}

// planForm is a plan as people type it.
type planForm struct {
	Name    string   `form:"name"`
	Price   string   `form:"price"`
	Cycle   string   `form:"cycle"`
	Term    string   `form:"term"`
	Package string   `form:"package"`
	Paths   []string `form:"paths"`
}

// planView is what views/contracts/catalogue-plan.html shows.
type planView struct {
	Product  CatalogueProduct
	Plan     *Plan // nil of a new one
	Paths    []web.Option
	Currency string
}

func (h *Handlers) planPage(c *fiber.Ctx, product CatalogueProduct, plan *Plan) (web.Page, error) {
	r := web.Of(c)
	view := planView{Product: product, Plan: plan, Currency: r.Store.Currency}
	id, title := "", app.Text{Key: "contracts.plan-new"}
	form := planForm{Cycle: "12", Term: "12"}
	if plan != nil {
		id, title = plan.ID, app.Text{Key: "contracts.plan-title", Args: map[string]any{"Name": plan.Name, "Product": product.Name}}
		form = planForm{Name: plan.Name, Price: locale.Decimal(plan.PriceMinor, r.Store.Currency), Package: packageText(plan.Package), Paths: plan.Paths}
		if plan.CycleMonths != nil {
			form.Cycle, form.Term = strconv.Itoa(*plan.CycleMonths), strconv.Itoa(*plan.TermMonths)
		}
	}
	choices, err := h.service.Paths(c.UserContext(), r.Viewer, product, id)
	if err != nil {
		return web.Page{}, err
	}
	for _, choice := range choices {
		view.Paths = append(view.Paths, web.Option{Value: choice.ID, Label: choice.Product + ", " + choice.Name})
	}
	return web.Page{View: "contracts/catalogue-plan", Frame: web.FrameAdmin, Title: title, Section: "settings", Data: view, Form: web.NewForm(form)}, nil
}

// packageText writes a package as a field holds it: "name = value", line by line.
func packageText(pack map[string]any) string {
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(pack)) {
		lines = append(lines, fmt.Sprintf("%s = %s", name, text(pack[name])))
	}
	return strings.Join(lines, "\n")
}

// parsePackage reads what packageText wrote; nil if it can't.
func parsePackage(typed string) map[string]any {
	pack := map[string]any{}
	for line := range strings.Lines(typed) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if !ok || name == "" || len(name) > 64 || len(pack) >= 50 || strings.IndexFunc(name, func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_'
		}) >= 0 {
			return nil
		}
		pack[name] = value
	}
	return pack
}

func (f planForm) entry(currency string) PlanEntry {
	entry := PlanEntry{Name: f.Name, Package: parsePackage(f.Package), Paths: f.Paths, PriceMinor: -1}
	if minor, ok := locale.ParseMoney(f.Price, currency); ok {
		entry.PriceMinor = minor
	}
	entry.CycleMonths, _ = strconv.Atoi(strings.TrimSpace(f.Cycle)) // 0 is refused
	entry.TermMonths, _ = strconv.Atoi(strings.TrimSpace(f.Term))
	return entry
}

// findPlan reads the product and, where the address names one, the plan.
func (h *Handlers) findPlan(c *fiber.Ctx) (CatalogueProduct, *Plan, error) {
	product, err := h.findProduct(c)
	if err != nil || c.Params("plan") == "" {
		return product, nil, err
	}
	id, err := web.ID(c, "plan")
	if err != nil {
		return product, nil, err
	}
	plan, err := product.plan(id)
	return product, &plan, err
}

// EditPlan answers GET /admin/settings/products/:id/plans/new and /:plan.
func (h *Handlers) EditPlan(c *fiber.Ctx) error {
	product, plan, err := h.findPlan(c)
	if err != nil {
		return err
	}
	page, err := h.planPage(c, product, plan)
	if err != nil {
		return err
	}
	return web.Render(c, page)
}

// SavePlan answers POST /admin/settings/products/:id/plans and /:plan.
func (h *Handlers) SavePlan(c *fiber.Ctx) error {
	r := web.Of(c)
	product, plan, err := h.findPlan(c)
	if err != nil {
		return err
	}
	id := ""
	if plan != nil {
		id = plan.ID
	}
	var form planForm
	if err = web.Bind(c, &form); err == nil {
		err = h.service.SavePlan(c.UserContext(), r.Viewer, product.ID, id, form.entry(r.Store.Currency))
	}
	if err != nil {
		page, pageErr := h.planPage(c, product, plan)
		if pageErr != nil {
			return pageErr
		}
		return web.Rerender(c, err, page, form)
	}
	web.SetFlash(c, "good", "contracts.plan-saved")
	return web.Redirect(c, cataloguePath+"/"+product.ID)
}

// ArchivePlan answers POST /admin/settings/products/:id/plans/:plan/archive and /restore.
func (h *Handlers) ArchivePlan(c *fiber.Ctx) error {
	product, plan, err := h.findPlan(c)
	if err != nil {
		return err
	}
	if err := h.service.ArchivePlan(c.UserContext(), web.Viewer(c), product.ID, plan.ID, strings.HasSuffix(c.Path(), "/restore")); err != nil {
		return err
	}
	return web.Redirect(c, cataloguePath+"/"+product.ID)
}

// optionForm is an option as people type it.
type optionForm struct {
	Name  string `form:"name"`
	Price string `form:"price"`
}

// optionView is what views/contracts/catalogue-option.html shows.
type optionView struct {
	Product CatalogueProduct
	Option  *Option // nil of a new one
}

// optionPage reads the product and, where the address names one, the option.
func (h *Handlers) optionPage(c *fiber.Ctx) (web.Page, optionView, error) {
	product, err := h.findProduct(c)
	if err != nil {
		return web.Page{}, optionView{}, err
	}
	if product.Kind != KindSubscription {
		return web.Page{}, optionView{}, app.ErrNotFound
	}
	view, title, form := optionView{Product: product}, app.Text{Key: "contracts.option-new"}, optionForm{}
	if c.Params("option") != "" {
		id, err := web.ID(c, "option")
		if err != nil {
			return web.Page{}, view, err
		}
		option, err := product.option(id)
		if err != nil {
			return web.Page{}, view, err
		}
		view.Option, form = &option, optionForm{option.Name, locale.Decimal(option.PriceMinor, web.Of(c).Store.Currency)}
		title = app.Text{Key: "contracts.plan-title", Args: map[string]any{"Name": option.Name, "Product": product.Name}}
	}
	return web.Page{View: "contracts/catalogue-option", Frame: web.FrameAdmin, Title: title, Section: "settings", Data: view, Form: web.NewForm(form)}, view, nil
}

// EditOption answers GET /admin/settings/products/:id/options/new and /:option.
func (h *Handlers) EditOption(c *fiber.Ctx) error {
	page, _, err := h.optionPage(c)
	if err != nil {
		return err
	}
	return web.Render(c, page)
}

// SaveOption answers POST /admin/settings/products/:id/options and /:option.
func (h *Handlers) SaveOption(c *fiber.Ctx) error {
	page, view, err := h.optionPage(c)
	if err != nil {
		return err
	}
	id := ""
	if view.Option != nil {
		id = view.Option.ID
	}
	var form optionForm
	if err = web.Bind(c, &form); err == nil {
		entry := OptionEntry{Name: form.Name, PriceMinor: -1}
		if minor, ok := locale.ParseMoney(form.Price, web.Of(c).Store.Currency); ok {
			entry.PriceMinor = minor
		}
		err = h.service.SaveOption(c.UserContext(), web.Viewer(c), view.Product.ID, id, entry)
	}
	if err != nil {
		return web.Rerender(c, err, page, form)
	}
	web.SetFlash(c, "good", "contracts.option-saved")
	return web.Redirect(c, cataloguePath+"/"+view.Product.ID)
}

// ArchiveOption answers POST /admin/settings/products/:id/options/:option/archive and /restore.
func (h *Handlers) ArchiveOption(c *fiber.Ctx) error {
	_, view, err := h.optionPage(c)
	if err != nil {
		return err
	}
	if err := h.service.ArchiveOption(c.UserContext(), web.Viewer(c), view.Product.ID, view.Option.ID, strings.HasSuffix(c.Path(), "/restore")); err != nil {
		return err
	}
	return web.Redirect(c, cataloguePath+"/"+view.Product.ID)
}

// deedForm is why the status of something is changed.
type deedForm struct {
	Reason string `form:"reason"`
}

// deedView is what views/contracts/deed.html shows.
type deedView struct {
	Item Item
	Deed Deed
}

// deed finds the item and the change of status that the address names by its end. app.ErrForbidden where the viewer may not make it.
func (h *Handlers) deed(c *fiber.Ctx) (Item, Deed, error) {
	item, err := h.Find(c)
	if err != nil {
		return Item{}, Deed{}, err
	}
	path := c.Path()
	deed, ok := DeedNamed(path[strings.LastIndexByte(path, '/')+1:])
	if !ok {
		return Item{}, Deed{}, app.ErrNotFound
	}
	if !item.Product.OfStore() {
		return Item{}, Deed{}, app.ErrForbidden
	}
	return item, deed, allow(item.Access(), deed.Permission)
}

// ConfirmDeed answers GET /admin/contracts/:id/cancel and the like.
func (h *Handlers) ConfirmDeed(c *fiber.Ctx) error {
	item, deed, err := h.deed(c)
	if err != nil {
		return err
	}
	if !slices.Contains(deed.From, item.Status()) {
		return web.Redirect(c, item.Path())
	}
	return web.Render(c, deedPage(item, deed))
}

func deedPage(item Item, deed Deed) web.Page {
	page := Page(item, "contracts/deed", deedView{item, deed})
	page.Title = app.Text{Key: "contracts.ask-" + deed.Name, Args: map[string]any{"Name": item.Name()}}
	return page
}

// Do answers POST /admin/contracts/:id/activate and the like: a change of status.
func (h *Handlers) Do(c *fiber.Ctx) error {
	item, deed, err := h.deed(c)
	if err != nil {
		return err
	}
	var form deedForm
	if err = web.Bind(c, &form); err == nil {
		if item.Contract != nil {
			err = h.service.DoContract(c.UserContext(), web.Viewer(c), item.Contract.ID, deed, form.Reason)
		} else {
			err = h.service.DoPurchase(c.UserContext(), web.Viewer(c), item.Product.ID, deed, form.Reason)
		}
	}
	if err != nil {
		return web.Rerender(c, err, deedPage(item, deed), form)
	}
	web.SetFlash(c, "good", "contracts.done-"+deed.Name)
	return web.Redirect(c, item.Path())
}

// addForm is what somebody of the store adds for a client.
type addForm struct {
	Plan       string `form:"plan"`
	Name       string `form:"name"`
	Identifier string `form:"identifier"`
}

// addView is what views/contracts/add.html shows.
type addView struct {
	Action  string // where the form posts, and the page's address
	Back    string
	Account string // name of the account
	Plans   []web.Option
}

// addPage is the form for an account, or for a contract that gets one more product.
func (h *Handlers) addPage(c *fiber.Ctx, a Adding) (web.Page, error) {
	r := web.Of(c)
	view := addView{Action: "/admin/clients/" + a.AccountID + "/add", Back: "/admin/clients/" + a.AccountID}
	title, kind := app.Text{Key: "contracts.add-title"}, ""
	var err error
	if a.ContractID != "" {
		item, err := h.service.Item(c.UserContext(), r.Viewer, a.ContractID, "")
		if err != nil {
			return web.Page{}, err
		}
		view.Action, view.Back, view.Account, kind = item.Path()+"/add", item.Path(), item.Product.AccountName, KindSubscription
		title = app.Text{Key: "contracts.add-product-title", Args: map[string]any{"Name": item.Name()}}
	} else if view.Account, err = h.service.AccountName(c.UserContext(), r.Viewer, a.AccountID); err != nil {
		return web.Page{}, err
	}
	offers, err := h.service.Offers(c.UserContext(), r.Viewer, kind)
	if err != nil {
		return web.Page{}, err
	}
	view.Plans = []web.Option{{Label: r.T("contracts.add-choose")}}
	for _, offer := range offers {
		view.Plans = append(view.Plans, web.Option{Value: offer.ID, Label: offer.Product.Name + ", " + offer.Plan.Name + ", " + r.Money(offer.PriceMinor, r.Store.Currency)})
	}
	return web.Page{View: "contracts/add", Frame: web.FrameAdmin, Title: title, Section: "clients", Data: view, Form: web.NewForm(addForm{})}, nil
}

// adding reads for what the address adds.
func adding(c *fiber.Ctx) (Adding, error) {
	id, err := web.ID(c, "id")
	if strings.HasPrefix(c.Path(), "/admin/contracts/") {
		return Adding{ContractID: id}, err
	}
	return Adding{AccountID: id}, err
}

// New answers GET /admin/clients/:id/add and /admin/contracts/:id/add.
func (h *Handlers) New(c *fiber.Ctx) error {
	a, err := adding(c)
	if err != nil {
		return err
	}
	page, err := h.addPage(c, a)
	if err != nil {
		return err
	}
	return web.Render(c, page)
}

// Create answers POST /admin/clients/:id/add and /admin/contracts/:id/add.
func (h *Handlers) Create(c *fiber.Ctx) error {
	a, err := adding(c)
	if err != nil {
		return err
	}
	var form addForm
	var item Item
	if err = web.Bind(c, &form); err == nil {
		a.PlanID, a.Name, a.Identifier = form.Plan, form.Name, form.Identifier
		item, err = h.service.Add(c.UserContext(), web.Viewer(c), a)
	}
	var invalid *app.Invalid
	if errors.As(err, &invalid) {
		page, pageErr := h.addPage(c, a)
		if pageErr != nil {
			return pageErr
		}
		return web.Rerender(c, err, page, form)
	}
	if err != nil {
		return err
	}
	web.SetFlash(c, "good", "contracts.added")
	return web.Redirect(c, item.Path())
}
