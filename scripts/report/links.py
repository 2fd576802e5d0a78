"""How full the links were and how long datagrams waited for them: one strip of time for each direction, fullest first."""

import numpy as np

import timeline
from losses import arrow
from style import INK, QUIET, WIDTH, plt, save
from words import duration, percent, rate, several, short, significant

NAME, TITLE = "links", "How full the links were"
MOST_STRIPS = 14
LEAST_SCALE_NS = 1_000_000  # waits below look short


def _rows(run):
    """The directions that carried something, by bin, fullest in their worst second first (as the figures at the end say)."""
    peaks = _peaks(run)
    rows = [row for row in run.series.get("links") or [] if sum(row["carried_bytes"])]
    return sorted(rows, key=lambda row: -_worst(row, peaks.get((row["link"], row["way"]))))


def _worst(row, peak):
    return max(_share(row).max(), peak["utilisation_peak_permille"] / 1000 if peak else 0)


def _limited(run):
    """Those that have a rate to be full of; all where none has."""
    rows = _rows(run)
    return [row for row in rows if sum(row["capacity_bytes"])] or rows


def _share(row):
    """Share of the wire in use by bin; where nothing limits it, bit/s."""
    return np.array([c / m if m else 0.0 for c, m in zip(row["carried_bytes"], row["capacity_bytes"])])


def missing(run):
    if not run.series:
        return "no series were written"
    return None if _rows(run) else "nothing is known of what each link carried each second"


def _peaks(run):
    """Of the summary: peaks of each direction, in seconds whatever the width of a bin."""
    return {(row["link"], row["way"]): row for row in run.summary.get("links") or []}


def tables(run):
    bin_ns = run.series["bin_ns"]
    load = [{"link": row["link"], "way": row["way"], "from_s": i * bin_ns / 1e9, "carried_bytes": row["carried_bytes"][i],
             "capacity_bytes": row["capacity_bytes"][i], "queue_bytes_max": row["queue_bytes_max"][i],
             "queueing_max_ns": row["queueing_max_ns"][i], "dropped": row["dropped"][i]}
            for row in _rows(run) for i in range(run.series["bins"])]
    total = [{**{k: v for k, v in row.items() if not isinstance(v, dict)},
              "dropped": " ".join(f"{k}={v}" for k, v in sorted(row["dropped"].items()))} for row in run.summary.get("links") or []]
    return {"links": total, "seconds": load}


def alt(run):
    peaks = _peaks(run)
    said = []
    for row in _limited(run)[:MOST_STRIPS]:
        peak = peaks.get((row["link"], row["way"]))
        if peak:
            said.append(f"{arrow(row)} at most {_full(peak)}, longest wait {duration(peak['queueing_max_ns'])}")
    return "Use of each link in its fullest second: " + "; ".join(said) + "."


def _full(peak):
    if not peak["utilisation_peak_permille"]:
        return rate(peak["peak_bps"])
    return f"{significant(peak['utilisation_peak_permille'] / 10)} %"


def caption(run):
    rows = _limited(run)
    text = ("Each strip is one direction of a link, a square one second or more of it: on the left the share of its rate in use, on "
            "the right the longest wait for the wire. The figures at the end are those of the worst second.")
    if not any(sum(row["capacity_bytes"]) for row in rows):
        text = "No link has a rate that could be used up: on the left bits a second beside those of the busiest second, on the right waits."
    if len(rows) > MOST_STRIPS:
        text += f" Drawn are the {MOST_STRIPS} fullest of {several(len(rows), 'direction')}; all are in the data beside this page."
    return text


def draw(run, path):
    rows = _limited(run)[:MOST_STRIPS]
    peaks = _peaks(run)
    limited = any(sum(row["capacity_bytes"]) for row in rows)
    width = run.series["bin_ns"] / 1e9
    bins = min(run.series["bins"], max(1, int(np.ceil(run.series["end_ns"] / run.series["bin_ns"]))))
    use = np.array([(_share(row) if limited else np.array(row["carried_bytes"], float) * 8 / width)[:bins] for row in rows])
    wait = np.array([row["queueing_max_ns"][:bins] for row in rows], float)
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 1.5 + 0.3 * len(rows)), sharey=True)
    for ax, values, title, colours_, text in (
            (axes[0], use, "In use", "YlGnBu", lambda p: _full(p)),
            (axes[1], wait, "Longest wait", "OrRd", lambda p: duration(p["queueing_max_ns"]))):
        # Colours mean the same in every run: an idle network looks idle. Without rates there is no such measure.
        top = max(values.max(), LEAST_SCALE_NS) if ax is axes[1] else max(values.max(), 1.0) if limited else values.max() or 1.0
        picture = ax.imshow(values, aspect="auto", cmap=colours_, vmin=0, vmax=top, extent=(0, bins * width, len(rows) - 0.5, -0.5),
                            interpolation="nearest")
        for y, row in enumerate(rows):
            peak = peaks.get((row["link"], row["way"]))
            if peak:
                ax.annotate(percent(_worst(row, peak), 1) if limited and ax is axes[0] else text(peak), (1.01, y), xycoords=("axes fraction", "data"), va="center", fontsize=8, color=INK)
        for y in range(1, len(rows)):
            ax.axhline(y - 0.5, color="white", lw=1.5)
        for fault in timeline.faults(run):
            if fault["on_ns"] is not None:
                ax.axvline(fault["on_ns"] / 1e9, color=INK, lw=0.7, ls=(0, (4, 2)))
        shown = (lambda v, _: percent(v, 1) if v else "0") if limited and ax is axes[0] else (
            lambda v, _: rate(v) if v else "0") if ax is axes[0] else (lambda v, _: duration(v))
        bar = figure.colorbar(picture, ax=ax, location="bottom", shrink=0.9, aspect=28, pad=0.02, format=plt.FuncFormatter(shown),
                              ticks=[0, top / 2, top])
        bar.outline.set_edgecolor(QUIET)
        ax.set_title(title)
        ax.set_xlabel("seconds")
        ax.grid(False)
        ax.tick_params(axis="y", length=0)
    axes[0].set_yticks(range(len(rows)), [short(arrow(row), 32) for row in rows])
    save(figure, path)
