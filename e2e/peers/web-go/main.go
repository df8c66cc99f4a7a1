// web-go-peer: Go's own HTTP library as a server and as a client. ../README.md says how it is used.
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	words := map[string]func([]string) error{"server": server, "client": client, "grpc-server": grpcServer}
	if len(os.Args) > 1 {
		if run, known := words[os.Args[1]]; known {
			if err := run(os.Args[2:]); err != nil {
				fail("%v", err)
			}
			return
		}
	}
	fail("usage: %s server|client|grpc-server [flags]; -h after a word lists its flags", filepath.Base(os.Args[0]))
}

func fail(format string, values ...any) {
	fmt.Fprintf(os.Stderr, "web-go-peer: "+format+"\n", values...)
	os.Exit(1)
}
