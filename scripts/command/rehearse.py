"""`run`: scenario -> plan -> simulation -> records -> check -> summary -> report, and the run folder that holds it all.

The folder holds, also after a failure: plan.json, records/, summary.json, logs/ (one log for each process and status.json
with its exit status), versions.json. A run that ends with 1 or 2 prints one command that replays it.
"""

import contextlib
import datetime
import errno
import filecmp
import hashlib
import json
import os
import pathlib
import re
import shlex
import shutil
import sys
import time

import build
import children
import inputs
import junit
import table
import versions
from options import Cannot, Usage

# What a run leaves in its folder; an older run's are removed when the folder is used again.
OURS = ("plan.json", "inputs", "records", "sim.json", "series.json", "twice", "summary.json", "logs", "versions.json", "report", "junit.xml")
INCONCLUSIVE, CANNOT = 2, 69
VERDICTS = {0: "held", 1: "failed", 2: "inconclusive", 64: "error", 69: "error"}  # as summary.json has them


def note(text):
    print(text, file=sys.stderr)


class Progress:
    """One line on a terminal that says what we wait for; nothing in a pipe."""

    def __init__(self, what):
        self.what, self.began, self.on = what, time.monotonic(), sys.stderr.isatty()

    def __call__(self):
        if self.on:
            sys.stderr.write(f"\r\033[K{self.what} ... {time.monotonic() - self.began:.0f} s")
            sys.stderr.flush()

    def __enter__(self):
        self()
        return self

    def __exit__(self, *_):
        if self.on:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()


def is_plan(path):
    """A plan is JSON, an object; a scenario is YAML. The name decides, or else the first byte that says something."""
    if path.endswith(".json"):
        return True
    with contextlib.suppress(OSError), open(path, "rb") as text:
        return text.read(4096).lstrip()[:1] == b"{"
    return False


