"""The tables of the page: rows of cells already in words, each with a mark where a row is not as one would wish."""

import chart
import timeline
import verdict
from split import present
from words import count, duration, percent, rate, significant, size

MOST_TOPICS = 1_000
MOST_MARKS = 60


def table(columns, rows):
    """columns: titles, a leading "#" for figures, "!" for what must not wrap. rows: lists of cells, or (mark, cells)."""
    kinds = {"#": "n", "!": "whole"}
    return {"columns": [{"title": c.lstrip("#!"), "kind": kinds.get(c[:1], "")} for c in columns],
            "rows": [{"mark": r[0], "cells": r[1]} if isinstance(r, tuple) else {"mark": "", "cells": r} for r in rows]}


def _with_tenant(run, columns, rows):
    """Leaves out the tenant's column (the second) where there is one tenant only."""
    if run.several_tenants:
        return table(columns, rows)
    drop = lambda cells: cells[:1] + cells[2:]
    return table(drop(columns), [(r[0], drop(r[1])) if isinstance(r, tuple) else drop(r) for r in rows])


COUNTS = ("published", "accepted", "refused", "owed", "delivered", "gaps", "lost", "duplicates", "disorder", "undecided", "died")
HEADS = {"duplicates": "twice", "disorder": "out of order", "died": "died with publisher", "undecided": "not decided"}


RARE = ("refused", "gaps", "undecided", "died")  # a column only where one is not 0


def _counts(run, columns, entries, names):
    """A table of counts, one row for each entry of the summary."""
    keys = [k for k in COUNTS if k not in RARE or (run.summary.get("totals") or {}).get(k)]
    rows = []
    for entry in entries:
        c = entry["counts"]
        bad = c["lost"] or c["duplicates"] or c["disorder"]
        rows.append(("failed" if bad else "inconclusive" if c["undecided"] else "", names(entry) + [count(c[k]) for k in keys]))
    columns = columns + ["#" + HEADS.get(k, k) for k in keys]
    return _with_tenant(run, columns, rows) if columns[1:2] == ["tenant"] else table(columns, rows)


def counts(run):
    return _counts(run, ["topic family", "tenant", "#topics"], run.families, lambda f: [f["family"], f["tenant"], count(f["topics"])])


def topics(run):
    return _counts(run, ["topic", "tenant"], (run.summary.get("topics") or [])[:MOST_TOPICS], lambda t: [t["topic"], t["tenant"]])


def tenants(run):
    if not run.several_tenants:
        return table([], [])
    return _counts(run, ["of tenant"], run.summary.get("tenants") or [], lambda t: [t["tenant"]])


SPREAD = (("p50_ns", "p50"), ("p90_ns", "p90"), ("p99_ns", "p99"), ("p999_ns", "p99.9"), ("max_ns", "slowest"), ("mean_ns", "mean"))


def _spread(run, which, extra=(), extra_cells=lambda f: []):
    rows = []
    for f in run.families:
        s = f[which]
        cells = [duration(s[k]) for k, _ in SPREAD] if s["count"] else ["none"] + [""] * (len(SPREAD) - 1)
        rows.append([f["family"], f["tenant"], *extra_cells(f), *cells])
    return _with_tenant(run, ["topic family", "tenant", *extra] + ["#" + title for _, title in SPREAD], rows)


def latency(run):
    return _spread(run, "latency", ("#deliveries", "#floor, nearest", "#farthest"),
                   lambda f: [count(f["latency"]["count"]), duration(f["floor_min_ns"]), duration(f["floor_max_ns"])])


def above(run):
    return _spread(run, "above_floor", ("#repaired", ), lambda f: [count(f["repaired"]["count"])])


def split(run):
    rows = []
    for f in run.families:
        for which, share, count_key, word in (("mean", "share_permille", "count", "all"),
                                              ("mean_at_p99", "share_at_p99_permille", "count_at_p99", "slowest hundredth")):
            if f["split"][count_key]:
                rows.append([f["family"], f["tenant"], word, count(f["split"][count_key])] +
                            [f"{duration(f['split'][which][p + '_ns'])} ({significant(f['split'][share][p] / 10)} %)" for p in present(run)])
    return _with_tenant(run, ["topic family", "tenant", "deliveries", "#number"] + ["#" + p for p in present(run)], rows)


def expectations(run):
    return table(["expectation", "verdict", "#measured", "#limit", "#beyond by", "!where"],
                 [("" if e["verdict"] == "held" else e["verdict"],
                   [verdict.expectation_name(e["name"]), e["verdict"], verdict.shown(e["measured"], e["unit"]), verdict.shown(e["limit"], e["unit"]),
                    verdict.shown(e["by"], e["unit"]) if e["by"] else "", e["where"]])
                  for e in run.summary.get("expectations") or []])


def rules(run):
    return table(["rule", "what it asks", "verdict"],
                 [(r["verdict"] if r["verdict"] in ("failed", "inconclusive") else "", [r["rule"], r["title"], r["verdict"]])
                  for r in run.summary.get("rules") or []])


