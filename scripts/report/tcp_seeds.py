"""The same loads over brokers and over TCP with several seeds: medians and spread of latency and goodput, as a picture and as data.

    scripts/report/tcp_seeds.py SCENARIO... --full SCENARIO... --seeds N --out DIR
    PORTOLAN_BUILD names the build whose programs plan, run and read (build/release). Each seed is four runs in full fidelity.

SCENARIO: loads that fit the line, compared by latency from the intended time. --full: loads that do not, compared by what was
delivered before the load ended. Writes DIR/tcp.png, tcp.csv (every point of the picture: median, least and most) and tcp.json.
"""

import argparse
import csv
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import tcp_compare  # noqa: E402

KINDS = ("bbr", "cubic")


def program(name, *words):
    build = pathlib.Path(os.environ.get("PORTOLAN_BUILD", tcp_compare.ROOT / "build" / "release"))
    done = subprocess.run([build / "bin" / name, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=600)
    if done.returncode != 0:
        print(f"tcp_seeds: {name} {' '.join(map(str, words))}: {done.stdout[-2000:]}", file=sys.stderr)
        sys.exit(done.returncode if done.returncode > 0 else 2)


def one(scenario, seed, folder):
    """{family: {transport: figures}} of one seed."""
    plan_file = folder / "plan.json"
    program("portolan-plan", "plan", scenario, "--seed", seed, "-o", plan_file)
    plan = json.loads(plan_file.read_text())
    program("portolan-sim", "--plan", plan_file, "--out", folder / "run", "--fidelity", "full")
    shutil.copy(plan_file, folder / "run" / "plan.json")
    program("portolan-check", "check", folder / "run")  # a run that does not hold is no figure of ours
    sets = [tcp_compare.of_run(folder / "run", plan)]
    for kind in KINDS:
        program("tcp_baseline", "--plan", plan_file, "--out", folder / kind, "--tcp", kind)
        sets.append(tcp_compare.of_tcp(folder / kind)[1])
    families = sorted({topic["family"] for topic in plan["topics"]})
    return {family: {s.name: s.figures(family, plan["duration_ns"]) for s in sets} for family in families}


def over_seeds(scenario, seeds):
    """{family: {transport: {figure: [by seed]}}}"""
    found = {}
    for seed in seeds:
        folder = pathlib.Path(tempfile.mkdtemp())
        try:
            for family, transports in one(scenario, seed, folder).items():
                for name, figures in transports.items():
                    for key, value in figures.items():
                        found.setdefault(family, {}).setdefault(name, {}).setdefault(key, []).append(value)
        finally:
            shutil.rmtree(folder)
    return found


def latency_panel(axis, style, title, transports, colours):
    for (name, figures), line in zip(transports.items(), ("-", "--", ":")):
        marks = [mark for mark in tcp_compare.MARKS if f"p{mark / 10:g}_ns" in figures]
        at = [1 / (1 - mark / 1000) for mark in marks]
        values = [sorted(v / 1e6 for v in figures[f"p{mark / 10:g}_ns"]) for mark in marks]
        axis.plot(at, [statistics.median(v) for v in values], line, color=colours[name], label=name, linewidth=1.8)
        axis.fill_between(at, [v[0] for v in values], [v[-1] for v in values], color=colours[name], alpha=0.13, linewidth=0)
    axis.set(xscale="log", yscale="log", title=title, xlabel="percentile of deliveries", ylabel="latency, ms")
    axis.set_xticks([2, 10, 100, 1000], ["50", "90", "99", "99.9"])
    axis.xaxis.set_minor_locator(style.plt.NullLocator())
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}")


def goodput_panel(axis, title, transports, colours):
    for at, (name, figures) in enumerate(transports.items()):
        values = sorted(v / 1e3 for v in figures["goodput_bytes_per_s"])
        middle = statistics.median(values)
        axis.bar(at, middle, color=colours[name], width=0.6, yerr=[[middle - values[0]], [values[-1] - middle]], capsize=4)
        axis.text(at + 0.33, middle, f"{middle:.0f}", va="center", fontsize=9)
    axis.set_xticks(range(len(transports)), list(transports))
    axis.grid(False, axis="x")
    axis.set(title=title, ylabel="goodput, kB/s")


def draw(latency, full, seeds, path):
    import style  # Matplotlib is needed for the picture only
    panels = [(name, family, transports, latency_panel) for name, by_family in latency.items()
              for family, transports in by_family.items()]
    panels += [(name, family, transports, None) for name, by_family in full.items() for family, transports in by_family.items()]
    across = 2 if len(panels) > 1 else 1
    down = -(-len(panels) // across)
    figure, axes = style.plt.subplots(down, across, figsize=(style.WIDTH, 2.9 * down), squeeze=False)
    cells = [axis for row in axes for axis in row]
    colours = style.colours(list(panels[0][2]))
    for axis, (name, family, transports, kind) in zip(cells, panels):
        if kind is not None:
            latency_panel(axis, style, f"{name}: {family}", transports, colours)
        else:
            goodput_panel(axis, f"{name}: {family}", transports, colours)
    for axis in cells[len(panels):]:
        axis.set_visible(False)
    cells[0].legend(loc="upper left")
    figure.suptitle(f"The same load over brokers and over TCP: medians of {seeds} seeds, least to most shaded", x=0.01, ha="left",
                    fontsize=10.5, fontweight="bold")
    style.save(figure, path)


def main(words):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scenario", type=pathlib.Path, nargs="*")
    parser.add_argument("--full", type=pathlib.Path, nargs="*", default=[])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    given = parser.parse_args(words)
    if not given.scenario and not given.full:
        parser.error("no scenario")
    seeds = range(1, given.seeds + 1)
    latency = {path.stem: over_seeds(path, seeds) for path in given.scenario}
    full = {path.stem: over_seeds(path, seeds) for path in given.full}
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "tcp.json").write_text(json.dumps(latency | full, indent=2, sort_keys=True) + "\n")
    with open(given.out / "tcp.csv", "w", newline="") as out:
        rows = csv.writer(out)
        rows.writerow(["scenario", "family", "transport", "figure", "median", "least", "most"])
        for scenario, by_family in (latency | full).items():
            for family, transports in by_family.items():
                for name, figures in transports.items():
                    rows.writerows((scenario, family, name, key, statistics.median(v), min(v), max(v))
                                   for key, v in figures.items() if None not in v)
                    p99, goodput = (sorted(figures[key]) for key in ("p99_ns", "goodput_bytes_per_s"))
                    print(f"{scenario:12} {family:10} {name:10} p99 {statistics.median(p99) / 1e6:9.1f} ms ({p99[0] / 1e6:.0f} to "
                          f"{p99[-1] / 1e6:.0f})  goodput {statistics.median(goodput) / 1e3:8.2f} kB/s ({goodput[0] / 1e3:.1f} to "
                          f"{goodput[-1] / 1e3:.1f})")
    draw(latency, full, len(seeds), given.out / "tcp.png")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
