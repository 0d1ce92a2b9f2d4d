package cmd

import (
	"slices"

	"github.com/tokenfetch/tokenfetch/pkg/profile"
	"github.com/tokenfetch/tokenfetch/pkg/tokenfetch"
)

// ref is a profile of a provider.
type ref = tokenfetch.Ref

// short is the name as a command line needs it: zeepay, zeepay/ci.
func (r *run) short(f ref) string {
	if _, set := r.env.lookup("TOKENFETCH_PROFILE"); f.Profile == profile.Default && !set {
		return f.Definition.Name
	}
	return f.String()
}

// about makes a failure from here on one of this profile.
func (r *run) about(f ref) { r.provider, r.profile, r.origin = f.Definition.Name, f.Profile, "" }

// aboutPlan is about for a profile that a plan was made of.
func (r *run) aboutPlan(f ref, p *tokenfetch.Plan) {
	r.about(f)
	r.origin = p.Origin()
}

// knownProfile is the profile of a failure, "" where it does not exist: what was
// given for its name may be a secret.
func (r *run) knownProfile() string {
	if r.profile == profile.Default || r.file != nil && slices.Contains(r.file.Names(r.provider), r.profile) {
		return r.profile
	}
	return ""
}
