package provisioning

// Category is one of the eight kinds of provisioning.
type Category struct {
	Name string // as in products.category, e.g. "web-hosting"
	// Identifier names the provision field by which people know the product, which they type before something is destroyed.
	Identifier string
	// Fields are what is stored on each product, in the order of the page. Secret ones are stored sealed.
	Fields []Field
	// Functions is every function that a driver of this category may offer, in the order of the page.
	Functions []Function
}

// Categories lists all of them in the order of the guides. The caller must not change what it gets.
func Categories() []Category { return categories }

var categories = []Category{webHosting, domainNames, autoLogin, seo, websiteBuilders, softwareLicenses, servers, officeTools}

// CategoryOf returns the category of that name.
func CategoryOf(name string) (Category, bool) {
	for _, c := range categories {
		if c.Name == name {
			return c, true
		}
	}
	return Category{}, false
}

// Function returns the category's function of that name.
func (c Category) Function(name string) (Function, bool) { return findFunction(c.Functions, name) }

// LabelKey is the message key of the category's name on screen.
func (c Category) LabelKey() string { return "actions.category-" + c.Name }

func findFunction(functions []Function, name string) (Function, bool) {
	for _, f := range functions {
		if f.Name == name {
			return f, true
		}
	}
	return Function{}, false
}
