package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestFigures prints what the choice of engine was judged by; run it with JINA_RAFT_FIGURES=1.
func TestFigures(t *testing.T) {
	if os.Getenv("JINA_RAFT_FIGURES") == "" {
		t.Skip("JINA_RAFT_FIGURES is not set")
	}
	g := newGroup(t, 3, func(c *config) { c.HeartbeatMs, c.ElectionMs, c.LeaseMs = 500, 500, 250 })
	g.startAll()
	kilobyte := strings.Repeat("x", 1000)
	sequential := func(what string, l *lister, n int, text string) {
		var took []time.Duration
		began := time.Now()
		for range n {
			start := time.Now()
			count := len(l.snapshotOf())
			l.write(text)
			l.awaitCount(count + 1)
			took = append(took, time.Since(start))
		}
		slices.Sort(took)
		fmt.Printf("%-28s %6.0f/s p50 %v p99 %v\n", what, float64(n)/time.Since(began).Seconds(), took[n/2].Round(10*time.Microsecond), took[n*99/100].Round(10*time.Microsecond))
	}
	leader, follower := g.leader(), g.follower()
	sequential("1 KB at the leader", g.lists[leader], 500, kilobyte)
	sequential("1 KB at a follower", g.lists[follower], 500, kilobyte)
	began := time.Now()
	var all sync.WaitGroup
	for range 16 {
		all.Add(1)
		go func() {
			defer all.Done()
			for range 125 {
				g.lists[leader].write(kilobyte)
			}
		}()
	}
	all.Wait()
	fmt.Printf("%-28s %6.0f/s\n", "1 KB, 16 at once", 2000/time.Since(began).Seconds())
	began = time.Now()
	for range 16 {
		all.Add(1)
		go func() {
			defer all.Done()
			for range 10 {
				g.lists[leader].write(strings.Repeat("y", 100_000))
			}
		}()
	}
	all.Wait()
	fmt.Printf("%-28s %6.1f MB/s\n", "100 KB, 16 at once", 16/time.Since(began).Seconds())
	term := g.agents[0].raft.CurrentTerm()
	sequential("30 MB at the leader", g.lists[leader], 5, strings.Repeat("z", 30<<20))
	sequential("30 MB at a follower", g.lists[follower], 5, strings.Repeat("z", 30<<20))
	fmt.Println("elections meanwhile:", g.agents[0].raft.CurrentTerm()-term)
	reader := g.lists[follower]
	var took []time.Duration
	for range 500 {
		start := time.Now()
		for {
			if _, err := reader.ask(kRead, nil); err == nil {
				break
			}
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	fmt.Printf("%-28s p50 %v\n", "read index at a follower", took[250])
}
