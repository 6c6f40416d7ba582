package main

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// group is a group of agents in this process, each with a worker that keeps a list.
type group struct {
	t      testing.TB
	peers  []string
	dirs   []string
	socks  string
	tweak  func(*config)
	agents []*agent
	lists  []*lister
	mute   bool // start agents without workers
}

// groupKey is the one that agents of tests have in common.
const groupKey = "0123456789abcdef0123456789abcdef"

// knows is a client that has the key.
func knows(group string) *mux { return &mux{group: group, key: []byte(groupKey)} }

// freePort gives an address below the ports that the system gives to connections and to listeners on any port: one of
// those may be taken again before it is listened to.
func freePort(t testing.TB) string {
	for range 100 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 15000+rand.IntN(15000)))
		if err == nil {
			defer l.Close()
			return l.Addr().String()
		}
	}
	t.Fatal("there is no free port")
	return ""
}

func newGroup(t testing.TB, n int, tweak func(*config)) *group {
	socks, err := os.MkdirTemp("", "raft")
	if err != nil {
		t.Fatal(err)
	}
	g := &group{t: t, tweak: tweak, socks: socks, agents: make([]*agent, n), lists: make([]*lister, n)}
	for range n {
		g.peers = append(g.peers, freePort(t))
		g.dirs = append(g.dirs, t.TempDir())
	}
	t.Cleanup(func() {
		for i := range g.agents {
			g.stop(i)
		}
		os.RemoveAll(socks)
	})
	return g
}

func (g *group) start(i int, again bool) {
	c := g.config(i)
	c.Again = again
	a, err := start(c)
	if err != nil {
		g.t.Fatal(err)
	}
	g.agents[i] = a
	if g.mute {
		return
	}
	g.lists[i] = newLister(g.t, c.Socket)
}

func (g *group) config(i int) config {
	c, err := readConfig([]byte(`{"group": "g", "dir": "x", "socket": "x", "peers": ["x"], "log_level": "ERROR", "key": "` + groupKey + `"}`))
	if err != nil {
		g.t.Fatal(err)
	}
	c.Replica, c.Peers, c.Dir, c.Nonce = i, g.peers, g.dirs[i], "n"
	c.Listen = g.peers[i]
	c.Socket = filepath.Join(g.socks, fmt.Sprint(i))
	c.HeartbeatMs, c.ElectionMs, c.LeaseMs = 200, 200, 100
	if g.tweak != nil {
		g.tweak(&c)
	}
	return c
}

func (g *group) startAll() {
	for i := range g.agents {
		g.start(i, false)
	}
	for _, l := range g.lists {
		l.awaitReady()
	}
}

func (g *group) stop(i int) {
	if l := g.lists[i]; l != nil {
		l.close()
		g.lists[i] = nil
	}
	if a := g.agents[i]; a != nil {
		a.stop()
		g.agents[i] = nil
	}
}

func (g *group) leader() int {
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		for i, a := range g.agents {
			if a != nil && a.raft.State().String() == "Leader" {
				return i
			}
		}
	}
	g.t.Fatal("no leader")
	return -1
}

func (g *group) follower() int { return (g.leader() + 1) % len(g.agents) }

// lister is a worker whose state is the list of payloads that it was given, those of repeated writes once.
type lister struct {
	t       testing.TB
	conn    *link
	mu      sync.Mutex
	cond    *sync.Cond
	items   []string
	tries   map[string]string // the id of a write -> the try of it that is in the list
	at      uint64
	resume  uint64
	ready   bool
	gone    bool
	removed bool
	resets  int
	reason  string
	next    uint64
	wait    map[uint64]chan frame
}

func newLister(t testing.TB, socket string) *lister {
	l := &lister{t: t, wait: map[uint64]chan frame{}}
	l.cond = sync.NewCond(&l.mu)
	l.connect(socket)
	return l
}

func (l *lister) connect(socket string) {
	path, done, err := socketPath(socket)
	if err != nil {
		l.t.Error(err)
		return
	}
	defer done()
	conn, err := net.Dial("unix", path)
	if err != nil {
		l.t.Error(err)
		return
	}
	l.mu.Lock()
	l.conn, l.gone, l.ready = newLink(conn), false, false
	hello := helloFrame{Applied: l.at, Resume: l.resume, CanSnapshot: true}
	current := l.conn
	l.mu.Unlock()
	current.writeJSON(kHello, 0, hello)
	go l.run(current)
}

