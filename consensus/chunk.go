package main

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"net"
	"os"
	"sort"
	"sync/atomic"
)

// An operation is cut into entries of at most chunkSize bytes, so that a large one never keeps heartbeats or small
// writes waiting. Each entry: operation (8 bytes), sequence (4), count (4), CRC-32C of the data (4), data.
const (
	chunkSize = 128<<10 - 256 // with what the log adds, a whole number of pages
	chunkHead = 8 + 4 + 4 + 4
	spillSize = 2 << 20 // of an open operation: beyond, it is kept in a file
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// room is an entry for size bytes of data, which follow its head.
func room(size int) []byte { return make([]byte, chunkHead+size) }

// seal writes the heads of the entries of an operation whose data are there.
func seal(operation uint64, entries [][]byte) {
	for sequence, entry := range entries {
		binary.LittleEndian.PutUint64(entry, operation)
		binary.LittleEndian.PutUint32(entry[8:], uint32(sequence))
		binary.LittleEndian.PutUint32(entry[12:], uint32(len(entries)))
		binary.LittleEndian.PutUint32(entry[16:], crc32.Checksum(entry[chunkHead:], castagnoli))
	}
}

var errChunk = errors.New("garbled entry")

// assembler joins the entries of operations, in log order. What it does depends on the log alone: entries of a leader
// that lost its term before the last one are dropped by the first entry of a later term.
type assembler struct {
	open map[uint64]*partial
	dir  string // where large operations are kept while they are open; "" for in memory
}

// partial is an operation of which entries are to come, or one that is whole. Its first bytes may be in a file, which
// clones share: it only grows.
type partial struct {
	first  uint64
	term   uint64
	count  uint32
	next   uint32
	size   int // of all that is there
	file   *spill
	filed  int64 // bytes of it in the file
	pieces [][]byte
}

// spill is a file without a name, closed by its last holder.
type spill struct {
	*os.File
	holders atomic.Int32
}

func newSpill(dir string) (*spill, error) {
	f, err := os.CreateTemp(dir, "operation-")
	if err != nil {
		return nil, err
	}
	os.Remove(f.Name())
	s := &spill{File: f}
	s.holders.Store(1)
	return s, nil
}

func newAssembler(dir string) *assembler { return &assembler{open: map[uint64]*partial{}, dir: dir} }

// add takes the entry at index; gives the operation when it was the last one. The entry is kept.
func (a *assembler) add(index, term uint64, entry []byte) (*partial, error) {
	a.pass(term)
	if len(entry) < chunkHead {
		return nil, errChunk
	}
	operation := binary.LittleEndian.Uint64(entry)
	sequence := binary.LittleEndian.Uint32(entry[8:])
	count := binary.LittleEndian.Uint32(entry[12:])
	data := entry[chunkHead:]
	if crc32.Checksum(data, castagnoli) != binary.LittleEndian.Uint32(entry[16:]) || sequence >= count {
		return nil, errChunk
	}
	if count == 1 {
		return &partial{first: index, term: term, count: 1, next: 1, size: len(data), pieces: [][]byte{data}}, nil
	}
	part := a.open[operation]
	if sequence == 0 {
		a.forget(operation)
		part = &partial{first: index, term: term, count: count}
		a.open[operation] = part
	}
	if part == nil || part.next != sequence || part.count != count {
		a.forget(operation) // an orphan of an operation that was given up
		return nil, nil
	}
	part.next++
	part.take(data, a.dir)
	if part.next < count {
		return nil, nil
	}
	delete(a.open, operation)
	return part, nil
}

// take adds data; what cannot be written to a file stays in memory.
func (p *partial) take(data []byte, dir string) {
	p.size += len(data)
	p.pieces = append(p.pieces, data)
	if dir == "" || int64(p.size)-p.filed < spillSize {
		return
	}
	if p.file == nil {
		file, err := newSpill(dir)
		if err != nil {
			return
		}
		p.file = file
	}
	at := p.filed
	for _, piece := range p.pieces {
		if _, err := p.file.WriteAt(piece, at); err != nil {
			return // written again, or read from memory
		}
		at += int64(len(piece))
	}
	p.filed, p.pieces = at, nil
}

func (p *partial) WriteTo(w io.Writer) (int64, error) {
	if p.file != nil {
		if n, err := io.Copy(w, io.NewSectionReader(p.file, 0, p.filed)); err != nil || n != p.filed {
			return n, errors.Join(err, io.ErrShortWrite)
		}
	}
	pieces := append(net.Buffers(nil), p.pieces...)
	n, err := pieces.WriteTo(w)
	return n + p.filed, err
}

func (p *partial) close() {
	if p.file != nil && p.file.holders.Add(-1) == 0 {
		p.file.Close()
	}
}

func (a *assembler) forget(operation uint64) {
	if part := a.open[operation]; part != nil {
		part.close()
		delete(a.open, operation)
	}
}

// pass notes that an entry of this term is in the log: no leader of an earlier one can append any more.
func (a *assembler) pass(term uint64) {
	for operation, part := range a.open {
		if part.term < term {
			a.forget(operation)
		}
	}
}

// oldest is the index of the first entry of all open operations, or `otherwise`.
func (a *assembler) oldest(otherwise uint64) uint64 {
	for _, part := range a.open {
		otherwise = min(otherwise, part.first)
	}
	return otherwise
}

func (a *assembler) close() {
	for operation := range a.open {
		a.forget(operation)
	}
}

// write puts the open operations into a snapshot: they began before it and end after it.
func (a *assembler) write(w io.Writer) error {
	operations := make([]uint64, 0, len(a.open))
	for operation := range a.open {
		operations = append(operations, operation)
	}
	sort.Slice(operations, func(i, j int) bool { return operations[i] < operations[j] })
	for _, operation := range operations {
		part := a.open[operation]
		var head [40]byte
		binary.LittleEndian.PutUint64(head[0:], operation)
		binary.LittleEndian.PutUint64(head[8:], part.first)
		binary.LittleEndian.PutUint64(head[16:], part.term)
		binary.LittleEndian.PutUint32(head[24:], part.count)
		binary.LittleEndian.PutUint32(head[28:], part.next)
		binary.LittleEndian.PutUint64(head[32:], uint64(part.size))
		if _, err := w.Write(head[:]); err != nil {
			return err
		}
		if _, err := part.WriteTo(w); err != nil {
			return err
		}
	}
	return nil
}

func readAssembler(r io.Reader, dir string) (*assembler, error) {
	a := newAssembler(dir)
	for {
		var head [40]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			if err == io.EOF {
				return a, nil
			}
			return nil, errChunk
		}
		part := &partial{
			first: binary.LittleEndian.Uint64(head[8:]),
			term:  binary.LittleEndian.Uint64(head[16:]),
			count: binary.LittleEndian.Uint32(head[24:]),
			next:  binary.LittleEndian.Uint32(head[28:]),
		}
		operation := binary.LittleEndian.Uint64(head[:])
		a.forget(operation)
		a.open[operation] = part
		for left := binary.LittleEndian.Uint64(head[32:]); left > 0; {
			data := make([]byte, min(left, chunkSize))
			if _, err := io.ReadFull(r, data); err != nil {
				return nil, errChunk
			}
			part.take(data, dir)
			left -= uint64(len(data))
		}
	}
}

func (a *assembler) clone() *assembler {
	copied := newAssembler(a.dir)
	for operation, part := range a.open {
		one := *part
		one.pieces = part.pieces[:len(part.pieces):len(part.pieces)]
		if one.file != nil {
			one.file.holders.Add(1)
		}
		copied.open[operation] = &one
	}
	return copied
}
