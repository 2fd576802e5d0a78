"""`portolan bench broker`: the broker beside its peers and beside the least that could stand in its place.

Two network namespaces, joined by veth as the kernel makes it: clients in one, pinned to one core, brokers in the other,
pinned to the other. The publisher's intended times are fixed beforehand (open loop), latency counts from them. One hop is
client, broker, client; two hops are two brokers of the same kind in a row. Peers take turns, so that every ratio is of
neighbours in time, and figures are medians over the runs, with the least and the most of them.

relay      one blocking recvfrom and sendto: the floor
nats       nats-server, core NATS: at most once; two hops: a cluster's route
mosquitto  MQTT 3.1.1, QoS 0: at most once; two hops: a bridge
portolan   portolan-broker, plain: repaired, in order, answered; two hops: a mesh

The namespaces live as long as a child of ours holds them, and it dies with us: nothing is left behind, however we end.
"""

import contextlib
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import build
import children
from options import Cannot, Usage
from table import span

PROGRAMS = ["portolan-peers", "portolan-broker"]
PACKAGES = {"nats": "nats-server", "mosquitto": "mosquitto"}
RUNS = 3
CLIENTS, BROKERS = "10.87.1.1", "10.87.1.2"
CLIENT_CORE, BROKER_CORE = 0, 1
# bytes: messages a second at which latency is measured. Each is well below what every peer carries.
RATES = {64: (1_000, 10_000), 256: (1_000, 10_000), 1_024: (1_000, 10_000), 16_384: (200, 1_000), 65_536: (50, 200), 1_048_576: (5,)}
SECONDS, WARM_UP = 4, 1
SEARCH_SECONDS = 1.5
SEARCH_FROM = {64: 20_000, 256: 20_000, 1_024: 20_000, 16_384: 1_000, 65_536: 200, 1_048_576: 10}
STEPS = 4  # of halving, after doubling has found too much
GOAL_P50, GOAL_P99 = 1.15, 1.3  # times the relay's, at 256 B


def start(words, log, **more):
    with open(log, "ab") as out:
        return subprocess.Popen([str(w) for w in words], stdin=subprocess.DEVNULL, stdout=out, stderr=out, process_group=0,
                                preexec_fn=children._before_exec, **more)


class Place:
    """Two namespaces and what runs in them."""

    def __init__(self, folder):
        self.folder = folder
        self.stack = contextlib.ExitStack()

    def __enter__(self):
        if os.geteuid() != 0:
            raise Cannot("bench broker makes network namespaces, which needs root: run it with sudo")
        try:
            self.holders = [self._holder(i) for i in range(2)]
            a, b = (h.pid for h in self.holders)
            self._ip(a, "link", "add", "bench0", "type", "veth", "peer", "name", "bench0", "netns", str(b))
            for pid, address in ((a, CLIENTS), (b, BROKERS)):
                self._ip(pid, "addr", "add", f"{address}/24", "dev", "bench0")
                self._ip(pid, "link", "set", "bench0", "up")
                self._ip(pid, "link", "set", "lo", "up")
        except BaseException:
            self.stack.close()
            raise
        return self

    def __exit__(self, *_):
        self.stack.close()

    def _holder(self, index):
        child = start(["unshare", "-n", "sleep", "infinity"], self.folder / "namespaces.log")
        self.stack.callback(children.end, child)
        until = time.monotonic() + 5
        mine = os.readlink("/proc/self/ns/net")
        while os.readlink(f"/proc/{child.pid}/ns/net") == mine:
            if child.poll() is not None or time.monotonic() > until:
                raise Cannot(f"no network namespace: {(self.folder / 'namespaces.log').read_text().strip() or 'unshare -n failed'}")
            time.sleep(0.01)
        return child

    @staticmethod
    def _ip(pid, *words):
        status = children.run(["nsenter", f"--net=/proc/{pid}/ns/net", "ip", *words], stderr=sys.stderr)
        if status:
            raise Cannot(f"ip {' '.join(words)} failed (above): bench broker needs iproute2, veth and root")

    def within(self, side, core, words):
        return ["nsenter", f"--net=/proc/{self.holders[side].pid}/ns/net", "taskset", "-c", str(core), *words]

    def said(self, name):
        """The last line of each log whose name begins like this."""
        lines = [log.read_text().strip().splitlines()[-1:] for log in sorted(self.folder.glob(f"{name}*.log"))]
        return "".join(f"{line[0]}; " for line in lines if line)

    def serve(self, words, name):
        return start(self.within(1, BROKER_CORE, words), self.folder / f"{name}.log")


