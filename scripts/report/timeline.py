"""The run second by second: deliveries, time above the floor, losses and repairs, with the faults and the recovery after
each as bands through all three."""

import math

import numpy as np

from latency import LEAST_NS, time_ticks
from style import BAD, QUIET, WIDTH, colours, fault_colour, figure_key, plt, save
from words import count, duration, listing, several, short

NAME, TITLE = "timeline", "Second by second"
MOST_FAMILIES = 8
MOST_BADGES = 24


def missing(run):
    if not run.series.get("families"):
        return "no series were left by the checker"
    return None if any(sum(f["deliveries"]) for f in run.series["families"]) else "nothing was delivered"


def _bins(series):
    """Start and length of each bin in seconds; the last one may be short."""
    starts = np.arange(series["bins"]) * series["bin_ns"] / 1e9
    lengths = np.minimum(series["bin_ns"], np.maximum(series["end_ns"] - np.arange(series["bins"]) * series["bin_ns"], 0)) / 1e9
    return starts, lengths


def _rate(values, lengths):
    """Per second. What fell into a last bin of hardly any length belongs to the one before it."""
    values = np.array(values, float)
    if len(values) > 1 and lengths[-1] < 0.05 * lengths[0]:
        values[-2] += values[-1]
        return np.append(values[:-1] / lengths[:-1], 0.0)
    return values / np.maximum(lengths, 1e-9)


def tables(run):
    s = run.series
    rows, totals = [], []
    for family in s.get("families") or []:
        for i in range(s["bins"]):
            rows.append({"tenant": family["tenant"], "family": family["family"], "from_s": i * s["bin_ns"] / 1e9,
                         **{key: family[key][i] for key in ("published", "deliveries", "missing", "above_floor_p50_ns",
                                                            "above_floor_p99_ns", "above_floor_max_ns")}})
    for i in range(s.get("bins", 0)):
        totals.append({"from_s": i * s["bin_ns"] / 1e9, "packets_lost": s["packets_lost"][i],
                       "repair_datagrams": s["repair_datagrams"][i]})
    return {"timeline": rows, "repairs": totals, "faults": faults(run)}


def faults(run):
    """What the plan asked for beside what happened, by number."""
    happened = {f["index"]: f for f in run.summary.get("faults") or []}
    rows = []
    for i, fault in enumerate(run.plan["faults"]):
        seen = happened.get(i, {})
        rows.append({"number": i + 1, "name": fault["name"], "kind": fault["kind"], "planned_at_ns": fault["at_ns"],
                     "planned_until_ns": fault["until_ns"] or None, "on_ns": seen.get("on_ns"), "off_ns": seen.get("off_ns"),
                     "held_up_streams": seen.get("held_up_streams"), "missing": seen.get("missing"),
                     "worst_latency_ns": seen.get("worst_latency_ns"), "recovery_ns": seen.get("recovery_ns")})
    return rows


def alt(run):
    s = run.series
    _, lengths = _bins(s)
    total = sum(_rate(f["deliveries"], lengths) for f in s["families"])
    text = (f"Timeline of {duration(run.summary.get('end_ns') or s['end_ns'])}. Deliveries peak at {count(round(total.max()))} each second. ")
    marks = [f"{row['number']}, {row['name']}, from {duration(row['on_ns'])}" +
             (f" to {duration(row['off_ns'])}" if row["off_ns"] is not None else "") for row in faults(run) if row["on_ns"] is not None]
    return text + (f"Faults: {listing(marks, 12)}." if marks else "No fault took effect.")


def caption(run):
    s = run.series
    each = "second" if s["bin_ns"] == 10**9 else duration(s["bin_ns"])
    text = f"Each point stands for one {each}." if each == "second" else f"Each point stands for {each}."
    if any(f["on_ns"] is not None for f in faults(run)):
        text += (" Shaded and numbered: the faults, as on the map. Hatched after them: until the last stream that the fault held up "
                 "flowed again.")
    if len(s["families"]) > MOST_FAMILIES:
        text += f" The {MOST_FAMILIES} families with most deliveries have a curve each; the rest is drawn as one."
    left = sum(sum(f["missing"]) for f in s["families"])
    if left:
        text += f" Crosses: when messages that never arrived were intended ({several(left, 'message')})."
    return text


