"""Colours and type of every picture, in one place. The categorical colours are Okabe and Ito's (2008), told apart by
colour-blind readers too; what a colour says, a line style, hatch or number always says as well."""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

SEA, LAND, COAST, INK, QUIET, PAPER = "#dbe8f0", "#f3efe4", "#a59d88", "#1d2733", "#5b6773", "#ffffff"
GOOD, BAD, WARN = "#1b6b45", "#a3241c", "#8a5a00"
SERIES = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#B8860B", "#56B4E9", "#5b4b8a", "#333333"]
# Where a delivery's time went, in the order in which it is stacked: colour and hatch.
PARTS = {"propagation": ("#b4c4d2", ""), "serialisation": ("#56B4E9", "///"), "queueing": ("#E69F00", "..."),
         "repair": ("#D55E00", "xxx"), "consensus": ("#CC79A7", "\\\\\\"), "broker": ("#0072B2", "")}
FAULTS = {"cut": BAD, "partition": BAD, "degrade": "#9a6400", "kill": "#6a1b9a", "restart": "#6a1b9a",
          "pause": "#00695c", "clock-skew": "#455a64", "corrupt-disk": "#6a1b9a", "lose-control": "#455a64"}
PIXELS_PER_INCH = 160
WIDTH = 8.0  # inches, of every picture: so that type has one size throughout the page

plt.rcParams.update({
    "font.family": "DejaVu Sans", "font.size": 9.5, "axes.edgecolor": QUIET, "axes.labelcolor": INK,
    "axes.titlesize": 10.5, "axes.titleweight": "bold", "axes.titlelocation": "left", "axes.spines.top": False,
    "axes.spines.right": False, "xtick.color": QUIET, "ytick.color": QUIET, "text.color": INK, "xtick.labelcolor": INK,
    "ytick.labelcolor": INK, "axes.grid": True, "grid.color": "#e4e8ec", "grid.linewidth": 0.8, "axes.axisbelow": True,
    "legend.frameon": False, "legend.fontsize": 9, "figure.dpi": PIXELS_PER_INCH, "savefig.dpi": PIXELS_PER_INCH,
    "figure.constrained_layout.use": True, "figure.facecolor": PAPER, "hatch.linewidth": 0.6, "hatch.color": "#ffffff",
    "text.parse_math": False, "svg.hashsalt": "portolan",
})


def colours(names):
    """One colour for each name, the same for the same list."""
    return {name: SERIES[i % len(SERIES)] for i, name in enumerate(names)}


def fault_colour(kind):
    return FAULTS.get(kind, "#455a64")


def save(figure, path):
    """Writes a picture; equal figures are equal bytes."""
    figure.savefig(path, metadata={"Software": "portolan"})
    plt.close(figure)


def figure_key(figure, handles, labels=None, columns=4):
    """One key for the whole figure, in a strip of its own below the panels."""
    rows = -(-len(handles) // columns)
    strip = (0.16 + 0.2 * rows) / figure.get_figheight()
    figure.get_layout_engine().set(rect=(0, strip, 1, 1 - strip))
    legend = figure.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, 0), ncol=min(columns, len(handles)),
                           borderaxespad=0.2, **({"labels": labels} if labels else {}))
    legend.set_in_layout(False)
