package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited for %s in vain", what)
		}
	}
}

// grow makes room for one more replica, which is not started yet.
func (g *group) grow() int {
	g.peers = append(slices.Clip(g.peers), freePort(g.t))
	g.dirs = append(g.dirs, g.t.TempDir())
	g.agents = append(g.agents, nil)
	g.lists = append(g.lists, nil)
	return len(g.peers) - 1
}

func (g *group) members() map[string]string { return g.agents[g.leader()].info().Members }

func (g *group) voters(replicas ...int) bool {
	wanted := map[string]string{}
	for _, i := range replicas {
		wanted[g.agents[i].id] = "Voter"
	}
	return maps.Equal(g.members(), wanted)
}

// busy writes on and on; gives a function that ends it and tells how much was written.
func (g *group) busy(by *lister) func() int {
	var stop atomic.Bool
	done := make(chan int)
	go func() {
		n := 0
		for ; !stop.Load(); n++ {
			by.write(fmt.Sprintf("busy %d", n))
		}
		done <- n
	}()
	return func() int {
		stop.Store(true)
		return <-done
	}
}

func (l *lister) administer(request admin) error {
	body, _ := json.Marshal(request)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		_, err := l.ask(kAdmin, body)
		var status *fault
		if err == nil || time.Now().After(deadline) {
			return err
		}
		if status, _ = err.(*fault); status == nil || status.Code == "refused" {
			return err
		}
	}
}

func TestANewReplicaJoinsWhileWritesGoOnAndVotes(t *testing.T) {
	g := newGroup(t, 3, nil)
	g.startAll()
	end := g.busy(g.lists[0])
	i := g.grow()
	g.start(i, true)
	g.lists[i].awaitReady()
	until(t, "its vote", func() bool { return g.voters(0, 1, 2, 3) })
	written := end()
	same(t, g, written)
	for replica, a := range g.agents {
		if p := a.registry.get(i); p == nil || p.address != g.peers[i] {
			t.Errorf("replica %d does not know where replica %d is", replica, i)
		}
	}
	g.stop(g.leader()) // of four, three agree
	g.lists[i].write("after")
	same(t, g, written+1)
}

func TestWhereANewReplicaIsSurvivesARestartThatDoesNotKnowIt(t *testing.T) {
	g := newGroup(t, 3, func(c *config) {
		if c.Replica < 3 {
			c.Peers = c.Peers[:3]
		}
	})
	g.startAll()
	i := g.grow()
	g.start(i, true)
	g.lists[i].awaitReady()
	until(t, "its vote", func() bool { return g.voters(0, 1, 2, 3) })
	for replica := range 3 {
		g.stop(replica)
	}
	for replica := range 3 {
		g.start(replica, true)
	}
	g.stop(0) // so that the others need the fourth
	g.lists[1].write("four")
	same(t, g, 1)
}

func TestWhoMissedAJoinAsksTheOthers(t *testing.T) {
	g := newGroup(t, 3, func(c *config) {
		if c.Replica < 3 {
			c.Peers = c.Peers[:3]
		}
	})
	g.startAll()
	away := g.follower()
	g.stop(away)
	i := g.grow()
	g.start(i, true)
	g.lists[i].awaitReady()
	g.start(away, true)
	until(t, "the address", func() bool {
		p := g.agents[away].registry.get(i)
		return p != nil && p.address == g.peers[i]
	})
}

func TestAReplicaWithoutAWorkerGetsNoVote(t *testing.T) {
	g := newGroup(t, 3, nil)
	g.startAll()
	g.lists[0].write("x")
	i := g.grow()
	g.mute = true
	g.start(i, true)
	id := g.agents[i].id
	until(t, "it to join", func() bool { return g.members()[id] == "Nonvoter" })
	g.stop(i) // a member without a vote that is started again gets it later
	if g.members()[id] != "Nonvoter" {
		t.Fatal(g.members())
	}
	g.mute = false
	g.start(i, true)
	g.lists[i].awaitReady()
	until(t, "its vote", func() bool { return g.voters(0, 1, 2, 3) })
}

func TestTheLeaderIsRemovedWhileWritesGoOn(t *testing.T) {
	g := newGroup(t, 3, nil)
	g.startAll()
	old := g.leader()
	other := (old + 1) % 3
	id := g.agents[old].id
	end := g.busy(g.lists[other])
	if err := g.lists[other].administer(admin{Do: "remove", ID: id, Replica: old}); err != nil {
		t.Fatal(err)
	}
	if leads := g.leader(); leads == old || g.voters(0, 1, 2) {
		t.Fatal("it is still there")
	}
	written := end()
	g.stop(old)
	g.lists[other].write("after")
	same(t, g, written+1)
	if g.agents[other].registry.get(old) != nil {
		t.Error("its address is kept")
	}
}

