"""What callers cost that send garbage, or next to nothing; run by abuse.sh.

Usage: abuse.py NODE PID; the credentials of the source are in LGSP_ACCESS_KEY and LGSP_SECRET_KEY. COUNT requests of each
kind are sent one after the other on one connection; CPU is the node's, user and system time of the process, per answer.
"""

import os
import socket
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "shared/clients/python"))
import lgsp

COUNT = int(os.environ["COUNT"])
DRIPPING = int(os.environ["DRIPPING"])
BODY_BYTES = 60_000


def wire(client, method, url, body=b"", more=(), spoil=False):
    """A signed request as bytes; its signature is another's when it is to be spoilt."""
    parts = urlsplit(url)
    headers = client.sign(method, parts, body)
    if spoil:
        headers["signature"] = "sig1=:" + "A" * 43 + "=:"
    if body:
        headers["content-length"] = str(len(body))
    lines = "".join(f"{name}: {value}\r\n" for name, value in [*headers.items(), *more])
    target = parts.path + ("?" + parts.query if parts.query else "")
    return f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode() + body


def connect(node):
    host, port = node.rsplit(":", 1)
    lane = socket.create_connection((host, int(port)), 30)
    lane.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return lane


def answer(lane):
    """Reads one answer, which has a Content-Length: its status."""
    content = b""
    while b"\r\n\r\n" not in content:
        content += received(lane)
    head, _, body = content.partition(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    left = int(fields[b"content-length"]) - len(body)
    while left > 0:
        left -= len(received(lane))
    return int(head.split(b" ")[1])


def received(lane):
    piece = lane.recv(1 << 16)
    if not piece:
        sys.exit("the node closed a connection")
    return piece


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid):
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


def cost(node, pid, name, make, wanted):
    requests = [make(at) for at in range(COUNT)]
    lane, before = connect(node), cpu_seconds(pid)
    for request in requests:
        lane.sendall(request)
        status = answer(lane)
        if status != wanted:
            sys.exit(f"{name}: {status} where {wanted} was expected")
    micros = (cpu_seconds(pid) - before) / COUNT * 1e6
    lane.close()
    print(f"{name:<44} {micros:>10.1f} {len(requests[0]):>10}", flush=True)


def refusals(node, pid, source):
    stranger = lgsp.Client("STRANGER00000000", "0" * 64)
    url = f"http://{node}/bytes/16"
    many = "&".join(f"{'common-beginning' * 2}-{at}={at}" for at in range(127))
    escaped = [(f"x-{'long-name' * 20}-{at}", "%41%42" * 40) for at in range(60)]
    print(f"{'WHAT':<44} {'CPU µs':>10} {'bytes':>10}")
    cost(node, pid, "served", lambda _: wire(source, "GET", url), 200)
    cost(node, pid, "not signed", lambda _: b"GET /bytes/16 HTTP/1.1\r\nhost: a\r\n\r\n", 401)
    cost(node, pid, "unknown key", lambda _: wire(stranger, "GET", url), 401)
    cost(node, pid, "wrong signature", lambda _: wire(source, "GET", url, spoil=True), 401)
    cost(node, pid, "wrong signature, 127 parameters", lambda _: wire(source, "GET", f"{url}?{many}", spoil=True), 401)
    cost(node, pid, "wrong signature, 60 long headers", lambda _: wire(source, "GET", url, more=escaped, spoil=True), 401)
    cost(node, pid, "no route", lambda _: wire(source, "GET", f"http://{node}/%C3%A1/none"), 404)


def dripping_body(node, pid, source):
    before = resident_bytes(pid)
    request = wire(source, "POST", f"http://{node}/sink", b"x" * BODY_BYTES)
    head, body = request[:-BODY_BYTES], request[-BODY_BYTES:]
    lane = connect(node)
    lane.sendall(head)
    for at in range(BODY_BYTES - 1):
        lane.sendall(body[at:at + 1])
    time.sleep(1)
    kept = resident_bytes(pid) - before
    print(f"a body of {BODY_BYTES} bytes, one at a time: {kept / 1024:.0f} KiB more, {kept / BODY_BYTES:.1f} bytes for each")
    lane.close()


def dripping_uploads(node, pid, source):
    before, lanes = resident_bytes(pid), []
    for _ in range(DRIPPING):
        request = wire(source, "POST", f"http://{node}/sink", b"x" * 200_000)
        lane = connect(node)
        lane.sendall(request[:-199_000])
        lanes.append(lane)
    for _ in range(10):
        for lane in lanes:
            try:
                lane.sendall(b"x")
            except OSError:
                pass
        time.sleep(0.2)
    kept = resident_bytes(pid) - before
    print(f"{DRIPPING} uploads that drip: {kept / 1024 / DRIPPING:.1f} KiB each", flush=True)
    for lane in lanes:
        lane.close()


def main(node, pid):
    source = lgsp.Client(os.environ["LGSP_ACCESS_KEY"], os.environ["LGSP_SECRET_KEY"])
    refusals(node, pid, source)
    dripping_body(node, pid, source)
    dripping_uploads(node, pid, source)


main(*sys.argv[1:])
