package main

import (
	"encoding/binary"
	"encoding/json"
	"net"
	"os"
	"sync"
	"time"
)

// peer is the agent of another replica, as questions reach it.
type peer struct {
	mux     *mux
	address string
	self    bool

	mu     sync.Mutex
	caller *caller
	outbox chan []byte
	closed bool
}

func (p *peer) connected() (*caller, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, unavailable("the agent stops")
	}
	if p.caller != nil && p.caller.alive() {
		return p.caller, nil
	}
	conn, err := p.mux.dial(p.address, forPeer, time.Second)
	if err != nil {
		return nil, unavailable("the agent at %s: %v", p.address, err)
	}
	p.caller = newCaller(conn)
	return p.caller, nil
}

func (p *peer) call(k kind, body []byte, patience time.Duration) ([]byte, error) {
	if len(body) > large {
		// On a connection of its own: small questions must not wait behind it.
		conn, err := p.mux.dial(p.address, forPeer, time.Second)
		if err != nil {
			return nil, unavailable("the agent at %s: %v", p.address, err)
		}
		c := newCaller(conn)
		defer c.close(net.ErrClosed)
		return c.call(k, body, 6*patience)
	}
	c, err := p.connected()
	if err != nil {
		return nil, err
	}
	return c.call(k, body, patience)
}

// tell sends what needs no answer; only the newest counts, and nothing waits for it.
func (p *peer) tell(k kind, body []byte) {
	p.mu.Lock()
	if p.outbox == nil && !p.closed {
		p.outbox = make(chan []byte, 1)
		go p.send(k, p.outbox)
	}
	outbox := p.outbox
	if outbox != nil && !p.closed {
		select {
		case <-outbox:
		default:
		}
		outbox <- append([]byte(nil), body...)
	}
	p.mu.Unlock()
}

func (p *peer) send(k kind, outbox chan []byte) {
	for body := range outbox {
		if c, err := p.connected(); err == nil {
			c.conn.SetWriteDeadline(time.Now().Add(time.Second))
			if err := c.write(k, 0, body); err != nil {
				c.close(err)
			}
		}
	}
}

func (p *peer) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	if p.outbox != nil {
		close(p.outbox)
	}
	if p.caller != nil {
		p.caller.close(net.ErrClosed)
	}
}

// servePeer answers another agent.
func (a *agent) servePeer(conn net.Conn) {
	l := newLink(conn)
	go func() {
		<-a.stopping
		conn.Close()
	}()
	defer conn.Close()
	for {
		f, err := l.read()
		if err != nil {
			return
		}
		switch f.kind {
		case kCommit:
			if len(f.body) == 16 {
				a.applier.notice(binary.LittleEndian.Uint64(f.body), binary.LittleEndian.Uint64(f.body[8:]))
			}
		case kHashes:
			a.compare(f.body)
		case kPropose, kRead, kStatus, kAdmin:
			go a.answer(l, f, true)
		default:
			return
		}
	}
}

func (a *agent) answer(l *link, f frame, forwarded bool) {
	var body []byte
	var err error
	switch f.kind {
	case kPropose, kWrite:
		body, err = a.propose(f.body, forwarded)
	case kRead:
		body, err = a.readIndex(forwarded)
	case kStatus:
		body, err = json.Marshal(a.info())
	case kAdmin:
		body, err = a.administer(f.body, forwarded)
	}
	if err != nil {
		l.fail(f.id, err)
		return
	}
	if f.kind != kWrite {
		l.write(kOK, f.id, body)
	}
}

// --- the worker's side ----------------------------------------------------------------------------------------

func (a *agent) listenWorkers() error {
	os.Remove(a.Socket)
	old := umask(0o177)
	l, err := net.Listen("unix", a.Socket)
	umask(old)
	if err != nil {
		return err
	}
	a.workers = l
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go a.serveWorker(conn)
		}
	}()
	return nil
}

func (a *agent) serveWorker(conn net.Conn) {
	w := &worker{link: newLink(conn), number: a.applier.workers.Add(1)}
	defer a.applier.detach(w)
	for {
		f, err := w.read()
		if err != nil {
			return
		}
		switch f.kind {
		case kHello:
			var hello greeting
			if json.Unmarshal(f.body, &hello) != nil {
				return
			}
			go a.welcome(w, hello)
		case kApplied:
			if len(f.body) < 8 || len(f.body)%16 != 8 {
				return
			}
			a.comparer.own(f.body[8:])
			a.applier.acknowledged(w, binary.LittleEndian.Uint64(f.body))
		case kPing:
			w.write(kOK, f.id)
		case kDone:
			a.applier.done(w, f.id, f.body)
		case kPropose, kWrite, kRead, kStatus, kAdmin:
			go a.answer(w.link, f, false)
		default:
			return
		}
	}
}

// welcome brings a worker to where the group was when it came, and tells it then.
func (a *agent) welcome(w *worker, hello greeting) {
	if err := a.applier.attach(w, hello); err != nil {
		a.log.Error("the worker cannot be brought up", "error", err)
		w.writeJSON(kReset, 0, map[string]string{"reason": err.Error()})
		a.applier.detach(w)
		return
	}
	for {
		body, err := a.readIndex(false)
		if err == nil {
			if a.applier.await(w, binary.LittleEndian.Uint64(body)) {
				w.write(kReady, 0, body)
				a.comparer.forgive()
			}
			return
		}
		a.applier.mu.Lock()
		gone := w.gone
		a.applier.mu.Unlock()
		if gone || !a.pause(50*time.Millisecond) {
			return
		}
	}
}
