package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// One listener for each replica. A connection begins with what it is for and the group it belongs to, and
// with a proof that both sides have the group's key, see auth.go.
const (
	forRaft byte = 'R'
	forPeer byte = 'P'
	// forStatus needs no generation: replicas of all of them, and blank ones, may ask.
	forStatus byte = 'S'
	hello          = 1 + 16
)

type mux struct {
	net.Listener
	group   string
	id      string
	born    atomic.Pointer[string] // the generation
	raft    chan net.Conn
	peer    func(conn net.Conn, stranger bool)
	resolve func(raft.ServerAddress) (string, error)
	guard   *guard // of connections between agents; nil where they are not encrypted
	key     []byte // of the group; empty where certificates are all that is asked for
	doubts  grumble
	closed  chan struct{}
	once    sync.Once
}

func (m *mux) generation() string {
	if born := m.born.Load(); born != nil {
		return *born
	}
	return ""
}

func (m *mux) adopt(generation string) { m.born.Store(&generation) }

// mark is what a connection for a purpose begins with. Raft's names the replica that is meant by its id: a blank disk
// must not answer in the name of the one that was there before, whose promises it does not know.
func (m *mux) mark(purpose byte, id string) (mark [16]byte) {
	text := m.group
	switch generation := m.generation(); {
	case purpose == forRaft:
		text += "\x00" + generation + "\x00" + id
	case purpose == forPeer && generation != "":
		text += "\x00" + generation
	}
	sum := sha256.Sum256([]byte(text))
	copy(mark[:], sum[:])
	return mark
}

func listen(address, group string, share bool) (*mux, error) {
	config := sharing(share)
	l, err := config.Listen(context.Background(), "tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s is taken: another process listens there, or has a connection from there; agents need ports "+
			"of their own (peer_ports, raft_peers), below those that the system gives connections: %w", address, err)
	}
	if err != nil {
		return nil, err
	}
	return &mux{Listener: l, group: group, raft: make(chan net.Conn), closed: make(chan struct{})}, nil
}

func (m *mux) serve() {
	for {
		conn, err := m.Listener.Accept()
		if err != nil {
			select {
			case <-m.closed:
				return
			case <-time.After(50 * time.Millisecond):
				continue
			}
		}
		go m.sort(conn)
	}
}

func (m *mux) sort(conn net.Conn) {
	if m.guard != nil {
		safe, err := m.guard.admit(conn, 5*time.Second)
		if err != nil {
			conn.Close()
			return
		}
		conn = safe
	}
	purpose, err := m.hear(conn)
	if err != nil {
		conn.Close()
		return
	}
	switch purpose {
	case forRaft:
		select {
		case m.raft <- conn:
		case <-m.closed:
			conn.Close()
		}
	case forPeer:
		m.peer(conn, false)
	case forStatus:
		m.peer(conn, true)
	default:
		conn.Close()
	}
}

// hear finds out what a connection is for, and whether the other side may ask for that.
func (m *mux) hear(conn net.Conn) (byte, error) {
	var head [hello]byte
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return 0, err
	}
	purpose, keyed := head[0]&^withKey, head[0]&withKey != 0
	if [16]byte(head[1:]) != m.mark(purpose, m.id) {
		return 0, errors.New("it is of another group, for another replica, or not from an agent")
	}
	var err error
	switch {
	case keyed && len(m.key) > 0:
		err = m.admit(conn, head)
	case keyed:
		err = errors.New("it has a key, and this replica was started without one")
	case len(m.key) > 0:
		err = errNoKey
	}
	if err != nil {
		m.doubts.tell("%v is refused: %v", conn.RemoteAddr(), err)
		return 0, err
	}
	return purpose, conn.SetDeadline(time.Time{})
}

// dial connects to a replica: that of an id, or of a number, or any.
func (m *mux) dial(address string, purpose byte, id string, timeout time.Duration) (net.Conn, error) {
	conn, err := net.DialTimeout("tcp", address, timeout)
	if err != nil {
		return nil, err
	}
	if m.guard != nil {
		safe, err := m.guard.call(conn, address, timeout)
		if err != nil {
			conn.Close()
			return nil, err
		}
		conn = safe
	}
	if err := m.greet(conn, purpose, id, timeout); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

func (m *mux) greet(conn net.Conn, purpose byte, id string, timeout time.Duration) error {
	mark := m.mark(purpose, id)
	said := [hello]byte(append([]byte{purpose}, mark[:]...))
	if len(m.key) == 0 {
		_, err := conn.Write(said[:])
		return err
	}
	said[0] |= withKey
	conn.SetDeadline(time.Now().Add(timeout))
	err := m.introduce(conn, said, id)
	if errors.Is(err, errNoProof) {
		m.doubts.tell("%v: %v", conn.RemoteAddr(), err)
	}
	if err != nil {
		return err
	}
	return conn.SetDeadline(time.Time{})
}

// stream is the mux as raft sees it.
type stream struct {
	*mux
	name string
}

// name is what raft takes for an address: the id of a server. Addresses come from the plan.
type name string

func (n name) Network() string { return "jina" }
func (n name) String() string  { return string(n) }

func (s *stream) Addr() net.Addr { return name(s.name) }

func (s *stream) Accept() (net.Conn, error) {
	select {
	case conn := <-s.raft:
		return conn, nil
	case <-s.closed:
		return nil, errors.New("closed")
	}
}

func (s *stream) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	found, err := s.resolve(address)
	if err != nil {
		return nil, err
	}
	return s.dial(found, forRaft, string(address), timeout)
}

func (s *stream) Close() error {
	s.once.Do(func() { close(s.closed) })
	return s.Listener.Close()
}

// transportOver sends one request at a time to each follower. In a pipeline of several, raft waits for ever where a
// follower refuses one of them, as one with a full disk does: the sender for the reader of answers, which has ended. It is
// no faster either.
func transportOver(s raft.StreamLayer, log hclog.Logger) *raft.NetworkTransport {
	return raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: s, MaxPool: 3, Timeout: patience, Logger: log, MaxRPCsInFlight: 1,
	})
}
