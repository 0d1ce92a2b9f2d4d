package cmd

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestNames runs the script that needs names of its own. The program asks the
// name server of /etc/resolv.conf at port 53, so that file is replaced for the
// program alone, in a mount namespace, and the port is opened on a loopback
// address nobody uses. Both need root.
func TestNames(t *testing.T) {
	t.Parallel()
	if err := exec.Command("unshare", "--mount", "true").Run(); err != nil {
		t.Skipf("no mount namespace (this needs root and unshare): %v", err)
	}
	address := fmt.Sprintf("127.53.%d.%d", rand.N(256), 1+rand.N(254))
	conn, err := net.ListenPacket("udp", address+":53")
	if err != nil {
		t.Skipf("no name server (this needs root): %v", err)
	}
	t.Cleanup(func() { conn.Close() })
	go answerNames(conn)
	testscript.Run(t, testscript.Params{
		Files:               []string{"../testdata/script/linux/names_are_looked_up.txtar"},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("NAMESERVER", address)
			return setUpScript(env)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exitcode": exitcode,
			"endpoint": startEndpoint,
			"requests": countRequests,
		},
	})
}

// answerNames answers queries until the connection is closed. What it says of
// a name stands in nameAnswer.
func answerNames(conn net.PacketConn) {
	packet := make([]byte, 1500)
	var asked atomic.Int32
	for {
		n, from, err := conn.ReadFrom(packet)
		if err != nil {
			return
		}
		if reply := nameAnswer(packet[:n], &asked); reply != nil {
			_, _ = conn.WriteTo(reply, from)
		}
	}
}

// The parts of a message (RFC 1035 section 4) that matter here.
const (
	nameHeader    = 12
	kindA         = 1
	kindAAAA      = 28
	serverFailure = 2
	noSuchName    = 3
)

// nameAnswer returns the answer to a query, nil for none. Of later.example the
// first two queries, one look-up, find nothing.
func nameAnswer(query []byte, asked *atomic.Int32) []byte {
	end := nameHeader
	var name strings.Builder
	for end < len(query) && query[end] != 0 {
		n := int(query[end])
		name.Write(query[end+1 : end+1+n])
		name.WriteByte('.')
		end += 1 + n
	}
	kind := binary.BigEndian.Uint16(query[end+1:])
	end += 5
	host := strings.ToLower(name.String())
	var code byte
	var data []byte
	switch {
	case host == "silent.example.":
		return nil
	case host == "servfail.example.":
		code = serverFailure
	case host == "later.example." && asked.Add(1) <= 2, !strings.HasSuffix(host, ".example."), host == "nowhere.example.":
		code = noSuchName
	case kind == kindA:
		data = net.IPv4(127, 0, 0, 1).To4()
	case kind == kindAAAA && host == "dual.example.":
		data = net.IPv6loopback
	}
	reply := bytes.Clone(query[:end])
	copy(reply[2:], []byte{0x81, 0x80 | code, 0, 1, 0, 0, 0, 0, 0, 0})
	if data != nil {
		reply[7] = 1
		reply = append(reply, 0xc0, nameHeader, 0, byte(kind), 0, 1, 0, 0, 0, 0, 0, byte(len(data)))
		reply = append(reply, data...)
	}
	return reply
}
