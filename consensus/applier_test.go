package main

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// wholeEntries gives entries of whole operations, all of one term.
func wholeEntries(first, count int, term uint64) []*raft.Log {
	var all []*raft.Log
	for index := first; index < first+count; index++ {
		data := cut(uint64(index), []byte("payload"))[0]
		all = append(all, &raft.Log{Index: uint64(index), Term: term, Type: raft.LogCommand, Data: data})
	}
	return all
}

// attached is an applier with a log of ten entries, and the other end of a worker that has applied five, which are all
// that is committed.
func attached(t *testing.T) (*applier, *link) {
	t.Helper()
	store := raft.NewInmemStore()
	if err := store.StoreLogs(wholeEntries(1, 10, 1)); err != nil {
		t.Fatal(err)
	}
	a := newApplier(store, raft.NewInmemSnapshotStore(), t.TempDir(), func(string, ...any) {})
	t.Cleanup(a.stop)
	here, there := net.Pipe()
	t.Cleanup(func() { there.Close() })
	a.commit(5)
	if err := a.attach(&worker{link: newLink(here), number: 1}, helloFrame{Applied: 5}); err != nil {
		t.Fatal(err)
	}
	there.SetDeadline(time.Now().Add(10 * time.Second))
	return a, newLink(there)
}

// A replica that led and was cut off may have entries at its end that never were committed. While a snapshot of the new
// leader is installed they are still in its log.
func TestWhatASnapshotOvertakesIsNotApplied(t *testing.T) {
	a, worker := attached(t)
	go a.installed(8)
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if _, _, committed := a.state(); committed == 8 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("waited in vain until the snapshot was noted")
		}
	}
	for range 50 { // whatever happens meanwhile, such as an answer of the worker
		a.mu.Lock()
		a.changed.Broadcast()
		a.mu.Unlock()
		time.Sleep(time.Millisecond)
	}
	if f, err := worker.read(); err != nil || f.kind != kReset {
		t.Fatal(f.kind, err)
	}
	if f, err := worker.read(); err == nil {
		t.Fatal("after it came ", f.kind)
	}
}

func TestASnapshotThatAWorkerIsPastIsNothingToIt(t *testing.T) {
	a, worker := attached(t)
	go func() {
		a.installed(5)
		a.commit(6)
	}()
	f, err := worker.read()
	if err != nil || f.kind != kApply || binary.LittleEndian.Uint64(f.body) != 6 {
		t.Fatal(f.kind, err)
	}
}

