"""`explore`: a scenario under random fault schedules, one for each seed, until a rule breaks; then the smallest schedule that
still breaks it, and one command that replays it.

A seed makes both the scenario's own draws and its faults (schedule.py), so a violation is found again by its seed alone.
Programs run side by side, one for each core; a seed's run folder is gone when it held.
"""

import contextlib
import datetime
import json
import os
import pathlib
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
import time

import build
import children
import inputs
import schedule
from options import Usage

WALL_LIMIT_S = 120
MOST_FAULTS = 6


class Outcome:
    """How a trial ended: exit code as `run` has it, the rules that broke, and what the checker printed."""

    def __init__(self, code, rules=(), said=""):
        self.code, self.rules, self.said = code, frozenset(rules), said

    @property
    def stops(self):
        """A rule that broke, or a program that went wrong. A run in which a rule found nothing to judge does not stop us."""
        return self.code not in (0, 2) or any(" ended with " in rule for rule in self.rules)

    def like(self, other):
        return self.code == other.code and bool(self.rules & other.rules or self.rules == other.rules)


def trial(folder, replay_folder):
    """Simulates and judges folder/plan.json. A generator of commands, each answered with its exit status."""
    status = yield [build.program("portolan-sim"), "--plan", folder / "plan.json", "--out", folder, "--fidelity", "lean",
                    "--replay-folder", replay_folder, "--wall-limit", str(WALL_LIMIT_S)], "sim.log"
    if status:
        said = (folder / "sim.log").read_text(errors="replace")[-2000:]
        return Outcome(status if status in (64, 69) else 2, [f"simulator ended with {status}"], said)
    status = yield [build.program("portolan-check"), "check", folder], "check.log"
    said = (folder / "check.log").read_text(errors="replace")
    if status not in (0, 1, 2, 64, 69):
        return Outcome(2, [f"checker ended with {status}"], said)
    reasons = []
    with contextlib.suppress(OSError, ValueError):
        reasons = json.loads((folder / "summary.json").read_bytes()).get("reasons", [])
    return Outcome(status, [broken(reason) for reason in reasons], said)


def broken(reason):
    """A rule's name; for an expectation also which, so that shrinking does not wander from one to another."""
    return ": ".join(str(reason[key]) for key in ("rule", "what") if key == "rule" or reason["rule"] == "expectation")


class Pool:
    """Runs generators of commands side by side in this one thread; none outlives us."""

    def __init__(self, jobs):
        self.jobs, self.running = jobs, {}

    def start(self, key, steps, folder):
        self._next(key, steps, folder, None)

    def _next(self, key, steps, folder, status):
        """The generator's next command; its result where it has ended."""
        try:
            words, log = next(steps) if status is None else steps.send(status)
        except StopIteration as end:
            self.running.pop(key, None)
            return end.value
        with open(folder / log, "wb") as out:
            child = subprocess.Popen([str(word) for word in words], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                     process_group=0, preexec_fn=children._before_exec)
        self.running[key] = (child, steps, folder)
        return None

    def wait(self):
        """(key, result) of the next that ends."""
        while self.running:
            for key, (child, steps, folder) in list(self.running.items()):
                status = child.poll()
                if status is None:
                    continue
                result = self._next(key, steps, folder, status if status >= 0 else 128 - status)
                if key not in self.running:
                    return key, result
            time.sleep(0.002)
        return None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for child, _, _ in self.running.values():
            children.end(child)


