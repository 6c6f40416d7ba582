package main

import (
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// figures is the status of an agent: what other agents may know, and what it costs.
type figures struct {
	*info
	PID           int               `json:"pid"`
	Elections     int64             `json:"elections"`       // after which this replica knew a leader
	Lag           map[string]*int64 `json:"lag,omitempty"`   // entries that other members do not have yet, told by the leader; null: silent
	Disks         map[string]string `json:"disks"`           // of this replica, and told by the leader of others: why the log cannot be written there
	Sync          distribution      `json:"sync"`            // seconds to write and sync entries
	LogSize       int64             `json:"log_bytes"`       // on the disk
	Unapplied     int               `json:"unapplied_bytes"` // sent to the worker and not yet applied
	SnapshotBytes int64             `json:"snapshot_bytes"`  // of the newest one
	SnapshotTime  float64           `json:"snapshot_time"`   // Unix time of the newest one; 0: there is none
}

func (a *agent) figures() *figures {
	status := &figures{info: a.info(), PID: os.Getpid(), Elections: a.elections.Load(), Sync: a.store.sync.read(), LogSize: sizeOf(a.store.dir)}
	a.applier.mu.Lock()
	if w := a.applier.worker; w != nil {
		status.Unapplied = w.bytes
	}
	a.applier.mu.Unlock()
	if list, err := a.snapshots.List(); err == nil && len(list) > 0 {
		status.SnapshotBytes = list[0].Size
		if stat, err := os.Stat(filepath.Join(a.Dir, "snapshots", list[0].ID)); err == nil {
			status.SnapshotTime = float64(stat.ModTime().UnixMilli()) / 1000
		}
	}
	seen := []*info{status.info}
	if status.Role == raft.Leader.String() {
		seen = a.askAll(shortly)
		status.Lag = lags(status.info, seen)
	}
	status.Disks = refusals(seen)
	return status
}

// refusals is why entries cannot be written, by replica where that is so.
func refusals(status []*info) map[string]string {
	found := map[string]string{}
	for _, one := range status {
		if one != nil && one.Disk != "" {
			found[strconv.Itoa(one.Replica)] = one.Disk
		}
	}
	return found
}

// lags is how many entries of the leader's log each of the other members does not have, by replica.
func lags(leader *info, status []*info) map[string]*int64 {
	found := map[string]*int64{}
	for id := range leader.Members {
		replica, err := replicaOf(id)
		if err != nil || id == leader.ID {
			continue
		}
		var behind *int64
		for _, one := range status {
			if one != nil && one.ID == id {
				entries := max(0, int64(leader.Last)-int64(one.Last))
				behind = &entries
			}
		}
		found[strconv.Itoa(replica)] = behind
	}
	return found
}

func sizeOf(dir string) (size int64) {
	entries, _ := os.ReadDir(dir)
	for _, one := range entries {
		if stat, err := one.Info(); err == nil && stat.Mode().IsRegular() {
			size += stat.Size()
		}
	}
	return size
}

// countElections counts each leader that this replica gets to know, also the same one again after a time without.
func (a *agent) countElections() {
	seen := make(chan raft.Observation, 16)
	observer := raft.NewObserver(seen, false, func(o *raft.Observation) bool {
		leader, is := o.Data.(raft.LeaderObservation)
		return is && leader.LeaderID != ""
	})
	a.raft.RegisterObserver(observer)
	defer a.raft.DeregisterObserver(observer)
	for {
		select {
		case <-a.stopping:
			return
		case <-seen:
			a.elections.Add(1)
			a.unfit.ring()
		}
	}
}

var bounds = [...]float64{0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}

// timings counts durations; any goroutine may add.
type timings struct {
	counts [len(bounds) + 1]atomic.Int64
	micros atomic.Int64
}

type distribution struct {
	Bounds []float64 `json:"bounds"`
	Counts []int64   `json:"counts"` // not above each bound but above the one before; the last one: above all
	Sum    float64   `json:"sum"`
}

func (t *timings) since(began time.Time) {
	took := time.Since(began)
	at := 0
	for at < len(bounds) && took.Seconds() > bounds[at] {
		at++
	}
	t.counts[at].Add(1)
	t.micros.Add(took.Microseconds())
}

func (t *timings) read() distribution {
	status := distribution{Bounds: bounds[:], Sum: float64(t.micros.Load()) / 1e6}
	for i := range t.counts {
		status.Counts = append(status.Counts, t.counts[i].Load())
	}
	return status
}
