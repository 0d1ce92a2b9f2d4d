package emulator

import "github.com/tokenfetch/tokenfetch/pkg/provider"

// TokenReply returns the reply to the demo credentials, with the placeholders
// {token} and {refresh_token}. It is the example with the name token, or a reply
// generated from the definition.
func TokenReply(d *provider.Definition) provider.Example {
	reply := documented(d, "token")
	reply.Name, reply.Outcome = "token", "token"
	return reply
}
