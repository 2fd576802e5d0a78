#!/usr/bin/python3
"""Writes the report of one or several runs: one self-contained HTML page, its pictures as PNG and their data as CSV and
JSON beside it. Called by scripts/portolan; usable alone:

    scripts/report/report.py RUN... [--out DIR]      (default: the first RUN/report; several runs: runs.html)

Equal input gives equal bytes. Exit codes: 0 written (whatever the verdict), 64 not a run or bad usage, 69 cannot be written.
"""

import argparse
import base64
import csv
import io
import json
import os
import pathlib
import re
import struct
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.dont_write_bytecode = True

USAGE, CANNOT = 64, 69
MOST_EXAMPLES = 6
LEADING = 3  # figures for whoever reads no further than the first screen

try:
    import jinja2

    import chart
    import compare
    import latency
    import links
    import losses
    import split
    import tables
    import timeline
    import verdict
    from run import FAILED, HELD, NONE, NotARun, Run
    from words import count, listing
except ModuleNotFoundError as error:  # before any file is touched
    sys.exit(print(f"report: Python module {error.name} is missing; install it with: scripts/setup report", file=sys.stderr) or CANNOT)


class Output:
    """The report's folder. Each file is written whole or not at all."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)

    def write(self, name, data):
        path, beside = self.folder / name, self.folder / (name + ".part")
        try:
            beside.write_bytes(data)
            beside.replace(path)
        except OSError:
            beside.unlink(missing_ok=True)
            raise

    def data(self, name, tables_of):
        """Each table as CSV, all together as JSON; returns the files' names."""
        names = []
        for table, rows in tables_of.items():
            if not rows:
                continue
            file = f"{name}.csv" if table == name.rpartition("-")[2] or len(tables_of) == 1 else f"{name}-{table}.csv"
            text = io.StringIO()
            writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
            self.write(file, text.getvalue().encode())
            names.append(file)
        self.write(f"{name}.json", (json.dumps(tables_of, indent=1, sort_keys=True) + "\n").encode())
        return names + [f"{name}.json"]

    def picture(self, name, draw):
        """Draws into NAME.png; returns its bytes."""
        beside = self.folder / f"{name}.part.png"
        try:
            draw(beside)
            beside.replace(self.folder / f"{name}.png")
        finally:
            beside.unlink(missing_ok=True)
        return (self.folder / f"{name}.png").read_bytes()


def embedded(name, title, output, missing, draw, alt, caption, rows):
    """One picture as the page shows it; `missing` says why there is none."""
    files = output.data(name, rows) if not missing else []
    if missing:
        for pattern in (f"{name}.*", f"{name}-*.csv"):  # of an older report
            for file in sorted(output.folder.glob(pattern)):
                file.unlink()
        return {"id": name, "title": title, "missing": missing}
    png = output.picture(name, draw)
    width, height = struct.unpack(">II", png[16:24])
    return {"id": name, "title": title, "image": base64.b64encode(png).decode(), "width": width // 2, "height": height // 2,
            "alt": alt(), "caption": caption(), "files": [f"{name}.png"] + files}


def map_caption(run):
    text = "Harbours and links, each with its delay in one direction."
    if len(chart.tables(run.plan)["links"]) > chart.MANY_LINKS:
        text = "Harbours and links; their delays are in the table below."
    if len(run.plan["harbours"]) > chart.MANY_HARBOURS:
        text += " Only hubs and harbours that a fault touches bear their names."
    if run.plan["faults"]:
        text += " Numbers are the faults, as told below."
    if any(chart.mean_loss(link["a_to_b"]["loss"]) >= chart.NOTABLE_LOSS for link in run.plan["links"]):
        text += " Loss is the long-run mean, where it is at least half a percent."
    return text


def pictures(run, prefix, output):
    out = {"map": embedded(prefix + "map", "The network", output, None if run.plan["harbours"] else "the plan has no harbours",
                           lambda path: chart.draw(run.plan, path), lambda: chart.alt(run.plan), lambda: map_caption(run),
                           chart.tables(run.plan))}
    for module in (timeline, latency, split, links, losses):
        why = module.missing(run)
        out[module.NAME] = embedded(prefix + module.NAME, module.TITLE, output, why, lambda path, m=module: m.draw(run, path),
                                    lambda m=module: m.alt(run), lambda m=module: m.caption(run), {} if why else module.tables(run))
    return out


def reasons(run):
    out = []
    for r in verdict.grouped(run):
        rule = {"expectation": "Expectation", "records": "Records"}.get(r["rule"], f"Rule {r['rule']}")
        detail = [listing(dict.fromkeys(r["wheres"]), 8)] if r["wheres"] else []
        shown = r["examples"][:MOST_EXAMPLES]
        rest = r["count"] - len(shown)
        out.append({"verdict": r["verdict"], "head": f"{rule} {r['verdict']}: {verdict.expectation_name(r['what'])}",
                    "detail": "; ".join(detail + ([f"{count(r['count'])} times"] if r["count"] > 1 else [])),
                    "examples": shown, "more": f"and {count(rest)} more" if rest > 0 and shown else ""})
    return out


