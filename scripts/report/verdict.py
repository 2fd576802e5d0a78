"""The verdict and the story of a run in sentences, for a reader who has never seen a percentile. Says only what the
summary says: what is not known is not claimed."""

import chart
import losses
import timeline
from run import FAILED, HELD, INCONCLUSIVE, NONE
from words import count, duration, listing, percent, proper, rate, several, significant, size

WORDS = {HELD: "Held", FAILED: "Failed", INCONCLUSIVE: "Inconclusive", NONE: "No verdict"}
SIGNS = {HELD: "✓", FAILED: "✗", INCONCLUSIVE: "?", NONE: "!"}
NEVER = 2**63 - 1
UNITS = {"ns": duration, "count": count, "permille": lambda v: f"{significant(v / 1000)} times",
         "ppm": lambda v: f"{significant(v / 10_000)} %"}


def shown(value, unit):
    """A measured value or limit of an expectation."""
    if value is None:
        return "not measurable"
    return "never" if value >= NEVER else UNITS.get(unit, count)(value)


def expectation_name(name):
    """"p99 latency-above-floor of berth/+" in words."""
    for key, word in (("latency-above-floor", "time above the floor"), ("deliveries-at-least", "deliveries, at least"),
                      ("busy-at-least", "refused with a time to try again, at least"),
                      ("repair-ratio", "bytes sent again for each lost"), ("disorder", "out of order"), ("duplicates", "delivered twice")):
        name = name.replace(key, word)
    return name


def sentence(run):
    """The verdict in one or two sentences."""
    totals = run.summary.get("totals")
    if run.verdict == NONE:
        return "This run ended before it was judged. What it left is shown below; nothing here says whether the network holds."
    if run.verdict == INCONCLUSIVE:
        why = listing([g["what"] + (f" ({place(g)})" if g["wheres"] else "") for g in grouped(run) if g["verdict"] == INCONCLUSIVE], 3)
        return f"This run proves nothing, neither good nor bad{': ' + why if why else ''}. It must be run again before anyone relies on it."
    if run.verdict == FAILED:
        return "The network did not keep what the scenario expects: " + listing(troubles(run), 4) + "."
    missed = [e for e in run.summary.get("expectations") or [] if e["verdict"] != HELD]
    text = arrival(totals)
    number = len(run.summary.get("expectations") or [])
    if number and not missed:
        text += f" {'The one expectation' if number == 1 else f'All {number} expectations'} of the scenario held."
    return text


def arrival(totals):
    """Whether the messages arrived, from the totals alone."""
    if not totals or not totals["owed"]:
        return "No message was owed to anyone."
    if totals["delivered"] == totals["owed"] and not totals["duplicates"] and not totals["disorder"]:
        return f"Every message arrived: all {several(totals['owed'], 'delivery', 'deliveries')} owed were made, once each and in order."
    text = f"{count(totals['delivered'])} of {several(totals['owed'], 'delivery', 'deliveries')} owed were made"
    rest = []
    if totals["gaps"]:
        rest.append(f"{count(totals['gaps'])} were announced as gaps that the timeline explains")
    for key, word in (("lost", "lost"), ("undecided", "not decided"), ("duplicates", "delivered twice"), ("disorder", "out of order")):
        if totals[key]:
            rest.append(f"{count(totals[key])} {'was' if totals[key] == 1 else 'were'} {word}")
    return text + ("; " + listing(rest) if rest else "") + "."


def troubles(run):
    """What failed, most telling first, in half sentences."""
    out = []
    totals = run.summary.get("totals") or {}
    for key, word in (("lost", "lost"), ("duplicates", "delivered twice"), ("disorder", "out of order")):
        if totals.get(key):
            out.append(f"{several(totals[key], 'message')} {word}")
    for e in run.summary.get("expectations") or []:
        if e["verdict"] == FAILED and not (e["name"].split()[0] in ("lost", "duplicates", "disorder") and out):
            out.append(f"{expectation_name(e['name'])} was {shown(e['measured'], e['unit'])}, beyond its limit of {shown(e['limit'], e['unit'])}")
    for group in grouped(run):
        if group["verdict"] == FAILED and group["rule"] not in ("expectation", "R1"):
            out.append(group["what"] + (f" ({place(group)})" if group["wheres"] else ""))
    return out or [r["what"] for r in run.summary.get("reasons") or []][:1] or ["no reason was given"]


