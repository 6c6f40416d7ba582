package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func same(t *testing.T, g *group, n int) {
	t.Helper()
	var first []string
	for i, l := range g.lists {
		if l == nil {
			continue
		}
		l.awaitCount(n)
		items := l.snapshotOf()
		if first == nil {
			first = items
		}
		if len(items) != n || !slices.Equal(items, first) {
			t.Fatalf("replica %d has %d items of %d, or others", i, len(items), n)
		}
	}
}

func TestWritesOfAllReplicasComeInOneOrderEverywhere(t *testing.T) {
	g := newGroup(t, 3, nil)
	g.startAll()
	var all sync.WaitGroup
	for i, l := range g.lists {
		all.Add(1)
		go func() {
			defer all.Done()
			for n := range 30 {
				l.write(fmt.Sprintf("%d-%d", i, n))
			}
		}()
	}
	all.Wait()
	same(t, g, 90)
}

func TestLargeOperationsArriveWholeBesideSmallOnes(t *testing.T) {
	g := newGroup(t, 3, func(c *config) { c.HeartbeatMs, c.ElectionMs, c.LeaseMs = 1000, 1000, 500 })
	g.startAll()
	follower, before := g.lists[g.follower()], g.agents[0].raft.CurrentTerm()
	done := make(chan struct{})
	go func() {
		follower.write(strings.Repeat("x", 20<<20))
		close(done)
	}()
	for n := range 10 {
		g.lists[g.leader()].write(fmt.Sprint(n))
	}
	<-done
	same(t, g, 11)
	if term := g.agents[0].raft.CurrentTerm(); term != before {
		t.Errorf("from term %d to %d: heartbeats starved", before, term)
	}
}

func TestAReadCoversAllThatWasAcknowledged(t *testing.T) {
	g := newGroup(t, 3, nil)
	g.startAll()
	for n := range 20 {
		g.lists[n%3].write(fmt.Sprint(n))
		reader := g.lists[(n+1)%3]
		body, err := reader.ask(kRead, nil)
		if err != nil {
			t.Fatal(err)
		}
		index := binary.LittleEndian.Uint64(body)
		reader.await("the read's index", func() bool { return reader.at >= index })
		if items := reader.snapshotOf(); len(items) < n+1 {
			t.Fatalf("a read saw %d of %d writes", len(items), n+1)
		}
	}
}

// What a leader is told of its leadership has to be asked after the read came: it may have been stopped before.
func TestAReadAsksForTheTermOfAMajority(t *testing.T) {
	g := newGroup(t, 3, nil)
	g.startAll()
	leader := g.agents[g.leader()]
	term := leader.raft.CurrentTerm()
	if err := leader.stillLeads(term); err != nil {
		t.Fatal(err)
	}
	if err := leader.stillLeads(term - 1); err == nil {
		t.Fatal("a majority is in another term")
	}
	for i := range g.agents {
		if g.agents[i] != leader {
			g.stop(i)
		}
	}
	if err := leader.stillLeads(term); err == nil {
		t.Fatal("no other replica answers")
	}
}

func TestAnotherReplicaLeadsWhenTheLeaderEnds(t *testing.T) {
	g := newGroup(t, 3, nil)
	g.startAll()
	g.lists[0].write("before")
	g.stop(g.leader())
	other := (g.leader())
	g.lists[other].write("after")
	same(t, g, 2)
}

func TestALeaderWithoutAWorkerHandsOver(t *testing.T) {
	g := newGroup(t, 3, nil)
	g.startAll()
	old := g.leader()
	g.lists[old].close()
	for deadline := time.Now().Add(5 * time.Second); g.leader() == old; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it leads on")
		}
	}
	g.lists[g.leader()].write("goes on")
	g.lists[old] = newLister(t, g.agents[old].Socket)
	g.lists[old].awaitReady()
	same(t, g, 1)
}

func TestEverythingIsThereAfterARestart(t *testing.T) {
	g := newGroup(t, 3, nil)
	g.startAll()
	for n := range 50 {
		g.lists[n%3].write(fmt.Sprint(n))
	}
	for i := range g.agents {
		g.stop(i)
	}
	for i := range g.peers {
		g.peers[i] = freePort(t) // on other ports, too
	}
	g.startAll()
	same(t, g, 50) // ready, so nothing has to be waited for
}

func TestReadyMeansCaughtUp(t *testing.T) {
	g := newGroup(t, 3, nil)
	g.startAll()
	for n := range 200 {
		g.lists[0].write(fmt.Sprint(n))
	}
	g.stop(1)
	g.start(1, true)
	g.lists[1].awaitReady()
	if items := g.lists[1].snapshotOf(); len(items) != 200 {
		t.Fatalf("ready with %d of 200", len(items))
	}
}

func TestSnapshotsReplaceTheLog(t *testing.T) {
	g := newGroup(t, 3, func(c *config) { c.TrailingLogs = 5 })
	g.startAll()
	for n := range 100 {
		g.lists[0].write(fmt.Sprint(n))
	}
	same(t, g, 100)
	for i, l := range g.lists {
		request, _ := json.Marshal(admin{Do: "snapshot"})
		if _, err := l.ask(kAdmin, request); err != nil {
			t.Fatal(err)
		}
		if status := g.agents[i].info(); status.First < 90 || status.Snapshot < 100 {
			t.Fatalf("the log begins at %d, the snapshot is at %d", status.First, status.Snapshot)
		}
	}
	g.lists[1].write("later")
	for i := range g.agents {
		g.stop(i)
	}
	g.startAll()
	same(t, g, 101)
}