func TestAReplicaIsRemovedAndAnotherTakesItsNumber(t *testing.T) {
	g := newGroup(t, 3, nil)
	g.startAll()
	g.lists[0].write("one")
	if err := g.lists[0].administer(admin{Do: "remove", Replica: 1}); err != nil && !strings.Contains(err.Error(), "no member") {
		t.Fatal(err)
	}
	first := g.agents[1].id
	g.stop(1)
	g.peers = slices.Clone(g.peers)
	g.peers[1], g.dirs[1] = freePort(t), t.TempDir()
	g.start(1, true)
	g.lists[1].awaitReady()
	until(t, "its vote", func() bool { return g.voters(0, 1, 2) })
	if g.agents[1].id == first {
		t.Error("an id was used twice")
	}
	g.lists[1].write("two")
	same(t, g, 2)
}

func TestARemovalThatWouldEndWritesIsRefused(t *testing.T) {
	g := newGroup(t, 3, nil)
	g.startAll()
	dead := g.follower()
	id := g.agents[dead].id
	g.stop(dead)
	alive := g.leader()
	other := 3 - alive - dead
	err := g.lists[alive].administer(admin{Do: "remove", Replica: other})
	if err == nil || !strings.Contains(err.Error(), "no majority") {
		t.Fatal(err)
	}
	if err := g.lists[alive].administer(admin{Do: "remove", ID: id}); err != nil {
		t.Fatal(err)
	}
	g.lists[other].write("two of two")
	if err := g.lists[alive].administer(admin{Do: "remove", ID: "7-unknown"}); err == nil || !strings.Contains(err.Error(), "no member") {
		t.Fatal(err)
	}
}

func TestTheLastReplicaStays(t *testing.T) {
	g := newGroup(t, 1, nil)
	g.startAll()
	if err := g.lists[0].administer(admin{Do: "remove", Replica: 0}); err == nil || !strings.Contains(err.Error(), "no other one can lead") {
		t.Fatal(err)
	}
}

func TestLeadershipGoesToTheReplicaThatWasNamed(t *testing.T) {
	g := newGroup(t, 3, nil)
	g.startAll()
	to := g.follower()
	if err := g.lists[0].administer(admin{Do: "transfer", Replica: to}); err != nil {
		t.Fatal(err)
	}
	until(t, "another leader", func() bool { return g.leader() == to })
}

func TestAStartOfFewerReplicasIsRefused(t *testing.T) {
	g := newGroup(t, 3, nil)
	g.startAll()
	g.lists[0].write("x")
	for i := range g.agents {
		g.stop(i)
	}
	c, _ := readConfig([]byte(`{"group": "g", "dir": "x", "socket": "x", "peers": ["x"], "log_level": "ERROR", "whole": true, "key": "` + groupKey + `"}`))
	c.Peers, c.Listen, c.Dir, c.Nonce, c.Socket = g.peers[:2], g.peers[0], g.dirs[0], "n", filepath.Join(g.socks, "few")
	if _, err := start(c); err == nil || !strings.Contains(err.Error(), "replicas=3") {
		t.Fatal(err)
	}
	g.startAll() // and nothing was changed
	same(t, g, 1)
}

// A group from which the one in the middle was removed is whole with those that are left, and with no others.
func TestAStartWithAGapIsToldFromOneOfFewer(t *testing.T) {
	g := newGroup(t, 4, func(c *config) { c.Whole = true })
	g.startAll()
	g.lists[0].write("x")
	until(t, "replica 1 is out", func() bool {
		leader := g.leader()
		if leader == 1 {
			g.agents[1].handOver(anyReplica)
			return false
		}
		return g.agents[leader].remove(admin{Replica: 1}) == nil
	})
	for i := range g.agents {
		g.stop(i)
	}
	whole := g.config(0)
	for peers, refusal := range map[string]string{"0 1 2": "has 3 replicas, 0, 2, 3, but 0, 1, 2 are", "0 2": "0, 2 are to be started: start it with replicas=3", "0 2 3": ""} {
		c := whole
		c.Peers = make([]string, 4)
		for _, one := range strings.Fields(peers) {
			n := int(one[0] - '0')
			c.Peers[n] = g.peers[n]
		}
		a, err := start(c)
		if (err == nil) != (refusal == "") || (err != nil && !strings.Contains(err.Error(), refusal)) {
			t.Errorf("a start with %s: %v", peers, err)
		}
		if a != nil {
			a.stop()
		}
	}
}

