package main

import (
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

const (
	window       = 16 // entries of one operation on their way at a time
	large        = 1 << 20
	patience     = 10 * time.Second
	shortly      = 250 * time.Millisecond
	manySettings = math.MaxInt32
)

type agent struct {
	config
	id        string
	log       hclog.Logger
	store     *logStore
	snapshots *raft.FileSnapshotStore
	mux       *mux
	transport *raft.NetworkTransport
	raft      *raft.Raft
	applier   *applier
	comparer  *comparer
	registry  *peerRegistry
	workers   net.Listener
	born      time.Time
	lock      *os.File // held as long as the agent lives

	commits    chan [2]uint64
	written    bell       // entries were stored
	unfit      bell       // it may be better that another replica leads
	tuning     sync.Mutex // of raft's configuration, which is read and changed
	reads      chan chan readAnswer
	stopping   chan struct{}
	over       chan struct{} // closed when raft has ended
	failed     chan error    // what ends the process
	anew       chan error    // what ends it to be started again
	voting     chan struct{} // closed when this replica has a vote: from then on, a blank disk is a lost one
	background sync.WaitGroup

	snapBytes atomic.Int64 // log bytes at the last snapshot
	snapIndex atomic.Uint64
	snapFails atomic.Int64
	elections atomic.Int64 // see countElections
	awaited   atomic.Int64 // workers that wait for the group
	carried   atomic.Int64 // bytes proposed here, or for others
	handing   atomic.Int32 // transfers of the leadership under way
	barred    atomic.Int64 // since when raft refuses proposals because of one, see checkTransfer; 0 while it does not
	belonged  atomic.Bool  // whether this replica was a member once, see removed
}

func start(c config) (*agent, error) {
	if err := makeDir(c.Dir); err != nil {
		return nil, err
	}
	a := &agent{
		config: c, born: time.Now(), commits: make(chan [2]uint64, 1), reads: make(chan chan readAnswer),
		stopping: make(chan struct{}), over: make(chan struct{}), failed: make(chan error, 1), anew: make(chan error, 1),
		voting: make(chan struct{}),
	}
	a.log = hclog.New(&hclog.LoggerOptions{
		Name: fmt.Sprintf("%s/rep-%d consensus", c.Group, c.Replica), Level: hclog.LevelFromString(c.LogLevel), Output: os.Stderr,
	})
	var err error
	if a.lock, err = lockSoon(filepath.Join(c.Dir, "lock"), patience/2); err != nil {
		return nil, err
	}
	known, err := identify(c.Dir, c.Group, c.Replica)
	if err != nil {
		return nil, err
	}
	a.id = known.ID
	if a.store, err = openLog(filepath.Join(c.Dir, "log")); err != nil {
		return nil, err
	}
	if a.snapshots, err = raft.NewFileSnapshotStoreWithLogger(c.Dir, 2, a.log.Named("raft")); err != nil {
		return nil, err
	}
	if err := errors.Join(sweep(c.Dir), a.checkDisk()); err != nil {
		return nil, err
	}
	a.store.newest, a.store.longer = a.newestSnapshot, a.requestRestart
	scratch := filepath.Join(c.Dir, "scratch")
	if err := os.MkdirAll(scratch, 0o700); err != nil {
		return nil, err
	}
	a.applier = newApplier(a.store, a.snapshots, scratch, func(text string, args ...any) { a.log.Warn(fmt.Sprintf(text, args...)) })
	a.applier.left = a.unfit.ring
	a.store.stored = func() {
		a.applier.check()
		a.written.ring()
	}
	a.store.troubled = func(err error) {
		a.log.Error("the log cannot be written; no write is acknowledged until it can", "error", err)
	}
	a.store.broken = func(err error) {
		a.log.Error("nothing can be written before the agent restarts; is the disk full?", "error", err)
		os.Exit(1)
	}
	a.comparer = newComparer(len(c.Peers))
	if a.mux, err = listen(c.Listen, c.Group, c.SharePort); err != nil {
		return nil, err
	}
	if a.mux.guard, err = newGuard(c, a.hosts, func(text string, args ...any) { a.log.Error(fmt.Sprintf(text, args...)) }); err != nil {
		return nil, err
	}
	a.mux.id, a.mux.peer, a.mux.key = a.id, a.servePeer, []byte(c.Key)
	a.mux.doubts.say = func(text string, args ...any) { a.log.Error(fmt.Sprintf(text, args...)) }
	a.mux.adopt(known.Generation)
	a.mux.resolve = func(address raft.ServerAddress) (string, error) { return a.addressOf(string(address)) }
	if a.registry, err = openRegistry(filepath.Join(c.Dir, "peers.json"), c.Peers, c.Replica, a.mux); err != nil {
		return nil, err
	}
	if err := a.startRaft(); err != nil {
		return nil, err
	}
	if err := errors.Join(a.planned(), a.announce()); err != nil {
		a.raft.Shutdown().Error()
		return nil, errors.Join(err, a.transport.Close(), a.store.Close(), a.lock.Close())
	}
	go a.mux.serve()
	if err := a.listenWorkers(); err != nil {
		return nil, err
	}
	a.spawn(a.bootstrap)
	a.spawn(a.keepRegistry)
	a.spawn(a.followCommits)
	a.spawn(a.tellCommits)
	a.spawn(a.answerReads)
	a.spawn(a.beat)
	a.spawn(a.keepLeadershipUseful)
	a.spawn(a.countElections)
	a.spawn(a.keepSnapshots)
	a.spawn(a.tellHashes)
	a.spawn(a.freeMemory)
	a.spawn(a.watchEnd)
	return a, nil
}

func (a *agent) spawn(f func()) {
	a.background.Add(1)
	go func() {
		defer a.background.Done()
		f()
	}()
}

func (a *agent) startRaft() error {
	a.transport = transportOver(&stream{a.mux, a.id}, a.log.Named("raft"))
	conf := raft.DefaultConfig()
	conf.LocalID = raft.ServerID(a.id)
	conf.HeartbeatTimeout, conf.ElectionTimeout = ms(a.HeartbeatMs), ms(a.ElectionMs)
	conf.LeaderLeaseTimeout, conf.CommitTimeout = ms(a.LeaseMs), ms(a.CommitMs)
	conf.MaxAppendEntries = a.MaxAppendEntries
	conf.TrailingLogs = 0                   // see limitTrailingLog
	conf.SnapshotThreshold = math.MaxUint64 // by bytes and on request, see keepSnapshots
	conf.SnapshotInterval = time.Duration(manySettings) * time.Second
	conf.BatchApplyCh = true
	conf.NoSnapshotRestoreOnStart = true
	conf.ShutdownOnRemove = false
	conf.Logger = a.log.Named("raft")
	r, err := raft.NewRaft(conf, &machine{a.applier, a.announceCommit, a.snapIndex.Store}, a.store, a.store, a.snapshots, a.transport)
	if err != nil {
		return err
	}
	a.raft = r
	a.belonged.Store(r.LastIndex() > 0)
	if index, _ := a.newestSnapshot(); index > 0 {
		a.snapIndex.Store(index)
		a.applier.installed(index)
	}
	return nil
}

func (a *agent) requestRestart(err error) {
	select {
	case a.anew <- err:
	default:
	}
}

func (a *agent) newestSnapshot() (index, term uint64) {
	if list, err := a.snapshots.List(); err == nil && len(list) > 0 {
		return list[0].Index, list[0].Term
	}
	return 0, 0
}

func (a *agent) addressOf(id string) (string, error) {
	if replica, err := replicaOf(id); err == nil {
		if p := a.registry.get(replica); p != nil {
			return p.address, nil
		}
	}
	return "", fmt.Errorf("no address is known of %q", id)
}

// stop hands leadership over and ends.
func (a *agent) stop() {
	if a.raft.State() == raft.Leader {
		a.handOver(anyReplica)
	}
	close(a.stopping)
	a.workers.Close()
	a.applier.stop()
	a.raft.Shutdown().Error()
	close(a.over)
	a.transport.Close()
	a.registry.close()
	a.background.Wait()
	a.store.Close()
	os.Remove(a.Socket)
	os.Remove(a.announcement())
	a.lock.Close()
}

func (a *agent) stopped() bool {
	select {
	case <-a.stopping:
		return true
	default:
		return false
	}
}

// settled is what came of a question to raft, which answers none that it took in the moment of its end.
func (a *agent) settled(question raft.Future) error {
	answer := make(chan error, 1)
	go func() { answer <- question.Error() }()
	select {
	case err := <-answer:
		return err
	case <-a.over:
		return raft.ErrRaftShutdown
	}
}
