"""The command line of scripts/portolan: verbs, options, and errors that say what would have been right.

Pure: takes words, returns Options or raises Usage (exit 64). Nothing here looks at the machine.
"""

import difflib
import re


class Usage(Exception):
    """Bad usage or scenario: exit 64."""


class Cannot(Exception):
    """This machine cannot: exit 69. The text names the cure."""


# verb: (arguments, least, most, {option: its value's name, or None for a switch}, one line of help)
VERBS = {
    "validate": ("SCENARIO...", 1, None, {"--yes": None}, "schema and sense; nothing is run"),
    "plan": ("SCENARIO", 1, 1, {"--seed": "N", "--yes": None},
             "the resolved plan as JSON; what it will cost to run on standard error"),
    "run": ("SCENARIO|PLAN", 1, 1,
            {"--on": "sim", "--fidelity": "lean|full", "--seed": "N", "--twice": None, "--pcap": "LINK,...|all", "--cores": "N",
             "--out": "DIR", "--json": None,
             "--wall-limit": "T", "--junit": "FILE", "--no-report": None, "--expect": "CONDITIONS", "--yes": None},
            "compile, simulate, check, report"),
    "check": ("RUN", 1, 1, {"--json": None, "--junit": "FILE", "--yes": None}, "judge the records of a run again"),
    "records": ("RUN", 1, 1, {"--csv": None, "--yes": None}, "the records, to read or to load elsewhere"),
    "bench": ("[NAME]...", 0, None, {"--runs": "N", "--out": "DIR", "--json": None, "--yes": None},
              "what simulator, data plane and broker cost, against a baseline in the same run"),
    "explore": ("SCENARIO", 1, 1,
                {"--seeds": "N", "--from": "N", "--faults": "KIND,...", "--most": "N", "--jobs": "N", "--out": "DIR", "--yes": None},
                "random fault schedules until a rule breaks; then the smallest that breaks it"),
    "compare": ("BASE... -- NEW...", 2, None, {"--tolerance": "P", "--json": None},
                "regression gate: runs before a change beside runs after it, several seeds each"),
    "report": ("RUN...", 1, None, {"--out": "DIR", "--yes": None}, "HTML with plots and a map"),
}

# What each option does; where a verb means something else by it, (verb, option).
MEANINGS = {
    "--on": "where it runs; sim is what there is",
    "--fidelity": "full: ns-3 nodes with IP, UDP and VXLAN; lean (the default) leaves these out and is faster",
    "--seed": "another seed than the scenario's",
    "--twice": "runs twice; differing records or trace hashes fail (rule 12)",
    "--pcap": "with --fidelity full: RUN/pcap/<link>.pcap of these links, named as in the plan (a--b)",
    "--cores": "all processes share the N cores of one machine",
    "--out": "the folder to write; one that holds something else is left alone",
    "--json": "the result alone, as JSON, on standard output",
    "--wall-limit": "gives up after 90 s, or 5 min, of real time (exit 2)",
    "--junit": "JUnit XML: failed is a failure; inconclusive and \"cannot\" are errors, never skipped",
    "--no-report": "no pictures (then Matplotlib is not needed)",
    "--expect": "in a replay command: says which of plan, seed, fidelity, calibration, commit and ns-3 differ",
    "--csv": "as CSV, on standard output",
    "--runs": "how often each measurement is made (default {runs})",
    "--seeds": "how many fault schedules to try",
    "--from": "the first of them (default 1)",
    "--faults": "the kinds to draw from (default: all): {faults}",
    "--most": "at most so many faults in one schedule (default {most})",
    "--jobs": "so many side by side (default: one for each core)",
    "--tolerance": "by how much a figure may worsen, such as \"5 %\" (default {tolerance})",
    "--yes": "installs missing Debian packages without asking",
    ("explore", "--out"): "where the smallest plan that breaks a rule is kept",
    ("bench", "--out"): "broker: where the raw data is kept (default bench-broker)",
    ("report", "--out"): "the folder for page and pictures; with several runs they stand side by side",
}

BENCHES = ("sim", "engine", "session", "accept", "crypto", "link", "broker")
BY_NAME_ONLY = ("broker",)  # takes long, needs root and its peers' packages

LATER_VERBS = {
    "agree": "how far two runs disagree (it needs runs on emu or hw)",
    "ps": "emulation", "exec": "emulation", "down": "emulation",
}

LATER_OPTIONS = {
    "--reassembly": "reassembly is portable in this release; bpf comes later",
    "--hold": "holding a run is for emulations",
}

CHOICES = {
    "--on": (("sim",), {"emu": "emulation in namespaces", "hw": "hardware"}),
    "--fidelity": (("lean", "full"), {}),
    "--reassembly": (("portable",), {"bpf": "reassembly in the kernel"}),
}

UNITS = {"": 1, "s": 1, "ms": 0.001, "min": 60, "h": 3600}


class Options:
    def __init__(self, verb):
        self.verb = verb
        self.arguments = []
        self.values = {}
        self.split = None  # how many arguments stand before "--"

    def sides(self):
        """The arguments before and after "--"."""
        return self.arguments[:self.split], self.arguments[self.split:]

    def get(self, name, default=None):
        return self.values.get(name, default)

    def __contains__(self, name):
        return name in self.values


def meaning(verb, option):
    return MEANINGS.get((verb, option)) or MEANINGS[option]


