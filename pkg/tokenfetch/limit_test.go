package tokenfetch

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokenfetch/tokenfetch/pkg/internal/credential"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
	"github.com/tokenfetch/tokenfetch/testdata/check"
)

// slowStore holds the same item for every account, and takes its time.
type slowStore time.Duration

func (s slowStore) Get(context.Context, string) (secret.Value, error) {
	time.Sleep(time.Duration(s))
	return secret.New("stored"), nil
}

// TestSlowKeychainForManyTokens prepares more tokens than fit into the limit of a
// run if the time that the keychain takes counted against those that come later.
func TestSlowKeychainForManyTokens(t *testing.T) {
	d, err := provider.NewCatalog("", nil).Definition("mpay")
	check.OK(t, err)
	var text strings.Builder
	const profiles = 20
	for n := range profiles {
		fmt.Fprintf(&text, "[mpay.p%d]\nenvironment = \"production\"\nusername = \"ops\"\ncache = false\n", n)
	}
	path := filepath.Join(t.TempDir(), "profiles.toml")
	check.OK(t, os.WriteFile(path, []byte(text.String()), 0o600))
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		limit := NewLimit(start, 0)
		client := New(Options{Config: path, Keychain: slowStore(2 * time.Second), Limit: limit})
		for n := range profiles {
			plan, err := client.Plan(t.Context(), Query{Ref: Ref{d, fmt.Sprintf("p%d", n)}})
			if err == nil {
				err = plan.Load(t.Context())
			}
			if err != nil {
				t.Fatalf("profile %d, after %v: %v", n, time.Since(start), err)
			}
		}
		if took := time.Since(start); took < profiles*2*time.Second {
			t.Errorf("the keychain was not asked: took %v", took)
		}
		if left := limit.Left(); left < defaultLimit-time.Second {
			t.Errorf("%v of the limit are left", left)
		}
	})
}

func TestLimitStandsStillInAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		l := NewLimit(start, 10*time.Second)
		var over time.Duration
		stop := l.WhenOver(func() { over = time.Since(start) })
		time.Sleep(4 * time.Second)
		first := l.Pause()
		time.Sleep(3 * time.Second)
		second := l.Pause() // in which the first ends
		time.Sleep(3 * time.Second)
		first()
		first()
		time.Sleep(14 * time.Second)
		if left := l.Left(); left != 6*time.Second {
			t.Errorf("%v left in a pause, want 6s", left)
		}
		second()
		time.Sleep(time.Second)
		if left := l.Of(time.Minute).Left(); left != 55*time.Second {
			t.Errorf("%v of a minute are left, want 55s", left)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if want := 30 * time.Second; over != want {
			t.Errorf("over after %v, want %v", over, want)
		}
		stop()
	})
}

// TestClientThatIsOlderThanItsTimeout: the timeout is for each operation, not for the
// life of a Client.
func TestClientThatIsOlderThanItsTimeout(t *testing.T) {
	home := t.TempDir()
	dir := filepath.Join(home, ".config", "tokenfetch")
	check.OK(t, os.MkdirAll(filepath.Join(dir, "providers"), 0o700))
	for name, text := range map[string]string{
		"providers/acme.toml": "[oauth2]\ntoken_url = \"https://acme.example/token\"\n",
		"profiles.toml":       "[acme.default]\nclient_id = \"1\"\n",
	} {
		check.OK(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	client := New(Options{Environ: []string{"HOME=" + home}, Timeout: 20 * time.Millisecond})
	time.Sleep(50 * time.Millisecond)
	f, err := client.Ref("acme")
	check.OK(t, err)
	file, err := client.Profiles(t.Context(), nil)
	check.OK(t, err)
	if _, err := client.Find(t.Context(), credential.Query{Definition: f.Definition, Profile: f.Profile, File: file}); err != nil {
		t.Error(err)
	}
}