def _chosen(run):
    """Families to draw one by one, and those drawn together."""
    families = [f for f in run.series["families"] if sum(f["deliveries"]) or sum(f["missing"])]
    if len(families) <= MOST_FAMILIES:
        return families, []
    most = sorted(range(len(families)), key=lambda i: (-sum(families[i]["deliveries"]), i))[:MOST_FAMILIES - 1]
    return [families[i] for i in sorted(most)], [f for i, f in enumerate(families) if i not in most]


def _until(run, starts):
    """Where the axis ends: with the load, or with what came later, not with the empty drain."""
    s = run.series
    busy = [i for i in range(s["bins"]) if s["packets_lost"][i] or s["repair_datagrams"][i] or
            any(f["deliveries"][i] or f["missing"][i] for f in s["families"])]
    last = starts[busy[-1]] + s["bin_ns"] / 1e9 if busy else 0
    heals = [(f["off_ns"] + (f["recovery_ns"] or 0)) / 1e9 for f in faults(run) if f["off_ns"] is not None]
    return min(max([last, run.plan.get("duration_ns", 0) / 1e9] + heals), s["end_ns"] / 1e9)


def _union(spans):
    """Overlapping spans as one, so that their shades do not add up."""
    out = []
    for a, b in sorted(spans):
        if out and a <= out[-1][1]:
            out[-1][1] = max(out[-1][1], b)
        elif b > a:
            out.append([a, b])
    return out


def _shade(shown, axes, until):
    """The bands: plain while faults last, hatched until what they held up flowed again."""
    for colour in dict.fromkeys(fault_colour(f["kind"]) for f in shown):
        mine = [f for f in shown if fault_colour(f["kind"]) == colour]
        ends = [until if f["off_ns"] is None else f["off_ns"] / 1e9 for f in mine]
        lasting = _union((f["on_ns"] / 1e9, min(off, until)) for f, off in zip(mine, ends))
        recovering = _union((off, min(off + (f["recovery_ns"] or 0) / 1e9, until)) for f, off in zip(mine, ends) if off < until)
        for ax in axes:
            # A white veil over the filled areas of the first panel; colour under the curves of the others.
            first = ax is axes[0]
            for a, b in lasting:
                ax.axvspan(a, b, color="#ffffff" if first else colour, alpha=0.3 if first else 0.13, lw=0, zorder=3 if first else 0)
                ax.axvline(b, color=colour, lw=0.8, alpha=0.7, zorder=4 if first else 1)
            for a, b in recovering:
                ax.axvspan(a, b, facecolor="none", edgecolor="#ffffff" if first else colour, alpha=0.6, hatch="////", lw=0,
                           zorder=3 if first else 0)


def _mark_faults(run, axes, until):
    shown = [f for f in faults(run) if f["on_ns"] is not None]
    used = []  # (end, row) of badges, so that they stand in as many rows as they need
    _shade(shown, axes, until)
    for f in shown:
        on, colour = f["on_ns"] / 1e9, fault_colour(f["kind"])
        for ax in axes:
            ax.axvline(on, color=colour, lw=1.0, ls=(0, (4, 2)), zorder=4 if ax is axes[0] else 1)
        if len(shown) > MOST_BADGES:
            continue
        row = 0
        while any(r == row and on < end for end, r in used):
            row += 1
        used.append((on + 0.03 * until, row))
        axes[0].annotate(f"{f['number']}", (on, 1), xycoords=("data", "axes fraction"), xytext=(0, 9 + 15 * row),
                         textcoords="offset points", ha="center", va="center", fontsize=7.5, fontweight="bold", color="white",
                         annotation_clip=False, zorder=9,
                         bbox={"boxstyle": "circle,pad=0.28" if f["number"] < 10 else "round,pad=0.3", "fc": colour, "ec": "white"})
    return max((row for _, row in used), default=-1) + 1


