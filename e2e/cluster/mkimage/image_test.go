package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"
)

var sample = Image{
	Name: "example.test/app:1", Arch: "amd64", User: "65532:65532", Entrypoint: []string{"/bin/app", "serve"},
	Env: []string{"MODE=test"}, Labels: map[string]string{"b": "2", "a": "1", "c": "3"},
	Entries: []Entry{
		{Path: "/bin/app", Mode: 0o755, Data: []byte("program")},
		{Path: "/usr/share/app/notes", Mode: 0o640, Data: []byte("notes")},
		{Path: "/bin/alias", Mode: 0o777, Link: "app"},
	},
}

func TestSameInputGivesTheSameBytes(t *testing.T) {
	first, digest := pack(t, sample)
	for range 20 {
		again, d := pack(t, sample)
		if d != digest || !bytes.Equal(first, again) {
			t.Fatal("two runs differ")
		}
	}
}

func TestFilesTouchedLaterGiveTheSameBytes(t *testing.T) {
	dir := t.TempDir()
	src, out := filepath.Join(dir, "src"), filepath.Join(dir, "out.tar")
	var images [2][]byte
	for i, mode := range []os.FileMode{0o700, 0o755} {
		check(t, os.WriteFile(src, []byte("program"), mode))
		check(t, os.Chmod(src, mode))
		check(t, os.Chtimes(src, time.Time{}, time.Unix(int64(i), 0)))
		check(t, run([]string{"--out", out, "--name", "example.test/app:1", src + ":/app"}))
		images[i] = read(t, out)
	}
	if !bytes.Equal(images[0], images[1]) {
		t.Fatal("the image depends on the file's time or owner's mode")
	}
}

func TestAChangedFileChangesTheDigest(t *testing.T) {
	changed := sample
	changed.Entries = append([]Entry{{Path: "/more", Mode: 0o644}}, sample.Entries...)
	_, before := pack(t, sample)
	if _, after := pack(t, changed); before == after {
		t.Fatal("the digest did not change")
	}
}

func TestEveryBlobIsWhatItsNameSays(t *testing.T) {
	archive, digest := pack(t, sample)
	files := untar(t, archive)
	var index, image manifest
	check(t, json.Unmarshal(files["index.json"].data, &index))
	top := index.Manifests[0]
	if top.Digest != digest || top.Annotations["io.containerd.image.name"] != sample.Name {
		t.Fatalf("index names %+v", top)
	}
	check(t, json.Unmarshal(blob(t, files, top), &image))
	blob(t, files, *image.Config)
	layer := untar(t, blob(t, files, image.Layers[0]))
	for path, want := range map[string]tar.Header{
		"bin/":                {Mode: 0o755},
		"bin/app":             {Mode: 0o755},
		"usr/share/app/notes": {Mode: 0o640},
		"bin/alias":           {Mode: 0o777, Linkname: "app"},
		"tmp/":                {Mode: 0o1777},
		"etc/passwd":          {Mode: 0o644},
	} {
		got, ok := layer[path]
		if !ok || got.Mode != want.Mode || got.Linkname != want.Linkname || got.Uid != 0 || got.ModTime.Unix() != 0 {
			t.Errorf("%s: got %+v, want %+v", path, got.Header, want)
		}
	}
	if got := string(layer["bin/app"].data); got != "program" {
		t.Errorf("bin/app holds %q", got)
	}
}

func TestConfigSaysHowToRun(t *testing.T) {
	archive, digest := pack(t, sample)
	files := untar(t, archive)
	var image manifest
	var got config
	check(t, json.Unmarshal(files["blobs/sha256/"+digest[len("sha256:"):]].data, &image))
	check(t, json.Unmarshal(blob(t, files, *image.Config), &got))
	want := process{User: "65532:65532", Entrypoint: sample.Entrypoint, Env: []string{searchPath, "MODE=test"}, Labels: sample.Labels}
	if fmt.Sprint(got.Config) != fmt.Sprint(want) || got.OS != "linux" || got.Architecture != "amd64" {
		t.Fatalf("got %+v", got)
	}
}

func TestPathsThatClashAreRefused(t *testing.T) {
	for _, paths := range [][]string{{"/a", "/b/../a"}, {"/a/b", "/a"}, {"/a", "/a/b"}, {"/"}, {"/etc/passwd"}} {
		image := Image{Name: "example.test/app:1"}
		for _, path := range paths {
			image.Entries = append(image.Entries, Entry{Path: path})
		}
		if _, _, err := Pack(image); err == nil {
			t.Errorf("%q was packed", paths)
		}
	}
}

func TestAWrongCommandLineIsRefused(t *testing.T) {
	for _, args := range [][]string{
		{}, {"--out", "x"}, {"--out", "x", "--name", "y", "file"}, {"--out", "x", "--name", "y", "/etc/passwd:/a:64z"},
		{"--out", "x", "--name", "y", "--label", "novalue"}, {"--out", "x", "--name", "y", "/no/such/file:/a"},
	} {
		if _, _, err := parse(args); err == nil {
			t.Errorf("%q was taken", args)
		}
	}
}

type file struct {
	tar.Header
	data []byte
}

func pack(t *testing.T, image Image) ([]byte, string) {
	t.Helper()
	archive, digest, err := Pack(image)
	check(t, err)
	return archive, digest
}

func untar(t *testing.T, archive []byte) map[string]file {
	t.Helper()
	files := map[string]file{}
	for reader := tar.NewReader(bytes.NewReader(archive)); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		check(t, err)
		data, err := io.ReadAll(reader)
		check(t, err)
		files[header.Name] = file{*header, data}
	}
}

// blob returns what a descriptor points to, after checking it.
func blob(t *testing.T, files map[string]file, d descriptor) []byte {
	t.Helper()
	sum := d.Digest[len("sha256:"):]
	data := files["blobs/sha256/"+sum].data
	if len(data) != d.Size || fmt.Sprintf("%x", sha256.Sum256(data)) != sum {
		t.Fatalf("%s is not what it says", d.Digest)
	}
	return data
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	check(t, err)
	return data
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestAFolderIsPackedWithItsFilesLinksAndModes(t *testing.T) {
	dir := t.TempDir()
	src, out := filepath.Join(dir, "src"), filepath.Join(dir, "out.tar")
	check(t, os.MkdirAll(filepath.Join(src, "lib", "deep"), 0o755))
	check(t, os.WriteFile(filepath.Join(src, "lib", "deep", "b"), []byte("b"), 0o600))
	check(t, os.WriteFile(filepath.Join(src, "a"), []byte("a"), 0o700))
	check(t, os.Symlink("deep/b", filepath.Join(src, "lib", "c")))
	entries, err := readEntries(src + ":/opt/app")
	check(t, err)
	want := []Entry{
		{Path: "/opt/app/a", Mode: 0o755, Data: []byte("a")},
		{Path: "/opt/app/lib/c", Mode: 0o777, Link: "deep/b"},
		{Path: "/opt/app/lib/deep/b", Mode: 0o644, Data: []byte("b")},
	}
	if fmt.Sprint(entries) != fmt.Sprint(want) {
		t.Fatalf("got %v, want %v", entries, want)
	}
	check(t, run([]string{"--out", out, "--name", "example.test/app:1", src + ":/opt/app"}))
	if err := run([]string{"--out", out, "--name", "example.test/app:1", src + ":/opt/app:644"}); err == nil {
		t.Fatal("a folder with a mode was packed")
	}
}
