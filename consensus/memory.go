package main

import (
	"runtime/debug"
	"time"
)

const busy = 1 << 20 // bytes a second that are worth a look

// tidy gives memory back to the system when what took much of it has been over for a while; Go itself takes minutes.
func (a *agent) tidy() {
	var seen int64
	for used := false; a.pause(time.Second); {
		written := a.store.bytes.Load() + a.carried.Load()
		moved := written - seen
		seen = written
		switch {
		case moved > busy:
			used = true
		case used:
			debug.FreeOSMemory()
			used = false
		}
	}
}
