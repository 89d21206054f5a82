#!/usr/bin/env python3
"""A client of the LGSP gateway: opens a session, calls a service in it, verifies a call that reached a target directly.

Standard library only. The access key and the secret come from LGSP_ACCESS_KEY and LGSP_SECRET_KEY.

    lgsp.py call PLATFORM SERVICE METHOD URL [BODY_FILE]   source: steps 1 to 3; URL is the platform's or the target's own
    lgsp.py verify PLATFORM SERVICE < REQUEST_HEAD         target: steps 4 to 6; prints who is calling and the digest of its body

Exit status: 0 done, 1 refused (why and what to do is on standard error), 2 the answer is not the platform's.
"""

import base64
import hashlib
import hmac
import http.client
import json
import os
import secrets
import sys
import time
from urllib.parse import urlsplit

ANSWER_COVERS = '("@status" "content-digest" "@method";req "@authority";req "@path";req "signature";req)'
DEADLINE_SECS = 30


class Refused(Exception):
    """A problem document (RFC 9457): `code` is stable, `title` and `next` are for people."""


class NotGenuine(Exception):
    """The answer is not signed by the platform for this very request: trust nothing in it."""


def mac(secret, text):
    return base64.b64encode(hmac.new(secret, text.encode(), hashlib.sha256).digest()).decode()


def digest_of(body):
    return "sha-256=:" + base64.b64encode(hashlib.sha256(body).digest()).decode() + ":"


class Client:
    def __init__(self, access_key, secret):
        self.access_key, self.secret = access_key, secret.encode()

    def sign(self, method, url, body=b"", session=None):
        """The headers of a signed request (RFC 9421)."""
        nonce = secrets.token_hex(16)
        headers = {"host": url.netloc}
        if body:
            headers["content-digest"] = digest_of(body)
        if session:
            key = bytes.fromhex(session["session_key"])
            headers["lgsp-session"] = session["ticket"]
            headers["lgsp-session-proof"] = hmac.new(
                key, f"lgsp-session-proof:{nonce}".encode(), hashlib.sha256).hexdigest()
        lines = {"@method": method, "@authority": url.netloc, "@path": url.path or "/", "@query": "?" + url.query}
        lines.update((name, value) for name, value in headers.items() if name != "host")
        covered = " ".join(f'"{name}"' for name in lines)
        params = (f'({covered});created={int(time.time())};keyid="{self.access_key}"'
                  f';alg="hmac-sha256";nonce="{nonce}"')
        base = "".join(f'"{name}": {value}\n' for name, value in lines.items()) + f'"@signature-params": {params}'
        headers["signature-input"] = "sig1=" + params
        headers["signature"] = f"sig1=:{mac(self.secret, base)}:"
        return headers

    def send(self, method, url, body=b"", session=None, headers=None):
        url = urlsplit(url)
        signed = {**(headers or {}), **self.sign(method, url, body, session)}
        secure = url.scheme == "https"
        connect = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        connection = connect(url.hostname, url.port, timeout=DEADLINE_SECS)
        target = (url.path or "/") + ("?" + url.query if url.query else "")
        connection.request(method, target, body or None, signed)
        response = connection.getresponse()
        content = response.read()
        connection.close()
        if response.status >= 400:
            raise Refused(content.decode(errors="replace"))
        return response, content, signed

    def ask_platform(self, platform, path, question):
        """Asks the platform itself, and returns its answer once it is proved to be its own."""
        body = json.dumps(question).encode()
        url = platform.rstrip("/") + path
        response, content, signed = self.send("POST", url, body, headers={"content-type": "application/json"})
        label, _, params = response.headers.get("signature-input", "").partition("=")
        base = "\n".join([
            f'"@status": {response.status}',
            f'"content-digest": {digest_of(content)}',
            '"@method";req: POST',
            f'"@authority";req: {signed["host"]}',
            f'"@path";req: {urlsplit(url).path}',
            f'"signature";req: {signed["signature"]}',
            f'"@signature-params": {params}'])
        expected = f"{label}=:{mac(self.secret, base)}:"
        genuine = hmac.compare_digest(expected, response.headers.get("signature", ""))
        if not params.startswith(ANSWER_COVERS + ";") or not genuine:
            raise NotGenuine("the answer is not signed by the platform for this request")
        return json.loads(content)

    def open_session(self, platform, service):
        """Steps 1 and 2."""
        return self.ask_platform(platform, "/lgsp/v1/sessions", {"service": service})

    def verdict(self, platform, service, request):
        """Steps 4 and 5: what the platform says of a request that arrived here."""
        return self.ask_platform(platform, "/lgsp/v1/verifications", {"service": service, "request": request})


def read_head(text):
    """A request's head as it arrived, in the form in which the platform wants it."""
    first, *lines = text.split("\r\n\r\n")[0].split("\r\n")
    method, target, _ = first.split(" ")
    path, mark, query = target.partition("?")
    headers = [[name, value.strip()] for name, _, value in (line.partition(":") for line in lines)]
    host = next(value for name, value in headers if name.lower() == "host")
    request = {"method": method, "authority": host, "path": path, "headers": headers}
    return {**request, "query": query} if mark else request


def main(arguments):
    client = Client(os.environ["LGSP_ACCESS_KEY"], os.environ["LGSP_SECRET_KEY"])
    match arguments:
        case ["call", platform, service, method, url, *body_file]:
            body = open(body_file[0], "rb").read() if body_file else b""
            session = client.open_session(platform, service)
            _, content, _ = client.send(method, url, body, session)
            sys.stdout.buffer.write(content)
        case ["verify", platform, service]:
            verdict = client.verdict(platform, service, read_head(sys.stdin.read()))
            if verdict["verdict"] != "accepted":
                raise Refused(json.dumps(verdict, ensure_ascii=False))
            print("accepted", verdict["source"], verdict.get("content_digest", "no-body"))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    sys.stdin.reconfigure(newline="")
    try:
        main(sys.argv[1:])
    except Refused as problem:
        print(problem, file=sys.stderr)
        sys.exit(1)
    except NotGenuine as problem:
        print(problem, file=sys.stderr)
        sys.exit(2)
