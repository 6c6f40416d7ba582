package main

import (
	"os"
	"sync"
	"time"
)

// rest is the interval at which a quiet agent polls what it is not notified of.
const rest = time.Second

// bell tells all that wait for it that something happened.
type bell struct {
	mu sync.Mutex
	ch chan struct{}
}

// heard is closed by the next ring; ask for it before looking at what may have happened.
func (b *bell) heard() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch == nil {
		b.ch = make(chan struct{})
	}
	return b.ch
}

func (b *bell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch != nil {
		close(b.ch)
		b.ch = nil
	}
}

func (a *agent) pause(d time.Duration) bool { return a.await(nil, d) }

// idle waits for the next rest. All that rest wake up at the same moments: each one for itself costs Go's scheduler about
// ten wake-ups of the process.
func (a *agent) idle() bool { return a.await(nil, a.untilRest()) }

// listen waits for a bell, or for the next rest.
func (a *agent) listen(heard <-chan struct{}) bool { return a.await(heard, a.untilRest()) }

func (a *agent) untilRest() time.Duration { return rest - time.Since(a.born)%rest }

func (a *agent) hear(heard <-chan struct{}) bool {
	select {
	case <-a.stopping:
		return false
	case <-heard:
		return true
	}
}

// await waits so long, or until heard is closed; false when the agent stops.
func (a *agent) await(heard <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-a.stopping:
		return false
	case <-heard:
		return true
	case <-timer.C:
		return true
	}
}

// lockSoon locks as lock does, and waits for an agent that is about to end: its parent was killed and is
// started again at once, while the agent still hands its leadership over.
func lockSoon(path string, patience time.Duration) (*os.File, error) {
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		f, err := lock(path)
		if err == nil || time.Now().After(deadline) {
			return f, err
		}
	}
}
