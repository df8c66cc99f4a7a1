// Command mkimage packs files into a container image: an OCI layout in a tar,
// with one uncompressed layer, which `ctr images import` takes. The same input
// always gives the same bytes: no clock, no owner, no map order gets in.
//
//	mkimage --out FILE --name REF [options] SRC:DST[:MODE]...
//
// SRC is a regular file on this machine, DST its absolute path in the image,
// MODE its octal permissions (default: 755 if SRC is executable, else 644).
// Of a folder everything in it is packed, below DST and in the order of names;
// its symbolic links stay links.
// On success it prints "REF DIGEST BYTES".
package main

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "mkimage:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	out, image, err := parse(args)
	if err != nil {
		return err
	}
	archive, digest, err := Pack(image)
	if err != nil {
		return err
	}
	if err := replace(out, archive); err != nil {
		return err
	}
	fmt.Printf("%s %s %d\n", image.Name, digest, len(archive))
	return nil
}

// parse reads the command line into an image to pack and the file to write.
func parse(args []string) (out string, image Image, err error) {
	image = Image{Arch: runtime.GOARCH, Labels: map[string]string{}}
	flags := flag.NewFlagSet("mkimage", flag.ContinueOnError)
	flags.Usage = func() {
		fmt.Fprintln(flags.Output(), "usage: mkimage --out FILE --name REF [options] SRC:DST[:MODE]...")
		flags.PrintDefaults()
	}
	flags.StringVar(&out, "out", "", "the tar `FILE` to write")
	flags.StringVar(&image.Name, "name", "", "the image's full `REF`, as a pod names it")
	flags.StringVar(&image.Arch, "arch", image.Arch, "the `ARCH` the files are for")
	flags.StringVar(&image.User, "user", "", "the `UID[:GID]` the process runs as")
	flags.StringVar(&image.WorkDir, "workdir", "", "the `DIR` the process starts in")
	flags.Func("entrypoint", "the `ARGV` of the process, separated by commas", list(&image.Entrypoint))
	flags.Func("cmd", "the default arguments `ARGV`, separated by commas", list(&image.Cmd))
	flags.Func("env", "a variable `K=V`; may be repeated", func(s string) error {
		if _, _, err := pair(s, "="); err != nil {
			return err
		}
		image.Env = append(image.Env, s)
		return nil
	})
	flags.Func("label", "an image label `K=V`; may be repeated", func(s string) error {
		k, v, err := pair(s, "=")
		image.Labels[k] = v
		return err
	})
	flags.Func("link", "a symbolic link `DST:TARGET`; may be repeated", func(s string) error {
		dst, target, err := pair(s, ":")
		image.Entries = append(image.Entries, Entry{Path: dst, Link: target, Mode: 0o777})
		return err
	})
	if err = flags.Parse(args); err != nil {
		return "", Image{}, err
	}
	if out == "" || image.Name == "" {
		flags.Usage()
		return "", Image{}, fmt.Errorf("--out and --name are required")
	}
	for _, arg := range flags.Args() {
		entries, err := readEntries(arg)
		if err != nil {
			return "", Image{}, err
		}
		image.Entries = append(image.Entries, entries...)
	}
	return out, image, nil
}

// readEntries reads the file, or everything in the folder, that SRC:DST[:MODE] names.
func readEntries(arg string) ([]Entry, error) {
	parts := strings.Split(arg, ":")
	if len(parts) < 2 || len(parts) > 3 {
		return nil, fmt.Errorf("%q is not SRC:DST[:MODE]", arg)
	}
	stat, err := os.Stat(parts[0])
	if err != nil {
		return nil, err
	}
	if stat.IsDir() {
		if len(parts) == 3 {
			return nil, fmt.Errorf("%q: a folder takes no mode: its files have their own", arg)
		}
		return readFolder(parts[0], parts[1])
	}
	src, err := filepath.EvalSymlinks(parts[0]) // who names a link means what it leads to
	if err != nil {
		return nil, err
	}
	entry, err := readFile(src, parts[1])
	if err == nil && len(parts) == 3 {
		if entry.Mode, err = strconv.ParseInt(parts[2], 8, 16); err != nil {
			err = fmt.Errorf("%q: mode: %w", arg, err)
		}
	}
	return []Entry{entry}, err
}

func readFolder(src, dst string) (entries []Entry, err error) {
	err = filepath.WalkDir(src, func(file string, found fs.DirEntry, err error) error {
		if err != nil || found.IsDir() {
			return err
		}
		below, err := filepath.Rel(src, file)
		if err != nil {
			return err
		}
		entry, err := readFile(file, path.Join(dst, filepath.ToSlash(below)))
		entries = append(entries, entry)
		return err
	})
	return entries, err
}

// readFile reads a regular file, or of a link in a folder where it leads.
func readFile(src, dst string) (Entry, error) {
	stat, err := os.Lstat(src)
	if err != nil {
		return Entry{}, err
	}
	if stat.Mode()&fs.ModeSymlink != 0 {
		target, err := os.Readlink(src)
		if err != nil {
			return Entry{}, err
		}
		return Entry{Path: dst, Mode: 0o777, Link: target}, nil
	}
	if !stat.Mode().IsRegular() {
		return Entry{}, fmt.Errorf("%q is neither a file nor a link", src)
	}
	entry := Entry{Path: dst, Mode: 0o644}
	if stat.Mode()&0o111 != 0 {
		entry.Mode = 0o755 // not the file's own bits: they depend on the umask it was made under
	}
	entry.Data, err = os.ReadFile(src)
	return entry, err
}

// replace puts data into file at once, so that nobody reads half an image.
func replace(file string, data []byte) error {
	temp, err := os.CreateTemp(filepath.Dir(file), ".mkimage-*")
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	_, err = temp.Write(data)
	if err = firstOf(err, temp.Chmod(0o644), temp.Close()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), file)
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func list(into *[]string) func(string) error {
	return func(s string) error { *into = strings.Split(s, ","); return nil }
}

func pair(s, separator string) (before, after string, err error) {
	before, after, ok := strings.Cut(s, separator)
	if !ok || before == "" {
		return "", "", fmt.Errorf("%q: expected %q between two parts", s, separator)
	}
	return before, after, nil
}
