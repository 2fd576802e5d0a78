"""`portolan bench sim`: the simulator's rows of the design's table of speeds.

lean   scenarios/bench/ with hardly any load and with seconds of it, in turn: the difference is what the load costs, without
       set-up, idle sessions and the drain. Beside it the price of an event on the loop that a run has (its share of the cost:
       `loop`), and on ns-3's own: the baseline.
full   the same, over ns-3's IP and UDP, beside udp_baseline: the very datagrams that this run sent, by ns-3's UDP sockets over
       ns3's point-to-point devices; with drop-tail and with FqCoDel.
fleet  scenarios/thousand-harbours.yaml: CPU time until all hosts stand, until their sessions do, and the memory.
engine the broker's engine alone (engine_bench): a message in, and its way out to 1, 100 and 1,000 subscribers; memory.

CPU time (user and system) of one core, since the machine is shared (of the engine alone: a clock round each call). Every
row says least, median and most of `--runs`. Runs alternate, so that each ratio is of neighbours in
time. Every run is judged: a bench of runs that lose messages would be worth nothing.
"""

import csv
import json
import os
import pathlib
import re
import resource
import shutil
import statistics
import sys
import tempfile

import build
import children
from options import Usage

SCENARIOS = build.ROOT / "scenarios"
PROGRAMS = ["portolan-plan", "portolan-sim", "portolan-check", "scheduler_bench", "udp_baseline", "engine_bench"]
RUNS = 3
LEAN_LOAD_MS, FULL_LOAD_MS = 2000, 1000
IDLE_MS = 50  # so that each topic has some
START_MS = 700
GOAL_RATE = 5.0  # simulated seconds a second at 100,000 deliveries a simulated second (protocol.md's table of speeds)
GOAL_FULL = 1.3  # times plain ns-3 UDP
GOAL_SETUP_S, GOAL_BYTES = 10, 1 << 30
QUEUES = {"tail-drop": "4 MiB", "fq-codel": "{fq-codel: 4 MiB}"}


def variant(text, load_ms, loss, queue="tail-drop"):
    """The scenario with so much load and loss; each change must be found exactly once."""
    for pattern, new in ((r"\bend: \d+ ms", f"end: {START_MS + load_ms} ms"), (r"\bloss: none", f"loss: {loss}"),
                         (r"\bqueue: 4 MiB", f"queue: {QUEUES[queue]}"),
                         (r"(?m)^duration: .*$", f"duration: {START_MS + load_ms + 300} ms")):
        text, count = re.subn(pattern, new, text)
        if count != 1:
            raise Usage(f"{SCENARIOS}/bench: the bench needs exactly one '{pattern}' in a scenario, and found {count}")
    return text


def compiled(scenario):
    plan = scenario.with_suffix(".json")
    with open(plan, "wb") as out, open(os.devnull, "wb") as nowhere:
        if children.run([build.program("portolan-plan"), "plan", scenario], stdout=out, stderr=nowhere):
            raise SystemExit(64)
    return plan


def plans_of(place, name, load_ms, loss, queue="tail-drop"):
    text = (SCENARIOS / "bench" / f"{name}.yaml").read_text()
    plans = {}
    for label, ms in (("idle", IDLE_MS), ("load", IDLE_MS + load_ms)):
        scenario = place / f"{name}-{label}.yaml"
        scenario.write_text(variant(text, ms, loss, queue))
        plans[label] = compiled(scenario)
    return plans


