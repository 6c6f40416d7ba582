package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

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
	wishes   []*wish
	answers  map[uint64]*wish
	nextWish uint64
}

type flight struct {
	upto uint64
	size int
}

// wish is a snapshot that raft wants of the worker, in its turn between the operations.
type wish struct {
	least  uint64
	dir    string
	index  uint64 // where it was taken
	chunks *assembler
	answer chan error
	data   json.RawMessage
}

// greeting is what a worker says first.
type greeting struct {
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
func (a *applier) attach(w *worker, hello greeting) error {
	a.mu.Lock()
	old := a.worker
	if w.gone || a.stopped || (old != nil && old.number > w.number) {
		a.mu.Unlock()
		return errors.New("the worker is gone already")
	}
	w.canSnapshot = hello.CanSnapshot
	w.answers = map[uint64]*wish{}
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
	for _, one := range w.wishes {
		one.answer <- errGone
	}
	for _, one := range w.answers {
		one.answer <- errGone
	}
	w.wishes, w.answers = nil, nil
	if a.worker == w {
		a.worker = nil
	}
	a.changed.Broadcast()
}

// reread builds the open operations of a worker that was connected before, out of the log.
func (a *applier) reread(w *worker, hello greeting) error {
	for index := hello.Resume; index != 0 && index <= hello.Applied; index++ {
		var l raft.Log
		if err := a.log.GetLog(index, &l); err != nil {
			return err
		}
		if l.Type != raft.LogCommand {
			w.assembly.pass(l.Term)
		} else if part, err := w.assembly.add(l.Index, l.Term, l.Data); err != nil {
			return err
		} else if part != nil {
			part.close()
		}
	}
	return nil
}

// unrestored tells why a snapshot cannot be read, or why it cannot be written into a folder: a disk may be full.
func (a *applier) unrestored(snapshot *raft.SnapshotMeta, dir string, err error) error {
	if at := (*fs.PathError)(nil); dir != "" && errors.As(err, &at) && strings.HasPrefix(at.Path, dir) {
		return fmt.Errorf("the snapshot of entry %d cannot be unpacked: %w", snapshot.Index, err)
	}
	return fmt.Errorf("the snapshot of entry %d is damaged (%s): %w", snapshot.Index, inSnapshot(filepath.Dir(a.dir), snapshot.ID), err)
}

// restore gives the newest snapshot to a fresh worker; 0 where there is none.
func (a *applier) restore(w *worker) (uint64, error) {
	list, err := a.snapshots.List()
	if err != nil || len(list) == 0 {
		return 0, err
	}
	_, stream, err := a.snapshots.Open(list[0].ID)
	if err != nil {
		return 0, a.unrestored(list[0], "", err)
	}
	defer stream.Close()
	dir, err := os.MkdirTemp(a.dir, "restore-")
	if err != nil {
		return 0, err
	}
	read := true
	defer func() { a.spare(dir, !read) }()
	if err := unpack(stream, dir); err != nil {
		return 0, a.unrestored(list[0], dir, err)
	}
	var manifest struct {
		Index uint64 `json:"index"`
	}
	data, err := os.ReadFile(filepath.Join(dir, manifestFile))
	if err == nil {
		err = json.Unmarshal(data, &manifest)
	}
	if err != nil {
		return 0, fmt.Errorf("the snapshot %s has no manifest that can be read: %w", list[0].ID, err)
	}
	chunks, err := os.Open(filepath.Join(dir, chunksFile))
	if err == nil {
		w.assembly, err = readAssembler(bufio.NewReader(chunks), a.dir)
		chunks.Close()
	}
	if err != nil {
		return 0, fmt.Errorf("the snapshot %s: %w", list[0].ID, err)
	}
	// Between the last operation in a snapshot and its end there may be entries that are none; the log begins behind its end.
	index := max(manifest.Index, list[0].Index)
	one := &wish{answer: make(chan error, 1)}
	a.mu.Lock()
	if w.gone {
		a.mu.Unlock()
		return 0, errGone
	}
	w.nextWish++
	id := w.nextWish
	w.answers[id] = one
	a.mu.Unlock()
	if err := w.writeJSON(kRestore, id, map[string]any{"dir": dir, "index": index}); err != nil {
		return 0, err
	}
	err = <-one.answer
	read = !errors.Is(err, errGone)
	if err != nil {
		return 0, fmt.Errorf("the worker could not restore %s: %w", list[0].ID, err)
	}
	return index, nil
}

// spare removes a folder, later if a worker may be reading it: one that lost its connection alone does, and would take
// what goes meanwhile for an empty state.
func (a *applier) spare(dir string, later bool) {
	if !later {
		os.RemoveAll(dir)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.leftovers = append(a.leftovers, dir)
}

// installed notes a snapshot, such as one that came from the leader. Nothing before its end is applied from the log any
// more, so a worker that is not as far begins anew: while a snapshot comes, the log may still have entries at its end
// that no majority ever had, and they are gone a moment later only.
func (a *applier) installed(index uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.base = max(a.base, index)
	a.committed = max(a.committed, index)
	a.changed.Broadcast()
}

func (a *applier) reset(w *worker, reason string) {
	a.warn("the worker begins anew: %s", reason)
	w.writeJSON(kReset, 0, map[string]string{"reason": reason})
	a.detach(w)
}

// done takes the answer to a snapshot or restore wish.
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

// snapshot has the worker write its state into dir, at least or later.
func (a *applier) snapshot(least uint64, dir string) (*wish, error) {
	one := &wish{least: least, dir: dir, answer: make(chan error, 1)}
	a.mu.Lock()
	w := a.worker
	if w == nil || !w.ready || !w.canSnapshot || a.stopped {
		a.mu.Unlock()
		return nil, errors.New("there is no worker that can write a snapshot")
	}
	w.wishes = append(w.wishes, one)
	a.changed.Broadcast()
	a.mu.Unlock()
	return one, <-one.answer
}

func (a *applier) run() {
	for {
		w, wanted, upto := a.next()
		if w == nil {
			return
		}
		var err error
		switch {
		case wanted != nil:
			err = a.ask(w, wanted)
		case upto == 0:
			a.reset(w, "a snapshot overtook it")
		default:
			err = a.send(w, upto)
		}
		switch {
		case err == nil:
		case errors.Is(err, raft.ErrLogNotFound):
			a.reset(w, "the log begins after what it has applied")
		default:
			a.warn("the worker is given up: %v", err)
			a.detach(w)
			time.Sleep(50 * time.Millisecond)
		}
	}
}

// next waits for something to do: a snapshot that is due, or entries to send up to an index; 0 for a worker that has to
// begin anew. nil at the end.
func (a *applier) next() (*worker, *wish, uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for !a.stopped {
		if w := a.worker; w != nil && w.ready {
			if w.sent < a.base {
				return w, nil, 0
			}
			for i, one := range w.wishes {
				if w.sent >= one.least {
					w.wishes = append(w.wishes[:i:i], w.wishes[i+1:]...)
					w.nextWish++
					w.answers[w.nextWish] = one
					one.index, one.chunks = w.sent, w.assembly.clone()
					return w, one, w.nextWish
				}
			}
			if w.sent < a.committed && w.bytes < windowBytes {
				return w, nil, a.committed
			}
		}
		a.changed.Wait()
	}
	return nil, nil, 0
}

func (a *applier) ask(w *worker, one *wish) error {
	a.mu.Lock()
	id := uint64(0)
	for known, other := range w.answers {
		if other == one {
			id = known
		}
	}
	a.mu.Unlock()
	if id == 0 {
		return nil // dropped meanwhile
	}
	return w.writeJSON(kSnapshot, id, map[string]any{"dir": one.dir, "index": one.index})
}

// send reads entries and sends what operations they complete: index reached, oldest entry still needed, how many, then
// for each its index, the term, and its payload with its length.
func (a *applier) send(w *worker, upto uint64) error {
	a.mu.Lock()
	at := w.sent
	a.mu.Unlock()
	var batch []*partial
	defer func() {
		for _, part := range batch {
			part.close()
		}
	}()
	read, size := 0, 20
	for at < upto && read < batchBytes && size < batchBytes {
		var l raft.Log
		if err := a.log.GetLog(at+1, &l); err != nil {
			return err
		}
		at++
		if l.Type != raft.LogCommand {
			w.assembly.pass(l.Term)
			continue
		}
		part, err := w.assembly.add(l.Index, l.Term, l.Data)
		if err != nil {
			return fmt.Errorf("entry %d: %w", l.Index, err)
		}
		read += len(l.Data)
		if part != nil {
			part.first, part.term = l.Index, l.Term
			batch = append(batch, part)
			size += 20 + part.size
		}
	}
	var head [20]byte
	binary.LittleEndian.PutUint64(head[0:], at)
	binary.LittleEndian.PutUint64(head[8:], w.assembly.oldest(at+1))
	binary.LittleEndian.PutUint32(head[16:], uint32(len(batch)))
	ahead := max(read, size) // what is joined may be more than the entries that end it
	a.mu.Lock()
	w.sent = at
	w.bytes += ahead
	w.flying = append(w.flying, flight{at, ahead})
	a.mu.Unlock()
	return w.writeFrom(kApply, 0, size, func(out io.Writer, before []byte) error {
		return writeBatch(out, net.Buffers{before, head[:]}, batch)
	})
}

// writeBatch writes what is in memory with as few calls as it takes.
func writeBatch(out io.Writer, ready net.Buffers, batch []*partial) error {
	for _, part := range batch {
		about := make([]byte, 20)
		binary.LittleEndian.PutUint64(about[0:], part.first)
		binary.LittleEndian.PutUint64(about[8:], part.term)
		binary.LittleEndian.PutUint32(about[16:], uint32(part.size))
		ready = append(ready, about)
		if part.file == nil {
			ready = append(ready, part.pieces...)
			continue
		}
		if _, err := ready.WriteTo(out); err != nil {
			return err
		}
		ready = nil
		if _, err := part.WriteTo(out); err != nil {
			return err
		}
	}
	_, err := ready.WriteTo(out)
	return err
}

// machine is the state machine as raft sees it: it only takes notes.
type machine struct {
	applier *applier
	told    func(index, term uint64)
	came    func(snapshot uint64)
}

func (m *machine) Apply(l *raft.Log) any { return m.ApplyBatch([]*raft.Log{l})[0] }

func (m *machine) ApplyBatch(logs []*raft.Log) []any {
	last := logs[len(logs)-1]
	m.applier.commit(last.Index)
	m.told(last.Index, last.Term)
	return make([]any, len(logs))
}

func (m *machine) Snapshot() (raft.FSMSnapshot, error) {
	m.applier.mu.Lock()
	defer m.applier.mu.Unlock()
	return &marker{m.applier, m.applier.committed}, nil
}

// Restore is called when a snapshot came from the leader; its state goes to the worker from the store.
func (m *machine) Restore(stream io.ReadCloser) error {
	defer stream.Close()
	list, err := m.applier.snapshots.List()
	if err != nil || len(list) == 0 {
		return errors.Join(err, errors.New("the snapshot that came is not in the store"))
	}
	m.applier.installed(list[0].Index)
	m.came(list[0].Index)
	return nil
}

// marker is a snapshot to be: written when the worker has got there.
type marker struct {
	applier *applier
	index   uint64
}

func (m *marker) Release() {}

func (m *marker) Persist(sink raft.SnapshotSink) error {
	dir, err := os.MkdirTemp(m.applier.dir, "snapshot-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	one, err := m.applier.snapshot(m.index, dir)
	if err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(dir, chunksFile))
	if err != nil {
		return err
	}
	out := bufio.NewWriter(f)
	if planted != "lost-chunks" {
		err = one.chunks.write(out)
	}
	err = errors.Join(err, out.Flush())
	one.chunks.close()
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	return pack(dir, sink)
}
