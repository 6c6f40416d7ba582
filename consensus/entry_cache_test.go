package main

import (
	"testing"

	"github.com/hashicorp/raft"
)

func entries(first, count uint64, size int) []*raft.Log {
	var logs []*raft.Log
	for index := first; index < first+count; index++ {
		logs = append(logs, &raft.Log{Index: index, Term: 1, Data: make([]byte, size)})
	}
	return logs
}

func holds(r *entryCache, indexes ...uint64) bool {
	var l raft.Log
	for _, index := range indexes {
		if !r.get(index, &l) || l.Index != index {
			return false
		}
	}
	return true
}

func TestRecentEntriesAreKeptUpToTheirBytes(t *testing.T) {
	r := newEntryCache()
	r.add(entries(5, 4, recentBytes/4))
	if !holds(r, 5, 6, 7, 8) {
		t.Fatal("what has room is gone")
	}
	r.add(entries(9, 1, 1))
	if holds(r, 5) || !holds(r, 6, 7, 8, 9) || r.bytes > recentBytes {
		t.Fatal("not the oldest one went")
	}
}

func TestRecentEntriesAreKeptUpToTheirNumber(t *testing.T) {
	r := newEntryCache()
	r.add(entries(1, recentCount, 1))
	if !holds(r, 1, recentCount) {
		t.Fatal("what has room is gone")
	}
	r.add(entries(recentCount+1, 2, 1))
	if holds(r, 1) || holds(r, 2) || !holds(r, 3, recentCount+2) || r.bytes != recentCount {
		t.Fatal("not the oldest ones went")
	}
}

func TestRecentEntriesGoWhenNothingComes(t *testing.T) {
	r := newEntryCache()
	r.add(entries(5, 3, 8))
	r.rest()
	if holds(r, 7) || r.bytes != 0 {
		t.Fatal("what was read is still there")
	}
	r.add(entries(8, 2, 8))
	if !holds(r, 8, 9) || r.bytes != 16 {
		t.Fatal("what comes after a rest is not kept")
	}
	r.forget(1, 8)
	if holds(r, 8) || !holds(r, 9) || r.bytes != 8 {
		t.Fatal("the head was to go")
	}
}

func TestRecentEntriesGoWithTheLog(t *testing.T) {
	r := newEntryCache()
	r.add(entries(1, 10, 8))
	r.forget(1, 4)
	if holds(r, 4) || !holds(r, 5, 10) {
		t.Fatal("the head was to go")
	}
	r.forget(8, 10) // taken back by a new leader
	if holds(r, 8) || holds(r, 10) {
		t.Fatal("what was taken back is still there")
	}
	r.add([]*raft.Log{{Index: 8, Term: 2, Data: []byte("new")}})
	var l raft.Log
	if !r.get(8, &l) || l.Term != 2 || holds(r, 9) {
		t.Fatal("the new entry is not the one that is found")
	}
}