def compiled(options):
    """The plan's bytes, from a scenario or from a plan; ends the program with the compiler's own messages and status."""
    path = options.arguments[0]
    if is_plan(path):
        try:
            text = pathlib.Path(path).read_bytes()
            seed = json.loads(text)["seed"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Usage(f"{path}: not a plan ({error}); make one with: scripts/portolan plan SCENARIO")
        if options.get("--seed", seed) != seed:
            raise Usage(f"--seed {options.get('--seed')}: this plan is made for seed {seed} (it is part of every load and "
                        "link in it); to use another, run the scenario")
        return text
    words = [build.program("portolan-plan"), "plan", path]
    if "--seed" in options:
        words += ["--seed", options.get("--seed")]
    status, text = children.capture(words)
    if status:
        raise SystemExit(status if status in (64, 69) else CANNOT)
    return text


def is_run(folder):
    return (folder / "versions.json").is_file() or (folder / "plan.json").is_file() and (folder / "logs").is_dir()


def prepared(options, plan):
    """The run folder, empty and proven writable."""
    if "--out" in options:
        folder = pathlib.Path(options.get("--out"))
    else:
        stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", str(plan.get("name") or "plan"))
        folder = build.ROOT / "runs" / f"{name}-{plan['seed']}-{stamp}"
        number = 1
        while folder.exists():
            number += 1
            folder = folder.with_name(f"{name}-{plan['seed']}-{stamp}-{number}")
    try:
        if folder.exists() and not folder.is_dir():
            raise Usage(f"--out {folder}: not a folder; give a new or empty one")
        if folder.is_dir() and any(folder.iterdir()):
            if not is_run(folder):
                raise Usage(f"--out {folder}: not empty and not a run, so left alone; give a new or empty folder")
            again = pathlib.Path(options.arguments[0]).resolve().parent == folder.resolve()  # its plan, and what that replays
            for name in OURS:
                if not (again and name == "inputs"):
                    remove(folder / name)
        (folder / "logs").mkdir(parents=True, exist_ok=True)
        write(folder / "logs" / "status.json", "{}\n")
    except OSError as error:
        raise Cannot(f"cannot write the run folder {folder}: {error.strerror}; give another with --out")
    return folder


def remove(path):
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write(path, data):
    """Whole or not at all: written beside, then renamed."""
    if isinstance(data, str):
        data = data.encode()
    beside = path.with_name(path.name + ".part")
    try:
        with open(beside, "wb") as out:
            out.write(data)
            out.flush()
        beside.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        raise


def as_json(value):
    return json.dumps(value, indent=2, sort_keys=True) + "\n"


class Rehearsal:
    """One run in its folder."""

    def __init__(self, options, folder, plan_text):
        self.options, self.folder = options, folder
        self.plan_text, self.plan = plan_text, json.loads(plan_text)
        self.statuses = {}
        self.judgement = ""  # what the checker printed

    def conditions(self):
        """What a replay must share to be the same run (README, "Replay")."""
        calibration = self.plan.get("calibration") or {}
        return {
            "plan": hashlib.sha256(self.plan_text).hexdigest(),
            "seed": str(self.plan["seed"]),
            "fidelity": self.options.get("--fidelity", "lean"),
            "calibration": str(calibration.get("sha256") or calibration.get("name") or "none")[:16],
            "commit": self.versions["commit"],
            "ns3": self.versions["ns3"],
        }

    def begin(self):
        write(self.folder / "plan.json", self.plan_text)
        self.replay_folder = inputs.bring(self.plan, self.options.arguments[0], self.folder)
        programs = [build.program(name) for name in ("portolan-plan", "portolan-sim", "portolan-check")]
        self.versions = versions.collect(programs)
        self.versions["command"] = [os.fspath(word) for word in sys.argv[1:]]
        self.versions["plan_sha256"] = hashlib.sha256(self.plan_text).hexdigest()
        write(self.folder / "versions.json", as_json(self.versions))

    def process(self, name, words, what, limit_s=None, capture=False):
        """Runs one program with its log in logs/ and its status in logs/status.json, whatever happens."""
        began = time.monotonic()
        status = None
        try:
            with open(self.folder / "logs" / f"{name}.log", "wb") as log, Progress(what) as progress:
                try:
                    out = None
                    if capture:
                        status, out = children.capture(words, stderr=log, tick=progress)
                    else:
                        status = children.run(words, stdout=log, stderr=log, limit_s=limit_s, tick=progress)
                    return status, out
                except children.TookTooLong:
                    status = "ended at the wall limit"
                    return INCONCLUSIVE, None
                except children.Interrupted as stop:
                    status = f"interrupted ({stop})"
                    raise
        finally:
            self.statuses[name] = {"status": status, "wall_s": round(time.monotonic() - began, 3),
                                   "command": [str(word) for word in words]}
            with contextlib.suppress(OSError):
                write(self.folder / "logs" / "status.json", as_json(self.statuses))

    def log_tail(self, name, lines=5):
        with contextlib.suppress(OSError):
            return open(self.folder / "logs" / f"{name}.log", errors="replace").read().splitlines()[-lines:]
        return []

    def simulate(self, name, out):
        words = [build.program("portolan-sim"), "--plan", self.folder / "plan.json", "--out", out,
                 "--fidelity", self.options.get("--fidelity", "lean"), "--replay-folder", self.replay_folder]
        if "--cores" in self.options:
            words += ["--cores", str(self.options.get("--cores"))]
        if "--pcap" in self.options:
            words += ["--pcap", self.options.get("--pcap")]
        wall_limit_s = self.options.get("--wall-limit")
        if wall_limit_s is not None:
            words += ["--wall-limit", f"{wall_limit_s:g}"]
        # The simulator keeps to its limit by itself and closes its records; we only make sure.
        status, _ = self.process(name, words, f"simulating {self.plan.get('name')}",
                                 None if wall_limit_s is None else wall_limit_s + 10)
        return INCONCLUSIVE if status == 1 else status  # only the checker can say "failed"

    def replay(self):
        at_top = pathlib.Path.cwd() == build.ROOT
        words = ["scripts/portolan" if at_top else str(build.ROOT / "scripts" / "portolan"), "run",
                 str(self.folder / "plan.json"), "--expect",
                 ",".join(f"{key}={value}" for key, value in self.conditions().items())]
        for name in ("--fidelity", "--cores", "--wall-limit"):
            if name in self.options:
                words += [name, f"{self.options.get(name)}"]
        if "--twice" in self.options:
            words.append("--twice")
        return shlex.join(words)


def differing(expected, actual):
    """What differs between the conditions of the run to replay and this one, in words."""
    for pair in expected.split(","):
        key, equals, value = pair.partition("=")
        if not equals or key not in actual:
            raise Usage(f'--expect {pair}: takes {", ".join(f"{name}=..." for name in actual)}, separated by commas')
        same = actual[key].startswith(value) if key == "plan" and len(value) >= 12 else actual[key] == value
        if not same:
            yield f"{key} is {actual[key]}, was {value}"


def records_differ(first, second):
    """The first difference between the records of two runs, in words; None where they are the same bytes."""
    left, right = sorted(os.listdir(first)), sorted(os.listdir(second))
    if left != right:
        return "files " + ", ".join(sorted(set(left) ^ set(right)))
    for name in left:
        if not filecmp.cmp(first / name, second / name, shallow=False):
            return name
    return None


def rehearsed(this):
    """Simulates and checks: the exit statuses that decide, and what went wrong besides the rules, in words."""
    statuses, troubles = [], []
    statuses.append(this.simulate("sim", this.folder))
    if statuses[0]:
        ended = this.statuses["sim"]["status"]
        said = this.log_tail("sim") + ([ended] if isinstance(ended, str) else [])
        limit_s = this.options.get("--wall-limit")
        if not said and ended == INCONCLUSIVE and limit_s is not None and this.statuses["sim"]["wall_s"] >= limit_s:
            said = [f"ended at the wall limit of {limit_s:g} s"]  # its watchdog has no voice
        troubles += [f"simulator: {line}" for line in said or [f"exit status {ended}"]]
    twice = []
    if "--twice" in this.options and not statuses[0]:
        again = this.folder / "twice"
        again.mkdir()
        write(again / "plan.json", this.plan_text)  # the checker takes it for a run of its own
        statuses.append(this.simulate("sim-twice", again))
        different = records_differ(this.folder / "records", again / "records")
        if different:
            statuses.append(1)
            troubles.append(f"rule 12: the second run's records differ: {different} (both are kept)")
        twice = ["--twice", again]
    if not {64, 69} & set(statuses):
        status, out = this.process("check", [build.program("portolan-check"), "check", this.folder, *twice], "checking",
                                   capture=True)
        statuses.append(status)
        this.judgement = (out or b"").decode(errors="replace")
        if status not in (0, 1):
            troubles += [f"checker: {line}" for line in this.log_tail("check")]
    if twice and not any(statuses):
        remove(this.folder / "twice")  # the same bytes once more
    return statuses, troubles


def verdict_code(statuses, summary):
    """64, 69, 2, 1, 0 in this order, but a broken invariant is 1 however late the harness was (README, "Exit codes")."""
    if not {64, 69} & set(statuses) and summary.get("invariant_broken"):
        return 1
    known = {status if status in (0, 1, 2, 64, 69) else INCONCLUSIVE for status in statuses}
    return next((code for code in (64, 69, 2, 1) if code in known), 0)


def read_summary(folder):
    with contextlib.suppress(OSError, ValueError):
        return json.loads((folder / "summary.json").read_bytes())
    return {}


def with_troubles(summary, code, troubles, plan):
    """The summary as it must read where the run itself, not only its records, went wrong (results/summary.schema.json)."""
    if summary.get("exit") == code and not troubles:
        return summary
    summary = {"version": 1, "name": plan.get("name"), "reasons": [], "invariant_broken": False} | summary
    reason = {"rule": "harness", "verdict": "failed" if code == 1 else "inconclusive", "what": "the run went wrong",
              "where": "", "count": len(troubles), "examples": troubles, "invariant": False}
    return summary | {"verdict": VERDICTS[code], "exit": code, "reasons": [reason, *summary["reasons"]]}


def report_words(runs, out):
    return ["/usr/bin/python3", build.ROOT / "scripts" / "report" / "report.py", *runs, "--out", out]


def report(this):
    """Makes the report; a picture that fails does not change a verdict, but is said."""
    if "--no-report" in this.options or not (this.folder / "summary.json").exists():
        return None
    status, _ = this.process("report", report_words([this.folder], this.folder / "report"), "drawing the report")
    pages = sorted((this.folder / "report").glob("*.html")) if (this.folder / "report").is_dir() else []
    if status or not pages:
        note(f"portolan: no report (exit {status}); see {this.folder / 'logs' / 'report.log'}")
        for line in this.log_tail("report", 1):
            note(f"  {line}")
        return None
    return pages[0]


def write_junit(this, target, code, troubles):
    """JUnit from the checker's own verdicts, or one error where it could not judge."""
    status, text = this.process("junit", [build.program("portolan-check"), "junit", this.folder], "writing JUnit", capture=True)
    write(target, text if status == 0 and text else junit.lone(this.plan.get("name") or "plan", code, troubles))


def asked(options, code):
    """What was asked for beyond the default, in words, so that it leaves a trace where the verdict stands."""
    said = [f"fidelity {options.get('--fidelity')}"] if "--fidelity" in options else []
    said += [f"{options.get('--cores')} cores shared"] if "--cores" in options else []
    said += ["twice: the same records"] if "--twice" in options and code == 0 else []
    return f"  ({'; '.join(said)})" if said else ""


def conclude(this, statuses, troubles):
    summary = read_summary(this.folder)
    code = verdict_code(statuses, summary)
    if any(statuses) and shutil.disk_usage(this.folder).free < 1 << 20:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(this.folder))
    final = with_troubles(summary, code, troubles, this.plan)
    if final is not summary:
        write(this.folder / "summary.json", as_json(final))
    page = report(this)
    if "--junit" in this.options:
        write_junit(this, pathlib.Path(this.options.get("--junit")), code, troubles)
    if "--json" in this.options:
        print(as_json(final), end="")
        for line in troubles:
            note(line)
    else:
        if summary.get("exit") != code:
            print(f"{VERDICTS[code].upper()}  {this.plan.get('name')}  seed {this.plan['seed']}")
        for line in troubles:
            print(line)
        print(this.judgement, end="")
        print(table.text(final), end="")
        print(f"run     {this.folder}{asked(this.options, code)}")
        if page:
            print(f"report  {page}")
    sys.stdout.flush()
    if "--expect" in this.options:
        say_differences(this)
    if code in (1, 2):
        note("To replay this run:")
        note("  " + this.replay())
    return code


