"""scripts/portolan: parses the command line, installs and builds what the verb needs, and runs it.

Every way out is one exit code of README.md: 0 held, 1 failed, 2 inconclusive, 64 usage, 69 this machine cannot,
128 + signal interrupted after clean-up. What a person reads goes to standard error unless it is the verb's result.
"""

import os
import sys

import bench
import bench_sim
import build
import children
import compare
import explore
import rehearse
import schedule
from options import VERBS, Cannot, Usage, help_text, parse, verb_help

DEFAULTS = {"runs": bench_sim.RUNS, "most": explore.MOST_FAULTS, "faults": ", ".join(schedule.KINDS),
            "tolerance": f"{100 * compare.TOLERANCE:g} %"}

# verb: (package groups, programs to build, needs ns-3)
NEEDS = {
    "validate": (["build"], ["portolan-plan"], False),
    "plan": (["build"], ["portolan-plan"], False),
    "run": (["build", "sim", "report"], ["portolan-plan", "portolan-sim", "portolan-check"], True),
    "check": (["build"], ["portolan-check"], False),
    "records": (["build"], ["portolan-check"], False),
    "bench": (["build", "sim", "bench"], [], True),
    "explore": (["build", "sim"], ["portolan-plan", "portolan-sim", "portolan-check"], True),
    "report": (["report"], [], False),
}


def ready(options):
    groups, programs, sim = NEEDS[options.verb]
    if "--no-report" in options:
        groups = [group for group in groups if group != "report"]
    if options.verb == "bench":
        groups = groups + bench.groups(options.arguments)
    build.setup(groups, "--yes" in options)
    if options.verb == "bench":
        programs = bench.programs(options.arguments)
    if programs:
        build.build(programs, sim, options.verb == "bench")


def must_exist(paths):
    for path in paths:
        if not os.path.exists(path):
            raise Usage(f"{path}: no such file or folder")


def through(words):
    """Runs a program as if the user had typed it: same input and output."""
    sys.stdout.flush()
    return children.run(words, foreground=True)


def main(words):
    if words[:1] in (["--help"], ["-h"], ["help"]) or "--help" in words:
        print(verb_help(words[0], DEFAULTS) if words[0] in VERBS else help_text())
        return 0
    options = parse(words)
    if options.verb == "bench":
        ready(options)
        return bench.run(options)
    must_exist(options.arguments)
    if options.verb == "run":
        return rehearse.run(options, lambda: ready(options))
    if options.verb == "compare":
        return compare.main(*options.sides(), "--json" in options, options.get("--tolerance", compare.TOLERANCE))
    if options.verb == "report":
        ready(options)
        out = options.get("--out") or os.path.join(options.arguments[0], "report")
        return through(rehearse.report_words(options.arguments, out))
    ready(options)
    if options.verb == "explore":
        return explore.run(options)
    if options.verb == "validate":
        return through([build.program("portolan-plan"), "validate", *options.arguments])
    if options.verb == "plan":
        seed = ["--seed", options.get("--seed")] if "--seed" in options else []
        return through([build.program("portolan-plan"), "plan", options.arguments[0], *seed])
    if options.verb == "check":
        return rehearse.check_again(options)
    return through([build.program("portolan-check"), "records", options.arguments[0], "--csv"])


def guarded(words):
    children.catch_signals()
    try:
        return main(words)
    except Usage as error:
        print(f"portolan: {error}", file=sys.stderr)
        return 64
    except Cannot as error:
        print(f"portolan: {error}", file=sys.stderr)
        return 69
    except BrokenPipeError:  # the reader of our output has gone; that is its right
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        print(f"portolan: {error.filename or 'this machine'}: {error.strerror}", file=sys.stderr)
        return 69
    except children.Interrupted as stop:
        print(f"portolan: interrupted ({stop})", file=sys.stderr)
        return 128 + stop.signum


if __name__ == "__main__":
    sys.exit(guarded(sys.argv[1:]))