func TestASnapshotThatEndsInEntriesThatAreNoOperationsIsWholeAtItsEnd(t *testing.T) {
	store, snapshots := raft.NewInmemStore(), raft.NewInmemSnapshotStore()
	sink, err := snapshots.Create(raft.SnapshotVersionMax, 10, 2, raft.Configuration{}, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	os.WriteFile(filepath.Join(dir, manifestFile), []byte(`{"index": 8}`), 0o600)
	chunks, _ := os.Create(filepath.Join(dir, chunksFile))
	if err := errors.Join(newAssembler(dir).write(chunks), chunks.Close(), pack(dir, sink), sink.Close()); err != nil {
		t.Fatal(err)
	}
	if err := store.StoreLogs(wholeEntries(11, 1, 3)); err != nil { // the log begins behind the snapshot
		t.Fatal(err)
	}
	a := newApplier(store, snapshots, t.TempDir(), func(text string, args ...any) { t.Errorf(text, args...) })
	defer a.stop()
	here, there := net.Pipe()
	defer there.Close()
	there.SetDeadline(time.Now().Add(10 * time.Second))
	a.installed(10)
	w, worker := &worker{link: newLink(here), number: 1}, newLink(there)
	attached := make(chan error, 1)
	go func() { attached <- a.attach(w, helloFrame{}) }()
	f, err := worker.read()
	if err != nil || f.kind != kRestore || !strings.Contains(string(f.body), `"index":10`) {
		t.Fatal(f.kind, string(f.body), err)
	}
	a.done(w, f.id, []byte(`{}`))
	if err := <-attached; err != nil {
		t.Fatal(err)
	}
	go a.commit(11)
	if f, err := worker.read(); err != nil || f.kind != kApply || binary.LittleEndian.Uint64(f.body) != 11 {
		t.Fatal(f.kind, err)
	}
}

// Entries that were never committed may reach further than the snapshot that overtakes them. Raft remembers their end
// though they are gone, and agrees with no leader any more before it is started again.
func TestALongEndThatWasNeverCommittedGoesForASnapshot(t *testing.T) {
	g := newGroup(t, 3, func(c *config) { c.TrailingLogs = 0 })
	g.startAll()
	g.lists[0].write("first")
	same(t, g, 1)
	old := g.leader()
	others := []int{(old + 1) % 3, (old + 2) % 3}
	g.stop(others[0])
	g.stop(others[1])
	before := g.agents[old].raft.LastIndex()
	for n := range 200 {
		go g.agents[old].raft.Apply(cut(uint64(n), fmt.Append(nil, "never ", n))[0], time.Second)
	}
	until(t, "entries without a majority", func() bool { return g.agents[old].raft.LastIndex() > before+150 })
	g.stop(old)
	for _, i := range others {
		g.start(i, true)
	}
	writer := g.lists[others[0]]
	for n := range 20 {
		writer.write(fmt.Sprint(n))
	}
	request, _ := json.Marshal(admin{Do: "snapshot"})
	for _, i := range others {
		g.lists[i].awaitCount(21)
		if _, err := g.lists[i].ask(kAdmin, request); err != nil {
			t.Fatal(err)
		}
	}
	g.start(old, true)
	writer.write("last")
	until(t, "the replica that was away", func() bool {
		select {
		case <-g.agents[old].anew:
			g.stop(old)
			g.start(old, true)
		default:
		}
		l := g.lists[old]
		l.mu.Lock()
		ready, gone, items := l.ready, l.gone, len(l.items)
		l.mu.Unlock()
		if gone {
			l.connect(g.agents[old].Socket)
		}
		return ready && !gone && items == 22
	})
	same(t, g, 22)
}

func TestALogThatASnapshotOvertookIsRemovedAtTheStart(t *testing.T) {
	store, err := openLog(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if err := store.StoreLogs(wholeEntries(1, 10, 1)); err != nil {
		t.Fatal(err)
	}
	if err := store.dropOvertaken(10, 1); err != nil {
		t.Fatal(err)
	}
	if last, _ := store.LastIndex(); last != 10 {
		t.Fatal(last)
	}
	if err := store.StoreLogs(wholeEntries(21, 1, 2)); err == nil {
		t.Fatal("entries are missing in between")
	}
	if err := store.dropOvertaken(20, 2); err != nil {
		t.Fatal(err)
	}
	if err := store.StoreLogs(wholeEntries(21, 1, 2)); err != nil {
		t.Fatal(err)
	}
}

// Operations that began together end together: what is joined of them is far more than the entries that end them.
func TestLargeOperationsThatEndTogetherAreNotSentTogether(t *testing.T) {
	const size, count = 3 << 20, 10
	store := raft.NewInmemStore()
	var all, ends []*raft.Log
	for n := range count {
		parts := cut(uint64(n), make([]byte, size))
		for _, data := range parts[:len(parts)-1] {
			all = append(all, &raft.Log{Type: raft.LogCommand, Term: 1, Data: data})
		}
		ends = append(ends, &raft.Log{Type: raft.LogCommand, Term: 1, Data: parts[len(parts)-1]})
	}
	begin := uint64(len(all))
	all = append(all, ends...)
	for at, l := range all {
		l.Index = uint64(at + 1)
	}
	if err := store.StoreLogs(all); err != nil {
		t.Fatal(err)
	}
	a := newApplier(store, raft.NewInmemSnapshotStore(), t.TempDir(), func(string, ...any) {})
	defer a.stop()
	here, there := net.Pipe()
	defer there.Close()
	w, worker := &worker{link: newLink(here), number: 1}, newLink(there)
	if err := a.attach(w, helloFrame{}); err != nil {
		t.Fatal(err)
	}
	a.commit(uint64(len(all)))
	there.SetDeadline(time.Now().Add(20 * time.Second))
	frames := 0
	for sent := uint64(0); sent < uint64(len(all)); {
		f, err := worker.read()
		if err != nil {
			t.Fatal(err)
		}
		sent = binary.LittleEndian.Uint64(f.body)
		if limit := size + batchBytes; len(f.body) > limit {
			t.Fatalf("a frame of %d bytes", len(f.body))
		}
		if sent <= begin {
			a.acknowledged(w, sent)
		} else if frames++; frames == windowBytes/size+1 {
			break // nothing more comes before these are applied
		}
	}
	there.SetDeadline(time.Now().Add(200 * time.Millisecond))
	if f, err := worker.read(); err == nil {
		t.Fatalf("%d bytes more, and nothing was applied", len(f.body))
	}
}

// It would be in the log for ever, and fit into no frame to any worker.
func TestAnOperationThatFitsIntoNoFrameIsRefused(t *testing.T) {
	entries := make([][]byte, frameLimit/chunkSize)
	shared := room(chunkSize)
	for at := range entries {
		entries[at] = shared
	}
	var told *fault
	if _, err := new(agent).propose(entries, false); !errors.As(err, &told) || told.Code != "refused" {
		t.Fatal(err)
	}
}
