package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/raft"
)

const (
	caughtUp  = 64 // entries that a new member may lack when it gets its vote
	admission = 50 * time.Second
	voteLook  = time.Second // how often a member looks whether it has its vote still
)

// admin is what an operator, or another agent, wants to be done.
type admin struct {
	Do      string `json:"do"` // join, add, remove, transfer; of this replica alone: snapshot, learn, forget, backup, read
	ID      string `json:"id"`
	Replica int    `json:"replica"`
	Address string `json:"address"`
	Name    string `json:"name"`
	Offset  int64  `json:"offset"`
	Length  int    `json:"length"`
	Try     bool   `json:"try"` // tell only whether it can be done
}

const anyReplica = -1

func (a *agent) administer(body []byte, forwarded bool) ([]byte, error) {
	request := admin{Replica: anyReplica}
	if err := json.Unmarshal(body, &request); err != nil {
		return nil, refused("garbled: %v", err)
	}
	switch request.Do {
	case "snapshot":
		return nil, a.takeSnapshot()
	case "learn":
		return nil, a.registry.learn(request.Replica, request.Address)
	case "forget":
		return nil, a.leaveOut(request.Replica)
	case "backup":
		return a.backup()
	case "read":
		return a.readSnapshot(request)
	}
	leader, err := a.leader(forwarded)
	if err != nil {
		return nil, err
	}
	if leader != nil {
		return leader.call(kAdmin, body, time.Minute)
	}
	switch request.Do {
	case "join", "add":
		return nil, a.admit(request)
	case "remove":
		return nil, a.remove(request)
	case "transfer":
		if request.Replica == a.Replica {
			return nil, nil // it leads already
		}
		if !a.handOver(request.Replica) {
			if request.Replica != anyReplica {
				return nil, refused("replica %d cannot lead now; members are %s", request.Replica, listed(a.info().Members))
			}
			return nil, unavailable("no other replica can lead now")
		}
		return nil, nil
	}
	return nil, refused("unknown command %q", request.Do)
}

// --- changes, on the leader -------------------------------------------------------------------------------------

// admit adds a new member: without a vote until its worker has caught up, then in the place of the one that had its
// number. First all agents are told its address.
func (a *agent) admit(request admin) error {
	if err := a.registry.learn(request.Replica, request.Address); err != nil {
		return err
	}
	p := a.registry.get(request.Replica)
	if p == nil || p.self {
		return refused("no address is known of replica %d", request.Replica)
	}
	if request.ID == "" {
		status, err := p.status(time.Second)
		if err != nil {
			return err
		}
		request.ID = status.ID
	}
	if replica, err := replicaOf(request.ID); err != nil || replica != request.Replica {
		return refused("%q is not replica %d", request.ID, request.Replica)
	}
	a.tellAll(admin{Do: "learn", Replica: request.Replica, Address: p.address}, request.Replica)
	id := raft.ServerID(request.ID)
	if err := a.settled(a.raft.AddNonvoter(id, raft.ServerAddress(id), 0, patience)); err != nil {
		return err
	}
	for deadline := time.Now().Add(admission); ; {
		status, err := p.status(time.Second)
		if err == nil && status.ID == request.ID && a.near(status) {
			break
		}
		if time.Now().After(deadline) {
			return unavailable("%s has not caught up yet", request.ID)
		}
		if !a.pause(20 * time.Millisecond) {
			return unavailable("the agent stops")
		}
		if a.raft.State() != raft.Leader {
			return unavailable("the leadership changes")
		}
	}
	for member := range a.info().Members {
		if replica, err := replicaOf(member); err == nil && replica == request.Replica && member != request.ID {
			if err := a.expel(raft.ServerID(member)); err != nil {
				return err
			}
		}
	}
	return a.settled(a.raft.AddVoter(id, raft.ServerAddress(id), 0, patience))
}

// near says whether a replica has what it needs to vote: the log, and a worker that has applied it.
func (a *agent) near(status *info) bool {
	committed := a.raft.CommitIndex()
	return status.Last > 0 && status.Last+caughtUp > committed && status.Serving && status.Applied+caughtUp > committed
}

// remove takes a member out, if those that stay can go on without it. A leader hands over first.
func (a *agent) remove(request admin) error {
	members := a.info().Members
	if request.ID == "" {
		for member := range members {
			if replica, err := replicaOf(member); err == nil && replica == request.Replica {
				request.ID = member
			}
		}
	}
	if _, known := members[request.ID]; !known {
		what := fmt.Sprintf("%q", request.ID)
		if request.ID == "" {
			what = fmt.Sprintf("with the number %d", request.Replica)
		}
		return refused("the group has no member %s; there are %s", what, listed(members))
	}
	if request.Try {
		return a.bearable(request.ID, members)
	}
	if request.ID == a.id {
		if !a.handOver(anyReplica) {
			return refused("replica %d leads, and no other one can lead now", a.Replica)
		}
		return unavailable("the leadership was handed over; ask again")
	}
	if err := a.bearable(request.ID, members); err != nil {
		return err
	}
	if err := a.expel(raft.ServerID(request.ID)); err != nil {
		return err
	}
	if replica, err := replicaOf(request.ID); err == nil {
		for member := range a.info().Members {
			if other, err := replicaOf(member); err == nil && other == replica {
				return nil // a new disk of the same number stays
			}
		}
		a.tellAll(admin{Do: "forget", Replica: replica}, replica)
		return a.leaveOut(replica)
	}
	return nil
}

