package billing

// TaxRules are the store's. Rates are in hundredths of a percent (2500 is 25 %).
type TaxRules struct {
	Country       string           // where the store is taxed, ISO 3166-1 alpha-2; "" charges no tax at all
	Rates         map[string]int64 // by country of the client
	ReverseCharge bool             // businesses of the other countries in Rates with a VAT number owe the tax themselves
}

// Tax says what is charged to one client.
type Tax struct {
	Rate    int64 // hundredths of a percent
	Reverse bool  // the client owes it: the invoice has to say so
}

// For says what tax a client pays: the rate of their own country if the store has one for it, nothing as a business elsewhere under
// reverse charge, and nothing outside of the countries that the store has rates for. A client without a country is taxed at home.
func (r TaxRules) For(country, vatNumber string) Tax {
	if r.Country == "" {
		return Tax{}
	}
	if country == "" {
		country = r.Country
	}
	rate, taxed := r.Rates[country]
	switch {
	case !taxed:
		return Tax{}
	case country != r.Country && vatNumber != "" && r.ReverseCharge:
		return Tax{Reverse: true}
	default:
		return Tax{Rate: rate}
	}
}

// On is the tax on a net total in minor units, rounded once for the whole invoice to the nearest, a half away from zero.
func (t Tax) On(netMinor int64) int64 { return share(netMinor, t.Rate, 10_000) }
