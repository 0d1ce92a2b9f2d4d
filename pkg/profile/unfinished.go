package profile

import (
	"errors"
	"io/fs"
	"os"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
)

// Begin records, in a file next to the profiles file, that a process is replacing
// the secrets of a profile one by one. The record remains if the process is killed;
// [File.End] removes it. The error is that of the operating system.
func (f *File) Begin(provider, name string) error {
	note, err := os.OpenFile(f.note(provider, name), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return note.Close()
}

// End removes the record of [File.Begin], if there is one. The error is a
// [*failure.Error].
func (f *File) End(provider, name string) error {
	note := f.note(provider, name)
	if err := os.Remove(note); f.Path != "" && err != nil && !errors.Is(err, fs.ErrNotExist) {
		return failure.New(failure.ProfilesUnwritable, "the file %s cannot be removed", note).WithHint("check the owner and mode of its directory")
	}
	return nil
}

// Unfinished reports whether the secrets of a profile were only partly replaced:
// some may be new and others old.
func (f *File) Unfinished(provider, name string) bool {
	if f.Path == "" {
		return false
	}
	_, err := os.Lstat(f.note(provider, name))
	return err == nil
}

func (f *File) note(provider, name string) string {
	return f.Path + "." + provider + "." + name + ".unfinished"
}