func TestAStartOfMoreReplicasTakesThemIn(t *testing.T) {
	g := newGroup(t, 3, func(c *config) { c.Whole = true })
	g.startAll()
	g.lists[0].write("x")
	for i := range g.agents {
		g.stop(i)
	}
	g.grow()
	g.grow()
	g.startAll()
	until(t, "all votes", func() bool { return g.voters(0, 1, 2, 3, 4) })
	same(t, g, 1)
}

// A disk that knows nothing must not acknowledge or vote in the name of the one that lay there before.
func TestRaftIsSpokenWithTheReplicaThatIsMeantOnly(t *testing.T) {
	g := newGroup(t, 1, nil)
	g.startAll()
	m := knows("g")
	for id, open := range map[string]bool{g.agents[0].id: true, "0-before": false} {
		conn, err := m.dial(g.peers[0], forRaft, id, time.Second)
		if (err == nil) != open {
			t.Errorf("a connection for %s: %v", id, err)
		}
		if err != nil {
			continue
		}
		conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		_, err = conn.Read(make([]byte, 1))
		if timeout, _ := err.(net.Error); (timeout != nil && timeout.Timeout()) != open {
			t.Errorf("a connection for %s: %v", id, err)
		}
		conn.Close()
	}
}

// state takes a backup by way of a replica, as an operator does.
func (g *group) state(by int) (backedUp, string) {
	g.t.Helper()
	body, _ := json.Marshal(admin{Do: "backup"})
	answer, err := g.lists[by].ask(kAdmin, body)
	if err != nil {
		g.t.Fatal(err)
	}
	var status backedUp
	if err := json.Unmarshal(answer, &status); err != nil {
		g.t.Fatal(err)
	}
	var data []byte
	for int64(len(data)) < status.Size {
		body, _ := json.Marshal(admin{Do: "read", Name: status.Name, Offset: int64(len(data)), Length: 1000})
		part, err := g.lists[by].ask(kAdmin, body)
		if err != nil {
			g.t.Fatal(err)
		}
		data = append(data, part...)
	}
	path := filepath.Join(g.t.TempDir(), "state.tar")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		g.t.Fatal(err)
	}
	return status, path
}

func offlineTask(t *testing.T, request task) (found, error) {
	t.Helper()
	in, out := io.Pipe()
	answer := make(chan found, 1)
	go func() {
		var status found
		json.NewDecoder(in).Decode(&status)
		io.Copy(io.Discard, in)
		answer <- status
	}()
	body, _ := json.Marshal(request)
	err := offline(strings.NewReader(string(body)), out)
	out.Close()
	return <-answer, err
}

