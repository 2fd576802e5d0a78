"""Colours and type of every picture, in one place. The categorical colours are Okabe and Ito's (2008), told apart by
colour-blind readers too."""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

SEA, LAND, COAST, INK, QUIET = "#dbe8f0", "#f3efe4", "#a59d88", "#1d2733", "#6b7785"
GOOD, BAD, WARN = "#2e7d4f", "#b3372f", "#b7791f"
SERIES = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8a6d00", "#000000"]
PARTS = {"propagation": "#9fb4c7", "serialisation": "#56B4E9", "queueing": "#E69F00", "repair": "#D55E00",
         "broker": "#0072B2"}
FAULT = {"cut": "#b3372f", "partition": "#b3372f", "degrade": "#b7791f", "kill": "#6a1b9a", "restart": "#6a1b9a",
         "pause": "#00695c", "clock_skew": "#455a64", "lose_control": "#455a64"}

plt.rcParams.update({
    "font.family": "DejaVu Sans", "font.size": 10, "axes.edgecolor": QUIET, "axes.labelcolor": INK,
    "axes.titlesize": 11, "axes.titleweight": "bold", "axes.titlelocation": "left", "axes.spines.top": False,
    "axes.spines.right": False, "xtick.color": QUIET, "ytick.color": QUIET, "text.color": INK,
    "axes.grid": True, "grid.color": "#e4e8ec", "grid.linewidth": 0.8, "axes.axisbelow": True,
    "legend.frameon": False, "figure.dpi": 110, "savefig.bbox": "tight", "svg.hashsalt": "portolan",
})


def colours(names):
    """One colour for each name, the same for the same list."""
    return {name: SERIES[i % len(SERIES)] for i, name in enumerate(names)}