func listed(members map[string]string) string {
	return strings.Join(slices.Sorted(maps.Keys(members)), ", ")
}

func (a *agent) expel(id raft.ServerID) error {
	return a.settled(a.raft.RemoveServer(id, 0, patience))
}

// bearable refuses to remove a member when those that stay would have no majority that answers.
func (a *agent) bearable(id string, members map[string]string) error {
	if members[id] != raft.Voter.String() {
		return nil
	}
	voters, answering := 0, 0
	there := map[string]bool{}
	for _, one := range a.askAll(time.Second) {
		if one != nil {
			there[one.ID] = true
		}
	}
	for member, suffrage := range members {
		if member == id || suffrage != raft.Voter.String() {
			continue
		}
		voters++
		if there[member] {
			answering++
		}
	}
	if voters == 0 {
		return refused("it is the only replica of the group")
	}
	if 2*answering <= voters {
		return refused("of the %d replicas that would stay only %d answer, which is no majority: nothing would be written any more", voters, answering)
	}
	return nil
}

// tellAll sends each other agent what concerns it; one that does not answer learns it later.
func (a *agent) tellAll(request admin, except int) {
	body, _ := json.Marshal(request)
	done := make(chan struct{})
	peers := a.registry.others()
	for _, p := range peers {
		go func() {
			if p.replica != except {
				if _, err := p.call(kAdmin, body, time.Second); err != nil {
					a.log.Warn("an agent does not hear of a change", "replica", p.replica, "error", err)
				}
			}
			done <- struct{}{}
		}()
	}
	for range peers {
		<-done
	}
}

func (a *agent) leaveOut(replica int) error {
	a.comparer.forget(replica)
	return a.registry.forget(replica)
}

// --- what every agent looks after -------------------------------------------------------------------------------

// keepRegistry asks the others for addresses of members that joined while this agent could not be reached.
func (a *agent) keepRegistry() {
	var tell outsider
	for a.idle() {
		members := a.info().Members
		tell.look(a, members)
		a.comparer.resize(len(members))
		missing := false
		for member := range members {
			replica, err := replicaOf(member)
			missing = missing || (err == nil && a.registry.get(replica) == nil)
		}
		if !missing {
			continue
		}
		for _, one := range a.askAll(time.Second) {
			if one == nil || one.Blank {
				continue
			}
			for member := range members {
				replica, err := replicaOf(member)
				if err != nil || a.registry.get(replica) != nil {
					continue
				}
				if err := a.registry.learn(replica, one.Peers[fmt.Sprint(replica)]); err != nil {
					a.log.Error("an address cannot be kept", "error", err)
				}
			}
		}
	}
}

// removed says whether this replica was a member of the group and is no more: nothing that is written reaches it, so it
// must not serve, however much it has. A newcomer is given members of before its time first.
func (a *agent) removed(members map[string]string) bool {
	if members[a.id] != "" {
		a.belonged.Store(true)
		return false
	}
	return len(members) > 0 && a.belonged.Load()
}

// outsider tells the worker when this replica was removed, and when it was added again.
type outsider struct {
	worker  *worker
	removed bool
}

func (o *outsider) look(a *agent, members map[string]string) {
	a.applier.mu.Lock()
	w := a.applier.worker
	a.applier.mu.Unlock()
	if w != o.worker {
		*o = outsider{worker: w} // a new one takes itself for a member
	}
	if removed := a.removed(members); w != nil && removed != o.removed {
		o.removed = removed
		w.writeJSON(kRemoved, 0, map[string]bool{"removed": removed})
	}
}

func counted(replicas []int) string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(replicas), " ", ", "), "[]")
}

// planned refuses a start that would leave voters of the group behind: as many replicas, started without the others,
// could not tell a small group from the half of a large one.
func (a *agent) planned() error {
	if !a.Whole || a.Again {
		return nil
	}
	future := a.raft.GetConfiguration()
	if future.Error() != nil {
		return nil
	}
	voters, most, lacking := 0, 0, false
	var members []int
	for _, server := range future.Configuration().Servers {
		replica, err := replicaOf(string(server.ID))
		if err != nil || server.Suffrage != raft.Voter {
			continue
		}
		voters++
		members = append(members, replica)
		most = max(most, replica+1)
		lacking = lacking || replica >= len(a.Peers) || a.Peers[replica] == ""
	}
	if !lacking {
		return nil
	}
	var started []int
	for replica, address := range a.Peers {
		if address != "" {
			started = append(started, replica)
		}
	}
	slices.Sort(members)
	wanted := voters
	if len(started) >= voters {
		wanted = most
	}
	return fmt.Errorf("the group %q has %d replicas, %s, but %s are to be started: start it with replicas=%d, and remove "+
		"replicas while it runs", a.Group, voters, counted(members), counted(started), wanted)
}
