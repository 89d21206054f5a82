"""Sessions opened, requests sent in one, and verifications asked for, each as fast as a node answers; run by sessions.sh.

Usage: sessions.py NODE PID COUNT; the credentials of the source are in LGSP_ACCESS_KEY and LGSP_SECRET_KEY, those of the
target in TARGET_ACCESS_KEY and TARGET_SECRET_KEY.

Everything is signed beforehand, so that this program is not what is waited for; LANES requests are under way at a time, each
on a connection of its own. CPU is the node's, user and system time of the process, divided by the answers.
"""

import json
import os
import socket
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "shared/clients/python"))
import lgsp

LANES = 16
WARM_UP = 2000


def wire(client, method, url, body=b"", session=None):
    """A signed request as bytes."""
    parts = urlsplit(url)
    headers = client.sign(method, parts, body, session)
    if body:
        headers["content-length"] = str(len(body))
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"{method} {parts.path} HTTP/1.1\r\n{lines}\r\n".encode() + body


def answer(lane):
    """Reads one answer, which has a Content-Length: its status and body."""
    content = b""
    while b"\r\n\r\n" not in content:
        content += received(lane)
    head, _, body = content.partition(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    while len(body) < int(fields[b"content-length"]):
        body += received(lane)
    return int(head.split(b" ")[1]), body


def received(lane):
    piece = lane.recv(1 << 16)
    if not piece:
        sys.exit("the node closed a connection")
    return piece


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(node, pid, name, requests, is_right):
    """Microseconds of the node's CPU for each request, and requests a second."""
    host, port = node.rsplit(":", 1)
    lanes = [socket.create_connection((host, int(port)), 10) for _ in range(LANES)]
    for lane in lanes:
        lane.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    cpu, started = cpu_seconds(pid), time.monotonic()
    for first in range(0, len(requests), LANES):
        batch = list(zip(lanes, requests[first:first + LANES]))
        for lane, request in batch:
            lane.sendall(request)
        for lane, _ in batch:
            status, body = answer(lane)
            if not is_right(status, body):
                sys.exit(f"{name}: {status} {body.decode(errors='replace')}")
    cpu, seconds = cpu_seconds(pid) - cpu, time.monotonic() - started
    for lane in lanes:
        lane.close()
    return cpu / len(requests) * 1e6, len(requests) / seconds


def main(node, pid, count):
    source = lgsp.Client(os.environ["LGSP_ACCESS_KEY"], os.environ["LGSP_SECRET_KEY"])
    target = lgsp.Client(os.environ["TARGET_ACCESS_KEY"], os.environ["TARGET_SECRET_KEY"])
    platform, count = f"http://{node}", int(count)
    session = source.open_session(platform, "target")
    ask = json.dumps({"service": "target"}).encode()

    def verification(_):
        # What a target received directly, at its own path.
        received = wire(source, "GET", "http://target.example/ho-so/1", session=session).decode()
        question = {"service": "target", "request": lgsp.read_head(received)}
        return wire(target, "POST", platform + "/lgsp/v1/verifications", json.dumps(question).encode())

    print(f"{'WHAT':<24} {'CPU µs':>10} {'per CPU second':>16} {'per second':>12}")
    loads = [
        ("look-up", lambda _: wire(source, "GET", platform + "/bytes/1024"), lambda status, _: status == 200),
        ("look-up in a session", lambda _: wire(source, "GET", platform + "/bytes/1024", session=session),
         lambda status, _: status == 200),
        ("session opened", lambda _: wire(source, "POST", platform + "/lgsp/v1/sessions", ask),
         lambda status, _: status == 201),
        ("verification answered", verification, lambda _, body: body.startswith(b'{"verdict":"accepted"')),
    ]
    for name, make, is_right in loads:
        requests = [make(at) for at in range(WARM_UP + count)]
        # The first of them fill pools and caches.
        measure(node, pid, name, requests[:WARM_UP], is_right)
        micros, per_second = measure(node, pid, name, requests[WARM_UP:], is_right)
        print(f"{name:<24} {micros:>10.1f} {1e6 / micros:>16.0f} {per_second:>12.0f}", flush=True)


main(*sys.argv[1:])