def verb_help(verb, defaults):
    """One verb: its arguments, and a line for each option; `defaults` fills the braces in MEANINGS."""
    arguments, _, _, options, text = VERBS[verb]
    lines = [f"scripts/portolan {verb} {arguments} [OPTION]...", f"  {text}", ""]
    words = {f"{name} {value}" if value else name: meaning(verb, name) for name, value in options.items()}
    width = max(map(len, words))
    lines += [f"  {word:{width}}  {said}".format(**defaults) for word, said in words.items()]
    if verb == "bench":
        lines += ["", f"  NAME: {', '.join(BENCHES)}; none: all but {', '.join(BY_NAME_ONLY)}"]
    return "\n".join(lines)


def help_text():
    lines = ["Portolan rehearses a message network before anyone trusts it with traffic.", ""]
    for verb, (arguments, _, _, options, text) in VERBS.items():
        words = " ".join(f"[{name}{' ' + value if value else ''}]" for name, value in options.items() if name != "--yes")
        lines.append(f"  scripts/portolan {verb} {arguments} {words}".rstrip())
        lines.append(f"      {text}")
    lines += ["", "  scripts/portolan VERB --help says what each option does.",
              "  Exit codes: 0 held, 1 failed, 2 inconclusive, 64 bad usage or scenario, 69 this machine cannot,",
              "  130/143 interrupted. README.md tells the rest."]
    return "\n".join(lines)


def nearest(word, known):
    found = difflib.get_close_matches(word, known, 1, 0.6)
    return f"; did you mean {found[0]}?" if found else ""


def integer(name, text, least, most):
    if not re.fullmatch(r"[0-9]+", text) or not least <= int(text) <= most:
        raise Usage(f'{name} {text}: a whole number from {least} to {most} is needed')
    return int(text)


def seconds(name, text):
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?([a-z]*)", text.strip())
    if not found or found[2] not in UNITS or float(found[1]) * UNITS[found[2]] <= 0:
        raise Usage(f'{name} {text}: a time above zero is needed, such as "90 s" or "5 min"')
    return float(found[1]) * UNITS[found[2]]


def convert(name, text):
    if name in CHOICES:
        now, later = CHOICES[name]
        if text in later:
            raise Usage(f"{name} {text}: {later[text]} is not in this release; available: {', '.join(now)}")
        if text not in now:
            raise Usage(f'{name} {text}: no such choice{nearest(text, now)}; available: {", ".join(now)}')
        return text
    if name == "--seed":
        return integer(name, text, 0, 2**64 - 1)
    if name == "--runs":
        return integer(name, text, 1, 1000)
    if name in ("--seeds", "--from", "--most", "--jobs"):
        return integer(name, text, 0 if name == "--from" else 1, 10**6)
    if name == "--tolerance":
        found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?%", text.strip())
        if not found:
            raise Usage(f'{name} {text}: a share is needed, such as "5 %"')
        return float(found[1]) / 100
    if name == "--cores":
        return integer(name, text, 1, 2**32 - 1)
    if name == "--wall-limit":
        return seconds(name, text)
    if not text:
        raise Usage(f"{name} needs a value")
    return text


def parse(words):
    """Options of a command line; Usage where it is wrong."""
    words = list(words)
    if not words:
        raise Usage("what shall it be? verbs: " + ", ".join(VERBS) + " (scripts/portolan --help)")
    verb = words.pop(0)
    if verb in LATER_VERBS:
        raise Usage(f"{verb}: {LATER_VERBS[verb]} is not in this release; available: {', '.join(VERBS)}")
    if verb not in VERBS:
        raise Usage(f'no verb "{verb}"{nearest(verb, VERBS)}; available: {", ".join(VERBS)}')
    arguments, least, most, known, _ = VERBS[verb]
    options = Options(verb)
    only_arguments = False
    while words:
        word = words.pop(0)
        if word == "--" and not only_arguments:
            only_arguments = True
            options.split = len(options.arguments)
        elif word.startswith("-") and word != "-" and not only_arguments:
            take_option(options, known, word, words)
        else:
            options.arguments.append(word)
    count = len(options.arguments)
    if count < least or (most is not None and count > most):
        raise Usage(f"{verb} takes {arguments}; {count} given")
    for name in options.arguments if verb == "bench" else []:
        if name not in BENCHES:
            raise Usage(f'bench: no benchmark "{name}"{nearest(name, BENCHES)}; available: {", ".join(BENCHES)}')
    if verb == "explore" and "--seeds" not in options:
        raise Usage("explore needs --seeds N: how many fault schedules to try")
    if verb == "compare" and (options.split is None or not all(options.sides())):
        raise Usage("compare takes runs on both sides of a --: scripts/portolan compare BASE... -- NEW...")
    if verb == "records" and "--csv" not in options:
        raise Usage("records prints as CSV only, for now: add --csv")
    if "--pcap" in options and options.get("--fidelity") != "full":
        raise Usage("--pcap needs --fidelity full: lean makes no packets that could be captured")
    return options


def take_option(options, known, word, words):
    name, equals, value = word.partition("=")
    if name not in known:
        if name in LATER_OPTIONS and options.verb == "run":
            # `--reassembly portable` asks for what there is.
            if name == "--reassembly" and (value if equals else (words[:1] or [""])[0]) == "portable":
                if not equals:
                    words.pop(0)
                return
            raise Usage(f"{name} is not in this release: {LATER_OPTIONS[name]}; available: {', '.join(known)}")
        raise Usage(f'{options.verb} has no option {name}{nearest(name, known)}; available: {", ".join(known)}')
    if name in options.values:
        raise Usage(f"{name} is given twice")
    if known[name] is None:
        if equals:
            raise Usage(f"{name} takes no value")
        options.values[name] = True
        return
    if not equals:
        if not words or words[0].startswith("--"):
            raise Usage(f"{name} needs a value: {name} {known[name]}")
        value = words.pop(0)
    options.values[name] = convert(name, value)
