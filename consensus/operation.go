package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"unicode/utf8"
)

// The worker defines what an operation looks like, see src/jina/replication/log_entries.py. The agent checks its form
// before it proposes one: what no worker can read would stop every replica, and the log never forgets it.
//
// An operation is a version, the lengths of what follows, flags, two MessagePack arrays (what is logged of the request,
// and the request without its documents), and the documents, which anything can be. Several are joined by their sizes.
const (
	oneOperation   = 1
	manyOperations = 2
	mostNested     = 500          // Python gives up at 1000 levels, some of which its callers take
	lastMoment     = 253402300800 // the year 10000
	mostDigits     = 4300         // of a number in JSON that Python reads
)

var (
	errShort = errors.New("it is truncated")
	endless  = [][]byte{[]byte("-Infinity"), []byte("Infinity"), []byte("NaN")}
)

// checkForm says why no worker can read an operation that comes in parts; nil where each can.
func checkForm(parts [][]byte) error {
	in := &scanner{parts: slices.Clone(parts)}
	for _, part := range parts {
		in.left += len(part)
	}
	version, err := in.byte()
	if err != nil {
		return errors.New("it is empty")
	}
	if version != manyOperations {
		return in.operation(version, in.left)
	}
	if in.left == 0 {
		return errors.New("it joins none")
	}
	for in.left > 0 {
		size, err := in.number(8)
		if err == nil && size-1 >= uint64(in.left) { // 0 too
			err = errShort
		}
		if err == nil {
			version, err = in.byte()
		}
		if err == nil {
			err = in.operation(version, int(size)-1)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// scanner reads from the parts of an operation, without joining more than what it looks at.
type scanner struct {
	parts [][]byte
	left  int
}

// operation reads one whose version was read, and of which `size` bytes follow.
func (s *scanner) operation(version byte, size int) error {
	if version != oneOperation {
		return fmt.Errorf("it is of version %d, which is not known here", version)
	}
	end := s.left - size
	about, err := s.number(4)
	if err != nil {
		return err
	}
	meta, err := s.number(4)
	if err != nil {
		return err
	}
	if _, err := s.byte(); err != nil { // the flags
		return err
	}
	body := int64(s.left-end) - int64(about) - int64(meta)
	if body < 0 {
		return errShort
	}
	if err := s.part(int(about), s.about); err != nil {
		return fmt.Errorf("what is logged of it: %w", err)
	}
	if err := s.part(int(meta), func() error { return s.meta(body) }); err != nil {
		return fmt.Errorf("its request: %w", err)
	}
	_, err = s.take(int(body), false)
	return err
}

// part reads what has exactly so many bytes.
func (s *scanner) part(size int, read func() error) error {
	behind := s.left - size
	if err := read(); err != nil {
		return err
	}
	if s.left != behind {
		return errors.New("its length differs")
	}
	return nil
}

// about is what is logged of a request beside itself: `Entry` in log_entries.py.
func (s *scanner) about() error {
	fields := []func() error{
		s.text, s.binary, s.natural, s.text, s.natural, s.natural, s.natural, s.moment, s.natural,
	}
	return s.array("entry", fields, 3)
}

// meta is a request without its documents: `_RequestMeta` in src/jina/ipc/protocol.py.
func (s *scanner) meta(body int64) error {
	fields := []func() error{
		s.text, s.text, s.text, s.truth, s.optional(s.amount), s.headers,
		s.parameters, s.exact, s.optional(s.location), s.truth,
		s.optional(func() error { return s.branches(body) }),
	}
	return s.array("request", fields, 2)
}

func (s *scanner) branches(body int64) error {
	sum := int64(0)
	return s.each(func() error {
		return s.array("branch", []func() error{s.text, s.optional(func() error {
			size := func() error {
				n, err := s.whole()
				if sum += n; err == nil && (n < 0 || n > body || sum > body) {
					err = errors.New("the documents of a branch are more than there are")
				}
				return err
			}
			return s.array("documents", []func() error{size, s.truth, s.optional(s.location), s.truth}, 1)
		})}, 2)
	})
}

func (s *scanner) parameters() error { return s.mapping(0, s.any) }

func (s *scanner) headers() error {
	return s.mapping(0, func(int) error { return s.text() })
}

func (s *scanner) location() error {
	return s.each(func() error {
		v, err := s.value()
		if err == nil && v.kind != aText && v.kind != aWhole {
			err = v.wrong("text or a whole number")
		}
		return err
	})
}

// exact is the JSON of parameters that MessagePack cannot hold.
func (s *scanner) exact() error {
	v, err := s.value()
	if err != nil {
		return err
	}
	if v.kind != aText {
		return v.wrong("text")
	}
	if len(v.data) == 0 {
		return nil
	}
	plain, err := plainJSON(v.data)
	if err == nil && (plain[0] != '{' || !json.Valid(plain)) {
		err = errors.New("parameters that are no JSON object")
	}
	return err
}

// plainJSON replaces what Python reads beyond JSON, and refuses what it does not read though it is JSON.
func plainJSON(data []byte) ([]byte, error) {
	var plain []byte
	depth, digits, quoted := 0, 0, false
	for at := 0; at < len(data); at++ {
		c := data[at]
		if quoted {
			plain = append(plain, c)
			if c == '\\' && at+1 < len(data) {
				at++
				plain = append(plain, data[at])
			}
			quoted = c != '"'
			continue
		}
		if word := endlessAt(data[at:]); word != nil {
			plain = append(plain, "null"...)
			at += len(word) - 1
			continue
		}
		plain = append(plain, c)
		digits++
		switch {
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			depth--
		case c == '"':
			quoted = true
		}
		if c < '0' || c > '9' {
			digits = 0
		}
		if depth > mostNested || digits > mostDigits {
			return nil, errors.New("parameters that are nested too deeply, or a number of too many digits")
		}
	}
	return plain, nil
}

func endlessAt(data []byte) []byte {
	for _, word := range endless {
		if bytes.HasPrefix(data, word) {
			return word
		}
	}
	return nil
}

// --- MessagePack ------------------------------------------------------------------------------------------------

type species uint8

const (
	aNil species = iota
	aTruth
	aWhole
	aFraction
	aText
	aBinary
	anArray
	aMap
)

func (k species) String() string {
	return [...]string{"nil", "truth", "whole number", "fraction", "text", "binary", "array", "map"}[k]
}

// value is one of MessagePack, or the head of an array or a map of n.
type value struct {
	kind     species
	data     []byte
	n        int
	negative bool
	number   uint64
	fraction float64
}

func (v value) wrong(wanted string) error {
	return fmt.Errorf("%v where there must be %s", v.kind, wanted)
}

func (s *scanner) byte() (byte, error) {
	data, err := s.take(1, true)
	if err != nil {
		return 0, err
	}
	return data[0], nil
}

// number is one of so many bytes, little endian.
func (s *scanner) number(size int) (uint64, error) {
	data, err := s.take(size, true)
	if err != nil {
		return 0, err
	}
	var whole [8]byte
	copy(whole[:], data)
	return binary.LittleEndian.Uint64(whole[:]), nil
}

// take goes on by n bytes, and gives them where they are wanted.
func (s *scanner) take(n int, wanted bool) ([]byte, error) {
	if n < 0 || n > s.left {
		return nil, errShort
	}
	s.left -= n
	var joined []byte
	for n > 0 {
		part := s.parts[0]
		if len(part) == 0 {
			s.parts = s.parts[1:]
			continue
		}
		some := min(n, len(part))
		s.parts[0] = part[some:]
		n -= some
		switch {
		case !wanted:
		case n == 0 && joined == nil:
			return part[:some], nil
		default:
			joined = append(joined, part[:some]...)
		}
	}
	return joined, nil
}

// big is a number of so many bytes, big endian.
func (s *scanner) big(size int) (uint64, error) {
	data, err := s.take(size, true)
	var whole uint64
	for _, b := range data {
		whole = whole<<8 | uint64(b)
	}
	return whole, err
}

// value reads the next one; of an array or a map only its head.
func (s *scanner) value() (value, error) {
	c, err := s.byte()
	if err != nil {
		return value{}, err
	}
	switch {
	case c < 0x80:
		return value{kind: aWhole, number: uint64(c)}, nil
	case c < 0x90:
		return value{kind: aMap, n: int(c & 0x0f)}, nil
	case c < 0xa0:
		return value{kind: anArray, n: int(c & 0x0f)}, nil
	case c < 0xc0:
		return s.sized(aText, uint64(c&0x1f), nil)
	case c >= 0xe0:
		return value{kind: aWhole, negative: true, number: uint64(int64(int8(c)))}, nil
	}
	switch c {
	case 0xc0:
		return value{kind: aNil}, nil
	case 0xc2, 0xc3:
		return value{kind: aTruth}, nil
	case 0xc4, 0xc5, 0xc6:
		n, err := s.big(1 << (c - 0xc4))
		return s.sized(aBinary, n, err)
	case 0xca:
		n, err := s.big(4)
		return value{kind: aFraction, fraction: float64(math.Float32frombits(uint32(n)))}, err
	case 0xcb:
		n, err := s.big(8)
		return value{kind: aFraction, fraction: math.Float64frombits(n)}, err
	case 0xcc, 0xcd, 0xce, 0xcf:
		n, err := s.big(1 << (c - 0xcc))
		return value{kind: aWhole, number: n}, err
	case 0xd0, 0xd1, 0xd2, 0xd3:
		size := 1 << (c - 0xd0)
		n, err := s.big(size)
		gap := 64 - 8*size
		signed := int64(n<<gap) >> gap
		return value{kind: aWhole, number: uint64(signed), negative: signed < 0}, err
	case 0xd9, 0xda, 0xdb:
		n, err := s.big(1 << (c - 0xd9))
		return s.sized(aText, n, err)
	case 0xdc, 0xdd:
		n, err := s.big(2 << (c - 0xdc))
		return value{kind: anArray, n: int(n)}, err
	case 0xde, 0xdf:
		n, err := s.big(2 << (c - 0xde))
		return value{kind: aMap, n: int(n)}, err
	}
	return value{}, fmt.Errorf("a value of the type %#x, which has no place there", c)
}

func (s *scanner) sized(kind species, size uint64, err error) (value, error) {
	if err != nil {
		return value{}, err
	}
	data, err := s.take(int(size), true)
	if err == nil && kind == aText && !utf8.Valid(data) {
		err = errors.New("text that is not UTF-8")
	}
	return value{kind: kind, data: data}, err
}

func (s *scanner) is(kind species) (value, error) {
	v, err := s.value()
	if err == nil && v.kind != kind {
		err = v.wrong(kind.String())
	}
	return v, err
}

func (s *scanner) text() error { _, err := s.is(aText); return err }

func (s *scanner) binary() error { _, err := s.is(aBinary); return err }

func (s *scanner) truth() error { _, err := s.is(aTruth); return err }

// whole is a number that no side takes for another one.
func (s *scanner) whole() (int64, error) {
	v, err := s.is(aWhole)
	if err == nil && !v.negative && v.number > math.MaxInt64 {
		err = fmt.Errorf("the number %d is too large", v.number)
	}
	return int64(v.number), err
}

func (s *scanner) natural() error {
	n, err := s.whole()
	if err == nil && n < 0 {
		err = fmt.Errorf("the number %d is below 0", n)
	}
	return err
}

func (s *scanner) amount() error {
	v, err := s.value()
	if err == nil && v.kind != aFraction && v.kind != aWhole {
		err = v.wrong("a number")
	}
	return err
}

// moment is a time that there is: seconds since 1970, before the year 10000.
func (s *scanner) moment() error {
	v, err := s.value()
	switch at := v.fraction; {
	case err != nil:
		return err
	case v.kind == aWhole && !v.negative && v.number < lastMoment:
		return nil
	case v.kind != aFraction:
		return v.wrong("a time")
	case !(at >= 0 && at < lastMoment):
		return fmt.Errorf("%v is no time", at)
	}
	return nil
}

// optional lets nil stand for what read reads.
func (s *scanner) optional(read func() error) func() error {
	return func() error {
		next, err := s.peek()
		if err == nil && next == 0xc0 {
			_, err = s.byte()
			return err
		}
		if err != nil {
			return err
		}
		return read()
	}
}

func (s *scanner) peek() (byte, error) {
	for _, part := range s.parts {
		if len(part) > 0 && s.left > 0 {
			return part[0], nil
		}
	}
	return 0, errShort
}

// array reads fields, of which only the first ones must be there.
func (s *scanner) array(what string, fields []func() error, least int) error {
	v, err := s.is(anArray)
	if err != nil {
		return err
	}
	if v.n < least || v.n > len(fields) {
		return fmt.Errorf("a %s of %d fields", what, v.n)
	}
	for at, read := range fields[:v.n] {
		if err := read(); err != nil {
			return fmt.Errorf("field %d: %w", at, err)
		}
	}
	return nil
}

// each reads an array of the same.
func (s *scanner) each(read func() error) error {
	v, err := s.is(anArray)
	for n := 0; err == nil && n < v.n; n++ {
		err = read()
	}
	return err
}

// mapping reads a map whose keys are texts.
func (s *scanner) mapping(depth int, read func(depth int) error) error {
	v, err := s.is(aMap)
	for n := 0; err == nil && n < v.n; n++ {
		if err = s.text(); err == nil {
			err = read(depth + 1)
		}
	}
	return err
}

// any reads what parameters can hold.
func (s *scanner) any(depth int) error {
	if depth > mostNested {
		return errors.New("parameters that are nested too deeply")
	}
	v, err := s.value()
	for n := 0; err == nil && n < v.n; n++ {
		if v.kind == aMap {
			err = s.key()
		}
		if err == nil {
			err = s.any(depth + 1)
		}
	}
	return err
}

// key is what a dictionary of Python can have.
func (s *scanner) key() error {
	v, err := s.value()
	if err == nil && (v.kind == anArray || v.kind == aMap) {
		err = v.wrong("the key of a map")
	}
	return err
}
