package cmd

import (
	"errors"
	"testing"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/inspect"
)

// TestVerdict: the set-up comes before the network, and a warning is no failure.
func TestVerdict(t *testing.T) {
	fine, doubt := inspect.Finding{Level: inspect.LevelOK}, inspect.Finding{Level: inspect.LevelWarning, Message: "doubt"}
	setup := inspect.Finding{Level: inspect.LevelError, Message: "set-up", Code: failure.ProfileInvalid}
	network := inspect.Finding{Level: inspect.LevelError, Message: "network", Hint: "look", Code: failure.DNSNotFound}
	for _, test := range []struct {
		findings            []inspect.Finding
		exit                int
		message, hint, code string
	}{
		{findings: nil},
		{findings: []inspect.Finding{fine, doubt}},
		{[]inspect.Finding{doubt, network, fine}, 6, "network", "look", "dns_not_found"},
		{[]inspect.Finding{network, setup, network}, 3, "set-up (and 2 more)", "correct that, then run: tokenfetch doctor", "profile_invalid"},
	} {
		err := verdict(test.findings, false)
		e, failed := errors.AsType[*failure.Error](err)
		if failed != (test.exit > 0) {
			t.Errorf("%v: %v", test.findings, err)
			continue
		}
		if failed && (int(e.Class()) != test.exit || e.Message != test.message || e.Hint != test.hint || string(e.Code) != test.code) {
			t.Errorf("%v: class %v, %+v", test.findings, e.Class(), e)
		}
	}
}
