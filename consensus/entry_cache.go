package main

import (
	"sync"

	"github.com/hashicorp/raft"
)

const (
	recentBytes = 4 << 20
	recentCount = 512 // small ones are read again within so many
)

// entryCache holds the newest entries, up to a number of bytes and of entries, as they were stored: each is read several
// times right after (to be sent on, to be compared with a notice, to be applied), and none of that needs the disk.
type entryCache struct {
	mu    sync.Mutex
	logs  map[uint64]*raft.Log
	first uint64 // the oldest one here; all up to the newest are
	next  uint64
	bytes int
}

func newEntryCache() *entryCache { return &entryCache{logs: map[uint64]*raft.Log{}} }

func (r *entryCache) get(index uint64, l *raft.Log) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	known := r.logs[index]
	if known == nil {
		return false
	}
	*l = *known
	return true
}

func (r *entryCache) add(logs []*raft.Log) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(logs) > 0 && logs[0].Index != r.next {
		r.clear(logs[0].Index)
	}
	for _, l := range logs {
		one := *l
		r.logs[l.Index] = &one
		r.bytes += len(l.Data)
		r.next = l.Index + 1
	}
	for r.first < r.next && (r.bytes > recentBytes || r.next-r.first > recentCount) {
		r.drop()
	}
}

// forget is called before entries go, from whichever end.
func (r *entryCache) forget(lo, hi uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if hi+1 >= r.next {
		if lo < r.next {
			r.clear(0)
		}
		return
	}
	for r.first <= hi && r.first < r.next {
		r.drop()
	}
}

// rest is for when nothing has come for a while: what is here has been read.
func (r *entryCache) rest() {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := r.next
	r.logs = map[uint64]*raft.Log{} // a map that was cleared keeps its room
	r.clear(next)
}

func (r *entryCache) drop() {
	r.bytes -= len(r.logs[r.first].Data)
	delete(r.logs, r.first)
	r.first++
}

func (r *entryCache) clear(next uint64) {
	clear(r.logs)
	r.first, r.next, r.bytes = next, next, 0
}
