"""Random fault schedules for `explore`, and the search for the smallest that still breaks. Pure: a plan and a seed in, faults out.

A schedule is a list of faults as plans have them (scenarios/plan/plan.schema.json). Whoever wants another kind adds a
function to KINDS. Draws are our own hash, so that a seed means the same schedule with every Python.
"""

import copy
import hashlib

MS, S = 10**6, 10**9


class Draws:
    """Numbers from a seed, in order."""

    def __init__(self, seed, name):
        self.key, self.count = f"{seed}/{name}/", 0

    def below(self, bound):
        self.count += 1
        return int.from_bytes(hashlib.sha256(f"{self.key}{self.count}".encode()).digest()[:8], "big") % bound

    def between(self, least, most):
        return least + self.below(most - least + 1)

    def one_of(self, items):
        return items[self.below(len(items))]


def uplinks(plan):
    nodes = plan["nodes"]
    return [i for i, link in enumerate(plan["links"])
            if nodes[link["a"]]["kind"] == "edge" and nodes[link["b"]]["kind"] == "edge"]


def brokers(plan):
    return [i for i, process in enumerate(plan["processes"]) if process["kind"] == "broker"]


def fault(plan, kind, at_ns, until_ns, links=(), processes=(), **more):
    things = [plan["links"][i]["name"] for i in links] + [plan["processes"][i]["name"] for i in processes]
    plain = {"name": f"{kind} {', '.join(things)}", "kind": kind, "at_ns": at_ns, "until_ns": until_ns,
             "links": sorted(links), "way": "both", "processes": sorted(processes), "overlay": False,
             "impairments": copy.deepcopy(IMPAIRMENTS), "replaces": [], "skew_ns": 0, "skew_ppb": 0, "count": 0}
    return plain | more


IMPAIRMENTS = {
    "delay_ns": 0, "jitter": {"kind": "none", "scale_ns": 0, "max_ns": 0},
    "loss": {"kind": "none", "probability": 0, "good_probability": 0, "good_dwell_ns": 0, "bad_dwell_ns": 0},
    "rate_bps": 0, "queue": {"kind": "tail-drop", "bytes": 0, "target_ns": 5 * MS, "interval_ns": 100 * MS, "ecn": False},
    "reorder": 0, "reorder_ns": 0, "duplicate": 0, "delay_trace": [], "delay_trace_period_ns": 0, "rate_trace_ms": [],
    "rate_trace_period_ns": 0, "mtu_bytes": 1500,
}


def cut(plan, draws, at, until):
    if not uplinks(plan):
        return None  # one harbour
    way = draws.one_of(["both", "both", "a-to-b", "b-to-a"])
    return fault(plan, "cut", at, until, [draws.one_of(uplinks(plan))], way=way)


def partition(plan, draws, at, until):
    """One harbour alone, or two of them together."""
    inside = {draws.below(len(plan["harbours"])) for _ in range(draws.between(1, 2))}
    home = [plan["nodes"][link[end]]["harbour"] in inside for link in plan["links"] for end in ("a", "b")]
    crossing = [i for i in uplinks(plan) if home[2 * i] != home[2 * i + 1]]
    return fault(plan, "partition", at, until, crossing) if crossing else None


def degraded(plan, draws, at, until, replaces, **impairments):
    if not uplinks(plan):
        return None
    return fault(plan, "degrade", at, until, [draws.one_of(uplinks(plan))], overlay=True, replaces=[replaces],
                 impairments=copy.deepcopy(IMPAIRMENTS) | impairments)


def loss(plan, draws, at, until):
    if draws.below(2):
        model = {"kind": "uniform", "probability": draws.between(1, 30) * 10**7}
    else:
        model = {"kind": "gilbert-elliott", "probability": 10**9, "good_dwell_ns": draws.between(20, 400) * MS,
                 "bad_dwell_ns": draws.between(1, 100) * MS}
    return degraded(plan, draws, at, until, "loss", loss=IMPAIRMENTS["loss"] | model)


def reordering(plan, draws, at, until):
    return degraded(plan, draws, at, until, "reorder", reorder=draws.between(1, 30) * 10**7,
                    reorder_ns=draws.between(1, 50) * MS)


def duplication(plan, draws, at, until):
    return degraded(plan, draws, at, until, "duplicate", duplicate=draws.between(1, 50) * 10**7)


