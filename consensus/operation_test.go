package main

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// written is an operation as a worker writes it.
func written(about, meta, body string) string {
	head := []byte{oneOperation}
	head = binary.LittleEndian.AppendUint32(head, uint32(len(about)))
	head = binary.LittleEndian.AppendUint32(head, uint32(len(meta)))
	return string(head) + "\x00" + about + meta + body
}

func joined(operations ...string) string {
	text := []byte{manyOperations}
	for _, one := range operations {
		text = binary.LittleEndian.AppendUint64(text, uint64(len(one)))
		text = append(text, one...)
	}
	return string(text)
}

const (
	shortAbout = "\x93\xa1k\xc4\x00\x00"
	shortMeta  = "\x92\xa1/\xa0"
	fullAbout  = "\x99\xa1k\xc4\x02xy\xcd\x01\x00\xa1c\x07\x08\x09\xcb\x41\xd9\x00\x00\x00\x00\x00\x00\xcf\x7f\xff\xff\xff\xff\xff\xff\xff"
	// an endpoint, an id, a target, JSON wanted, seconds left, headers, parameters, none exact, a place, alone, branches
	fullMeta = "\x9b\xa1/\xa1i\xa1t\xc3\xca\x40\x00\x00\x00\x81\xa1h\xa1v\x82\xa1a\x92\x01\xc0\xa1b\x81\x05\xd9\x01x\xa0\x92\xa4body\x00\xc2\x92\x92\xa1x\xc0\x92\xa1y\x91\x02"
)

func exactly(text string) string { // parameters as JSON
	return "\x98\xa1/\xa0\xa0\xc2\xc0\x80\x80\xda" + string(binary.BigEndian.AppendUint16(nil, uint16(len(text)))) + text
}

func nested(levels int) string { return strings.Repeat("\x91", levels) + "\xc0" }

func TestWhatAWorkerReadsIsAccepted(t *testing.T) {
	for _, text := range []string{
		operationHead + "documents", written(shortAbout, shortMeta, ""), written(fullAbout, fullMeta, "ab"),
		joined(written(shortAbout, shortMeta, "x"), written(fullAbout, fullMeta, "abc")),
		written(shortAbout, exactly(`{"a": [1e400, NaN, -Infinity, "NaN \" 1", 123456789012345678901234567890]}`), ""),
		written(shortAbout, "\x97\xa1/\xa0\xa0\xc2\xc0\x80\x81\xa1a"+nested(mostNested-1), ""),
	} {
		for _, size := range []int{1, 2, 3, 7, 1 << 20} { // however it comes apart
			var parts [][]byte
			for part := range slices.Chunk([]byte(text), size) {
				parts = append(parts, part)
			}
			if err := checkForm(parts); err != nil {
				t.Errorf("%q in parts of %d: %v", text, size, err)
			}
		}
	}
}

func TestWhatNoWorkerReadsIsRefused(t *testing.T) {
	good := written(shortAbout, shortMeta, "x")
	for _, text := range []string{
		"", "\x00", "\x01", "\x02", "\x03" + good[1:], good[:9], good[:12], good[:len(good)-2],
		joined(good) + "\x00", joined(good)[:20], joined(""), joined(joined(good)), joined(good, "\x01"),
		written("", shortMeta, ""), written(shortAbout, "", ""), written(shortAbout+"\x00", shortMeta, ""),
		written("\x80", shortMeta, ""), written("\x93\xa1k\xa0\x00", shortMeta, ""), written("\x93\xa1\xff\xc4\x00\x00", shortMeta, ""),
		written("\x93\xa1k\xc4\x00\xff", shortMeta, ""), written("\x93\xa1k\xc4\x00\xcf\xff\xff\xff\xff\xff\xff\xff\xff", shortMeta, ""),
		written("\x98\xa1k\xc4\x00\x00\xa0\x00\x00\x00\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00", shortMeta, ""), // a time without end
		written("\x9a\xa1k\xc4\x00\x00\xa0\x00\x00\x00\x00\x00\x00", shortMeta, ""),
		written(shortAbout, "\x92\x01\xa0", ""), written(shortAbout, "\xdd\xff\xff\xff\xff", ""), written(shortAbout, "\xc1", ""),
		written(shortAbout, fullMeta, "a"), // documents of a branch that are not there
		written(shortAbout, exactly("[1]"), ""), written(shortAbout, exactly(`{"a": 1NaN}`), ""), written(shortAbout, exactly(`{"a"`), ""),
		written(shortAbout, exactly(`{"a": `+strings.Repeat("1", mostDigits+1)+`}`), ""),
		written(shortAbout, exactly(strings.Repeat(`{"a":`, mostNested+1)+"1"+strings.Repeat("}", mostNested+1)), ""),
		written(shortAbout, "\x97\xa1/\xa0\xa0\xc2\xc0\x80\x81\xa1a"+nested(mostNested+1), ""),
		written(shortAbout, "\x97\xa1/\xa0\xa0\xc2\xc0\x80\x81\xa1a\x81\x90\x00", ""), // a list as a key
		written(shortAbout, "\x97\xa1/\xa0\xa0\xc2\xc0\x80\x81\xa1a\xd4\x01\x00", ""), // an extension
		written(shortAbout, "\x97\xa1/\xa0\xa0\xc2\xc0\x80\xdf\xff\xff\xff\xff", ""),
	} {
		if checkForm([][]byte{[]byte(text)}) == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

func FuzzOperations(f *testing.F) {
	for _, text := range []string{written(fullAbout, fullMeta, "ab"), joined(operationHead, operationHead), written(shortAbout, exactly(`{"a": NaN}`), "")} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		at := rand.IntN(len(data) + 1)
		if one, two := checkForm([][]byte{data}), checkForm([][]byte{data[:at], nil, data[at:]}); (one == nil) != (two == nil) {
			t.Fatalf("%v whole, %v in parts", one, two)
		}
	})
}

