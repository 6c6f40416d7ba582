package main

import (
	"encoding/binary"
	"encoding/json"
	"net"
	"os"
	"sync"
	"time"
)

const abreast = 3 * time.Second

// peer is the agent of another replica, as questions reach it.
type peer struct {
	mux     *mux
	replica int
	address string
	self    bool

	mu     sync.Mutex
	caller *caller
	asker  *caller // for its status, which it tells strangers too
	outbox chan []byte
	closed bool
}

func (p *peer) connected() (*caller, error) { return p.reach(forPeer, &p.caller) }

func (p *peer) reach(purpose byte, place **caller) (*caller, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, unavailable("the agent stops")
	}
	if *place != nil && (*place).alive() {
		return *place, nil
	}
	conn, err := p.mux.dial(p.address, purpose, "", time.Second)
	if err != nil {
		return nil, unavailable("the agent at %s: %v", p.address, err)
	}
	*place = newCaller(conn)
	return *place, nil
}

// status asks a replica who it is and how it stands, be it a member or not.
func (p *peer) status(patience time.Duration) (*info, error) {
	c, err := p.reach(forStatus, &p.asker)
	if err != nil {
		return nil, err
	}
	body, err := c.call(kStatus, nil, patience)
	if err != nil {
		return nil, err
	}
	told := &info{}
	return told, json.Unmarshal(body, told)
}

func (p *peer) call(k kind, body []byte, patience time.Duration) ([]byte, error) {
	if len(body) > large {
		// On a connection of its own: small questions must not wait behind it.
		conn, err := p.mux.dial(p.address, forPeer, "", time.Second)
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

// propose forwards the entries of a proposal.
func (p *peer) propose(entries [][]byte) ([]byte, error) {
	parts, size := make([][]byte, len(entries)), 0
	for i, entry := range entries {
		parts[i] = entry[chunkHead:]
		size += len(parts[i])
	}
	if size <= large {
		c, err := p.connected()
		if err != nil {
			return nil, err
		}
		return c.callParts(kPropose, patience, parts...)
	}
	// On a connection of its own: small questions must not wait behind it.
	conn, err := p.mux.dial(p.address, forPeer, "", time.Second)
	if err != nil {
		return nil, unavailable("the agent at %s: %v", p.address, err)
	}
	c := newCaller(conn)
	defer c.close(net.ErrClosed)
	return c.callParts(kPropose, 6*patience, parts...)
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
	for _, one := range []*caller{p.caller, p.asker} {
		if one != nil {
			one.close(net.ErrClosed)
		}
	}
}

// servePeer answers another agent; one that may be a stranger hears only how this one stands.
func (a *agent) servePeer(conn net.Conn, stranger bool) {
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
		if stranger && f.kind != kStatus {
			return
		}
		switch f.kind {
		case kCommit:
			if len(f.body) == 16 {
				a.applier.notice(binary.LittleEndian.Uint64(f.body), binary.LittleEndian.Uint64(f.body[8:]))
			}
		case kHashes:
			a.compare(f.body)
		case kTerm:
			l.write(kOK, f.id, binary.LittleEndian.AppendUint64(nil, a.raft.CurrentTerm()), []byte(a.id))
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
		body, err = a.propose(f.entries, forwarded)
	case kRead:
		body, err = a.readIndex(forwarded)
	case kStatus:
		if forwarded {
			body, err = json.Marshal(a.info())
		} else {
			body, err = json.Marshal(a.figures())
		}
	case kAdmin:
		body, err = a.administer(f.body, forwarded)
	}
	if err != nil {
		l.fail(f.id, err)
		return
	}
	if f.kind != kWrite {
		l.write(kOK, f.id, body)
	} else if !a.follows(binary.LittleEndian.Uint64(body)) {
		l.fail(f.id, unavailable("the log of this replica does not follow; is its disk full?"))
	}
}

// follows waits a while for an entry that a majority has: what this replica cannot store it cannot answer.
func (a *agent) follows(index uint64) bool {
	for deadline := time.Now().Add(abreast); max(a.store.last.Load(), a.snapIndex.Load()) < index; {
		if time.Now().After(deadline) || !a.pause(50*time.Millisecond) {
			return false
		}
	}
	return true
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

// welcome brings a worker to where the group was when it came, and tells it then. A fresh one waits until the log or a
// snapshot here covers that: were a snapshot to come later, it would have to begin anew.
func (a *agent) welcome(w *worker, hello greeting) {
	if hello.Applied == 0 && !a.covered(w) {
		return
	}
	if hello.Applied == 0 {
		a.comparer.renew()
	}
	if err := a.applier.attach(w, hello); err != nil {
		a.log.Error("the worker cannot be brought up", "error", err)
		w.writeJSON(kReset, 0, map[string]string{"reason": err.Error()})
		a.applier.detach(w)
		return
	}
	if index, there := a.standing(w); there && a.applier.await(w, index) {
		a.comparer.forgive()
		w.write(kReady, 0, binary.LittleEndian.AppendUint64(nil, index))
	}
}

func (a *agent) covered(w *worker) bool {
	a.awaited.Add(1)
	defer a.awaited.Add(-1)
	index, there := a.standing(w)
	for there && a.raft.LastIndex() < index {
		there = a.patientWith(w, 5*time.Millisecond)
	}
	return there
}

// standing is an index that covers all that was acknowledged before; asked for until the group can tell.
func (a *agent) standing(w *worker) (uint64, bool) {
	for {
		if body, err := a.readIndex(false); err == nil {
			return binary.LittleEndian.Uint64(body), true
		}
		if !a.patientWith(w, 50*time.Millisecond) {
			return 0, false
		}
	}
}

func (a *agent) patientWith(w *worker, pause time.Duration) bool {
	a.applier.mu.Lock()
	gone := w.gone
	a.applier.mu.Unlock()
	return !gone && a.pause(pause)
}