def cpu_of(words):
    """CPU seconds (user and system) of a child that must succeed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    status = children.run(words, stdout=sys.stderr, stderr=sys.stderr)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if status:
        raise SystemExit(status)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def simulate(folder, plan, *options):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    shutil.copy(plan, folder / "plan.json")
    seconds = cpu_of([build.program("portolan-sim"), "--plan", folder / "plan.json", "--out", folder, *options])
    return seconds, json.loads((folder / "sim.json").read_text())


def judged(folder):
    """Deliveries and datagrams of a run that held; a bench of anything else says nothing."""
    status, _ = children.capture([build.program("portolan-check"), "check", folder])
    if status:
        print(f"portolan: bench: the run in {folder} did not hold (exit {status})", file=sys.stderr)
        raise SystemExit(2 if status not in (1, 2) else status)
    summary = json.loads((folder / "summary.json").read_text())
    return summary["totals"]["delivered"], summary["counters"]["datagrams_out"]


def spread(values):
    """Least, median and most of some runs."""
    return {"least": min(values), "median": statistics.median(values), "most": max(values)}


def google(program, runs, *words):
    """The rows of a Google Benchmark, each measured so often."""
    _, text = children.capture([build.program(program), "--benchmark_format=json", f"--benchmark_repetitions={runs}",
                                "--benchmark_report_aggregates_only=false", *words])
    return json.loads(text)["benchmarks"]


def spreads(benchmarks, counter):
    """{name: spread of that counter}, of the rows that have it."""
    out = {}
    for b in benchmarks:
        if b["run_type"] == "iteration" and counter in b:
            out.setdefault(b["name"].split("/repeats")[0].split("/manual_time")[0], []).append(b[counter])
    return {name: spread(values) for name, values in out.items()}


def event_ns(runs):
    """The price of an event, from the same minute: {"Ns3Event": on ns-3's own loop, "LoopEvent": on ours}."""
    found = spreads(google("scheduler_bench", runs), "ns_per_event")
    return {name.split("/")[0]: values for name, values in found.items()}


def engine(runs):
    """What the engine alone costs: `out` by number of subscribers, memory of the daemon's limits."""
    rows = google("engine_bench", runs)
    into = spreads(rows, "ns/message")["fan_out/0"]
    out = {}
    for name, ns in spreads(rows, "ns/delivery").items():
        wire = {c: spreads(rows, f"{c}/delivery")[name]["median"] for c in ("bytes", "datagrams")}
        out[name.split("/")[1]] = {"ns_per_delivery": ns, "bytes_per_delivery": wire["bytes"],
                                   "datagrams_per_delivery": wire["datagrams"]}
    memory = next(b for b in rows if b["name"].startswith("memory/daemon"))
    return {"ns_per_message_in": into, "out": out,
            "memory_bytes": {what: memory[what] for what in ("harbour", "session", "subscription")}}


def lean(place, name, loss, runs, ns):
    """One row: what seconds of load cost beyond a run with hardly any."""
    plans = plans_of(place, name, LEAN_LOAD_MS, loss)
    cost, sims = {"idle": [], "load": []}, {}
    for _ in range(runs):
        for label in cost:
            seconds, sims[label] = simulate(place / label, plans[label])
            cost[label].append(seconds)
    deliveries, datagrams = (a - b for a, b in zip(judged(place / "load"), judged(place / "idle")))
    _, timed = simulate(place / "timed", plans["load"], "--time-engines")
    extra = [seconds - min(cost["idle"]) for seconds in cost["load"]]
    us = spread([seconds / deliveries * 1e6 for seconds in extra])
    events = (sims["load"]["events"] - sims["idle"]["events"]) / deliveries
    return {
        "scenario": name, "loss": loss, "deliveries": deliveries, "cpu_seconds": extra, "idle_cpu_seconds": min(cost["idle"]),
        "us_per_delivery": us,
        "simulated_seconds_per_second": spread([LEAN_LOAD_MS / 1000 / seconds for seconds in extra]),
        "deliveries_per_simulated_second": deliveries / LEAN_LOAD_MS * 1000,
        "events_per_delivery": events,
        "datagrams_per_delivery": datagrams / deliveries,
        "ns3_event_ns": ns["Ns3Event"],
        "loop_event_ns": ns["LoopEvent"],
        "loop_share": events * ns["LoopEvent"]["least"] / 1000 / us["least"],
        "engine_share": timed["engine_seconds"] / timed["real_seconds"],
    }


def all_arrived(plain, loss):
    """A baseline that turned datagrams away, or lost some where nothing is lossy, did less than we did: no measure."""
    if plain["refused"] == 0 and (loss != "none" or plain["sent"] == plain["received"]):
        return
    print(f"portolan: bench: of {plain['sent']} datagrams over plain ns-3 with loss {loss}, {plain['refused']} were refused and "
          f"{plain['received']} arrived", file=sys.stderr)
    raise SystemExit(1)


def full(place, name, queue, loss, runs):
    """One row: full fidelity beside the same datagrams over plain ns-3, both without what an idle run costs."""
    plans = plans_of(place, name, FULL_LOAD_MS, loss, queue)
    cost = {(who, label): [] for who in ("ours", "plain") for label in plans}
    sims, plain = {}, {}
    for run in range(runs):
        for label, plan in plans.items():
            log = place / f"{label}.datagrams"
            words = ["--fidelity", "full"]
            if run == 0:
                simulate(place / label, plan, *words, "--datagrams", log)
            seconds, sims[label] = simulate(place / label, plan, *words)
            cost["ours", label].append(seconds)
            out = place / f"{label}-plain.json"
            cost["plain", label].append(cpu_of([build.program("udp_baseline"), "--plan", plan, "--datagrams", log, "--out", out]))
            plain[label] = json.loads(out.read_text())
            all_arrived(plain[label], loss)
    deliveries, _ = (a - b for a, b in zip(judged(place / "load"), judged(place / "idle")))
    _, timed = simulate(place / "timed", plans["load"], "--fidelity", "full", "--time-engines")
    engines = timed["engine_seconds"] / timed["real_seconds"]
    datagrams = plain["load"]["sent"] - plain["idle"]["sent"]
    extra = {who: [seconds - min(cost[who, "idle"]) for seconds in cost[who, "load"]] for who in ("ours", "plain")}
    ratios = [a / b for a, b in zip(extra["ours"], extra["plain"])]
    return {
        "scenario": name, "queue": queue, "loss": loss, "deliveries": deliveries,
        "us_per_delivery": spread([s / deliveries * 1e6 for s in extra["ours"]]),
        "plain_us_per_delivery": spread([s / deliveries * 1e6 for s in extra["plain"]]),
        "ratio": spread(ratios),
        "engine_share": engines,
        "ratio_without_engines": statistics.median(ratios) * (1 - engines),
        "datagrams_per_delivery": datagrams / deliveries,
        "events_per_datagram": (sims["load"]["events"] - sims["idle"]["events"]) / datagrams,
        "plain_events_per_datagram": (plain["load"]["events"] - plain["idle"]["events"]) / datagrams,
        "plain_lost": plain["load"]["sent"] - plain["load"]["received"],
    }


def busy_harbours(folder):
    """Harbours with a client that sent, and with one that received."""
    plan = json.loads((folder / "plan.json").read_text())
    harbour = {process["name"]: plan["nodes"][process["node"]]["harbour"] for process in plan["processes"]}
    _, text = children.capture([build.program("portolan-check"), "records", folder, "--csv"])
    out = {"publish": set(), "deliver": set()}
    for row in csv.DictReader(text.decode().splitlines()):
        if row["kind"] in out:
            out[row["kind"]].add(harbour[row["process"]])
    return len(out["publish"]), len(out["deliver"])


def fleet(place, runs):
    scenario = place / "fleet.yaml"
    scenario.write_text((SCENARIOS / "thousand-harbours.yaml").read_text())
    plan = compiled(scenario)
    sims = []
    for _ in range(runs):
        seconds, row = simulate(place / "fleet", plan)
        sims.append({**row, "cpu_seconds": seconds})
    deliveries, datagrams = judged(place / "fleet")
    sending, receiving = busy_harbours(place / "fleet")
    return {
        "harbours": len(json.loads(plan.read_text())["harbours"]), "sending": sending, "receiving": receiving,
        "deliveries": deliveries, "datagrams": datagrams,
        "built_cpu_seconds": spread([s["built_cpu_seconds"] for s in sims]),
        "first_second_cpu_seconds": spread([s["first_second_cpu_seconds"] for s in sims]),
        "memory_most_bytes": spread([s["memory_most_bytes"] for s in sims]),
        "cpu_seconds": spread([s["cpu_seconds"] for s in sims]),
        "simulated_seconds": sims[0]["simulated_seconds"],
    }


def measure_all(runs):
    def done(what):
        if sys.stderr.isatty():
            print(f"  {what}: done", file=sys.stderr)

    ns = event_ns(runs)
    out = {"lean": [], "full": []}
    with tempfile.TemporaryDirectory(prefix="portolan-bench-") as folder:
        place = pathlib.Path(folder)
        for name in ("lean-100k", "fan-out-11"):
            for loss in ("none", "1 %"):
                out["lean"].append(lean(place, name, loss, runs, ns))
                done(f"lean, {name}, loss {loss}")
        for queue in QUEUES:
            for loss in ("none", "1 %"):
                out["full"].append(full(place, "lean-100k", queue, loss, runs))
                done(f"full, {queue}, loss {loss}")
        out["fleet"] = fleet(place, runs)
        done("fleet")
    out["engine"] = engine(runs)
    return out


def table(result):
    def three(values, form):
        return "/".join(format(values[k], form) for k in ("least", "median", "most"))

    print(f"{'lean':<12}{'loss':>6}{'us/delivery':>20}{'sim s/s':>16}{'of goal':>9}{'events':>8}{'datagrams':>11}"
          f"{'loop':>7}{'engines':>9}")
    for r in result["lean"]:
        goal = GOAL_RATE * 100_000 / r["deliveries_per_simulated_second"]
        print(f"{r['scenario']:<12}{r['loss']:>6}{three(r['us_per_delivery'], '.2f'):>20}"
              f"{three(r['simulated_seconds_per_second'], '.2f'):>16}{r['simulated_seconds_per_second']['median'] / goal:>9.0%}"
              f"{r['events_per_delivery']:>8.1f}{r['datagrams_per_delivery']:>11.2f}{r['loop_share']:>7.0%}"
              f"{r['engine_share']:>9.0%}")
    first = result["lean"][0]
    print("CPU time of one core, records on, CPU costs charged; least/median/most of the runs. An event alone "
          f"{three(first['loop_event_ns'], '.0f')} ns, on ns-3's own loop {three(first['ns3_event_ns'], '.0f')} ns.\nThe goal is "
          f"{GOAL_RATE:g} simulated seconds a second at 100,000 deliveries a simulated second: 2 us a delivery; 10 would take 1 us.\n")

    print(f"{'full':<12}{'loss':>6}{'us/delivery':>20}{'plain ns-3 UDP':>20}{'ratio':>18}{'engines':>9}{'without':>9}"
          f"{'datagrams':>11}{'events/datagram':>17}{'plain':>7}{'plain lost':>12}")
    for r in result["full"]:
        print(f"{r['queue']:<12}{r['loss']:>6}{three(r['us_per_delivery'], '.1f'):>20}"
              f"{three(r['plain_us_per_delivery'], '.1f'):>20}{three(r['ratio'], '.2f'):>18}{r['engine_share']:>9.0%}"
              f"{r['ratio_without_engines']:>9.2f}{r['datagrams_per_delivery']:>11.2f}{r['events_per_datagram']:>17.1f}"
              f"{r['plain_events_per_datagram']:>7.1f}{r['plain_lost']:>12}")
    print(f"The goal is a ratio of at most {GOAL_FULL:g}. Ours carries engines, records and VXLAN, plain ns-3 only the datagrams;\n"
          "`without` is the median ratio without the engines' share.\n")

    f = result["fleet"]
    mib = {k: v / (1 << 20) for k, v in f["memory_most_bytes"].items()}
    print(f"fleet: {f['harbours']} harbours, of which {f['sending']} sent and {f['receiving']} received; {f['deliveries']} "
          f"deliveries, {f['datagrams'] / f['deliveries']:.1f} datagrams a delivery\n"
          f"  hosts built after {three(f['built_cpu_seconds'], '.2f')} s, first simulated second (sessions stand) over after "
          f"{three(f['first_second_cpu_seconds'], '.2f')} s of CPU time (goal: {GOAL_SETUP_S} s)\n"
          f"  memory at most {three(mib, '.0f')} MiB (goal: {GOAL_BYTES >> 20})\n"
          f"  all {f['simulated_seconds']:g} simulated seconds in {three(f['cpu_seconds'], '.1f')} s of CPU time\n")

    e = result["engine"]
    print(f"engine alone: {three(e['ns_per_message_in'], '.0f')} ns a message in; out, to so many subscribers:")
    for subscribers, r in e["out"].items():
        print(f"  {subscribers:>5}: {three(r['ns_per_delivery'], '.0f')} ns a delivery, {r['bytes_per_delivery']:.0f} bytes and "
              f"{r['datagrams_per_delivery']:.2f} datagrams")
    m = e["memory_bytes"]
    print(f"  memory of the daemon's limits: harbour {m['harbour'] / 1000:.0f} KB, session {m['session'] / 1000:.0f} KB, "
          f"subscription {m['subscription']:.0f} B")