func TestAReplicaThatFellBehindGetsASnapshot(t *testing.T) {
	g := newGroup(t, 3, func(c *config) { c.TrailingLogs = 2; c.SnapshotThreshold = 20 })
	g.startAll()
	g.lists[0].write("first")
	same(t, g, 1)
	behind := g.follower()
	g.stop(behind)
	// More than a file of the log holds: what is left in a file is read though it is not part of the log any more.
	for n := range 100 {
		g.lists[g.leader()].write(fmt.Sprint(n) + strings.Repeat("x", 200<<10))
	}
	for deadline := time.Now().Add(10 * time.Second); g.agents[g.leader()].info().First < 150; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the log was not shortened")
		}
	}
	g.start(behind, true)
	l := g.lists[behind]
	for deadline := time.Now().Add(15 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		l.mu.Lock()
		ready, gone, items := l.ready, l.gone, len(l.items)
		l.mu.Unlock()
		if ready && !gone && items == 101 {
			break
		}
		if gone {
			l.connect(g.agents[behind].Socket) // it was told to restart
		}
		if time.Now().After(deadline) {
			t.Fatalf("ready %v with %d items", ready, items)
		}
	}
	same(t, g, 101)
	if status := g.agents[behind].info(); status.Snapshot+1 < status.First || status.Snapshot < 50 {
		t.Errorf("it tells of a snapshot at %d, and its log begins at %d", status.Snapshot, status.First)
	}
}

func TestABlankDiskJoinsAsANewMember(t *testing.T) {
	g := newGroup(t, 3, nil)
	g.startAll()
	for n := range 20 {
		g.lists[0].write(fmt.Sprint(n))
	}
	lost := g.follower()
	old := g.agents[lost].id
	g.stop(lost)
	g.dirs[lost] = t.TempDir()
	g.start(lost, true)
	g.lists[lost].awaitReady()
	same(t, g, 20)
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		status := g.agents[g.leader()].info()
		if status.Members[g.agents[lost].id] == "Voter" && status.Members[old] == "" && len(status.Members) == 3 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("members: %v", status.Members)
		}
	}
	if old == g.agents[lost].id {
		t.Error("an id was used twice")
	}
}

func TestAWorkerMayComeBackToARestartedAgent(t *testing.T) {
	g := newGroup(t, 3, nil)
	g.startAll()
	g.lists[0].write("one")
	same(t, g, 1)
	i := g.follower()
	l := g.lists[i]
	g.lists[i] = nil
	g.agents[i].stop()
	g.lists[g.leader()].write("two")
	g.start(i, true)
	g.lists[i].close() // the fresh one that start made; the old one goes on where it was
	g.lists[i] = l
	l.connect(g.agents[i].Socket)
	l.awaitReady()
	same(t, g, 2)
	if l.resets != 0 {
		t.Error("it restarted")
	}
}

func TestAnAgentOfAnotherGroupIsNotListenedTo(t *testing.T) {
	g := newGroup(t, 1, nil)
	g.startAll()
	stranger := &peer{mux: knows("other"), address: g.peers[0]}
	if _, err := stranger.call(kStatus, nil, time.Second); err == nil {
		t.Fatal("it answered")
	}
	friend := &peer{mux: knows("g"), address: g.peers[0]}
	if _, err := friend.call(kStatus, nil, time.Second); err != nil {
		t.Fatal(err)
	}
	friend.close()
}

func TestASocketIsForItsUserAlone(t *testing.T) {
	g := newGroup(t, 1, nil)
	g.startAll()
	info, err := os.Stat(g.agents[0].Socket)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatal(info.Mode(), err)
	}
}

func TestASocketMayHaveALongPath(t *testing.T) {
	g := newGroup(t, 1, nil)
	g.socks = filepath.Join(g.socks, strings.Repeat("ein längerer Ordner ", 8))
	if err := os.MkdirAll(g.socks, 0o700); err != nil {
		t.Fatal(err)
	}
	g.startAll()
	g.lists[0].write("x")
	g.stop(0)
	if left, err := os.ReadDir(g.socks); len(left) != 0 || err != nil {
		t.Fatal(left, err)
	}
}

func TestADamagedSnapshotIsNotServed(t *testing.T) {
	g := newGroup(t, 1, func(c *config) { c.TrailingLogs = 0 })
	g.startAll()
	g.lists[0].write("x")
	request, _ := json.Marshal(admin{Do: "snapshot"})
	if _, err := g.lists[0].ask(kAdmin, request); err != nil {
		t.Fatal(err)
	}
	g.stop(0)
	states, _ := filepath.Glob(filepath.Join(g.dirs[0], "snapshots", "*", "state.bin"))
	if len(states) != 1 {
		t.Fatal(states)
	}
	data, _ := os.ReadFile(states[0])
	data[len(data)/2] ^= 1
	os.WriteFile(states[0], data, 0o600)
	g.start(0, true)
	l := g.lists[0]
	l.await("a refusal", func() bool { return l.resets > 0 && l.gone })
	if l.ready || len(l.snapshotOf()) > 0 {
		t.Error("it serves what it could not read")
	}
}

func TestWhoWaitsForRaftIsNotLeftWaitingWhenItEnds(t *testing.T) {
	g := newGroup(t, 3, nil)
	g.startAll()
	i := g.leader()
	leading := g.agents[i]
	leading.raft.Shutdown().Error()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for range 10 { // raft may take a question though no goroutine is left to answer it
			leading.handOver(anyReplica)
			if err := leading.settled(leading.raft.Barrier(time.Second)); err == nil {
				t.Error("a barrier went through")
			}
		}
	}()
	g.stop(i)
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("somebody waits for raft that ended")
	}
}
