package main

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// task is work on the folders of a group that does not run, as one JSON document.
type task struct {
	Do         string `json:"do"` // inspect, restore, recover
	Group      string `json:"group"`
	Dir        string `json:"dir"`
	Replica    int    `json:"replica"`
	Replicas   []int  `json:"replicas"`   // restore: all of the group
	Generation string `json:"generation"` // restore, recover: of the group from then on
	State      string `json:"state"`      // restore: the archive of a snapshot
	Term       uint64 `json:"term"`       // restore: that the group had reached
}

// found is what a folder holds.
type found struct {
	ID         string            `json:"id"`
	Replica    int               `json:"replica"`
	Group      string            `json:"group"`
	Generation string            `json:"generation"`
	Term       uint64            `json:"term"`
	Last       uint64            `json:"last"`
	LastTerm   uint64            `json:"last_term"`
	Snapshot   uint64            `json:"snapshot"`
	Members    map[string]string `json:"members"`
	Unreadable map[uint64]string `json:"unreadable"` // entries that no worker can read, and why
	Aside      string            `json:"aside"`      // where a folder that was replaced lies now
}

var currentTerm = []byte("CurrentTerm") // as the library calls it in the stable store

func offline(in io.Reader, out io.Writer) error {
	var t task
	if err := json.NewDecoder(in).Decode(&t); err != nil {
		return fmt.Errorf("the task: %w", err)
	}
	var result found
	var err error
	switch t.Do {
	case "inspect":
		result, err = t.inspect()
	case "restore":
		result, err = t.restore()
	case "recover":
		result, err = t.recover()
	default:
		err = fmt.Errorf("unknown command %q", t.Do)
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(result)
}

// disk is the folder of a replica that does not run.
type disk struct {
	identity
	lock      *os.File
	log       *logStore
	snapshots *raft.FileSnapshotStore
}

func openDisk(dir string) (*disk, error) {
	held, err := lock(filepath.Join(dir, "lock"))
	if err != nil {
		return nil, err
	}
	d := &disk{lock: held}
	if d.identity, err = readIdentity(dir); err == nil {
		d.log, err = openLog(filepath.Join(dir, "log"))
	}
	if err == nil {
		d.snapshots, err = raft.NewFileSnapshotStoreWithLogger(dir, 2, hclog.NewNullLogger())
	}
	if err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

func (d *disk) close() {
	if d.log != nil {
		d.log.Close()
	}
	d.lock.Close()
}

// tell finds the end of what the disk has, and the members by the newest configuration in it, committed or not.
func (d *disk) tell() (found, error) {
	result := found{ID: d.ID, Replica: d.Replica, Group: d.Group, Generation: d.Generation, Members: map[string]string{}}
	var err error
	if result.Term, err = d.log.GetUint64(currentTerm); err != nil {
		return result, err
	}
	var members raft.Configuration
	list, err := d.snapshots.List()
	if err != nil {
		return result, err
	}
	if len(list) > 0 {
		result.Snapshot, result.Last, result.LastTerm, members = list[0].Index, list[0].Index, list[0].Term, list[0].Configuration
	}
	first, err := d.log.FirstIndex()
	if err != nil {
		return result, err
	}
	last, err := d.log.LastIndex()
	if err != nil {
		return result, err
	}
	result.Unreadable = map[uint64]string{}
	joined := newAssembler("")
	for index := first; index != 0 && index <= last; index++ {
		var l raft.Log
		if err := d.log.GetLog(index, &l); err != nil {
			return result, err
		}
		if err := joined.unreadable(&l); err != nil && l.Index > result.Snapshot {
			result.Unreadable[l.Index] = err.Error()
		}
		if l.Index > result.Snapshot && l.Type == raft.LogConfiguration {
			members = raft.DecodeConfiguration(l.Data)
		}
		if l.Index > result.Last {
			result.Last, result.LastTerm = l.Index, l.Term
		}
	}
	for _, server := range members.Servers {
		result.Members[string(server.ID)] = server.Suffrage.String()
	}
	return result, nil
}

// look opens the folder for as long as something is done with it, and tells what it holds then.
func (t task) look(do func(d *disk) error) (found, error) {
	if _, err := readIdentity(t.Dir); err != nil {
		return found{}, err
	}
	d, err := openDisk(t.Dir)
	if err != nil {
		return found{}, err
	}
	defer d.close()
	if err := do(d); err != nil {
		return found{}, err
	}
	return d.tell()
}

func (t task) inspect() (found, error) { return t.look(func(*disk) error { return nil }) }

// recover makes the group one of this replica alone, with all that its log holds. It is another generation of the
// group, and the replica has another id, so that no disk of before has a say any more.
func (t task) recover() (found, error) {
	if t.Generation == "" {
		return found{}, errors.New("a generation is needed")
	}
	return t.look(t.takeOver)
}

func (t task) takeOver(d *disk) error {
	if list, err := d.snapshots.List(); err != nil {
		return err
	} else if len(list) > 0 {
		if err := d.log.dropOvertaken(list[0].Index, list[0].Term); err != nil {
			return err
		}
	}
	result, err := d.tell()
	if err != nil {
		return err
	}
	if result.Last == 0 {
		return fmt.Errorf("%s holds nothing that a group could be recovered from", t.Dir)
	}
	if err := d.skip(result.Unreadable, t.Generation); err != nil {
		return err
	}
	d.ID, d.Generation = memberID(t.Generation, d.Replica), t.Generation
	term := max(result.Term, result.LastTerm) + 1
	if err := d.log.SetUint64(currentTerm, term); err != nil {
		return err
	}
	alone := raft.Configuration{Servers: []raft.Server{{ID: raft.ServerID(d.ID), Address: raft.ServerAddress(d.ID)}}}
	entry := &raft.Log{Index: result.Last + 1, Term: term, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(alone)}
	if err := d.log.StoreLog(entry); err != nil {
		return err
	}
	return d.identity.write(t.Dir)
}

// unreadable says why no worker can read the operation that an entry ends.
func (a *assembler) unreadable(l *raft.Log) error {
	if l.Type != raft.LogCommand {
		a.pass(l.Term)
		return nil
	}
	part, err := a.add(l.Index, l.Term, l.Data)
	if err != nil || part == nil {
		return err
	}
	return checkForm(part.pieces)
}

// skip puts entries that do nothing in the place of these. What the log was is kept beside it.
func (d *disk) skip(indices map[uint64]string, generation string) error {
	if len(indices) == 0 {
		return nil
	}
	if err := os.CopyFS(d.log.dir+".before-"+generation, os.DirFS(d.log.dir)); err != nil {
		return err
	}
	last, err := d.log.LastIndex()
	if err != nil {
		return err
	}
	first := slices.Min(slices.Collect(maps.Keys(indices)))
	var logs []*raft.Log
	for index := first; index <= last; index++ {
		l := new(raft.Log)
		if err := d.log.GetLog(index, l); err != nil {
			return err
		}
		if _, bad := indices[index]; bad {
			l = &raft.Log{Index: l.Index, Term: l.Term, Type: raft.LogNoop}
		}
		logs = append(logs, l)
	}
	return errors.Join(d.log.DeleteRange(first, last), d.log.StoreLogs(logs))
}

// memberID is the id of a replica in a generation, which every host finds by itself.
func memberID(generation string, replica int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/%d", generation, replica))
	return fmt.Sprintf("%d-%s", replica, hex.EncodeToString(sum[:8]))
}

// restore makes the folder of one replica of a group that begins with a snapshot. What was there is moved aside.
func (t task) restore() (found, error) {
	if t.Generation == "" || t.Group == "" || !slices.Contains(t.Replicas, t.Replica) {
		return found{}, errors.New("a generation, a group and a replica of it are needed")
	}
	index, err := indexOf(t.State)
	if err != nil {
		return found{}, err
	}
	part := t.Dir + ".part"
	if err := os.RemoveAll(part); err != nil {
		return found{}, err
	}
	if err := t.fill(part, index); err != nil {
		os.RemoveAll(part)
		return found{}, err
	}
	d, err := openDisk(part)
	if err != nil {
		return found{}, err
	}
	result, err := d.tell()
	d.close()
	if err != nil {
		return result, err
	}
	if _, err := os.Lstat(t.Dir); err == nil {
		held, err := lock(filepath.Join(t.Dir, "lock"))
		if err != nil {
			return result, err
		}
		defer held.Close()
		result.Aside = t.Dir + ".before-" + t.Generation
		if err := os.Rename(t.Dir, result.Aside); err != nil {
			return result, err
		}
	}
	if err := os.Rename(part, t.Dir); err != nil {
		return result, err
	}
	return result, syncDir(filepath.Dir(t.Dir))
}

func (t task) fill(dir string, index uint64) error {
	if err := makeDir(dir); err != nil {
		return err
	}
	own := identity{Group: t.Group, ID: memberID(t.Generation, t.Replica), Replica: t.Replica, Format: 1, Generation: t.Generation}
	if err := own.write(dir); err != nil {
		return err
	}
	d, err := openDisk(dir)
	if err != nil {
		return err
	}
	defer d.close()
	if err := d.log.SetUint64(currentTerm, t.Term); err != nil {
		return err
	}
	var members raft.Configuration
	for _, replica := range t.Replicas {
		id := memberID(t.Generation, replica)
		members.Servers = append(members.Servers, raft.Server{ID: raft.ServerID(id), Address: raft.ServerAddress(id)})
	}
	state, err := os.Open(t.State)
	if err != nil {
		return err
	}
	defer state.Close()
	_, transport := raft.NewInmemTransport("")
	sink, err := d.snapshots.Create(raft.SnapshotVersionMax, index, t.Term, members, index, transport)
	if err != nil {
		return err
	}
	if _, err := io.Copy(sink, state); err != nil {
		return errors.Join(err, sink.Cancel())
	}
	return errors.Join(sink.Close(), syncDir(dir))
}

// indexOf is the entry up to which the Executor's state in a snapshot goes. The library's own index may be lower: the
// worker writes its state when it has got at least there.
func indexOf(state string) (uint64, error) {
	f, err := os.Open(state)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for in := tar.NewReader(f); ; {
		header, err := in.Next()
		if err != nil {
			return 0, fmt.Errorf("%s has no manifest: %w", state, err)
		}
		if header.Name != manifestFile {
			continue
		}
		var manifest struct {
			Index uint64 `json:"index"`
		}
		if err := json.NewDecoder(in).Decode(&manifest); err != nil {
			return 0, fmt.Errorf("the manifest in %s: %w", state, err)
		}
		if manifest.Index == 0 {
			return 0, fmt.Errorf("the manifest in %s names no entry", state)
		}
		return manifest.Index, nil
	}
}
