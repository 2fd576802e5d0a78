"""What the links lost and what it took to repair it."""

import math

import numpy as np

from style import INK, WIDTH, figure_key, plt, save
from words import count, percent, proper, several, significant, size

NAME, TITLE = "losses", "Losses and repairs"
MOST_LINKS = 14
# Why a link dropped a packet (sim/link/, `Drop`): colour, hatch, and what people call it; others take the next grey.
REASONS = {"loss": ("#D55E00", "xxx", "lost"), "burst": ("#E69F00", "...", "lost in a burst"),
           "queue_full": ("#56B4E9", "///", "queue full"), "codel": ("#0072B2", "", "dropped early (CoDel)"),
           "cut": ("#5b4b8a", "", "under way when cut"), "down": ("#333333", "", "link down"), "too_big": ("#CC79A7", "\\\\\\", "longer than the MTU")}


def by_link(run):
    """One row for each direction of a link that carried something, those that lost most first."""
    rows = []
    for link, ways in run.links.items():
        for way, what in ways.items():
            if not way:
                continue  # of the whole network, not of a link
            dropped = {k.partition("/")[2]: v for k, v in what.items() if k.startswith("dropped/")}
            bytes_ = sum(v for k, v in what.items() if k.startswith("dropped_bytes/"))
            rows.append({"link": link, "way": way, "packets": what.get("packets", 0), "bytes": what.get("bytes", 0),
                         "dropped": sum(dropped.values()), "dropped_bytes": bytes_, "reasons": dropped})
    return sorted(rows, key=lambda r: (-r["dropped"], r["link"], r["way"]))


def arrow(row):
    """"Hamburg → Rotterdam" for one direction."""
    a, _, b = row["link"].partition("--")
    if not b:
        return f"{row['link']} ({row['way'].replace('_', ' ')})"
    a, b = proper(a.removesuffix("/edge")), proper(b.removesuffix("/edge"))
    return f"{a} → {b}" if row["way"] == "a_to_b" else f"{b} → {a}"


def missing(run):
    lost = [row for row in by_link(run) if row["dropped"]]
    repair = run.summary.get("repair")
    if not lost and not repair:
        return "no summary was written and no link counters were left"
    if not lost and not (repair["lost_packets"] or repair["repair_datagrams"]):
        return "no packet was lost and none was sent again"
    return None


def tables(run):
    rows = []
    for row in by_link(run):
        rows.append({"link": row["link"], "way": row["way"], "packets": row["packets"], "bytes": row["bytes"],
                     "dropped": row["dropped"], "dropped_bytes": row["dropped_bytes"],
                     "reasons": " ".join(f"{k}={v}" for k, v in sorted(row["reasons"].items()))})
    return {"losses": rows, "repair": [run.summary["repair"]] if run.summary.get("repair") else []}


def alt(run):
    lost = [row for row in by_link(run) if row["dropped"]]
    text = "Losses by link: " + ("; ".join(f"{arrow(r)} {count(r['dropped'])}" for r in lost[:MOST_LINKS]) or "none known") + ". "
    repair = run.summary.get("repair")
    if repair:
        text += f"{size(repair['lost_bytes'])} lost in all, {size(repair['repair_bytes'])} sent again."
    return text


def caption(run):
    lost = [row for row in by_link(run) if row["dropped"]]
    text = "Packets that each direction of a link dropped, by reason, and their share of what it was given." if lost else (
        "No link dropped a packet." if run.links else "What each link lost is not known.")
    if len(lost) > MOST_LINKS:
        text += f" {several(len(lost) - MOST_LINKS, 'direction')} that lost less are in the table only."
    repair = run.summary.get("repair")
    if repair:
        text += " Bytes that the links lost for any reason, beside bytes sent again."
        if repair["repair_bytes"] and not repair["lost_bytes"]:
            text += " Sent again without a loss on any link: what a process that was down or paused did not take, for instance."
        if repair["ratio_permille"] is not None:
            text += f" {significant(repair['ratio_permille'] / 1000)} bytes were sent again for each byte lost."
    return text


