package main

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/raft"
)

// Damage is reported by file and byte, so that it can be found when a disk is repaired or a bug is reported.

const (
	segmentMagic  = 0x58eb6b0d // see raft-wal's segment/format.go
	segmentHead   = 32
	segmentFrame  = 8
	segmentEntry  = 1
	segmentLast   = 3 // kinds of frames
	snapshotState = "state.bin"
)

// place is where an entry is, as "FILE, byte N"; where what comes before it is damaged, that.
func place(dir string, index uint64) string {
	path, base := "", uint64(0)
	for _, one := range segments(dir) {
		first, _, ok := segmentName(one)
		if ok && first <= index && first >= base {
			path, base = one, first
		}
	}
	if path == "" {
		return "no file has it"
	}
	at, _ := seek(path, index-base)
	return fmt.Sprintf("%s, byte %d", path, at)
}

func segments(dir string) []string {
	found, _ := filepath.Glob(filepath.Join(dir, "*.wal"))
	return found
}

func segmentName(path string) (first, id uint64, ok bool) {
	n, err := fmt.Sscanf(filepath.Base(path), "%020d-%016x.wal", &first, &id)
	return first, id, err == nil && n == 2
}

// seek finds where the frame of so many entries later begins, or that which cannot be read; gives how many it passed.
func seek(path string, entries uint64) (int64, uint64) {
	f, err := os.Open(path)
	if err != nil {
		return 0, 0
	}
	defer f.Close()
	at, before, passed := int64(segmentHead), int64(segmentHead), uint64(0)
	for {
		var head [segmentFrame]byte
		if _, err := f.ReadAt(head[:], at); err != nil {
			return before, passed // it led out of the file
		}
		if head[0] == 0 || head[0] > segmentLast {
			return at, passed
		}
		before = at
		size := int64(binary.LittleEndian.Uint32(head[4:]))
		if head[0] == segmentLast {
			size = 0
		}
		if head[0] == segmentEntry {
			if passed == entries {
				return at, passed
			}
			passed++
		}
		at += segmentFrame + (size+segmentFrame-1)/segmentFrame*segmentFrame
	}
}

// suspect names the file for which a log cannot be opened.
func suspect(dir string) string {
	for _, path := range segments(dir) {
		first, id, ok := segmentName(path)
		head := make([]byte, segmentHead)
		if err := readStart(path, head); err != nil || !ok {
			return path + ", byte 0"
		}
		for _, field := range []struct {
			at   int
			want uint64
		}{{0, segmentMagic}, {8, first}, {16, id}} {
			if got := binary.LittleEndian.Uint64(head[field.at:]); got != field.want && got != 0 {
				return fmt.Sprintf("%s, byte %d", path, field.at)
			}
		}
	}
	return filepath.Join(dir, "wal-meta.db")
}

func readStart(path string, into []byte) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.ReadFull(f, into)
	return err
}

// checkSnapshots refuses a folder whose log begins behind its snapshots: what is between is nowhere.
func checkSnapshots(dir string, newest, first uint64) error {
	if first <= newest+1 {
		return nil
	}
	folder, unread := filepath.Join(dir, "snapshots"), []string{}
	entries, _ := os.ReadDir(folder)
	for _, entry := range entries {
		meta := filepath.Join(folder, entry.Name(), "meta.json")
		data, err := os.ReadFile(meta)
		if entry.IsDir() && !strings.HasSuffix(entry.Name(), ".tmp") && (err != nil || !json.Valid(data)) {
			unread = append(unread, meta+" cannot be read")
		}
	}
	return fmt.Errorf("the log in %s begins at entry %d, and the newest snapshot that can be read is of entry %d: %s",
		filepath.Join(dir, "log"), first, newest, strings.Join(append(unread, "what is between them is lost"), ", "))
}

// checkDisk refuses what the agent could not go on with.
func (a *agent) checkDisk() error {
	list, err := a.snapshots.List()
	if err != nil {
		return err
	}
	first, err := a.store.FirstIndex()
	if err != nil {
		return err
	}
	newest := raft.SnapshotMeta{}
	if len(list) > 0 {
		newest = *list[0]
	}
	if first == 0 {
		return nil
	}
	if err := checkSnapshots(a.Dir, newest.Index, first); err != nil {
		return err
	}
	return a.store.dropOvertaken(newest.Index, newest.Term)
}

// sweep removes what a crash left of snapshots that were being written; the library only passes over them.
func sweep(dir string) error {
	parts, err := filepath.Glob(filepath.Join(dir, "snapshots", "*.tmp"))
	for _, part := range parts {
		err = errors.Join(err, os.RemoveAll(part))
	}
	return err
}

// inSnapshot says which bytes of a snapshot's file are not as they were written, as far as it can be told.
func inSnapshot(dir, id string) string {
	path := filepath.Join(dir, "snapshots", id, snapshotState)
	f, err := os.Open(path)
	if err != nil {
		return path
	}
	defer f.Close()
	sums, wrong := map[string]string{}, map[string][2]int64{}
	var manifest struct {
		Files map[string]string `json:"files"`
	}
	in := tar.NewReader(f)
	for {
		header, err := in.Next()
		at, _ := f.Seek(0, io.SeekCurrent)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Sprintf("%s, byte %d", path, max(0, at-512))
		}
		if header.Typeflag != tar.TypeReg {
			continue
		}
		sum, kept := sha256.New(), new(strings.Builder)
		out := io.Writer(sum)
		if header.Name == manifestFile {
			out = kept
		}
		if _, err := io.Copy(out, in); err != nil {
			return fmt.Sprintf("%s, byte %d", path, at)
		}
		if header.Name == manifestFile && json.Unmarshal([]byte(kept.String()), &manifest) != nil {
			return fmt.Sprintf("%s, bytes %d to %d (%s)", path, at, at+header.Size, manifestFile)
		}
		sums[header.Name] = hex.EncodeToString(sum.Sum(nil))
		wrong[header.Name] = [2]int64{at, at + header.Size}
	}
	for name, want := range manifest.Files {
		if got, there := sums[name]; there && got != want {
			return fmt.Sprintf("%s, bytes %d to %d (%s)", path, wrong[name][0], wrong[name][1], name)
		}
	}
	return path
}
