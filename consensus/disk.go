//go:build !faults

package main

import (
	"github.com/hashicorp/raft-wal/fs"
	walfiles "github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"
)

// injectedFault is a mistake that is made on purpose; only builds for tests have any, see disk_faults.go.
const injectedFault = ""

// segmentFiles is where the log's files are.
func segmentFiles(dir string) types.SegmentFiler { return walfiles.NewFiler(dir, fs.New()) }
