package main

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// plain is a listener as raft sees it.
type plain struct{ net.Listener }

func (plain) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	return net.DialTimeout("tcp", string(address), timeout)
}

// moody is a log that refuses some entries, after a while.
type moody struct {
	*raft.InmemStore
	refusing atomic.Bool
	refused  atomic.Int64
}

func (m *moody) StoreLogs(logs []*raft.Log) error {
	if m.refusing.Load() {
		time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond)
		if rand.IntN(3) == 0 {
			m.refused.Add(1)
			return errors.New("no space left on device")
		}
	}
	return m.InmemStore.StoreLogs(logs)
}

func (m *moody) StoreLog(log *raft.Log) error { return m.StoreLogs([]*raft.Log{log}) }

// deaf applies nothing.
type deaf struct{}

func (deaf) Apply(*raft.Log) any                  { return nil }
func (deaf) Snapshot() (raft.FSMSnapshot, error)  { return nil, errors.New("none") }
func (deaf) Restore(snapshot io.ReadCloser) error { return snapshot.Close() }

// TestAFollowerThatRefusedEntriesGetsThemLater is about raft itself, over our transport: a follower that refuses entries
// while others are on their way to it must not be given up by the leader.
func TestAFollowerThatRefusedEntriesGetsThemLater(t *testing.T) {
	first, second := listening(t), listening(t)
	servers := raft.Configuration{Servers: []raft.Server{first.server(raft.Voter), second.server(raft.Nonvoter)}}
	store := &moody{InmemStore: raft.NewInmemStore()}
	leader := first.start(t, servers, raft.NewInmemStore())
	second.start(t, servers, store)
	until(t, "a leader", func() bool { return leader.State() == raft.Leader })
	store.refusing.Store(true)
	write := func() { leader.Apply([]byte("x"), 0) }
	for end := time.Now().Add(10 * time.Second); store.refused.Load() < 100 && time.Now().Before(end); {
		write()
		time.Sleep(100 * time.Microsecond)
	}
	store.refusing.Store(false)
	if err := leader.Apply([]byte("last"), 0).Error(); err != nil {
		t.Fatal(err)
	}
	until(t, "all entries at the follower", func() bool {
		last, err := store.LastIndex()
		return err == nil && last == leader.LastIndex()
	})
}

func listening(t *testing.T) plain {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return plain{l}
}

func (p plain) server(suffrage raft.ServerSuffrage) raft.Server {
	address := p.Addr().String()
	return raft.Server{ID: raft.ServerID(address), Address: raft.ServerAddress(address), Suffrage: suffrage}
}

// start begins a member that listens here; it ends with the test.
func (p plain) start(t *testing.T, servers raft.Configuration, logs raft.LogStore) *raft.Raft {
	conf := raft.DefaultConfig()
	conf.LocalID, conf.Logger = p.server(raft.Voter).ID, hclog.NewNullLogger()
	conf.HeartbeatTimeout, conf.ElectionTimeout = ms(200), ms(200)
	conf.LeaderLeaseTimeout, conf.CommitTimeout, conf.MaxAppendEntries = ms(100), ms(5), 4
	stable, snapshots, transport := raft.NewInmemStore(), raft.NewInmemSnapshotStore(), transportOver(p, conf.Logger)
	t.Cleanup(func() { transport.Close() })
	if err := raft.BootstrapCluster(conf, logs, stable, snapshots, transport, servers); err != nil {
		t.Fatal(err)
	}
	r, err := raft.NewRaft(conf, deaf{}, logs, stable, snapshots, transport)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if end := r.Shutdown(); !t.Failed() { // one that waits for ever does not end either
			end.Error()
		}
	})
	return r
}
