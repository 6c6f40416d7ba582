package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// Between agents both sides show a certificate. It is trusted when it is the very one that this agent has, whose key the
// other side then has too, or when it is of the authorities and for the host of a replica: the authorities may have signed
// certificates of clients as well, and a client is no replica.
type guard struct {
	cert, key, ca string
	hosts         func() []string // those of the replicas
	doubts        grumble

	mu     sync.Mutex
	stamps [3]stamp
	loaded *papers
}

type papers struct {
	own   tls.Certificate
	leaf  *x509.Certificate
	roots *x509.CertPool // nil: those of the system
}

type stamp struct {
	time time.Time
	size int64
}

const seldom = 10 * time.Second

// newGuard is nil where no certificate is given.
func newGuard(c config, hosts func() []string, complain func(string, ...any)) (*guard, error) {
	if c.TLSCert == "" {
		return nil, nil
	}
	g := &guard{cert: c.TLSCert, key: c.TLSKey, ca: c.TLSCA, hosts: hosts, doubts: grumble{say: complain}}
	_, err := g.papers()
	return g, err
}

// papers are read again when a file has changed; while the new ones do not fit together yet, the former ones count.
func (g *guard) papers() (*papers, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	stamps := [3]stamp{stampOf(g.cert), stampOf(g.key), stampOf(g.ca)}
	if g.loaded != nil && stamps == g.stamps {
		return g.loaded, nil
	}
	fresh, err := g.read()
	switch {
	case err == nil:
		g.loaded, g.stamps = fresh, stamps
	case g.loaded == nil:
		return nil, err
	}
	return g.loaded, nil
}

func stampOf(path string) stamp {
	if info, err := os.Stat(path); err == nil {
		return stamp{info.ModTime(), info.Size()}
	}
	return stamp{}
}

func (g *guard) read() (*papers, error) {
	own, err := tls.LoadX509KeyPair(g.cert, g.key)
	if err != nil {
		return nil, fmt.Errorf("the certificate %s: %w", g.cert, err)
	}
	leaf, err := x509.ParseCertificate(own.Certificate[0])
	if err != nil {
		return nil, fmt.Errorf("the certificate %s: %w", g.cert, err)
	}
	found := &papers{own: own, leaf: leaf}
	if g.ca != "" {
		data, err := os.ReadFile(g.ca)
		if err != nil {
			return nil, err
		}
		found.roots = x509.NewCertPool()
		if !found.roots.AppendCertsFromPEM(data) {
			return nil, fmt.Errorf("%s holds no certificate", g.ca)
		}
	}
	return found, nil
}

func (p *papers) judge(shown []*x509.Certificate, hosts []string) error {
	if len(shown) == 0 {
		return errors.New("it shows no certificate")
	}
	leaf := shown[0]
	if leaf.Equal(p.leaf) {
		if now := time.Now(); now.Before(leaf.NotBefore) || now.After(leaf.NotAfter) {
			return errors.New("the certificate is not valid at this time")
		}
		return nil
	}
	between := x509.NewCertPool()
	for _, one := range shown[1:] {
		between.AddCert(one)
	}
	options := x509.VerifyOptions{
		Roots: p.roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	}
	if _, err := leaf.Verify(options); err != nil {
		return err
	}
	for _, host := range hosts {
		if leaf.VerifyHostname(host) == nil {
			return nil
		}
	}
	return fmt.Errorf("the certificate is for none of %q", hosts)
}

func (g *guard) config(p *papers, hosts []string) *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		Certificates:           []tls.Certificate{p.own},
		ClientAuth:             tls.RequireAnyClientCert,
		InsecureSkipVerify:     true, // judge does it
		SessionTicketsDisabled: true,
		VerifyConnection:       func(state tls.ConnectionState) error { return p.judge(state.PeerCertificates, hosts) },
		GetClientCertificate:   func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &p.own, nil },
	}
}

// admit makes the connection of another agent safe.
func (g *guard) admit(conn net.Conn, patience time.Duration) (net.Conn, error) {
	return g.shake(conn, g.hosts(), patience, tls.Server)
}

// call makes a connection to the agent at an address safe.
func (g *guard) call(conn net.Conn, address string, patience time.Duration) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	return g.shake(conn, []string{host}, patience, tls.Client)
}

func (g *guard) shake(
	conn net.Conn, hosts []string, patience time.Duration, side func(net.Conn, *tls.Config) *tls.Conn,
) (net.Conn, error) {
	p, err := g.papers()
	if err != nil {
		return nil, err
	}
	safe := side(conn, g.config(p, hosts))
	limit, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := safe.HandshakeContext(limit); err != nil {
		if !errors.Is(err, io.EOF) { // who goes away at once only looked whether anybody is here
			g.doubts.tell("TLS with %s: %v", conn.RemoteAddr(), err)
		}
		return nil, err
	}
	return safe, nil
}

// hosts are those of all replicas.
func (a *agent) hosts() (found []string) {
	for _, p := range a.registry.all() {
		if host, _, err := net.SplitHostPort(p.address); err == nil {
			found = append(found, host)
		}
	}
	return found
}
