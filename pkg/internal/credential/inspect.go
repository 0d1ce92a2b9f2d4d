package credential

import (
	"context"

	"github.com/tokenfetch/tokenfetch/pkg/provider"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
	"github.com/tokenfetch/tokenfetch/pkg/source"
)

// Inspect checks whether each place can supply its value, and sets Problem and
// Shared of the places in the plan. It runs no helper, and does not read standard
// input or a pipe, whose content can be read only once. It returns the values that it
// learns; if they are complete, see [Plan.Knows], they are sufficient for
// [Plan.Fingerprint]. It reads both files of a client certificate to check them, unless
// one is a pipe.
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

// inspect checks one place. It returns the value if it may be read, and the value
// for Shared.
func (place Place) inspect(ctx context.Context, a Access) (value secret.Value, shared bool, err error) {
	switch place.Kind {
	case Stdin:
		return value, false, nil
	case Helper:
		_, err = source.FindHelper(place.Argv[0])
		return value, false, err
	case Keychain:
		if place.Account == "" {
			return value, false, nil // the problem with the host is already in the plan
		}
	case File:
		stat, err := place.checkFile(ctx, a)
		if err == nil && !stat.Pipe {
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

// Knowledge says how much of a plan is known.
type Knowledge struct {
	All     bool // every value, as Fingerprint needs
	Account bool // every value that identifies the account
	Near    bool // every value that ReadNear reads, as Identity needs
}

// Knows reports which parts of the plan the values from [Plan.Inspect] cover.
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