def await_port(place, port, child, log):
    """Until something listens there (TCP) in the brokers' namespace."""
    wanted = f":{port:04X} 00000000:0000 0A"
    until = time.monotonic() + 10
    while wanted not in pathlib.Path(f"/proc/{place.holders[1].pid}/net/tcp").read_text():
        if child.poll() is not None or time.monotonic() > until:
            raise Cannot(f"the peer did not start: {log.read_text()[-400:]}")
        time.sleep(0.02)


def await_line(log, text, child):
    until = time.monotonic() + 10
    while text not in log.read_text():
        if child.poll() is not None or time.monotonic() > until:
            raise Cannot(f"the broker did not start: {log.read_text()[-400:]}")
        time.sleep(0.02)


class Peer:
    """One kind of broker: serve() starts what stands between the clients and says how to reach it."""

    name = kind = ""

    def serve(self, place, hops):
        """(processes, arguments of portolan-peers)"""
        raise NotImplementedError


class Relay(Peer):
    name = kind = "relay"

    def serve(self, place, hops):
        program = build.program("portolan-peers")
        at = [f"{BROKERS}:{7001 + i}" for i in range(hops)]
        to = [*at[1:], f"{CLIENTS}:7100"]
        processes = [place.serve([program, "--kind", "serve-relay", "--listen", here, "--to", there], f"relay{i}")
                     for i, (here, there) in enumerate(zip(at, to))]
        time.sleep(0.2)
        return processes, ["--publish", at[0], "--listen", f"{CLIENTS}:7100"]


class Nats(Peer):
    name = kind = "nats"

    def serve(self, place, hops):
        processes = []
        for i in range(hops):
            words = ["nats-server", "-a", BROKERS, "-p", 4222 + i]
            if hops > 1:
                words += ["--cluster_name", "bench", "--cluster", f"nats://{BROKERS}:{6222 + i}",
                          "--routes", ",".join(f"nats://{BROKERS}:{6222 + k}" for k in range(hops) if k != i)]
            processes.append(place.serve([str(w) for w in words], f"nats{i}"))
            await_port(place, 4222 + i, processes[-1], place.folder / f"nats{i}.log")
        if hops > 1:
            time.sleep(2)  # the route and its interest
        return processes, ["--publish", f"{BROKERS}:4222", "--subscribe", f"{BROKERS}:{4222 + hops - 1}"]


class Mosquitto(Peer):
    name, kind = "mosquitto", "mqtt"

    def serve(self, place, hops):
        processes = []
        for i in reversed(range(hops)):
            text = f"listener {1883 + i} {BROKERS}\nallow_anonymous true\nset_tcp_nodelay true\nmessage_size_limit 0\nuser root\n"
            if i + 1 < hops:
                text += f"connection next\naddress {BROKERS}:{1883 + i + 1}\ntopic bench out 0\nbridge_protocol_version mqttv311\n"
            config = place.folder / f"mosquitto{i}.conf"
            config.write_text(text)
            processes.append(place.serve(["mosquitto", "-c", str(config)], f"mosquitto{i}"))
            await_port(place, 1883 + i, processes[-1], place.folder / f"mosquitto{i}.log")
        if hops > 1:
            time.sleep(1)
        return processes, ["--publish", f"{BROKERS}:1883", "--subscribe", f"{BROKERS}:{1883 + hops - 1}"]


class Portolan(Peer):
    name = kind = "portolan"

    def serve(self, place, hops):
        at = {i + 1: f"{BROKERS}:{7400 + i}" for i in range(hops)}
        processes = []
        for number, address in at.items():
            config = place.folder / f"broker{number}.yaml"
            peers = [f"  - {{id: {n}, address: '{a}'}}" for n, a in at.items() if n != number] or ["  []"]
            config.write_text("\n".join([f"id: {number}", f"listen: ['{address}']", "security: plain", "limits: long",
                                         "topics: [{filter: bench, retain: 1 s, retain-bytes: 64 MiB}]", "peers:", *peers]) + "\n")
            processes.append(place.serve([build.program("portolan-broker"), "--config", config], f"portolan{number}"))
        for number, process in zip(at, processes):  # each listens, and has met the other
            await_line(place.folder / f"portolan{number}.log", "session up" if hops > 1 else "listening", process)
        return processes, ["--publish", at[1], "--publish-id", "1", "--subscribe", at[hops], "--subscribe-id", str(hops)]


