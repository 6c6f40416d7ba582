// The consensus agent of one replica of a stateful Deployment. It owns the replicated log and never runs user code.
//
// It reads its configuration, one line of JSON, from standard input, writes "ready" to standard output when it listens,
// "member" when it has a vote, and ends when standard input ends or by SIGTERM. `jina-raft offline` works on the folders of a group that does not run.
package main

import (
	"bufio"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
)

var version = "dev"

func main() {
	if len(os.Args) > 1 && os.Args[1] == "--version" {
		fmt.Println(version)
		return
	}
	if os.Getenv("GOMAXPROCS") == "" {
		// The work is small pieces that wait for the disk and for each other: handing them between cores costs more than it
		// gains (a third of the agent's time at 16 writes at once).
		runtime.GOMAXPROCS(1)
	}
	umask(0o077) // the libraries' files too are for this user alone, also in a folder that was there and others may enter
	spare()
	if len(os.Args) > 1 && os.Args[1] == "offline" {
		if err := offline(os.Stdin, os.Stdout); err != nil {
			fail(err)
		}
		return
	}
	in := bufio.NewReader(os.Stdin)
	line, err := in.ReadBytes('\n')
	if err != nil {
		fail(err)
	}
	c, err := readConfig(line)
	if err != nil {
		fail(err)
	}
	a, err := start(c)
	if err != nil {
		fail(err)
	}
	fmt.Println("ready")
	go func() {
		<-a.voting
		fmt.Println("member")
	}()
	end := make(chan os.Signal, 2)
	signal.Notify(end, syscall.SIGTERM, syscall.SIGINT)
	gone := make(chan struct{})
	go func() {
		// Nothing more is read: its end is the end of the parent process.
		in.ReadByte()
		close(gone)
	}()
	select {
	case <-end:
		go func() {
			<-end
			os.Exit(1)
		}()
		a.stop()
	case <-gone:
		a.stop()
	case err := <-a.failed:
		fail(err)
	case err := <-a.anew:
		fmt.Fprintln(os.Stderr, "jina-raft:", err)
		os.Exit(1)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "jina-raft:", err)
	os.Exit(2)
}
