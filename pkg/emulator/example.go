package emulator

import "github.com/tokenfetch/tokenfetch/pkg/provider"

// TokenReply returns the reply to the demo credentials, in which {token} and
// {refresh_token} stand for generated values: the example of the name token, or
// one made up from where the definition says that things stand.
func TokenReply(d *provider.Definition) provider.Example {
	reply := documented(d, "token")
	reply.Name, reply.Outcome = "token", "token"
	return reply
}