PEERS = (Relay(), Nats(), Mosquitto(), Portolan())


def cpu_ns(processes):
    total = 0
    for process in processes:
        for task in pathlib.Path(f"/proc/{process.pid}/task").glob("*/schedstat"):
            with contextlib.suppress(OSError):
                total += int(task.read_text().split()[0])
    return total


def once(place, peer, hops, size, rate, seconds, raw=None):
    """One run of one peer, its brokers started for it: portolan-peers' figures and the brokers' CPU time; None where the
    broker could not bear the load and ended the connection."""
    processes, ends = peer.serve(place, hops)
    try:
        before = cpu_ns(processes)
        words = [build.program("portolan-peers"), "--kind", peer.kind, *ends, "--bytes", size, "--rate", rate, "--seconds", seconds,
                 "--warm-up", WARM_UP, *(["--raw", raw] if raw else [])]
        with open(place.folder / "clients.log", "ab") as errors:
            status, text = children.capture(place.within(0, CLIENT_CORE, [str(w) for w in words]), stderr=errors, limit_s=seconds + 60)
        if status == 1:
            return None  # the broker ended a connection under this load
        if status:
            raise Cannot(f"{peer.name}: the bench's client ended with {status}: {place.said('clients')}{place.said(peer.name)}")
        figures = json.loads(text)
        figures["broker_cpu_ns"] = cpu_ns(processes) - before
        figures["messages"] = round(rate * (seconds + WARM_UP))
        return figures
    finally:
        for process in processes:
            children.end(process)


def whole(figures, seconds):
    """Every message came, none was refused, and in the time that they were offered in."""
    return figures is not None and figures["received"] == figures["offered"] and not figures["refused"] and figures["span_ns"] < (seconds * 1.05 + 0.05) * 1e9


def most(place, peer, hops, size):
    """The highest rate found at which nothing is lost or refused, and its figures."""
    good, best, rate = 0, None, SEARCH_FROM[size]
    bad = None
    for _ in range(10):
        figures = once(place, peer, hops, size, rate, SEARCH_SECONDS)
        if not whole(figures, SEARCH_SECONDS):
            bad = rate
            break
        good, best, rate = rate, figures, rate * 2
    if bad is None:
        return good, best
    for _ in range(STEPS):
        rate = (good + bad) // 2
        if rate <= good:
            break
        figures = once(place, peer, hops, size, rate, SEARCH_SECONDS)
        if whole(figures, SEARCH_SECONDS):
            good, best = rate, figures
        else:
            bad = rate
    return good, best


def spread(values):
    return {"least": min(values), "median": statistics.median(values), "most": max(values)}


def measure(runs, out, sizes=None, hops=(1, 2), peers=PEERS, progress=lambda text: None):
    for peer in peers:
        if peer.name in PACKAGES and shutil.which(PACKAGES[peer.name]) is None:
            raise Cannot(f"no {PACKAGES[peer.name]}: install the Debian package of that name (scripts/setup peers)")
    result = {"latency": [], "throughput": []}
    with tempfile.TemporaryDirectory() as temporary, Place(pathlib.Path(temporary)) as place:
        for hop in hops:
            for size in sizes or RATES:
                for rate in RATES[size]:
                    found = {peer.name: [] for peer in peers}
                    for run in range(runs):
                        for peer in peers:
                            progress(f"{hop} hop{'s' * (hop > 1)}, {size} B, {rate}/s: {peer.name}, run {run + 1} of {runs}")
                            raw = out / f"{peer.name}-{hop}-{size}-{rate}-{run + 1}.csv"
                            figures = once(place, peer, hop, size, rate, SECONDS, raw)
                            if figures is None:
                                raise Cannot(f"{peer.name} does not bear {rate} messages of {size} B a second here: a busy machine?")
                            found[peer.name].append(figures)
                    result["latency"].append(row(hop, size, rate, found))
                progress(f"{hop} hop{'s' * (hop > 1)}, {size} B: how much goes through")
                for peer in peers:
                    best, figures = most(place, peer, hop, size)
                    result["throughput"].append({
                        "hops": hop, "bytes": size, "peer": peer.name, "messages_per_second": best,
                        "broker_cpu_ns_per_message": figures["broker_cpu_ns"] / figures["messages"] if figures else None,
                        "client_cpu_share": figures["client_cpu_ns"] / ((SEARCH_SECONDS + WARM_UP) * 1e9) if figures else None})
    return result


