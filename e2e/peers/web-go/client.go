package main

// The cases that a web client of Go goes through. Each prints a line.

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/websocket"
)

const (
	// large is a body that no message between two agents holds whole, bytes.
	large = 3 << 20
	// patience is how long a case may take.
	patience = 10 * time.Second
)

// web is how the cases reach the service.
type web struct {
	http *http.Client
	base string
	// to is where connections go whatever the URL's host is, or nothing.
	to string
	// proxied is whether requests go to a forward proxy.
	proxied bool
	version int
}

func client(args []string) error {
	flags := flag.NewFlagSet("client", flag.ExitOnError)
	base := flags.String("base", "", "the `URL` of the service, without a path")
	to := flags.String("to", "", "connect to this `ADDRESS` whatever the URL's host is")
	version := flags.Int("http", 1, "the `VERSION` of HTTP: 1, or 2 by prior knowledge")
	_ = flags.Parse(args) // exits by itself
	target, err := url.Parse(*base)
	if err != nil {
		return err
	}
	proxy, err := http.ProxyFromEnvironment(&http.Request{URL: target})
	if err != nil {
		return err
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(*version == 1)
	protocols.SetUnencryptedHTTP2(*version == 2)
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, Protocols: protocols}
	if *version == 1 { // only there somebody must ask for the body
		transport.ExpectContinueTimeout = patience
	}
	if *to != "" {
		transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, *to)
		}
	}
	web := &web{http: &http.Client{Transport: transport}, base: *base, to: *to, proxied: proxy != nil, version: *version}
	for _, one := range web.cases() {
		if flags.NArg() == 0 || slices.Contains(flags.Args(), one.name) {
			say(one.name, one.run)
		}
	}
	return nil
}

type oneCase struct {
	name string
	run  func(context.Context) error
}

func (w *web) cases() []oneCase {
	cases := []oneCase{
		{"get", w.get}, {"head", w.head}, {"post", w.post}, {"statuses", w.statuses}, {"cookies", w.cookies},
		{"many", w.many}, {"large upload", w.largeUpload}, {"large download", w.largeDownload}, {"chunked upload", w.chunkedUpload},
		{"expect continue", w.expectContinue}, {"events", w.events}, {"request trailers", w.requestTrailers},
		{"response trailers", w.responseTrailers}, {"both ways at once", w.bothWays},
	}
	if w.version == 1 && !w.proxied { // the library's WebSocket is of HTTP/1.1, and takes no proxy
		cases = append(cases, oneCase{"websocket", w.websocket})
	}
	return cases
}

func say(name string, run func(context.Context) error) {
	limited, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	line := map[string]any{"case": name, "ok": true}
	if err := run(limited); err != nil {
		line = map[string]any{"case": name, "ok": false, "why": err.Error()}
	}
	text, _ := json.Marshal(line) // strings and a bool
	fmt.Println(string(text))
}

// send makes a request, and gives the answer if its status is this one.
func (w *web) send(ctx context.Context, method, path string, body io.Reader, status int, headers ...string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, w.base+path, body)
	if err != nil {
		return nil, err
	}
	for index := 0; index < len(headers); index += 2 {
		request.Header.Add(headers[index], headers[index+1])
	}
	return w.answered(request, status)
}

func (w *web) answered(request *http.Request, status int) (*http.Response, error) {
	answer, err := w.http.Do(request)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != status {
		defer answer.Body.Close()
		words, _ := io.ReadAll(answer.Body)
		return nil, fmt.Errorf("status %d instead of %d: %s", answer.StatusCode, status, words)
	}
	return answer, nil
}

func whole(answer *http.Response, err error) (string, error) {
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return string(body), err
}

// echoed is what the service says of what came.
type echoed struct {
	Method, URI, Host string
	Headers, Trailers map[string][]string
	Length            int
	SHA256            string
}

func read(answer *http.Response, err error) (echoed, error) {
	var seen echoed
	body, err := whole(answer, err)
	if err == nil {
		err = json.Unmarshal([]byte(body), &seen)
	}
	return seen, err
}

func check(holds bool, format string, seen ...any) error {
	if holds {
		return nil
	}
	return fmt.Errorf(format, seen...)
}

