package provider_test

import (
	"os"
	"testing"

	"github.com/tokenfetch/tokenfetch/pkg/provider"
	"github.com/tokenfetch/tokenfetch/testdata/check"
)

func BenchmarkParse(b *testing.B) {
	data, err := os.ReadFile("catalog/enkash.toml")
	check.OK(b, err)
	for b.Loop() {
		if _, err := provider.Parse("enkash.toml", data); err != nil {
			b.Fatal(err)
		}
	}
}
