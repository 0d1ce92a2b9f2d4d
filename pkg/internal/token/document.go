package token

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
)

// Document fetches a public document, without credentials. It returns the same reply
// and errors as [Client.Send], except that no error warns that the request may have
// been processed, because the request can be repeated safely.
func (c *Client) Document(ctx context.Context, url string) (*Reply, error) {
	reply, err := c.Send(ctx, Request{Method: http.MethodGet, URL: url})
	if err != nil {
		return nil, repeatable(err)
	}
	if reply.bodyErr != nil {
		reply.bodyErr = repeatable(reply.bodyErr)
	}
	return reply, nil
}

// repeatable returns err without that warning.
func repeatable(err error) error {
	e, ok := errors.AsType[*failure.Error](err)
	if !ok {
		return err
	}
	c := *e
	c.Message = strings.TrimSuffix(c.Message, maybeProcessed)
	if c.Code == failure.ConnectionLost {
		c.Hint = "try again"
	}
	return &c
}
