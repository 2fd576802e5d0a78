#!/usr/bin/python3
"""The regression gate on made-up summaries: what it must find, what it must leave alone, and what it cannot tell."""

import contextlib
import copy
import io
import json
import math
import pathlib
import random
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import compare  # noqa: E402
from options import Usage, parse  # noqa: E402


def summary(seed, p99=20_000_000, p50=5_000_000, recovery=300_000_000, **totals):
    """As results/summary.schema.json has it, as far as the gate looks; figures differ a little from seed to seed."""
    draw = random.Random(seed)
    vary = lambda value: round(value * (1 + 0.02 * draw.random()))
    return {"verdict": "held", "end_ns": 70_000_000_000, "runner": "sim", "fidelity": "lean",
            "sha256": {"plan": f"plan {seed}", "scenario": "s", "calibration": "c"},
            "totals": {"lost": 0, "duplicates": 0, "disorder": 0, "undecided": 0, **totals},
            "rules": [{"rule": "R1", "verdict": "failed" if totals.get("lost") else "held"}], "expectations": [{"name": "e", "verdict": "held"}],
            "families": [{"family": name, "tenant": "t", "above_floor": {"count": 9, "p50_ns": vary(p50), "p99_ns": vary(p99 * (k + 1))}}
                         for k, name in enumerate(("ais", "berth", "radar"))],
            "faults": [{"on_ns": 1, "recovery_ns": vary(recovery) if recovery is not None else None}],
            "repair": {"ratio_permille": vary(1000)}}


class Gate(unittest.TestCase):
    def setUp(self):
        self.holder = tempfile.TemporaryDirectory()
        self.folder = pathlib.Path(self.holder.name)
        self.runs = 0

    def tearDown(self):
        self.holder.cleanup()

    def run_of(self, what):
        self.runs += 1
        folder = self.folder / f"run{self.runs}"
        folder.mkdir()
        (folder / "summary.json").write_text(what if isinstance(what, str) else json.dumps(what))
        return str(folder)

    def gate(self, base, new, **more):
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            code = compare.main([self.run_of(s) for s in base], [self.run_of(s) for s in new], False, **more)
        return code, said.getvalue()

    def test_the_same_thing_holds(self):
        code, said = self.gate([summary(s) for s in range(6)], [summary(s) for s in range(10, 16)])
        self.assertEqual(0, code, said)
        self.assertIn("HELD", said)

    def test_a_slower_percentile_regresses_and_is_named_with_its_figures(self):
        new = [summary(s) for s in range(10, 16)]
        for s in new:
            s["families"][1]["above_floor"]["p99_ns"] = round(1.3 * s["families"][1]["above_floor"]["p99_ns"])
        code, said = self.gate([summary(s) for s in range(6)], new)
        self.assertEqual(1, code, said)
        line = next(line for line in said.splitlines() if line.endswith("REGRESSED") and line != "REGRESSED")
        self.assertRegex(line, r"^berth p99 above floor +40\.\d ms +52\.\d ms +\+(29|30|31)\.\d %")
        self.assertEqual(1, sum(line.endswith("REGRESSED") for line in said.splitlines() if line != "REGRESSED"))

    def test_a_faster_one_is_said_and_holds(self):
        code, said = self.gate([summary(s) for s in range(6)], [summary(s, p99=10_000_000) for s in range(10, 16)])
        self.assertEqual(0, code, said)
        self.assertEqual(3, said.count("better"))

    def test_losing_far_more_than_a_base_run_that_lost_one_regresses(self):
        base = [summary(s, lost=1 if s == 0 else 0) for s in range(6)]
        code, said = self.gate(base, [summary(s, lost=10_000) for s in range(10, 16)])
        self.assertEqual(1, code, said)
        self.assertRegex(said, r"(?m)^lost +0 +10000 .*REGRESSED$")
        code, said = self.gate(base, [summary(s, lost=1 if s == 10 else 0) for s in range(10, 16)])
        self.assertEqual(0, code, said)

    def test_within_the_tolerance_holds_however_sure(self):
        code, said = self.gate([summary(s) for s in range(6)], [summary(s, p99=20_800_000) for s in range(6)])
        self.assertEqual(0, code, said)
        code, _ = self.gate([summary(s) for s in range(6)], [summary(s, p99=20_800_000) for s in range(6)], tolerance=0.01)
        self.assertEqual(1, code)

    def test_one_lost_message_is_enough(self):
        code, said = self.gate([summary(0)], [summary(1, lost=1)])
        self.assertEqual(1, code, said)
        self.assertIn("REGRESSED  lost: 1 in", said)

    def test_what_the_base_lost_too_is_not_new(self):
        code, said = self.gate([summary(s, lost=1) for s in range(6)], [summary(s, lost=1) for s in range(10, 16)])
        self.assertEqual(0, code, said)

    def test_a_stream_that_never_comes_back_regresses(self):
        code, said = self.gate([summary(s) for s in range(6)], [summary(s, recovery=None) for s in range(10, 16)])
        self.assertEqual(1, code, said)
        self.assertRegex(said, r"recovery from the worst fault +30\d ms +never .*REGRESSED")

    def test_too_few_runs_cannot_tell_and_say_how_many_could(self):
        code, said = self.gate([summary(s) for s in range(3)], [summary(s) for s in range(10, 13)])
        self.assertEqual(2, code, said)
        self.assertIn("give 5 of different seeds on each side", said)  # 8 figures: 8 / C(10, 5) is under 5 %, 8 / C(8, 4) not
        self.assertTrue(8 / math.comb(10, 5) < 0.05 < 8 / math.comb(8, 4))

    def test_the_same_plan_again_is_no_repeat(self):
        code, said = self.gate([summary(1)] * 6, [summary(2)] * 6)
        self.assertEqual(2, code, said)
        self.assertIn("1 and 1 runs are too few", said)

    def test_unequal_runs_cannot_be_compared(self):
        other = {**summary(9), "sha256": {"plan": "p", "scenario": "another", "calibration": "c"}}
        full = {**summary(9), "fidelity": "full"}
        for odd, what in ((other, "scenario"), (full, "fidelity"), ({**summary(9), "verdict": "inconclusive"}, "inconclusive"),
                          ("{", "damaged")):
            code, said = self.gate([summary(s) for s in range(6)], [summary(s) for s in range(10, 15)] + [odd])
            self.assertEqual(2, code, said)
            self.assertIn(what, said)

    def test_a_folder_that_is_no_run_is_bad_usage(self):
        with self.assertRaises(Usage):
            compare.Run(str(self.folder))

    def test_json_says_the_same(self):
        base, new = [self.run_of(summary(s)) for s in range(6)], [self.run_of(summary(s, recovery=None)) for s in range(10, 16)]
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            self.assertEqual(1, compare.main(base, new, True))
        report = json.loads(said.getvalue())
        self.assertEqual((1, None), (report["exit"], next(f["new"] for f in report["figures"] if f["name"].startswith("recovery"))))

    def test_false_alarms_are_as_rare_as_promised(self):
        alarms = 0
        for trial in range(60):
            draw = random.Random(trial)
            noisy = lambda seed: summary(seed, *(round(draw.uniform(0.5, 1.5) * v) for v in (20_000_000, 5_000_000)))
            runs = [compare.Run.__new__(compare.Run) for _ in range(10)]
            for i, run in enumerate(runs):
                run.folder, run.summary = str(i), copy.deepcopy(noisy(1000 * trial + i))
            alarms += compare.compare(runs[:5], runs[5:])["exit"] == compare.REGRESSED
        self.assertLessEqual(alarms, 8)  # 5 % of 60, and what chance adds at three standard deviations


