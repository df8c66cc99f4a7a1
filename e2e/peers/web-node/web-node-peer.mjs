// web-node-peer: Node's own http, http2 and fetch as clients. ../README.md says how it is used and what the cases are.
import crypto from 'node:crypto';
import http from 'node:http';
import http2 from 'node:http2';
import { once } from 'node:events';
import { Readable } from 'node:stream';
import { parseArgs } from 'node:util';

const LARGE = 3 << 20; // bytes
const PATIENCE = 10_000; // milliseconds a case may take

const { values: flags, positionals: wanted } = parseArgs({
  allowPositionals: true,
  options: {
    base: { type: 'string' },
    to: { type: 'string' },
    by: { type: 'string', default: 'http' },
  },
});
const base = new URL(flags.base);
const proxy = process.env.HTTP_PROXY ? new URL(process.env.HTTP_PROXY) : null;
const agent = new http.Agent({ keepAlive: true });

const pattern = (bytes) => Buffer.from(Uint8Array.from({ length: bytes }, (_, index) => index % 251));
const sha256 = (data) => crypto.createHash('sha256').update(data).digest('hex');
const number = crypto.randomUUID();

function check(holds, seen) {
  if (!holds) throw new Error(typeof seen === 'string' ? seen : JSON.stringify(seen));
}

async function gather(stream) {
  const pieces = [];
  for await (const piece of stream) pieces.push(piece);
  return Buffer.concat(pieces);
}

// Options of a request: to a proxy as a proxy wants it, or to where the flags say.
function options(method, path, headers = {}) {
  if (proxy) {
    const to = { host: proxy.hostname, port: proxy.port, path: base.origin + path };
    return { agent, method, headers: { host: base.host, ...headers }, ...to };
  }
  const [host, port] = flags.to ? flags.to.split(':') : [base.hostname, base.port || 80];
  return { agent, method, path, host, port, headers: { host: base.host, ...headers } };
}

async function answered(request, status) {
  const [answer] = await once(request, 'response');
  if (answer.statusCode !== status) {
    throw new Error(`status ${answer.statusCode} instead of ${status}: ${await gather(answer)}`);
  }
  return answer;
}

// Sends a whole request, and gives the answer if its status is this one.
function send(method, path, { status = 200, headers, body } = {}) {
  const length = body === undefined ? {} : { 'content-length': Buffer.byteLength(body) };
  const request = http.request(options(method, path, { ...length, ...headers }));
  request.end(body);
  return answered(request, status);
}

const echoed = async (answer) => JSON.parse(await gather(answer));

