"""How late messages were: one panel for each topic family, latency by percentile with the floor drawn in.

The axis counts nines (50, 90, 99, 99.9 %), for the rare late message is what a reader looks for. The floor is the
great-circle distance over two thirds of the speed of light: no network can be faster.
"""

import math

import numpy as np

from style import BAD, INK, QUIET, WIDTH, colours, figure_key, plt, save
from words import duration, listing, short

NAME, TITLE = "latency", "By percentile"
MOST_PANELS = 8
BAND = "#e3e8ed"
LEAST_NS = 1_000  # a logarithmic axis has no zero: what is less is drawn here
END = 4.3         # nines at which the slowest message is drawn


def missing(run):
    """Why there is no picture, or None."""
    if not run.series.get("families"):
        return "no distributions were left by the checker"
    if not any(f.get("latency_cdf") for f in run.series["families"]):
        return "nothing was delivered"
    return None


def tables(run):
    rows = []
    for family in run.series.get("families") or []:
        above = dict(family.get("above_floor_cdf") or [])
        for at, latency in family.get("latency_cdf") or []:
            rows.append({"tenant": family["tenant"], "family": family["family"], "percentile": at / 100, "latency_ns": latency,
                         "above_floor_ns": above.get(at), "floor_min_ns": family["floor_min_ns"],
                         "floor_max_ns": family["floor_max_ns"]})
    return {"latency": rows}


def alt(run):
    parts = []
    for family in run.families[:MOST_PANELS]:
        spread = family["latency"]
        if spread["count"]:
            parts.append(f"{run.family_name(family)}: half within {duration(spread['p50_ns'])}, 99 % within "
                         f"{duration(spread['p99_ns'])}, slowest {duration(spread['max_ns'])}, floor "
                         f"{floor_text(family['floor_min_ns'], family['floor_max_ns'])}")
    return "Latency by percentile for each topic family. " + "; ".join(parts) + "."


def floor_text(low, high):
    return duration(low) if low == high else f"{duration(low)} to {duration(high)}"


def caption(run):
    families = [f for f in run.series["families"] if f.get("latency_cdf")]
    text = ("Read a panel from left to right: half of the messages were no later than the curve at 50 %, all but one in a "
            "thousand no later than at 99.9 %. Solid: from the intended time to delivery. Dashed: the same less the floor, "
            "which is the least that distance allows; the grey band is the floor, from the nearest to the farthest pair of "
            "harbours (none within one harbour).")
    if any(_limits(run, f) for f in families[:MOST_PANELS]):
        text += " Triangles: limits that the scenario sets on the dashed curve, filled where it was beyond."
    if len(families) > MOST_PANELS:
        left = listing([f["family"] for f in families[MOST_PANELS:]])
        text += f" Only {MOST_PANELS} families are drawn; {left} are in the table."
    return text


def _nines(permyriad):
    share = 1 - np.asarray(permyriad, float) / 10000
    return np.where(share < 10**-4 * 0.999, END, -np.log10(np.maximum(share, 10**-END)))


def _limits(run, family):
    """(percentile, limit, whether it failed) of the expectations about exactly these messages: one that measures several
    families or tenants together would say something false in the panel of one."""
    judged = run.summary.get("expectations") or []  # in the plan's order
    others = [f for f in run.families if f["family"] != family["family"]]
    twins = [f for f in run.families if f["family"] == family["family"]]
    out = []
    for i, e in enumerate(run.plan.get("expectations", [])):
        tenant = None if e.get("tenant") is None else run.plan["tenants"][e["tenant"]]["name"]
        mine = tenant == family["tenant"] if tenant else len(twins) == 1
        if e["kind"].replace("_", "-") == "latency-above-floor" and mine and (
                e["filter"] == family["family"] or e["filter"] == "#" and not others):
            out.append((e["percentile_permyriad"], e["limit"], i < len(judged) and judged[i]["verdict"] == "failed"))
    return out


def time_ticks(axis):
    """Powers of ten in the unit that fits."""
    axis.set_major_formatter(plt.FuncFormatter(lambda ns, _: duration(ns) if ns >= 1 else ""))
    low, high = axis.get_view_interval()
    if high / max(low, 1) < 300:  # too few powers of ten to read by
        axis.set_major_locator(plt.LogLocator(subs=(1, 2, 5)))
    axis.set_minor_formatter(plt.NullFormatter())


def draw(run, path):
    families = [f for f in run.series["families"] if f.get("latency_cdf")][:MOST_PANELS]
    columns = 1 if len(families) == 1 else 2
    rows = math.ceil(len(families) / columns)
    figure, axes = plt.subplots(rows, columns, figsize=(WIDTH, 2.75 * rows + 0.5 if columns > 1 else 3.6), squeeze=False,
                                sharex=True, sharey=True)
    colour = colours([(f["tenant"], f["family"]) for f in families])
    values = [v for f in families for _, v in f["latency_cdf"] + f["above_floor_cdf"]]
    values += [limit for f in families for _, limit, _ in _limits(run, f)] + [f["floor_max_ns"] for f in families]
    low = 10 ** math.floor(math.log10(max(LEAST_NS, min(v for v in values if v > 0) if any(v > 0 for v in values) else 1)))
    high = max(max(values) * 1.6, low * 100)
    for ax, family in zip(axes.flat, families):
        shade = colour[family["tenant"], family["family"]]
        floor_low, floor_high = max(family["floor_min_ns"], low), max(family["floor_max_ns"], low)
        ax.axhspan(floor_low, floor_high, color=BAND, lw=0, zorder=1)
        for edge in {floor_low, floor_high} - {low}:
            ax.axhline(edge, color=QUIET, lw=1.0, zorder=1.5)
        for key, style, width in (("above_floor_cdf", (0, (4, 2)), 1.5), ("latency_cdf", "-", 2.1)):
            points = np.array([p for p in family[key] if p[0] > 0], float)
            ax.plot(_nines(points[:, 0]), np.maximum(points[:, 1], low), color=shade, ls=style, lw=width, zorder=3)
        for at, limit, failed in _limits(run, family):
            ax.plot(_nines(at), limit, marker="v", ms=7, mfc=BAD if failed else "white", mec=BAD if failed else INK, mew=1.1, zorder=4)
        ax.set_title(short(run.family_name(family), 34 if columns > 1 else 70))
        ax.set_yscale("log")
        ax.set_ylim(low, high)
        ax.set_xlim(0, END + 0.1)
        ax.set_xticks([-math.log10(0.5), 1, 2, 3, END], ["50 %", "90 %", "99 %", "99.9 %", "slowest"])
        time_ticks(ax.yaxis)
    for ax in axes.flat[len(families):]:
        ax.set_visible(False)
    for ax in list(axes.flat)[:len(families)][-columns:]:
        ax.tick_params(labelbottom=True)
    handles = [plt.Line2D([], [], color=INK, lw=2.1, label="latency from the intended time"),
               plt.Line2D([], [], color=INK, lw=1.5, ls=(0, (4, 2)), label="above the floor"),
               plt.Rectangle((0, 0), 1, 1, fc=BAND, ec=QUIET, lw=1.0, label="floor")]
    if any(_limits(run, f) for f in families):
        handles.append(plt.Line2D([], [], ls="", marker="v", ms=7, mfc="white", mec=INK, label="limit"))
    figure_key(figure, handles)
    save(figure, path)
