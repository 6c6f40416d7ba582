//go:build faults

package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft-wal/fs"
	walfiles "github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"
)

// This build is for tests: its disk forgets at the end of the process what was not synced, as a machine does that loses
// power, and takes as long for a sync as the file says that JINA_RAFT_DISK names (milliseconds). JINA_RAFT_PLANTED
// names a mistake that it makes on purpose, which the tests have to find.
var injectedFault = os.Getenv("JINA_RAFT_PLANTED")

const lateness = 150 * time.Millisecond // of the syncs that "early-acknowledgement" does not wait for

func segmentFiles(dir string) types.SegmentFiler {
	return walfiles.NewFiler(dir, &forgetful{FS: fs.New(), files: map[string]*unsynced{}})
}

func slowness() time.Duration {
	data, err := os.ReadFile(os.Getenv("JINA_RAFT_DISK"))
	if err != nil {
		return 0
	}
	n, _ := strconv.Atoi(strings.TrimSpace(string(data)))
	return ms(n)
}

// forgetful is a file system that keeps in memory what is written, until it is synced.
type forgetful struct {
	*fs.FS
	mu    sync.Mutex
	files map[string]*unsynced
}

// unsynced is what was written to a file and is not on its disk yet.
type unsynced struct {
	mu     sync.Mutex
	pieces []piece
	late   bool // a sync without a waiter is on its way
}

type piece struct {
	at   int64
	data []byte
}

func (f *forgetful) of(dir, name string) *unsynced {
	f.mu.Lock()
	defer f.mu.Unlock()
	path := filepath.Join(dir, name)
	if f.files[path] == nil {
		f.files[path] = &unsynced{}
	}
	return f.files[path]
}

func (f *forgetful) Create(dir, name string, size uint64) (types.WritableFile, error) {
	file, err := f.FS.Create(dir, name, size)
	return &writable{file, f.of(dir, name)}, err
}

func (f *forgetful) OpenWriter(dir, name string) (types.WritableFile, error) {
	file, err := f.FS.OpenWriter(dir, name)
	return &writable{file, f.of(dir, name)}, err
}

func (f *forgetful) OpenReader(dir, name string) (types.ReadableFile, error) {
	file, err := f.FS.OpenReader(dir, name)
	return &readable{file, f.of(dir, name)}, err
}

type readable struct {
	types.ReadableFile
	*unsynced
}

func (r *readable) ReadAt(p []byte, at int64) (int, error) { return r.overlay(r.ReadableFile, p, at) }

type writable struct {
	types.WritableFile
	*unsynced
}

func (w *writable) ReadAt(p []byte, at int64) (int, error) { return w.overlay(w.WritableFile, p, at) }

func (w *writable) WriteAt(p []byte, at int64) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pieces = append(w.pieces, piece{at, append([]byte(nil), p...)})
	return len(p), nil
}

func (w *writable) Sync() error {
	if injectedFault != "early-acknowledgement" {
		time.Sleep(slowness())
		return w.flush()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.late {
		w.late = true
		time.AfterFunc(lateness, func() {
			w.mu.Lock()
			w.late = false
			w.mu.Unlock()
			w.flush()
		})
	}
	return nil
}

func (w *writable) flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	pieces := w.pieces
	w.pieces = nil
	for _, one := range pieces {
		if _, err := w.WritableFile.WriteAt(one.data, one.at); err != nil {
			return err
		}
	}
	return w.WritableFile.Sync()
}

// overlay reads what a file will hold.
func (u *unsynced) overlay(file types.ReadableFile, p []byte, at int64) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	n, err := file.ReadAt(p, at)
	for _, one := range u.pieces {
		// Segments are allocated beforehand, so that no piece is beyond the end of its file.
		if from, to := max(at, one.at), min(at+int64(n), one.at+int64(len(one.data))); from < to {
			copy(p[from-at:to-at], one.data[from-one.at:])
		}
	}
	return n, err
}