def row(hops, size, rate, found):
    out = {"hops": hops, "bytes": size, "rate": rate, "peers": {}}
    for name, runs in found.items():
        figures = {key: spread([r[key] for r in runs]) for key in ("p50_ns", "p99_ns", "p999_ns", "max_ns")}
        figures["lost"] = sum(r["offered"] - r["refused"] - r["received"] for r in runs)
        figures["refused"] = sum(r["refused"] for r in runs)
        figures["broker_cpu_ns_per_message"] = statistics.median(r["broker_cpu_ns"] / r["messages"] for r in runs)
        if "relay" in found and name != "relay":
            for key in ("p50_ns", "p99_ns"):
                figures[key.replace("_ns", "_of_relay")] = spread([r[key] / floor[key] for r, floor in zip(runs, found["relay"])])
        out["peers"][name] = figures
    return out


def table(result):
    print(f"{'hops':>4}{'bytes':>9}{'rate':>8}  {'peer':<10}{'p50':>9}{'p99':>9}{'p99.9':>9}{'max':>9}{'p50/relay':>11}{'p99/relay':>11}"
          f"{'lost':>6}{'refused':>8}{'CPU/message':>12}")
    for r in result["latency"]:
        for name, f in r["peers"].items():
            ratios = [f"{f[key]['median']:.2f}" if key in f else "" for key in ("p50_of_relay", "p99_of_relay")]
            print(f"{r['hops']:>4}{r['bytes']:>9}{r['rate']:>8}  {name:<10}"
                  + "".join(f"{span(f[key]['median']):>9}" for key in ("p50_ns", "p99_ns", "p999_ns", "max_ns"))
                  + f"{ratios[0]:>11}{ratios[1]:>11}{f['lost']:>6}{f['refused']:>8}{span(f['broker_cpu_ns_per_message']):>12}")
    print(f"\nMedians of the runs, from intended times. Goal at 256 B and one hop: p50 at most {GOAL_P50:g} and p99 at most {GOAL_P99:g} times "
          "the relay's.\n")
    print(f"{'hops':>4}{'bytes':>9}  {'peer':<10}{'messages/s':>12}{'MB/s':>8}{'CPU/message':>13}{'client busy':>13}")
    for t in result["throughput"]:
        cpu = span(t["broker_cpu_ns_per_message"]) if t["broker_cpu_ns_per_message"] is not None else "-"
        busy = f"{t['client_cpu_share']:.0%}" if t["client_cpu_share"] is not None else "-"
        print(f"{t['hops']:>4}{t['bytes']:>9}  {t['peer']:<10}{t['messages_per_second']:>12}"
              f"{t['messages_per_second'] * t['bytes'] / 1e6:>8.1f}{cpu:>13}{busy:>13}")
    print(f"The most at which all came, none was refused and nothing fell behind, for {SEARCH_SECONDS:g} s (found by doubling and halving). "
          "Where the client is\nbusy all the time, it is the limit, not the broker.")


def measure_all(options, runs):
    out = pathlib.Path(options.get("--out") or "bench-broker")
    if out.exists() and any(out.iterdir()):
        raise Usage(f"--out {out} holds something already; name another folder, or remove it")
    out.mkdir(parents=True, exist_ok=True)
    last = [0.0]

    def progress(text):
        if sys.stderr.isatty() and time.monotonic() - last[0] > 0.2:
            last[0] = time.monotonic()
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)

    result = measure(runs, out, progress=progress)
    (out / "bench-broker.json").write_text(json.dumps(result, indent=1) + "\n")
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    return result