def grouped(run):
    """The reasons of the summary, those that say the same of several places put together."""
    groups = {}
    for r in run.summary.get("reasons") or []:
        group = groups.setdefault((r["rule"], r["verdict"], r["what"]), {
            "rule": r["rule"], "verdict": r["verdict"], "what": r["what"], "wheres": [], "count": 0, "examples": []})
        group["wheres"] += [r["where"]] if r["where"] else []
        group["count"] += r["count"]
        group["examples"] += [(r["where"], example) for example in r["examples"]]
    for group in groups.values():
        group["examples"] = [text if len(group["wheres"]) < 2 else f"{where}: {text}" for where, text in group["examples"]]
    return sorted(groups.values(), key=lambda g: g["verdict"] != FAILED)


def place(group):
    wheres = list(dict.fromkeys(group["wheres"]))
    return wheres[0] if len(wheres) == 1 else f"in {several(len(wheres), 'place')}"


def rehearsed(run):
    """What was rehearsed, from the plan."""
    plan = run.plan
    brokers = sum(p["kind"] == "broker" for p in plan["processes"])
    clients = len(plan["processes"]) - brokers
    links = sum(plan["nodes"][link["a"]]["harbour"] != plan["nodes"][link["b"]]["harbour"] for link in plan["links"])
    text = [f"{several(len(plan['harbours']), 'harbour')} ({listing([proper(h['name']) for h in plan['harbours']], 14)}), joined by "
            f"{several(links, 'link')}, each harbour with a broker"
            f"{' for each of ' + several(len(plan.get('tenants', [])), 'tenant') if run.several_tenants else ''}; "
            f"{several(brokers, 'broker')} and {several(clients, 'client')} in all, "
            f"{several(len(plan['topics']), 'topic')}, {duration(plan.get('duration_ns', 0))} of traffic"]
    text[0] += f" and {several(len(plan['faults']), 'fault')}." if plan["faults"] else ", no faults."
    loads = [load_sentence(plan, i) for i in range(len(plan.get("loads", [])))]
    return text, loads


def load_sentence(plan, index):
    load = plan["loads"][index]
    streams = [s for s in plan.get("streams", []) if s["load"] == index]
    families = listing(sorted({plan["topics"][s["topic"]]["family"] for s in streams}), 3)
    what = {"fleet": f"{several(len(streams), 'vessel')} that sail their lanes and report as AIS class A does",
            "replay": f"the file {load.get('file')} replayed with its own timing",
            "periodic": f"{several(len(streams), 'source')}, each a message of {size(load['size_bytes'])} every {duration(load['interval_ns'])}",
            "poisson": f"{several(len(streams), 'source')}, each a message of {size(load['size_bytes'])} every {duration(load['interval_ns'])} on average, at random"}
    text = what.get(load["kind"], load["kind"])
    if load.get("count"):
        text = f"{several(len(streams), 'source')}, {'each ' if len(streams) > 1 else ''}{several(load['count'], 'message')} of {size(load['size_bytes'])}" + (
            f", {duration(load['interval_ns'])} apart" if load["count"] > 1 else "")
    return f"{load['name']}: {text} (topics {families})"


def fault_stories(run):
    """One sentence or two for each fault: what was done, when, and what came of it."""
    out = []
    for row, fault in zip(timeline.faults(run), run.plan["faults"]):
        text = _deed(run, fault, row)
        if row["on_ns"] is None:
            text += " There is no record that it took effect." if run.summary else ""
        else:
            text += " " + _outcome(row)
        out.append({"number": row["number"], "kind": row["kind"], "name": row["name"], "text": text})
    return out


