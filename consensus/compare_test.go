package main

import (
	"encoding/binary"
	"net"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

func hashesOf(values ...uint64) []hash {
	var all []hash
	for i, value := range values {
		all = append(all, hash{uint64(i + 1), value})
	}
	return all
}

func given(c *comparer, all []hash) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, one := range all {
		c.hashes[one.index] = one.value
		c.order = append(c.order, one.index)
	}
}

func TestTheOddReplicaIsFoundAndTheEntryNamed(t *testing.T) {
	good, bad := hashesOf(5, 6, 7, 8), hashesOf(5, 6, 70, 80)
	odd := newComparer(3)
	given(odd, bad)
	if index, out, news := odd.other(1, good); index != 3 || out || !news {
		t.Fatal(index, out, news)
	}
	if index, out, news := odd.other(2, good); index != 3 || !out || !news || odd.diverged() != 3 {
		t.Fatal(index, out, news)
	}
	sound := newComparer(3)
	given(sound, good)
	sound.other(1, good)
	if index, out, news := sound.other(0, bad); index != 3 || out || !news || sound.diverged() != 0 {
		t.Fatal(index, out, news)
	}
	if _, _, news := sound.other(0, bad); news {
		t.Fatal("told twice")
	}
}

func TestWhatIsAheadIsComparedLater(t *testing.T) {
	c := newComparer(3)
	c.other(1, hashesOf(5, 6))
	given(c, hashesOf(5, 60))
	if index, _, news := c.other(1, nil); index != 2 || !news {
		t.Fatal(index, news)
	}
}

func TestWhereAllDifferNobodyIsOdd(t *testing.T) {
	c := newComparer(3)
	given(c, hashesOf(1, 2))
	for replica, told := range map[int][]hash{1: hashesOf(1, 3), 2: hashesOf(1, 4)} {
		if index, odd, news := c.other(replica, told); index != 2 || odd || !news {
			t.Fatal(index, odd, news)
		}
	}
	if c.diverged() != 0 {
		t.Fatal(c.diverged())
	}
}

// What was told of the entry in which a replica differed first may be lost: a later one shows it as well.
func TestTheNewestHashIsEnough(t *testing.T) {
	c := newComparer(3)
	given(c, hashesOf(1, 20, 30, 40))
	c.other(1, hashesOf(1, 2, 3)[1:])
	if index, odd, _ := c.other(2, []hash{{4, 4}}); index != 4 || odd {
		t.Fatal(index, odd)
	}
	if index, odd, news := c.other(1, []hash{{4, 4}}); index != 2 || !odd || !news || c.diverged() != 2 {
		t.Fatal(index, odd, news)
	}
	c.forgive()
	given(c, hashesOf(1, 2, 3, 4))
	if _, _, news := c.other(1, []hash{{4, 4}}); news {
		t.Fatal("it agrees")
	}
}

func TestAFreshWorkerIsNotHeldToWhatTheOneBeforeItTold(t *testing.T) {
	c := newComparer(3)
	given(c, hashesOf(1, 20))
	c.renew()
	for _, replica := range []int{1, 2} {
		c.other(replica, hashesOf(1, 2))
	}
	given(c, hashesOf(1, 2))
	for _, replica := range []int{1, 2} {
		if _, _, news := c.other(replica, hashesOf(1, 2)); news {
			t.Fatal("it agrees")
		}
	}
}

func TestAReplicaThatLeftHasNoSay(t *testing.T) {
	c := newComparer(3)
	given(c, hashesOf(1, 2))
	c.other(1, hashesOf(1, 3))
	c.forget(1)
	if _, odd, _ := c.other(2, hashesOf(1, 3)); odd {
		t.Fatal("one of three is no majority")
	}
}

func TestADifferenceIsFoundThoughWhatWasToldIsLost(t *testing.T) {
	g := newGroup(t, 3, nil)
	g.startAll()
	for i, a := range g.agents {
		value := uint64(5)
		if i == 1 {
			value = 6
		}
		a.comparer.own(binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, 9), value))
		a.comparer.take()
	}
	for deadline := time.Now().Add(20 * time.Second); g.agents[1].comparer.diverged() != 9; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain until the odd replica was found")
		}
	}
	for _, i := range []int{0, 2} {
		if index := g.agents[i].comparer.diverged(); index != 0 {
			t.Fatal(i, index)
		}
	}
}

// A worker that is stopped reads nothing; the other agent has more to say than that it differs.
func TestAWorkerThatReadsNothingHoldsNoAgentUp(t *testing.T) {
	here, there := net.Pipe()
	defer there.Close()
	a := &agent{comparer: newComparer(3), applier: newApplier(raft.NewInmemStore(), raft.NewInmemSnapshotStore(), t.TempDir(), nil)}
	defer a.applier.stop()
	if err := a.applier.attach(&worker{link: newLink(here), number: 1}, helloFrame{}); err != nil {
		t.Fatal(err)
	}
	told := make([]byte, 4+16)
	told[0], told[4], told[12] = 2, 7, 1
	own := make([]byte, 16)
	own[0], own[8] = 7, 2
	a.comparer.own(own)
	compared := make(chan struct{})
	go func() {
		a.compare(told)
		close(compared)
	}()
	select {
	case <-compared:
	case <-time.After(5 * time.Second):
		t.Error("it waits")
	}
	there.SetDeadline(time.Now().Add(5 * time.Second))
	if f, err := newLink(there).read(); err != nil || f.kind != kDiverged {
		t.Error(f.kind, err)
	}
}
