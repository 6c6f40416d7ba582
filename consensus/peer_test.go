package main

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// silent takes connections and says nothing on the first ones; after that it answers as an agent does.
func silent(t *testing.T, first int32) (string, *atomic.Int32) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	dials := new(atomic.Int32)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { conn.Close() })
			if dials.Add(1) <= first {
				continue
			}
			go func() {
				conn.Read(make([]byte, hello))
				said := newLink(conn)
				for {
					f, err := said.read()
					if err != nil {
						return
					}
					said.write(kOK, f.id, f.body)
				}
			}()
		}
	}()
	return l.Addr().String(), dials
}

// A replica that is cut off lets dials run into their limit. All that want to reach it wait for the same one, and what
// is told to it waits for nothing.
func TestAReplicaThatCannotBeReachedHoldsNobodyUp(t *testing.T) {
	address, dials := silent(t, 1<<30)
	p := &peer{mux: &mux{group: "g", guard: newAuthority(t).guardWith("a", "127.0.0.1")}, address: address}
	defer p.close()
	const many = 20
	began, failed := time.Now(), make(chan error, many)
	for range many {
		go func() {
			_, err := p.call(kTerm, nil, time.Second)
			failed <- err
		}()
	}
	until(t, "a dial", func() bool { return dials.Load() > 0 })
	tell := time.Now()
	p.tell(kCommit, make([]byte, 16))
	if took := time.Since(tell); took > 500*time.Millisecond {
		t.Errorf("telling took %v", took)
	}
	for range many {
		if err := <-failed; err == nil {
			t.Error("who answered?")
		}
	}
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("%d calls took %v", many, took)
	}
}

// A connection over which nothing comes may be one that a partition broke: it would take as long again to recover.
func TestASilentConnectionIsGivenUp(t *testing.T) {
	address, _ := silent(t, 1)
	p := &peer{mux: &mux{group: "g"}, address: address}
	defer p.close()
	until(t, "an answer by another connection", func() bool {
		_, err := p.call(kTerm, []byte("?"), 100*time.Millisecond)
		return err == nil
	})
}

// A connection for the status may ask for that, and no more: it cannot make the agent reserve memory either.
func TestAStrangerSaysLittle(t *testing.T) {
	g := newGroup(t, 1, nil)
	g.startAll()
	conn, err := knows("g").dial(g.peers[0], forStatus, "", time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	said := newLink(conn)
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	if err := said.write(kStatus, 1); err != nil {
		t.Fatal(err)
	}
	var told info
	if f, err := said.read(); err != nil || json.Unmarshal(f.body, &told) != nil || told.Group != "g" {
		t.Fatal(f.kind, err)
	}
	head := headOf(kStatus, 2, 100<<20)
	if _, err := conn.Write(append(head[:], make([]byte, 1024)...)); err != nil {
		t.Fatal(err)
	}
	if _, err := said.read(); err == nil || isTimeout(err) {
		t.Fatalf("it is listened to: %v", err)
	}
}

func isTimeout(err error) bool {
	timeout, is := err.(net.Error)
	return is && timeout.Timeout()
}

func TestConnectionsThatEndedLeaveNothing(t *testing.T) {
	g := newGroup(t, 1, nil)
	g.startAll()
	before := runtime.NumGoroutine()
	for range 100 {
		conn, err := knows("g").dial(g.peers[0], forPeer, "", time.Second)
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		said := newLink(conn)
		said.write(kTerm, 7)
		if f, err := said.read(); err != nil || f.id != 7 || binary.LittleEndian.Uint64(f.body) == 0 {
			t.Fatal(err)
		}
		conn.Close()
	}
	until(t, "the end of what served them", func() bool { return runtime.NumGoroutine() < before+50 })
}

// What a replica cannot store, as where its disk is full, it will not have applied in time: others may answer.
func TestAReadIsNotAnsweredWhereTheLogDoesNotFollow(t *testing.T) {
	g := newGroup(t, 3, nil)
	g.startAll()
	g.lists[0].write("one")
	same(t, g, 1)
	leader, behind := g.leader(), g.follower()
	stuck := g.agents[behind].store
	stuck.entryCache.mu.Lock() // nothing is stored, and heartbeats are answered
	writer, reader := g.lists[leader], g.lists[behind]
	writer.write("two")
	_, err := reader.ask(kRead, nil)
	stuck.entryCache.mu.Unlock()
	var told *fault
	if !errors.As(err, &told) || told.Code != "unavailable" {
		t.Fatal(err)
	}
	same(t, g, 2)
	if _, err := reader.ask(kRead, nil); err != nil {
		t.Fatal(err)
	}
}
