"""Run folders made up for the report's tests: shaped as the checker's (results/summary.schema.json), figures invented.

`plan()` is a small plan; `write(folder, plan)` puts the files of a run there. Everything is computed from fixed formulas,
so that equal calls leave equal bytes.
"""

import json
import math
import pathlib
import struct

SECOND, MS = 10**9, 10**6
CALM = {"delay_ns": 0, "loss": {"kind": "none", "probability": 0, "good_probability": 0, "good_dwell_ns": 0, "bad_dwell_ns": 0},
        "rate_bps": 10**9}


def link(name, a, b, delay_ns, model="leased-fibre", loss=0):
    way = {**CALM, "delay_ns": delay_ns}
    if loss:
        way["loss"] = {**CALM["loss"], "kind": "uniform", "probability": int(loss * 1e9)}
    return {"name": name, "a": a, "b": b, "model": model, "distance_m": delay_ns // 5 if model != "veth" else 0,
            "floor_ns": int(delay_ns * 0.7) if model != "veth" else 0, "a_to_b": way, "b_to_a": way}


def fault(name, kind, at_s, until_s=0, links=(), processes=(), **more):
    return {"name": name, "kind": kind, "at_ns": at_s * SECOND, "until_ns": until_s * SECOND, "links": list(links), "way": "both",
            "processes": list(processes), "overlay": kind == "degrade", "impairments": CALM, "replaces": [], "skew_ns": 0, "skew_ppb": 0,
            "count": 0, **more}


def plan(tenants=("main",), faults=True):
    """Three harbours in a triangle, two families of topics for each tenant."""
    names = ["hamburg", "rotterdam", "le-havre"]
    where = [(53.54, 9.98), (51.95, 4.14), (49.48, 0.12)]
    nodes = [{"name": f"{n}/edge", "kind": "edge", "harbour": i, "tenant": None} for i, n in enumerate(names)]
    links = [link("hamburg/edge--rotterdam/edge", 0, 1, 3 * MS), link("rotterdam/edge--le-havre/edge", 1, 2, 3_400_000, "internet", 0.01),
             link("hamburg/edge--le-havre/edge", 0, 2, 6 * MS)]
    processes, topics, streams = [], [], []
    for t, tenant in enumerate(tenants):
        for i, n in enumerate(names):
            nodes.append({"name": f"{n}/{tenant}", "kind": "service", "harbour": i, "tenant": t})
            links.append(link(f"{n}/edge--{n}/{tenant}", i, len(nodes) - 1, 20_000, "veth"))
            processes.append({"name": f"{n}/{tenant}/broker", "kind": "broker", "node": len(nodes) - 1, "tenant": t})
            processes.append({"name": f"{n}/{tenant}/pilot", "kind": "client", "node": len(nodes) - 1, "tenant": t})
            topics.append({"name": f"berth/{n}", "family": "berth/+", "tenant": t, "class": "realtime"})
            topics.append({"name": f"radar/{n}", "family": "radar/+", "tenant": t, "class": "realtime"})
            streams += [{"load": k, "process": len(processes) - 1, "topic": len(topics) - 2 + k, "index": i} for k in (0, 1)]
    load = {"kind": "periodic", "start_ns": SECOND, "end_ns": 19 * SECOND, "count": 0, "file": ""}
    burst = {**CALM, "loss": {"kind": "gilbert-elliott", "probability": 10**9, "good_probability": 0, "good_dwell_ns": 120 * MS, "bad_dwell_ns": 30 * MS}}
    return {
        "version": 1, "name": "fixture", "title": "Three harbours, made up", "seed": 7, "duration_ns": 20 * SECOND, "drain_ns": 10 * SECOND,
        "settle_ns": 10 * SECOND, "scenario_sha256": "5c" * 32,
        "harbours": [{"name": n, "lat_udeg": int(a * 1e6), "lon_udeg": int(b * 1e6), "hub": False} for n, (a, b) in zip(names, where)],
        "tenants": [{"name": t} for t in tenants], "nodes": nodes, "links": links, "processes": processes, "topics": topics,
        "loads": [{**load, "name": "telemetry", "size_bytes": 240, "interval_ns": 50 * MS}, {**load, "name": "tiles", "size_bytes": 65536, "interval_ns": 500 * MS}],
        "streams": streams,
        "faults": [fault("cut hamburg -- rotterdam", "cut", 4, 7, [0]), fault("degrade rotterdam -- le-havre", "degrade", 9, 12, [1], replaces=["loss"], impairments=burst),
                   fault("restart le-havre/main/broker", "restart", 14, 15, processes=[4])] if faults else [],
        "expectations": [{"name": "lost", "kind": "lost", "filter": "#", "limit": 0, "percentile_permyriad": 0, "where": "fixture.yaml:9"},
                         {"name": "p99 latency-above-floor of berth/+", "kind": "latency-above-floor", "filter": "berth/+", "limit": SECOND,
                          "percentile_permyriad": 9900, "where": "fixture.yaml:10"},
                         {"name": "repair-ratio", "kind": "repair-ratio", "filter": "#", "limit": 2000, "percentile_permyriad": 0, "where": "fixture.yaml:11"}],
        "calibration": {"name": "placeholder", "source": "placeholder", "sha256": "ca" * 32},
    }


