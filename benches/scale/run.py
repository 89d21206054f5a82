#!/usr/bin/env python3
"""What one change costs where the configuration is large: a real etcd, a control plane and three nodes on one machine.

    SERVICES=10000 PERMISSIONS=100000 REPEATS=5 PROFILE=bench|release|dev benches/scale/run.py

Each kind of change is made REPEATS times. Told are, as median and worst: from sending it to its answer; from the head's
being in etcd to every node's serving it; from sending it to every node's serving it; and the processor time that it took
the control plane and one node, their copies on disk included. Nodes are asked every few milliseconds through their admin
listener. Fails when a change is not everywhere within a second of being sent (LIMIT_SECS; 0 for no limit).
"""

import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
SERVICES = int(os.environ.get("SERVICES", "10000"))
PERMISSIONS = int(os.environ.get("PERMISSIONS", "100000"))
REPEATS = int(os.environ.get("REPEATS", "5"))
PROFILE = os.environ.get("PROFILE", "bench")
LIMIT_SECS = float(os.environ.get("LIMIT_SECS", "1"))
NODES = 3
SYSTEMS = max(1, SERVICES // 10)
CREDENTIALS = 20
BATCH = 20_000
# With BUILD=0, which builds nothing; else cargo says where it has put them.
BUILT = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / {"dev": "debug", "bench": "release"}.get(PROFILE, PROFILE)
HEAD_KEY = "/lgsp/v1/config/head"
TICK_SECS = 1 / os.sysconf("SC_CLK_TCK")

children = []


def start(home, name, *command):
    """Starts a process that ends with this one; what it says is in its log."""
    log = open(home / f"{name}.log", "wb")
    child = subprocess.Popen(command, stdout=log, stderr=log)
    children.append(child)
    return child


def wait_until(what, secs, asked):
    end = time.monotonic() + secs
    while time.monotonic() < end:
        try:
            found = asked()
        except (OSError, http.client.HTTPException):
            found = None
        if found:
            return found
        if any(child.poll() is not None for child in children):
            sys.exit(f"a process has ended while waiting: {what}; look into its log")
        time.sleep(0.05)
    sys.exit(f"not within {secs} s: {what}")


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def document(kind, name, **spec):
    return {"kind": kind, "name": name, "spec": spec}


def permission(at):
    return document(
        "Permission", f"p{at}", source=f"s{(at // SERVICES + at) % SYSTEMS}", service=f"v{at % SERVICES}",
        methods=["GET", "POST"], paths=["/"],
    )


def route(at, path):
    return document("Route", f"r{at}", service=f"v{at}", path={"prefix": path})


def whole():
    yield document("Agency", "a", code="H61", title="A")
    for at in range(SYSTEMS):
        yield document("System", f"s{at}", agency="a", title=f"System {at}")
    for at in range(SERVICES):
        yield document(
            "Service", f"v{at}", system=f"s{at % SYSTEMS}", title=f"Service {at}",
            endpoints=[{"address": f"10.{at // 65536}.{at // 256 % 256}.{at % 256}:9000"}],
        )
        yield route(at, f"/v{at}")
    for at in range(PERMISSIONS):
        yield permission(at)


class Api:
    """The control plane's API."""

    def __init__(self, address, token):
        self.connection = http.client.HTTPConnection(address, timeout=600)
        self.headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}

    def post(self, path, body):
        # One that was idle may be closed; a new one costs next to nothing.
        self.connection.close()
        self.connection.request("POST", path, json.dumps(body), self.headers)
        response = self.connection.getresponse()
        answer = json.loads(response.read())
        if response.status >= 300:
            sys.exit(f"POST {path}: {response.status} {answer}")
        return answer

    def change(self, puts=(), deletes=()):
        return self.post("/v1/changes", {"puts": list(puts), "deletes": list(deletes)})["revision"]


class LocalConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path):
        super().__init__("node", timeout=30)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


