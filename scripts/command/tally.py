"""Counts CTest's JUnit files for scripts/test: prints each skip with its reason, then "PASSED FAILED SKIPPED" last.

A test that could not be started is a failure here, though CTest writes it as skipped; a skip inside a GoogleTest or unittest
program, which CTest does not see, is counted as one skip more.
"""

import re
import sys
import xml.etree.ElementTree

INNER = (re.compile(r"^\[  SKIPPED \] (\S+) \(", re.M), re.compile(r"^(\S+) \(.*\.\.\. skipped ", re.M))
INNER_COUNT = re.compile(r"^(?:OK|FAILED) \(.*skipped=(\d+)", re.M)


def tally(path):
    """(passed, failed, [(name, why skipped)]) of one file."""
    passed, failed, skipped = 0, 0, []
    for case in xml.etree.ElementTree.parse(path).getroot().iter("testcase"):
        name, skip = case.get("name"), case.find("skipped")
        out = case.findtext("system-out") or ""
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
        elif skip is not None and not skip.get("message", "").startswith(("SKIP_", "Disabled")):
            failed += 1
        elif skip is not None:
            skipped.append((name, skip.get("message")))
        else:
            passed += 1
        skipped += [(name, inner) for inner in INNER[0].findall(out)]
        counted = INNER_COUNT.search(out)
        named = INNER[1].findall(out)
        skipped += [(name, inner) for inner in (named or ["a case"] * (int(counted[1]) if counted else 0))]
    return passed, failed, skipped


def main(paths):
    totals = [0, 0, 0]
    for path in paths:
        passed, failed, skipped = tally(path)
        for name, why in skipped:
            print(f"skipped: {name}: {why}")
        totals = [totals[0] + passed, totals[1] + failed, totals[2] + len(skipped)]
    print(*totals)


if __name__ == "__main__":
    main(sys.argv[1:])