def _latency(base_ns, at):
    """A plausible quantile function: most near the base, a long tail."""
    share = min(at / 10000, 0.99995)
    return int(base_ns * (1 + 0.15 * share) + 0.2 * MS * share - 2.2 * MS * math.log10(1 - share) ** 3)


POINTS = [i * 50 for i in range(201)] + [9910, 9925, 9940, 9960, 9970, 9980, 9985, 9990, 9995, 9999]


def _spread(base_ns, count):
    q = lambda at: _latency(base_ns, at) if count else 0
    return {"count": count, "min_ns": q(0), "p50_ns": q(5000), "p90_ns": q(9000), "p99_ns": q(9900), "p999_ns": q(9990), "max_ns": q(10000),
            "mean_ns": q(5500)}


def _counts(published, fan, lost=0, **more):
    owed = published * fan
    return {"published": published, "accepted": published, "refused": 0, "busy": 0, "received": published, "unanswered": 0, "owed": owed, "delivered": owed - lost,
            "deliveries": owed - lost, "gaps": 0, "lost": lost, "undecided": 0, "excused": 0, "died": 0, "duplicates": 0, "disorder": 0, **more}


def _add(many):
    return {key: sum(c[key] for c in many) for key in many[0]}


def _parts(total_ns, suffix="_ns"):
    share = {"propagation": 0.55, "serialisation": 0.08, "queueing": 0.07, "repair": 0.2, "consensus": 0.0, "broker": 0.1}
    return {k + suffix: int(v * (total_ns if suffix else 1000)) for k, v in share.items()}