func TestABackupBecomesAnotherGenerationOfTheGroup(t *testing.T) {
	g := newGroup(t, 3, nil)
	g.startAll()
	for n := range 30 {
		g.lists[n%3].write(fmt.Sprint(n))
	}
	status, state := g.state(g.follower())
	g.lists[0].write("after the backup")
	for i := range g.agents {
		g.stop(i)
	}
	old := slices.Clone(g.dirs)
	request := task{Do: "restore", Group: "g", Replicas: []int{0, 1, 2}, Generation: "second", State: state, Term: status.Term}
	for i := range g.dirs {
		request.Replica, request.Dir = i, g.dirs[i]
		got, err := offlineTask(t, request)
		if err != nil {
			t.Fatal(err)
		}
		if got.Last < status.Index || got.Aside == "" || got.Generation != "second" || len(got.Members) != 3 {
			t.Fatal(got)
		}
		old[i] = got.Aside
		t.Cleanup(func() { os.RemoveAll(got.Aside) })
	}
	g.startAll()
	same(t, g, 30)
	for n := range 10 {
		g.lists[n%3].write(fmt.Sprint("more", n))
	}
	same(t, g, 40)
	g.stop(0)
	g.dirs[0] = old[0] // an old disk has nothing to say any more
	g.mute = true
	g.start(0, false)
	select {
	case err := <-g.agents[0].failed:
		if !strings.Contains(err.Error(), "another generation") {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("an old disk goes on")
	}
	g.stop(0)
	g.dirs[0] = t.TempDir() // a blank one joins
	g.mute = false
	g.start(0, true)
	g.lists[0].awaitReady()
	until(t, "its vote", func() bool { return g.voters(0, 1, 2) })
	same(t, g, 40)
}

func TestAGroupIsRecoveredFromOneReplica(t *testing.T) {
	g := newGroup(t, 3, nil)
	g.startAll()
	for n := range 30 {
		g.lists[n%3].write(fmt.Sprint(n))
	}
	same(t, g, 30)
	for i := range g.agents {
		g.stop(i)
	}
	before, err := offlineTask(t, task{Do: "inspect", Dir: g.dirs[2]})
	if err != nil || len(before.Members) != 3 {
		t.Fatal(before, err)
	}
	got, err := offlineTask(t, task{Do: "recover", Dir: g.dirs[2], Generation: "second"})
	if err != nil {
		t.Fatal(err)
	}
	if got.ID == before.ID || got.Members[got.ID] != "Voter" || len(got.Members) != 1 || got.Last != before.Last+1 {
		t.Fatal(before, got)
	}
	g.dirs[0], g.dirs[1] = t.TempDir(), t.TempDir()
	g.startAll()
	same(t, g, 30)
	until(t, "all votes", func() bool { return g.voters(0, 1, 2) })
	g.lists[0].write("again")
	same(t, g, 31)
}

func TestFoldersInUseAreLeftAlone(t *testing.T) {
	g := newGroup(t, 1, nil)
	g.startAll()
	g.lists[0].write("x")
	status, state := g.state(0)
	for _, request := range []task{
		{Do: "recover", Dir: g.dirs[0], Generation: "second"},
		{Do: "inspect", Dir: g.dirs[0]},
		{Do: "restore", Dir: g.dirs[0], Group: "g", Replicas: []int{0}, Generation: "second", State: state, Term: status.Term},
	} {
		if _, err := offlineTask(t, request); err == nil || !strings.Contains(err.Error(), "another agent runs here") {
			t.Errorf("%s: %v", request.Do, err)
		}
	}
	g.lists[0].write("y")
	same(t, g, 2)
}

func TestTasksThatMakeNoSenseAreRefused(t *testing.T) {
	empty := t.TempDir()
	for _, request := range []task{
		{Do: "else"},
		{Do: "inspect", Dir: empty},
		{Do: "recover", Dir: empty, Generation: "x"},
		{Do: "recover", Dir: empty},
		{Do: "restore", Dir: empty, Group: "g", Replicas: []int{0}, Generation: "x", State: filepath.Join(empty, "none")},
	} {
		if _, err := offlineTask(t, request); err == nil {
			t.Errorf("%v was done", request)
		}
	}
	if left, _ := os.ReadDir(empty); len(left) != 0 {
		t.Error(left)
	}
}

// A leader that never heard of it takes the vote back that its predecessor gave.
func TestAMemberThatLosesItsVoteGetsItBack(t *testing.T) {
	g := newGroup(t, 3, nil)
	g.startAll()
	leader := g.leader()
	other := (leader + 1) % 3
	id := raft.ServerID(g.agents[other].id)
	if err := g.agents[leader].raft.DemoteVoter(id, 0, patience).Error(); err != nil {
		t.Fatal(err)
	}
	until(t, "the vote", func() bool { return g.voters(0, 1, 2) && g.agents[other].info().Voter })
	time.Sleep(2 * voteLook) // it has seen that itself
	if err := g.agents[g.leader()].raft.RemoveServer(id, 0, patience).Error(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * voteLook)
	if _, there := g.members()[string(id)]; there {
		t.Fatal("it was removed and came back")
	}
}

func TestWhoWasRemovedServesNothingUntilItIsTakenInAgain(t *testing.T) {
	g := newGroup(t, 3, nil)
	g.startAll()
	g.lists[0].write("one")
	out := g.follower()
	via := g.lists[g.leader()]
	removed := func() bool {
		g.lists[out].mu.Lock()
		defer g.lists[out].mu.Unlock()
		return g.lists[out].removed
	}
	until(t, "word of its removal", func() bool {
		// One that has not noticed yet that it has a vote asks for one again.
		if err := via.administer(admin{Do: "remove", Replica: out}); err != nil && !strings.Contains(err.Error(), "no member") {
			t.Fatal(err)
		}
		return removed()
	})
	if status := g.agents[out].info(); status.Serving || !status.Removed {
		t.Errorf("it was removed, and tells %+v", status)
	}
	err := via.administer(admin{Do: "remove", Replica: out})
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("no member with the number %d; there are ", out)) {
		t.Error(err)
	}
	if err := via.administer(admin{Do: "add", Replica: out, Address: g.peers[out]}); err != nil {
		t.Fatal(err)
	}
	g.lists[out].await("word that it is a member", func() bool { return !g.lists[out].removed })
	until(t, "its vote", func() bool { return g.voters(0, 1, 2) })
	g.lists[out].write("two")
	same(t, g, 2)
}

func TestANewcomerThatIsGivenEarlierMembersWasNotRemoved(t *testing.T) {
	a := &agent{id: "new"}
	before, after := map[string]string{"old": "Voter"}, map[string]string{"old": "Voter", "new": "Nonvoter"}
	for _, step := range []struct {
		members map[string]string
		removed bool
	}{{nil, false}, {before, false}, {after, false}, {before, true}, {after, false}} {
		if got := a.removed(step.members); got != step.removed {
			t.Errorf("removed from %v: %v", step.members, got)
		}
	}
}
