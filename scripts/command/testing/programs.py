"""Stand-ins for portolan-plan, -sim and -check, so that the command's own conduct is tested without a build.

Their behaviour comes from the environment: FAKE_SIM, FAKE_CHECK = an exit status, or a word below.
"""

import os
import pathlib

PLAN = r'''#!/usr/bin/python3
import json, os, sys
verb, path, rest = sys.argv[1], sys.argv[2], sys.argv[3:]
text = open(path).read()
if "typo" in text:
    sys.exit(print(f"{path}:1:1: typo: no such key", file=sys.stderr) or 64)
seed = int(rest[1]) if rest[:1] == ["--seed"] else 7
if verb == "plan":
    print("costs little", file=sys.stderr)
    nodes = [{"kind": "edge", "harbour": 0}, {"kind": "edge", "harbour": 1}]
    plan = {"name": "fake", "seed": seed, "version": 2, "calibration": {"name": "placeholder", "sha256": "c0ffee"},
            "harbours": [{}, {}], "nodes": nodes, "links": [{"name": "a--b", "a": 0, "b": 1}], "loads": [], "faults": [],
            "processes": [{"name": f"{h}/broker", "kind": "broker"} for h in "ab"], "duration_ns": int(os.environ.get("FAKE_DURATION_S", 8)) * 10**9}
    print(json.dumps(plan), file=open(rest[rest.index("-o") + 1], "w") if "-o" in rest else sys.stdout)
'''

SIM = r'''#!/usr/bin/python3
import json, os, pathlib, signal, sys, time
options = dict(zip(sys.argv[1::2], sys.argv[2::2]))
out = pathlib.Path(options["--out"])
plan = json.load(open(options["--plan"]))
mode = os.environ.get("FAKE_SIM", "0")
(out / "records").mkdir(exist_ok=True)
row = b"row" * 1000
if mode == "random":
    row = os.urandom(3000)
(out / "records" / "a.rec").write_bytes(row)
if mode == "fill":
    with open(out / "records" / "b.rec", "wb") as sink:
        try:
            for _ in range(1 << 14):
                sink.write(b"x" * (1 << 16))
        except OSError as error:
            sys.exit(print(f"records: {error.strerror}", file=sys.stderr) or 2)
if mode == "hang":
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        (out / "pid").write_text(str(os.getpid()))
        time.sleep(120)
    time.sleep(120)
if mode == "crash":
    os.kill(os.getpid(), signal.SIGSEGV)
if mode.isdigit() and mode != "0":
    print("simulator says why", file=sys.stderr)
    sys.exit(int(mode))
'''

CHECK = r'''#!/usr/bin/python3
import json, os, pathlib, sys
verb, run = sys.argv[1], pathlib.Path(sys.argv[2])
mode = os.environ.get("FAKE_CHECK", "0")
reasons = []
if mode.startswith("breaks-on="):  # as a broken engine would: by what the plan does to it
    kinds = [fault["kind"] for fault in json.load(open(run / "plan.json"))["faults"]]
    print(f"{len(kinds)} played")
    mode = "1" if set(mode.partition("=")[2].split("+")) <= set(kinds) else "0"
    reasons = [{"rule": "R2"}] if mode == "1" else []
status = int(mode)
if status > 128:
    os.kill(os.getpid(), status - 128)
if verb == "check":
    summary = {"verdict": {0: "held", 1: "failed", 2: "inconclusive"}[status], "exit": status,
               "invariant_broken": bool(os.environ.get("FAKE_BROKEN")), "reasons": reasons}
    print("a table")
    (run / "summary.json").write_text(json.dumps(summary))
    sys.exit(status)
if verb == "records":
    print("kind,time_ns")
if verb == "junit":
    print("<testsuite of='%s'/>" % json.load(open(run / "summary.json"))["verdict"])
'''


def install(folder):
    """Writes the three programs and returns an environment that uses them."""
    for name, text in (("portolan-plan", PLAN), ("portolan-sim", SIM), ("portolan-check", CHECK)):
        path = pathlib.Path(folder) / name
        path.write_text(text)
        path.chmod(0o755)
    return dict(os.environ, PORTOLAN_PROGRAMS=str(folder))
