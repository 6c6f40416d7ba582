package main

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"sort"
)

// An operation is cut into entries of at most chunkSize bytes, so that a large one never keeps heartbeats or small
// writes waiting. Each entry: operation (8 bytes), sequence (4), count (4), CRC-32C of the data (4), data.
const (
	chunkSize = 256 << 10
	chunkHead = 8 + 4 + 4 + 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func cut(operation uint64, payload []byte) [][]byte {
	count := max(1, (len(payload)+chunkSize-1)/chunkSize)
	entries := make([][]byte, 0, count)
	for sequence := range count {
		data := payload[sequence*chunkSize : min(len(payload), (sequence+1)*chunkSize)]
		entry := make([]byte, chunkHead, chunkHead+len(data))
		binary.LittleEndian.PutUint64(entry, operation)
		binary.LittleEndian.PutUint32(entry[8:], uint32(sequence))
		binary.LittleEndian.PutUint32(entry[12:], uint32(count))
		binary.LittleEndian.PutUint32(entry[16:], crc32.Checksum(data, castagnoli))
		entries = append(entries, append(entry, data...))
	}
	return entries
}

var errChunk = errors.New("garbled entry")

// assembler joins the entries of operations, in log order. What it does depends on the log alone: entries of a leader
// that lost its term before the last one are dropped by the first entry of a later term.
type assembler struct {
	open map[uint64]*partial
}

type partial struct {
	first uint64
	term  uint64
	count uint32
	next  uint32
	data  []byte
}

func newAssembler() *assembler { return &assembler{open: map[uint64]*partial{}} }

// add takes the entry at index; gives the operation's payload when it was the last one.
func (a *assembler) add(index, term uint64, entry []byte) ([]byte, bool, error) {
	a.pass(term)
	if len(entry) < chunkHead {
		return nil, false, errChunk
	}
	operation := binary.LittleEndian.Uint64(entry)
	sequence := binary.LittleEndian.Uint32(entry[8:])
	count := binary.LittleEndian.Uint32(entry[12:])
	data := entry[chunkHead:]
	if crc32.Checksum(data, castagnoli) != binary.LittleEndian.Uint32(entry[16:]) || sequence >= count {
		return nil, false, errChunk
	}
	if count == 1 {
		return data, true, nil
	}
	part := a.open[operation]
	if sequence == 0 {
		part = &partial{first: index, term: term, count: count}
		a.open[operation] = part
	}
	if part == nil || part.next != sequence || part.count != count {
		delete(a.open, operation) // an orphan of an operation that was given up
		return nil, false, nil
	}
	part.data = append(part.data, data...)
	part.next++
	if part.next < count {
		return nil, false, nil
	}
	delete(a.open, operation)
	return part.data, true, nil
}

// pass notes that an entry of this term is in the log: no leader of an earlier one can append any more.
func (a *assembler) pass(term uint64) {
	for operation, part := range a.open {
		if part.term < term {
			delete(a.open, operation)
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
		binary.LittleEndian.PutUint64(head[32:], uint64(len(part.data)))
		if _, err := w.Write(head[:]); err != nil {
			return err
		}
		if _, err := w.Write(part.data); err != nil {
			return err
		}
	}
	return nil
}

func readAssembler(data []byte) (*assembler, error) {
	a := newAssembler()
	for len(data) > 0 {
		if len(data) < 40 {
			return nil, errChunk
		}
		size := binary.LittleEndian.Uint64(data[32:])
		if uint64(len(data)-40) < size {
			return nil, errChunk
		}
		a.open[binary.LittleEndian.Uint64(data)] = &partial{
			first: binary.LittleEndian.Uint64(data[8:]),
			term:  binary.LittleEndian.Uint64(data[16:]),
			count: binary.LittleEndian.Uint32(data[24:]),
			next:  binary.LittleEndian.Uint32(data[28:]),
			data:  append([]byte(nil), data[40:40+size]...),
		}
		data = data[40+size:]
	}
	return a, nil
}

func (a *assembler) clone() *assembler {
	copied := newAssembler()
	for operation, part := range a.open {
		one := *part
		one.data = part.data[:len(part.data):len(part.data)]
		copied.open[operation] = &one
	}
	return copied
}
