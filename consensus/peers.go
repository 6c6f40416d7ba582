package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
)

// peerRegistry is where the agents of the other replicas are: as the plan says, and as they said when they joined. What was
// learned is kept in a file, so that it is known after a restart whose plan is older.
type peerRegistry struct {
	path string
	self int
	mux  *mux

	mu      sync.Mutex
	peers   map[int]*peer
	learned map[int]string
}

func openRegistry(path string, planned []string, self int, m *mux) (*peerRegistry, error) {
	b := &peerRegistry{path: path, self: self, mux: m, peers: map[int]*peer{}, learned: map[int]string{}}
	data, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(data, &b.learned)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for replica, address := range b.learned {
		b.put(replica, address)
	}
	for replica, address := range planned {
		if address != "" {
			b.put(replica, address)
		}
	}
	return b, nil
}

// put is under the lock, or before anybody else knows the registry.
func (b *peerRegistry) put(replica int, address string) {
	if old := b.peers[replica]; old != nil {
		if old.address == address {
			return
		}
		old.close()
	}
	b.peers[replica] = &peer{mux: b.mux, replica: replica, address: address, self: replica == b.self}
}

func (b *peerRegistry) get(replica int) *peer {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.peers[replica]
}

// all is every replica whose address is known, this one too, in their order.
func (b *peerRegistry) all() []*peer {
	b.mu.Lock()
	defer b.mu.Unlock()
	var found []*peer
	for _, p := range b.peers {
		found = append(found, p)
	}
	slices.SortFunc(found, func(x, y *peer) int { return x.replica - y.replica })
	return found
}

func (b *peerRegistry) others() []*peer {
	return slices.DeleteFunc(b.all(), func(p *peer) bool { return p.self })
}

func (b *peerRegistry) addresses() map[string]string {
	known := map[string]string{}
	for _, p := range b.all() {
		known[strconv.Itoa(p.replica)] = p.address
	}
	return known
}

// learn notes where a replica is from now on.
func (b *peerRegistry) learn(replica int, address string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if replica == b.self || replica < 0 || address == "" {
		return nil
	}
	if p := b.peers[replica]; p != nil && p.address == address {
		return nil
	}
	b.learned[replica] = address
	b.put(replica, address)
	return b.save()
}

func (b *peerRegistry) forget(replica int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.peers[replica]
	if p == nil || p.self {
		return nil
	}
	p.close()
	delete(b.peers, replica)
	delete(b.learned, replica)
	return b.save()
}

func (b *peerRegistry) save() error {
	data, err := json.Marshal(b.learned)
	if err != nil {
		return err
	}
	return writeFile(b.path, data)
}

func (b *peerRegistry) close() {
	for _, p := range b.all() {
		p.close()
	}
}