func hash(body io.Reader) string {
	hash := sha256.New()
	_, _ = io.Copy(hash, body) // from memory
	return fmt.Sprintf("%x", hash.Sum(nil))
}

func (w *web) get(ctx context.Context) error {
	seen, err := read(w.send(ctx, "GET", "/echo?a=1&b=%20x&c", nil, 200, "X-Twice", "one", "X-Twice", "two", "X-Empty", ""))
	if err != nil {
		return err
	}
	host, _ := url.Parse(w.base)
	return errors.Join(
		check(seen.Method == "GET" && seen.Length == 0, "%+v", seen),
		check(seen.URI == "/echo?a=1&b=%20x&c", "uri %q", seen.URI),
		check(seen.Host == host.Host, "host %q", seen.Host),
		check(strings.Join(seen.Headers["x-twice"], ",") == "one,two", "x-twice %q", seen.Headers["x-twice"]),
		check(slices.Equal(seen.Headers["x-empty"], []string{""}), "x-empty %q", seen.Headers["x-empty"]),
	)
}

func (w *web) head(ctx context.Context) error {
	body, err := whole(w.send(ctx, "HEAD", "/who", nil, 200))
	return errors.Join(err, check(body == "", "a body: %q", body))
}

func (w *web) post(ctx context.Context) error {
	body := strings.Repeat("some words ", 100)
	seen, err := read(w.send(ctx, "POST", "/echo", strings.NewReader(body), 200, "Content-Type", "text/x-words"))
	return errors.Join(err,
		check(seen.Method == "POST" && seen.SHA256 == hash(strings.NewReader(body)), "%+v", seen),
		check(slices.Equal(seen.Headers["content-type"], []string{"text/x-words"}), "%q", seen.Headers))
}

func (w *web) statuses(ctx context.Context) error {
	for _, status := range []int{200, 204, 304, 404, 418, 503} {
		body, err := whole(w.send(ctx, "GET", fmt.Sprintf("/status?code=%d", status), nil, status))
		if err != nil {
			return err
		}
		bare := status == 204 || status == 304
		if err := check(bare == (body == ""), "status %d has body %q", status, body); err != nil {
			return err
		}
	}
	return nil
}

func (w *web) cookies(ctx context.Context) error {
	answer, err := w.send(ctx, "GET", "/cookies", nil, 200)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	cookies := answer.Header.Values("Set-Cookie")
	return check(slices.Equal(cookies, []string{"a=1; Path=/", "b=2; Path=/"}), "%q", cookies)
}

// many goes over one connection where the library keeps it.
func (w *web) many(ctx context.Context) error {
	for number := range 50 {
		text := fmt.Sprintf("number %d", number)
		seen, err := read(w.send(ctx, "POST", "/echo", strings.NewReader(text), 200))
		if err := errors.Join(err, check(seen.SHA256 == hash(strings.NewReader(text)), "%+v", seen)); err != nil {
			return err
		}
	}
	return nil
}

func (w *web) largeUpload(ctx context.Context) error {
	body, _ := io.ReadAll(pattern(large)) // from memory
	seen, err := read(w.send(ctx, "POST", "/echo", bytes.NewReader(body), 200))
	return errors.Join(err, check(seen.Length == large && seen.SHA256 == hash(pattern(large)), "%+v", seen))
}

func (w *web) largeDownload(ctx context.Context) error {
	body, err := whole(w.send(ctx, "GET", fmt.Sprintf("/fill?bytes=%d", large), nil, 200))
	same := hash(strings.NewReader(body)) == hash(pattern(large))
	return errors.Join(err, check(same, "%d other bytes", len(body)))
}

// chunkedUpload does not say before how long the body is.
func (w *web) chunkedUpload(ctx context.Context) error {
	seen, err := read(w.send(ctx, "POST", "/echo", io.MultiReader(pattern(large)), 200))
	return errors.Join(err, check(seen.Length == large && seen.SHA256 == hash(pattern(large)), "%+v", seen))
}

