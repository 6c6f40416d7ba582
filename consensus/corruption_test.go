package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/hashicorp/raft"
)

// flip changes one byte of a file, and gives its path and where.
func flip(t *testing.T, pattern string, at func(data []byte) int) (string, int) {
	t.Helper()
	found, _ := filepath.Glob(pattern)
	if len(found) == 0 {
		t.Fatal("no ", pattern)
	}
	data, _ := os.ReadFile(found[0])
	n := at(data)
	data[n] ^= 0x10
	if err := os.WriteFile(found[0], data, 0o600); err != nil {
		t.Fatal(err)
	}
	return found[0], n
}

var byteNamed = regexp.MustCompile(`, bytes? (\d+)`)

// names fails unless the error tells the file and a byte at or before, but not long before, the damage.
func names(t *testing.T, err error, path string, at, near int) {
	t.Helper()
	if err == nil {
		t.Fatal("nothing was refused")
	}
	found := byteNamed.FindStringSubmatch(err.Error())
	if !strings.Contains(err.Error(), path) || found == nil {
		t.Fatalf("%v does not name %s and a byte", err, path)
	}
	if told, _ := strconv.Atoi(found[1]); told > at || told < at-near {
		t.Fatalf("%v; it is at %d", err, at)
	}
}

func filled(t *testing.T, entries uint64) string {
	dir := t.TempDir()
	s, err := openLog(dir)
	if err != nil {
		t.Fatal(err)
	}
	fill(t, s, 1, entries)
	s.mu.Lock()
	s.mark(entries)
	s.mu.Unlock()
	s.Close()
	return dir
}

func TestDamagedFilesOfTheLogAreNamed(t *testing.T) {
	cases := map[string]func(data []byte) int{
		"data": func(data []byte) int { return bytes.Index(data, []byte("7 7")) },
		"kind of a frame": func(data []byte) int {
			return bytes.Index(data, []byte("7 7")) - bytes.Index(data, []byte("1 1")) + segmentHead
		},
		"first entry": func(data []byte) int { return bytes.Index(data, []byte("1 1")) },
	}
	for name, at := range cases {
		t.Run(name, func(t *testing.T) {
			dir := filled(t, 20)
			path, n := flip(t, filepath.Join(dir, "*.wal"), at)
			s, err := openLog(dir)
			if err == nil {
				s.Close()
			}
			names(t, err, path, n, 64)
		})
	}
}

func TestADamagedHeadOfASegmentIsNamed(t *testing.T) {
	dir := t.TempDir()
	s, err := openLog(dir)
	if err != nil {
		t.Fatal(err)
	}
	for first := uint64(1); len(segments(dir)) < 2; first += 8 {
		for index := first; index < first+8; index++ {
			if err := s.StoreLog(&raft.Log{Index: index, Term: 1, Data: make([]byte, 1<<20)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.Close()
	path, n := flip(t, filepath.Join(dir, "*.wal"), func([]byte) int { return 8 })
	_, err = openLog(dir)
	names(t, err, path, n, 0)
}

func TestADamagedListOfFilesIsNoPanic(t *testing.T) {
	dir := filled(t, 20)
	path := filepath.Join(dir, "wal-meta.db")
	data, _ := os.ReadFile(path)
	for i := range data {
		data[i] ^= 0x55
	}
	os.WriteFile(path, data, 0o600)
	if _, err := openLog(dir); err == nil || !strings.Contains(err.Error(), path) {
		t.Fatal(err)
	}
}

func TestADamagedSnapshotIsNamed(t *testing.T) {
	for _, name := range []string{"list.json", "meta.json"} {
		t.Run(name, func(t *testing.T) {
			g := newGroup(t, 1, func(c *config) { c.TrailingLogs = 0 })
			g.startAll()
			g.lists[0].write("needle")
			request, _ := json.Marshal(admin{Do: "snapshot"})
			if _, err := g.lists[0].ask(kAdmin, request); err != nil {
				t.Fatal(err)
			}
			g.lists[0].write("after")
			snapshot := filepath.Join(g.dirs[0], "snapshots", "*")
			g.stop(0)
			c := g.config(0)
			if name == "meta.json" {
				path, _ := flip(t, filepath.Join(snapshot, name), func([]byte) int { return 0 })
				if _, err := start(c); err == nil || !strings.Contains(err.Error(), path) {
					t.Fatal(err)
				}
				return
			}
			path, n := flip(t, filepath.Join(snapshot, snapshotState), func(data []byte) int { return bytes.Index(data, []byte("needle")) })
			g.start(0, true)
			l := g.lists[0]
			l.await("a refusal", func() bool { return l.resets > 0 && l.gone })
			names(t, fmt.Errorf("%s", l.reason), path, n, 64)
		})
	}
}

func TestAFullDiskIsNoDamageOfASnapshot(t *testing.T) {
	a, dir := &applier{dir: filepath.Join(t.TempDir(), "work")}, t.TempDir()
	full := &fs.PathError{Op: "write", Path: filepath.Join(dir, "x"), Err: syscall.ENOSPC}
	told := a.unrestored(&raft.SnapshotMeta{Index: 7}, dir, full).Error()
	if !strings.Contains(told, "entry 7 cannot be unpacked") || strings.Contains(told, "damaged") {
		t.Fatal(told)
	}
	if told := a.unrestored(&raft.SnapshotMeta{ID: "a"}, dir, io.ErrUnexpectedEOF).Error(); !strings.Contains(told, "damaged") {
		t.Fatal(told)
	}
}

// The files stay within what the budgets, two segments and what was written meanwhile come to.
func TestTheLogStaysBounded(t *testing.T) {
	g := newGroup(t, 1, func(c *config) { c.SnapshotBytes, c.TrailingBytes = 4<<20, 4<<20 })
	g.startAll()
	text, most := strings.Repeat("x", 1<<20), int64(0)
	for range 150 {
		g.lists[0].write(text)
		most = max(most, bytesIn(filepath.Join(g.dirs[0], "log")))
	}
	if most > 100<<20 {
		t.Errorf("the log had %d MB", most>>20)
	}
	first, _ := g.agents[0].store.FirstIndex()
	if first < 500 {
		t.Errorf("the log begins at %d", first)
	}
}

func bytesIn(dir string) (size int64) {
	filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return nil // removed meanwhile
		}
		if info, err := entry.Info(); err == nil && info.Mode().IsRegular() {
			size += info.Size()
		}
		return nil
	})
	return size
}

func TestWhatTrailsIsCountedInBytes(t *testing.T) {
	var one sizeIndex
	for index := uint64(1); index <= 100; index++ {
		one.note(index, 1<<20)
	}
	if kept := one.within(10<<20, 100); kept != 10 {
		t.Error(kept)
	}
	one.note(96, 1<<20) // another leader's
	if kept := one.within(2<<20, 96); kept != 2 {
		t.Error(kept)
	}
	if kept := new(sizeIndex).within(1, 5); kept != 0 {
		t.Error(kept)
	}
}
