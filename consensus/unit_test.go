package main

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// cut is what readFrame and append make of a proposal.
func cut(operation uint64, payload []byte) [][]byte {
	head := headOf(kPropose, 1, len(payload))
	f, err := readFrame(bytes.NewReader(append(head[:], payload...)), frameLimit)
	if err != nil {
		panic(err)
	}
	seal(operation, f.entries)
	return f.entries
}

// whole is the body of a frame, however it was read.
func (f frame) whole() []byte {
	for _, entry := range f.entries {
		f.body = append(f.body, entry[chunkHead:]...)
	}
	return f.body
}

func FuzzFrames(f *testing.F) {
	head := headOf(kPropose, 7, 3)
	f.Add(append(head[:], "abc"...))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bytes.NewReader(data)
		for {
			got, err := readFrame(r, 1<<20)
			if err != nil {
				return
			}
			body := got.whole()
			head := headOf(got.kind, got.id, len(body))
			again, err := readFrame(bytes.NewReader(append(head[:], body...)), 1<<20)
			if err != nil || again.kind != got.kind || again.id != got.id || !bytes.Equal(again.whole(), body) {
				t.Fatalf("%v became %v, %v", got, again, err)
			}
		}
	})
}

func FuzzEntries(f *testing.F) {
	f.Add(cut(1, []byte("abc"))[0], uint64(1))
	dir := f.TempDir() // one for each input, with a name by chance, takes another way through the code each time
	f.Fuzz(func(t *testing.T, data []byte, term uint64) {
		if len(data) > 128 {
			return // Go shortens what takes a new way, in time of its length squared, and runs nothing else meanwhile
		}
		a := newAssembler(dir)
		defer a.close()
		a.add(1, term, data)
		a.add(2, term, data)
		var out bytes.Buffer
		if err := a.write(&out); err != nil {
			t.Fatal(err)
		}
		again, err := readAssembler(&out, "")
		if err != nil {
			t.Fatal(err)
		}
		again.close()
		readAssembler(bytes.NewReader(data), "")
	})
}

