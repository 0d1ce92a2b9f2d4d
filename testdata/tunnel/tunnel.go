// Package tunnel has what the proxies of tests say, see package pki for why it is here.
package tunnel

import (
	"encoding/binary"
	"io"
	"net"
	"strings"
)

// ReadHead reads up to and with the first empty line, and not a byte more.
func ReadHead(r io.Reader) (string, error) {
	head, one := "", make([]byte, 1)
	for !strings.HasSuffix(head, "\r\n\r\n") {
		if _, err := io.ReadFull(r, one); err != nil {
			return head, err
		}
		head += string(one)
	}
	return head, nil
}

// SOCKS speaks SOCKS 5 (RFC 1928), for names and without a login. It answers with
// what status returns for the name and port, and reports whether that was success.
func SOCKS(conn io.ReadWriter, status func(host string, port int) byte) bool {
	greeting := make([]byte, 2)
	if _, err := io.ReadFull(conn, greeting); err != nil {
		return false
	}
	_, _ = io.CopyN(io.Discard, conn, int64(greeting[1]))
	_, _ = io.WriteString(conn, "\x05\x00")
	request := make([]byte, 5)
	if _, err := io.ReadFull(conn, request); err != nil || request[3] != 3 {
		return false
	}
	name := make([]byte, int(request[4])+2)
	if _, err := io.ReadFull(conn, name); err != nil {
		return false
	}
	code := status(string(name[:len(name)-2]), int(binary.BigEndian.Uint16(name[len(name)-2:])))
	_, _ = conn.Write([]byte{5, code, 0, 1, 0, 0, 0, 0, 0, 0})
	return code == 0
}

// Lead connects the two sides until one of them ends.
func Lead(conn io.ReadWriter, target string) {
	other, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer other.Close()
	go func() {
		_, _ = io.Copy(other, conn)
		_ = other.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(conn, other)
}
