package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// hand is a worker by hand: it says hello and answers nothing by itself.
func hand(t *testing.T, a *agent, hello helloFrame) *lister {
	t.Helper()
	l := &lister{t: t}
	conn := dialUnix(t, a.Socket)
	l.conn = newLink(conn)
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	if err := l.conn.writeJSON(kHello, 0, hello); err != nil {
		t.Fatal(err)
	}
	return l
}

// A crash in the middle of a snapshot leaves a part of it, which may be large.
func TestUnfinishedSnapshotsAreRemovedAtTheStart(t *testing.T) {
	g := newGroup(t, 1, nil)
	part := filepath.Join(g.dirs[0], "snapshots", "2-10-1700000000000.tmp")
	os.MkdirAll(part, 0o700)
	os.WriteFile(filepath.Join(part, "state.bin"), []byte("half"), 0o600)
	g.startAll()
	if _, err := os.Lstat(part); !errors.Is(err, os.ErrNotExist) {
		t.Fatal("it is there still", err)
	}
}

// An agent may be killed and started again while its worker still reads a snapshot: it says hello when it is done.
func TestWhatAWorkerStillReadsIsLeftAlone(t *testing.T) {
	g := newGroup(t, 1, nil)
	read := filepath.Join(g.dirs[0], "scratch", "restore-1", "state")
	os.MkdirAll(filepath.Dir(read), 0o700)
	os.WriteFile(read, []byte("state"), 0o600)
	g.mute = true
	g.start(0, false)
	if _, err := os.Lstat(read); err != nil {
		t.Fatal("it was taken away: ", err)
	}
	g.lists[0] = newLister(t, g.agents[0].Socket)
	g.lists[0].awaitReady()
	if _, err := os.Lstat(read); !errors.Is(err, os.ErrNotExist) {
		t.Fatal("it is there still", err)
	}
}

func TestAnAgentEndsThoughItsWorkerIsBusyWithASnapshot(t *testing.T) {
	g := newGroup(t, 1, nil)
	g.startAll()
	g.lists[0].write("x")
	g.lists[0].close()
	a := g.agents[0]
	until(t, "the end of the worker", func() bool { serving, _, _ := a.applier.state(); return !serving })
	slow := hand(t, a, helloFrame{CanSnapshot: true})
	defer slow.close()
	asked := make(chan error, 1)
	for {
		f, err := slow.conn.read()
		if err != nil {
			t.Fatal(err)
		}
		if f.kind == kApply {
			slow.conn.write(kApplied, 0, f.body[:8])
		}
		if f.kind == kReady {
			go func() { asked <- a.takeSnapshot() }()
		}
		if f.kind == kSnapshot {
			break
		}
	}
	ended := make(chan struct{})
	go func() {
		g.stop(0)
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		slow.close() // so that the test ends
		<-ended
		t.Fatal("it waited for the worker")
	}
	if err := <-asked; err == nil {
		t.Error("no snapshot was written")
	}
}

// A crash after a snapshot came, and before the log went that it replaced, leaves entries that never were committed.
func TestALogThatASnapshotContradictsIsRemovedAtTheStart(t *testing.T) {
	store, err := openLog(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if err := store.StoreLogs(wholeEntries(1, 10, 2)); err != nil {
		t.Fatal(err)
	}
	if err := store.dropOvertaken(8, 2); err != nil {
		t.Fatal(err)
	}
	if last, _ := store.LastIndex(); last != 10 {
		t.Fatal(last)
	}
	if err := store.dropOvertaken(8, 3); err != nil {
		t.Fatal(err)
	}
	if last, _ := store.LastIndex(); last != 0 {
		t.Fatal(last)
	}
}

// What never was committed is no part of the group that is recovered from a disk.
func TestAGroupIsRecoveredWithoutWhatASnapshotContradicts(t *testing.T) {
	g := newGroup(t, 1, func(c *config) { c.TrailingLogs = 0 })
	g.startAll()
	g.lists[0].write("committed")
	same(t, g, 1)
	body, _ := json.Marshal(admin{Do: "snapshot"})
	if _, err := g.lists[0].ask(kAdmin, body); err != nil {
		t.Fatal(err)
	}
	snapshot := g.agents[0].info().Snapshot
	g.stop(0)
	store, err := openLog(filepath.Join(g.dirs[0], "log"))
	if err != nil {
		t.Fatal(err)
	}
	first, _ := store.FirstIndex()
	last, _ := store.LastIndex()
	if first > 0 {
		err = store.DeleteRange(first, last)
	}
	stale := wholeEntries(int(snapshot)-1, 3, 1) // of an earlier term than that of the snapshot
	if err := errors.Join(err, store.StoreLogs(stale), store.Close()); err != nil {
		t.Fatal(err)
	}
	told, err := offlineTask(t, task{Do: "recover", Dir: g.dirs[0], Generation: "two"})
	if err != nil || told.Last != snapshot+1 {
		t.Fatal(told.Last, snapshot, err)
	}
	g.start(0, true)
	g.lists[0].awaitReady()
	same(t, g, 1)
}

// A leader may send a snapshot though the replica has more: when it could not write for a while, say. What follows the
// snapshot in the log was acknowledged by this replica, and stays.
func TestASnapshotThatIsOlderThanTheLogLeavesWhatFollows(t *testing.T) {
	g := newGroup(t, 1, func(c *config) { c.TrailingLogs = 1000 })
	g.startAll()
	g.lists[0].write("one")
	body, _ := json.Marshal(admin{Do: "snapshot"})
	if _, err := g.lists[0].ask(kAdmin, body); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		g.lists[0].write("more")
	}
	a := g.agents[0]
	list, err := a.snapshots.List()
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	meta, state, err := a.snapshots.Open(list[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	defer state.Close()
	before, _ := a.store.LastIndex()
	other := &mux{group: "g", key: []byte(groupKey), closed: make(chan struct{}), resolve: func(raft.ServerAddress) (string, error) { return g.peers[0], nil }}
	transport := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{Stream: &stream{other, "7-leader"}, MaxPool: 1, Timeout: 10 * time.Second})
	request := raft.InstallSnapshotRequest{
		RPCHeader:       raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte("7-leader"), Addr: []byte("7-leader")},
		SnapshotVersion: meta.Version, Term: a.raft.CurrentTerm() + 1, LastLogIndex: meta.Index, LastLogTerm: meta.Term,
		Size: meta.Size, Configuration: raft.EncodeConfiguration(meta.Configuration), ConfigurationIndex: meta.ConfigurationIndex,
	}
	var answer raft.InstallSnapshotResponse
	if err := transport.InstallSnapshot(raft.ServerID(a.id), raft.ServerAddress(a.id), &request, &answer, state); err != nil || !answer.Success {
		t.Fatal(answer, err)
	}
	select {
	case <-a.anew: // the library would go on with the members of the snapshot
	case <-time.After(10 * time.Second):
		t.Fatal("it goes on")
	}
	if last, _ := a.store.LastIndex(); last < before {
		t.Fatalf("the log ended at %d, and ends at %d", before, last)
	}
	g.stop(0)
	g.start(0, true)
	g.lists[0].awaitReady()
	g.lists[0].write("last")
	same(t, g, 7)
}