def links(run):
    dash = lambda value, how: "" if value is None else how(value)
    return table(["link", "model", "#distance", "#floor", "#one-way delay", "#rate", "#packets", "#dropped", "#share", "faults"],
                 [[verdict.link_name(row["link"]), row["model"], f"{count(round(row['distance_km']))} km",
                   f"{significant(row['floor_ms'])} ms", f"{significant(row['delay_ms'])} ms",
                   rate(row["rate_mbps"] * 1e6),
                   dash(row["packets"], count), dash(row["dropped"], count),
                   percent(row["dropped"], row["packets"]) if row["packets"] else "", row["faults"]]
                  for row in verdict.link_table(run)])


def faults(run):
    rows = []
    for f in timeline.faults(run):
        healed = "" if f["off_ns"] is None else duration(f["off_ns"])
        known = f["on_ns"] is not None
        rows.append(("failed" if f["missing"] or known and f["recovery_ns"] is None else "",
                     [f"{f['number']}  {f['name']}", duration(f["planned_at_ns"]), duration(f["on_ns"]) if known else "not seen", healed,
                      count(f["held_up_streams"]) if known else "", count(f["missing"]) if known else "",
                      duration(f["worst_latency_ns"]) if known else "",
                      ("never" if f["recovery_ns"] is None else duration(f["recovery_ns"])) if known else ""]))
    return table(["fault", "#planned", "#took effect", "#healed", "#streams held up", "#missing", "#slowest",
                  "#recovery"], rows)


def high_water(run):
    marks = [m for m in run.summary.get("high_water") or [] if m["bound"]]
    marks.sort(key=lambda m: (-m["used"] / m["bound"], m["process"], m["name"]))
    return table(["process", "pool", "#most used", "#bound", "#share"],
                 [("failed" if m["used"] > m["bound"] else "",
                   [m["process"], m["name"], count(m["used"]), count(m["bound"]), percent(m["used"], m["bound"])]) for m in marks[:MOST_MARKS]])


def counters(run):
    return table(["counter", "#total"], [[k, count(v)] for k, v in sorted((run.summary.get("counters") or {}).items())])


def provenance(run):
    sha, v, plan = run.summary.get("sha256") or {}, run.versions, run.plan
    rows = [["run", run.given], ["seed", str(plan.get("seed", ""))], ["trace hash", run.summary.get("trace_hash", "")],
            ["plan, SHA-256", sha.get("plan") or run.plan_sha256], ["scenario, SHA-256", sha.get("scenario") or plan.get("scenario_sha256", "")]]
    calibration = plan.get("calibration") or {}
    if calibration:
        rows += [["calibration", f"{calibration.get('name', '')}: {calibration.get('source', '')}"],
                 ["calibration, SHA-256", calibration.get("sha256", "")]]
    for kind, word in (("binaries", "program"), ("bpf", "BPF object")):
        rows += [[f"{word} {name}, SHA-256", digest] for name, digest in sorted((sha.get(kind) or v.get(kind) or {}).items())]
    for key, value in sorted(v.items()):
        if key in ("binaries", "bpf", "plan_sha256"):
            continue
        rows.append([key.replace("_", " "), " ".join(map(str, value)) if isinstance(value, list) else str(value)])
    for name, entry in sorted(run.statuses.items()):
        if isinstance(entry, dict) and name != "report":  # this one is not over yet
            rows.append([f"status of {name}", str(entry.get("status"))])
    records = run.summary.get("records")
    if records:
        rows.append(["records", f"{count(records['files'])} files, {count(records['rows'])} rows, {size(records['bytes'])}"])
    for key, value in sorted(((run.summary.get("fidelity_measured") or {}).get("measured") or {}).items()):
        rows.append([f"fidelity: {key.replace('_', ' ')}", str(value)])
    return table(["what", "value"], [r for r in rows if r[1] not in ("", "None")])


def runs(all_runs, names):
    """One row for each run, to compare."""
    rows = []
    for run, name in zip(all_runs, names):
        t = run.summary.get("totals")
        rows.append((run.verdict if run.verdict in ("failed", "inconclusive") else "inconclusive" if run.verdict == "none" else "",
                     [name, verdict.WORDS[run.verdict], str(run.plan.get("seed", "")), *([count(t[k]) for k in (
                         "owed", "delivered", "gaps", "lost", "duplicates", "disorder")] if t else [""] * 6),
                      run.summary.get("trace_hash", "")]))
    return table(["run", "verdict", "#seed", "#owed", "#delivered", "#gaps", "#lost", "#twice", "#out of order", "trace hash"], rows)


def compared(rows):
    several = len({r["tenant"] for r in rows}) > 1
    return table(["topic family", "run", "#deliveries", "#p50", "#p90", "#p99", "#p99.9", "#slowest"],
                 [[r["family"] + (f" ({r['tenant']})" if several else ""), r["run"], count(r["above_floor_count"])] +
                  [duration(r[f"above_floor_{k}"]) for k in ("p50_ns", "p90_ns", "p99_ns", "p999_ns", "max_ns")] for r in rows])
