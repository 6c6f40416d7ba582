//go:build windows

package main

import (
	"net"
	"os"
)

func sharing(bool) net.ListenConfig { return net.ListenConfig{} }

func umask(mask int) int { return mask }

func lock(path string) (*os.File, error) { return os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) }