def as_plan(plan):
    return json.dumps(plan, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def in_words(one):
    until = f" to {one['until_ns'] / 1e9:.3f} s" if one["until_ns"] else ""
    way = "" if one["way"] == "both" else f" ({one['way']})"
    what = f" ({', '.join(one['replaces'])})" if one["replaces"] else ""
    return f"{one['at_ns'] / 1e9:8.3f} s{until}: {one['name']}{way}{what}"


def faults_in_words(number):
    return "1 fault" if number == 1 else f"{number} faults"


class Exploration:
    def __init__(self, options):
        self.scenario = options.arguments[0]
        self.first, self.seeds = options.get("--from", 1), options.get("--seeds")
        self.names = kinds(options.get("--faults"))
        self.most = options.get("--most", MOST_FAULTS)
        self.jobs = options.get("--jobs", len(os.sched_getaffinity(0)))
        self.out = options.get("--out")
        self.played, self.outcomes, self.found = {}, {}, []

    def seed(self, number, folder):
        """The whole of one seed: its plan, its faults, its run, its judgement."""
        status = yield [build.program("portolan-plan"), "plan", self.scenario, "--seed", str(number), "-o",
                        folder / "plan.json"], "plan.log"
        if status:
            return Outcome(status, said=(folder / "plan.log").read_text(errors="replace"))
        plan = json.loads((folder / "plan.json").read_bytes())
        if plan["duration_ns"] < schedule.LEAST_NS:
            return Outcome(64, said=f"portolan: {self.scenario}: explore needs a duration of at least {schedule.LEAST_NS // 10**9} s\n")
        own = [one for one in plan["faults"]]
        drawn = schedule.schedule(plan, number, self.names, self.most)
        drawn = [one for one in drawn if not any(schedule.overlap(one, other) for other in own)]
        for one in drawn:
            self.played[one["kind"]] = self.played.get(one["kind"], 0) + 1
        plan["faults"] = sorted(own + drawn, key=lambda one: one["at_ns"])
        (folder / "plan.json").write_text(as_plan(plan))
        return (yield from trial(folder, inputs.verified(plan, self.scenario)))

    def search(self, work):
        """Runs seeds until one does not hold, and those that had begun by then; the lowest that did not, or None."""
        todo = iter(range(self.first, self.first + self.seeds))
        began = time.monotonic()
        with Pool(self.jobs) as pool:
            while True:
                while len(pool.running) < self.jobs and not self.found:
                    number = next(todo, None)
                    if number is None:
                        break
                    folder = work / str(number)
                    folder.mkdir()
                    pool.start(number, self.seed(number, folder), folder)
                ended = pool.wait()
                if ended is None:
                    return min(self.found, default=None)
                number, outcome = ended
                self.outcomes[number] = outcome
                if outcome.stops:
                    self.found.append(number)
                else:
                    shutil.rmtree(work / str(number), ignore_errors=True)
                if sys.stderr.isatty():
                    sys.stderr.write(f"\r\033[K{len(self.outcomes)} of {self.seeds} seeds, {time.monotonic() - began:.0f} s")

    def shrink(self, folder, outcome):
        """The smallest plan that breaks as this one does, what its run says, and how many faults there were."""
        plan = json.loads((folder / "plan.json").read_bytes())
        replay_folder = inputs.verified(plan, self.scenario)
        smallest = outcome

        def breaks(faults):
            nonlocal smallest
            shutil.rmtree(folder / "try", ignore_errors=True)
            (folder / "try").mkdir()
            (folder / "try" / "plan.json").write_text(as_plan(plan | {"faults": faults}))
            with Pool(1) as pool:
                pool.start(0, trial(folder / "try", replay_folder), folder / "try")
                _, again = pool.wait()
            if again.like(outcome):
                smallest = again
            return again.like(outcome)

        return plan | {"faults": schedule.shrunk(plan["faults"], breaks)}, smallest, len(plan["faults"])

    def keep(self, number, plan, whole):
        """The smallest plan and what it replays, where they stay."""
        stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
        out = pathlib.Path(self.out or build.ROOT / "runs" / f"explore-{plan['name']}-{number}-{stamp}")
        out.mkdir(parents=True, exist_ok=True)
        (out / "plan.json").write_text(as_plan(plan))
        shutil.copyfile(whole, out / "whole-plan.json")
        inputs.bring(plan, self.scenario, out)
        return out

    def run(self):
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="portolan-explore-") as work:
            number = self.search(pathlib.Path(work))
            if sys.stderr.isatty():
                sys.stderr.write("\r\033[K")
            self.say(time.monotonic() - began)
            if number is None:
                return 2 if any(outcome.code for outcome in self.outcomes.values()) else 0
            outcome = self.outcomes[number]
            if outcome.code in (64, 69):
                print(outcome.said, end="", file=sys.stderr)
                return outcome.code
            folder = pathlib.Path(work) / str(number)
            print(f"seed {number} {'breaks' if outcome.code == 1 else 'does not decide'}: {', '.join(sorted(outcome.rules))}")
            plan, smallest, before = self.shrink(folder, outcome)
            out = self.keep(number, plan, folder / "plan.json")
        print(f"{faults_in_words(before)} shrunk to {len(plan['faults'])}:")
        for one in plan["faults"]:
            print("  " + in_words(one))
        print(smallest.said, end="")
        print("To replay it:")
        print("  " + shlex.join(["scripts/portolan", "run", str(out / "plan.json")]))
        return 1 if outcome.code == 1 else 2

    def say(self, wall_s):
        done = len(self.outcomes)
        held = sum(not outcome.code for outcome in self.outcomes.values())
        faults = ", ".join(f"{count} {kind}" for kind, count in sorted(self.played.items()))
        spent = resource.getrusage(resource.RUSAGE_CHILDREN)
        print(f"{held} of {done} seeds held, from {self.first} on; {faults_in_words(sum(self.played.values()))} ({faults})")
        for number, outcome in sorted(self.outcomes.items()):
            if outcome.code == 2 and not outcome.stops:
                print(f"seed {number} was not decided: {', '.join(sorted(outcome.rules))}")
        print(f"{wall_s:.1f} s, {(spent.ru_utime + spent.ru_stime) / max(1, done):.2f} s of CPU a seed")


def kinds(text):
    names = text.split(",") if text else list(schedule.KINDS)
    for name in names:
        if name not in schedule.KINDS:
            raise Usage(f'--faults {name}: no such kind; available: {", ".join(schedule.KINDS)}')
    return names


def run(options):
    return Exploration(options).run()
