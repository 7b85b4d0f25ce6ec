package whm_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"portico/app/locale"
	"portico/app/provisioning"
	"portico/app/provisioning/drivers/whm"
	"portico/app/provisioning/provisioningtest"
	"portico/views"
)

// losing is a second way to the same server, on which the answers to whatever changes something are lost.
func (s *standin) losing(t *testing.T) *httptest.Server {
	changes := []string{"createacct", "passwd", "changepackage", "suspendacct", "unsuspendacct", "setupreseller", "unsetupreseller", "removeacct"}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if function := r.URL.Path[len("/json-api/"):]; slices.Contains(changes, function) && r.ParseForm() == nil {
			s.act(function, r)
			conn, _, _ := w.(http.Hijacker).Hijack()
			conn.Close()
			return
		}
		s.serve(w, r)
	}))
	t.Cleanup(server.Close)
	return server
}

func TestWHM_Conforms(t *testing.T) {
	t.Parallel()
	catalogue, err := locale.Load(views.Files)
	if err != nil {
		t.Fatal(err)
	}
	c := newCaller(t)
	settings := func(server *httptest.Server, token string) values {
		address := server.Listener.Addr().(*net.TCPAddr)
		return values{"hostname": "127.0.0.1", "port": float64(address.Port), "whm_username": "root", "api_key": token}
	}
	lossy := settings(c.server.losing(t), rootToken)
	provisioningtest.Run(t, provisioningtest.Suite{
		Driver: whm.Driver{}, Client: c.out, Settings: settings(c.server.Server, rootToken), Refused: settings(c.server.Server, "wrong-token"),
		Steps: func(_, name string) []provisioningtest.Step {
			type step = provisioningtest.Step
			return []step{
				{Function: "create", Params: values{"domain": name + ".example", "package_name": "gold", "password": "canary-password-1"}},
				{Function: "create", Params: values{"domain": name + ".example", "package_name": "gold", "email": "stella@corvid.example"}, Family: provisioning.FamilyExists},
				{Function: "getInfo"}, {Function: "usage"}, {Function: "login"}, {Function: "changePassword", Params: values{"password": "canary-password-2"}},
				{Function: "changePassword", Params: values{"password": "canary-password-3", "username": "nobody"}, Family: provisioning.FamilyMissing},
				{Function: "changePackage", Params: values{"package_name": "default"}}, {Function: "suspend", Params: values{"reason": "unpaid"}}, {Function: "unsuspend"},
				{Function: "grantReseller"}, {Function: "usage"}, {Function: "revokeReseller"}, {Function: "terminate"},
				{Function: "getInfo", Family: provisioning.FamilyMissing},
			}
		},
		Lost: func(function string) map[string]any {
			if slices.Contains([]string{"getInfo", "usage", "login"}, function) {
				return nil
			}
			return lossy
		},
		Printer: catalogue.Printer("en", "UTC", time.Time{}),
	})
}
