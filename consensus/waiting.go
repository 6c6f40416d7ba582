package main

import (
	"os"
	"time"
)

// lockSoon locks as lock does, and waits for an agent that is about to end: whoever started it was killed and is
// started again at once, while the agent still hands its leadership over.
func lockSoon(path string, patience time.Duration) (*os.File, error) {
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		f, err := lock(path)
		if err == nil || time.Now().After(deadline) {
			return f, err
		}
	}
}
