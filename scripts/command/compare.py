"""The regression gate: scripts/portolan compare BASE... -- NEW... : runs before a change beside runs after it.

Two ways to fail. What no run may do (lose, repeat, disorder, break a rule) regresses where a new run does it and no base
run did: no statistics, one is enough. Figures that differ from seed to seed (time above the floor, recovery, bytes sent
again) regress where they rank higher than chance allows and by more than a tolerance: Mann and Whitney's U of the two
samples, its exact one-sided p by counting all ways to deal the runs to the two sides (ties as they are; beyond 200,000
ways a seeded sample of them), made stricter for the number of figures by Holm's step-down. A run stands for its seed: the
same plan twice proves nothing new and counts once. Exit: 0 held, 1 regressed, 2 where the runs cannot tell (too few, not of
one scenario, or without a verdict). Reads summary.json only (results/summary.schema.json).
"""

import itertools
import json
import math
import os
import random

from options import Usage
from table import span

HELD, REGRESSED, CANNOT_TELL = 0, 1, 2
ALPHA = 0.05
TOLERANCE = 0.05  # a change within it is nobody's trouble, however sure
SLACK = {"ns": 50_000, "permille": 50, "count": 0}  # likewise, for figures near 0
MOST_WAYS = 200_000
PERCENTILES = ("p50_ns", "p99_ns")
NEVER = ("lost", "duplicates", "disorder", "undecided")


class TooFew(Exception):
    """The runs cannot tell: exit 2."""


class Run:
    def __init__(self, folder):
        self.folder = folder
        try:
            with open(os.path.join(folder, "summary.json"), encoding="utf-8") as file:
                self.summary = json.load(file)
        except FileNotFoundError:
            raise Usage(f"{folder}: no summary.json; give folders of runs, as `scripts/portolan run` names them") from None
        except ValueError:
            raise TooFew(f"{folder}: summary.json is damaged") from None
        if self.summary.get("verdict") not in ("held", "failed"):
            raise TooFew(f"{folder}: {self.summary.get('verdict', 'no verdict')}; only a run with a verdict can be compared")

    @property
    def kind(self):
        """What must be equal for runs to be repeats of one thing, by name."""
        s = self.summary
        return {"scenario": s["sha256"]["scenario"], "calibration": s["sha256"]["calibration"], "length": s["end_ns"],
                "runner": s.get("runner"), "fidelity": s.get("fidelity"), "reassembly": s.get("reassembly"),
                "topic families": sorted((f["tenant"], f["family"]) for f in s["families"])}

    def figures(self):
        """{name: (value, unit)} of what differs from seed to seed; lower is better."""
        out = {}
        several = len({f["tenant"] for f in self.summary["families"]}) > 1
        for f in self.summary["families"]:
            name = f["family"] + (f" ({f['tenant']})" if several else "")
            for p in PERCENTILES:
                if f["above_floor"]["count"]:
                    out[f"{name} {p[:-3]} above floor"] = (f["above_floor"][p], "ns")
        faults = [f["recovery_ns"] for f in self.summary["faults"] if f["on_ns"] is not None]
        if faults:
            out["recovery from the worst fault"] = (math.inf if None in faults else max(faults), "ns")
        if self.summary["repair"]["ratio_permille"] is not None:
            out["bytes sent again for each lost"] = (self.summary["repair"]["ratio_permille"], "permille")
        return out

    def broken(self):
        """{what no run may do: how often}."""
        out = {name: self.summary["totals"][name] for name in NEVER}
        for rule in self.summary["rules"]:
            if rule["rule"] != "expectation":
                out[f"rule {rule['rule']} failed"] = int(rule["verdict"] == "failed")
        for e in self.summary["expectations"]:
            out[f"expectation missed: {e['name']}"] = int(e["verdict"] == "failed")
        return out


def repeats(runs):
    """One run for each plan: a plan and its seed give the same bytes, so that a second one says nothing."""
    return list({run.summary["sha256"]["plan"]: run for run in runs}.values())


def ways(base, new):
    return math.comb(base + new, new)


def u_of(base, new):
    """How many pairs have the new one higher; ties count half."""
    return sum((n > b) + 0.5 * (n == b) for n in new for b in base)


