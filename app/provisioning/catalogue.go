package provisioning

// The catalogue is one file per category; this one has what several share. Fields get their names from the interfaces that providers
// in this trade commonly have, so that a store's own service is easily fitted.

// identity makes a parameter that says which account, name or server is meant. It is filled from the provision field of the same
// name, and clients are never asked for it.
func identity(f Field) Field {
	f.Staff = true
	if f.From == "" {
		f.From = f.Name
	}
	return f
}

func required(f Field) Field {
	f.Required = true
	return f
}

func shown(f Field) Field {
	f.Shown = true
	return f
}

func staffOnly(f Field) Field {
	f.Staff = true
	return f
}

func from(source string, f Field) Field {
	f.From = source
	return f
}

func text(name string) Field       { return Field{Name: name, Kind: KindText} }
func whole(name string) Field      { return Field{Name: name, Kind: KindWhole} }
func number(name string) Field     { return Field{Name: name, Kind: KindNumber} }
func yesNo(name string) Field      { return Field{Name: name, Kind: KindBool} }
func domainName(name string) Field { return Field{Name: name, Kind: KindDomain} }
func hostName(name string) Field   { return Field{Name: name, Kind: KindHostname} }
func address(name string) Field    { return Field{Name: name, Kind: KindIP} }
func email(name string) Field      { return Field{Name: name, Kind: KindEmail} }
func phone(name string) Field      { return Field{Name: name, Kind: KindPhone} }
func country(name string) Field    { return Field{Name: name, Kind: KindCountry} }
func webAddress(name string) Field { return Field{Name: name, Kind: KindURL} }
func day(name string) Field        { return Field{Name: name, Kind: KindDay} }
func moment(name string) Field     { return Field{Name: name, Kind: KindTime} }
func object(name string) Field     { return Field{Name: name, Kind: KindJSON} }

func between(low, high float64, f Field) Field {
	f.Min, f.Max = low, high
	return f
}

func choice(name string, options ...string) Field {
	return Field{Name: name, Kind: KindChoice, Options: options}
}

func parts(name string, fields ...Field) Field {
	return Field{Name: name, Kind: KindObject, Fields: fields}
}

func list(name string, item Field) Field { return Field{Name: name, Kind: KindList, Item: &item} }

func secret(f Field) Field {
	f.Secret = true
	return f
}

// password is a new one; what makes a good one is for the provider to say, but for a length below which nobody takes it.
func password(name string) Field {
	return Field{Name: name, Kind: KindText, Secret: true, Min: 8, Max: 128}
}

// loginReturns is what every login gives: where to send the person, once.
var loginReturns = []Field{
	required(secret(webAddress("login_url"))),
	moment("expires"),
	secret(object("post_fields")),
}

var customerAddress = parts("customer_address", text("address_1"), text("address_2"), text("city"), text("state"), text("postcode"), country("country_code"))

var reason = Field{Name: "reason", Kind: KindText}

// all joins lists of fields.
func all(lists ...[]Field) []Field {
	var joined []Field
	for _, l := range lists {
		joined = append(joined, l...)
	}
	return joined
}

func labelled(key string, f Field) Field {
	f.Label = key
	return f
}
