package credential

import (
	"github.com/tokenfetch/tokenfetch/pkg/profile"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
	"github.com/tokenfetch/tokenfetch/pkg/source"
)

// findFiles finds the files that settings of the profile name.
func (p *Plan) findFiles() {
	var named profile.Profile
	if p.Profile != nil {
		named = *p.Profile
	}
	p.CAFile = p.settingPlace(provider.Field{Name: "ca_file"}, named.CAFile)
	p.ClientCert = p.settingPlace(provider.Field{Name: "client_cert"}, named.ClientCert)
	p.ClientKey = p.settingPlace(provider.Field{Name: "client_key", Secret: true}, named.ClientKey)
	p.checkPair()
}

// settingPlace returns the place of the file that a setting names: in its variable,
// or else path, which is the setting in the profile. The place is Missing if neither
// is set.
func (p *Plan) settingPlace(setting provider.Field, path string) Place {
	variable := p.Definition.Variable(setting.Name)
	byName, found, err := p.query.variable(variable)
	switch {
	case found || err != nil:
		return Place{Field: setting, level: byVariable, Kind: File, Path: byName, Where: source.FileOf + variable, Problem: err}
	case path != "":
		return Place{Field: setting, level: byProfile, Kind: File, Path: path, Where: "the file " + path + ", named by " + p.query.table()}
	}
	return Place{Field: setting}
}

// ByVariable reports whether a variable contains the value or the path of its file.
func (place Place) ByVariable() bool { return place.level == byVariable }
