"""Stand-ins for portolan-plan, -sim and -check, so that the command's own conduct is tested without a build.

Their behaviour comes from the environment: FAKE_SIM, FAKE_CHECK = an exit status, or a word below.
"""

import os
import pathlib

PLAN = r'''#!/usr/bin/python3
import json, sys
verb, path, rest = sys.argv[1], sys.argv[2], sys.argv[3:]
text = open(path).read()
if "typo" in text:
    sys.exit(print(f"{path}:1:1: typo: no such key", file=sys.stderr) or 64)
seed = int(rest[1]) if rest[:1] == ["--seed"] else 7
if verb == "plan":
    print("costs little", file=sys.stderr)
    print(json.dumps({"name": "fake", "seed": seed, "version": 1, "calibration": {"name": "placeholder", "sha256": "c0ffee"}}))
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
status = int(os.environ.get("FAKE_CHECK", "0"))
if verb == "check":
    summary = {"verdict": {0: "held", 1: "failed", 2: "inconclusive"}[status], "exit": status,
               "invariant_broken": bool(os.environ.get("FAKE_BROKEN"))}
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
