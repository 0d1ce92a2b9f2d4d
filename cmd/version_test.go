package cmd

import (
	"runtime/debug"
	"testing"
)

// TestModuleVersion: what "go install" has downloaded says its version, and what
// was built from a checkout does not.
func TestModuleVersion(t *testing.T) {
	for _, test := range []struct {
		module debug.Module
		known  bool
		want   string
	}{
		{debug.Module{Version: "v1.2.3", Sum: "h1:abc="}, true, "1.2.3"},
		{debug.Module{Version: "v0.0.0-20261121083000-0123456789ab", Sum: "h1:abc="}, true, "0.0.0-20261121083000-0123456789ab"},
		{debug.Module{Version: "v0.0.0-20261121083000-0123456789ab+dirty"}, true, "dev"},
		{debug.Module{Version: "(devel)"}, true, "dev"},
		{debug.Module{}, false, "dev"},
	} {
		if got := moduleVersion(&debug.BuildInfo{Main: test.module}, test.known); got != test.want {
			t.Errorf("%+v: %q, want %q", test.module, got, test.want)
		}
	}
	if got := installed("1.0.0"); got != "1.0.0" {
		t.Errorf("a release says %q", got)
	}
}
