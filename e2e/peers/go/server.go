package main

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	motan "github.com/weibocom/motan-go"
	"github.com/weibocom/motan-go/config"
)

// The service of all peers, as a program on motan-go provides it. The library upper-cases a method's first letter, calls
// by reflection and transmits the first result only.
type probe struct{ name string }

func (p *probe) Who() string                       { return p.name }
func (p *probe) Echo(text string) string           { return text }
func (p *probe) Bytes(bytes []byte) []byte         { return bytes }
func (p *probe) Fill(length int64) []byte          { return pattern(length) }
func (p *probe) Tree(tree interface{}) interface{} { return tree }
func (p *probe) Sum(a, b int64) int64              { return a + b }
func (p *probe) Nothing()                          {}

// Fail panics: an error as a second result is not transmitted, so this is how such a program tells of a failure.
func (p *probe) Fail(text string) string { panic(text) }

func (p *probe) Slow(millis int64) string {
	time.Sleep(time.Duration(millis) * time.Millisecond)
	return fmt.Sprintf("slept %d", millis)
}

func server() {
	var (
		port          = flag.Int("listen", 7000, "port, on every address: the library knows no other way")
		name          = flag.String("name", "go", "what the method who answers")
		path          = flag.String("path", "io.motanmesh.peers.Probe", "path of the service")
		group         = flag.String("group", "peers", "group of the service")
		version       = flag.String("version", "", "version of the service; none where empty")
		serialization = flag.String("serialization", "simple", "simple or breeze")
		mesh          = flag.String("mesh", "", "register at this management address (host:port) of an agent")
		proxied       = flag.String("proxied", "direct://127.0.0.1:0", "the registry that the agent knows, with -mesh")
	)
	flag.Parse()
	text := fmt.Sprintf(`
motan-server: {log_dir: stdout, application: %[1]s}
motan-registry: {registry: {%[2]s}}
motan-service:
  probe: {ref: probe, registry: registry, path: %[3]q, group: %[4]q, version: %[5]q,
    serialization: %[6]q, protocol: motan2, export: "motan2:%[7]d", host: 127.0.0.1}
`, *name, registry(*mesh, "127.0.0.1:0", *proxied), *path, *group, *version, *serialization, *port)
	conf, err := config.NewConfigFromReader(strings.NewReader(text))
	if err != nil {
		fail("%v in\n%s", err, text)
	}
	context := motan.NewMotanServerContextFromConfig(conf)
	if err := context.RegisterService(&probe{*name}, "probe"); err != nil {
		fail("%v", err)
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, os.Interrupt)
	context.Start(nil)
	context.ServicesAvailable()
	<-stop
}

// registry is the content of a registry's section: the mesh registry where an agent's management address is given, else
// the direct one.
func registry(mesh, direct, proxied string) string {
	if mesh == "" {
		return fmt.Sprintf("protocol: direct, address: %q", direct)
	}
	host, port, _ := strings.Cut(mesh, ":")
	return fmt.Sprintf("protocol: mesh, host: %s, port: %s, proxyRegistry: %q", host, port, proxied)
}
