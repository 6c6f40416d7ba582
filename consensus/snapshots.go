package main

import (
	"errors"
	"time"

	"github.com/hashicorp/raft"
)

func (a *agent) takeSnapshot() error {
	bytes := a.store.bytes.Load()
	err := a.limitTrailingLog()
	if err == nil {
		err = a.settled(a.raft.Snapshot())
	}
	if err != nil && !errors.Is(err, raft.ErrNothingNewToSnapshot) {
		a.snapFails.Add(1)
		return err
	}
	a.snapBytes.Store(bytes)
	if index, _ := a.newestSnapshot(); index > 0 {
		a.snapIndex.Store(index)
	}
	return nil
}

const growthLook = 200 * time.Millisecond

// keepSnapshots takes a snapshot when the log has grown by the agreed bytes or entries, or the interval is over.
func (a *agent) keepSnapshots() {
	last, looked, pause := time.Now(), time.Now(), growthLook
	for heard := a.written.heard(); a.listen(heard) && a.pause(pause-time.Since(looked)); {
		heard, pause, looked = a.written.heard(), growthLook, time.Now()
		a.applier.mu.Lock()
		w := a.applier.worker
		able := w != nil && w.ready && w.canSnapshot
		a.applier.mu.Unlock()
		grown := a.store.bytes.Load()-a.snapBytes.Load() > int64(a.SnapshotBytes) ||
			a.raft.AppliedIndex() > a.snapIndex.Load()+uint64(a.SnapshotThreshold)
		due := a.SnapshotIntervalS > 0 && time.Since(last) > time.Duration(a.SnapshotIntervalS)*time.Second &&
			a.raft.AppliedIndex() > a.snapIndex.Load()
		if !able || (!grown && !due) {
			continue
		}
		last = time.Now()
		if err := a.takeSnapshot(); err != nil && !a.stopped() {
			a.log.Error("the snapshot failed; the log is kept", "error", err)
			pause = 5 * time.Second
		}
	}
}
