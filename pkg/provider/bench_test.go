package provider_test

import (
	"os"
	"testing"

	"github.com/tokenfetch/tokenfetch/pkg/provider"
)

func BenchmarkParse(b *testing.B) {
	data, err := os.ReadFile("catalog/enkash.toml")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := provider.Parse("enkash.toml", data); err != nil {
			b.Fatal(err)
		}
	}
}
