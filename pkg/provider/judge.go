package provider

import (
	"errors"
	"fmt"
	"strings"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/internal/token"
)

// CheckExample judges a documented reply as that of a run, with samples for
// {token} and {refresh_token}. It says how e is judged if that is not the outcome
// that e claims, else "".
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

// Outline returns the types of the members of a reply by their names, as
// failure.ReplyOutline has them.
func Outline(object token.Object) map[string]string { return outline(object) }
