// A real OpenID Connect provider for tests: its own login form, signing keys drawn at the start, nothing kept.
//
//   node provider.mjs CLIENT_ID [CLIENT_SECRET]
//
// With PROVIDER_CERT and PROVIDER_KEY, files in PEM, it speaks HTTPS. Prints `issuer http://127.0.0.1:PORT` once it listens. Whoever logs in as NAME has the subject NAME, and the claim
// `lgsp_roles` of NAME+ROLE+ROLE is the list of roles. POST /rotate draws new signing keys.
import {generateKeyPairSync, randomBytes} from 'node:crypto';
import {readFileSync} from 'node:fs';
import {createServer} from 'node:http';
import {createServer as createTlsServer} from 'node:https';
import Provider from 'oidc-provider';

const [clientId, clientSecret] = process.argv.slice(2);

function keys() {
  const kid = randomBytes(6).toString('hex');
  const rsa = generateKeyPairSync('rsa', {modulusLength: 2048}).privateKey.export({format: 'jwk'});
  return [{...rsa, kid, use: 'sig', alg: 'RS256'}];
}

const {PROVIDER_CERT: cert, PROVIDER_KEY: key} = process.env;
const server = cert ? createTlsServer({cert: readFileSync(cert), key: readFileSync(key)}) : createServer();
await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
const issuer = `${cert ? 'https' : 'http'}://127.0.0.1:${server.address().port}`;

const client = clientSecret
  ? {client_id: clientId, client_secret: clientSecret}
  : {client_id: clientId, token_endpoint_auth_method: 'none'};

function start() {
  const provider = new Provider(issuer, {
    // A native application: its callback is on loopback, on whatever port is free (RFC 8252).
    clients: [{...client, application_type: 'native', redirect_uris: ['http://127.0.0.1/callback']}],
    claims: {openid: ['sub', 'lgsp_roles']},
    conformIdTokenClaims: false,
    cookies: {keys: [randomBytes(16).toString('hex')]},
    findAccount: (_, sub) => ({
      accountId: sub,
      claims: () => ({sub, lgsp_roles: sub.split('+').slice(1)}),
    }),
    jwks: {keys: keys()},
    pkce: {required: () => true},
  });
  return provider.callback();
}

let handler = start();
server.on('request', (request, response) => {
  if (request.method === 'POST' && request.url === '/rotate') {
    handler = start();
    response.writeHead(204).end();
  } else {
    handler(request, response);
  }
});
console.log(`issuer ${issuer}`);
