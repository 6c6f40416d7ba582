package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

const (
	abreast          = 3 * time.Second
	wordsOfStrangers = 1 << 10 // bytes of a frame
)

// peer is the agent of another replica, as questions reach it.
type peer struct {
	mux     *mux
	replica int
	address string
	self    bool

	mu     sync.Mutex
	talks  way
	asks   way // for its status alone
	outbox chan []byte
	closed bool
}

// way is a connection to a peer, or a dial that all callers wait for.
type way struct {
	caller *caller
	dial   *dial
}

type dial struct {
	over   chan struct{}
	caller *caller
	err    error
}

func (p *peer) connected() (*caller, error) { return p.reach(forPeer, &p.talks) }

// reach gives a connection. The lock is not held while one is made: a replica that is cut off lets that take long.
func (p *peer) reach(purpose byte, to *way) (*caller, error) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, unavailable("the agent stops")
	}
	if to.caller != nil && to.caller.alive() {
		defer p.mu.Unlock()
		return to.caller, nil
	}
	made := to.dial
	if made != nil {
		p.mu.Unlock()
		<-made.over
		return made.caller, made.err
	}
	made = &dial{over: make(chan struct{})}
	to.dial = made
	p.mu.Unlock()
	conn, err := p.mux.dial(p.address, purpose, p.number(), time.Second)
	p.mu.Lock()
	defer p.mu.Unlock()
	defer close(made.over)
	to.dial = nil
	switch {
	case err != nil:
		made.err = unavailable("the agent at %s: %v", p.address, err)
	case p.closed:
		conn.Close()
		made.err = unavailable("the agent stops")
	default:
		made.caller = newCaller(conn)
		to.caller = made.caller
	}
	return made.caller, made.err
}

// number is what is known of the id of the replica that is to answer.
func (p *peer) number() string { return strconv.Itoa(p.replica) }

// alone calls on a connection of its own: small questions must not wait behind a large one.
func (p *peer) alone(k kind, patience time.Duration, parts ...[]byte) ([]byte, error) {
	conn, err := p.mux.dial(p.address, forPeer, p.number(), time.Second)
	if err != nil {
		return nil, unavailable("the agent at %s: %v", p.address, err)
	}
	c := newCaller(conn)
	defer c.close(net.ErrClosed)
	return c.call(k, patience, parts...)
}

// status asks a replica who it is and how it stands, be it a member or not.
func (p *peer) status(patience time.Duration) (*info, error) {
	c, err := p.reach(forStatus, &p.asks)
	if err != nil {
		return nil, err
	}
	body, err := c.call(kStatus, patience)
	if err != nil {
		return nil, err
	}
	status := &info{}
	return status, json.Unmarshal(body, status)
}

func (p *peer) call(k kind, body []byte, patience time.Duration) ([]byte, error) {
	return p.callParts(k, patience, body)
}

func (p *peer) callParts(k kind, patience time.Duration, parts ...[]byte) ([]byte, error) {
	size := 0
	for _, part := range parts {
		size += len(part)
	}
	if size > large {
		return p.alone(k, 6*patience, parts...)
	}
	c, err := p.connected()
	if err != nil {
		return nil, err
	}
	return c.call(k, patience, parts...)
}

// propose forwards the entries of a proposal.
func (p *peer) propose(entries [][]byte) ([]byte, error) {
	return p.callParts(kPropose, patience, payload(entries)...)
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
	for _, one := range []*caller{p.talks.caller, p.asks.caller} {
		if one != nil {
			one.close(net.ErrClosed)
		}
	}
}

// servePeer answers another agent; on a connection for the status alone, only that is answered.
func (a *agent) servePeer(conn net.Conn, stranger bool) {
	l, limit, over := newLink(conn), frameLimit, make(chan struct{})
	if stranger {
		limit = wordsOfStrangers
	}
	go func() {
		select {
		case <-a.stopping:
		case <-over:
		}
		conn.Close()
	}()
	defer close(over)
	for {
		f, err := readFrame(l.in, limit)
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
		if body, err = a.readIndex(forwarded); err == nil && !forwarded {
			err = a.follows(body)
		}
	case kStatus:
		if forwarded {
			body, err = json.Marshal(a.info())
		} else {
			body, err = json.Marshal(a.figures())
		}
	case kAdmin:
		body, err = a.administer(f.body, forwarded)
	}
	if err == nil && f.kind == kWrite {
		err = a.follows(body)
	}
	if err != nil {
		l.fail(f.id, err)
	} else if f.kind != kWrite {
		l.write(kOK, f.id, body)
	}
}

// follows waits a while for an entry that a majority has: what this replica cannot store it cannot answer.
func (a *agent) follows(body []byte) error {
	index, pause := binary.LittleEndian.Uint64(body), 500*time.Microsecond
	for deadline := time.Now().Add(abreast); max(a.store.last.Load(), a.snapIndex.Load()) < index; {
		if time.Now().After(deadline) || !a.pause(pause) {
			return unavailable("the log of this replica does not follow; is its disk full?")
		}
		pause = min(2*pause, 50*time.Millisecond)
	}
	return nil
}

// --- the worker's side ----------------------------------------------------------------------------------------

func (a *agent) listenWorkers() error {
	os.Remove(a.Socket)
	path, done, err := socketPath(a.Socket)
	if err != nil {
		return err
	}
	defer done()
	old := umask(0o177)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	umask(old)
	if err != nil {
		return err
	}
	l.SetUnlinkOnClose(false) // the path may be one that holds only here; stop removes the socket
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

// longestSocket is how many bytes of a path fit into the address of a socket on every system.
const longestSocket = 100

// socketPath is a name of path, by which a socket can be made or reached there however long path is. It holds until
// done is called.
func socketPath(path string) (name string, done func(), err error) {
	if len(path) <= longestSocket {
		return path, func() {}, nil
	}
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", folder.Fd(), filepath.Base(path)), func() { folder.Close() }, nil
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
			var hello helloFrame
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
// snapshot here covers that: were a snapshot to come later, it would have to restart.
func (a *agent) welcome(w *worker, hello helloFrame) {
	if hello.Applied == 0 && !a.covered(w) {
		return
	}
	if hello.Applied == 0 {
		a.comparer.renew()
	}
	if err := a.applier.attach(w, hello); err != nil {
		a.log.Error("the worker cannot be brought up to date", "error", err)
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
