package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// A frame is a length (4 bytes, little endian, of what follows), a kind (1), an id (8) and a body. The id says which
// question an answer belongs to. The same frames run between an agent and its worker and between agents.
const (
	frameHead  = 4 + 1 + 8
	frameLimit = 1 << 30
)

type kind uint8

const (
	// questions
	kHello   kind = 1
	kPropose kind = 2
	kRead    kind = 3
	kApplied kind = 4
	kDone    kind = 5
	kStatus  kind = 6
	kAdmin   kind = 7
	kPing    kind = 8
	kWrite   kind = 9 // as kPropose, but only a failure is answered: the log tells the rest
	// from an agent
	kOK       kind = 21
	kError    kind = 22
	kApply    kind = 23
	kSnapshot kind = 24
	kRestore  kind = 25
	kReset    kind = 26
	kReady    kind = 27
	kDiverged kind = 28
	kRemoved  kind = 29
	kCommit   kind = 30
	kHashes   kind = 31
	kTerm     kind = 32
)

// A frame has a body; a proposal has entries instead, each with its part of the body behind room for a head.
type frame struct {
	kind    kind
	id      uint64
	body    []byte
	entries [][]byte
}

var errFrame = errors.New("garbled frame")

// readFrame reads one frame; a body is read as it comes, so that a lying length costs no memory.
func readFrame(r io.Reader, limit int) (frame, error) {
	var head [frameHead]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return frame{}, err
	}
	size := binary.LittleEndian.Uint32(head[:4])
	if size < frameHead-4 || int64(size) > int64(limit) {
		return frame{}, fmt.Errorf("%w: length %d", errFrame, size)
	}
	f := frame{kind: kind(head[4]), id: binary.LittleEndian.Uint64(head[5:])}
	rest := int(size) - (frameHead - 4)
	if f.kind == kPropose || f.kind == kWrite {
		for first := true; rest > 0 || first; first = false {
			entry := room(min(rest, chunkSize))
			if _, err := io.ReadFull(r, entry[chunkHead:]); err != nil {
				return f, noEOF(err)
			}
			f.entries = append(f.entries, entry)
			rest -= len(entry) - chunkHead
		}
		return f, nil
	}
	const step = 1 << 20
	if rest <= step {
		f.body = make([]byte, rest)
		_, err := io.ReadFull(r, f.body)
		return f, noEOF(err)
	}
	for rest > 0 {
		n := min(rest, step)
		at := len(f.body)
		f.body = append(f.body, make([]byte, n)...)
		if _, err := io.ReadFull(r, f.body[at:]); err != nil {
			return f, noEOF(err)
		}
		rest -= n
	}
	return f, nil
}

func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func headOf(k kind, id uint64, body int) [frameHead]byte {
	var head [frameHead]byte
	binary.LittleEndian.PutUint32(head[:4], uint32(body+frameHead-4))
	head[4] = byte(k)
	binary.LittleEndian.PutUint64(head[5:], id)
	return head
}

// link writes frames to a connection from any goroutine.
type link struct {
	conn net.Conn
	in   *bufio.Reader
	mu   sync.Mutex
}

func newLink(conn net.Conn) *link { return &link{conn: conn, in: bufio.NewReaderSize(conn, 64<<10)} }

func (l *link) read() (frame, error) { return readFrame(l.in, frameLimit) }

func (l *link) write(k kind, id uint64, parts ...[]byte) error {
	size := 0
	for _, part := range parts {
		size += len(part)
	}
	if size+frameHead-4 > frameLimit {
		return fmt.Errorf("%w: %d bytes are too many", errFrame, size)
	}
	head := headOf(k, id, size)
	buffers := append(net.Buffers{head[:]}, parts...)
	l.mu.Lock()
	defer l.mu.Unlock()
	_, err := buffers.WriteTo(l.conn)
	return err
}

// writeFrom writes a frame whose body, of that size, write writes behind the head.
func (l *link) writeFrom(k kind, id uint64, size int, write func(out io.Writer, head []byte) error) error {
	if size+frameHead-4 > frameLimit {
		return fmt.Errorf("%w: %d bytes are too many", errFrame, size)
	}
	head := headOf(k, id, size)
	l.mu.Lock()
	defer l.mu.Unlock()
	return write(l.conn, head[:])
}

func (l *link) writeJSON(k kind, id uint64, value any) error {
	body, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return l.write(k, id, body)
}

func (l *link) fail(id uint64, err error) error { return l.writeJSON(kError, id, asFault(err)) }

// fault is an error that travels. Codes: unavailable (certainly not done, ask again), unknown (may have been done, ask
// again under the same request id), refused (asking again is no use).
type fault struct {
	Code string `json:"code"`
	Text string `json:"text"`
}

func (f *fault) Error() string { return f.Text }

func asFault(err error) *fault {
	var f *fault
	if errors.As(err, &f) {
		return f
	}
	return &fault{Code: "unknown", Text: err.Error()}
}

func unavailable(format string, args ...any) error {
	return &fault{Code: "unavailable", Text: fmt.Sprintf(format, args...)}
}

func refused(format string, args ...any) error {
	return &fault{Code: "refused", Text: fmt.Sprintf(format, args...)}
}

// caller asks questions over a link and delivers each answer to its caller.
type caller struct {
	*link
	mu      sync.Mutex
	next    uint64
	waiting map[uint64]chan frame
	heard   time.Time
	dead    error
}

// silence is how long nothing may come over a connection on which somebody waits in vain. It may be one that a partition
// broke, and would take as long again to recover.
const silence = time.Second

func newCaller(conn net.Conn) *caller {
	c := &caller{link: newLink(conn), waiting: map[uint64]chan frame{}, heard: time.Now()}
	go c.pump()
	return c
}

func (c *caller) pump() {
	for {
		f, err := c.read()
		if err != nil {
			c.close(err)
			return
		}
		c.mu.Lock()
		reply := c.waiting[f.id]
		delete(c.waiting, f.id)
		c.heard = time.Now()
		c.mu.Unlock()
		if reply != nil {
			reply <- f
		}
	}
}

func (c *caller) close(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead == nil {
		c.dead = err
		for id, reply := range c.waiting {
			delete(c.waiting, id)
			close(reply)
		}
	}
	c.conn.Close()
}

func (c *caller) alive() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dead == nil
}

func (c *caller) call(k kind, patience time.Duration, parts ...[]byte) ([]byte, error) {
	reply := make(chan frame, 1)
	c.mu.Lock()
	if c.dead != nil {
		c.mu.Unlock()
		return nil, unavailable("the connection is gone: %v", c.dead)
	}
	c.next++
	id := c.next
	c.waiting[id] = reply
	c.mu.Unlock()
	c.conn.SetWriteDeadline(time.Now().Add(patience))
	if err := c.write(k, id, parts...); err != nil {
		c.close(err)
		return nil, err
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case f, ok := <-reply:
		if !ok {
			return nil, errors.New("the connection broke before the answer came")
		}
		if f.kind == kError {
			var failure fault
			if err := json.Unmarshal(f.body, &failure); err != nil {
				return nil, err
			}
			return nil, &failure
		}
		return f.body, nil
	case <-timer.C:
		c.mu.Lock()
		delete(c.waiting, id)
		silent := time.Since(c.heard) > max(silence, patience)
		c.mu.Unlock()
		err := fmt.Errorf("no answer within %v", patience)
		if silent {
			c.close(err)
		}
		return nil, err
	}
}
