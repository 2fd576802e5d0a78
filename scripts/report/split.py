"""Where the time went: a bar for each topic family, the mean delivery and the slowest hundredth, split into its parts."""

import numpy as np

from latency import floor_text
from style import INK, PARTS, WIDTH, figure_key, plt, save
from words import duration, short

NAME, TITLE = "split", "Where the time went"
MOST_BARS = 16
NAMES = {"queueing": "queueing (links; the sender's pace)", "broker": "broker (processor time)"}  # in the key


def present(run):
    """The parts that some delivery spent time in; repair and the like are told even at 0, consensus only where there is any."""
    return [p for p in PARTS if p != "consensus" or any(f["split"]["mean"].get("consensus_ns") for f in run.families)]


def _split(run):
    return [f for f in run.families if f["split"]["count"]]


def missing(run):
    if not run.families:
        return "no summary was written"
    return None if _split(run) else "no delivery was split into its parts"


def tables(run):
    rows = []
    for family in _split(run):
        for which, count in (("mean", "count"), ("mean_at_p99", "count_at_p99")):
            rows.append({"tenant": family["tenant"], "family": family["family"],
                         "of": "all deliveries" if which == "mean" else "slowest hundredth", "deliveries": family["split"][count],
                         **{f"{part}_ns": family["split"][which].get(f"{part}_ns", 0) for part in PARTS},
                         "floor_min_ns": family["floor_min_ns"], "floor_max_ns": family["floor_max_ns"]})
    return {"split": rows}


def alt(run):
    parts = []
    for family in _split(run)[:MOST_BARS]:
        mean = family["split"]["mean"]
        parts.append(run.family_name(family) + ": " + ", ".join(f"{part} {duration(mean[part + '_ns'])}" for part in present(run)))
    return "Mean time of a delivery by part. " + "; ".join(parts) + "."


def caption(run):
    text = ("Each bar is a mean, so that its parts add up. Propagation is the way through the links; serialisation, putting bits "
            "on them; queueing, waiting for them and for the sender's pace; repair, waiting for what was lost to be sent again; "
            "broker, processor time at clients and brokers and waiting for it. The slowest hundredth are the deliveries "
            "furthest above the floor. Floors: ")
    text += "; ".join(f"{run.family_name(f)} {floor_text(f['floor_min_ns'], f['floor_max_ns'])}" for f in _split(run)[:MOST_BARS]) + "."
    if len(_split(run)) > MOST_BARS:
        text += f" Only the first {MOST_BARS} families are drawn; the rest is in the data beside this page."
    return text


def _unit(most):
    return ("s", 1e9) if most >= 2e9 else ("ms", 1e6) if most >= 2e6 else ("µs", 1e3)


def draw(run, path):
    families = _split(run)[:MOST_BARS]
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 1.5 + 0.48 * len(families)), sharey=True)
    y = np.arange(len(families))[::-1]
    for ax, which, title in ((axes[0], "mean", "Mean of all deliveries"), (axes[1], "mean_at_p99", "Mean of the slowest hundredth")):
        values = {part: np.array([max(0, f["split"][which][f"{part}_ns"]) for f in families], float) for part in present(run)}
        total = sum(values.values())
        unit, scale = _unit(max(total.max(), 1))
        left = np.zeros(len(families))
        for part in values:
            colour, hatch = PARTS[part]
            ax.barh(y, values[part] / scale, left=left / scale, height=0.56, color=colour, hatch=hatch, edgecolor="white", lw=0.4,
                    label=NAMES.get(part, part))
            left += values[part]
        for row, sum_ns, family in zip(y, total, families):
            ax.annotate(duration(sum_ns), (sum_ns / scale, row), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8.5)
            ends = [family["floor_min_ns"] / scale, family["floor_max_ns"] / scale]
            ax.plot(ends, [row + 0.36] * 2, color=INK, lw=1.6, marker="|", ms=5, mew=1.6, solid_capstyle="butt", zorder=4)
        ax.set_title(title)
        ax.set_xlabel(unit)
        ax.set_xlim(0, max(total.max() / scale, max(f["floor_max_ns"] for f in families) / scale) * 1.2 or 1)
        ax.set_ylim(-0.6, len(families) - 0.3)
        ax.grid(False, axis="y")
        ax.spines["left"].set_visible(False)
        ax.tick_params(axis="y", length=0)
    axes[0].set_yticks(y, [short(run.family_name(f), 30) for f in families])
    handles, labels = axes[0].get_legend_handles_labels()
    handles.append(plt.Line2D([], [], color=INK, lw=1.6, marker="|", ms=5, mew=1.6))
    figure_key(figure, handles, labels + ["floor (nearest to farthest pair)"], 3)
    save(figure, path)