class Statistic(unittest.TestCase):
    def test_exact_p_of_small_samples(self):
        self.assertAlmostEqual(1 / math.comb(6, 3), compare.p_higher([1, 2, 3], [4, 5, 6]))
        self.assertAlmostEqual(1.0, compare.p_higher([4, 5, 6], [1, 2, 3]))
        self.assertAlmostEqual(1.0, compare.p_higher([7, 7, 7], [7, 7, 7]))
        # U of 8 or 9 of 9: the two most telling of 20 ways.
        self.assertAlmostEqual(2 / 20, compare.p_higher([1, 2, 4], [3, 5, 6]))

    def test_holm_steps_down(self):
        out = compare.holm({"a": 0.01, "b": 0.04, "c": 0.03})
        self.assertEqual({"a": 0.03, "b": 0.06, "c": 0.06}, {k: round(v, 9) for k, v in out.items()})

    def test_large_samples_are_sampled_alike_each_time(self):
        draw = random.Random(1)
        base, new = [draw.random() for _ in range(15)], [draw.random() + 0.3 for _ in range(15)]
        self.assertEqual(compare.p_higher(base, new), compare.p_higher(base, new))
        self.assertLess(compare.p_higher(base, new), 0.05)


class Words(unittest.TestCase):
    def test_two_lists_with_dashes_between(self):
        options = parse(["compare", "a", "b", "--", "c", "--json"][:5])
        self.assertEqual((["a", "b"], ["c"]), options.sides())
        for wrong in (["compare", "a", "b"], ["compare", "--", "b"], ["compare", "a", "--"]):
            with self.assertRaises(Usage, msg=wrong):
                parse(wrong)


if __name__ == "__main__":
    unittest.main()
