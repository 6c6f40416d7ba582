package main

import (
	"testing"
)

func TestABellIsHeardByAllThatAskedBefore(t *testing.T) {
	var b bell
	b.ring() // not waited for
	first, second := b.heard(), b.heard()
	select {
	case <-first:
		t.Fatal("a ring of before was heard")
	default:
	}
	b.ring()
	<-first
	<-second
	select {
	case <-b.heard():
		t.Fatal("a ring was heard twice")
	default:
	}
}

// Heartbeats keep a leader beyond many leases, and a follower has the timeouts that were configured once more.
func TestALeaderBeatsForAllAndAFormerOneIsAsFastAsBefore(t *testing.T) {
	g := newGroup(t, 3, nil)
	g.startAll()
	leader := g.leader()
	a := g.agents[leader]
	until(t, "the pace of a leader", func() bool { return a.raft.ReloadableConfig().HeartbeatTimeout == ownBeats*a.period() })
	term := a.raft.CurrentTerm()
	for range 20 {
		if !a.pause(ms(a.LeaseMs)) || a.raft.CurrentTerm() != term {
			t.Fatal("the leadership changed without a reason")
		}
	}
	if !a.handOver(anyReplica) {
		t.Fatal("no other replica takes the leadership")
	}
	until(t, "the pace of a follower", func() bool {
		conf := a.raft.ReloadableConfig()
		return conf.HeartbeatTimeout == ms(a.HeartbeatMs) && conf.ElectionTimeout == ms(a.ElectionMs)
	})
}
