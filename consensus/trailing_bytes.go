package main

import (
	"errors"
	"sync"
	"time"
)

// sizeIndex knows how many bytes the newest entries have, so that what is kept of the log behind a snapshot, for replicas
// that are a little late, is a number of bytes rather than of entries.
type sizeIndex struct {
	mu    sync.Mutex
	total int64
	marks []sizeMark // in order
}

type sizeMark struct {
	index uint64
	total int64 // with this entry
}

const trailStep = 1 << 20

// note takes an entry that is in the log.
func (t *sizeIndex) note(index uint64, size int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for n := len(t.marks); n > 0 && t.marks[n-1].index >= index; n = len(t.marks) {
		t.marks, t.total = t.marks[:n-1], 0 // a leader took back what was there
		if n > 1 {
			t.total = t.marks[n-2].total
		}
	}
	t.total += int64(size)
	if n := len(t.marks); n == 0 || t.total-t.marks[n-1].total >= trailStep {
		t.marks = append(t.marks, sizeMark{index, t.total})
	}
}

// within is how many of the entries up to last have at most that many bytes, about.
func (t *sizeIndex) within(budget int64, last uint64) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.marks) > 1 && t.total-t.marks[0].total > budget {
		t.marks = t.marks[1:]
	}
	if len(t.marks) == 0 || t.marks[0].index > last {
		return 0
	}
	return last - t.marks[0].index
}

// limitTrailingLog makes the next snapshot leave as much of the log as there is room for.
func (a *agent) limitTrailingLog() error {
	a.tuning.Lock()
	defer a.tuning.Unlock()
	conf := a.raft.ReloadableConfig()
	conf.TrailingLogs = a.store.sizeIndex.within(int64(a.TrailingBytes), a.raft.LastIndex())
	if a.TrailingLogs >= 0 {
		conf.TrailingLogs = min(conf.TrailingLogs, uint64(a.TrailingLogs))
	}
	return a.raft.ReloadConfig(conf)
}

const (
	endLook  = 200 * time.Millisecond
	endLooks = 10 // as often the same, lest entries are just being replaced
)

// watchEnd restarts the agent where raft remembers an end of the log that a snapshot of the leader took away:
// entries that were never committed, and reached further than the snapshot. Raft agrees with no leader then, until it
// looks again as it starts.
func (a *agent) watchEnd() {
	for seen := 0; ; {
		if seen == 0 && !a.idle() || seen > 0 && !a.pause(endLook) {
			return
		}
		if !a.remembersMore() {
			seen = 0
		} else if seen++; seen == endLooks {
			a.requestRestart(errors.New("the log was overtaken by a snapshot; the agent restarts"))
		}
	}
}

func (a *agent) remembersMore() bool {
	if last, err := a.store.LastIndex(); err != nil || last != 0 {
		return false
	}
	index, _ := a.newestSnapshot()
	return index > 0 && a.raft.LastIndex() > index
}
