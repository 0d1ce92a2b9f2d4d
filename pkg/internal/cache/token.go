package cache

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tokenfetch/tokenfetch/pkg/internal/token"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
	"github.com/tokenfetch/tokenfetch/pkg/source"
)

// Limits for the use of a cached token: not in the last part of its lifetime, and
// not more than maxAge after it was issued.
const (
	minMargin = time.Minute
	maxAge    = 12 * time.Hour
	// header identifies the version of the file format. A file of another version is
	// neither read nor replaced.
	header = "tokenfetch-token/1\n"
	suffix = ".token"
)

// Margin returns the part at the end of a token's lifetime in which the token is no
// longer returned: the larger of one minute and 5 % of the lifetime.
func Margin(lifetime time.Duration) time.Duration { return max(minMargin, lifetime/20) }

// KeySize is the length of an encryption key, in bytes.
const KeySize = 32

// Owner identifies a cache entry.
type Owner struct {
	Ref        []string // provider and profile
	Identity   []string // everything else that must be equal
	Generation string   // see [Generation]
}

// Tokens gives access to the encrypted tokens in a directory.
type Tokens struct {
	path string
	key  []byte
}

// OpenTokens returns the tokens in the directory path that are encrypted with key,
// which must have KeySize bytes.
func OpenTokens(path string, key []byte) *Tokens { return &Tokens{path, key} }

// Get returns the cached token of owner if it is usable at now. It ignores an entry
// that is damaged, expired, or from the future. The error says why there is no
// token, see [Missing].
func (t *Tokens) Get(ctx context.Context, owner Owner, now time.Time) (*token.Token, error) {
	d, err := openDir(ctx, t.path, false)
	if err != nil {
		return nil, err
	}
	data, err := d.read(ctx, t.name(owner))
	if err != nil {
		return nil, err
	}
	sealed, ok := strings.CutPrefix(string(data), header)
	if !ok {
		return nil, ErrUnusable
	}
	gcm, err := t.cipher()
	if err != nil {
		return nil, err
	}
	plain, err := gcm.Open(nil, nil, []byte(sealed), t.additional(owner))
	if err != nil {
		return nil, ErrUnusable
	}
	cached, ok := decode(string(plain))
	if !ok {
		return nil, ErrUnusable
	}
	last := cached.Obtained.Add(min(cached.Lifetime-Margin(cached.Lifetime), maxAge))
	if now.Before(cached.Obtained.Add(-time.Second)) || !now.Before(last) {
		return nil, ErrExpired
	}
	return cached, nil
}

// Put caches a token for owner and replaces an existing one. It does not cache a
// single-use token or one with an unknown lifetime; this is not an error.
func (t *Tokens) Put(ctx context.Context, owner Owner, issued *token.Token) error {
	if issued.SingleUse || issued.Lifetime <= 0 {
		return nil
	}
	d, err := openDir(ctx, t.path, true)
	if err != nil {
		return err
	}
	name := t.name(owner)
	// Do not replace the entry of a newer version of the program.
	if old, err := d.read(ctx, name); err == nil && !strings.HasPrefix(string(old), header) && strings.HasPrefix(string(old), "tokenfetch-token/") {
		return ErrUnusable
	}
	plain, err := encode(issued)
	if err != nil {
		return err
	}
	gcm, err := t.cipher()
	if err != nil {
		return err
	}
	sealed := gcm.Seal(nil, nil, plain, t.additional(owner)) //nolint:gosec // this cipher creates its own random nonce
	// A token that is lost with the system is fetched again.
	return d.write(ctx, name, slices.Concat([]byte(header), sealed), source.ReplaceVolatile)
}

// encode returns the content of a file before encryption: lines with the time of the
// token in nanoseconds since 1970, its lifetime in nanoseconds, the token, the members
// that the definition keeps as JSON, and the scope, which may contain anything.
// Decoding JSON alone would take a large part of the time to return a cached token.
func encode(t *token.Token) ([]byte, error) {
	var extra []byte
	if len(t.Extra) > 0 {
		var err error
		if extra, err = json.Marshal(t.Extra); err != nil {
			return nil, err
		}
	}
	return fmt.Appendf(nil, "%d\n%d\n%s\n%s\n%s", t.Obtained.UnixNano(), int64(t.Lifetime), t.AccessToken.Reveal(), extra, t.Scope), nil
}

// decode is the reverse of encode. ok is false if the content is damaged.
func decode(plain string) (t *token.Token, ok bool) {
	lines := strings.SplitN(plain, "\n", 5)
	if len(lines) < 5 || token.Check(lines[2]) != nil {
		return nil, false
	}
	obtained, err := strconv.ParseInt(lines[0], 10, 64)
	lifetime, err2 := strconv.ParseInt(lines[1], 10, 64)
	t = &token.Token{AccessToken: secret.New(lines[2]), Lifetime: time.Duration(lifetime), Obtained: time.Unix(0, obtained).UTC(), Scope: lines[4]}
	if extra := lines[3]; extra != "" && err == nil {
		err = json.Unmarshal([]byte(extra), &t.Extra)
	}
	return t, err == nil && err2 == nil && lifetime > 0
}

// Clear removes the tokens of the given provider and profile. It returns how many it
// removed, even with an error.
func (t *Tokens) Clear(ctx context.Context, ref []string) (int, error) {
	return clearFiles(ctx, t.path, t.ref(ref)+"-", suffix)
}

// ErrExpired is returned for a cached token that has expired or is about to.
var ErrExpired = errors.New("it has expired, or is about to")

// Any reports whether there is an entry for the given provider and profile, with any
// identity and generation. The entry may have expired.
func (t *Tokens) Any(ctx context.Context, ref []string) bool {
	entries, err := dir{t.path}.list(ctx)
	return err == nil && slices.ContainsFunc(entries, func(entry fs.DirEntry) bool {
		return strings.HasPrefix(entry.Name(), t.ref(ref)+"-") && strings.HasSuffix(entry.Name(), suffix)
	})
}

// ClearTokens removes all tokens in the directory path, encrypted with any key, and
// the temporary files of interrupted writes. It leaves other files alone. It returns
// how many tokens it removed, even with an error.
func ClearTokens(ctx context.Context, path string) (int, error) {
	return clearFiles(ctx, path, "", suffix)
}

func (t *Tokens) ref(ref []string) string {
	return fileName(t.key, append([]string{"ref"}, ref...)...)
}

func (t *Tokens) name(owner Owner) string {
	return t.ref(owner.Ref) + "-" + fileName(t.key, append([]string{"entry"}, owner.parts()...)...) + suffix
}

// additional returns the additional data that binds an entry to its owner. No other
// owner can decrypt the entry.
func (t *Tokens) additional(owner Owner) []byte {
	return digest(t.key, append([]string{header}, owner.parts()...)...)
}

func (o Owner) parts() []string {
	return slices.Concat(o.Ref, []string{"generation", o.Generation, "identity"}, o.Identity)
}

func (t *Tokens) cipher() (cipher.AEAD, error) {
	block, err := aes.NewCipher(t.key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// Missing reports whether err only says that there is no entry.
func Missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
