// motan-go-peer: motan-go as an agent, as a server and as a client. ../README.md says how it is used.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	motan "github.com/weibocom/motan-go"
)

func main() {
	words := map[string]func(){"agent": agent, "server": server, "client": client}
	if len(os.Args) > 1 {
		if run, known := words[os.Args[1]]; known {
			// The library keeps its flags in the flag package's common set, which reads what follows the program's name.
			os.Args = append([]string{os.Args[0]}, os.Args[2:]...)
			run()
			return
		}
	}
	fail("usage: %s agent|server|client [flags]; -h after a word lists its flags", filepath.Base(os.Args[0]))
}

// agent is the reference agent as it is; its flags and its file are the library's own.
func agent() {
	motan.NewAgent(nil).StartMotanAgent()
	fail("the agent did not start")
}

func fail(format string, values ...interface{}) {
	fmt.Fprintf(os.Stderr, "motan-go-peer: "+format+"\n", values...)
	os.Exit(1)
}