def say_differences(this):
    differences = list(differing(this.options.get("--expect"), this.conditions()))
    for line in differences:
        note(f"not the run that was to be replayed: {line}")
    if not differences:
        note("the same plan, seed, fidelity, calibration, commit and ns-3 as the run that was to be replayed")


def run(options, make_ready):
    path = options.arguments[0]
    if os.path.isdir(path):
        raise Usage(f"{path}: a folder; a scenario or plan file is needed")
    make_ready()
    plan_text = compiled(options)
    plan = json.loads(plan_text)
    inputs.verified(plan, path)
    folder = prepared(options, plan)
    this = Rehearsal(options, folder, plan_text)
    try:
        this.begin()
        return conclude(this, *rehearsed(this))
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise Cannot(f"{folder}: {error.strerror}; free some space, or give another folder with --out")
        raise Cannot(f"{error.filename or folder}: {error.strerror}")


def check_again(options):
    """`check RUN`: the checker's own output, and the same exit codes."""
    words = [build.program("portolan-check"), "check", options.arguments[0]]
    if "--json" in options:
        words.append("--json")
    status = children.run(words, foreground=True)
    if "--junit" in options:
        junit_status, text = children.capture([build.program("portolan-check"), "junit", options.arguments[0]])
        try:
            write(pathlib.Path(options.get("--junit")), text if junit_status == 0 and text else
                  junit.lone(options.arguments[0], status, []))
        except OSError as error:
            raise Cannot(f"{options.get('--junit')}: {error.strerror}")
    return status
