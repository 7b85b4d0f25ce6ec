package outbound

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
)

// Forms says what a list of allowed inner addresses may hold.
const Forms = "networks, addresses and host names separated by commas, e.g. 10.20.0.0/16, 192.0.2.7, panel.internal"

// Loopback is what the dev run allows by default.
const Loopback = "127.0.0.0/8, ::1/128"

// Policy says which inner addresses drivers may reach. Its zero value allows none: only addresses of the public internet.
type Policy struct {
	prefixes []netip.Prefix
	hosts    []string
	exact    []netip.AddrPort
}

// With is the policy and one inner address beside it, of a server of our own.
func (p Policy) With(address netip.AddrPort) Policy {
	p.exact = append(slices.Clone(p.exact), address)
	return p
}

// ParsePolicy reads a list as Forms describes it; "" and "none" allow nothing.
func ParsePolicy(list string) (Policy, error) {
	var p Policy
	if strings.TrimSpace(list) == "none" {
		return p, nil
	}
	for _, part := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' }) {
		prefix, err := netip.ParsePrefix(part)
		if addr, failed := netip.ParseAddr(part); failed == nil {
			prefix, err = netip.PrefixFrom(addr, addr.BitLen()), nil
		}
		switch {
		case err == nil && prefix.Bits() == 0:
			return p, fmt.Errorf("%s is every address there is", part)
		case err == nil:
			p.prefixes = append(p.prefixes, prefix.Masked())
		case hostName(part):
			p.hosts = append(p.hosts, strings.ToLower(part))
		default:
			return p, fmt.Errorf("%q is neither a network nor an address nor a host name", part)
		}
	}
	return p, nil
}

func hostName(s string) bool {
	if s == "" || len(s) > 253 || strings.Contains(s, "..") || strings.Trim(s, "0123456789.") == "" {
		return false
	}
	for _, r := range s {
		if r != '-' && r != '.' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') {
			return false
		}
	}
	return !strings.HasPrefix(s, ".") && !strings.HasPrefix(s, "-")
}

// Check resolves the host names of the policy and says which can't be.
func (p Policy) Check(ctx context.Context) error {
	var unknown []string
	for _, host := range p.hosts {
		if _, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host); err != nil {
			unknown = append(unknown, host)
		}
	}
	if unknown != nil {
		return fmt.Errorf("no address is known of %s", strings.Join(unknown, ", "))
	}
	return nil
}

// named says whether the host is allowed by its name, whatever it resolves to.
func (p Policy) named(host string) bool { return slices.Contains(p.hosts, strings.ToLower(host)) }

// listed says whether the address is allowed although it may be an inner one.
func (p Policy) listed(addr netip.Addr) bool {
	return slices.ContainsFunc(p.prefixes, func(prefix netip.Prefix) bool { return prefix.Contains(addr) })
}

// inner are the addresses that are no public hosts, beside those that netip knows: IANA's registries of special-purpose
// addresses, networks that tunnel to other addresses, and a cloud's own server at an address that looks public.
var inner = func() (prefixes []netip.Prefix) {
	for _, s := range []string{
		"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24",
		"203.0.113.0/24", "240.0.0.0/4", "168.63.129.16/32",
		"::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16", "fec0::/10",
	} {
		prefixes = append(prefixes, netip.MustParsePrefix(s))
	}
	return prefixes
}()

var translated = netip.MustParsePrefix("64:ff9b::/96") // NAT64, RFC 6052: the last four bytes are an IPv4 address

// public says whether the address is one of the public internet.
func public(addr netip.Addr) bool {
	if addr.Zone() != "" {
		return false
	}
	if translated.Contains(addr) {
		bytes := addr.As16()
		addr = netip.AddrFrom4([4]byte(bytes[12:]))
	}
	if !addr.IsGlobalUnicast() || addr.IsPrivate() {
		return false
	}
	return !slices.ContainsFunc(inner, func(prefix netip.Prefix) bool { return prefix.Contains(addr) })
}

var (
	// ErrInner: the provider's address is an inner one that PORTICO_OUTBOUND_ALLOW does not list.
	ErrInner = errors.New("the provider's address is an inner one, which is not allowed")
	// ErrPlain: http:// to a host that is not listed as an inner one would send credentials across the internet unprotected.
	ErrPlain = errors.New("the provider's address is not https")
)

// control refuses a connection by the address that it is about to be made to, which no answer of a name server can change
// any more.
func (p Policy) control(plain bool) func(network, address string, _ syscall.RawConn) error {
	return func(network, address string, _ syscall.RawConn) error {
		if network != "tcp4" && network != "tcp6" {
			return ErrInner
		}
		resolved, err := netip.ParseAddrPort(address)
		if err != nil {
			return ErrInner
		}
		addr := resolved.Addr().Unmap()
		switch {
		case p.listed(addr), slices.Contains(p.exact, netip.AddrPortFrom(addr, resolved.Port())):
			return nil
		case !public(addr):
			return ErrInner
		case plain:
			return ErrPlain
		}
		return nil
	}
}
