"""The map: harbours, links by their delay, and what the faults touched. Mercator's projection, as on a portolan's heirs."""

import collections
import math

import numpy as np
from matplotlib.collections import PolyCollection

import coast
import labels
from style import BAD, COAST, INK, LAND, PAPER, PIXELS_PER_INCH, QUIET, SEA, WIDTH, fault_colour, plt, save
from words import proper

STRIP = 0.3  # inches below the map, for its key
NOTABLE_LOSS = 0.005  # in the long run; less is not printed beside a link
MANY_HARBOURS = 80  # beyond, only hubs and those that a fault touches bear their names, and links do not bend
MANY_LINKS = 40  # beyond, delays stand in the table alone


def mercator(lat):
    return np.degrees(np.log(np.tan(np.pi / 4 + np.radians(np.asarray(lat, dtype=float)) / 2)))


def unmercator(y):
    return math.degrees(2 * math.atan(math.exp(math.radians(y))) - math.pi / 2)


def _frame(places):
    """West, south, east, north of the picture: all harbours with room about them, no narrower than an upright postcard,
    no flatter than a wide screen. South and north in Mercator's degrees."""
    x, y = [p[0] for p in places], [p[1] for p in places]
    wide, tall = max(1.4 * (max(x) - min(x)), 5.0), max(1.3 * (max(y) - min(y)), 3.0)
    wide, tall = max(wide, 1.25 * tall), max(tall, wide / 1.75)
    cx, cy = (max(x) + min(x)) / 2, (max(y) + min(y)) / 2
    return cx - wide / 2, cy - tall / 2, cx + wide / 2, cy + tall / 2


def tables(plan):
    """What the map shows, as rows."""
    nodes, harbours = plan["nodes"], plan["harbours"]
    touched = _touched(plan)
    harbour_rows = [{"harbour": h["name"], "latitude_deg": h["lat_udeg"] / 1e6, "longitude_deg": h["lon_udeg"] / 1e6,
                     "hub": bool(h.get("is_hub")), "faults": _numbers(touched["harbours"].get(i, []))}
                    for i, h in enumerate(harbours)]
    link_rows = []
    for i, link in enumerate(plan["links"]):
        a, b = (nodes[link[end]]["harbour"] for end in ("a", "b"))
        if a == b:
            continue
        link_rows.append({"link": link["name"], "a": harbours[a]["name"], "b": harbours[b]["name"], "model": link["model"],
                          "distance_km": link["distance_m"] / 1000, "floor_ms": link["floor_ns"] / 1e6,
                          "delay_ms": link["a_to_b"]["delay_ns"] / 1e6, "rate_mbps": link["a_to_b"]["rate_bps"] / 1e6,
                          "loss_percent": round(100 * mean_loss(link["a_to_b"]["loss"]), 4),
                          "faults": _numbers(touched["links"].get(i, []))})
    return {"harbours": harbour_rows, "links": link_rows}


def mean_loss(loss):
    """Share of packets lost in the long run."""
    good, bad = loss["good_dwell_ns"], loss["bad_dwell_ns"]
    if loss["kind"] == "gilbert-elliott" and good + bad:
        return (good * loss["good_probability"] + bad * loss["probability"]) / (good + bad) / 1e9
    return loss["probability"] / 1e9 if loss["kind"] != "none" else 0.0


def _numbers(faults, most=4):
    return " ".join(str(f + 1) for f in faults[:most]) + (" ..." if len(faults) > most else "")


def _touched(plan):
    """Which faults touch which link and which harbour."""
    links, harbours = collections.defaultdict(list), collections.defaultdict(list)
    for number, fault in enumerate(plan["faults"]):
        for link in fault.get("links", []):
            links[link].append(number)
        for process in fault.get("processes", []):
            at = harbours[plan["nodes"][plan["processes"][process]["node"]]["harbour"]]
            if number not in at:
                at.append(number)
    return {"links": links, "harbours": harbours}


def alt(plan):
    t = tables(plan)
    text = (f"Map with {len(t['harbours'])} harbours ({', '.join(proper(h['harbour']) for h in t['harbours'][:20])}) "
            f"and {len(t['links'])} links.")
    hit = [row["link"].replace("--", " to ") for row in t["links"] if row["faults"]]
    hit += [row["harbour"] for row in t["harbours"] if row["faults"]]
    return text + (f" Touched by faults: {', '.join(hit[:12])}." if hit else " No fault touches them.")


