package token

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
)

// Document asks once for a public document, without credentials, and returns what
// came back as Send does. The request may be repeated, so that no failure warns that
// it may have been processed.
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

// repeatable returns the failure of a request that may be repeated.
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
