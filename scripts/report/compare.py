"""Several runs side by side: one row of marks for each topic family, one colour and shape for each run."""

import numpy as np

from latency import time_ticks
from run import FAILED, HELD
from style import SERIES, WIDTH, figure_key, plt, save
from words import duration, short

NAME, TITLE = "compare", "Side by side"
MOST_FAMILIES = 14
SHAPES = "osD^vPX*"


def families(runs):
    """(tenant, family) that some run delivered, in the order of their first run."""
    seen = {}
    for run in runs:
        for family in run.families:
            if family["latency"]["count"]:
                seen.setdefault((family["tenant"], family["family"]), None)
    return list(seen)


def _spread(run, key):
    for family in run.families:
        if (family["tenant"], family["family"]) == key and family["above_floor"]["count"]:
            return family["above_floor"]
    return None


def missing(runs):
    return None if families(runs) else "none of these runs delivered anything"


def tables(runs, names):
    rows = []
    for key in families(runs):
        for run, name in zip(runs, names):
            spread = _spread(run, key)
            if spread:
                rows.append({"run": name, "tenant": key[0], "family": key[1], **{f"above_floor_{k}": v for k, v in spread.items()}})
    return {"compare": rows}


def notes(runs):
    """What to know before reading these runs as variations of one thing."""
    out = []
    if len({run.plan.get("scenario_sha256") for run in runs}) > 1:
        out.append("These runs are not of one scenario: what differs between them may be the scenario's doing.")
    if any(run.verdict not in (HELD, FAILED) for run in runs):
        out.append("A run without a verdict proves nothing: its figures stand here for what they are.")
    for i, run in enumerate(runs):
        same = [other for other in runs[:i] if other.plan_sha256 == run.plan_sha256]
        hashes = {other.summary.get("trace_hash") for other in same + [run]} - {None}
        if len(hashes) > 1:
            out.append("One plan, but different trace hashes: these runs did not do the same (other sources, tools or calibration).")
            break
    return out


def alt(runs, names):
    parts = []
    for key in families(runs)[:MOST_FAMILIES]:
        said = [f"{name} {duration(s['p99_ns'])}" for run, name in zip(runs, names) if (s := _spread(run, key))]
        parts.append(f"{key[1]}: " + ", ".join(said))
    return "Time above the floor at 99 % for each family and run. " + "; ".join(parts) + "."


CAPTION = "Time above the floor: the small mark is the median, the large one 99 %, the line ends at the slowest message."


def draw(runs, names, path):
    keys = families(runs)[:MOST_FAMILIES]
    several = len({tenant for tenant, _ in keys}) > 1
    rows = {key: [(i, spread) for i, run in enumerate(runs) if (spread := _spread(run, key))] for key in keys}
    lines = sum(map(len, rows.values()))
    figure, ax = plt.subplots(figsize=(WIDTH, 1.4 + 0.2 * lines + 0.2 * len(keys)))
    ticks, y = [], 0
    for key in keys:
        y -= 1
        ticks.append(y - (len(rows[key]) - 1) / 2)
        for i, spread in rows[key]:
            colour, shape = SERIES[i % len(SERIES)], SHAPES[i % len(SHAPES)]
            p50, p99, most = (max(1000, spread[k]) for k in ("p50_ns", "p99_ns", "max_ns"))
            ax.plot([p50, most], [y, y], color=colour, lw=1.4, zorder=2)
            ax.plot(p50, y, marker=shape, ms=5, mfc="white", mec=colour, mew=1.4, ls="", zorder=3)
            ax.plot(p99, y, marker=shape, ms=8, color=colour, mec="white", ls="", zorder=3)
            ax.annotate(duration(spread["p99_ns"]), (most, y), xytext=(5, 0), textcoords="offset points", va="center", fontsize=8)
            y -= 1
    ax.set_ylim(y, 0)
    ax.set_yticks(ticks, [short(f"{f} ({t})" if several else f, 34) for t, f in keys])
    ax.tick_params(axis="y", length=0)
    ax.grid(False, axis="y")
    ax.set_xscale("log")
    low, high = ax.get_xlim()
    ax.set_xlim(low, high * (high / low) ** 0.12)
    time_ticks(ax.xaxis)
    ax.set_xlabel("time above the floor")
    handles = [plt.Line2D([], [], color=SERIES[i % len(SERIES)], marker=SHAPES[i % len(SHAPES)], ms=7, lw=1.4, label=name)
               for i, name in enumerate(names)]
    figure_key(figure, handles, None, 2 if max(map(len, names)) > 24 else 4)
    save(figure, path)
