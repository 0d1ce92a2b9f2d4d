package token

import (
	"testing"

	"github.com/tokenfetch/tokenfetch/pkg/secret"
	"github.com/tokenfetch/tokenfetch/testdata/check"
)

// TestBodyCannotBeSentAgain looks inside the request: net/http sends a body
// anew, to a redirect's target or on another connection, where it has GetBody.
func TestBodyCannotBeSentAgain(t *testing.T) {
	request, err := new(Client).httpRequest(t.Context(), Request{Method: "POST", URL: "https://127.0.0.1/oauth/token", Body: secret.New("password=x")})
	check.OK(t, err)
	if request.GetBody != nil {
		t.Error("the body can be had again")
	}
	if request.ContentLength != int64(len("password=x")) {
		t.Errorf("content length %d", request.ContentLength)
	}
}
