package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/metadb"
	"github.com/hashicorp/raft-wal/types"
)

const (
	segmentSize = 16 << 20
	untold      = time.Minute // between two lines that say that the log cannot be written
)

// logStore is raft-wal with a check of its own on each entry (CRC-32C over index, term, type and data), and a mark of
// how far the log had got, so that a tail that went missing is noticed.
type logStore struct {
	*wal.WAL
	meta       *metadb.BoltMetaDB
	entryCache *entryCache
	sizeIndex  sizeIndex
	dir        string
	last       atomic.Uint64
	mu         sync.Mutex // of the mark
	marked     uint64

	changing sync.Mutex                  // of the entries
	failed   error                       // why they cannot be changed any more
	newest   func() (index, term uint64) // of the snapshots
	longer   func(error)                 // called when a snapshot came that does not go as far
	stored   func()                      // called when entries were stored
	broken   func(error)                 // called by fail
	told     time.Time                   // when troubled was called
	troubled func(error)                 // called when entries cannot be written, now and then
	refusal  atomic.Pointer[string]      // why the last entries could not be written; nil: they were
	bytes    atomic.Int64                // written since the process started
	sync     timings
	stop     chan struct{}
	done     chan struct{}
}

func openLog(dir string) (*logStore, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	meta := &metadb.BoltMetaDB{} // the WAL itself would never close it
	w, err := openWAL(dir, meta)
	if err != nil {
		meta.Close()
		return nil, fmt.Errorf("the log in %s cannot be opened (%s): %w", dir, suspect(dir), err)
	}
	s := &logStore{WAL: w, meta: meta, entryCache: newEntryCache(), dir: dir, stop: make(chan struct{}), done: make(chan struct{})}
	if err := s.check(); err != nil {
		w.Close()
		meta.Close()
		return nil, err
	}
	go s.keepMark()
	return s, nil
}

// openWAL is wal.Open, for which damage in its list of files may be a reason to panic.
func openWAL(dir string, meta *metadb.BoltMetaDB) (w *wal.WAL, err error) {
	defer func() {
		if failure := recover(); failure != nil {
			err = fmt.Errorf("%v", failure)
		}
	}()
	return wal.Open(dir, wal.WithSegmentSize(segmentSize), wal.WithMetaStore(meta), wal.WithSegmentFiler(segmentFiles(dir)))
}

// check reads every entry, and compares the end with the mark.
func (s *logStore) check() error {
	first, err := s.WAL.FirstIndex()
	if err != nil {
		return err
	}
	last, err := s.WAL.LastIndex()
	if err != nil {
		return err
	}
	for index := first; index != 0 && index <= last; index++ {
		var l raft.Log
		if err := s.GetLog(index, &l); err != nil {
			return err
		}
		s.sizeIndex.note(index, len(l.Data))
	}
	mark, err := readMark(s.markFile())
	if err != nil {
		return err
	}
	if last < mark {
		return fmt.Errorf("the log in %s ends at entry %d, but had %d: its tail is lost, from %s", s.dir, last, mark, place(s.dir, last+1))
	}
	s.last.Store(last)
	s.marked = mark
	return nil
}

func (s *logStore) markFile() string { return filepath.Join(s.dir, "mark") }

func readMark(path string) (uint64, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	mark, err := strconv.ParseUint(strings.TrimSpace(string(data)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return mark, nil
}

func (s *logStore) keepMark() {
	defer close(s.done)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-tick.C:
			s.mu.Lock()
			if last := s.last.Load(); last != s.marked {
				_ = s.mark(last) // the next tick tries again
			}
			s.mu.Unlock()
		}
	}
}

func checksum(l *raft.Log) uint32 {
	var head [17]byte
	binary.LittleEndian.PutUint64(head[0:], l.Index)
	binary.LittleEndian.PutUint64(head[8:], l.Term)
	head[16] = byte(l.Type)
	return crc32.Update(crc32.Checksum(head[:], castagnoli), castagnoli, l.Data)
}

func (s *logStore) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

func (s *logStore) StoreLogs(logs []*raft.Log) error {
	stored := make([]*raft.Log, len(logs))
	size := 0
	for i, l := range logs {
		one := *l
		one.Extensions = binary.LittleEndian.AppendUint32(nil, checksum(l))
		stored[i] = &one
		size += len(one.Data)
	}
	began := time.Now()
	if err := s.storeLogs(stored); err != nil {
		return err
	}
	s.sync.since(began)
	s.entryCache.add(logs)
	for _, l := range logs {
		s.sizeIndex.note(l.Index, len(l.Data))
	}
	s.bytes.Add(int64(size))
	s.last.Store(logs[len(logs)-1].Index)
	if s.stored != nil {
		s.stored()
	}
	return nil
}