func (l *lister) run(conn *link) {
	for {
		f, err := conn.read()
		if err != nil {
			l.mu.Lock()
			l.gone = true
			l.cond.Broadcast()
			l.mu.Unlock()
			return
		}
		l.mu.Lock()
		switch f.kind {
		case kApply:
			at, rest := binary.LittleEndian.Uint64(f.body), f.body[20:]
			for n := binary.LittleEndian.Uint32(f.body[16:]); n > 0; n-- {
				size := binary.LittleEndian.Uint32(rest[16:])
				item := strings.TrimPrefix(string(rest[20:20+size]), operationHead)
				if size > 1000 {
					sum := sha256.Sum256([]byte(item))
					item = hex.EncodeToString(sum[:]) + item[strings.LastIndexByte(item, '#'):]
				}
				if l.note(item) {
					l.items = append(l.items, item)
				}
				rest = rest[20+size:]
			}
			l.at, l.resume = at, binary.LittleEndian.Uint64(f.body[8:])
			conn.write(kApplied, 0, binary.LittleEndian.AppendUint64(nil, at))
		case kSnapshot, kRestore:
			var request struct {
				Dir   string `json:"dir"`
				Index uint64 `json:"index"`
			}
			json.Unmarshal(f.body, &request)
			path := filepath.Join(request.Dir, "list.json")
			var err error
			if f.kind == kSnapshot {
				if request.Index != l.at {
					l.t.Errorf("a snapshot at %d was asked for at %d", request.Index, l.at)
				}
				data, _ := json.Marshal(l.items)
				err = os.WriteFile(path, data, 0o600)
				sum := sha256.Sum256(data)
				files := map[string]string{"list.json": hex.EncodeToString(sum[:])}
				manifest, _ := json.Marshal(map[string]any{"index": request.Index, "files": files})
				os.WriteFile(filepath.Join(request.Dir, manifestFile), manifest, 0o600)
			} else {
				var data []byte
				data, err = os.ReadFile(path)
				l.items, l.tries = nil, nil
				json.Unmarshal(data, &l.items)
				for _, item := range l.items {
					l.note(item)
				}
				l.at = request.Index
				l.resume = 0
			}
			told := map[string]string{}
			if err != nil {
				told["error"] = err.Error()
			}
			conn.writeJSON(kDone, f.id, told)
		case kReset:
			l.resets++
			var told struct {
				Reason string `json:"reason"`
			}
			json.Unmarshal(f.body, &told)
			l.reason = told.Reason
			l.items, l.tries, l.at, l.resume = nil, nil, 0, 0
		case kReady:
			l.ready = true
		case kRemoved:
			var told struct {
				Removed bool `json:"removed"`
			}
			json.Unmarshal(f.body, &told)
			l.removed = told.Removed
		case kOK, kError:
			if reply := l.wait[f.id]; reply != nil {
				reply <- f
			}
			delete(l.wait, f.id)
		}
		l.cond.Broadcast()
		l.mu.Unlock()
	}
}

func (l *lister) close() { l.conn.conn.Close() }

func (l *lister) await(what string, done func() bool) {
	l.t.Helper()
	timer := time.AfterFunc(20*time.Second, l.cond.Broadcast)
	defer timer.Stop()
	limit := time.Now().Add(20 * time.Second)
	l.mu.Lock()
	defer l.mu.Unlock()
	for !done() {
		if !time.Now().Before(limit) {
			l.t.Fatalf("waited for %s in vain", what)
		}
		l.cond.Wait()
	}
}

func (l *lister) awaitReady() { l.await("readiness", func() bool { return l.ready }) }

func (l *lister) awaitCount(n int) {
	l.await(fmt.Sprintf("%d items", n), func() bool { return len(l.items) >= n })
}

func (l *lister) ask(k kind, body []byte) ([]byte, error) {
	reply := make(chan frame, 1)
	l.mu.Lock()
	l.next++
	id := l.next
	l.wait[id] = reply
	l.mu.Unlock()
	if err := l.conn.write(k, id, body); err != nil {
		return nil, err
	}
	select {
	case f := <-reply:
		if f.kind == kError {
			var told fault
			json.Unmarshal(f.body, &told)
			return nil, &told
		}
		return f.body, nil
	case <-time.After(20 * time.Second):
		return nil, fmt.Errorf("no answer")
	}
}

// note tells whether an item belongs into the list: another try of a write that is there does not, but the same one does.
func (l *lister) note(item string) bool {
	id, try, _ := strings.Cut(item[strings.LastIndexByte(item, '#')+1:], ".")
	if had := l.tries[id]; had != "" && had != try {
		return false
	}
	if l.tries == nil {
		l.tries = map[string]string{}
	}
	l.tries[id] = try
	return true
}

// operationHead is what a worker writes before the documents of a request: it has an id, and goes to "/".
const operationHead = "\x01" + "\x06\x00\x00\x00" + "\x04\x00\x00\x00" + "\x00" + "\x93\xa1k\xc4\x00\x00" + "\x92\xa1/\xa0"

// operation is one that a worker can read.
func operation(documents string) []byte { return []byte(operationHead + documents) }

var writes atomic.Uint64

// write tries until it is acknowledged. A try that failed may be in the log all the same, so each says of which write it is.
func (l *lister) write(text string) {
	l.t.Helper()
	id, try := writes.Add(1), 0
	for deadline := time.Now().Add(20 * time.Second); ; {
		try++
		_, err := l.ask(kPropose, operation(fmt.Sprintf("%s#%d.%d", text, id, try)))
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			l.t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (l *lister) snapshotOf() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.items...)
}

func dialUnix(t testing.TB, socket string) net.Conn {
	t.Helper()
	path, done, err := socketPath(socket)
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}