const byHttp = {
  async get() {
    const seen = await echoed(await send('GET', '/echo?a=1&b=%20x&c', { headers: { 'x-twice': ['one', 'two'] } }));
    check(seen.method === 'GET' && seen.length === 0 && seen.uri === '/echo?a=1&b=%20x&c', seen);
    check(seen.host === base.host && seen.headers['x-twice'].join() === 'one,two', seen);
  },
  async head() {
    const body = await gather(await send('HEAD', '/who'));
    check(body.length === 0, 'a body');
  },
  async post() {
    const body = 'some words '.repeat(100);
    const seen = await echoed(await send('POST', '/echo', { body, headers: { 'content-type': 'text/x-words' } }));
    check(seen.sha256 === sha256(body) && seen.headers['content-type'][0] === 'text/x-words', seen);
  },
  async statuses() {
    for (const status of [200, 204, 304, 404, 418, 503]) {
      const body = await gather(await send('GET', `/status?code=${status}`, { status }));
      check((body.length === 0) === (status === 204 || status === 304), `status ${status}: ${body}`);
    }
  },
  async cookies() {
    const answer = await send('GET', '/cookies');
    answer.resume();
    check(answer.headers['set-cookie'].join('|') === 'a=1; Path=/|b=2; Path=/', answer.headers);
  },
  async many() {
    for (let index = 0; index < 50; index += 1) {
      const body = `number ${index}`;
      const seen = await echoed(await send('POST', '/echo', { body }));
      check(seen.sha256 === sha256(body), seen);
    }
  },
  async 'large upload'() {
    const body = pattern(LARGE);
    const seen = await echoed(await send('POST', '/echo', { body }));
    check(seen.length === LARGE && seen.sha256 === sha256(body), seen);
  },
  async 'large download'() {
    const body = await gather(await send('GET', `/fill?bytes=${LARGE}`));
    check(body.equals(pattern(LARGE)), `${body.length} other bytes`);
  },
  async 'chunked upload'() {
    const body = pattern(LARGE);
    const request = http.request(options('POST', '/echo'));
    const pieces = Array.from({ length: 48 }, (_, index) => body.subarray(index * 65536, (index + 1) * 65536));
    Readable.from(pieces).pipe(request);
    const seen = await echoed(await answered(request, 200));
    check(seen.length === LARGE && seen.sha256 === sha256(body), seen);
  },
  async 'expect continue'() {
    const request = http.request(options('POST', '/echo', { expect: '100-continue', 'content-length': 5 }));
    request.flushHeaders();
    await once(request, 'continue');
    request.end('go on');
    const seen = await echoed(await answered(request, 200));
    check(seen.sha256 === sha256('go on'), seen);
  },
  async events() {
    await threeEvents('http', await send('GET', `/events?id=http-${number}`), async () => {
      (await send('POST', `/next?id=http-${number}`, { status: 204 })).resume();
    });
  },
  async 'request trailers'() {
    const request = http.request(options('POST', '/echo', { trailer: 'x-after' }));
    request.write('body');
    request.addTrailers({ 'x-after': 'the body' });
    request.end();
    const seen = await echoed(await answered(request, 200));
    check(seen.trailers['x-after']?.[0] === 'the body', seen);
  },
  async 'response trailers'() {
    const answer = await send('GET', '/trailers', { headers: { te: 'trailers' } });
    const body = await gather(answer);
    check(answer.trailers['x-sha256'] === sha256(body), answer.trailers);
  },
  async 'both ways at once'() {
    const request = http.request(options('POST', '/relay'));
    request.flushHeaders();
    const answer = await answered(request, 200);
    await pingPong(request, answer);
  },
  async websocket() {
    const key = crypto.randomBytes(16).toString('base64');
    const headers = { connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-key': key, 'sec-websocket-version': 13 };
    const request = http.request({ ...options('GET', '/socket', headers), agent: false });
    request.end();
    request.once('response', (answer) => request.destroy(new Error(`status ${answer.statusCode}`)));
    const [answer, socket] = await once(request, 'upgrade');
    const accept = crypto.createHash('sha1').update(key + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').digest('base64');
    check(answer.statusCode === 101 && answer.headers['sec-websocket-accept'] === accept, answer.headers);
    const text = 'hello';
    const mask = crypto.randomBytes(4); // RFC 6455 5.2: one masked text frame
    const masked = Buffer.from(text).map((byte, index) => byte ^ mask[index % 4]);
    socket.write(Buffer.concat([Buffer.from([0x81, 0x80 | text.length]), mask, masked]));
    let back = Buffer.alloc(0);
    for await (const piece of socket) {
      back = Buffer.concat([back, piece]);
      if (back.length >= 2 + text.length) break;
    }
    check(back.subarray(2).toString() === text, back.toString('hex'));
    socket.destroy();
  },
};

// Asks for the next event only when the one before has come.
async function threeEvents(what, stream, next) {
  let text = '';
  let seen = 0;
  const decoder = new TextDecoder();
  for await (const piece of stream) {
    text += decoder.decode(piece, { stream: true });
    while (text.includes(`data: ${seen}\n\n`)) {
      seen += 1;
      if (seen < 3) await next();
    }
  }
  check(text === 'data: 0\n\ndata: 1\n\ndata: 2\n\n', `${what}: ${text}`);
}

// Sends the next piece only when the one before has come back.
async function pingPong(request, answer) {
  const pieces = ['one', 'two', 'three'];
  let expected = pieces[0];
  let back = '';
  request.write(pieces.shift());
  for await (const piece of answer) {
    back += piece;
    if (back !== expected) continue;
    if (pieces.length === 0) {
      request.end();
    } else {
      expected += pieces[0];
      request.write(pieces.shift());
    }
  }
  check(back === 'onetwothree', back);
}

const url = (path) => new URL(path, base);

const byFetch = {
  async get() {
    const seen = await (await fetch(url('/echo?a=1'), { headers: { 'x-one': '1' } })).json();
    check(seen.method === 'GET' && seen.uri === '/echo?a=1' && seen.headers['x-one'][0] === '1', seen);
  },
  async post() {
    const seen = await (await fetch(url('/echo'), { method: 'POST', body: 'words' })).json();
    check(seen.method === 'POST' && seen.sha256 === sha256('words'), seen);
  },
  async 'large download'() {
    const body = Buffer.from(await (await fetch(url(`/fill?bytes=${LARGE}`))).arrayBuffer());
    check(body.equals(pattern(LARGE)), `${body.length} other bytes`);
  },
  async 'chunked upload'() {
    const body = Readable.toWeb(Readable.from([pattern(LARGE)]));
    const seen = await (await fetch(url('/echo'), { method: 'POST', body, duplex: 'half' })).json();
    check(seen.length === LARGE && seen.sha256 === sha256(pattern(LARGE)), seen);
  },
  async events() {
    const answer = await fetch(url(`/events?id=fetch-${number}`));
    await threeEvents('fetch', answer.body, () => fetch(url(`/next?id=fetch-${number}`), { method: 'POST' }));
  },
};

// One session of HTTP/2 by prior knowledge.
function session() {
  const authority = flags.to ? `http://${flags.to}` : base.origin;
  return http2.connect(authority);
}

async function h2(method, path, body) {
  const connection = session();
  try {
    const stream = connection.request({ ':method': method, ':path': path, ':authority': base.host });
    const trailers = {};
    stream.on('trailers', (found) => Object.assign(trailers, found));
    const head = once(stream, 'response');
    stream.end(body);
    const [headers] = await head;
    return { headers, trailers, body: await gather(stream) };
  } finally {
    connection.close();
  }
}

const byHttp2 = {
  async get() {
    const { headers, body } = await h2('GET', '/echo?a=1');
    const seen = JSON.parse(body);
    check(headers[':status'] === 200 && seen.uri === '/echo?a=1' && seen.host === base.host, seen);
  },
  async 'large upload'() {
    const { body } = await h2('POST', '/echo', pattern(LARGE));
    check(JSON.parse(body).sha256 === sha256(pattern(LARGE)), body.toString());
  },
  async 'large download'() {
    const { body } = await h2('GET', `/fill?bytes=${LARGE}`);
    check(body.equals(pattern(LARGE)), `${body.length} other bytes`);
  },
  async 'response trailers'() {
    const { trailers, body } = await h2('GET', '/trailers');
    check(trailers['x-sha256'] === sha256(body), trailers);
  },
  async 'both ways at once'() {
    const connection = session();
    const stream = connection.request({ ':method': 'POST', ':path': '/relay', ':authority': base.host });
    await once(stream, 'response');
    await pingPong(stream, stream);
    connection.close();
  },
};

const ways = { http: byHttp, fetch: byFetch, http2: byHttp2 };
for (const [name, run] of Object.entries(ways[flags.by])) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error('not in time')), PATIENCE);
  });
  let line = { case: name, ok: true };
  try {
    const running = run();
    running.catch(() => {}); // when it fails after its time
    await Promise.race([running, late]);
  } catch (error) {
    line = { case: name, ok: false, why: `${error.message} ${error.cause?.message ?? ''}`.trim() };
  }
  clearTimeout(timer);
  console.log(JSON.stringify(line));
}
process.exit(0); // what failed may have left connections
