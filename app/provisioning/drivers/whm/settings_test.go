package whm_test

import (
	"testing"
	"time"

	"portico/app/locale"
	"portico/app/provisioning"
	"portico/app/provisioning/drivers/whm"
	"portico/views"
)

func TestDeclarations(t *testing.T) {
	t.Parallel()
	catalogue, err := locale.Load(views.Files)
	if err != nil {
		t.Fatal(err)
	}
	english := catalogue.Printer("en", "UTC", time.Time{})
	for _, f := range (whm.Driver{}).Settings("web-hosting") {
		if !english.Has(f.LabelKey()) {
			t.Errorf("no message %s", f.LabelKey())
		}
	}
	hosting, _ := provisioning.CategoryOf("web-hosting")
	offered := (whm.Driver{}).Functions("web-hosting")
	if len(offered) != len(hosting.Functions) || (whm.Driver{}).Functions("servers") != nil {
		t.Errorf("%d of %d functions", len(offered), len(hosting.Functions))
	}
	for _, f := range offered {
		if _, asked := provisioning.Find(f.Params, "customer_phone"); asked {
			t.Errorf("%s asks for what the server has no use for", f.Name)
		}
	}
	create, _ := hosting.Function("create")
	if _, asked := provisioning.Find(create.Params, "customer_phone"); !asked {
		t.Error("narrowing the driver's functions has changed the catalogue")
	}
}
