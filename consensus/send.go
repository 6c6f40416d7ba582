package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/hashicorp/raft"
)

func (a *applier) run() {
	for {
		w, wanted, upto := a.next()
		if w == nil {
			return
		}
		var err error
		switch {
		case wanted != nil:
			err = a.ask(w, wanted)
		case upto == 0:
			a.reset(w, "a snapshot overtook it")
		default:
			err = a.send(w, upto)
		}
		switch {
		case err == nil:
		case errors.Is(err, raft.ErrLogNotFound):
			a.reset(w, "the log begins after what it has applied")
		default:
			a.warn("the worker is given up: %v", err)
			a.detach(w)
			time.Sleep(50 * time.Millisecond)
		}
	}
}

// next waits for something to do: a snapshot that is due, or entries to send up to an index; 0 for a worker that has to
// restart. nil at the end.
func (a *applier) next() (*worker, *snapshotRequest, uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for !a.stopped {
		if w := a.worker; w != nil && w.ready {
			if w.sent < a.base {
				return w, nil, 0
			}
			for i, one := range w.requests {
				if w.sent >= one.least {
					w.requests = append(w.requests[:i:i], w.requests[i+1:]...)
					w.nextWish++
					w.answers[w.nextWish] = one
					one.index, one.chunks = w.sent, w.assembly.clone()
					return w, one, w.nextWish
				}
			}
			if w.sent < a.committed && w.bytes < windowBytes {
				return w, nil, a.committed
			}
		}
		a.changed.Wait()
	}
	return nil, nil, 0
}

func (a *applier) ask(w *worker, one *snapshotRequest) error {
	a.mu.Lock()
	id := uint64(0)
	for known, other := range w.answers {
		if other == one {
			id = known
		}
	}
	a.mu.Unlock()
	if id == 0 {
		return nil // dropped meanwhile
	}
	return w.writeJSON(kSnapshot, id, map[string]any{"dir": one.dir, "index": one.index})
}

// send reads entries and sends what operations they complete: index reached, oldest entry still needed, how many, then
// for each its index, the term, and its payload with its length.
func (a *applier) send(w *worker, upto uint64) error {
	a.mu.Lock()
	at := w.sent
	a.mu.Unlock()
	var batch []*partial
	defer func() {
		for _, part := range batch {
			part.close()
		}
	}()
	read, size := 0, 20
	for at < upto && read < batchBytes && size < batchBytes {
		var l raft.Log
		if err := a.log.GetLog(at+1, &l); err != nil {
			return err
		}
		at++
		if l.Type != raft.LogCommand {
			w.assembly.pass(l.Term)
			continue
		}
		part, err := w.assembly.add(l.Index, l.Term, l.Data)
		if err != nil {
			return fmt.Errorf("entry %d: %w", l.Index, err)
		}
		read += len(l.Data)
		if part != nil {
			part.first, part.term = l.Index, l.Term
			batch = append(batch, part)
			size += 20 + part.size
		}
	}
	var head [20]byte
	binary.LittleEndian.PutUint64(head[0:], at)
	binary.LittleEndian.PutUint64(head[8:], w.assembly.oldest(at+1))
	binary.LittleEndian.PutUint32(head[16:], uint32(len(batch)))
	ahead := max(read, size) // what is joined may be more than the entries that end it
	a.mu.Lock()
	w.sent = at
	w.bytes += ahead
	w.flying = append(w.flying, flight{at, ahead})
	a.mu.Unlock()
	return w.writeFrom(kApply, 0, size, func(out io.Writer, before []byte) error {
		return writeBatch(out, net.Buffers{before, head[:]}, batch)
	})
}

// writeBatch writes what is in memory with as few calls as it takes.
func writeBatch(out io.Writer, ready net.Buffers, batch []*partial) error {
	for _, part := range batch {
		about := make([]byte, 20)
		binary.LittleEndian.PutUint64(about[0:], part.first)
		binary.LittleEndian.PutUint64(about[8:], part.term)
		binary.LittleEndian.PutUint32(about[16:], uint32(part.size))
		ready = append(ready, about)
		if part.file == nil {
			ready = append(ready, part.pieces...)
			continue
		}
		if _, err := ready.WriteTo(out); err != nil {
			return err
		}
		ready = nil
		if _, err := part.WriteTo(out); err != nil {
			return err
		}
	}
	_, err := ready.WriteTo(out)
	return err
}