class _Map:
    """One drawing; pixels and degrees side by side, for the labels are placed in pixels."""

    def __init__(self, plan):
        self.plan = plan
        harbours = plan["harbours"]
        self.where = [(h["lon_udeg"] / 1e6, float(mercator(h["lat_udeg"] / 1e6))) for h in harbours]
        self.box = _frame(self.where)
        west, south, east, north = self.box
        tall = WIDTH * (north - south) / (east - west)
        self.figure = plt.figure(figsize=(WIDTH, tall + STRIP), layout="none")
        self.ax = self.figure.add_axes((0, STRIP / (tall + STRIP), 1, tall / (tall + STRIP)))
        self.ax.set_xlim(west, east)
        self.ax.set_ylim(south, north)
        self.ax.set_facecolor(SEA)
        self.ax.grid(False)
        self.ax.set_xticks([])
        self.ax.set_yticks([])
        for side in self.ax.spines.values():
            side.set_visible(True)
            side.set_color(COAST)
        self.renderer = self.figure.canvas.get_renderer()
        self.points = [tuple(self.ax.transData.transform(p)) for p in self.where]
        low, high = self.ax.transData.transform((west, south)), self.ax.transData.transform((east, north))
        edge = 0.04 * PIXELS_PER_INCH
        self.placer = labels.Placer((low[0] + edge, low[1] + edge, high[0] - edge, high[1] - edge))
        self.touched = _touched(plan)
        self.scale = PIXELS_PER_INCH / 72

    def back(self, pixel):
        return self.ax.transData.inverted().transform(pixel)

    def coast(self):
        west, south, east, north = self.box
        degrees = (west, unmercator(south), east, unmercator(north))
        land, lakes, source = coast.rings(degrees, "l" if east - west > 40 else "i")
        for rings, colour, width, order in ((land, LAND, 0.6, 1), ([r for r in lakes if len(r) > 25], SEA, 0.3, 1.1)):
            flat = [np.column_stack((r[:, 0], mercator(np.clip(r[:, 1], -80, 84)))) for r in rings]
            self.ax.add_collection(PolyCollection(flat, facecolors=colour, edgecolors=COAST, linewidths=width, zorder=order), autolim=False)
        credit = f"Coast: {source}, Wessel and Smith 1996, LGPL" if "GSHHG" in source else f"Coast: {source}"
        text = self.ax.annotate(credit, (1, 0), xycoords="axes fraction", xytext=(-5, 5), textcoords="offset points",
                                ha="right", va="bottom", fontsize=6, color=QUIET, zorder=9)
        self.placer.block(text.get_window_extent(self.renderer).extents)
        return source

    def count_links(self):
        nodes = self.plan["nodes"]
        return sum(nodes[link["a"]]["harbour"] != nodes[link["b"]]["harbour"] for link in self.plan["links"])

    def links(self):
        """Draws links, returns what their labels need."""
        nodes, seen, drawn = self.plan["nodes"], collections.Counter(), []
        fine = min(1.0, (2 * MANY_LINKS / max(1, self.count_links())) ** 0.5)  # many links are drawn finer
        for i, link in enumerate(self.plan["links"]):
            a, b = (nodes[link[end]]["harbour"] for end in ("a", "b"))
            if a == b:
                continue
            pair = (min(a, b), max(a, b))
            shift = 26 * ((seen[pair] + 1) // 2) * (1 if seen[pair] % 2 else -1)
            seen[pair] += 1
            others = [] if len(self.points) > MANY_HARBOURS else [p for j, p in enumerate(self.points) if j not in pair and p not in (self.points[a], self.points[b])]
            line = labels.bend(self.points[pair[0]], self.points[pair[1]], others, 17, shift)
            faults = self.touched["links"].get(i, [])
            kinds = {self.plan["faults"][f]["kind"] for f in faults}
            cut = kinds & {"cut", "partition"}
            colour = INK if not faults else fault_colour("cut" if cut else sorted(kinds)[0])
            style = "-" if not faults else (0, (4, 2)) if cut else (0, (5, 1.5, 1, 1.5))
            x, y = self.back(line).T
            if faults:
                self.ax.plot(x, y, color="white", lw=4.2, alpha=0.9, zorder=2.4)
            self.ax.plot(x, y, color=colour, lw=2.3 if faults else 1.1 * fine, ls=style, alpha=1 if faults else 0.6 * fine,
                         zorder=2.5 if faults else 2.1)
            if len(self.points) <= MANY_HARBOURS:
                self.placer.note_line(line, i)
            drawn.append((link, line, i, faults, colour))
        return drawn

    def size(self, text, **font):
        probe = self.ax.text(0, 0, text, **font)
        box = probe.get_window_extent(self.renderer)
        probe.remove()
        return box.width, box.height

    def badge(self, at, faults, colour):
        """The numbers by which table and timeline know the faults."""
        self.ax.annotate(_numbers(faults), self.back(at), fontsize=7.5, fontweight="bold", color="white", ha="center",
                         va="center", zorder=8, bbox={"boxstyle": "circle,pad=0.28" if len(faults) == 1 and faults[0] < 9 else
                                                      "round,pad=0.3", "fc": colour, "ec": "white", "lw": 1})

    def named(self):
        """The harbours that bear their names, most crowded first."""
        many = len(self.points) > MANY_HARBOURS
        chosen = [i for i, h in enumerate(self.plan["harbours"])
                  if not many or h.get("is_hub") or self.touched["harbours"].get(i)][:MANY_HARBOURS]
        crowd = {i: sum(1 / (1 + math.dist(self.points[i], q)) for q in self.points) for i in chosen}
        return sorted(chosen, key=lambda k: (-crowd[k], k))

    def harbours(self):
        reach = 7 * self.scale
        for x, y in self.points if len(self.points) <= MANY_HARBOURS else ():
            self.placer.block((x - reach / 2, y - reach / 2, x + reach / 2, y + reach / 2))
        places = {}
        for i in range(len(self.points)):
            hit = self.touched["harbours"].get(i, [])
            if hit:
                x, y = self.points[i]
                box = self.placer.beside(x, y, 8 * self.scale * max(1, len(_numbers(hit)) * 0.8) + 6, 8 * self.scale + 6, 8 * self.scale)
                places[i] = box
        colours = {}
        for i, harbour in enumerate(self.plan["harbours"]):
            hit, hub = self.touched["harbours"].get(i, []), harbour.get("is_hub")
            colours[i] = fault_colour(self.plan["faults"][hit[0]]["kind"]) if hit else INK
            small = 6.5 if len(self.points) <= MANY_HARBOURS else 3.5
            self.ax.plot(*self.where[i], marker="s" if hub or hit else "o", ms=8 if hub or hit else small, mfc=colours[i],
                         mec="white", mew=1.2 if small > 4 else 0.6, zorder=5)
        for i in self.named():
            harbour, (x, y) = self.plan["harbours"][i], self.points[i]
            hit, colour = self.touched["harbours"].get(i, []), colours[i]
            font = {"fontsize": 9.5 if len(self.points) <= 20 else 7.5, "fontweight": "bold"}
            width, height = self.size(proper(harbour["name"]), **font)
            at = self.placer.beside(x, y, width + 4, height + 2, 6 * self.scale)
            if at is not None:
                self.ax.text(*self.back(at), proper(harbour["name"]), ha="center", va="center", zorder=6,
                             bbox={"boxstyle": "round,pad=0.06", "fc": PAPER, "ec": "none", "alpha": 0.65}, **font)
            if places.get(i) is not None:
                self.badge(places[i], hit, colour)

    def delays(self, drawn):
        for link, line, number, faults, colour in drawn:
            if faults:
                size = 9 * self.scale
                at = self.placer.along(line, number, size * max(1, len(_numbers(faults)) * 0.7), size, 1e7)
                if at is not None:
                    self.badge(at, faults, colour)
        if self.count_links() > MANY_LINKS:
            return
        for link, line, number, faults, colour in drawn:
            loss = mean_loss(link["a_to_b"]["loss"])
            text = f"{link['a_to_b']['delay_ns'] / 1e6:.2g} ms" + (f"\n{100 * loss:.2g} % lost" if loss >= NOTABLE_LOSS else "")
            font = {"fontsize": 7.2, "linespacing": 1.0}
            width, height = self.size(text, **font)
            at = self.placer.along(line, number, width + 4, height + 3)
            if at is not None:
                self.ax.text(*self.back(at), text, color=colour, ha="center", va="center", zorder=4,
                             bbox={"boxstyle": "round,pad=0.1", "fc": PAPER, "ec": "none", "alpha": 0.85}, **font)

    def key(self):
        line = lambda label, **how: plt.Line2D([], [], label=label, **how)
        handles = [line("link with its one-way delay" if self.count_links() <= MANY_LINKS else "link", color=INK, lw=1.1, alpha=0.6)]
        kinds = {f["kind"] for f in self.plan["faults"]}
        on_links = {f["kind"] for f in self.plan["faults"] if f.get("links")}
        if on_links & {"cut", "partition"}:
            handles.append(line("cut during the run", color=BAD, lw=2.3, ls=(0, (4, 2))))
        if "degrade" in on_links:
            handles.append(line("degraded", color=fault_colour("degrade"), lw=2.3, ls=(0, (5, 1.5, 1, 1.5))))
        if self.touched["harbours"]:
            first = next(f["kind"] for f in self.plan["faults"] if f.get("processes"))
            what = " or ".join(sorted({"kill": "killed", "restart": "restarted", "pause": "paused"}.get(k, "disturbed")
                                      for k in kinds if any(f["kind"] == k and f.get("processes") for f in self.plan["faults"])))
            handles.append(line(f"process {what}", marker="s", color="none", mfc=fault_colour(first), mec="white", ms=8))
        if any(h.get("is_hub") for h in self.plan["harbours"]):
            handles.append(line("hub", marker="s", color="none", mfc=INK, mec="white", ms=8))
        self.figure.legend(handles=handles, loc="lower left", bbox_to_anchor=(0.0, 0.0), ncol=len(handles), fontsize=8,
                           handlelength=2.4, columnspacing=1.4, borderaxespad=0.1,
                           bbox_transform=self.figure.transFigure).set_in_layout(False)


def draw(plan, path):
    """Writes the map of a plan as PNG; returns the name of the coastline's source."""
    m = _Map(plan)
    source = m.coast()
    drawn = m.links()
    m.harbours()
    m.delays(drawn)
    m.key()
    save(m.figure, path)
    return source
