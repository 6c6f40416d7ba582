package main

import (
	"reflect"
	"testing"
	"time"
	"unsafe"

	"github.com/hashicorp/raft"
)

// hang makes a raft take a transfer of the leadership for unfinished.
func hang(r *raft.Raft) {
	field := reflect.ValueOf(r).Elem().FieldByName("leaderState").FieldByName("leadershipTransferInProgress")
	*(*int32)(unsafe.Pointer(field.UnsafeAddr())) = 1
}

func TestAnAgentBeginsAnewWhereATransferDoesNotEnd(t *testing.T) {
	g := newGroup(t, 3, nil)
	g.startAll()
	leading := g.agents[g.leader()]
	hang(leading.raft)
	until(t, "the end of the agent", func() bool {
		leading.propose(cut(1, operation("x")), false)
		return len(leading.anew) > 0
	})
}

func TestATransferThatEndsIsWaitedFor(t *testing.T) {
	a := &agent{born: time.Now().Add(-time.Hour), anew: make(chan error, 1)}
	a.ElectionMs = 20
	told := func() bool { return len(a.anew) > 0 }
	a.handing.Store(1)
	for range 5 {
		a.checkTransfer(raft.ErrLeadershipTransferInProgress)
		time.Sleep(15 * time.Millisecond)
	}
	a.handing.Store(0)
	for range 5 { // others in between
		a.checkTransfer(raft.ErrLeadershipTransferInProgress)
		time.Sleep(15 * time.Millisecond)
		a.checkTransfer(nil)
	}
	if told() {
		t.Fatal("it restarts though transfers ended")
	}
	a.checkTransfer(raft.ErrLeadershipTransferInProgress)
	time.Sleep(50 * time.Millisecond)
	a.checkTransfer(raft.ErrLeadershipTransferInProgress)
	if !told() {
		t.Fatal("it goes on though a transfer does not end")
	}
}
