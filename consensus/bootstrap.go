package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
)

// bootstrap finds this replica's place: bootstraps the group once, when all planned replicas say that they are blank; a
// replica that has no vote in the group of the others joins it as a new member. A leader that does not know of a
// vote yet may take it back: a member without one asks again. A replica that was removed
// does not.
func (a *agent) bootstrap() {
	wait, voted := 10*time.Millisecond, false
	for {
		if wait == voteLook && !a.idle() || wait != voteLook && !a.pause(wait) {
			return
		}
		mine := a.info()
		if voted && (mine.Voter || mine.Members[a.id] == "") {
			wait = voteLook
			continue
		}
		status := a.askAll(time.Second)
		if err := a.suspect(status); err != nil && !voted {
			a.giveUp(err)
			return
		}
		if mine.Voter {
			if !voted {
				close(a.voting)
			}
			voted = true
			continue
		}
		wait = min(2*wait, shortly)
		switch next := a.place(status); next {
		case "bootstrap":
			var servers []raft.Server
			for _, one := range status {
				servers = append(servers, raft.Server{ID: raft.ServerID(one.ID), Address: raft.ServerAddress(one.ID)})
			}
			if err := a.settled(a.raft.BootstrapCluster(raft.Configuration{Servers: servers})); err != nil {
				a.log.Error("the group cannot be formed", "error", err)
			}
		case "join":
			if err := a.join(status); err != nil {
				a.log.Warn("joining the group did not work yet", "error", err)
			} else {
				wait = voteLook // until it is known here
			}
		}
	}
}

// place decides what a replica without a vote does now: bootstrap, join, or wait.
func (a *agent) place(status []*info) string {
	everyone, fresh := true, true
	for _, one := range status {
		if one == nil {
			everyone = false
			continue
		}
		if one.Blank {
			fresh = fresh && one.Nonce == a.Nonce
			continue
		}
		fresh = false
		if len(one.Members) > 0 && one.Members[a.id] != raft.Voter.String() && one.Replica != a.Replica {
			return "join"
		}
	}
	if everyone && fresh && a.Replica == 0 && (a.Alone || !a.Again) {
		return "bootstrap"
	}
	return "wait"
}

// suspect finds replicas whose group was restored or recovered without this disk, or of which this is one. Only a
// start is stopped by that: what serves goes on, whichever replica appears.
func (a *agent) suspect(status []*info) error {
	for _, one := range status {
		if a.Again || one == nil || one.Blank || one.Generation == a.mux.generation() {
			continue
		}
		if a.raft.LastIndex() == 0 {
			return nil // a blank disk takes the generation of the group that it joins
		}
		return fmt.Errorf("the log of replica %d is of another generation of the group than that of replica %d: one of them is "+
			"from before a backup was restored or the group was recovered; move its folder away, and it joins as a new one",
			a.Replica, one.Replica)
	}
	return nil
}

func (a *agent) giveUp(err error) {
	a.log.Error("this replica cannot go on", "error", err)
	select {
	case a.failed <- err:
	default:
	}
}

// join asks the leader to be taken in.
func (a *agent) join(status []*info) error {
	for _, one := range status {
		if one == nil || one.Role != raft.Leader.String() || one.Replica == a.Replica {
			continue
		}
		leader := a.registry.get(one.Replica)
		if leader == nil {
			continue
		}
		if one.Generation != a.mux.generation() {
			if err := adopt(a.Dir, one.Generation); err != nil {
				return err
			}
			a.mux.adopt(one.Generation)
		}
		for number, address := range one.Peers {
			if replica, err := replicaOf(number); err == nil && a.registry.get(replica) == nil {
				if err := a.registry.learn(replica, address); err != nil {
					return err
				}
			}
		}
		body, _ := json.Marshal(admin{Do: "join", ID: a.id, Replica: a.Replica, Address: a.Peers[a.Replica]})
		_, err := leader.call(kAdmin, body, time.Minute)
		return err
	}
	return errors.New("no leader is there yet")
}
