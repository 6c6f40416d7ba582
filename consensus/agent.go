package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
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
	book      *book
	workers   net.Listener
	born      time.Time
	lock      *os.File // held as long as the agent lives

	commits    chan [2]uint64
	reads      chan chan readAnswer
	stopping   chan struct{}
	over       chan struct{} // closed when raft has ended
	failed     chan error    // what ends the process
	anew       chan error    // what ends it to be started again
	background sync.WaitGroup

	snapBytes atomic.Int64 // log bytes at the last snapshot
	snapIndex atomic.Uint64
	snapFails atomic.Int64
	elections atomic.Int64 // see countElections
	awaited   atomic.Int64 // workers that wait for the group
	carried   atomic.Int64 // bytes proposed here, or for others
	handing   atomic.Int32 // transfers of the leadership under way
	barred    atomic.Int64 // since when raft refuses proposals because of one, see heed; 0 while it does not
	belonged  atomic.Bool  // whether this replica was a member once, see removed
}

func start(c config) (*agent, error) {
	if err := makeDir(c.Dir); err != nil {
		return nil, err
	}
	a := &agent{
		config: c, born: time.Now(), commits: make(chan [2]uint64, 1), reads: make(chan chan readAnswer),
		stopping: make(chan struct{}), over: make(chan struct{}), failed: make(chan error, 1), anew: make(chan error, 1),
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
	a.store.newest, a.store.longer = a.newestSnapshot, a.beginAnew
	scratch := filepath.Join(c.Dir, "scratch")
	if err := os.MkdirAll(scratch, 0o700); err != nil {
		return nil, err
	}
	a.applier = newApplier(a.store, a.snapshots, scratch, func(text string, args ...any) { a.log.Warn(fmt.Sprintf(text, args...)) })
	a.store.stored = a.applier.check
	a.store.broken = func(err error) {
		a.log.Error("nothing can be written before the agent begins anew; is the disk full?", "error", err)
		os.Exit(1)
	}
	a.comparer = newComparer(len(c.Peers))
	if a.mux, err = listen(c.Listen, c.Group, c.SharePort); err != nil {
		return nil, err
	}
	if a.mux.guard, err = newGuard(c, a.hosts, func(text string, args ...any) { a.log.Error(fmt.Sprintf(text, args...)) }); err != nil {
		return nil, err
	}
	a.mux.id, a.mux.peer = a.id, a.servePeer
	a.mux.adopt(known.Generation)
	a.mux.resolve = func(address raft.ServerAddress) (string, error) { return a.addressOf(string(address)) }
	if a.book, err = openBook(filepath.Join(c.Dir, "peers.json"), c.Peers, c.Replica, a.mux); err != nil {
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
	a.spawn(a.form)
	a.spawn(a.keepBook)
	a.spawn(a.followCommits)
	a.spawn(a.tellCommits)
	a.spawn(a.answerReads)
	a.spawn(a.keepLeadershipUseful)
	a.spawn(a.countElections)
	a.spawn(a.keepSnapshots)
	a.spawn(a.tellHashes)
	a.spawn(a.tidy)
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
	a.transport = raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: &stream{a.mux, a.id}, MaxPool: 3, Timeout: patience, Logger: a.log.Named("raft"), MaxRPCsInFlight: 2,
	})
	conf := raft.DefaultConfig()
	conf.LocalID = raft.ServerID(a.id)
	conf.HeartbeatTimeout, conf.ElectionTimeout = ms(a.HeartbeatMs), ms(a.ElectionMs)
	conf.LeaderLeaseTimeout, conf.CommitTimeout = ms(a.LeaseMs), ms(a.CommitMs)
	conf.MaxAppendEntries = a.MaxAppendEntries
	conf.TrailingLogs = 0                   // see limitTrail
	conf.SnapshotThreshold = math.MaxUint64 // by bytes and on request, see keepSnapshots
	conf.SnapshotInterval = time.Duration(manySettings) * time.Second
	conf.BatchApplyCh = true
	conf.NoSnapshotRestoreOnStart = true
	conf.ShutdownOnRemove = false
	conf.Logger = a.log.Named("raft")
	told := func(index, term uint64) {
		// Only the newest matters.
		select {
		case <-a.commits:
		default:
		}
		select {
		case a.commits <- [2]uint64{index, term}:
		default:
		}
	}
	r, err := raft.NewRaft(conf, &machine{a.applier, told, a.snapIndex.Store}, a.store, a.store, a.snapshots, a.transport)
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

func (a *agent) beginAnew(err error) {
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
		if p := a.book.get(replica); p != nil {
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
	a.book.close()
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

func (a *agent) pause(d time.Duration) bool {
	select {
	case <-a.stopping:
		return false
	case <-time.After(d):
		return true
	}
}

// --- writes ---------------------------------------------------------------------------------------------------

func (a *agent) leader() (*peer, bool, error) {
	if a.raft.State() == raft.Leader {
		return nil, true, nil
	}
	_, id := a.raft.LeaderWithID()
	if id == "" {
		return nil, false, unavailable("no leader is known")
	}
	replica, err := replicaOf(string(id))
	if err == nil && replica == a.Replica {
		return nil, false, unavailable("the leadership changes")
	}
	p := a.book.get(replica)
	if err != nil || p == nil {
		return nil, false, unavailable("no address is known of the leader %q", id)
	}
	return p, false, nil
}

// propose appends an operation to the log, here or at the leader; returns when it is committed.
func (a *agent) propose(entries [][]byte, forwarded bool) ([]byte, error) {
	size := 0
	for _, entry := range entries {
		size += len(entry)
	}
	if size > mostProposed {
		return nil, refused("%d bytes are more than an operation can have", size)
	}
	a.carried.Add(int64(size))
	leader, self, err := a.leader()
	if err != nil {
		return nil, err
	}
	if self {
		index, err := a.append(entries)
		return binary.LittleEndian.AppendUint64(nil, index), err
	}
	if forwarded {
		return nil, unavailable("this replica does not lead")
	}
	return leader.propose(entries)
}

// append takes the entries, and lets go of each when it is committed.
func (a *agent) append(entries [][]byte) (uint64, error) {
	var flying []raft.ApplyFuture
	var index uint64
	alone, term := len(entries) == 1, a.raft.CurrentTerm()
	seal(rand.Uint64(), entries)
	for at := 0; at < len(entries) || len(flying) > 0; {
		for at < len(entries) && len(flying) < window {
			flying = append(flying, a.raft.Apply(entries[at], patience))
			entries[at] = nil
			at++
		}
		if err := a.heed(flying[0].Error()); err != nil {
			return 0, proposalFault(err, alone)
		}
		index = flying[0].Index()
		flying = slices.Delete(flying, 0, 1)
	}
	if !alone && a.raft.CurrentTerm() != term {
		// Entries of two terms are no operation; this one leads again, perhaps, and the first ones were dropped.
		return 0, &fault{Code: "unknown", Text: "the leadership changed meanwhile"}
	}
	return index, nil
}

func proposalFault(err error, alone bool) error {
	switch {
	case alone && (errors.Is(err, raft.ErrNotLeader) || errors.Is(err, raft.ErrEnqueueTimeout) || errors.Is(err, raft.ErrLeadershipTransferInProgress)):
		return unavailable("%v", err)
	default:
		return &fault{Code: "unknown", Text: err.Error()} // also a part of an operation: retried as a whole
	}
}

// tellCommits lets the others apply what is committed at once rather than at the next heartbeat.
func (a *agent) tellCommits() {
	for {
		select {
		case <-a.stopping:
			return
		case told := <-a.commits:
			if a.raft.State() != raft.Leader {
				continue
			}
			var body [16]byte
			binary.LittleEndian.PutUint64(body[0:], told[0])
			binary.LittleEndian.PutUint64(body[8:], told[1])
			for _, p := range a.book.others() {
				p.tell(kCommit, body[:])
			}
		}
	}
}

// followCommits is for what nobody tells: entries that are no operations, such as that of a new leader.
func (a *agent) followCommits() {
	for a.pause(20 * time.Millisecond) {
		a.applier.commit(a.raft.CommitIndex())
	}
}

// --- reads ----------------------------------------------------------------------------------------------------

type readAnswer struct {
	index uint64
	err   error
}

// readIndex is an index that covers all that was acknowledged before the call.
func (a *agent) readIndex(forwarded bool) ([]byte, error) {
	leader, self, err := a.leader()
	if err != nil {
		return nil, err
	}
	if !self {
		if forwarded {
			return nil, unavailable("this replica does not lead")
		}
		return leader.call(kRead, nil, patience)
	}
	reply := make(chan readAnswer, 1)
	select {
	case a.reads <- reply:
	case <-a.stopping:
		return nil, unavailable("the agent stops")
	}
	answer := <-reply
	return binary.LittleEndian.AppendUint64(nil, answer.index), answer.err
}

// answerReads confirms leadership once for all reads that wait; those that come meanwhile wait for the next round.
func (a *agent) answerReads() {
	var settled uint64 // the term of which an entry is known to be committed
	for {
		var waiting []chan readAnswer
		select {
		case <-a.stopping:
			return
		case one := <-a.reads:
			waiting = append(waiting, one)
		}
		for more := true; more; {
			select {
			case one := <-a.reads:
				waiting = append(waiting, one)
			default:
				more = false
			}
		}
		answer := a.confirmed(&settled)
		for _, one := range waiting {
			one <- answer
		}
	}
}

func (a *agent) confirmed(settled *uint64) readAnswer {
	if planted == "unverified-reads" {
		return readAnswer{index: a.raft.CommitIndex()}
	}
	term := a.raft.CurrentTerm()
	if *settled != term {
		if err := a.heed(a.settled(a.raft.Barrier(patience))); err != nil {
			return readAnswer{err: unavailable("%v", err)}
		}
		if a.raft.CurrentTerm() != term {
			return readAnswer{err: unavailable("the leadership changes")}
		}
		*settled = term
	}
	index := a.raft.CommitIndex()
	if err := a.stillLeads(term); err != nil {
		return readAnswer{err: err}
	}
	if a.raft.CurrentTerm() != term {
		return readAnswer{err: unavailable("the leadership changes")}
	}
	a.applier.commit(index)
	return readAnswer{index: index}
}

// stillLeads asks a majority for its term: nobody had been elected in a later one when they answered. Raft's own
// VerifyLeader counts answers to what was sent before it was called, such as those that a leader finds which was stopped
// and wakes up. Who does not answer within an election timeout is as good as gone: another replica may be asked instead.
func (a *agent) stillLeads(term uint64) error {
	future := a.raft.GetConfiguration()
	if err := future.Error(); err != nil {
		return unavailable("%v", err)
	}
	voters, answers := 0, make(chan error, len(future.Configuration().Servers))
	for _, server := range future.Configuration().Servers {
		if server.Suffrage != raft.Voter {
			continue
		}
		voters++
		go func() { answers <- a.inTerm(string(server.ID), term) }()
	}
	for agree, refuse := 0, 0; agree+refuse < voters; {
		err := <-answers
		if err == nil {
			agree++
		} else {
			refuse++
		}
		switch {
		case 2*agree > voters:
			return nil
		case 2*(voters-refuse) <= voters:
			return err
		}
	}
	return unavailable("the group has no voters")
}

func (a *agent) inTerm(member string, term uint64) error {
	now := a.raft.CurrentTerm()
	if member != a.id {
		replica, err := replicaOf(member)
		if err != nil {
			return unavailable("%v", err)
		}
		p := a.book.get(replica)
		if p == nil {
			return unavailable("no address is known of %s", member)
		}
		body, err := p.call(kTerm, nil, ms(a.ElectionMs))
		if err != nil {
			return err
		}
		if len(body) < 8 || string(body[8:]) != member {
			return unavailable("another member answers for %s", member)
		}
		now = binary.LittleEndian.Uint64(body)
	}
	if now != term {
		return unavailable("the leadership changes")
	}
	return nil
}

// --- leadership and membership --------------------------------------------------------------------------------

// keepLeadershipUseful hands leadership to a replica with a worker when this one has none.
func (a *agent) keepLeadershipUseful() {
	for a.pause(100 * time.Millisecond) {
		serving, _, _ := a.applier.state()
		lacking := !serving && a.awaited.Load() == 0
		if (lacking || a.comparer.diverged() != 0) && a.raft.State() == raft.Leader {
			a.handOver(anyReplica)
		}
	}
}

// handOver makes another replica the leader: that one, or any that can.
func (a *agent) handOver(to int) bool {
	for _, told := range a.askAll(shortly) {
		if told == nil || !told.Serving || told.Replica == a.Replica || !told.Voter || (to != anyReplica && to != told.Replica) {
			continue
		}
		if a.transfer(told.ID) == nil {
			return true
		}
	}
	return false
}

// info is what agents tell each other and their workers.
type info struct {
	ID        string            `json:"id"`
	Replica   int               `json:"replica"`
	Nonce     string            `json:"nonce"`
	Blank     bool              `json:"blank"`
	Members   map[string]string `json:"members"`
	Voter     bool              `json:"voter"`
	Role      string            `json:"role"`
	Term      uint64            `json:"term"`
	Leader    string            `json:"leader"`
	First     uint64            `json:"first"`
	Last      uint64            `json:"last"`
	Committed uint64            `json:"committed"`
	Applied   uint64            `json:"applied"`
	Serving   bool              `json:"serving"`
	Snapshot  uint64            `json:"snapshot"`
	SnapFails int64             `json:"snapshot_failures"`
	Diverged  uint64            `json:"diverged"`
	Removed   bool              `json:"removed"`
	LogBytes  int64             `json:"log_bytes_written"`

	Group      string            `json:"group"`
	Generation string            `json:"generation"`
	Peers      map[string]string `json:"peers"` // addresses by replica
}

func (a *agent) info() *info {
	serving, applied, committed := a.applier.state()
	first, _ := a.store.FirstIndex()
	last := a.raft.LastIndex()
	told := &info{
		ID: a.id, Replica: a.Replica, Nonce: a.Nonce, Role: a.raft.State().String(), Term: a.raft.CurrentTerm(),
		First: first, Last: last, Committed: max(committed, a.raft.CommitIndex()), Applied: applied,
		Snapshot: a.snapIndex.Load(), SnapFails: a.snapFails.Load(), Diverged: a.comparer.diverged(), LogBytes: a.store.bytes.Load(),
		Members: map[string]string{}, Blank: last == 0,
		Group: a.Group, Generation: a.mux.generation(), Peers: a.book.addresses(),
	}
	_, leader := a.raft.LeaderWithID()
	told.Leader = string(leader)
	if future := a.raft.GetConfiguration(); future.Error() == nil {
		for _, server := range future.Configuration().Servers {
			told.Members[string(server.ID)] = server.Suffrage.String()
			told.Voter = told.Voter || (string(server.ID) == a.id && server.Suffrage == raft.Voter)
		}
	}
	told.Removed = a.removed(told.Members)
	told.Serving = serving && told.Diverged == 0 && !told.Removed
	return told
}

func (a *agent) askAll(patience time.Duration) []*info {
	peers := a.book.all()
	answers := make([]*info, len(peers))
	var all sync.WaitGroup
	for i, p := range peers {
		if p.self {
			answers[i] = a.info()
			continue
		}
		all.Add(1)
		go func() {
			defer all.Done()
			if told, err := p.status(patience); err == nil {
				answers[i] = told
			}
		}()
	}
	all.Wait()
	return answers
}

// --- snapshots ------------------------------------------------------------------------------------------------

func (a *agent) takeSnapshot() error {
	bytes := a.store.bytes.Load()
	err := a.limitTrail()
	if err == nil {
		err = a.settled(a.raft.Snapshot())
	}
	if err != nil && !errors.Is(err, raft.ErrNothingNewToSnapshot) {
		a.snapFails.Add(1)
		return err
	}
	a.snapBytes.Store(bytes)
	if index, _ := a.newestSnapshot(); index > 0 {
		a.snapIndex.Store(index)
	}
	return nil
}

// keepSnapshots takes a snapshot when the log has grown by the agreed bytes or entries, or the interval is over.
func (a *agent) keepSnapshots() {
	last, pause := time.Now(), 200*time.Millisecond
	for a.pause(pause) {
		pause = 200 * time.Millisecond
		a.applier.mu.Lock()
		w := a.applier.worker
		able := w != nil && w.ready && w.canSnapshot
		a.applier.mu.Unlock()
		grown := a.store.bytes.Load()-a.snapBytes.Load() > int64(a.SnapshotBytes) ||
			a.raft.AppliedIndex() > a.snapIndex.Load()+uint64(a.SnapshotThreshold)
		due := a.SnapshotIntervalS > 0 && time.Since(last) > time.Duration(a.SnapshotIntervalS)*time.Second &&
			a.raft.AppliedIndex() > a.snapIndex.Load()
		if !able || (!grown && !due) {
			continue
		}
		last = time.Now()
		if err := a.takeSnapshot(); err != nil && !a.stopped() {
			a.log.Error("the snapshot failed; the log is kept", "error", err)
			pause = 5 * time.Second
		}
	}
}
