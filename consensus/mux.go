package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// One listener for each replica. A connection begins with what it is for and the group it belongs to.
const (
	forRaft byte = 'R'
	forPeer byte = 'P'
	hello        = 1 + 16
)

type mux struct {
	net.Listener
	group   [16]byte
	raft    chan net.Conn
	peer    func(net.Conn)
	resolve func(raft.ServerAddress) (string, error)
	closed  chan struct{}
	once    sync.Once
}

func groupOf(name string) (group [16]byte) {
	sum := sha256.Sum256([]byte(name))
	copy(group[:], sum[:])
	return group
}

func listen(address, group string, share bool) (*mux, error) {
	config := sharing(share)
	l, err := config.Listen(context.Background(), "tcp", address)
	if err != nil {
		return nil, err
	}
	return &mux{Listener: l, group: groupOf(group), raft: make(chan net.Conn), closed: make(chan struct{})}, nil
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
	var head [hello]byte
	conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.ReadFull(conn, head[:]); err != nil || [16]byte(head[1:]) != m.group {
		conn.Close() // of another group, or nobody of ours
		return
	}
	conn.SetReadDeadline(time.Time{})
	switch head[0] {
	case forRaft:
		select {
		case m.raft <- conn:
		case <-m.closed:
			conn.Close()
		}
	case forPeer:
		m.peer(conn)
	default:
		conn.Close()
	}
}

func (m *mux) dial(address string, purpose byte, timeout time.Duration) (net.Conn, error) {
	conn, err := net.DialTimeout("tcp", address, timeout)
	if err != nil {
		return nil, err
	}
	if _, err := conn.Write(append([]byte{purpose}, m.group[:]...)); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
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
	return s.dial(found, forRaft, timeout)
}

func (s *stream) Close() error {
	s.once.Do(func() { close(s.closed) })
	return s.Listener.Close()
}