// Operations of several leaders, mixed at random and with some given up: what comes out is what was whole, wherever a
// snapshot is taken meanwhile.
func TestOperationsAreJoinedAcrossSnapshots(t *testing.T) {
	for seed := range uint64(40) {
		dice := rand.New(rand.NewPCG(seed, 0))
		a, dir := newAssembler(t.TempDir()), t.TempDir()
		var want, got []string
		index := uint64(0)
		for term := uint64(1); term < 5; term++ {
			var queues [][][]byte
			var texts []string
			for n := range 4 {
				text := strings.Repeat(fmt.Sprintf("%d.%d ", term, n), 1+dice.IntN(1_500_000))
				queues = append(queues, cut(dice.Uint64(), []byte(text)))
				texts = append(texts, text)
			}
			for steps := dice.IntN(12); steps > 0; steps-- {
				n := dice.IntN(len(queues))
				if len(queues[n]) == 0 {
					continue
				}
				entry := queues[n][0]
				queues[n] = queues[n][1:]
				index++
				if len(queues[n]) == 0 {
					want = append(want, texts[n])
				}
				part, err := a.add(index, term, entry)
				if err != nil {
					t.Fatal(err)
				}
				if part != nil {
					var text strings.Builder
					if _, err := part.WriteTo(&text); err != nil {
						t.Fatal(err)
					}
					part.close()
					got = append(got, text.String())
				}
				if dice.IntN(3) == 0 {
					var out bytes.Buffer
					clone := a.clone()
					clone.write(&out)
					clone.close()
					a.close()
					if a, err = readAssembler(&out, dir); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		if !slices.Equal(want, got) {
			t.Fatalf("seed %d: %d operations, not %d", seed, len(got), len(want))
		}
	}
}

func fill(t *testing.T, s *logStore, from, to uint64) {
	t.Helper()
	for index := from; index <= to; index++ {
		data := []byte(strings.Repeat(fmt.Sprint(index, " "), 20))
		if err := s.StoreLog(&raft.Log{Index: index, Term: 1, Data: data}); err != nil {
			t.Fatal(err)
		}
	}
}

func segment(t *testing.T, dir string) string {
	t.Helper()
	found, _ := filepath.Glob(filepath.Join(dir, "*.wal"))
	if len(found) != 1 {
		t.Fatal(found)
	}
	return found[0]
}

func TestATornTailIsRepaired(t *testing.T) {
	dir := t.TempDir()
	s, err := openLog(dir)
	if err != nil {
		t.Fatal(err)
	}
	fill(t, s, 1, 20)
	s.Close()
	// A crash in the middle of writing entry 20.
	path := segment(t, dir)
	data, _ := os.ReadFile(path)
	at := bytes.LastIndex(data, []byte("20 20"))
	clear(data[at:])
	os.WriteFile(path, data, 0o600)
	s, err = openLog(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if last, _ := s.LastIndex(); last != 19 {
		t.Fatalf("the last entry is %d", last)
	}
	fill(t, s, 20, 25)
}

func TestDamageInsideIsRefusedAndNamed(t *testing.T) {
	dir := t.TempDir()
	s, err := openLog(dir)
	if err != nil {
		t.Fatal(err)
	}
	fill(t, s, 1, 20)
	s.Close()
	path := segment(t, dir)
	data, _ := os.ReadFile(path)
	data[bytes.Index(data, []byte("7 7"))] ^= 1
	os.WriteFile(path, data, 0o600)
	_, err = openLog(dir)
	if err == nil || !strings.Contains(err.Error(), "entry 7 ") || !strings.Contains(err.Error(), dir) {
		t.Fatal(err)
	}
}

func TestALostTailIsNoticed(t *testing.T) {
	dir := t.TempDir()
	s, _ := openLog(dir)
	fill(t, s, 1, 20)
	s.mu.Lock()
	s.mark(20)
	s.mu.Unlock()
	s.Close()
	path := segment(t, dir)
	data, _ := os.ReadFile(path)
	clear(data[bytes.Index(data, []byte("15 15")):])
	os.WriteFile(path, data, 0o600)
	if _, err := openLog(dir); err == nil || !strings.Contains(err.Error(), "its tail is lost") {
		t.Fatal(err)
	}
}

func TestEntriesThatALeaderTakesBackMayGo(t *testing.T) {
	dir := t.TempDir()
	s, _ := openLog(dir)
	fill(t, s, 1, 20)
	s.mu.Lock()
	s.mark(20)
	s.mu.Unlock()
	if err := s.DeleteRange(15, 20); err != nil {
		t.Fatal(err)
	}
	s.Close()
	s, err := openLog(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteRange(1, 14); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if s, err = openLog(dir); err != nil {
		t.Fatal(err)
	}
	s.Close()
}

func TestArchivesKeepFoldersAndRefuseOthers(t *testing.T) {
	from, to := t.TempDir(), filepath.Join(t.TempDir(), "to")
	os.MkdirAll(filepath.Join(from, "a", "empty"), 0o700)
	os.WriteFile(filepath.Join(from, "a", "f"), []byte("text"), 0o600)
	var out bytes.Buffer
	if err := pack(from, &out); err != nil {
		t.Fatal(err)
	}
	if err := unpack(bytes.NewReader(out.Bytes()), to); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(to, "a", "f")); string(text) != "text" {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(to, "a", "empty")); err != nil {
		t.Fatal(err)
	}
	os.Symlink("/etc/passwd", filepath.Join(from, "link"))
	if err := pack(from, &bytes.Buffer{}); err == nil {
		t.Fatal("a link was packed")
	}
}

func TestTwoAgentsDoNotShareAFolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	first, err := lock(path)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if _, err := lock(path); err == nil {
		t.Fatal("both hold it")
	}
}

func TestTheFolderOfAnAgentThatEndsIsWaitedFor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	first, err := lock(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lockSoon(path, 50*time.Millisecond); err == nil {
		t.Fatal("both hold it")
	}
	time.AfterFunc(50*time.Millisecond, func() { first.Close() })
	second, err := lockSoon(path, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	second.Close()
}

func TestAFolderBelongsToOneReplica(t *testing.T) {
	dir := t.TempDir()
	first, err := identify(dir, "g", 1)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := identify(dir, "g", 1); err != nil || again != first {
		t.Fatal(again, err)
	}
	if _, err := identify(dir, "g", 2); err == nil {
		t.Fatal("taken by another")
	}
	if _, err := identify(dir, "h", 1); err == nil {
		t.Fatal("taken by another group")
	}
}

func TestShortFramesAndLyingLengths(t *testing.T) {
	if _, err := readFrame(bytes.NewReader([]byte{1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0}), 100); !errors.Is(err, errFrame) {
		t.Fatal(err)
	}
	head := headOf(kRead, 1, 1<<29)
	if _, err := readFrame(bytes.NewReader(head[:]), frameLimit); err == nil {
		t.Fatal("read what is not there")
	}
}
