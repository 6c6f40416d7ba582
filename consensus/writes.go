package main

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/hashicorp/raft"
)

// leader is whom to ask; nil for this replica itself. What was forwarded is not forwarded again.
func (a *agent) leader(forwarded bool) (*peer, error) {
	if a.raft.State() == raft.Leader {
		return nil, nil
	}
	_, id := a.raft.LeaderWithID()
	if id == "" {
		return nil, unavailable("no leader is known")
	}
	replica, err := replicaOf(string(id))
	if err == nil && replica == a.Replica {
		return nil, unavailable("the leadership changes")
	}
	p := a.registry.get(replica)
	if err != nil || p == nil {
		return nil, unavailable("no address is known of the leader %q", id)
	}
	if forwarded {
		return nil, unavailable("this replica does not lead")
	}
	return p, nil
}

// propose appends an operation to the log, here or at the leader; returns when it is committed.
func (a *agent) propose(entries [][]byte, forwarded bool) ([]byte, error) {
	size := 0
	for _, entry := range entries {
		size += len(entry)
	}
	if size > mostProposed {
		return nil, refused("%d bytes are more than an operation can have", size)
	}
	if err := checkForm(payload(entries)); err != nil {
		return nil, refused("no worker could read this operation: %v", err)
	}
	a.carried.Add(int64(size))
	leader, err := a.leader(forwarded)
	if err != nil {
		return nil, err
	}
	if leader != nil {
		return leader.propose(entries)
	}
	index, err := a.append(entries)
	return binary.LittleEndian.AppendUint64(nil, index), err
}

// payload is what is behind the heads of entries.
func payload(entries [][]byte) [][]byte {
	parts := make([][]byte, len(entries))
	for i, entry := range entries {
		parts[i] = entry[chunkHead:]
	}
	return parts
}

// append takes the entries, and drops each when it is committed.
func (a *agent) append(entries [][]byte) (uint64, error) {
	var flying []raft.ApplyFuture
	var index uint64
	alone, term := len(entries) == 1, a.raft.CurrentTerm()
	seal(rand.Uint64(), entries)
	for at := 0; at < len(entries) || len(flying) > 0; {
		for at < len(entries) && len(flying) < window {
			flying = append(flying, a.raft.Apply(entries[at], patience))
			entries[at] = nil
			at++
		}
		if err := a.checkTransfer(flying[0].Error()); err != nil {
			return 0, proposalFault(err, alone)
		}
		index = flying[0].Index()
		flying = slices.Delete(flying, 0, 1)
	}
	if !alone && a.raft.CurrentTerm() != term {
		// Entries of two terms are no operation; this one leads again, perhaps, and the first ones were dropped.
		return 0, &fault{Code: "unknown", Text: "the leadership changed meanwhile"}
	}
	return index, nil
}

func proposalFault(err error, alone bool) error {
	switch {
	case alone && (errors.Is(err, raft.ErrNotLeader) || errors.Is(err, raft.ErrEnqueueTimeout) || errors.Is(err, raft.ErrLeadershipTransferInProgress)):
		return unavailable("%v", err)
	default:
		return &fault{Code: "unknown", Text: err.Error()} // also a part of an operation: retried as a whole
	}
}

// tellCommits lets the others apply what is committed at once rather than at the next heartbeat.
func (a *agent) tellCommits() {
	for {
		select {
		case <-a.stopping:
			return
		case told := <-a.commits:
			if a.raft.State() != raft.Leader {
				continue
			}
			var body [16]byte
			binary.LittleEndian.PutUint64(body[0:], told[0])
			binary.LittleEndian.PutUint64(body[8:], told[1])
			for _, p := range a.registry.others() {
				p.tell(kCommit, body[:])
			}
		}
	}
}

// announceCommit is for what the others are to know; only the newest matters.
func (a *agent) announceCommit(index, term uint64) {
	select {
	case <-a.commits:
	default:
	}
	select {
	case a.commits <- [2]uint64{index, term}:
	default:
	}
}

const (
	commitLook = 20 * time.Millisecond
	rarestLook = 10 * commitLook
)

// followCommits is for commits without a notice: entries that are not operations, such as that of a new leader. Once all that is
// stored is committed it waits until something is.
func (a *agent) followCommits() {
	pause := commitLook
	for known := uint64(0); ; {
		heard := a.written.heard()
		committed := a.raft.CommitIndex()
		if committed > known {
			a.applier.commit(committed)
			a.announceOther(committed)
			known, pause = committed, commitLook
		}
		_, _, applied := a.applier.state()
		if max(committed, applied) >= a.raft.LastIndex() {
			if !a.hear(heard) {
				return
			}
			pause = commitLook
		} else if !a.pause(pause) {
			return
		} else {
			pause = min(2*pause, rarestLook)
		}
	}
}

// announceOther tells of a commit that raft tells no state machine of.
func (a *agent) announceOther(index uint64) {
	var l raft.Log
	if a.raft.State() == raft.Leader && a.store.GetLog(index, &l) == nil && l.Type != raft.LogCommand {
		a.announceCommit(index, l.Term)
	}
}
