// An authorization server for cmd/oidc_linux_test.go: node-oidc-provider, which
// shares no code with tokenfetch. It serves three issuers on a loopback port:
//
//   issuer         metadata                                             standard
//   ORIGIN         ORIGIN/.well-known/openid-configuration              OpenID Connect Discovery
//   ORIGIN/openid  ORIGIN/openid/.well-known/openid-configuration       OpenID Connect Discovery
//   ORIGIN/oauth   ORIGIN/.well-known/oauth-authorization-server/oauth  RFC 8414
//
// Usage: node server.mjs DIRECTORY
//
// DIRECTORY is where npm has installed package.json. The first line of standard
// input is JSON, {"clients": [...], "cert": PEM, "key": PEM}: the registered
// clients (RFC 7591) and, for https, a certificate with its key. The server prints
// ORIGIN when it listens, and ends with its standard input. ORIGIN/requests lists
// the token requests since it was last asked: the issuer's path, the client
// authentication method, the decoded body, and the status of the response.
import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';

// oidc-provider prints notices about its defaults, and standard output is for the
// test. It is written for Node.js 22, where Debian has older ones.
console.info = console.error;
URL.parse ??= (url, base) => (URL.canParse(url, base) ? new URL(url, base) : null);
globalThis.crypto ??= (await import('node:crypto')).webcrypto;

const { resolve } = createRequire(`${process.argv[2]}/package.json`);
const { Provider, errors } = await import(resolve('oidc-provider'));

const input = createInterface({ input: process.stdin });
const [line] = await once(input, 'line');
const { clients, cert, key } = JSON.parse(line);
input.on('close', () => process.exit());

const server = cert ? https.createServer({ cert, key }) : http.createServer();
server.listen(0, '127.0.0.1');
await once(server, 'listening');
const origin = `${cert ? 'https' : 'http'}://127.0.0.1:${server.address().port}`;

const requests = [];
const api = 'https://api.acme.example'; // the one resource (RFC 8707)

// issuer returns the request handler of the issuer at a path. methods are the
// client authentication methods that its metadata lists.
function issuer(path, methods) {
  const provider = new Provider(origin + path, {
    clients: clients.map((client) => ({
      grant_types: ['client_credentials'],
      redirect_uris: [],
      response_types: [],
      scope: 'payments:read',
      ...client,
    })),
    clientAuthMethods: methods,
    scopes: ['payments:read', 'payments:write'],
    ttl: { ClientCredentials: (ctx, token) => token.resourceServer?.accessTokenTTL ?? 900 },
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      introspection: { enabled: true, allowedPolicy: (ctx, client, token) => client.clientId === token.clientId },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => undefined,
        getResourceServerInfo(ctx, indicator) {
          if (indicator !== api) throw new errors.InvalidTarget();
          return { scope: 'payments:read', audience: api, accessTokenTTL: 300, accessTokenFormat: 'opaque' };
        },
      },
    },
  });
  provider.use(async (ctx, next) => {
    await next();
    if (ctx.path === '/token') {
      const auth = ctx.get('authorization') ? 'client_secret_basic' : 'client_secret_post';
      requests.push({ issuer: path, auth, body: ctx.oidc.body, status: ctx.status });
    }
  });
  return provider.callback();
}

const both = ['client_secret_basic', 'client_secret_post'];
const issuers = { '/openid': issuer('/openid', both), '/oauth': issuer('/oauth', ['client_secret_post']), '': issuer('', both) };

// The library serves metadata at more places than these.
const openid = '/.well-known/openid-configuration';
const metadata = { [openid]: '', [`/openid${openid}`]: '/openid', '/.well-known/oauth-authorization-server/oauth': '/oauth' };

server.on('request', (request, response) => {
  if (request.url === '/requests') {
    response.end(JSON.stringify(requests.splice(0)));
    return;
  }
  if (request.url.includes('/.well-known/')) {
    if (!(request.url in metadata)) {
      response.writeHead(404).end();
      return;
    }
    request.url = metadata[request.url] + openid;
  }
  const path = Object.keys(issuers).find((prefix) => request.url.startsWith(`${prefix}/`));
  request.originalUrl = request.url; // tells the library where it is mounted
  request.url = request.url.slice(path.length);
  issuers[path](request, response);
});
console.log(origin);
