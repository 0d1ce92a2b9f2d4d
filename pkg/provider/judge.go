package provider

import (
	"errors"
	"fmt"
	"strings"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/internal/token"
)

// CheckExample interprets a documented reply as if it were real, with sample values
// for {token} and {refresh_token}. It returns "" if the result is e.Outcome, and
// otherwise a text that describes the difference.
func (d *Definition) CheckExample(e Example) string {
	body := strings.NewReplacer("{token}", "sample-of-a-token", "{refresh_token}", "sample-of-a-refresh-token").Replace(e.Body)
	_, err := d.Token(token.NewReply(e.Status, []byte(body)))
	is, why := "token", ""
	if f, ok := errors.AsType[*failure.Error](err); ok {
		is, why = string(f.Code), ": "+f.Message
	}
	if is == e.Outcome {
		return ""
	}
	return fmt.Sprintf("is judged as %s, not as %s%s", is, e.Outcome, why)
}