def jitter(plan, draws, at, until):
    scale = draws.between(1, 40) * MS
    return degraded(plan, draws, at, until, "jitter",
                    jitter={"kind": draws.one_of(["uniform", "exponential"]), "scale_ns": scale, "max_ns": 4 * scale})


def restart(plan, draws, at, until):
    return fault(plan, "restart", at, until, processes=[draws.below(len(plan["processes"]))])


def restart_broker(plan, draws, at, until):
    return fault(plan, "restart", at, until, processes=[draws.one_of(brokers(plan))])


def kill(plan, draws, at, _until):
    # Not in the first third: of what died before it was ever heard of there is nothing to judge.
    return fault(plan, "kill", max(at, S + (plan["duration_ns"] - 2 * S) // 3), 0, processes=[draws.below(len(plan["processes"]))])


def pause(plan, draws, at, until):
    return fault(plan, "pause", at, until, processes=[draws.below(len(plan["processes"]))])


def skew(plan, draws, at, until):
    return fault(plan, "clock-skew", at, until, processes=[draws.below(len(plan["processes"]))],
                 skew_ns=draws.between(-2000, 2000) * MS, skew_ppb=draws.between(-200, 200) * 1000)


def lose_control(plan, draws, at, _until):
    return fault(plan, "lose-control", at, 0, processes=[draws.one_of(brokers(plan))], count=draws.between(1, 5))


LEAST_NS = 3 * S  # of a run: none of the faults is in its first or last second

# What --faults may name. A name stands as often as its functions.
KINDS = {"cut": [cut, partition], "kill": [kill], "restart": [restart, restart_broker], "loss": [loss], "pause": [pause],
         "reorder": [reordering, duplication, jitter], "skew": [skew], "control": [lose_control]}

# Of faults in one group only one may hold a thing at a time: which of them would count? (scenarios/compile/sense.cpp)
GROUPS = {"cut": "way", "partition": "way", "degrade": "degrade", "kill": "life", "restart": "life", "pause": "life"}


def things(one):
    group = GROUPS.get(one["kind"], one["kind"])
    return [(group, "link", i) for i in one["links"]] + [(group, "process", i) for i in one["processes"]]


def overlap(one, other):
    if not set(things(one)) & set(things(other)):
        return False
    ever = 1 << 62
    return one["at_ns"] < (other["until_ns"] or ever) and other["at_ns"] < (one["until_ns"] or ever)


def schedule(plan, seed, names, most):
    """One to `most` faults, in order of time, all healed before the run's end but kills."""
    draws = Draws(seed, "explore")
    first, last = S, plan["duration_ns"] - S
    makers = [maker for name in names for maker in KINDS[name]]
    chosen = []
    wanted = draws.between(1, most)
    for _ in range(4 * most):  # some are refused
        if len(chosen) == wanted:
            break
        at = first + draws.below(last - first) // 1000 * 1000
        # Short and long alike: 2 ms to a third of the run, by powers of two.
        length = min(2 * MS << draws.below(12), (last - first) // 3) + draws.below(1000) * 1000
        made = draws.one_of(makers)(plan, draws, at, min(at + length, last + S // 2))
        if made is not None and not any(overlap(made, other) for other in chosen):
            chosen.append(made)
    return sorted(chosen, key=lambda one: one["at_ns"])


def shrunk(faults, breaks, most_tries=200):
    """The fewest and shortest of these faults with which `breaks(faults)` still holds: delta debugging (Zeller and
    Hildebrandt, 2002), then each fault's time halved as long as that goes. `breaks` is asked at most `most_tries` times."""
    tries = [0]

    def asks(trial):
        tries[0] += 1
        return tries[0] <= most_tries and breaks(trial)

    parts = 2
    while len(faults) > 1:
        size = -(-len(faults) // parts)
        for begin in range(0, len(faults), size):
            rest = faults[:begin] + faults[begin + size:]
            if asks(rest):
                faults, parts = rest, max(2, parts - 1)
                break
        else:
            if parts >= len(faults):
                break
            parts = min(len(faults), 2 * parts)
    if len(faults) == 1 and asks([]):
        return []
    for i in range(len(faults)):
        while faults[i]["until_ns"] - faults[i]["at_ns"] > 2 * MS:
            one = faults[i]
            shorter = one | {"until_ns": one["at_ns"] + (one["until_ns"] - one["at_ns"]) // 2000 * 1000}
            trial = faults[:i] + [shorter] + faults[i + 1:]
            if not asks(trial):
                break
            faults = trial
    return faults
