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

// identity is who a replica's disk is. A blank disk is a new member, also under an old name: ids are never used again.
type identity struct {
	Group   string `json:"group"`
	ID      string `json:"id"`
	Replica int    `json:"replica"`
	Format  int    `json:"format"`
}

func identify(dir, group string, replica int) (identity, error) {
	path := filepath.Join(dir, "identity.json")
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		var random [8]byte
		rand.Read(random[:])
		fresh := identity{Group: group, ID: fmt.Sprintf("%d-%s", replica, hex.EncodeToString(random[:])), Replica: replica, Format: 1}
		data, err = json.Marshal(fresh)
		if err != nil {
			return fresh, err
		}
		return fresh, writeFile(path, data)
	}
	if err != nil {
		return identity{}, err
	}
	var known identity
	if err := json.Unmarshal(data, &known); err != nil {
		return known, fmt.Errorf("%s: %w", path, err)
	}
	if known.Group != group || known.Replica != replica {
		return known, fmt.Errorf("%s holds replica %d of %q, not replica %d of %q", dir, known.Replica, known.Group, replica, group)
	}
	return known, nil
}

// replicaOf is the number of the replica that a server id belongs to.
func replicaOf(id string) (int, error) {
	number, _, _ := strings.Cut(id, "-")
	return strconv.Atoi(number)
}
