//go:build unix

package cmd

import (
	"net"
	"syscall"
	"time"
)

// fillQueue makes the port of a listener a black hole: its queue takes one
// connection, which is never accepted, and the system answers no further one.
func fillQueue(listener net.Listener, atEnd func(func())) error {
	atEnd(func() { listener.Close() })
	raw, err := listener.(*net.TCPListener).SyscallConn()
	if err != nil {
		return err
	}
	var shortErr error
	if err := raw.Control(func(fd uintptr) { shortErr = syscall.Listen(int(fd), 0) }); err != nil {
		return err
	}
	for shortErr == nil {
		conn, err := net.DialTimeout("tcp", listener.Addr().String(), 100*time.Millisecond)
		if err != nil {
			break // the queue is full
		}
		atEnd(func() { conn.Close() })
	}
	return shortErr
}