class Node:
    """A node, asked through the Unix socket of its admin listener."""

    def __init__(self, child, socket):
        self.child, self.socket, self.connection = child, socket, None

    def serves(self):
        if self.connection is None:
            self.connection = LocalConnection(self.socket)
        try:
            self.connection.request("GET", "/v1/config")
            return json.loads(self.connection.getresponse().read())["revision"] or 0
        except (OSError, http.client.HTTPException):
            self.connection = None
            return 0


class Heads:
    """When each revision's head arrived in etcd, as a watcher sees it."""

    def __init__(self, endpoint):
        self.at = {}
        command = ["etcdctl", "--endpoints", endpoint, "watch", HEAD_KEY]
        self.child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        children.append(self.child)
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.child.stdout:
            if line.startswith("{"):
                self.at.setdefault(json.loads(line)["revision"], time.monotonic())


def cpu_secs(child):
    fields = pathlib.Path(f"/proc/{child.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * TICK_SECS


def settled(processes):
    """Processor time once it has stood still for a moment: what was caused, copies in the background included."""
    last, quiet_since, end = None, time.monotonic(), time.monotonic() + 10
    while time.monotonic() < end:
        now = [cpu_secs(child) for child in processes]
        if last is None or sum(now) - sum(last) > 0.02:
            last, quiet_since = now, time.monotonic()
        elif time.monotonic() - quiet_since > 1:
            break
        time.sleep(0.1)
    return [cpu_secs(child) for child in processes]


def measure(make, control, nodes, heads):
    processes = [control, *(node.child for node in nodes)]
    before = settled(processes)
    sent = time.monotonic()
    revision = make()
    answered = time.monotonic()
    missing = set(nodes)
    while missing:
        missing = {node for node in missing if node.serves() < revision}
        if time.monotonic() - sent > 60:
            sys.exit(f"revision {revision} is not everywhere after 60 s")
        time.sleep(0.002)
    everywhere = time.monotonic()
    wait_until("the watcher sees the head", 10, lambda: revision in heads.at)
    after = settled(processes)
    spent = [now - then for now, then in zip(after, before)]
    return {
        "answer": answered - sent,
        "published to everywhere": max(0.0, everywhere - heads.at[revision]),
        "sent to everywhere": everywhere - sent,
        "control plane CPU": spent[0],
        "node CPU": max(spent[1:]),
    }


def run(home):
    client, peer, control_port = free_ports(3)
    endpoint = f"http://127.0.0.1:{client}"
    start(
        home, "etcd", "etcd", "--name", "bench", "--data-dir", str(home / "etcd"), "--listen-client-urls", endpoint,
        "--advertise-client-urls", endpoint, "--listen-peer-urls", f"http://127.0.0.1:{peer}",
        "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}",
        "--initial-cluster", f"bench=http://127.0.0.1:{peer}", "--log-level", "warn",
    )
    reachable = lambda: socket.create_connection(("127.0.0.1", client), 1).close() or True
    wait_until("etcd listens", 30, reachable)
    subprocess.run([BUILT / "lgsp-controlplane", "init-key", home / "seal.key"], check=True, stdout=subprocess.DEVNULL)
    etcd = f"{{etcd: {{endpoints: ['{endpoint}']}}}}"
    (home / "controlplane.yaml").write_text(
        f"listen: 127.0.0.1:{control_port}\ndatabase: {home}/controlplane.db\nkey_file: {home}/seal.key\npublish: {etcd}\n"
        "systems_need_approval: false\n"
    )
    control = start(
        home, "controlplane", str(BUILT / "lgsp-controlplane"), "--config", str(home / "controlplane.yaml"),
        "--token-file", str(home / "token"),
    )
    token = wait_until("the control plane's token", 30, lambda: (home / "token").exists() and (home / "token").read_text().strip())
    address = f"127.0.0.1:{control_port}"
    wait_until("the control plane listens", 30, lambda: socket.create_connection(("127.0.0.1", control_port), 1).close() or True)
    api = Api(address, token)
    heads = Heads(endpoint)

    documents = list(whole())
    began = time.monotonic()
    for at in range(0, len(documents), BATCH):
        revision = api.change(documents[at:at + BATCH])
    for at in range(CREDENTIALS):
        api.post("/v1/credentials", {"system": f"s{at}", "name": f"key{at}"})
    revision = api.change([document("Agency", "b", code="H62", title="B")])
    print(f"{len(documents) + CREDENTIALS + 1} documents stored in {time.monotonic() - began:.1f} s")

    nodes = []
    began = time.monotonic()
    for at in range(NODES):
        (home / f"node-{at}").mkdir()
        (home / f"node-{at}.yaml").write_text(
            f"node: node-{at}\nlisteners: [{{address: '127.0.0.1:0'}}]\nadmin: {{address: '127.0.0.1:0'}}\n"
            f"source: {etcd}\nkey_file: {home}/seal.key\nstate_dir: {home}/node-{at}\n"
            f"records: {{to: {{file: {home}/node-{at}/records.jsonl}}}}\ntargets: {{allow: [loopback]}}\n"
        )
        told = home / f"node-{at}.json"
        child = start(
            home, f"node-{at}", str(BUILT / "lgsp-dataplane"), "--config", str(home / f"node-{at}.yaml"),
            "--address-file", str(told),
        )
        admin = wait_until(f"node {at} listens", 30, lambda: told.exists() and json.loads(told.read_text() or "{}").get("admin"))
        nodes.append(Node(child, home / f"node-{at}" / "admin.sock"))
    wait_until("every node serves the whole", 300, lambda: all(node.serves() >= revision for node in nodes))
    print(f"the whole served on {NODES} nodes {time.monotonic() - began:.1f} s after the first was started\n")

    changes = {
        "one permission added": lambda at: api.change([permission(PERMISSIONS + at)]),
        "one permission removed": lambda at: api.change(deletes=[f"Permission/p{at * 7}"]),
        "one key disabled": lambda at: api.post(f"/v1/credentials/key{at}/disable", {})["revision"],
        "one route changed": lambda at: api.change([route(at * 3, f"/changed{at}")]),
    }
    columns = ["answer", "published to everywhere", "sent to everywhere", "control plane CPU", "node CPU"]
    print(f"{'milliseconds: median (worst)':30}" + "".join(f"{column:>26}" for column in columns))
    worst = 0
    for name, make in changes.items():
        found = [measure(lambda: make(at), control, nodes, heads) for at in range(min(REPEATS, CREDENTIALS))]
        cell = lambda column: [1000 * one[column] for one in found]
        cells = [f"{statistics.median(cell(column)):.0f} ({max(cell(column)):.0f})" for column in columns]
        print(f"{name:30}" + "".join(f"{text:>26}" for text in cells), flush=True)
        worst = max(worst, *(one["sent to everywhere"] for one in found))
    if 0 < LIMIT_SECS < worst:
        sys.exit(f"the slowest change took {worst:.2f} s, more than {LIMIT_SECS} s")


def main():
    # The packages of the comparison with other proxies, so that neither builds again what the other has built.
    packages = ["lgsp-dataplane", "lgsp-controlplane", "lgsp-loadtest", "lgsp-benches"]
    build = [ROOT / "config/programs.sh", *(part for name in packages for part in ("-p", name))]
    if os.environ.get("BUILD", "1") != "0":
        global BUILT
        told = subprocess.run(build, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, "PROFILE": PROFILE})
        BUILT = pathlib.Path(told.stdout.strip())
    os.environ["ETCDCTL_API"] = "3"
    (ROOT / ".local").mkdir(exist_ok=True)
    home = pathlib.Path(tempfile.mkdtemp(prefix="scale.", dir=ROOT / ".local"))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
    try:
        run(home)
    finally:
        for child in reversed(children):
            child.terminate()
        for child in reversed(children):
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
        if os.environ.get("KEEP") != "1":
            shutil.rmtree(home, ignore_errors=True)


main()
