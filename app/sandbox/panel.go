package sandbox

import (
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"time"

	"portico/app"
)

// The control panel that login links lead to, and that a password opens. It has a look of its own: it is another company's.

const (
	panelCookie = "sandbox_panel"
	panelLife   = 30 * time.Minute
)

const panelStyle = `:root{color-scheme:light dark}
body{margin:0;font:1rem/1.5 system-ui,sans-serif;background:light-dark(#f4f1ea,#1c1a17);color:light-dark(#2a2622,#eee8df)}
header{background:#7a4a12;color:#fff;padding:.75rem 1.25rem;font-weight:600}
main{max-width:36rem;margin:2rem auto;padding:0 1.25rem}
h1{font-size:1.4rem;line-height:1.25;margin:0 0 1rem}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.4rem 1.25rem;overflow-wrap:anywhere}
dt{color:light-dark(#6b6157,#b9aea0)}dd{margin:0}
form{display:grid;gap:1rem;max-width:22rem}label{display:grid;gap:.25rem}
input,button{font:inherit;padding:.5rem .75rem;border:1px solid light-dark(#8a7c6c,#8a7c6c);border-radius:.375rem;background:light-dark(#fff,#262320);color:inherit}
button{background:#7a4a12;color:#fff;border-color:#7a4a12;cursor:pointer;justify-self:start}
:focus-visible{outline:2px solid #b56b17;outline-offset:2px}
.error{color:light-dark(#a1121f,#ff9b9b);font-weight:600}`

var panelPage = template.Must(template.New("panel").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>{{.Title}} · Sandbox control panel</title><link rel="stylesheet" href="/panel.css"></head>
<body><header>Sandbox control panel</header><main><h1>{{.Title}}</h1>
{{with .Error}}<p class="error" role="alert">{{.}}</p>{{end}}
{{if .Rows}}<dl>{{range .Rows}}<dt>{{index . 0}}</dt><dd>{{index . 1}}</dd>{{end}}</dl><form method="post" action="/panel/leave"><button>Sign out</button></form>
{{else}}<form method="post" action="/panel"><label>Username<input name="username" autocomplete="username" required value="{{.Name}}"></label>
<label>Password<input name="password" type="password" autocomplete="current-password" required></label><button>Sign in</button></form>{{end}}
</main></body></html>`))

type panelView struct {
	Title string
	Error string
	Name  string
	Rows  [][2]string
}

func (p *Provider) panel(mux *http.ServeMux) {
	mux.HandleFunc("GET /panel.css", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/css; charset=utf-8")
		fmt.Fprint(w, panelStyle)
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/panel", http.StatusSeeOther) })
	mux.HandleFunc("GET /panel/enter", p.enter)
	mux.HandleFunc("GET /panel", p.showPanel)
	mux.HandleFunc("POST /panel", p.signIn)
	mux.HandleFunc("POST /panel/leave", p.leave)
}

func sendPanel(w http.ResponseWriter, status int, view panelView) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	if err := panelPage.Execute(w, view); err != nil {
		slog.Debug("the sandbox's panel was not sent", "error", err)
	}
}

// enter spends a login link.
func (p *Provider) enter(w http.ResponseWriter, r *http.Request) {
	id, err := spendLink(r.Context(), p.pool, hashToken(r.URL.Query().Get("ticket")))
	if err == nil {
		err = p.open(w, r, id)
	}
	switch {
	case errors.Is(err, app.ErrNotFound):
		sendPanel(w, http.StatusForbidden, panelView{Title: "Sign in", Error: "This login link was used already, or is too old."})
	case err != nil:
		refused(w, err)
	default:
		http.Redirect(w, r, "/panel", http.StatusSeeOther)
	}
}

// open begins a session.
func (p *Provider) open(w http.ResponseWriter, r *http.Request, account string) error {
	session := token()
	if err := insertLogin(r.Context(), p.pool, hashToken(session), account, "session", time.Now().Add(panelLife)); err != nil {
		return err
	}
	http.SetCookie(w, &http.Cookie{Name: panelCookie, Value: session, Path: "/panel", HttpOnly: true, SameSite: http.SameSiteLaxMode, MaxAge: int(panelLife.Seconds())})
	return nil
}

func (p *Provider) showPanel(w http.ResponseWriter, r *http.Request) {
	cookie, err := r.Cookie(panelCookie)
	if err != nil {
		sendPanel(w, http.StatusOK, panelView{Title: "Sign in"})
		return
	}
	a, err := sessionAccount(r.Context(), p.pool, hashToken(cookie.Value))
	switch {
	case errors.Is(err, app.ErrNotFound):
		sendPanel(w, http.StatusOK, panelView{Title: "Sign in"})
		return
	case err != nil:
		refused(w, err)
		return
	}
	view := panelView{Title: a.Ref}
	add := func(label, value string) {
		if value != "" {
			view.Rows = append(view.Rows, [2]string{label, value})
		}
	}
	add("Signed in as", a.Ref)
	add("Domain", a.text("domain")+a.text("domain_name"))
	add("Host name", a.text("hostname"))
	add("IP address", a.text("ip")+a.text("ip_address"))
	add("Package", a.text("package_name")+a.text("package_identifier")+a.text("package_reference")+a.text("plan"))
	if a.Category == "servers" {
		add("State", powerState(a, time.Now()))
	}
	if a.Category == "web-hosting" {
		usage, _ := hostingUsage(&op{p: p, account: a, now: time.Now()})
		disk, _ := usage["usage_data"].(map[string]any)["disk_mb"].(map[string]any)
		add("Disk space", fmt.Sprintf("%v of %v MB", disk["used"], disk["limit"]))
	}
	sendPanel(w, http.StatusOK, view)
}

// signIn takes the password that the account has now.
func (p *Provider) signIn(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
	name, password := r.PostFormValue("username"), r.PostFormValue("password")
	if !p.rate.take("panel "+name, 5, time.Now()) {
		sendPanel(w, http.StatusTooManyRequests, panelView{Title: "Sign in", Error: "Too many tries. Wait a moment.", Name: name})
		return
	}
	found, err := byName(r.Context(), p.pool, name)
	if err != nil {
		refused(w, err)
		return
	}
	for _, a := range found {
		if !a.is("suspended") && passwordFits(a.Password, password) {
			if err := p.open(w, r, a.ID); err != nil {
				refused(w, err)
				return
			}
			http.Redirect(w, r, "/panel", http.StatusSeeOther)
			return
		}
	}
	sendPanel(w, http.StatusUnprocessableEntity, panelView{Title: "Sign in", Error: "The username or the password is wrong.", Name: name})
}

func (p *Provider) leave(w http.ResponseWriter, r *http.Request) {
	if cookie, err := r.Cookie(panelCookie); err == nil {
		if err := endSession(r.Context(), p.pool, hashToken(cookie.Value)); err != nil {
			refused(w, err)
			return
		}
	}
	http.SetCookie(w, &http.Cookie{Name: panelCookie, Path: "/panel", MaxAge: -1})
	http.Redirect(w, r, "/panel", http.StatusSeeOther)
}
