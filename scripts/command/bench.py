"""portolan bench: what the simulator and the data plane cost, as ratios against a baseline in the same run.

`bench sim` runs the scenarios of scenarios/bench/ with hardly any load and with seconds of it, in turn, and takes the least
CPU time of each: the difference is what the load costs, without set-up, idle sessions and the drain. Every run is judged; a
bench of runs that lose messages would be worth nothing. Other names run the Google Benchmarks of their room.
"""

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
from options import BENCHES, Usage

SCENARIOS = build.ROOT / "scenarios" / "bench"
MICRO = {  # name: programs of Google Benchmark
    "session": ["session_bench"],
    "accept": ["accept_bench"],
    "crypto": ["crypto_bench"],
    "link": ["link_bench"],
}
RUNS = 3
LOAD_S = 2
IDLE_MS = 50  # so that each topic has some
GOAL_RATE = 5.0  # simulated seconds a second at 100,000 deliveries a simulated second (protocol.md's table of speeds)
START_MS = 700


def programs(names):
    """What to build for these benches (none named: all)."""
    out = []
    for name in names or BENCHES:
        out += ["portolan-plan", "portolan-sim", "portolan-check", "scheduler_bench"] if name == "sim" else MICRO[name]
    return list(dict.fromkeys(out))


def variant(text, load_ms, loss):
    """The scenario with so much load and loss; each change must be found exactly once."""
    for pattern, new in ((r"\bend: \d+ ms", f"end: {START_MS + load_ms} ms"), (r"\bloss: none", f"loss: {loss}"),
                         (r"(?m)^duration: .*$", f"duration: {START_MS + load_ms + 300} ms")):
        text, count = re.subn(pattern, new, text)
        if count != 1:
            raise Usage(f"{SCENARIOS}: the bench needs exactly one '{pattern}' in a scenario, and found {count}")
    return text


def cpu_of(words):
    """CPU seconds (user and system) of a child, and its exit status."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    status = children.run(words, stdout=sys.stderr, stderr=sys.stderr)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, status


def simulate(folder, plan, *options):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    shutil.copy(plan, folder / "plan.json")
    seconds, status = cpu_of([build.program("portolan-sim"), "--plan", folder / "plan.json", "--out", folder, *options])
    if status:
        raise SystemExit(status)
    return seconds, json.loads((folder / "sim.json").read_text())


def judged(folder):
    """Deliveries and datagrams of a run that held; a bench of anything else says nothing."""
    status, _ = children.capture([build.program("portolan-check"), "check", folder])
    if status:
        print(f"portolan: bench: the run in {folder} did not hold (exit {status})", file=sys.stderr)
        raise SystemExit(2 if status not in (1, 2) else status)
    summary = json.loads((folder / "summary.json").read_text())
    return summary["totals"]["delivered"], summary["counters"]["datagrams_out"]


def event_ns():
    """ns-3's own price of an event, from the same minute: the baseline."""
    _, text = children.capture([build.program("scheduler_bench"), "--benchmark_format=json",
                                "--benchmark_filter=Ns3Event", "--benchmark_repetitions=3",
                                "--benchmark_report_aggregates_only=false"])
    return min(b["ns_per_event"] for b in json.loads(text)["benchmarks"] if b["run_type"] == "iteration")


def measure(place, name, loss, runs):
    """One row: what `LOAD_S` seconds of load cost beyond a run with hardly any."""
    text = (SCENARIOS / f"{name}.yaml").read_text()
    plans = {}
    for label, load_ms in (("idle", IDLE_MS), ("load", IDLE_MS + LOAD_S * 1000)):
        scenario = place / f"{name}-{label}.yaml"
        scenario.write_text(variant(text, load_ms, loss))
        plans[label] = place / f"{name}-{label}.json"
        with open(plans[label], "wb") as out, open(os.devnull, "wb") as nowhere:
            if children.run([build.program("portolan-plan"), "plan", scenario], stdout=out, stderr=nowhere):
                raise SystemExit(64)
    cost = {"idle": [], "load": []}
    sims = {}
    for _ in range(runs):
        for label in cost:
            seconds, sims[label] = simulate(place / label, plans[label])
            cost[label].append(seconds)
    deliveries, datagrams = (a - b for a, b in zip(judged(place / "load"), judged(place / "idle")))
    _, timed = simulate(place / "timed", plans["load"], "--time-engines")
    extra = min(cost["load"]) - min(cost["idle"])
    return {
        "scenario": name, "loss": loss, "deliveries": deliveries,
        "cpu_seconds": extra, "idle_cpu_seconds": min(cost["idle"]),
        "spread": statistics.pstdev(cost["load"]) / statistics.mean(cost["load"]),
        "us_per_delivery": extra / deliveries * 1e6,
        "simulated_seconds_per_second": LOAD_S / extra,
        "deliveries_per_simulated_second": deliveries / LOAD_S,
        "events_per_delivery": (sims["load"]["events"] - sims["idle"]["events"]) / deliveries,
        "datagrams_per_delivery": datagrams / deliveries,
        "engine_share": timed["engine_seconds"] / timed["real_seconds"],
    }


def sim(runs):
    ns = event_ns()
    rows = []
    with tempfile.TemporaryDirectory(prefix="portolan-bench-") as place:
        for name in ("lean-100k", "fan-out-11"):
            for loss in ("none", "1 %"):
                row = measure(pathlib.Path(place), name, loss, runs)
                row["ns3_share"] = row["events_per_delivery"] * ns / 1000 / row["us_per_delivery"]
                row["ns3_event_ns"] = ns
                rows.append(row)
                if sys.stderr.isatty():
                    print(f"  {name}, loss {loss}: done", file=sys.stderr)
    return rows


def table(rows):
    print(f"{'lean':<12}{'loss':>6}{'us/delivery':>13}{'sim s/s':>9}{'of goal':>9}{'events':>8}{'datagrams':>11}"
          f"{'ns-3':>7}{'engines':>9}{'spread':>8}")
    for r in rows:
        goal = GOAL_RATE * 100_000 / r["deliveries_per_simulated_second"]
        print(f"{r['scenario']:<12}{r['loss']:>6}{r['us_per_delivery']:>13.2f}{r['simulated_seconds_per_second']:>9.2f}"
              f"{r['simulated_seconds_per_second'] / goal:>8.0%}{r['events_per_delivery']:>8.1f}"
              f"{r['datagrams_per_delivery']:>11.2f}{r['ns3_share']:>7.0%}{r['engine_share']:>9.0%}{r['spread']:>8.0%}")
    print(f"\nCPU time of one core, records on, CPU costs charged; least of several runs; an ns-3 event alone "
          f"{rows[0]['ns3_event_ns']:.0f} ns in this run.\nThe goal is {GOAL_RATE:g} simulated seconds a second at 100,000 "
          "deliveries a simulated second: 2 us a delivery.")


def run(options):
    names = options.arguments or BENCHES
    runs = int(options.get("--runs") or RUNS)
    result = {}
    for name in names:
        if name == "sim":
            result["sim"] = sim(runs)
            if "--json" not in options:
                table(result["sim"])
            continue
        for program in MICRO[name]:
            form = ["--benchmark_format=json"] if "--json" in options else []
            status, text = children.capture([build.program(program), "--benchmark_repetitions=5",
                                             "--benchmark_report_aggregates_only=true", *form])
            if status:
                return 2
            if form:
                result[program] = json.loads(text)
            else:
                os.write(1, text)
    if "--json" in options:
        print(json.dumps(result, indent=2))
    return 0
