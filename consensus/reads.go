package main

import (
	"encoding/binary"

	"github.com/hashicorp/raft"
)

type readAnswer struct {
	index uint64
	err   error
}

// readIndex is an index that covers all that was acknowledged before the call.
func (a *agent) readIndex(forwarded bool) ([]byte, error) {
	leader, err := a.leader(forwarded)
	if err != nil {
		return nil, err
	}
	if leader != nil {
		return leader.call(kRead, nil, patience)
	}
	reply := make(chan readAnswer, 1)
	select {
	case a.reads <- reply:
	case <-a.stopping:
		return nil, unavailable("the agent stops")
	}
	answer := <-reply
	return binary.LittleEndian.AppendUint64(nil, answer.index), answer.err
}

// answerReads confirms leadership once for all reads that wait; those that come meanwhile wait for the next round.
func (a *agent) answerReads() {
	var settled uint64 // the term of which an entry is known to be committed
	for {
		var waiting []chan readAnswer
		select {
		case <-a.stopping:
			return
		case one := <-a.reads:
			waiting = append(waiting, one)
		}
		for more := true; more; {
			select {
			case one := <-a.reads:
				waiting = append(waiting, one)
			default:
				more = false
			}
		}
		answer := a.confirmed(&settled)
		for _, one := range waiting {
			one <- answer
		}
	}
}

func (a *agent) confirmed(settled *uint64) readAnswer {
	if injectedFault == "unverified-reads" {
		return readAnswer{index: a.raft.CommitIndex()}
	}
	term := a.raft.CurrentTerm()
	if *settled != term {
		if err := a.checkTransfer(a.settled(a.raft.Barrier(patience))); err != nil {
			return readAnswer{err: unavailable("%v", err)}
		}
		if a.raft.CurrentTerm() != term {
			return readAnswer{err: unavailable("the leadership changes")}
		}
		*settled = term
	}
	index := a.raft.CommitIndex()
	if err := a.stillLeads(term); err != nil {
		return readAnswer{err: err}
	}
	if a.raft.CurrentTerm() != term {
		return readAnswer{err: unavailable("the leadership changes")}
	}
	a.applier.commit(index)
	return readAnswer{index: index}
}

// stillLeads asks a majority for its term: no leader of a later one had been elected when they answered. Raft's own
// VerifyLeader counts answers to what was sent before it was called, such as those that a leader finds which was stopped
// and wakes up. One that does not answer within an election timeout counts as gone: another replica may be asked instead.
func (a *agent) stillLeads(term uint64) error {
	future := a.raft.GetConfiguration()
	if err := future.Error(); err != nil {
		return unavailable("%v", err)
	}
	voters, answers := 0, make(chan error, len(future.Configuration().Servers))
	for _, server := range future.Configuration().Servers {
		if server.Suffrage != raft.Voter {
			continue
		}
		voters++
		go func() { answers <- a.inTerm(string(server.ID), term) }()
	}
	for agree, refuse := 0, 0; agree+refuse < voters; {
		err := <-answers
		if err == nil {
			agree++
		} else {
			refuse++
		}
		switch {
		case 2*agree > voters:
			return nil
		case 2*(voters-refuse) <= voters:
			return err
		}
	}
	return unavailable("the group has no voters")
}

func (a *agent) inTerm(member string, term uint64) error {
	now := a.raft.CurrentTerm()
	if member != a.id {
		replica, err := replicaOf(member)
		if err != nil {
			return unavailable("%v", err)
		}
		p := a.registry.get(replica)
		if p == nil {
			return unavailable("no address is known of %s", member)
		}
		body, err := p.call(kTerm, nil, ms(a.ElectionMs))
		if err != nil {
			return err
		}
		if len(body) < 8 || string(body[8:]) != member {
			return unavailable("another member answers for %s", member)
		}
		now = binary.LittleEndian.Uint64(body)
	}
	if now != term {
		return unavailable("the leadership changes")
	}
	return nil
}
