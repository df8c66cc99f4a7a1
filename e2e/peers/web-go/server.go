package main

// The service that every web client of these tests calls: pages that show whether what lies in between keeps a message as
// it was, passes it on while it comes, and ends it where it ended.

import (
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/websocket"
)

// maxFill is the largest body that /fill gives, bytes.
const maxFill = 1 << 30

// A listener of events who has gone is forgotten after this time.
const eventPatience = 30 * time.Second

func server(args []string) error {
	flags := flag.NewFlagSet("server", flag.ExitOnError)
	listen := flags.String("listen", "127.0.0.1:8080", "the `ADDRESS` to serve on: HTTP/1.1, and HTTP/2 by prior knowledge")
	name := flags.String("name", "web", "what /who says")
	_ = flags.Parse(args) // exits by itself

	pages := http.NewServeMux()
	pages.HandleFunc("/who", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, *name) })
	pages.HandleFunc("/echo", echo)
	pages.HandleFunc("/fill", fill)
	pages.HandleFunc("/status", status)
	pages.HandleFunc("/cookies", cookies)
	pages.HandleFunc("/trailers", trailers)
	pages.HandleFunc("/relay", relay)
	events := &events{waiting: map[string]chan struct{}{}}
	pages.HandleFunc("/events", events.send)
	pages.HandleFunc("/next", events.next)
	// Without a Handshake of our own no Origin is asked for.
	pages.Handle("/socket", websocket.Server{Handler: func(socket *websocket.Conn) { _, _ = io.Copy(socket, socket) }})

	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	serving := http.Server{Addr: *listen, Handler: pages, Protocols: protocols}
	return serving.ListenAndServe()
}

// echo tells what came: all of it, but of the body only length and hash.
func echo(w http.ResponseWriter, request *http.Request) {
	hash := sha256.New()
	length, err := io.Copy(hash, request.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{
		"method": request.Method, "uri": request.RequestURI, "host": request.Host, "headers": lower(request.Header),
		"trailers": lower(request.Trailer), "length": length, "sha256": fmt.Sprintf("%x", hash.Sum(nil)),
	})
}

func lower(headers http.Header) map[string][]string {
	lowered := map[string][]string{}
	for name, values := range headers {
		lowered[strings.ToLower(name)] = values
	}
	return lowered
}

// fill gives so many bytes 0, 1, … 250, 0, 1, … without saying before how many.
func fill(w http.ResponseWriter, request *http.Request) {
	bytes, err := strconv.Atoi(request.FormValue("bytes"))
	if err != nil || bytes < 0 || bytes > maxFill {
		http.Error(w, "bytes: a number up to 1 GiB", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	_ = http.NewResponseController(w).Flush()
	_, _ = io.Copy(w, pattern(bytes))
}

func status(w http.ResponseWriter, request *http.Request) {
	code, err := strconv.Atoi(request.FormValue("code"))
	if err != nil || code < 200 || code > 599 {
		http.Error(w, "code: a number from 200 to 599", http.StatusBadRequest)
		return
	}
	w.WriteHeader(code)
	if code != http.StatusNoContent && code != http.StatusNotModified {
		fmt.Fprintf(w, "status %d", code)
	}
}

func cookies(w http.ResponseWriter, _ *http.Request) {
	w.Header().Add("Set-Cookie", "a=1; Path=/")
	w.Header().Add("Set-Cookie", "b=2; Path=/")
}

// trailers says after the body what it was.
func trailers(w http.ResponseWriter, _ *http.Request) {
	const body = "something"
	w.Header().Set("Trailer", "X-Sha256")
	fmt.Fprint(w, body)
	_ = http.NewResponseController(w).Flush()
	w.Header().Set("X-Sha256", fmt.Sprintf("%x", sha256.Sum256([]byte(body))))
}

// relay answers each piece of the request's body while the next is still to come.
func relay(w http.ResponseWriter, request *http.Request) {
	control := http.NewResponseController(w)
	if request.ProtoMajor == 1 {
		if err := control.EnableFullDuplex(); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
	}
	_ = control.Flush()
	piece := make([]byte, 4096)
	for {
		read, err := request.Body.Read(piece)
		if read > 0 {
			if _, err := w.Write(piece[:read]); err != nil {
				return
			}
			_ = control.Flush()
		}
		if err != nil {
			return
		}
	}
}

// events are sent one by one, each only when its listener has asked for it elsewhere: whoever keeps one back hears no more.
type events struct {
	lock    sync.Mutex
	waiting map[string]chan struct{}
}

func (e *events) of(id string) chan struct{} {
	e.lock.Lock()
	defer e.lock.Unlock()
	if e.waiting[id] == nil {
		e.waiting[id] = make(chan struct{}, 16)
	}
	return e.waiting[id]
}

func (e *events) forget(id string) {
	e.lock.Lock()
	defer e.lock.Unlock()
	delete(e.waiting, id)
}

func (e *events) next(w http.ResponseWriter, request *http.Request) {
	select {
	case e.of(request.FormValue("id")) <- struct{}{}:
		w.WriteHeader(http.StatusNoContent)
	default:
		http.Error(w, "nobody listens", http.StatusConflict)
	}
}

func (e *events) send(w http.ResponseWriter, request *http.Request) {
	id := request.FormValue("id")
	asked := e.of(id)
	defer e.forget(id)
	w.Header().Set("Content-Type", "text/event-stream")
	control := http.NewResponseController(w)
	for event := range 3 {
		if event > 0 {
			select {
			case <-asked:
			case <-request.Context().Done():
				return
			case <-time.After(eventPatience):
				return
			}
		}
		fmt.Fprintf(w, "data: %d\n\n", event)
		_ = control.Flush()
	}
}

// pattern reads so many bytes 0, 1, … 250, 0, 1, …
func pattern(bytes int) io.Reader {
	return io.LimitReader(&counting{}, int64(bytes))
}

type counting struct{ at byte }

func (c *counting) Read(into []byte) (int, error) {
	for index := range into {
		into[index] = c.at
		c.at = (c.at + 1) % 251
	}
	return len(into), nil
}
