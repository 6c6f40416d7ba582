package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"
)

const (
	batchBytes   = 1 << 20                   // of one frame to the worker, unless one operation alone is larger
	windowBytes  = 8 << 20                   // sent to the worker and not yet applied
	mostProposed = frameLimit - 2*batchBytes // of one operation, which comes back in a frame with others
	chunksFile   = "chunks"
	manifestFile = "manifest.json"
)

// applier owns the cursor: it reads committed entries from the log and sends operations to the worker, in order. Raft's
// own goroutines only tell it how far the log is committed, and never wait for the worker.
type applier struct {
	log       raft.LogStore
	snapshots raft.SnapshotStore
	dir       string
	warn      func(string, ...any)
	left      func() // called when a worker is gone

	told      atomic.Pointer[[2]uint64]
	mu        sync.Mutex
	changed   *sync.Cond
	committed uint64
	base      uint64 // of the newest snapshot: what the log has before it may be of a leader that never committed it
	worker    *worker
	workers   atomic.Uint64
	stopped   bool
	leftovers []string // folders that a worker may still read, until one says hello
}

var errGone = errors.New("the worker is gone")

// worker is the Executor's process while it is connected.
type worker struct {
	*link
	number      uint64 // in the order in which they came
	canSnapshot bool

	// under the applier's lock
	gone     bool
	ready    bool
	applied  uint64
	sent     uint64
	flying   []flight
	bytes    int
	assembly *assembler
	requests []*snapshotRequest
	answers  map[uint64]*snapshotRequest
	nextWish uint64
}

type flight struct {
	upto uint64
	size int
}

// snapshotRequest is a snapshot that raft wants of the worker, in its turn between the operations.
type snapshotRequest struct {
	least  uint64
	dir    string
	index  uint64 // where it was taken
	chunks *assembler
	answer chan error
	data   json.RawMessage
}

// helloFrame is what a worker says first.
type helloFrame struct {
	Applied     uint64 `json:"applied"` // 0: a fresh Executor
	Resume      uint64 `json:"resume"`  // first entry of the oldest operation that was open then
	CanSnapshot bool   `json:"can_snapshot"`
}

func newApplier(log raft.LogStore, snapshots raft.SnapshotStore, dir string, warn func(string, ...any)) *applier {
	a := &applier{log: log, snapshots: snapshots, dir: dir, warn: warn}
	a.leftovers, _ = filepath.Glob(filepath.Join(dir, "*"))
	a.changed = sync.NewCond(&a.mu)
	go a.run()
	return a
}

func (a *applier) stop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stopped = true
	if a.worker != nil {
		a.drop(a.worker) // raft waits for a snapshot that it is writing
	}
	a.changed.Broadcast()
}

// commit notes that the log is committed up to index.
func (a *applier) commit(index uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if index > a.committed {
		a.committed = index
		a.changed.Broadcast()
	}
}

// notice is what the leader tells of commits, faster than raft does. It holds here if the entry is the leader's: logs
// that agree in index and term of an entry agree in all before it.
func (a *applier) notice(index, term uint64) {
	a.told.Store(&[2]uint64{index, term})
	a.check()
}

// check looks whether what the leader told of is in the log by now: the notice may be faster than the entry.
func (a *applier) check() {
	told := a.told.Load()
	if told == nil {
		return
	}
	var l raft.Log
	if a.log.GetLog(told[0], &l) == nil && l.Term == told[1] {
		a.told.CompareAndSwap(told, nil)
		a.commit(told[0])
	}
}

// attach takes a worker that said hello; restores it if it is fresh. Returns when it may be sent operations.
func (a *applier) attach(w *worker, hello helloFrame) error {
	a.mu.Lock()
	old := a.worker
	if w.gone || a.stopped || (old != nil && old.number > w.number) {
		a.mu.Unlock()
		return errors.New("the worker is gone already")
	}
	w.canSnapshot = hello.CanSnapshot
	w.answers = map[uint64]*snapshotRequest{}
	w.assembly = newAssembler(a.dir)
	if old != nil {
		a.drop(old)
	}
	a.worker = w
	leftovers := a.leftovers
	a.leftovers = nil
	a.mu.Unlock()
	for _, path := range leftovers {
		os.RemoveAll(path)
	}
	start := hello.Applied
	if hello.Applied == 0 {
		index, err := a.restore(w)
		if err != nil {
			return err
		}
		start = index
	} else if err := a.reread(w, hello); err != nil {
		w.writeJSON(kReset, 0, map[string]string{"reason": err.Error()})
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	w.applied, w.sent, w.ready = start, start, true
	a.changed.Broadcast()
	return nil
}

func (a *applier) detach(w *worker) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.drop(w)
}

func (a *applier) drop(w *worker) {
	w.gone = true
	w.conn.Close()
	for _, one := range w.requests {
		one.answer <- errGone
	}
	for _, one := range w.answers {
		one.answer <- errGone
	}
	w.requests, w.answers = nil, nil
	if a.worker == w {
		a.worker = nil
		if a.left != nil {
			a.left()
		}
	}
	a.changed.Broadcast()
}

// installed notes a snapshot, such as one that came from the leader. Nothing before its end is applied from the log any
// more, so a worker that is not as far restarts: while a snapshot comes, the log may still have entries at its end
// that no majority ever had, and they are gone a moment later only.
func (a *applier) installed(index uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.base = max(a.base, index)
	a.committed = max(a.committed, index)
	a.changed.Broadcast()
}

func (a *applier) reset(w *worker, reason string) {
	a.warn("the worker restarts: %s", reason)
	w.writeJSON(kReset, 0, map[string]string{"reason": reason})
	a.detach(w)
}

// done takes the answer to a snapshot or restore request.
func (a *applier) done(w *worker, id uint64, body []byte) {
	var told struct {
		Error string `json:"error"`
	}
	err := json.Unmarshal(body, &told)
	if err == nil && told.Error != "" {
		err = errors.New(told.Error)
	}
	a.mu.Lock()
	one := w.answers[id]
	delete(w.answers, id)
	a.mu.Unlock()
	if one != nil {
		one.answer <- err
	}
}

// acknowledged notes how far the worker has applied.
func (a *applier) acknowledged(w *worker, index uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if index > w.applied && index <= w.sent {
		w.applied = index
	}
	for len(w.flying) > 0 && w.flying[0].upto <= w.applied {
		w.bytes -= w.flying[0].size
		w.flying = w.flying[1:]
	}
	a.changed.Broadcast()
}

// state is what others may know: whether a worker serves, how far it has applied, how far the log is committed.
func (a *applier) state() (serving bool, applied, committed uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if w := a.worker; w != nil && w.ready {
		return true, w.applied, a.committed
	}
	return false, 0, a.committed
}

// await returns when w has applied up to index; false when it is gone.
func (a *applier) await(w *worker, index uint64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for w.applied < index && !w.gone && !a.stopped {
		a.changed.Wait()
	}
	return !w.gone && !a.stopped
}

// snapshot tells the worker to write its state into dir, at least or later.
func (a *applier) snapshot(least uint64, dir string) (*snapshotRequest, error) {
	one := &snapshotRequest{least: least, dir: dir, answer: make(chan error, 1)}
	a.mu.Lock()
	w := a.worker
	if w == nil || !w.ready || !w.canSnapshot || a.stopped {
		a.mu.Unlock()
		return nil, errors.New("there is no worker that can write a snapshot")
	}
	w.requests = append(w.requests, one)
	a.changed.Broadcast()
	a.mu.Unlock()
	return one, <-one.answer
}