// One entry that no worker can read would stop every one of them, at each start again.
func TestNothingUnreadableGetsIntoTheLog(t *testing.T) {
	g := newGroup(t, 3, nil)
	g.startAll()
	g.lists[0].write("before")
	leader, follower := g.leader(), g.follower()
	var told *fault
	for _, text := range []string{"", "\x02", "text", operationHead[:12]} {
		for _, k := range []kind{kPropose, kWrite} {
			for _, at := range []int{leader, follower} {
				if _, err := g.lists[at].ask(k, []byte(text)); !errors.As(err, &told) || told.Code != "refused" {
					t.Errorf("a worker proposes %q: %v", text, err)
				}
			}
		}
		other := g.agents[follower].registry.get(leader)
		if _, err := other.call(kPropose, []byte(text), time.Second); !errors.As(err, &told) || told.Code != "refused" {
			t.Errorf("an agent forwards %q: %v", text, err)
		}
	}
	g.lists[follower].write("after")
	same(t, g, 2)
}

// A log of before may hold such an entry: a recovered group goes on without it.
func TestALogWithAnUnreadableEntryIsRecovered(t *testing.T) {
	g := newGroup(t, 1, nil)
	g.startAll()
	g.lists[0].write("before")
	g.lists[0].close()
	for _, text := range [][]byte{nil, make([]byte, 3), bytes.Repeat([]byte("x"), 2*chunkSize), operation("after#0.1")} {
		entries := cut(rand.Uint64(), text)
		for _, entry := range entries {
			if err := g.agents[0].raft.Apply(entry, patience).Error(); err != nil {
				t.Fatal(err)
			}
		}
	}
	g.stop(0)
	seen, err := offlineTask(t, task{Do: "inspect", Dir: g.dirs[0]})
	if err != nil || len(seen.Unreadable) != 3 {
		t.Fatal(seen.Unreadable, err)
	}
	if _, err := offlineTask(t, task{Do: "recover", Dir: g.dirs[0], Generation: "second"}); err != nil {
		t.Fatal(err)
	}
	if left, err := offlineTask(t, task{Do: "inspect", Dir: g.dirs[0]}); err != nil || len(left.Unreadable) > 0 || left.Last <= seen.Last {
		t.Fatal(left, err)
	}
	if _, err := os.Stat(filepath.Join(g.dirs[0], "log.before-second")); err != nil {
		t.Error(err)
	}
	g.start(0, false)
	g.lists[0].awaitReady()
	if items := g.lists[0].snapshotOf(); len(items) != 2 {
		t.Fatal(items)
	}
}

// Archives come from other replicas and from files that anybody wrote.
func TestWhatAnArchiveNamesOutsideOfItsFolderIsRefused(t *testing.T) {
	for _, header := range []tar.Header{
		{Name: "/evil", Typeflag: tar.TypeReg}, {Name: "../evil", Typeflag: tar.TypeReg}, {Name: "a/../../evil", Typeflag: tar.TypeReg},
		{Name: "..", Typeflag: tar.TypeDir}, {Name: "/evil", Typeflag: tar.TypeDir},
		{Name: "evil", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}, {Name: "evil", Typeflag: tar.TypeLink, Linkname: "../x"},
		{Name: "evil", Typeflag: tar.TypeFifo}, {Name: "evil", Typeflag: tar.TypeChar}, {Name: "good", Typeflag: tar.TypeReg},
	} {
		var archive bytes.Buffer
		out := tar.NewWriter(&archive)
		for _, one := range []tar.Header{{Name: "good", Typeflag: tar.TypeReg}, header} {
			if err := out.WriteHeader(&one); err != nil {
				t.Fatal(err)
			}
		}
		out.Close()
		root := t.TempDir()
		if err := unpack(&archive, filepath.Join(root, "inside")); err == nil {
			t.Errorf("%q of type %c is unpacked", header.Name, header.Typeflag)
		}
		found, _ := os.ReadDir(root)
		inside, _ := os.ReadDir(filepath.Join(root, "inside"))
		if len(found) != 1 || len(inside) != 1 {
			t.Errorf("%q left %v and %v", header.Name, found, inside)
		}
	}
}
