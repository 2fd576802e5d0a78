"""A run of the brokers beside the same load over TCP: latency by percentile, goodput, as a picture and as data.

    scripts/report/tcp_compare.py RUN TCP... --out DIR     TCP: folders that tcp_baseline wrote, of the run's own plan
    PORTOLAN_BUILD names the build whose portolan-check reads the run's records (build/release).

Writes DIR/tcp.png, tcp.csv (every point of the picture) and tcp.json. Latency counts from the intended time in all. Exit 0, or 64
where the runs are not of one plan.
"""

import argparse
import csv
import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

# From the median to one in a thousand, evenly in nines.
MARKS = (500, 600, 700, 750, 800, 850, 900, 925, 950, 960, 970, 980, 985, 990, 995, 998, 999)
SECOND = 1_000_000_000


class Deliveries:
    """(latency, bytes, delivered) of each delivery, by family."""

    def __init__(self, name):
        self.name, self.families = name, {}

    def add(self, family, intended_ns, delivered_ns, size):
        self.families.setdefault(family, []).append((delivered_ns - intended_ns, size, delivered_ns))

    def figures(self, family, span_ns):
        rows = sorted(self.families.get(family, []))
        out = {f"p{mark / 10:g}_ns": rows[-(-len(rows) * mark // 1000) - 1][0] for mark in MARKS} if rows else {}
        # What came after the load had ended was too late to count as its rate.
        in_time = sum(size for _, size, delivered in rows if delivered <= span_ns)
        return out | {"deliveries": len(rows), "max_ns": rows[-1][0] if rows else None,
                      "goodput_bytes_per_s": in_time * SECOND // span_ns}


def of_run(run, plan):
    check = pathlib.Path(os.environ.get("PORTOLAN_BUILD", ROOT / "build" / "release")) / "bin" / "portolan-check"
    done = subprocess.run([check, "records", run, "--csv"], stdout=subprocess.PIPE, text=True, check=True)
    family = {topic["name"]: topic["family"] for topic in plan["topics"]}
    intended, found = {}, []
    for row in csv.DictReader(done.stdout.splitlines()):
        key = (row["topic"], row["publisher"], row["incarnation"], row["sequence"])
        if row["kind"] == "publish":
            intended[key] = int(row["intended_ns"])
        elif row["kind"] == "deliver":
            found.append((key, int(row["time_ns"]), int(row["value"])))
    out = Deliveries("Portolan")
    for key, time_ns, size in found:
        out.add(family[key[0]], intended[key], time_ns, size)
    return out


def of_tcp(folder):
    summary = json.loads((folder / "tcp.json").read_text())
    out = Deliveries("TCP " + {"bbr": "BBR", "cubic": "Cubic"}[summary["tcp"]])
    with open(folder / "deliveries.csv", newline="") as rows:
        for row in csv.DictReader(rows):
            out.add(row["family"], int(row["intended_ns"]), int(row["delivered_ns"]), int(row["bytes"]))
    return summary, out


def draw(title, families, sets, span_ns, path):
    import style  # Matplotlib is needed for the picture only
    figure, axes = style.plt.subplots(1, len(families), figsize=(style.WIDTH, 3.6), sharey=True, squeeze=False)
    colours = style.colours([one.name for one in sets])
    for axis, family in zip(axes[0], families):
        for one, line in zip(sets, ("-", "--", ":", "-.")):
            figures = one.figures(family, span_ns)
            points = [(mark, figures[f"p{mark / 10:g}_ns"] / 1e6) for mark in MARKS if f"p{mark / 10:g}_ns" in figures]
            axis.plot([1 / (1 - mark / 1000) for mark, _ in points], [ms for _, ms in points], line, color=colours[one.name],
                      label=one.name, linewidth=1.8)
        axis.set(xscale="log", yscale="log", title=family, xlabel="percentile of deliveries")
        axis.set_xticks([2, 10, 100, 1000], ["50", "90", "99", "99.9"])
        axis.xaxis.set_minor_locator(style.plt.NullLocator())
        axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes[0][0].set_ylabel("latency, ms")
    axes[0][0].legend(loc="upper left")
    figure.suptitle(title, x=0.01, ha="left", fontsize=10.5, fontweight="bold")
    style.save(figure, path)


def main(words):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=pathlib.Path)
    parser.add_argument("tcp", type=pathlib.Path, nargs="+")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    given = parser.parse_args(words)
    plan = json.loads((given.run / "plan.json").read_text())
    sets = [of_run(given.run, plan)]
    for folder in given.tcp:
        summary, one = of_tcp(folder)
        if (summary["plan"], summary["seed"]) != (plan["name"], plan["seed"]):
            print(f"tcp_compare: {folder} is of {summary['plan']} with seed {summary['seed']}, the run of {plan['name']} with seed "
                  f"{plan['seed']}", file=sys.stderr)
            return 64
        sets.append(one)
    families = sorted({family for one in sets for family in one.families})
    span_ns = plan["duration_ns"]
    given.out.mkdir(parents=True, exist_ok=True)
    found = {one.name: {family: one.figures(family, span_ns) for family in families} for one in sets}
    (given.out / "tcp.json").write_text(json.dumps(found, indent=2, sort_keys=True) + "\n")
    with open(given.out / "tcp.csv", "w", newline="") as out:
        rows = csv.writer(out)
        rows.writerow(["family", "transport", "figure", "value"])
        for name, by_family in found.items():
            rows.writerows((family, name, key, value) for family in families for key, value in by_family[family].items())
    draw(f"{plan['title']}: the same load over brokers and over TCP", families, sets, span_ns, given.out / "tcp.png")
    for family in families:
        for name in found:
            f = found[name][family]
            print(f"{family:20} {name:10} {f['deliveries']:7} deliveries  p50 {f['p50_ns'] / 1e6:9.2f} ms  p99 {f['p99_ns'] / 1e6:9.2f} "
                  f"ms  max {f['max_ns'] / 1e6:9.2f} ms  {f['goodput_bytes_per_s'] / 1000:9.2f} kB/s")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