def results(plan, verdict="held", lost=0):
    """(summary, series) of an invented run of this plan."""
    keys = list(dict.fromkeys((t["tenant"], t["family"]) for t in plan["topics"]))
    end = plan["duration_ns"] + plan["drain_ns"]
    seconds = end // SECOND + 1
    load_end = (plan["duration_ns"] - SECOND) // SECOND
    families, series_families, topics = [], [], []
    for k, (tenant, family) in enumerate(keys):
        mine = [t for t in plan["topics"] if (t["tenant"], t["family"]) == (tenant, family)]
        rate = 20 if k % 2 == 0 else 2
        gone = lost if k == 0 else 0
        counts = _counts(rate * (load_end - 1) * len(mine), 2, gone)
        base, floor = (5 + 7 * k) * MS, int(2.1 * MS)
        for i, topic in enumerate(mine):
            topics.append({"topic": topic["name"], "tenant": plan["tenants"][tenant]["name"], "family": family,
                           "counts": _counts(rate * (load_end - 1), 2, gone if i == 0 else 0)})
        families.append({
            "family": family, "tenant": plan["tenants"][tenant]["name"], "class": "realtime", "topics": len(mine), "counts": counts,
            "floor_min_ns": floor, "floor_max_ns": 2 * floor, "latency": _spread(base, counts["delivered"]),
            "above_floor": _spread(base - int(1.4 * floor), counts["delivered"]), "repaired": _spread(4 * MS, counts["delivered"] // 50),
            "split": {"count": counts["delivered"], "mean": _parts(int(base * 1.2)), "share_permille": _parts(0, ""),
                      "count_at_p99": counts["delivered"] // 100, "mean_at_p99": _parts(base * 6), "share_at_p99_permille": _parts(0, "")}})
        active = [1 <= s < load_end for s in range(seconds)]
        slow = [1 + 12 * any(f["at_ns"] <= s * SECOND <= max(f["until_ns"], f["at_ns"]) for f in plan["faults"]) for s in range(seconds)]
        above = base - int(1.4 * floor)
        wave = lambda s: 1 + 0.1 * math.sin(s * (k + 2))
        series_families.append({
            "family": family, "tenant": families[-1]["tenant"], "floor_min_ns": floor, "floor_max_ns": 2 * floor,
            "deliveries": [rate * 2 * len(mine) if a else 0 for a in active], "published": [rate * len(mine) if a else 0 for a in active],
            "missing": [gone if s == 5 else 0 for s in range(seconds)],
            "above_floor_p50_ns": [int(above * wave(s)) if a else None for s, a in enumerate(active)],
            "above_floor_p99_ns": [int(3 * above * wave(s) * slow[s]) if a else None for s, a in enumerate(active)],
            "above_floor_max_ns": [int(5 * above * wave(s) * slow[s]) if a else None for s, a in enumerate(active)],
            "latency_cdf": sorted([at, _latency(base, at)] for at in POINTS),
            "above_floor_cdf": sorted([at, _latency(base - int(1.4 * floor), at)] for at in POINTS)})
    faults = [{"index": i, "name": f["name"], "kind": f["kind"].replace("-", "_"), "on_ns": f["at_ns"], "off_ns": f["until_ns"] or None,
               "held_up_streams": 9 * (i + 1), "missing": lost if i == 0 else 0, "worst_latency_ns": (i + 1) * 640 * MS,
               "recovery_ns": (i + 1) * 310 * MS if not (lost and i == 0) else None} for i, f in enumerate(plan["faults"])]
    code = {"held": 0, "failed": 1, "inconclusive": 2}[verdict]
    reasons = []
    if verdict == "failed":
        reasons = [{"rule": "R1", "verdict": "failed", "what": "lost", "where": keys[0][1], "count": lost, "invariant": False,
                    "examples": [f"berth/hamburg publisher 2 sequence {n}: owed to rotterdam/main/pilot, neither delivered nor told as a gap" for n in range(min(5, lost))]},
                   {"rule": "expectation", "verdict": "failed", "what": "lost is beyond its limit", "where": "fixture.yaml:9", "count": 1, "invariant": False,
                    "examples": [], "measured": lost, "limit": 0, "by": lost}]
    if verdict == "inconclusive":
        reasons = [{"rule": "records", "verdict": "inconclusive", "what": "truncated", "where": "records/hamburg_main_pilot.1.app.rec", "count": 1,
                    "invariant": False, "examples": ["no end row after 4211 rows"]}]
    expectations = []
    for e in plan["expectations"]:
        unit = "ns" if "latency" in e["kind"] or e["kind"] == "recovery" else "permille" if e["kind"] == "repair-ratio" else "count"
        measured = lost if e["kind"] == "lost" else e["limit"] // 2
        expectations.append({"name": e["name"], "where": e["where"], "unit": unit, "limit": e["limit"], "by": max(0, measured - e["limit"]),
                             "measured": measured, "filter": e["filter"], "percentile_permyriad": e["percentile_permyriad"],
                             "verdict": "failed" if measured > e["limit"] else "inconclusive" if verdict == "inconclusive" else "held"})
    rule_names = ["R1", "R2", "R3", "R4", "R5", "R6", "6", "7", "8", "11", "12", "records", "expectation"]
    rules = [{"rule": r, "title": f"what rule {r} asks", "verdict": next((x["verdict"] for x in reasons if x["rule"] == r),
                                                                         "not judged" if r == "12" else "held")} for r in rule_names]
    tenants = [{"tenant": t["name"], "counts": _add([f["counts"] for f in families if f["tenant"] == t["name"]]),
                "latency": _spread(6 * MS, 1000), "above_floor": _spread(3 * MS, 1000)} for t in plan["tenants"]]
    lossy = [1 <= s < load_end and s % 3 == 0 for s in range(seconds)]
    summary = {
        "version": 1, "name": plan["name"], "title": plan["title"], "verdict": verdict, "exit": code, "invariant_broken": False, "seed": plan["seed"],
        "trace_hash": "00c0ffee00c0ffee", "duration_ns": plan["duration_ns"], "end_ns": end, "rules": rules, "reasons": reasons, "expectations": expectations,
        "totals": _add([f["counts"] for f in families]), "families": families, "tenants": tenants, "topics": topics, "faults": faults,
        "repair": {"repair_bytes": 61_000, "repair_datagrams": 58, "lost_bytes": 52_000, "lost_packets": 49, "impaired_bytes": 40_000, "impaired_packets": 38, "ratio_permille": 1173},
        "counters": {"published": 1140, "repair_datagrams": 58}, "high_water": [{"process": "hamburg/main/broker", "name": "slots", "used": 12, "bound": 64}],
        "versions": None, "fidelity_measured": {"measured": {"virtual_time": 1}, "publish_lateness": _spread(0, 0), "splits": 100, "unsplit": 0},
        "records": {"files": 13, "rows": 9000, "bytes": 870_000, "packets": 4000, "verdicts": 0},
        "sha256": {"plan": "ab" * 32, "scenario": plan["scenario_sha256"], "calibration": "ca" * 32, "binaries": {"portolan-sim": "51" * 32}, "bpf": {}},
    }
    ways = [(link["name"], way, k) for k, link in enumerate(plan["links"]) if link["model"] != "veth" for way in ("a_to_b", "b_to_a")]
    summary["links"] = [{"link": name, "way": way, "packets": 1000, "bytes": 250_000, "carried_bytes": 250_000, "utilisation_permille": 12,
                         "utilisation_peak_permille": 40 + 3 * k, "peak_bps": 400_000, "queue_bytes_max": 9000, "queueing_max_ns": 700_000 + 9000 * k,
                         "dropped": {"loss": 3}, "dropped_bytes": {"loss": 750}} for name, way, k in ways]
    series_links = [{"link": name, "way": way, "carried_bytes": [5000 * (1 + (s + k) % 4) if a else 0 for s, a in enumerate(active)],
                     "capacity_bytes": [500_000] * seconds, "queue_bytes_max": [3000 * ((s + k) % 4) for s in range(seconds)],
                     "queueing_max_ns": [200_000 * ((s + k) % 4) for s in range(seconds)], "dropped": [int(s == 6) for s in range(seconds)]}
                    for name, way, k in ways]
    series = {"version": 1, "links": series_links, "bin_ns": SECOND, "bins": seconds, "end_ns": end, "families": series_families,
              "faults": [{k: f[k] for k in ("name", "on_ns", "off_ns", "recovery_ns")} for f in faults],
              "repair_datagrams": [6 if x else 0 for x in lossy], "packets_lost": [5 if x else 0 for x in lossy]}
    return summary, series


def records(plan):
    """A runner's record file with link counters alone (results/RECORDS.md)."""
    out = bytearray(struct.pack("<8sII", b"PRTLREC\n", 1, 96).ljust(256, b"\0"))
    texts = {}

    def row(kind, text=0, value=0):
        out.extend(struct.pack("<HHIqIIQIIQQqqQQq", kind, 0, 0, 0, 0, text, 0, 0, 0, 0, 0, 0, 0, 0, value, 0))

    for i, entry in enumerate(e for e in plan["links"] if e["model"] != "veth"):
        for j, way in enumerate(("a_to_b", "b_to_a")):
            counted = {"packets": 5000 + 10 * i, "bytes": 900_000, "queue_bytes_max": 70_000}
            if i < 2:
                counted |= {"dropped/loss": 9 + 4 * i + j, "dropped_bytes/loss": 11_000, "dropped/cut": 12 * (1 - i), "dropped_bytes/cut": 9_000}
            for what, value in counted.items():
                name = f"{entry['name']}/{way}/{what}"
                texts[name] = len(texts) + 1
                data = name.encode()
                row(1, texts[name], len(data))
                out.extend(data.ljust((len(data) + 95) // 96 * 96, b"\0"))
                row(86, texts[name], value)
    row(2)
    return bytes(out)


VERSIONS = {"commit": "0123456789ab", "ns3": "3.37+dfsg-1+b1", "kernel": "6.1.0", "command": ["run", "scenarios/fixture.yaml", "--twice"],
            "binaries": {"portolan-sim": "51" * 32}}


def write(folder, plan, verdict="held", lost=0):
    """Puts a whole run folder there; returns its path."""
    folder = pathlib.Path(folder)
    for name in ("records", "logs"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    summary, series = results(plan, verdict, lost)
    for name, value in (("plan.json", plan), ("summary.json", summary), ("series.json", series), ("versions.json", VERSIONS),
                        ("logs/status.json", {"sim": {"status": 0}})):
        (folder / name).write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")
    (folder / "records" / "runner.rec").write_bytes(records(plan))
    return folder
