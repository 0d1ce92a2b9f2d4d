// Package check has what most tests do with an error and with a value.
package check

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
)

// OK ends the test if there is an error.
func OK(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Same compares a value, named what, with the one that is wanted.
func Same(t testing.TB, what string, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// Failure returns the failure that err is. It must show none of the secrets.
func Failure(t testing.TB, err error, secrets ...string) *failure.Error {
	t.Helper()
	e, ok := errors.AsType[*failure.Error](err)
	if !ok {
		t.Fatalf("error %v (%T), want a *failure.Error", err, err)
	}
	for _, text := range secrets {
		if strings.Contains(strings.ToLower(e.Message+"\n"+e.Hint), strings.ToLower(text)) {
			t.Errorf("the error shows %s: %+v", text, e)
		}
	}
	return e
}