// Folders that are made are found after a power cut only if what they lie in was synced.
func TestWhereFoldersAreMadeIsSynced(t *testing.T) {
	var mu sync.Mutex
	synced := map[string][]string{} // what was there then
	before := syncDir
	syncDir = func(dir string) error {
		mu.Lock()
		defer mu.Unlock()
		found, _ := filepath.Glob(filepath.Join(dir, "*"))
		for _, path := range found {
			synced[dir] = append(synced[dir], filepath.Base(path))
		}
		return before(dir)
	}
	defer func() { syncDir = before }()
	root := t.TempDir()
	dir := filepath.Join(root, "raft", "g", "rep-0")
	if err := makeDir(dir); err != nil {
		t.Fatal(err)
	}
	state := filepath.Join(root, "state.tar")
	archive(t, state)
	request := task{Do: "restore", Dir: dir, Group: "g", Replicas: []int{0}, Generation: "two", State: state, Term: 3}
	if _, err := offlineTask(t, request); err != nil {
		t.Fatal(err)
	}
	for inside, names := range map[string][]string{
		root: {"raft"}, filepath.Join(root, "raft"): {"g"}, filepath.Join(root, "raft", "g"): {"rep-0"}, dir + ".part": {"log", "snapshots"},
	} {
		for _, name := range names {
			if !slices.Contains(synced[inside], name) {
				t.Errorf("%s was not synced with %s in it: %v", inside, name, synced[inside])
			}
		}
	}
}

// archive writes the state of a snapshot that holds nothing but its manifest.
func archive(t *testing.T, path string) {
	t.Helper()
	dir := t.TempDir()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	written := os.WriteFile(filepath.Join(dir, manifestFile), []byte(`{"index": 8}`), 0o600)
	if err := errors.Join(written, pack(dir, f), f.Close()); err != nil {
		t.Fatal(err)
	}
}

// A log that could not make the file behind the one that it has given up would write to the one that is gone on the disk.
func TestALogThatCannotMakeItsNextFileTakesNothingMore(t *testing.T) {
	for what, lo := range map[string]uint64{"all": 1, "the end": 6} {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			s, err := openLog(dir)
			if err != nil {
				t.Fatal(err)
			}
			var told error
			s.broken = func(err error) { told = err }
			fill(t, s, 1, 10)
			next := uint64(11)
			if lo > 1 {
				next = lo
			}
			path := filepath.Join(dir, fmt.Sprintf("%020d-%016x.wal", next, 1))
			if err := os.WriteFile(path, nil, 0o600); err != nil { // what is left where there was no room for more
				t.Fatal(err)
			}
			if err := s.DeleteRange(lo, 10); err == nil || told == nil {
				t.Fatal("it goes on", err)
			}
			if err := s.StoreLogs(wholeEntries(11, 1, 1)); err == nil {
				t.Fatal("it takes what is lost with the process")
			}
			s.Close()
			if s, err = openLog(dir); err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if last, _ := s.LastIndex(); last != lo-1 {
				t.Fatal(last)
			}
			fill(t, s, lo, 20)
		})
	}
}
