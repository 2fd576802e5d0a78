"""The map: harbours, links by their delay, and what the faults touched. Mercator's projection, as on a portolan's heirs."""

import math

import numpy as np

import coast
from style import BAD, COAST, INK, LAND, QUIET, SEA, WARN, plt


def mercator(lat):
    return np.degrees(np.log(np.tan(np.pi / 4 + np.radians(np.asarray(lat, dtype=float)) / 2)))


def _box(harbours):
    lon = [h["lon_udeg"] / 1e6 for h in harbours]
    lat = [h["lat_udeg"] / 1e6 for h in harbours]
    wide = max(max(lon) - min(lon), 1.6 * (max(lat) - min(lat)), 4.0)
    tall = max(max(lat) - min(lat), 0.42 * wide, 2.5)
    x, y = (max(lon) + min(lon)) / 2, (max(lat) + min(lat)) / 2
    return (x - 0.64 * wide, max(y - 0.66 * tall, -75), x + 0.64 * wide, min(y + 0.66 * tall, 80))


def _label_offsets(points, span):
    """Puts each label on the side with most room; good enough for a few dozen harbours."""
    out = []
    for i, (x, y) in enumerate(points):
        best, best_score = (1, 0), -1.0
        for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1)):
            at = (x + dx * 0.055 * span, y + dy * 0.03 * span)
            room = min((math.hypot((at[0] - p[0]), 2 * (at[1] - p[1])) for j, p in enumerate(points) if j != i),
                       default=span)
            score = room + (0.01 * span if dy == 0 else 0)
            if score > best_score:
                best, best_score = (dx, dy), score
        out.append(best)
    return out


def draw(plan, path):
    """Writes the map of a plan as PNG; returns the name of the coastline's source."""
    harbours = plan["harbours"]
    box = _box(harbours)
    land, lakes, source = coast.rings(box, "l" if box[2] - box[0] > 8 else "i")
    fig, ax = plt.subplots(figsize=(9.6, 6.8))
    ax.set_facecolor(SEA)
    for ring in land:
        ax.fill(ring[:, 0], mercator(np.clip(ring[:, 1], -80, 84)), fc=LAND, ec=COAST, lw=0.6, zorder=1)
    for ring in lakes:
        if len(ring) > 25:
            ax.fill(ring[:, 0], mercator(ring[:, 1]), fc=SEA, ec=COAST, lw=0.3, zorder=1)
    nodes, touched = plan["nodes"], _touched(plan)
    where = [(h["lon_udeg"] / 1e6, float(mercator(h["lat_udeg"] / 1e6))) for h in harbours]
    for i, link in enumerate(plan["links"]):
        a, b = (where[nodes[link[end]]["harbour"]] for end in ("a", "b"))
        if a == b:
            continue
        kind = touched["links"].get(i)
        colour = {None: INK, "cut": BAD, "partition": BAD}.get(kind, WARN)
        delay = link["a_to_b"]["delay_ns"] / 1e6
        ax.plot([a[0], b[0]], [a[1], b[1]], color=colour, lw=1.0 if kind is None else 2.2,
                ls="-" if kind is None else (0, (4, 2)), alpha=0.55 if kind is None else 0.95, zorder=2)
        if len(plan["links"]) - _veths(plan) <= 30:
            ax.annotate(f"{delay:.1f} ms", ((a[0] + b[0]) / 2, (a[1] + b[1]) / 2), fontsize=6.5, color=colour,
                        ha="center", va="center", zorder=3,
                        bbox={"boxstyle": "round,pad=0.12", "fc": "white", "ec": "none", "alpha": 0.75})
    span = box[2] - box[0]
    offsets = _label_offsets(where, span)
    for i, (harbour, (x, y)) in enumerate(zip(harbours, where)):
        hit = i in touched["harbours"]
        ax.plot(x, y, marker="s" if harbour.get("hub") else "o", ms=8 if harbour.get("hub") else 6.5, zorder=5,
                mfc=BAD if hit else INK, mec="white", mew=1.2)
        dx, dy = offsets[i]
        ax.annotate(harbour["name"].replace("-", " ").title(), (x, y), xytext=(8 * dx, 7 * dy),
                    textcoords="offset points", fontsize=8.5, fontweight="bold", zorder=6,
                    ha={1: "left", -1: "right", 0: "center"}[dx], va={1: "bottom", -1: "top", 0: "center"}[dy],
                    bbox={"boxstyle": "round,pad=0.1", "fc": "white", "ec": "none", "alpha": 0.6})
    ax.set_xlim(box[0], box[2])
    ax.set_ylim(float(mercator(box[1])), float(mercator(box[3])))
    ax.set_aspect("equal")
    ax.grid(False)
    ax.set_xticks([])
    ax.set_yticks([])
    for side in ax.spines.values():
        side.set_visible(True)
        side.set_color(COAST)
    handles = [plt.Line2D([], [], color=INK, lw=1, label="link, one-way delay")]
    if touched["links"]:
        handles.append(plt.Line2D([], [], color=BAD, lw=2.2, ls=(0, (4, 2)), label="cut during the run"))
        handles.append(plt.Line2D([], [], color=WARN, lw=2.2, ls=(0, (4, 2)), label="degraded during the run"))
    if touched["harbours"]:
        handles.append(plt.Line2D([], [], marker="o", color="none", mfc=BAD, mec="white", ms=7,
                                  label="a process stopped or restarted"))
    ax.legend(handles=handles, loc="lower left", fontsize=8, facecolor="white", frameon=True, framealpha=0.85,
              edgecolor=COAST)
    ax.annotate(f"Coast: {source}, Wessel and Smith, LGPL", (1, 0), xycoords="axes fraction", xytext=(-4, 4),
                textcoords="offset points", ha="right", fontsize=6, color=QUIET)
    fig.savefig(path)
    plt.close(fig)
    return source


def _veths(plan):
    return sum(1 for link in plan["links"] if link["model"] == "veth")


def _touched(plan):
    links, harbours = {}, set()
    for fault in plan["faults"]:
        for link in fault.get("links", []):
            links[link] = fault["kind"]
        for process in fault.get("processes", []):
            harbours.add(plan["nodes"][plan["processes"][process]["node"]]["harbour"])
    return {"links": links, "harbours": harbours}
