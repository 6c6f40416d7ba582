package main

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"
)

const mostRead = 4 << 20

// backedUp is what `backup` tells: a snapshot of this replica that covers all that was acknowledged before.
type backedUp struct {
	Name       string            `json:"name"`
	Size       int64             `json:"size"`
	Index      uint64            `json:"index"`
	Term       uint64            `json:"term"`
	Group      string            `json:"group"`
	Generation string            `json:"generation"`
	Members    map[string]string `json:"members"`
}

func (a *agent) backup() ([]byte, error) {
	body, err := a.readIndex(false)
	if err != nil {
		return nil, err
	}
	index := binary.LittleEndian.Uint64(body)
	for deadline := time.Now().Add(admission); ; {
		if serving, applied, _ := a.applier.state(); serving && applied >= index {
			break
		}
		if time.Now().After(deadline) {
			return nil, unavailable("the worker has not applied what was written")
		}
		if !a.pause(5 * time.Millisecond) {
			return nil, unavailable("the agent stops")
		}
	}
	if err := a.takeSnapshot(); err != nil {
		return nil, refused("%v", err)
	}
	list, err := a.snapshots.List()
	if err != nil || len(list) == 0 {
		return nil, refused("there is no snapshot: %v", err)
	}
	_, stream, err := a.snapshots.Open(list[0].ID) // which compares its checksum
	if err != nil {
		return nil, refused("the snapshot %s cannot be read: %v", list[0].ID, err)
	}
	stream.Close()
	status := a.info()
	return json.Marshal(backedUp{
		Name: list[0].ID, Size: list[0].Size, Index: list[0].Index, Term: status.Term, Group: a.Group,
		Generation: status.Generation, Members: status.Members,
	})
}

// readSnapshot gives a part of a snapshot's archive. Two are kept, so that one may go while somebody reads it slowly.
func (a *agent) readSnapshot(request admin) ([]byte, error) {
	if request.Offset < 0 || request.Length <= 0 || request.Length > mostRead {
		return nil, refused("%d bytes at %d cannot be read", request.Length, request.Offset)
	}
	found := false
	list, err := a.snapshots.List()
	for _, one := range list {
		found = found || one.ID == request.Name
	}
	if err != nil || !found {
		return nil, refused("the snapshot %q is gone", request.Name)
	}
	stream, err := os.Open(filepath.Join(a.Dir, "snapshots", request.Name, "state.bin"))
	if err != nil {
		return nil, refused("the snapshot %q cannot be read: %v", request.Name, err)
	}
	defer stream.Close()
	data := make([]byte, request.Length)
	n, err := stream.ReadAt(data, request.Offset)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, refused("the snapshot %q cannot be read: %v", request.Name, err)
	}
	return data[:n], nil
}
