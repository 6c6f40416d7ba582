package main

import (
	"errors"
	"time"

	"github.com/hashicorp/raft"
)

const barredFor = 2 // election timeouts; a transfer takes one

// checkTransfer looks at what raft says to proposals, and passes it on. Raft refuses them while it hands the leadership over, and
// may never get to the end of that: where it asks a replica for the second time that is cut off, and loses the leadership
// meanwhile, it waits for a goroutine that has ended (https://github.com/hashicorp/raft/issues/696). It would refuse for ever, and
// the agent restarts.
func (a *agent) checkTransfer(err error) error {
	if !errors.Is(err, raft.ErrLeadershipTransferInProgress) || a.handing.Load() > 0 {
		a.barred.Store(0)
		return err
	}
	now := int64(time.Since(a.born))
	if since := a.barred.Load(); since == 0 {
		a.barred.CompareAndSwap(0, now)
	} else if time.Duration(now-since) > barredFor*ms(a.ElectionMs) {
		a.requestRestart(errors.New("a transfer of the leadership does not end; the agent restarts"))
	}
	return err
}

// transfer hands the leadership over to a member.
func (a *agent) transfer(id string) error {
	a.handing.Add(1)
	defer a.handing.Add(-1)
	if err := a.pace(0); err != nil { // a transfer has as long as an election
		return err
	}
	return a.settled(a.raft.LeadershipTransferToServer(raft.ServerID(id), raft.ServerAddress(id)))
}

// keepLeadershipUseful hands leadership to a replica with a worker when this one has none.
func (a *agent) keepLeadershipUseful() {
	for more := true; more; {
		heard := a.unfit.heard()
		if a.raft.State() != raft.Leader || a.useful() {
			more = a.listen(heard)
			continue
		}
		a.handOver(anyReplica)
		more = a.pause(100 * time.Millisecond)
	}
}

// useful says whether this replica can apply what it leads in writing.
func (a *agent) useful() bool {
	serving, _, _ := a.applier.state()
	return (serving || a.awaited.Load() > 0) && a.comparer.diverged() == 0
}

// handOver makes another replica the leader: that one, or any that can.
func (a *agent) handOver(to int) bool {
	for _, status := range a.askAll(shortly) {
		if status == nil || !status.Serving || status.Replica == a.Replica || !status.Voter || (to != anyReplica && to != status.Replica) {
			continue
		}
		if a.transfer(status.ID) == nil {
			return true
		}
	}
	return false
}
