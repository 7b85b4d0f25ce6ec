package main

import (
	"fmt"
	"net"
	"net/netip"

	"portico/app/provisioning"
	"portico/app/provisioning/drivers/generic"
	driver "portico/app/provisioning/drivers/sandbox"
	"portico/app/provisioning/drivers/whm"
	"portico/app/sandbox"
)

// anyLoopback is where the Sandbox listens when nothing else is said: at a port that is free.
const anyLoopback = "127.0.0.1:0"

// sandboxAddr reads PORTICO_SANDBOX: "" is off.
func sandboxAddr(value string, devRun bool) (string, error) {
	switch {
	case value == "on" || value == "" && devRun:
		return anyLoopback, nil
	case value == "off" || value == "":
		return "", nil
	}
	addr, err := netip.ParseAddrPort(value)
	if err != nil || !addr.Addr().IsLoopback() {
		return "", &badVariable{"PORTICO_SANDBOX", value, "on, off, or the address of loopback to listen on, e.g. 127.0.0.1:8079"}
	}
	return value, nil
}

// openSandbox makes the Sandbox provider, where it is on, at an address that drivers may then reach.
func (p *portal) openSandbox(s *settings) error {
	if s.config.sandbox == "" {
		return nil
	}
	listener, err := net.Listen("tcp", s.config.sandbox)
	if err != nil {
		return fmt.Errorf("PORTICO_SANDBOX holds %q, which can't be listened on: %w", s.config.sandbox, err)
	}
	addr, err := netip.ParseAddrPort(listener.Addr().String())
	if err != nil {
		listener.Close()
		return fmt.Errorf("read the sandbox's address: %w", err)
	}
	s.config.outbound = s.config.outbound.With(addr)
	p.sandboxListener, p.sandboxURL = listener, "http://"+addr.String()
	p.sandbox = sandbox.New(p.pool, s.keys, p.sandboxURL)
	return nil
}

// drivers are those that people choose among, for a portal at url; the Sandbox's is one of them only where it is on.
func (p *portal) drivers(url string) []provisioning.Driver {
	all := []provisioning.Driver{whm.Driver{}, generic.Driver{URL: url}}
	if p.sandbox != nil {
		all = append(all, driver.Driver{URL: p.sandboxURL})
	}
	return all
}
