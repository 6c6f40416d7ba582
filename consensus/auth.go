package main

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"
)

// Agents of a group have a key in common, and each side of a connection proves to the other that it has it: by the HMAC
// of all that both have said, of which some is random and never said before. What a side says of itself is in there, and
// which side it is, so that no proof can be sent back, or to another agent.
//
//	caller: purpose (1), mark (16), nonce (32), its id (1 + n)
//	called: nonce (32), its id (1 + n), proof (32)
//	caller: proof (32)
//
// It says who is at the other end when a connection begins. What goes over it can be read and changed by whoever controls
// the network between the two: against that there is TLS.
const (
	withKey   byte = 0x20 // in a purpose: the rest of the helloFrame follows
	nonceSize      = 32
	proofSize      = sha256.Size
	leastKey       = 32 // characters
)

var (
	errNoProof = errors.New("it does not have the key of the group")
	errNoKey   = errors.New("it says nothing of a key, and this group has one")
)

// greeted is what both sides of a connection have sent.
type greeted struct {
	key        []byte
	hello      [hello]byte
	caller     [nonceSize]byte
	called     [nonceSize]byte
	callerName string
	calledName string
}

func (g *greeted) proof(side string) []byte {
	sum := hmac.New(sha256.New, g.key)
	for _, part := range [][]byte{
		[]byte("jina-raft 1 " + side), g.hello[:], g.caller[:], []byte(g.callerName), g.called[:], []byte(g.calledName),
	} {
		sum.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(part))))
		sum.Write(part)
	}
	return sum.Sum(nil)
}

func (g *greeted) proven(side string, shown []byte) bool {
	return subtle.ConstantTimeCompare(g.proof(side), shown) == 1
}

// admit makes the caller, whose hello was read, prove that it has the key.
func (m *mux) admit(conn net.Conn, said [hello]byte) error {
	g := &greeted{key: m.key, hello: said, calledName: m.id}
	if _, err := io.ReadFull(conn, g.caller[:]); err != nil {
		return err
	}
	var err error
	if g.callerName, err = readName(conn); err != nil {
		return err
	}
	rand.Read(g.called[:])
	answer := append(withName(g.called[:], m.id), g.proof("called")...)
	if _, err := conn.Write(answer); err != nil {
		return err
	}
	var shown [proofSize]byte
	if _, err := io.ReadFull(conn, shown[:]); err != nil {
		return err
	}
	if !g.proven("caller", shown[:]) {
		return errNoProof
	}
	return nil
}

// introduce says hello with a proof, to the replica of an id, or of a number, or to any.
func (m *mux) introduce(conn net.Conn, said [hello]byte, to string) error {
	g := &greeted{key: m.key, hello: said, callerName: m.id}
	rand.Read(g.caller[:])
	if _, err := conn.Write(append(said[:], withName(g.caller[:], m.id)...)); err != nil {
		return err
	}
	if _, err := io.ReadFull(conn, g.called[:]); err != nil {
		return err
	}
	var err error
	if g.calledName, err = readName(conn); err != nil {
		return err
	}
	var shown [proofSize]byte
	if _, err := io.ReadFull(conn, shown[:]); err != nil {
		return err
	}
	switch {
	case !g.proven("called", shown[:]):
		return errNoProof
	case to != "" && to != g.calledName && !strings.HasPrefix(g.calledName, to+"-"):
		return fmt.Errorf("it is %s, not %s", g.calledName, to)
	}
	_, err = conn.Write(g.proof("caller"))
	return err
}

func withName(said []byte, name string) []byte {
	return append(append(append([]byte(nil), said...), byte(len(name))), name...)
}

func readName(in io.Reader) (string, error) {
	var size [1]byte
	if _, err := io.ReadFull(in, size[:]); err != nil {
		return "", err
	}
	name := make([]byte, size[0])
	_, err := io.ReadFull(in, name)
	return string(name), err
}

// grumble logs what happens again and again, at intervals.
type grumble struct {
	mu   sync.Mutex
	told time.Time
	say  func(text string, args ...any)
}

func (g *grumble) tell(text string, args ...any) {
	g.mu.Lock()
	due := g.say != nil && time.Since(g.told) > seldom
	if due {
		g.told = time.Now()
	}
	g.mu.Unlock()
	if due {
		g.say(text, args...)
	}
}