def draw(run, path):
    s = run.series
    starts, lengths = _bins(s)
    families, rest = _chosen(run)
    shade = colours([(f["tenant"], f["family"]) for f in run.series["families"]] if not rest else
                    [(f["tenant"], f["family"]) for f in families])
    figure, axes = plt.subplots(3, 1, figsize=(WIDTH, 7.4), sharex=True, height_ratios=(1.15, 1.35, 0.8))
    middle = starts + s["bin_ns"] / 2e9
    until = _until(run, starts)

    edges = np.append(starts, starts[-1] + s["bin_ns"] / 1e9)
    below = np.zeros(s["bins"])
    for family in families + ([{"tenant": "", "family": f"{len(rest)} more families", "deliveries": np.sum([f["deliveries"] for f in rest], 0)}]
                              if rest else []):
        rate = _rate(family["deliveries"], lengths)
        colour = shade.get((family["tenant"], family["family"]), "#9aa5b1")
        name = run.family_name(family) if family["tenant"] else family["family"]
        axes[0].stairs(below + rate, edges, baseline=below, fill=True, color=colour, alpha=0.85, lw=0, label=name, zorder=2)
        below = below + rate
    axes[0].set_ylim(0, below.max() * 1.08)
    axes[0].set_title("Deliveries each second", pad=8)

    tops = []
    for i, family in enumerate(families):
        colour = shade[family["tenant"], family["family"]]
        for key, width, style in (("above_floor_p99_ns", 1.9, "-"), ("above_floor_p50_ns", 1.2, (0, (1.5, 1.5)))):
            values = np.array([np.nan if v is None else max(v, LEAST_NS) for v in family[key]], float)
            known = np.isfinite(values)
            lonely = known & ~np.append(False, known[:-1]) & ~np.append(known[1:], False)
            axes[1].plot(middle, values, color=colour, lw=width, ls=style, zorder=3)
            axes[1].plot(middle[lonely], values[lonely], color=colour, ls="", marker="o", ms=4, zorder=3)
            tops.append(np.nanmax(values) if known.any() else LEAST_NS)
    axes[1].set_yscale("log")
    axes[1].set_ylim(top=max(tops) * 2)
    bottom, top = axes[1].get_ylim()
    if top / bottom < 30:
        axes[1].set_ylim(bottom=top / 30)
    time_ticks(axes[1].yaxis)
    axes[1].set_title("Time above the floor: 99 % of deliveries (solid), half of them (dotted)")
    missing = np.sum([f["missing"] for f in s["families"]], axis=0)
    if missing.any():
        at = middle[missing > 0]
        axes[0].plot(at, np.full(len(at), 0.05), marker="x", ms=7, mew=2, ls="", color=BAD, zorder=6, clip_on=False,
                     transform=axes[0].get_xaxis_transform(), label="messages that never arrived")

    width = s["bin_ns"] / 1e9
    axes[2].bar(starts + width * 0.3, s["packets_lost"], width * 0.38, color="#D55E00", hatch="xxx", edgecolor="white", lw=0,
                label="packets found lost", zorder=2)
    axes[2].bar(starts + width * 0.7, s["repair_datagrams"], width * 0.38, color="#0072B2", label="repair datagrams", zorder=2)
    if not any(s["packets_lost"]) and not any(s["repair_datagrams"]):
        axes[2].set_ylim(0, 1)
        axes[2].set_yticks([0])
        axes[2].annotate("none lost, none repaired", (0.5, 0.5), xycoords="axes fraction", ha="center", color=QUIET)
    each = "second" if s["bin_ns"] == 10**9 else duration(s["bin_ns"])
    axes[2].set_title(f"Losses and repairs in each {each}", pad=8)
    axes[2].legend(loc="upper right", ncol=2, bbox_to_anchor=(1.0, 1.24), borderaxespad=0)
    axes[2].set_xlabel("seconds since the start of the run")
    axes[2].set_xlim(0, until)
    load_end = max((load["end_ns"] for load in run.plan.get("loads", [])), default=0) / 1e9
    if 0 < load_end < until * 0.97:
        for ax in axes:
            ax.axvline(load_end, color=QUIET, lw=0.9, zorder=1)
        axes[2].annotate("load ends", (load_end, 1), xycoords=("data", "axes fraction"), xytext=(-3, -3), ha="right",
                         textcoords="offset points", fontsize=8, color=QUIET, va="top", zorder=9,
                         bbox={"boxstyle": "round,pad=0.1", "fc": "white", "ec": "none", "alpha": 0.75})
    rows = _mark_faults(run, axes, until)
    if rows:
        axes[0].set_title("Deliveries each second", pad=8 + 15 * rows)
    handles, labels = axes[0].get_legend_handles_labels()
    labels = [short(label, 38) for label in labels]
    figure_key(figure, handles, labels, 2 if max(map(len, labels)) > 26 else 3 if max(map(len, labels)) > 18 else 4)
    save(figure, path)
