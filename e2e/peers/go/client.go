package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	motan "github.com/weibocom/motan-go"
	"github.com/weibocom/motan-go/config"
	"github.com/weibocom/motan-go/core"
)

// a line of the input
type asked struct {
	By            string        `json:"by"` // mesh: NewMeshClient; context: GetClientContext, direct; registry: the same by a mesh registry
	To            string        `json:"to"` // host:port; of the management port with registry
	Proxied       string        `json:"proxied"`
	Path          string        `json:"path"`
	Group         string        `json:"group"`
	Version       string        `json:"version"`
	Serialization string        `json:"serialization"`
	TimeoutMs     int64         `json:"timeoutMs"`
	GzipFrom      int64         `json:"gzipFrom"` // bytes; not with mesh
	Method        string        `json:"method"`
	Args          []interface{} `json:"args"`
	Calls         int           `json:"calls"` // many calls of a method that gives its text back
	Workers       int           `json:"workers"`
	EveryMs       int64         `json:"everyMs"` // pause of a worker between its calls
}

// a line of the output of one call
type answered struct {
	Ok      bool        `json:"ok"`
	Result  interface{} `json:"result"`
	Code    *int        `json:"code,omitempty"`
	Type    *int        `json:"type,omitempty"`
	Message string      `json:"message,omitempty"`
	TookMs  int64       `json:"tookMs"`
}

// a line of the output of many calls
type counted struct {
	Calls  int            `json:"calls"`
	Right  int            `json:"right"`
	Wrong  int            `json:"wrong"`
	Failed int            `json:"failed"`
	Errors map[string]int `json:"errors"`
}

// client reads calls from its input, a JSON object a line, and prints what came of each, a line each, in order.
func client() {
	flag.Parse()
	// The library prints to the standard output as well.
	output := json.NewEncoder(os.Stdout)
	os.Stdout = os.Stderr
	input := json.NewDecoder(bufio.NewReader(os.Stdin))
	input.UseNumber()
	callers := map[string]caller{}
	for {
		var asked asked
		if err := input.Decode(&asked); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			fail("%v", err)
		}
		var line interface{}
		if call := asked.caller(callers); asked.Calls > 0 {
			line = many(call, asked)
		} else {
			line = once(call, asked, asked.Args)
		}
		if err := output.Encode(line); err != nil {
			fail("%v", err)
		}
	}
}

func once(call caller, asked asked, args []interface{}) answered {
	values := argument(args).([]interface{})
	start := time.Now()
	value, exception := call(asked, values)
	answer := answered{TookMs: time.Since(start).Milliseconds()}
	if exception == nil {
		answer.Ok, answer.Result = true, result(value)
		return answer
	}
	answer.Message = exception.ErrMsg
	if exception.ErrCode != unknown {
		answer.Code, answer.Type = &exception.ErrCode, &exception.ErrType
	}
	return answer
}

// many calls with a text of its own each, so that answers that were mixed up are seen.
func many(call caller, asked asked) counted {
	count := counted{Calls: asked.Calls, Errors: map[string]int{}}
	var lock sync.Mutex
	var workers sync.WaitGroup
	next := make(chan int)
	for range max(asked.Workers, 1) {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for i := range next {
				text := fmt.Sprintf("call %d", i)
				answer := once(call, asked, []interface{}{text})
				lock.Lock()
				switch {
				case !answer.Ok:
					count.Failed++
					count.Errors[answer.Message]++
				case answer.Result == text:
					count.Right++
				default:
					count.Wrong++
				}
				lock.Unlock()
				time.Sleep(time.Duration(asked.EveryMs) * time.Millisecond)
			}
		}()
	}
	for i := range asked.Calls {
		next <- i
	}
	close(next)
	workers.Wait()
	return count
}

// unknown is the code of an exception of which the library told only the message.
const unknown = -1

type caller func(asked, []interface{}) (interface{}, *core.Exception)

// caller makes one client per way of calling and keeps it, as programs do.
func (a asked) caller(known map[string]caller) caller {
	if a.TimeoutMs == 0 {
		a.TimeoutMs = 5000
	}
	if a.Serialization == "" {
		a.Serialization = "simple"
	}
	key := fmt.Sprint(a.By, a.To, a.Proxied, a.Path, a.Group, a.Version, a.Serialization, a.TimeoutMs, a.GzipFrom)
	if known[key] == nil {
		if a.By == "mesh" {
			known[key] = meshCaller(a)
		} else {
			known[key] = contextCaller(a)
		}
	}
	return known[key]
}

func meshCaller(a asked) caller {
	mesh := motan.NewMeshClient()
	mesh.SetAddress(a.To)
	mesh.SetApplication("go-client")
	mesh.SetRequestTimeout(time.Duration(a.TimeoutMs) * time.Millisecond)
	mesh.SetSerialization(a.Serialization)
	mesh.Initialize()
	return func(a asked, args []interface{}) (interface{}, *core.Exception) {
		answer := mesh.BaseCall(mesh.BuildRequestWithGroup(a.Path, a.Method, args, a.Group), reply(a.Method))
		return answer.GetValue(), answer.GetException()
	}
}

func contextCaller(a asked) caller {
	mesh := ""
	if a.By == "registry" {
		mesh = a.To
	}
	text := fmt.Sprintf(`
motan-client: {log_dir: stdout, application: go-client}
motan-registry: {registry: {%s}}
motan-refer:
  probe: {registry: registry, path: %q, group: %q, version: %q, serialization: %q, protocol: motan2, requestTimeout: %d,
    mingzSize: %d, haStrategy: failover, loadbalance: roundrobin, asyncInitConnection: false}
`, registry(mesh, a.To, a.Proxied), a.Path, a.Group, a.Version, a.Serialization, a.TimeoutMs, a.GzipFrom)
	conf, err := config.NewConfigFromReader(strings.NewReader(text))
	if err != nil {
		fail("%v in\n%s", err, text)
	}
	context := motan.NewClientContextFromConfig(conf)
	context.Start(nil)
	client := context.GetClient("probe")
	return func(a asked, args []interface{}) (interface{}, *core.Exception) {
		reply := reply(a.Method)
		if err := client.Call(a.Method, args, reply); err != nil {
			return nil, &core.Exception{ErrCode: unknown, ErrMsg: err.Error()}
		}
		return value(reply), nil
	}
}

// reply is where a method's result goes, as a program that knows the method declares it.
func reply(method string) interface{} {
	switch method {
	case "bytes", "fill":
		return new([]byte)
	case "sum":
		return new(int64)
	case "tree":
		return new(map[interface{}]interface{})
	}
	return new(string)
}

func value(reply interface{}) interface{} {
	switch reply := reply.(type) {
	case *[]byte:
		return *reply
	case *int64:
		return *reply
	case *map[interface{}]interface{}:
		return *reply
	}
	return *reply.(*string)
}
