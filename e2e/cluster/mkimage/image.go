package main

// The image itself: entries to a layer, layer to a config, a manifest and an
// index, all of them to one tar. Data in, data out; no files, no clock. The
// format is the OCI image specification 1.1, sections "image layout",
// "manifest" and "config".

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"path"
	"strings"
)

// Image is what to pack.
type Image struct {
	Name       string // full reference, e.g. example.test/app:1
	Arch       string // GOARCH
	User       string
	WorkDir    string
	Entrypoint []string
	Cmd        []string
	Env        []string
	Labels     map[string]string
	Entries    []Entry
}

// Entry is one file, or one symbolic link if Link is set.
type Entry struct {
	Path string
	Mode int64
	Data []byte
	Link string
}

// base is what every image holds besides its own entries, so that programs
// which look up their user or want a scratch directory find them.
var base = []Entry{
	{Path: "/etc/passwd", Mode: 0o644, Data: []byte("root:x:0:0:root:/:/bin/sh\nnonroot:x:65532:65532:nonroot:/:/bin/false\n")},
	{Path: "/etc/group", Mode: 0o644, Data: []byte("root:x:0:\nnonroot:x:65532:\n")},
}

const searchPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Pack returns the image as an OCI layout in a tar, and its manifest digest.
func Pack(image Image) (archive []byte, digest string, err error) {
	layerTar, err := layer(append(base[:len(base):len(base)], image.Entries...))
	if err != nil {
		return nil, "", err
	}
	blobs := &blobSet{}
	layerBlob := blobs.add("application/vnd.oci.image.layer.v1.tar", layerTar)
	configBlob := blobs.addJSON("application/vnd.oci.image.config.v1+json", config{
		Architecture: image.Arch,
		OS:           "linux",
		Config: process{
			User: image.User, WorkingDir: image.WorkDir, Entrypoint: image.Entrypoint, Cmd: image.Cmd,
			Env: append([]string{searchPath}, image.Env...), Labels: image.Labels,
		},
		RootFS: rootFS{Type: "layers", DiffIDs: []string{layerBlob.Digest}},
	})
	manifestBlob := blobs.addJSON("application/vnd.oci.image.manifest.v1+json", manifest{
		SchemaVersion: 2,
		MediaType:     "application/vnd.oci.image.manifest.v1+json",
		Config:        &configBlob,
		Layers:        []descriptor{layerBlob},
	})
	manifestBlob.Platform = &platform{Architecture: image.Arch, OS: "linux"}
	manifestBlob.Annotations = map[string]string{"io.containerd.image.name": image.Name}
	index := encode(manifest{
		SchemaVersion: 2,
		MediaType:     "application/vnd.oci.image.index.v1+json",
		Manifests:     []descriptor{manifestBlob},
	})
	files := append([]Entry{
		{Path: "oci-layout", Mode: 0o644, Data: []byte(`{"imageLayoutVersion":"1.0.0"}`)},
		{Path: "index.json", Mode: 0o644, Data: index},
	}, blobs.files...)
	archive, err = writeTar(files)
	return archive, manifestBlob.Digest, err
}

// layer puts entries, and the directories above them, into a tar.
func layer(entries []Entry) ([]byte, error) {
	tree := []Entry{{Path: "tmp/", Mode: 0o1777}}
	seen := map[string]bool{"tmp/": true}
	for _, entry := range entries {
		entry.Path = strings.TrimPrefix(path.Clean("/"+entry.Path), "/")
		if entry.Path == "" || seen[entry.Path] || seen[entry.Path+"/"] {
			return nil, fmt.Errorf("%q is there twice, or is a directory", "/"+entry.Path)
		}
		for _, dir := range above(entry.Path) {
			if seen[strings.TrimSuffix(dir, "/")] {
				return nil, fmt.Errorf("%q is below a file", "/"+entry.Path)
			}
			if !seen[dir] {
				seen[dir] = true
				tree = append(tree, Entry{Path: dir, Mode: 0o755})
			}
		}
		seen[entry.Path] = true
		tree = append(tree, entry)
	}
	return writeTar(tree)
}

// above returns the directories above a path, outermost first, each with a
// slash at its end.
func above(path string) (dirs []string) {
	for i, c := range path {
		if c == '/' {
			dirs = append(dirs, path[:i+1])
		}
	}
	return dirs
}

// writeTar writes entries in their order, all owned by root and of time zero.
// A path that ends in a slash is a directory.
func writeTar(entries []Entry) ([]byte, error) {
	var buffer bytes.Buffer
	writer := tar.NewWriter(&buffer)
	for _, entry := range entries {
		header := &tar.Header{Name: entry.Path, Mode: entry.Mode, Format: tar.FormatPAX, Typeflag: tar.TypeReg}
		switch {
		case strings.HasSuffix(entry.Path, "/"):
			header.Typeflag = tar.TypeDir
		case entry.Link != "":
			header.Typeflag, header.Linkname = tar.TypeSymlink, entry.Link
		default:
			header.Size = int64(len(entry.Data))
		}
		if err := writer.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("writing %q: %w", entry.Path, err)
		}
		if _, err := writer.Write(entry.Data); err != nil {
			return nil, fmt.Errorf("writing %q: %w", entry.Path, err)
		}
	}
	err := writer.Close()
	return buffer.Bytes(), err
}

// blobSet gathers the content-addressed files of the layout.
type blobSet struct{ files []Entry }

func (b *blobSet) add(mediaType string, data []byte) descriptor {
	sum := fmt.Sprintf("%x", sha256.Sum256(data))
	b.files = append(b.files, Entry{Path: "blobs/sha256/" + sum, Mode: 0o644, Data: data})
	return descriptor{MediaType: mediaType, Digest: "sha256:" + sum, Size: len(data)}
}

func (b *blobSet) addJSON(mediaType string, v any) descriptor {
	return b.add(mediaType, encode(v))
}

// encode is for this file's own types, which always encode.
func encode(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return data
}

type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int               `json:"size"`
	Platform    *platform         `json:"platform,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type platform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
}

// manifest is an image manifest (Config, Layers) or an index (Manifests).
type manifest struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Config        *descriptor  `json:"config,omitempty"`
	Layers        []descriptor `json:"layers,omitempty"`
	Manifests     []descriptor `json:"manifests,omitempty"`
}

type config struct {
	Architecture string  `json:"architecture"`
	OS           string  `json:"os"`
	Config       process `json:"config"`
	RootFS       rootFS  `json:"rootfs"`
}

type process struct {
	User       string            `json:"User,omitempty"`
	Env        []string          `json:"Env,omitempty"`
	Entrypoint []string          `json:"Entrypoint,omitempty"`
	Cmd        []string          `json:"Cmd,omitempty"`
	WorkingDir string            `json:"WorkingDir,omitempty"`
	Labels     map[string]string `json:"Labels,omitempty"`
}

type rootFS struct {
	Type    string   `json:"type"`
	DiffIDs []string `json:"diff_ids"`
}