def p_higher(base, new):
    """The share of all ways to deal these values out whose U is at least the one seen."""
    values, size = list(base) + list(new), len(new)
    seen = u_of(base, new)
    places = range(len(values))
    if ways(len(base), size) <= MOST_WAYS:
        deals = itertools.combinations(places, size)
    else:
        draw = random.Random(20_260_101)
        deals = [tuple(draw.sample(places, size)) for _ in range(MOST_WAYS // 10)] + [tuple(range(len(base), len(values)))]
    ranks = midranks(values)
    # U is the rank sum of the new side less a constant.
    least = seen + size * (size + 1) / 2 - 1e-9
    hits = total = 0
    for deal in deals:
        total += 1
        hits += sum(ranks[i] for i in deal) >= least
    return hits / total


def midranks(values):
    order = sorted(values)
    return [(2 * order.index(v) + order.count(v) + 1) / 2 for v in values]


def holm(ps):
    """{name: p made stricter}, by Holm's step-down."""
    out, worst = {}, 0.0
    for i, name in enumerate(sorted(ps, key=lambda n: (ps[n], n))):
        worst = max(worst, min(1.0, ps[name] * (len(ps) - i)))
        out[name] = worst
    return out


def median(values):
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2 if ordered[middle] < math.inf else math.inf


def runs_needed(figures, alpha):
    """The least number of runs on each side with which the clearest change of one figure could be told from chance."""
    size = 2
    while figures / ways(size, size) > alpha:
        size += 1
    return size


def compare(base, new, alpha=ALPHA, tolerance=TOLERANCE):
    """The report of a comparison: a dictionary, "exit" among it."""
    kinds = base[0].kind
    for run in base + new:
        for what, value in run.kind.items():
            if value != kinds[what]:
                raise TooFew(f"{run.folder} and {base[0].folder} are not repeats of one thing: their {what} differs")
    base, new = repeats(base), repeats(new)
    report = {"base": [r.folder for r in base], "new": [r.folder for r in new], "alpha": alpha, "tolerance": tolerance,
              "broken": [], "figures": []}
    was = [run.broken() for run in base]
    for run in new:
        for what, times in run.broken().items():
            # Missed by some base run already: whether it got worse is for the figures to say.
            if times and not any(b.get(what) for b in was):
                report["broken"].append({"what": what, "times": times, "run": run.folder})
    names = [n for n in base[0].figures() if all(n in r.figures() for r in base + new)]
    units = {n: base[0].figures()[n][1] for n in names}
    samples = {n: ([r.figures()[n][0] for r in base], [r.figures()[n][0] for r in new]) for n in names}
    for what in sorted({what for one in was for what, times in one.items() if times}):
        names.append(what)
        units[what] = "count"
        samples[what] = tuple([run.broken().get(what, 0) for run in side] for side in (base, new))
    up = holm({n: p_higher(*samples[n]) for n in names})
    down = holm({n: p_higher(samples[n][1], samples[n][0]) for n in names})
    for n in names:
        unit = units[n]
        before, after = median(samples[n][0]), median(samples[n][1])
        beyond = abs(after - before) > max(tolerance * before, SLACK[unit]) if before < math.inf or after < math.inf else False
        verdict = "regressed" if beyond and after > before and up[n] <= alpha else (
            "better" if beyond and after < before and down[n] <= alpha else "same")
        report["figures"].append({"name": n, "unit": unit, "base": before, "new": after, "p": up[n], "verdict": verdict,
                                  "ratio": after / before if 0 < before < math.inf and after < math.inf else None})
    regressed = report["broken"] or any(f["verdict"] == "regressed" for f in report["figures"])
    # A smaller number than needed may still show what is broken; that it shows nothing is then no proof.
    report["needed"] = runs_needed(len(names), alpha) if names else 1
    enough = len(names) / ways(len(base), len(new)) <= alpha if names else True
    report["enough"] = enough
    report["exit"] = REGRESSED if regressed else HELD if enough else CANNOT_TELL
    return report


def shown(value, unit):
    if value == math.inf:
        return "never"
    if unit == "count":
        return f"{value:g}"
    return span(round(value)) if unit == "ns" else f"{value / 1000:.3g} times"


def text(report):
    lines = []
    for b in report["broken"]:
        lines.append(f"REGRESSED  {b['what']}: {b['times']} in {b['run']}, in no base run")
    rows = [("figure", "base", "new", "change", "chance", "")]
    for f in report["figures"]:
        change = "" if f["ratio"] is None else f"{100 * (f['ratio'] - 1):+.1f} %"
        chance = f"{f['p']:.3f}" if f["p"] >= 0.001 else "< 0.001"
        rows.append((f["name"], shown(f["base"], f["unit"]), shown(f["new"], f["unit"]), change, chance,
                     {"regressed": "REGRESSED", "better": "better"}.get(f["verdict"], "")))
    widths = [max(len(r[i]) for r in rows) for i in range(6)]
    lines += ["  ".join([r[0].ljust(widths[0])] + [c.rjust(w) for c, w in zip(r[1:5], widths[1:5])] + [r[5]]).rstrip() for r in rows]
    lines.append(f"medians of {len(report['base'])} and {len(report['new'])} runs; chance: of so high a rank without a change, "
                 f"for all {len(report['figures'])} figures together; a change counts at {report['alpha']:g} or less and beyond "
                 f"{100 * report['tolerance']:g} %")
    if report["exit"] == CANNOT_TELL:
        lines.append(f"INCONCLUSIVE  {len(report['base'])} and {len(report['new'])} runs are too few to tell a change of one of "
                     f"{len(report['figures'])} figures from chance: give {report['needed']} of different seeds on each side")
    else:
        lines.append("REGRESSED" if report["exit"] else "HELD  no figure is worse than chance and the tolerance allow")
    return "\n".join(lines) + "\n"


def main(base, new, as_json, tolerance=TOLERANCE):
    """Prints the comparison; returns the exit code."""
    try:
        report = compare([Run(folder) for folder in base], [Run(folder) for folder in new], tolerance=tolerance)
    except TooFew as error:
        if as_json:
            print(json.dumps({"exit": CANNOT_TELL, "why": str(error)}, indent=1, sort_keys=True))
        else:
            print(f"INCONCLUSIVE  {error}")
        return CANNOT_TELL
    if as_json:
        safe = [{k: None if v == math.inf else v for k, v in f.items()} for f in report["figures"]]
        print(json.dumps({**report, "figures": safe}, indent=1, sort_keys=True))
    else:
        print(text(report), end="")
    return report["exit"]