def _deed(run, fault, row):
    at = duration(row["on_ns"] if row["on_ns"] is not None else fault["at_ns"])
    until = row["off_ns"] if row["off_ns"] is not None else fault["until_ns"] or None
    since = row["on_ns"] if row["on_ns"] is not None else fault["at_ns"]
    lasting = f" for {duration(until - since)}" if until is not None and until > since else ""
    links = listing([link_name(run.plan["links"][i]["name"]) for i in fault["links"]], 4)
    plural = "s" if len(fault["links"]) > 1 else ""
    were = "were" if len(fault["links"]) > 1 else "was"
    way = {"a_to_b": " in one direction", "b_to_a": " in the other direction"}.get(fault.get("way", "both").replace("-", "_"), "")
    who = listing([process_name(run, run.plan["processes"][i]) for i in fault["processes"]], 4)
    stood = "were" if len(fault["processes"]) > 1 else "was"
    name = fault["name"].split()
    detail = fault["name"] if len(name) > 1 else ""
    return {
        "cut": f"At {at} the link{plural} {links} {were} cut{way}{lasting}.",
        "partition": f"At {at} the network was divided{lasting}: {links} carried nothing.",
        "degrade": f"At {at} the link{plural} {links} {were} degraded{way}{lasting} ({_degraded(fault)}).",
        "kill": f"At {at} {who} {stood} killed.",
        "restart": f"At {at} {who} {stood} stopped" + (f" and came back with empty memory {duration(until - since)} later." if lasting else
                                                  " and restarted with empty memory."),
        "pause": f"At {at} {who} {stood} paused{lasting}.",
        "clock-skew": f"At {at} the clock of {who} was set wrong by {duration(fault.get('skew_ns', 0))}{lasting}.",
        "lose-control": f"At {at} the next {several(fault.get('count', 0), 'control message')} of {who} were lost.",
    }.get(fault["kind"], f"At {at}: {detail or fault['kind']}{lasting}.")


def link_name(name):
    """"Hamburg – Rotterdam"."""
    return " – ".join(proper(end.removesuffix("/edge")) for end in name.split("--"))


def process_name(run, process):
    """"the broker of Gdansk", "the client pilot of Hamburg (tenant blue)"."""
    harbour, _, rest = process["name"].partition("/")
    what = rest.rpartition("/")[2]
    text = f"the broker of {proper(harbour)}" if process["kind"] == "broker" else f"the client {what} of {proper(harbour)}"
    return text + (f" (tenant {run.plan['tenants'][process['tenant']]['name']})" if run.several_tenants else "")


def _degraded(fault):
    is_, out = fault["impairments"], []
    for what in fault.get("replaces", []):
        if what == "loss":
            out.append(f"{significant(100 * chart.mean_loss(is_['loss']))} % lost")
        elif what == "delay":
            out.append(f"{duration(is_['delay_ns'])} one way")
        elif what == "rate":
            out.append(f"{rate(is_['rate_bps'])}")
        else:
            out.append(what.replace("_", " "))
    return listing(out) or "as the scenario says"


def _outcome(row):
    if row["off_ns"] is None and row["kind"] in ("cut", "partition", "degrade", "pause"):
        since = "it took effect; it did not heal before the end"
    else:
        since = "it healed" if row["off_ns"] is not None else "it took effect"
    if not row["held_up_streams"] and not row["missing"]:
        return "No delivery was held up."
    text = f"It held up {several(row['held_up_streams'], 'stream')}; the slowest of those messages took {duration(row['worst_latency_ns'])}."
    if row["missing"]:
        text += f" {several(row['missing'], 'message')} never arrived."
    if row["recovery_ns"] is None:
        return text + " Not every stream flowed again before the run ended."
    if row["recovery_ns"] == 0:
        return text + (" All flowed again before it healed." if row["off_ns"] is not None else " All flowed again at once.")
    return text + f" All flowed again {duration(row['recovery_ns'])} after {since}."


