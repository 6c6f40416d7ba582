package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/raft"
)

// reread builds the open operations of a worker that was connected before, out of the log.
func (a *applier) reread(w *worker, hello helloFrame) error {
	for index := hello.Resume; index != 0 && index <= hello.Applied; index++ {
		var l raft.Log
		if err := a.log.GetLog(index, &l); err != nil {
			return err
		}
		if l.Type != raft.LogCommand {
			w.assembly.pass(l.Term)
		} else if part, err := w.assembly.add(l.Index, l.Term, l.Data); err != nil {
			return err
		} else if part != nil {
			part.close()
		}
	}
	return nil
}

// unrestored tells why a snapshot cannot be read, or why it cannot be written into a folder: a disk may be full.
func (a *applier) unrestored(snapshot *raft.SnapshotMeta, dir string, err error) error {
	if at := (*fs.PathError)(nil); dir != "" && errors.As(err, &at) && strings.HasPrefix(at.Path, dir) {
		return fmt.Errorf("the snapshot of entry %d cannot be unpacked: %w", snapshot.Index, err)
	}
	return fmt.Errorf("the snapshot of entry %d is damaged (%s): %w", snapshot.Index, inSnapshot(filepath.Dir(a.dir), snapshot.ID), err)
}

// restore gives the newest snapshot to a fresh worker; 0 where there is none.
func (a *applier) restore(w *worker) (uint64, error) {
	list, err := a.snapshots.List()
	if err != nil || len(list) == 0 {
		return 0, err
	}
	_, stream, err := a.snapshots.Open(list[0].ID)
	if err != nil {
		return 0, a.unrestored(list[0], "", err)
	}
	defer stream.Close()
	dir, err := os.MkdirTemp(a.dir, "restore-")
	if err != nil {
		return 0, err
	}
	read := true
	defer func() { a.spare(dir, !read) }()
	if err := unpack(stream, dir); err != nil {
		return 0, a.unrestored(list[0], dir, err)
	}
	var manifest struct {
		Index uint64 `json:"index"`
	}
	data, err := os.ReadFile(filepath.Join(dir, manifestFile))
	if err == nil {
		err = json.Unmarshal(data, &manifest)
	}
	if err != nil {
		return 0, fmt.Errorf("the snapshot %s has no manifest that can be read: %w", list[0].ID, err)
	}
	chunks, err := os.Open(filepath.Join(dir, chunksFile))
	if err == nil {
		w.assembly, err = readAssembler(bufio.NewReader(chunks), a.dir)
		chunks.Close()
	}
	if err != nil {
		return 0, fmt.Errorf("the snapshot %s: %w", list[0].ID, err)
	}
	// Between the last operation in a snapshot and its end there may be entries that are none; the log begins behind its end.
	index := max(manifest.Index, list[0].Index)
	one := &snapshotRequest{answer: make(chan error, 1)}
	a.mu.Lock()
	if w.gone {
		a.mu.Unlock()
		return 0, errGone
	}
	w.nextWish++
	id := w.nextWish
	w.answers[id] = one
	a.mu.Unlock()
	if err := w.writeJSON(kRestore, id, map[string]any{"dir": dir, "index": index}); err != nil {
		return 0, err
	}
	err = <-one.answer
	read = !errors.Is(err, errGone)
	if err != nil {
		return 0, fmt.Errorf("the worker could not restore %s: %w", list[0].ID, err)
	}
	return index, nil
}

// spare removes a folder, later if a worker may be reading it: one that lost its connection alone does, and would take
// what goes meanwhile for an empty state.
func (a *applier) spare(dir string, later bool) {
	if !later {
		os.RemoveAll(dir)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.leftovers = append(a.leftovers, dir)
}
