package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// config is what an agent is given, as one JSON document.
type config struct {
	Group     string   `json:"group"`
	Replica   int      `json:"replica"`
	Peers     []string `json:"peers"`  // host:port by replica
	Listen    string   `json:"listen"` // host:port of this replica where it is another than its peers see
	Dir       string   `json:"dir"`
	Socket    string   `json:"socket"`
	Nonce     string   `json:"nonce"` // of the start that all replicas share
	Again     bool     `json:"again"` // restarted within it, so a blank disk is a lost one
	Alone     bool     `json:"alone"` // started by itself, so that all that is to be known is what the others say
	LogLevel  string   `json:"log_level"`
	Whole     bool     `json:"whole"`    // all replicas of the plan are started with this one
	TLSCert   string   `json:"tls_cert"` // files: without the first, agents talk unencrypted
	TLSKey    string   `json:"tls_key"`
	TLSCA     string   `json:"tls_ca"`
	Key       string   `json:"key"`        // of the group; may be missing where there is a certificate
	SharePort bool     `json:"share_port"` // the port is held by a bound socket with SO_REUSEPORT

	HeartbeatMs       int `json:"heartbeat_timeout"`
	ElectionMs        int `json:"election_timeout"`
	LeaseMs           int `json:"leader_lease_timeout"`
	CommitMs          int `json:"commit_timeout"`
	MaxAppendEntries  int `json:"max_append_entries"`
	TrailingLogs      int `json:"trailing_logs"` // -1: as many as have room
	TrailingBytes     int `json:"trailing_bytes"`
	SnapshotThreshold int `json:"snapshot_threshold"`
	SnapshotIntervalS int `json:"snapshot_interval"`
	SnapshotBytes     int `json:"snapshot_bytes"`
}

func readConfig(data []byte) (config, error) {
	c := config{
		LogLevel: "WARN", HeartbeatMs: 500, ElectionMs: 500, LeaseMs: 500, CommitMs: 750, MaxAppendEntries: 64,
		TrailingLogs: -1, TrailingBytes: 32 << 20, SnapshotThreshold: 8192, SnapshotBytes: 64 << 20,
	}
	if err := json.Unmarshal(data, &c); err != nil {
		return c, fmt.Errorf("the configuration: %w", err)
	}
	switch {
	case c.Replica < 0 || c.Replica >= len(c.Peers) || c.Peers[c.Replica] == "":
		return c, fmt.Errorf("the configuration: replica %d of %d", c.Replica, len(c.Peers))
	case c.Key == "" && c.TLSCert == "":
		return c, errors.New("the configuration needs the key of the group, or a certificate")
	case c.Key != "" && len(c.Key) < leastKey:
		return c, fmt.Errorf("the key of the group is shorter than %d characters", leastKey)
	case c.Group == "" || c.Dir == "" || c.Socket == "":
		return c, errors.New("the configuration needs group, dir and socket")
	}
	if c.Listen == "" {
		c.Listen = c.Peers[c.Replica]
	}
	return c, nil
}

func ms(n int) time.Duration { return time.Duration(n) * time.Millisecond }
