package main

import (
	"encoding/binary"
	"slices"
	"sync"
	"time"
)

const (
	remembered = 16384 // hashes of this replica that others may be compared with
	toldAtOnce = 1024
	// How often the newest hash is told again, at first and at last: what was told before may have been lost.
	newestTold, rarelyTold = time.Second, 8 * time.Second
)

type hash struct{ index, value uint64 }

// comparer notices replicas whose methods did not do the same. Each worker tells a hash after each operation, which
// covers all before it; agents exchange them. Who differs from a majority that agrees is the odd one: where everyone
// differs from all others, there is no majority to compare with.
type comparer struct {
	mu      sync.Mutex
	hashes  map[uint64]uint64
	order   []uint64
	fresh   []hash
	early   map[int][]hash // of others that are further
	differs map[int]uint64 // replica -> first entry
	against map[hash][]int // who told that, in which this replica differs
	group   int
	odd     uint64
	said    bell // there are fresh ones
}

func newComparer(group int) *comparer {
	return &comparer{
		hashes: map[uint64]uint64{}, early: map[int][]hash{}, differs: map[int]uint64{}, against: map[hash][]int{}, group: group,
	}
}

func parseHashes(body []byte) []hash {
	var found []hash
	for ; len(body) >= 16; body = body[16:] {
		found = append(found, hash{binary.LittleEndian.Uint64(body), binary.LittleEndian.Uint64(body[8:])})
	}
	return found
}

// own takes the hashes of this replica's worker.
func (c *comparer) own(body []byte) {
	defer c.said.ring()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, one := range parseHashes(body) {
		if _, known := c.hashes[one.index]; !known {
			c.order = append(c.order, one.index)
		}
		c.hashes[one.index] = one.value
		c.fresh = append(c.fresh, one)
	}
	for len(c.order) > remembered {
		delete(c.hashes, c.order[0])
		c.order = c.order[1:]
	}
	if len(c.fresh) > toldAtOnce {
		c.fresh = c.fresh[len(c.fresh)-toldAtOnce:]
	}
}

// resize notes how many replicas there are.
func (c *comparer) resize(group int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.group = group
}

// forget leaves out a replica that was removed.
func (c *comparer) forget(replica int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.agrees(replica)
	delete(c.early, replica)
}

func (c *comparer) agrees(replica int) {
	delete(c.differs, replica)
	for theirs, replicas := range c.against {
		c.against[theirs] = slices.DeleteFunc(replicas, func(one int) bool { return one == replica })
		if len(c.against[theirs]) == 0 {
			delete(c.against, theirs)
		}
	}
}

// renew forgets what a worker before this one told, and what it was told, which may have been of another state.
func (c *comparer) renew() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.hashes)
	clear(c.early)
	c.order, c.fresh = nil, nil
}

// forgive restarts with a worker that was brought up from snapshot and log.
func (c *comparer) forgive() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.odd = 0
	clear(c.differs)
	clear(c.against)
}

func (c *comparer) diverged() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.odd
}

// other takes the hashes of another replica; gives the first entry in which it differs, when that is news.
func (c *comparer) other(replica int, theirs []hash) (index uint64, odd, news bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	theirs = append(c.early[replica], theirs...)
	c.early[replica] = nil
	for i, one := range theirs {
		mine, known := c.hashes[one.index]
		switch {
		case known && mine != one.value:
			if _, before := c.differs[replica]; !before {
				c.differs[replica] = one.index
				index, news = one.index, true
			}
			if first := c.outvoted(replica, one); first != 0 {
				index, odd, news = first, true, true
			}
		case known && one.index > c.differs[replica]:
			c.agrees(replica) // perhaps again
		case !known && (len(c.order) == 0 || one.index > c.order[len(c.order)-1]):
			rest := theirs[i:]
			c.early[replica] = append([]hash(nil), rest[max(0, len(rest)-toldAtOnce):]...)
			return index, odd, news
		}
	}
	return index, odd, news
}

// outvoted notes who differs; gives the first entry if a majority of all agrees that it is this replica which does.
func (c *comparer) outvoted(replica int, theirs hash) (first uint64) {
	if slices.Contains(c.against[theirs], replica) {
		return 0
	}
	if len(c.against) >= remembered {
		clear(c.against)
	}
	c.against[theirs] = append(c.against[theirs], replica)
	if c.odd != 0 || 2*len(c.against[theirs]) <= c.group {
		return 0
	}
	c.odd = theirs.index
	for _, one := range c.against[theirs] {
		c.odd = min(c.odd, c.differs[one])
	}
	return c.odd
}

func (c *comparer) take() []hash {
	c.mu.Lock()
	defer c.mu.Unlock()
	fresh := c.fresh
	c.fresh = nil
	return fresh
}

// newest gives the newest hash, if there is one.
func (c *comparer) newest() []hash {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.order) == 0 {
		return nil
	}
	index := c.order[len(c.order)-1]
	return []hash{{index, c.hashes[index]}}
}

func (a *agent) tellHashes() {
	var theirs time.Time
	again := newestTold
	for {
		heard := a.comparer.said.heard()
		fresh := a.comparer.take()
		if len(fresh) > 0 {
			again = newestTold
		} else if time.Since(theirs) > again {
			fresh, again = a.comparer.newest(), min(2*again, rarelyTold)
		}
		if len(fresh) == 0 {
			if !a.listen(heard) {
				return
			}
			continue
		}
		theirs = time.Now()
		body := binary.LittleEndian.AppendUint32(nil, uint32(a.Replica))
		for _, one := range fresh {
			body = binary.LittleEndian.AppendUint64(body, one.index)
			body = binary.LittleEndian.AppendUint64(body, one.value)
		}
		for _, p := range a.registry.others() {
			if c, err := p.connected(); err == nil {
				c.conn.SetWriteDeadline(time.Now().Add(time.Second))
				if err := c.write(kHashes, 0, body); err != nil {
					c.close(err)
				}
			}
		}
		if !a.pause(200 * time.Millisecond) {
			return
		}
	}
}

func (a *agent) compare(body []byte) {
	if len(body) < 4 {
		return
	}
	replica := int(binary.LittleEndian.Uint32(body))
	index, odd, news := a.comparer.other(replica, parseHashes(body[4:]))
	if !news {
		return
	}
	a.applier.mu.Lock()
	w := a.applier.worker
	a.applier.mu.Unlock()
	if w != nil {
		// It may read nothing for a while, and the other agent has more to say.
		go w.writeJSON(kDiverged, 0, map[string]any{"index": index, "peer": replica, "odd": odd})
	}
}
