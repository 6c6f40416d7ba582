package main

import (
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// info is what agents tell each other and their workers.
type info struct {
	ID        string            `json:"id"`
	Replica   int               `json:"replica"`
	Nonce     string            `json:"nonce"`
	Blank     bool              `json:"blank"`
	Members   map[string]string `json:"members"`
	Voter     bool              `json:"voter"`
	Role      string            `json:"role"`
	Term      uint64            `json:"term"`
	Leader    string            `json:"leader"`
	First     uint64            `json:"first"`
	Last      uint64            `json:"last"`
	Committed uint64            `json:"committed"`
	Applied   uint64            `json:"applied"`
	Serving   bool              `json:"serving"`
	Snapshot  uint64            `json:"snapshot"`
	SnapFails int64             `json:"snapshot_failures"`
	Diverged  uint64            `json:"diverged"`
	Removed   bool              `json:"removed"`
	LogBytes  int64             `json:"log_bytes_written"`
	Disk      string            `json:"disk,omitempty"` // why the last entries could not be written to it

	Group      string            `json:"group"`
	Generation string            `json:"generation"`
	Peers      map[string]string `json:"peers"` // addresses by replica
}

func (a *agent) info() *info {
	serving, applied, committed := a.applier.state()
	first, _ := a.store.FirstIndex()
	last := a.raft.LastIndex()
	status := &info{
		ID: a.id, Replica: a.Replica, Nonce: a.Nonce, Role: a.raft.State().String(), Term: a.raft.CurrentTerm(),
		First: first, Last: last, Committed: max(committed, a.raft.CommitIndex()), Applied: applied,
		Snapshot: a.snapIndex.Load(), SnapFails: a.snapFails.Load(), Diverged: a.comparer.diverged(), LogBytes: a.store.bytes.Load(),
		Members: map[string]string{}, Blank: last == 0,
		Group: a.Group, Generation: a.mux.generation(), Peers: a.registry.addresses(),
	}
	if why := a.store.refusal.Load(); why != nil {
		status.Disk = *why
	}
	_, leader := a.raft.LeaderWithID()
	status.Leader = string(leader)
	if future := a.raft.GetConfiguration(); future.Error() == nil {
		for _, server := range future.Configuration().Servers {
			status.Members[string(server.ID)] = server.Suffrage.String()
			status.Voter = status.Voter || (string(server.ID) == a.id && server.Suffrage == raft.Voter)
		}
	}
	status.Removed = a.removed(status.Members)
	status.Serving = serving && status.Diverged == 0 && !status.Removed
	return status
}

func (a *agent) askAll(patience time.Duration) []*info {
	peers := a.registry.all()
	answers := make([]*info, len(peers))
	var all sync.WaitGroup
	for i, p := range peers {
		if p.self {
			answers[i] = a.info()
			continue
		}
		all.Add(1)
		go func() {
			defer all.Done()
			if status, err := p.status(patience); err == nil {
				answers[i] = status
			}
		}()
	}
	all.Wait()
	return answers
}
