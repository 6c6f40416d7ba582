package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// speaks dials and says bytes; what is answered is read until the connection is closed.
func speaks(t *testing.T, address string, said []byte) []byte {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	conn.Write(said)
	conn.(*net.TCPConn).CloseWrite()
	answer, err := io.ReadAll(conn)
	if isTimeout(err) {
		t.Fatal("the connection stays open")
	}
	return answer
}

func salute(m *mux, purpose byte) []byte {
	mark := m.mark(purpose&^withKey, "")
	return append([]byte{purpose}, mark[:]...)
}

func nonced(t *testing.T, m *mux, purpose byte) []byte {
	t.Helper()
	var nonce [nonceSize]byte
	rand.Read(nonce[:])
	return append(salute(m, purpose), withName(nonce[:], "")...)
}

func proposal(text string) []byte {
	head := headOf(kPropose, 1, len(text))
	return append(head[:], text...)
}

// question asks for the status.
func question() []byte {
	head := headOf(kStatus, 1, 0)
	return head[:]
}

// untouched says that the group goes on, and that nothing else was written.
func untouched(t *testing.T, g *group, items int) {
	t.Helper()
	g.lists[0].write("goes on")
	same(t, g, items+1)
}

// Who reaches the port, knows the name of the group and how agents talk can write nothing, and learn nothing.
func TestAStrangerWithoutTheKeyIsRefused(t *testing.T) {
	g := newGroup(t, 3, nil)
	g.startAll()
	m, address := knows("g"), g.peers[g.leader()]
	text := string(operation("from a stranger"))
	for what, said := range map[string][]byte{
		"as before there were keys": append(salute(m, forPeer), proposal(text)...),
		"as raft before":            append(salute(m, forRaft), 0, 0),
		"for the status":            append(salute(m, forStatus), question()...),
		"nothing":                   nil,
		"an unknown purpose":        append(salute(m, 'X'), proposal(text)...),
	} {
		if answer := speaks(t, address, said); len(answer) > 0 {
			t.Errorf("%s: %q is answered", what, answer)
		}
	}
	wrong := &mux{group: "g", key: []byte(strings.Repeat("w", leastKey))}
	for _, one := range []*mux{wrong, {group: "g"}, {group: "other", key: []byte(groupKey)}} {
		for _, purpose := range []byte{forPeer, forStatus} {
			conn, err := one.dial(address, purpose, "", time.Second)
			if err != nil {
				continue
			}
			conn.SetDeadline(time.Now().Add(20 * time.Second))
			said := newLink(conn)
			said.write(kPropose, 1, []byte(text))
			if f, err := said.read(); err == nil || isTimeout(err) {
				t.Errorf("%q is told %v, %v", one.key, f.kind, err)
			}
			conn.Close()
		}
	}
	untouched(t, g, 0)
}

// What somebody wrote down of a connection is worth nothing in another one.
func TestAReplayIsRefused(t *testing.T) {
	g := newGroup(t, 1, nil)
	g.startAll()
	m := knows("g")
	here, there := net.Pipe()
	heard := new(bytes.Buffer)
	go func() { // between the two, and listens
		conn, err := net.Dial("tcp", g.peers[0])
		if err != nil {
			return
		}
		go io.Copy(there, conn)
		io.Copy(conn, io.TeeReader(there, heard))
		conn.Close()
	}()
	if err := m.greet(here, forPeer, "0", 5*time.Second); err != nil {
		t.Fatal(err)
	}
	said := newLink(here)
	said.write(kPropose, 1, operation("once#1.1"))
	if f, err := said.read(); err != nil || f.kind != kOK {
		t.Fatal(f.kind, err)
	}
	here.Close()
	until(t, "what was heard", func() bool { return heard.Len() > hello+nonceSize+proofSize })
	g.lists[0].awaitCount(1)
	for range 3 {
		answer := speaks(t, g.peers[0], heard.Bytes())
		if want := nonceSize + 1 + len(g.agents[0].id) + proofSize; len(answer) != want {
			t.Errorf("%d bytes are answered to a replay, where the greeting has %d", len(answer), want)
		}
	}
	untouched(t, g, 1)
}