func (s *logStore) storeLogs(logs []*raft.Log) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	if s.failed != nil {
		return s.failed
	}
	err := s.WAL.StoreLogs(logs)
	switch {
	case err == nil:
		s.refusal.Store(nil)
		return nil
	case errors.Is(err, types.ErrSealed):
		s.fail(err)
	case s.troubled != nil && time.Since(s.told) > untold:
		s.told = time.Now() // the library tries again and again
		s.troubled(err)
	}
	why := err.Error()
	s.refusal.Store(&why)
	return err
}

// fail says that nothing can be stored before the log is reopened: there was no room for a file.
func (s *logStore) fail(err error) {
	s.failed = err
	if s.broken != nil {
		s.broken(err)
	}
}

// GetLog reads an entry; its data are shared with others who read it.
func (s *logStore) GetLog(index uint64, l *raft.Log) error {
	if s.entryCache.get(index, l) {
		return nil
	}
	if err := s.WAL.GetLog(index, l); err != nil {
		if errors.Is(err, raft.ErrLogNotFound) {
			return err
		}
		return fmt.Errorf("entry %d of the log cannot be read (%s): %w", index, place(s.dir, index), err)
	}
	if len(l.Extensions) != 4 || l.Index != index {
		return fmt.Errorf("entry %d of the log is damaged (%s)", index, place(s.dir, index))
	}
	sum := binary.LittleEndian.Uint32(l.Extensions)
	l.Extensions = nil
	if checksum(l) != sum {
		return fmt.Errorf("entry %d of the log is damaged (%s): its checksum differs", index, place(s.dir, index))
	}
	return nil
}

// DeleteRange lowers the mark before entries at the end go. The library has all go when it takes a snapshot from the
// leader; what follows that in a log that has its last entry was acknowledged, and stays. The library then has to look
// at it again, since it has taken the members from the snapshot.
func (s *logStore) DeleteRange(lo, hi uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	end := s.last.Load()
	if hi >= end && s.newest != nil {
		if index, term := s.newest(); lo <= index && index < hi && s.agrees(index, term) {
			err := fmt.Errorf("the log goes on behind entry %d, up to which a snapshot came", index)
			s.longer(err)
			return err
		}
	}
	s.entryCache.forget(lo, hi)
	if hi >= end {
		first, err := s.WAL.FirstIndex()
		if err != nil {
			return err
		}
		kept := uint64(0) // an empty log ends at 0
		if lo > first {
			kept = lo - 1
		}
		if err := s.mark(min(kept, s.marked)); err != nil {
			return err
		}
		s.last.CompareAndSwap(end, kept) // unless something was stored behind it meanwhile
	}
	return s.deleteRange(lo, hi)
}

// deleteRange knows what the WAL forgets to say: where it cannot make the file that follows those of entries at the end,
// they are gone on the disk though not for this process, and so would be all that it stored behind them.
func (s *logStore) deleteRange(lo, hi uint64) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	end, err := s.WAL.LastIndex()
	if err != nil {
		return err
	}
	if err = s.WAL.DeleteRange(lo, hi); err != nil && hi >= end {
		s.fail(err)
	}
	return err
}

func (s *logStore) agrees(index, term uint64) bool {
	var l raft.Log
	return s.GetLog(index, &l) == nil && l.Term == term
}

// dropOvertaken removes what a crash left of a log that a snapshot took the place of: nothing could be stored behind one
// that ends before, and one that has another entry at the snapshot's end was never committed from somewhere before on.
func (s *logStore) dropOvertaken(snapshot, term uint64) error {
	first, err := s.WAL.FirstIndex()
	if err != nil || first == 0 || first > snapshot {
		return err
	}
	last, err := s.WAL.LastIndex()
	if err != nil || (last >= snapshot && s.agrees(snapshot, term)) {
		return err
	}
	return s.DeleteRange(first, last)
}

func (s *logStore) Set(key, value []byte) error { return orWait(s.WAL.Set(key, value)) }

func (s *logStore) SetUint64(key []byte, value uint64) error {
	return orWait(s.WAL.SetUint64(key, value))
}

// orWait makes callers that come when all is closed wait for the end of the process: a heartbeat that is being answered
// while the agent stops. Raft would panic, as it does when a disk fails.
func orWait(err error) error {
	if errors.Is(err, wal.ErrClosed) {
		select {}
	}
	return err
}

func (s *logStore) mark(index uint64) error {
	if err := writeFile(s.markFile(), []byte(strconv.FormatUint(index, 10))); err != nil {
		return err
	}
	s.marked = index
	return nil
}

func (s *logStore) Close() error {
	close(s.stop)
	<-s.done
	return errors.Join(s.WAL.Close(), s.meta.Close())
}

// writeFile replaces a file as a whole, synced.
func writeFile(path string, data []byte) error {
	part := path + ".part"
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if _, err = f.Write(data); err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(part, path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	return err
}

var syncDir = func(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// makeDir makes a folder, and those that it lies in, and syncs where they were made.
func makeDir(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	within := filepath.Dir(dir)
	if err := makeDir(within); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return syncDir(within)
}
