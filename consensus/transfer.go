package main

import (
	"errors"
	"time"

	"github.com/hashicorp/raft"
)

const barredFor = 2 // election timeouts; a transfer takes one

// heed looks at what raft says to proposals, and passes it on. Raft refuses them while it hands the leadership over, and
// may never get to the end of that: where it asks a replica for the second time that is cut off, and loses the leadership
// meanwhile, it waits for somebody who is gone. It would refuse for ever, and the agent begins anew.
func (a *agent) heed(err error) error {
	if !errors.Is(err, raft.ErrLeadershipTransferInProgress) || a.handing.Load() > 0 {
		a.barred.Store(0)
		return err
	}
	now := int64(time.Since(a.born))
	if since := a.barred.Load(); since == 0 {
		a.barred.CompareAndSwap(0, now)
	} else if time.Duration(now-since) > barredFor*ms(a.ElectionMs) {
		a.beginAnew(errors.New("a transfer of the leadership does not end; the agent begins anew"))
	}
	return err
}

// transfer hands the leadership over to a member.
func (a *agent) transfer(id string) error {
	a.handing.Add(1)
	defer a.handing.Add(-1)
	return a.settled(a.raft.LeadershipTransferToServer(raft.ServerID(id), raft.ServerAddress(id)))
}
