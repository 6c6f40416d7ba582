package main

import (
	"bufio"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"
)

// machine is the state machine as raft sees it: it only takes notes.
type machine struct {
	applier *applier
	told    func(index, term uint64)
	came    func(snapshot uint64)
}

func (m *machine) Apply(l *raft.Log) any { return m.ApplyBatch([]*raft.Log{l})[0] }

func (m *machine) ApplyBatch(logs []*raft.Log) []any {
	last := logs[len(logs)-1]
	m.applier.commit(last.Index)
	m.told(last.Index, last.Term)
	return make([]any, len(logs))
}

func (m *machine) Snapshot() (raft.FSMSnapshot, error) {
	m.applier.mu.Lock()
	defer m.applier.mu.Unlock()
	return &marker{m.applier, m.applier.committed}, nil
}

// Restore is called when a snapshot came from the leader; its state goes to the worker from the store.
func (m *machine) Restore(stream io.ReadCloser) error {
	defer stream.Close()
	list, err := m.applier.snapshots.List()
	if err != nil || len(list) == 0 {
		return errors.Join(err, errors.New("the snapshot that came is not in the store"))
	}
	m.applier.installed(list[0].Index)
	m.came(list[0].Index)
	return nil
}

// marker is a snapshot to be: written when the worker has got there.
type marker struct {
	applier *applier
	index   uint64
}

func (m *marker) Release() {}

func (m *marker) Persist(sink raft.SnapshotSink) error {
	dir, err := os.MkdirTemp(m.applier.dir, "snapshot-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	one, err := m.applier.snapshot(m.index, dir)
	if err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(dir, chunksFile))
	if err != nil {
		return err
	}
	out := bufio.NewWriter(f)
	if injectedFault != "lost-chunks" {
		err = one.chunks.write(out)
	}
	err = errors.Join(err, out.Flush())
	one.chunks.close()
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	return pack(dir, sink)
}
