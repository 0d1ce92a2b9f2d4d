package credential

import (
	"context"

	"github.com/tokenfetch/tokenfetch/pkg/provider"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
	"github.com/tokenfetch/tokenfetch/pkg/source"
)

// Inspect looks whether each place would give its value, and sets Problem and
// Shared of those in the plan. It runs no helper, reads no standard input, and
// of a file that holds a secret, or that can be read one time only, not the
// content. The values it comes to know on the way are returned: enough for
// Fingerprint if they are complete, see Knows. Of a client certificate both files
// are read, unless one is a pipe, to see whether they can be used.
func (p *Plan) Inspect(ctx context.Context, a Access) provider.Values {
	values := provider.Values{}
	for i := range p.Places {
		place := &p.Places[i]
		if place.Problem != nil || place.Kind == Default {
			continue
		}
		var value secret.Value
		var err error
		value, place.Shared, err = place.inspect(ctx, a)
		if err != nil {
			place.Problem = p.explain(ctx, a, *place, err)
		} else if value.Reveal() != "" {
			values[place.Field.Name] = value
		}
	}
	p.inspectCertificate(ctx, a)
	return values
}

// inspect returns the value if it may be known; shared is for Shared.
func (place Place) inspect(ctx context.Context, a Access) (value secret.Value, shared bool, err error) {
	switch place.Kind {
	case Stdin:
		return value, false, nil
	case Helper:
		_, err = source.FindHelper(place.Argv[0])
		return value, false, err
	case Keychain:
		if place.Account == "" {
			return value, false, nil // the plan has the problem with the host
		}
	case File:
		stat, err := place.checkFile(ctx, a)
		if err == nil && !place.Field.Secret && !stat.Pipe {
			value, err = place.read(ctx, a)
		}
		return value, stat.Shared, err
	}
	value, err = place.read(ctx, a)
	return value, false, err
}

func (place Place) checkFile(ctx context.Context, a Access) (source.Stat, error) {
	if a.File != nil {
		var cancel context.CancelFunc
		ctx, cancel = a.File(ctx)
		defer cancel()
	}
	return source.CheckValue(ctx, place.Path, place.FileName(), place.trusted(a))
}

// Knowledge is how much of a plan is known.
type Knowledge struct {
	All     bool // every value: what Fingerprint needs
	Account bool // every value that its account needs
	Near    bool // every value that ReadNear reads: what Identity needs
}

// Knows returns how much of the plan values, of Inspect, hold.
func (p *Plan) Knows(values provider.Values) Knowledge {
	k := Knowledge{All: p.Leaf != nil || !p.HasCertificate(), Account: true, Near: true}
	for _, place := range p.Places {
		if _, known := values[place.Field.Name]; known || place.Kind == Default {
			continue
		}
		k.All = false
		k.Account = k.Account && !p.inAccount(place.Field)
		k.Near = k.Near && place.far()
	}
	return k
}