func (w *web) expectContinue(ctx context.Context) error {
	seen, err := read(w.send(ctx, "POST", "/echo", strings.NewReader("go on"), 200, "Expect", "100-continue"))
	return errors.Join(err, check(seen.SHA256 == hash(strings.NewReader("go on")), "%+v", seen))
}

// events asks for the next event only when the one before has come.
func (w *web) events(ctx context.Context) error {
	id := fmt.Sprintf("go-%d", time.Now().UnixNano())
	answer, err := w.send(ctx, "GET", "/events?id="+id, nil, 200, "Accept", "text/event-stream")
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	lines := bufio.NewScanner(answer.Body)
	for event := range 3 {
		if !lines.Scan() || lines.Text() != fmt.Sprintf("data: %d", event) {
			return fmt.Errorf("event %d: %q, %w", event, lines.Text(), lines.Err())
		}
		lines.Scan() // the empty line
		if event < 2 {
			if _, err := whole(w.send(ctx, "POST", "/next?id="+id, nil, 204)); err != nil {
				return err
			}
		}
	}
	return check(!lines.Scan() && lines.Err() == nil, "more than three events, or no proper end: %v", lines.Err())
}

func (w *web) requestTrailers(ctx context.Context) error {
	body := io.MultiReader(strings.NewReader("body"))
	request, err := http.NewRequestWithContext(ctx, "POST", w.base+"/echo", body)
	if err != nil {
		return err
	}
	request.Trailer = http.Header{"X-After": {"the body"}}
	seen, err := read(w.answered(request, 200))
	return errors.Join(err, check(slices.Equal(seen.Trailers["x-after"], []string{"the body"}), "%+v", seen))
}

func (w *web) responseTrailers(ctx context.Context) error {
	answer, err := w.send(ctx, "GET", "/trailers", nil, 200, "TE", "trailers")
	body, err := whole(answer, err)
	if err != nil {
		return err
	}
	sum := answer.Trailer.Get("X-Sha256")
	return check(sum == hash(strings.NewReader(body)), "body %q, trailer %q", body, sum)
}

// bothWays sends the next piece only when the one before has come back.
func (w *web) bothWays(ctx context.Context) error {
	reader, writer := io.Pipe()
	defer writer.Close()
	// The library waits for the body even when there is no more time.
	defer context.AfterFunc(ctx, func() { writer.CloseWithError(ctx.Err()) })()
	answer, err := w.send(ctx, "POST", "/relay", reader, 200)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	for _, piece := range []string{"one", "two", "three"} {
		if _, err := io.WriteString(writer, piece); err != nil {
			return err
		}
		back := make([]byte, len(piece))
		if _, err := io.ReadFull(answer.Body, back); err != nil || string(back) != piece {
			return fmt.Errorf("%q instead of %q: %w", back, piece, err)
		}
	}
	writer.Close()
	rest, err := io.ReadAll(answer.Body)
	return errors.Join(err, check(len(rest) == 0, "more: %q", rest))
}

func (w *web) websocket(ctx context.Context) error {
	address := strings.Replace(w.base, "http:", "ws:", 1) + "/socket"
	config, err := websocket.NewConfig(address, w.base)
	if err != nil {
		return err
	}
	to := w.to
	if to == "" {
		to = config.Location.Host
	}
	if _, _, err := net.SplitHostPort(to); err != nil {
		to = net.JoinHostPort(to, "80")
	}
	stream, err := new(net.Dialer).DialContext(ctx, "tcp", to)
	if err != nil {
		return err
	}
	defer stream.Close()
	if end, limited := ctx.Deadline(); limited {
		_ = stream.SetDeadline(end)
	}
	socket, err := websocket.NewClient(config, stream)
	if err != nil {
		return err
	}
	for _, text := range []string{"one", "two", strings.Repeat("long ", 20_000)} {
		if err := websocket.Message.Send(socket, text); err != nil {
			return err
		}
		// The server copies bytes, so a long text may come back in more messages than one.
		back := ""
		for len(back) < len(text) {
			var piece string
			if err := websocket.Message.Receive(socket, &piece); err != nil {
				return err
			}
			back += piece
		}
		if back != text {
			return fmt.Errorf("%d other bytes", len(back))
		}
	}
	return nil
}