def facts(run):
    """The figures: (figure, what it says, whether it is as one would wish: True, False or None). The first three are for
    whoever reads no more: what arrived, how fast, and how long the worst fault was felt (or what was lost)."""
    totals = run.summary.get("totals")
    if not totals:
        return []
    lead = [(percent(totals["delivered"], totals["owed"]),
             f"of {several(totals['owed'], 'delivery', 'deliveries')} owed were made", totals["delivered"] == totals["owed"])]
    rest = []
    tenants = [t for t in run.summary.get("tenants") or [] if t["latency"]["count"]]
    if tenants:
        slow = max(tenants, key=lambda t: t["latency"]["p99_ns"])
        of = f" (tenant {slow['tenant']})" if run.several_tenants else ""
        lead.append((duration(slow["latency"]["p50_ns"]), f"or less from sender to receiver for half of the messages, "
                     f"{duration(slow['latency']['p99_ns'])} or less for 99 of 100{of}", None))
        rest.append((duration(slow["above_floor"]["p50_ns"]), f"or less above what distance alone takes, for half{of}", None))
    healed = [f["recovery_ns"] for f in run.summary.get("faults") or [] if f["on_ns"] is not None]
    if healed:
        worst = "never" if None in healed else duration(max(healed))
        lead.append((worst, "until all flowed again after the worst fault" if None not in healed else "did all flow again after the worst fault",
                     None if None not in healed else False))
    counted = [(count(totals["lost"]), "lost", not totals["lost"]), (count(totals["disorder"]), "out of order", not totals["disorder"]),
               (count(totals["duplicates"]), "delivered twice", not totals["duplicates"])]
    for key, word in (("gaps", "announced as gaps, each explained"), ("undecided", "not decided"), ("refused", "refused at the source"),
                      ("died", "died with their publisher and its broker")):
        if totals[key]:
            counted.append((count(totals[key]), word, None if key != "undecided" else False))
    # What went wrong comes before what is merely slow.
    while len(lead) < 3 and counted:
        lead.append(counted.pop(next((i for i, c in enumerate(counted) if c[2] is False), 0)))
    return lead + counted + rest


def caveats(run):
    """What the reader must know before believing the figures."""
    out = []
    calibration = run.plan.get("calibration") or {}
    if "placeholder" in (calibration.get("name", "") + calibration.get("source", "")).lower():
        out.append("The processor time charged to brokers and clients comes from placeholder figures of the right order, not from "
                   "measurements: this run foretells no processor limit.")
    fidelity = run.summary.get("fidelity_measured") or {}
    if (fidelity.get("measured") or {}).get("virtual_time"):
        out.append("The network was simulated in virtual time. The brokers are the real engines; links, processors and clocks are models.")
    if fidelity.get("unsplit") and not fidelity.get("splits"):
        out.append("No delivery was split into its parts, so that where the time went is not known.")
    elif fidelity.get("unsplit"):
        out.append(f"{several(fidelity['unsplit'], 'delivery', 'deliveries')} could not be split into parts and are not in that picture.")
    lateness = fidelity.get("publish_lateness") or {}
    if lateness.get("max_ns", 0) > 1_000_000:
        out.append(f"Load clients sent up to {duration(lateness['max_ns'])} after the intended time; latency counts from the intended "
                   "time, so this is part of it.")
    return out


def link_table(run):
    """Plan and counters of each link beside each other."""
    counted = {}
    for row in losses.by_link(run):
        entry = counted.setdefault(row["link"], {"packets": 0, "bytes": 0, "dropped": 0})
        for key in entry:
            entry[key] += row[key]
    return [{**row, **counted.get(row["link"], {"packets": None, "bytes": None, "dropped": None})} for row in chart.tables(run.plan)["links"]]
