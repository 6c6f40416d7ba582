package main

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const identityFile = "identity.json"

// identity is who a replica's disk is. A blank disk is a new member, also under an old name: ids are never used again.
type identity struct {
	Group   string `json:"group"`
	ID      string `json:"id"`
	Replica int    `json:"replica"`
	Format  int    `json:"format"`
	// Generation is another one after a backup was restored, or the group was recovered from one replica.
	Generation string `json:"generation,omitempty"`
}

func identify(dir, group string, replica int) (identity, error) {
	path := filepath.Join(dir, identityFile)
	if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
		fresh := identity{Group: group, ID: freshID(replica), Replica: replica, Format: 1}
		return fresh, fresh.write(dir)
	}
	known, err := readIdentity(dir)
	if err != nil {
		return known, err
	}
	if known.Group != group || known.Replica != replica {
		return known, fmt.Errorf("%s holds replica %d of %q, not replica %d of %q", dir, known.Replica, known.Group, replica, group)
	}
	return known, nil
}

func freshID(replica int) string {
	var random [8]byte
	rand.Read(random[:])
	return fmt.Sprintf("%d-%s", replica, hex.EncodeToString(random[:]))
}

func readIdentity(dir string) (identity, error) {
	var known identity
	path := filepath.Join(dir, identityFile)
	data, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(data, &known)
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return known, err
}

func (i identity) write(dir string) error {
	data, err := json.Marshal(i)
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, identityFile), data)
}

// adopt makes a blank disk part of a generation of its group.
func adopt(dir, generation string) error {
	known, err := readIdentity(dir)
	if err != nil {
		return err
	}
	known.Generation = generation
	return known.write(dir)
}

// announcementFile, in the folder of a replica, says how to reach its agent while it runs.
const announcementFile = "agent.json"

func (a *agent) announcement() string { return filepath.Join(a.Dir, announcementFile) }

func (a *agent) announce() error {
	socket, err := filepath.Abs(a.Socket)
	if err != nil {
		return err
	}
	data, err := json.Marshal(map[string]any{
		"group": a.Group, "replica": a.Replica, "socket": socket, "address": a.Peers[a.Replica], "pid": os.Getpid(),
	})
	if err != nil {
		return err
	}
	return writeFile(a.announcement(), data)
}

// replicaOf is the number of the replica that a server id belongs to.
func replicaOf(id string) (int, error) {
	number, _, _ := strings.Cut(id, "-")
	return strconv.Atoi(number)
}
