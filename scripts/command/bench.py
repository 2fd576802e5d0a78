"""portolan bench: what the simulator and the data plane cost, as ratios against a baseline in the same run.

`bench sim` is bench_sim.py, `bench broker` bench_broker.py; `bench engine` the engine alone; other names run the Google Benchmarks of their room.
"""

import json
import os

import bench_broker
import bench_sim
import build
import children
from options import BENCHES, BY_NAME_ONLY

SPECIAL = {"sim": bench_sim.PROGRAMS, "broker": bench_broker.PROGRAMS}

MICRO = {  # name: programs of Google Benchmark
    "engine": ["engine_bench"],
    "session": ["session_bench"],
    "accept": ["accept_bench"],
    "crypto": ["crypto_bench"],
    "link": ["link_bench"],
}


def default():
    return [name for name in BENCHES if name not in BY_NAME_ONLY]


def groups(names):
    """Packages that these benches need beyond the build's own."""
    return ["peers"] if "broker" in names else []


def programs(names):
    """What to build for these benches (none named: all)."""
    out = []
    for name in names or default():
        out += SPECIAL.get(name) or MICRO[name]
    return list(dict.fromkeys(out))


def run(options):
    names = options.arguments or default()
    runs = int(options.get("--runs") or bench_sim.RUNS)
    result = {}
    for name in names:
        if name == "sim":
            result["sim"] = bench_sim.measure_all(runs)
            if "--json" not in options:
                bench_sim.table(result["sim"])
            continue
        if name == "broker":
            result["broker"] = bench_broker.measure_all(options, runs)
            if "--json" not in options:
                bench_broker.table(result["broker"])
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
