#!/usr/bin/env node
// A client of the LGSP gateway: opens a session, calls a service in it, verifies a call that reached a target directly.
//
// Node's own modules only. The access key and the secret come from LGSP_ACCESS_KEY and LGSP_SECRET_KEY.
//
//     lgsp.mjs call PLATFORM SERVICE METHOD URL [BODY_FILE]   source: steps 1 to 3; URL is the platform's or the target's own
//     lgsp.mjs verify PLATFORM SERVICE < REQUEST_HEAD         target: steps 4 to 6; prints who is calling and the digest of its body
//
// Exit status: 0 done, 1 refused (why and what to do is on standard error), 2 the answer is not the platform's.

import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';

const ANSWER_COVERS = '("@status" "content-digest" "@method";req "@authority";req "@path";req "signature";req)';
const DEADLINE_MS = 30_000;

/** A problem document (RFC 9457): `code` is stable, `title` and `next` are for people. */
class Refused extends Error {}
/** The answer is not signed by the platform for this very request: trust nothing in it. */
class NotGenuine extends Error {}

const mac = (secret, text) => createHmac('sha256', secret).update(text).digest('base64');
const digestOf = (body) => `sha-256=:${createHash('sha256').update(body).digest('base64')}:`;

export class Client {
  constructor(accessKey, secret) {
    this.accessKey = accessKey;
    this.secret = secret;
  }

  /** The headers of a signed request (RFC 9421). `path` and `query` are what is sent, not what a library makes of it. */
  sign(method, { authority, path, query }, body, session) {
    const nonce = randomBytes(16).toString('hex');
    const headers = {};
    if (body.length > 0) headers['content-digest'] = digestOf(body);
    if (session) {
      const key = Buffer.from(session.session_key, 'hex');
      headers['lgsp-session'] = session.ticket;
      headers['lgsp-session-proof'] = createHmac('sha256', key).update(`lgsp-session-proof:${nonce}`).digest('hex');
    }
    const lines = { '@method': method, '@authority': authority, '@path': path, '@query': `?${query}`, ...headers };
    const covered = Object.keys(lines).map((name) => `"${name}"`).join(' ');
    const created = Math.floor(Date.now() / 1000);
    const params = `(${covered});created=${created};keyid="${this.accessKey}";alg="hmac-sha256";nonce="${nonce}"`;
    const text = Object.entries(lines).map(([name, value]) => `"${name}": ${value}\n`).join('');
    const signature = mac(this.secret, `${text}"@signature-params": ${params}`);
    return { ...headers, host: authority, 'signature-input': `sig1=${params}`, signature: `sig1=:${signature}:` };
  }

  async send(method, address, body = Buffer.alloc(0), session = undefined, more = {}) {
    const url = new URL(address);
    const [, authority, path, query] = /^https?:\/\/([^/?]+)([^?]*)\??(.*)$/.exec(address);
    const signed = this.sign(method, { authority, path: path || '/', query }, body, session);
    const headers = { ...more, ...signed };
    if (body.length > 0) headers['content-length'] = body.length;
    const options = { method, host: url.hostname, port: url.port, path: (path || '/') + (query && `?${query}`), headers };
    const answer = await new Promise((resolve, reject) => {
      const request = (url.protocol === 'https:' ? https : http).request(options, (response) => {
        const pieces = [];
        response.on('data', (piece) => pieces.push(piece));
        response.on('error', reject);
        response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, body: Buffer.concat(pieces) }));
      });
      request.setTimeout(DEADLINE_MS, () => request.destroy(new Error('no answer in time')));
      request.on('error', reject);
      request.end(body);
    });
    if (answer.status >= 400) throw new Refused(answer.body.toString());
    return { ...answer, signed };
  }

  /** Asks the platform itself, and returns its answer once it is proved to be its own. */
  async askPlatform(platform, path, question) {
    const body = Buffer.from(JSON.stringify(question));
    const json = { 'content-type': 'application/json' };
    const answer = await this.send('POST', platform.replace(/\/$/, '') + path, body, undefined, json);
    const input = answer.headers['signature-input'] ?? '';
    const [label, params] = [input.slice(0, input.indexOf('=')), input.slice(input.indexOf('=') + 1)];
    const base = [
      `"@status": ${answer.status}`,
      `"content-digest": ${digestOf(answer.body)}`,
      '"@method";req: POST',
      `"@authority";req: ${answer.signed.host}`,
      `"@path";req: ${path}`,
      `"signature";req: ${answer.signed.signature}`,
      `"@signature-params": ${params}`,
    ].join('\n');
    const expected = Buffer.from(`${label}=:${mac(this.secret, base)}:`);
    const given = Buffer.from(answer.headers.signature ?? '');
    const genuine = expected.length === given.length && timingSafeEqual(expected, given);
    if (!params.startsWith(`${ANSWER_COVERS};`) || !genuine) {
      throw new NotGenuine('the answer is not signed by the platform for this request');
    }
    return JSON.parse(answer.body);
  }

  /** Steps 1 and 2. */
  openSession(platform, service) {
    return this.askPlatform(platform, '/lgsp/v1/sessions', { service });
  }

  /** Steps 4 and 5: what the platform says of a request that arrived here. */
  verdict(platform, service, request) {
    return this.askPlatform(platform, '/lgsp/v1/verifications', { service, request });
  }
}

/** A request's head as it arrived, in the form in which the platform wants it. */
export function readHead(text) {
  const [first, ...lines] = text.split('\r\n\r\n')[0].split('\r\n');
  const [method, target] = first.split(' ');
  const [path, query] = target.includes('?') ? [target.slice(0, target.indexOf('?')), target.slice(target.indexOf('?') + 1)] : [target];
  const headers = lines.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim()]);
  const authority = headers.find(([name]) => name.toLowerCase() === 'host')[1];
  return { method, authority, path, query, headers };
}

async function main([command, platform, service, method, url, bodyFile]) {
  const client = new Client(process.env.LGSP_ACCESS_KEY, process.env.LGSP_SECRET_KEY);
  if (command === 'call' && url) {
    const session = await client.openSession(platform, service);
    const answer = await client.send(method, url, bodyFile ? readFileSync(bodyFile) : undefined, session);
    process.stdout.write(answer.body);
  } else if (command === 'verify' && service) {
    const verdict = await client.verdict(platform, service, readHead(readFileSync(0, 'latin1')));
    if (verdict.verdict !== 'accepted') throw new Refused(JSON.stringify(verdict));
    console.log(`accepted ${verdict.source} ${verdict.content_digest ?? 'no-body'}`);
  } else {
    throw new Error('usage: lgsp.mjs call PLATFORM SERVICE METHOD URL [BODY_FILE] | verify PLATFORM SERVICE');
  }
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error.message);
  process.exitCode = error instanceof NotGenuine ? 2 : 1;
});