def section(run, name, identity, prefix, output):
    """Everything that the page says of one run."""
    rehearsed, loads = verdict.rehearsed(run)
    # Where the run proves nothing, nothing is shown as good.
    mood = {True: "well" if run.verdict in (HELD, FAILED) else "plain", False: "ill", None: "plain"}
    topics_left = len(run.summary.get("topics") or []) - tables.MOST_TOPICS
    return {
        "id": identity, "name": name, "title": run.title, "word": verdict.WORDS[run.verdict], "sign": verdict.SIGNS[run.verdict],
        "verdict": "none-verdict" if run.verdict == NONE else run.verdict, "sentence": verdict.sentence(run),
        "troubles": run.troubles, "reasons": reasons(run), "rehearsed": rehearsed, "loads": loads,
        "facts": [{"figure": figure, "what": what, "mood": mood[good]} for figure, what, good in verdict.facts(run)[:LEADING]],
        "more_facts": [{"figure": figure, "what": what, "mood": mood[good]} for figure, what, good in verdict.facts(run)[LEADING:]],
        "faults": verdict.fault_stories(run), "caveats": verdict.caveats(run), "pictures": pictures(run, prefix, output),
        "expectations": tables.expectations(run), "latency": tables.latency(run), "above": tables.above(run), "split": tables.split(run),
        "counts": tables.counts(run), "tenants": tables.tenants(run), "topics": tables.topics(run),
        "topics_note": f" (the first of {count(topics_left + tables.MOST_TOPICS)})" if topics_left > 0 else "",
        "links": tables.links(run), "faults_table": tables.faults(run), "rules": tables.rules(run),
        "high_water": tables.high_water(run), "counters": tables.counters(run), "provenance": tables.provenance(run),
        "replay": run.replay(),
    }


def distinct(runs):
    """A short name for each run: the folder's where they differ, or else the path as given."""
    names = [run.folder.resolve().name for run in runs]
    return names if len(set(names)) == len(names) else [run.given for run in runs]


def write(runs, folder):
    """Writes the report of these runs; returns the page's path."""
    output = Output(folder)
    names = distinct(runs)
    sections = []
    for i, (run, name) in enumerate(zip(runs, names)):
        prefix = "" if len(runs) == 1 else f"{i + 1}-{re.sub(r'[^A-Za-z0-9._-]+', '-', name).strip('-')[-60:]}-"
        sections.append(section(run, name, f"run-{i + 1}", prefix, output))
    beside = None
    if len(runs) > 1:
        why = compare.missing(runs)
        rows = compare.tables(runs, names)
        beside = {"notes": compare.notes(runs), "table": tables.runs(runs, names), "families": tables.compared(rows["compare"]),
                  "picture": embedded("compare", compare.TITLE, output, why, lambda path: compare.draw(runs, names, path),
                                      lambda: compare.alt(runs, names), lambda: compare.CAPTION, rows)}
    heading = (f"{verdict.WORDS[runs[0].verdict]}: {runs[0].title}" if len(runs) == 1 else f"{len(runs)} runs side by side") + " · Portolan"
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(HERE), autoescape=jinja2.select_autoescape(("j2", "html")),
                                     undefined=jinja2.StrictUndefined, trim_blocks=True)
    page = environment.get_template("page.html.j2").render(
        runs=sections, compare=beside, heading=heading, css=jinja2.utils.markupsafe.Markup((HERE / "page.css").read_text()),
        body="one" if len(runs) == 1 else "many")
    name = "report.html" if len(runs) == 1 else "runs.html"
    output.write(name, page.encode())
    return output.folder / name


class Arguments(argparse.ArgumentParser):
    def error(self, message):
        self.exit(USAGE, f"report: {message}; usage: report.py RUN... [--out DIR]\n")


def main(words=None):
    arguments = Arguments(description=__doc__.partition("\n\n")[0])
    arguments.add_argument("runs", nargs="+", metavar="RUN")
    arguments.add_argument("--out", metavar="DIR")
    given = arguments.parse_args(words)
    try:
        runs = [Run(folder) for folder in given.runs]
    except NotARun as error:
        print(f"report: {error}", file=sys.stderr)
        return USAGE
    folder = given.out or os.path.join(given.runs[0], "report")
    try:
        print(write(runs, folder))
    except OSError as error:
        print(f"report: cannot write {error.filename or folder}: {error.strerror}; give another folder with --out", file=sys.stderr)
        return CANNOT
    for run in runs:
        for trouble in run.troubles:
            print(f"report: {run.given}: {trouble}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
