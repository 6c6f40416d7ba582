package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// authority signs certificates.
type authority struct {
	t    testing.TB
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
	made int
}

func newAuthority(t testing.TB) *authority {
	a := &authority{t: t, dir: t.TempDir()}
	a.cert, a.key, a.file, _ = a.make("ca", nil)
	return a
}

// make writes a certificate for hosts, and its key.
func (a *authority) make(name string, hosts []string) (*x509.Certificate, *ecdsa.PrivateKey, string, string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	a.made++
	form := &x509.Certificate{
		SerialNumber: big.NewInt(int64(a.made)), Subject: pkix.Name{CommonName: fmt.Sprintf("%s %d", name, a.made)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: a.cert == nil, BasicConstraintsValid: true,
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			form.IPAddresses = append(form.IPAddresses, ip)
		} else {
			form.DNSNames = append(form.DNSNames, host)
		}
	}
	signer, signing := form, key
	if a.cert != nil {
		signer, signing = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, form, signer, &key.PublicKey, signing)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, _ := x509.ParseCertificate(der)
	secret, _ := x509.MarshalPKCS8PrivateKey(key)
	file := filepath.Join(a.dir, name+".pem")
	a.write(file, "CERTIFICATE", der)
	a.write(file+".key", "PRIVATE KEY", secret)
	return cert, key, file, file + ".key"
}

func (a *authority) write(path, kind string, data []byte) {
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data}), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

// guardWith is that of an agent that has a certificate for hosts.
func (a *authority) guardWith(name string, hosts ...string) *guard {
	_, _, cert, key := a.make(name, hosts)
	return a.guardOf(cert, key, a.file)
}

func (a *authority) guardOf(cert, key, ca string) *guard {
	peers := func() []string { return []string{"127.0.0.1", "replica"} }
	g, err := newGuard(config{TLSCert: cert, TLSKey: key, TLSCA: ca}, peers, func(string, ...any) {})
	if err != nil {
		a.t.Fatal(err)
	}
	return g
}

// meet lets one agent call another; gives what either of them found wrong.
func meet(t testing.TB, caller, called *guard) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	found := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			found <- err
			return
		}
		defer conn.Close()
		safe, err := called.admit(conn, 5*time.Second)
		if err == nil {
			_, err = safe.Write([]byte("x"))
		}
		found <- err
	}()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	safe, err := caller.call(conn, l.Addr().String(), 5*time.Second)
	if err == nil {
		_, err = safe.Read(make([]byte, 1))
	}
	if other := <-found; other != nil {
		return other
	}
	return err
}

func TestOnlyReplicasOfTheAuthoritiesAreTrusted(t *testing.T) {
	ours, others := newAuthority(t), newAuthority(t)
	good := ours.guardWith("good", "127.0.0.1")
	cases := []struct {
		name   string
		caller *guard
		called *guard
		fine   bool
	}{
		{"another replica", ours.guardWith("second", "127.0.0.1"), good, true},
		{"the name of another replica", ours.guardWith("named", "replica"), good, true},
		{"a client of the same authorities", ours.guardWith("client", "alice"), good, false},
		{"other authorities", others.guardWith("stranger", "127.0.0.1"), good, false},
		{"a called one with another name", good, ours.guardWith("elsewhere", "replica"), false},
		{"a called one of other authorities", good, others.guardWith("fake", "127.0.0.1"), false},
	}
	for _, one := range cases {
		if err := meet(t, one.caller, one.called); (err == nil) != one.fine {
			t.Errorf("%s: %v", one.name, err)
		}
	}
}

func TestTheSameCertificateNeedsNoAuthorities(t *testing.T) {
	maker := newAuthority(t)
	_, _, cert, key := maker.make("own", nil)
	if err := meet(t, maker.guardOf(cert, key, ""), maker.guardOf(cert, key, "")); err != nil {
		t.Fatal(err)
	}
	_, _, other, otherKey := maker.make("other", []string{"127.0.0.1"})
	if err := meet(t, maker.guardOf(other, otherKey, ""), maker.guardOf(cert, key, "")); err == nil {
		t.Fatal("no known authority signed it")
	}
}

func TestACertificateIsWanted(t *testing.T) {
	good := newAuthority(t).guardWith("good", "127.0.0.1")
	for name, version := range map[string]uint16{"none": tls.VersionTLS13, "old": tls.VersionTLS12} {
		here, there := net.Pipe()
		go tls.Client(there, &tls.Config{InsecureSkipVerify: true, MaxVersion: version}).Handshake()
		if _, err := good.admit(here, 5*time.Second); err == nil {
			t.Error(name)
		}
		here.Close()
		there.Close()
	}
}

func TestCertificatesAreReadAgain(t *testing.T) {
	before, after := newAuthority(t), newAuthority(t)
	_, _, cert, key := before.make("mine", []string{"127.0.0.1"})
	called := before.guardOf(cert, key, before.file)
	caller := after.guardWith("new", "127.0.0.1")
	if meet(t, caller, called) == nil {
		t.Fatal("it is not trusted yet")
	}
	_, _, freshCert, freshKey := after.make("mine", []string{"127.0.0.1"})
	for _, pair := range [][2]string{{freshCert, cert}, {freshKey, key}, {after.file, before.file}} {
		data, err := os.ReadFile(pair[0])
		if err == nil {
			err = os.WriteFile(pair[1], append([]byte("new\n"), data...), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		if pair[1] == cert { // it does not fit its key: the former ones count
			if err := meet(t, before.guardWith("second", "127.0.0.1"), called); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := meet(t, caller, called); err != nil {
		t.Fatal(err)
	}
}

func TestAgentsTalkByTLS(t *testing.T) {
	maker := newAuthority(t)
	g := newGroup(t, 3, func(c *config) {
		_, _, c.TLSCert, c.TLSKey = maker.make(fmt.Sprint("replica", c.Replica), []string{"127.0.0.1"})
		c.TLSCA, c.Key = maker.file, ""
	})
	g.startAll()
	g.lists[g.follower()].write("x")
	same(t, g, 1)
	friend := &peer{mux: &mux{group: "g", guard: maker.guardWith("friend", "127.0.0.1")}, address: g.peers[0]}
	if _, err := friend.call(kStatus, nil, time.Second); err != nil {
		t.Fatal(err)
	}
	friend.close()
	plain := &peer{mux: &mux{group: "g"}, address: g.peers[0]}
	if _, err := plain.call(kStatus, nil, time.Second); err == nil {
		t.Fatal("it answered unencrypted")
	}
	stranger := &peer{mux: &mux{group: "g", guard: newAuthority(t).guardWith("x", "127.0.0.1")}, address: g.peers[0]}
	if _, err := stranger.call(kStatus, nil, time.Second); err == nil {
		t.Fatal("it answered a client without a certificate")
	}
}
