package main

import (
	"os"
	"runtime"
	"runtime/debug"
)

const (
	quiet = 64 << 10  // bytes a second that are next to nothing
	worth = 256 << 10 // bytes after which there is something to give back
)

// spare makes the collector run twice as often as Go's default: what lives is little, and mostly bytes without pointers
// that cost it nothing, so that a heap of half the size costs no time that shows.
func spare() {
	runtime.MemProfileRate = 0 // its table alone would take more than a megabyte
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50)
	}
}

// freeMemory gives memory back to the system when what took it has been over for a while; Go itself takes minutes.
func (a *agent) freeMemory() {
	var seen, owed int64
	for a.idle() {
		written := a.store.bytes.Load() + a.carried.Load()
		moved := written - seen
		seen = written
		owed += moved
		if moved > quiet || owed < worth {
			continue
		}
		a.store.entryCache.rest()
		debug.FreeOSMemory()
		owed = 0
	}
}