// A proof of the one side is none of the other: who has it made by a member learns nothing that another member takes.
func TestAChallengeThatIsSentBackIsRefused(t *testing.T) {
	g := newGroup(t, 2, nil)
	g.startAll()
	for other := range 2 { // to the same agent, and to the other one
		m := knows("g")
		conn, err := net.Dial("tcp", g.peers[0])
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(20 * time.Second))
		begin := nonced(t, m, forStatus|withKey)
		conn.Write(begin)
		challenge := make([]byte, nonceSize)
		if _, err := io.ReadFull(conn, challenge); err != nil {
			t.Fatal(err)
		}
		// The second connection asks for a proof about the challenge of the first one.
		second, err := net.Dial("tcp", g.peers[other])
		if err != nil {
			t.Fatal(err)
		}
		defer second.Close()
		second.SetDeadline(time.Now().Add(20 * time.Second))
		second.Write(append(salute(m, forStatus|withKey), withName(challenge, "")...))
		io.ReadFull(second, make([]byte, nonceSize))
		if _, err := readName(second); err != nil {
			t.Fatal(err)
		}
		proof := make([]byte, proofSize)
		if _, err := io.ReadFull(second, proof); err != nil {
			t.Fatal(err)
		}
		if _, err := readName(conn); err != nil {
			t.Fatal(err)
		}
		own := make([]byte, proofSize)
		io.ReadFull(conn, own)
		conn.Write(append(proof, question()...))
		if rest, err := io.ReadAll(conn); len(rest) > 0 || isTimeout(err) {
			t.Errorf("%q is answered to a proof of another connection", rest)
		}
		// Nor is the own proof of an agent one of whoever called it.
		again, _ := net.Dial("tcp", g.peers[0])
		defer again.Close()
		again.SetDeadline(time.Now().Add(20 * time.Second))
		again.Write(begin)
		answer := make([]byte, nonceSize+1+len(g.agents[0].id)+proofSize)
		io.ReadFull(again, answer)
		again.Write(append(answer[len(answer)-proofSize:], question()...))
		if rest, err := io.ReadAll(again); len(rest) > 0 || isTimeout(err) {
			t.Errorf("%q is answered to the agent's own proof", rest)
		}
	}
	untouched(t, g, 0)
}

func TestAGreetingThatIsCutOffIsRefused(t *testing.T) {
	g := newGroup(t, 1, nil)
	g.startAll()
	whole := append(nonced(t, knows("g"), forPeer|withKey), make([]byte, proofSize)...)
	for size := range len(whole) + 1 {
		answer := speaks(t, g.peers[0], whole[:size])
		if size < len(whole)-proofSize && len(answer) > 0 {
			t.Fatalf("%d bytes of a greeting are answered with %d", size, len(answer))
		}
	}
	long := append(salute(knows("g"), forPeer|withKey), make([]byte, nonceSize)...)
	speaks(t, g.peers[0], append(long, 255))
	untouched(t, g, 0)
}

// Nor does an agent take somebody else for a member.
func TestAnAgentLeavesWhoDoesNotHaveTheKey(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	heard := make(chan []byte, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		head := make([]byte, hello+nonceSize+1)
		io.ReadFull(conn, head)
		conn.Write(withName(head[hello:hello+nonceSize], "0-x")) // its own challenge
		conn.Write(make([]byte, proofSize))
		rest, _ := io.ReadAll(conn)
		heard <- rest
	}()
	if _, err := knows("g").dial(l.Addr().String(), forPeer, "0", 5*time.Second); !errors.Is(err, errNoProof) {
		t.Fatal(err)
	}
	if rest := <-heard; len(rest) > 0 {
		t.Errorf("it is shown %q", rest)
	}
}

func TestAConnectionIsForTheReplicaThatIsMeant(t *testing.T) {
	g := newGroup(t, 1, nil)
	g.startAll()
	if _, err := knows("g").dial(g.peers[0], forPeer, "1", time.Second); err == nil || !strings.Contains(err.Error(), "not 1") {
		t.Error(err)
	}
	for _, to := range []string{"", "0", g.agents[0].id} {
		conn, err := knows("g").dial(g.peers[0], forStatus, to, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		said := newLink(conn)
		said.write(kStatus, 1)
		var told info
		if f, err := said.read(); err != nil || json.Unmarshal(f.body, &told) != nil || told.Group != "g" {
			t.Error(err)
		}
		conn.Close()
	}
}

func TestAnAgentNeedsAKeyOrACertificate(t *testing.T) {
	for _, text := range []string{`"log_level": "ERROR"`, `"key": "short"`} {
		if _, err := readConfig([]byte(`{"group": "g", "dir": "x", "socket": "x", "peers": ["x"], ` + text + `}`)); err == nil || !strings.Contains(err.Error(), "key of the group") {
			t.Error(text, err)
		}
	}
	if _, err := readConfig([]byte(`{"group": "g", "dir": "x", "socket": "x", "peers": ["x"], "tls_cert": "x"}`)); err != nil {
		t.Error(err)
	}
}