def draw(run, path):
    lost = [row for row in by_link(run) if row["dropped"]][:MOST_LINKS]
    repair = run.summary.get("repair")
    tall = 1.8 + max(0.3 * len(lost), 1.5)
    panels = bool(lost) + bool(repair)
    figure, axes = plt.subplots(1, panels, figsize=(WIDTH, tall), width_ratios=(1.7, 1) if panels > 1 else None, squeeze=False)
    if lost:
        _links(axes[0][0], lost)
        figure_key(figure, *axes[0][0].get_legend_handles_labels())
    if repair:
        _bytes(axes[0][-1], run, repair)
    save(figure, path)


def _links(ax, lost):
    """What each direction of a link dropped."""
    y = np.arange(len(lost))[::-1]
    left = np.zeros(len(lost))
    reasons = sorted({r for row in lost for r in row["reasons"] if row["reasons"][r]},
                     key=lambda r: (list(REASONS).index(r) if r in REASONS else 99, r))
    spare = iter(["#7a8793", "#a9b4bf", "#cbd3da"] * 9)
    for reason in reasons:
        colour, hatch, word = REASONS.get(reason) or (next(spare), "", reason.replace("_", " "))
        values = np.array([row["reasons"].get(reason, 0) for row in lost], float)
        ax.barh(y, values, left=left, height=0.62, color=colour, hatch=hatch, edgecolor="white", lw=0.4, label=word)
        left += values
    for row, at, total in zip(lost, y, left):
        ax.annotate(f"{count(total)}" + (f"  ({percent(row['dropped'], row['packets'])})" if row["packets"] else ""), (total, at),
                    xytext=(4, 0), textcoords="offset points", va="center", fontsize=8)
    ax.set_title("Packets dropped, and their share")
    ax.set_yticks(y, [arrow(row) for row in lost])
    ax.tick_params(axis="y", length=0)
    ax.grid(False, axis="y")
    ax.xaxis.set_major_formatter(plt.FuncFormatter(lambda v, _: count(v)))
    ax.xaxis.set_major_locator(plt.MaxNLocator(5, integer=True))
    ax.set_xlim(0, left.max() * 1.42)


def _bytes(ax, run, repair):
    """Bytes lost beside bytes sent again, with the scenario's limit."""
    values = [repair["lost_bytes"], repair["repair_bytes"]]
    bars = ax.bar([0, 1], values, 0.6, color=["#D55E00", "#0072B2"], edgecolor="white", lw=0.4)
    bars[0].set_hatch("xxx")
    for x, value, packets, word in ((0, values[0], repair["lost_packets"], "packet"), (1, values[1], repair["repair_datagrams"], "datagram")):
        ax.annotate(f"{size(value)}\n{several(packets, word)}", (x, value), xytext=(0, 3), textcoords="offset points", ha="center",
                    va="bottom", fontsize=8.5)
    limit = next((e["limit"] for e in run.plan.get("expectations", []) if e["kind"].replace("_", "-") == "repair-ratio"), None)
    top = max(values + [1])
    if limit is not None and values[0]:
        bound = values[0] * limit / 1000
        ax.plot([0.62, 1.38], [bound, bound], color=INK, lw=1.4, ls=(0, (4, 2)))
        ax.annotate("limit", (1.38, bound), xytext=(-1, 3), textcoords="offset points", ha="right", fontsize=8, color=INK)
        top = max(top, bound)
    ax.set_title("Bytes")
    ax.set_xticks([0, 1], ["lost", "sent again"])
    ax.tick_params(axis="x", length=0)
    ax.set_ylim(0, top * 1.3)
    ax.set_xlim(-0.6, 1.6)
    ax.yaxis.set_major_formatter(plt.FuncFormatter(lambda v, _: size(v)))
    ax.yaxis.set_major_locator(plt.MultipleLocator(2 ** max(0, round(math.log2(top / 4)))))
    ax.grid(False, axis="x")
