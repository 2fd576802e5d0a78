"""`explore`: all seeds tried, the lowest that breaks told, its schedule shrunk and kept so that it replays; with stand-ins for the
programs, and once with the real ones."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import explore  # noqa: E402
import schedule  # noqa: E402
from testing import programs  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("PORTOLAN_BUILD", ROOT / "build" / "release"))


class Explore(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.env = programs.install(self.folder)
        self.scenario = self.folder / "s.yaml"
        self.scenario.write_text("fine\n")

    def explore(self, *words, **env):
        return subprocess.run([sys.executable, ROOT / "scripts" / "command" / "main.py", "explore", *map(str, words)],
                              env=self.env | env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=200)

    def test_all_seeds_hold(self):
        done = self.explore(self.scenario, "--seeds", 9, "--from", 3)
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)
        self.assertIn("9 of 9 seeds held, from 3 on", done.stdout)

    def test_what_breaks_is_shrunk_and_replays(self):
        words = (self.scenario, "--seeds", 60, "--out", self.folder / "found", "--most", 8)
        done = self.explore(*words, FAKE_CHECK="breaks-on=kill+cut")
        self.assertEqual(1, done.returncode, done.stdout + done.stderr)
        self.assertIn("breaks: R2", done.stdout)
        small = json.loads((self.folder / "found" / "plan.json").read_text())["faults"]
        self.assertEqual(["cut", "kill"], sorted(one["kind"] for one in small))
        self.assertEqual(["2 played"], [line for line in done.stdout.splitlines() if "played" in line], "another plan's outcome")
        whole = json.loads((self.folder / "found" / "whole-plan.json").read_text())["faults"]
        self.assertLessEqual(2, len(whole))
        self.assertIn(f"scripts/portolan run {self.folder / 'found' / 'plan.json'}", done.stdout)
        # The lowest seed that breaks, whatever ended first: the same again.
        again = self.explore(*words, "--jobs", 7, FAKE_CHECK="breaks-on=kill+cut")
        said = [line for line in done.stdout.splitlines() if "breaks: " in line]
        self.assertEqual(said, [line for line in again.stdout.splitlines() if "breaks: " in line])

    def test_shrinking_does_not_wander_from_one_expectation_to_another(self):
        slow, late = ({"rule": "expectation", "what": f"{which} latency"} for which in ("p50", "p99"))
        whole = explore.Outcome(1, map(explore.broken, (slow, {"rule": "R1", "what": "lost"})))
        self.assertTrue(explore.Outcome(1, [explore.broken(slow)]).like(whole))
        self.assertTrue(explore.Outcome(1, [explore.broken({"rule": "R1", "what": "out of sequence"})]).like(whole))
        self.assertFalse(explore.Outcome(1, [explore.broken(late)]).like(whole))

    def test_a_simulator_that_crashes_stops_the_search(self):
        done = self.explore(self.scenario, "--seeds", 5, "--out", self.folder / "found", FAKE_SIM="crash")
        self.assertEqual(2, done.returncode, done.stdout + done.stderr)
        self.assertIn("does not decide: simulator ended with 139", done.stdout)
        self.assertIn("shrunk to 0", done.stdout)

    def test_a_checker_that_crashes_stops_the_search(self):
        done = self.explore(self.scenario, "--seeds", 5, "--out", self.folder / "found", FAKE_CHECK="139")
        self.assertEqual(2, done.returncode, done.stdout + done.stderr)
        self.assertIn("does not decide: checker ended with 139", done.stdout)

    def test_one_harbour_and_short_runs(self):
        alone = {"name": "alone", "seed": 1, "duration_ns": 5 * 10**9, "harbours": [{}], "nodes": [{"kind": "edge", "harbour": 0}],
                 "links": [], "processes": [{"name": "a/broker", "kind": "broker"}]}
        kinds = {fault["kind"] for seed in range(200) for fault in schedule.schedule(alone, seed, list(schedule.KINDS), 6)}
        self.assertEqual({"kill", "restart", "pause", "clock-skew", "lose-control"}, kinds)
        done = self.explore(self.scenario, "--seeds", 2, FAKE_DURATION_S="2")
        self.assertEqual(64, done.returncode, done.stdout + done.stderr)
        self.assertIn("needs a duration of at least 3 s", done.stderr)

    def test_a_rule_with_nothing_to_judge_is_told_and_does_not_stop(self):
        done = self.explore(self.scenario, "--seeds", 5, FAKE_CHECK="2")
        self.assertEqual(2, done.returncode)
        self.assertIn("0 of 5 seeds held", done.stdout)
        self.assertIn("seed 5 was not decided", done.stdout)

    def test_wrong_words(self):
        for words, said in (((self.scenario,), "needs --seeds N"),
                            ((self.scenario, "--seeds", "2", "--faults", "cut,flood"), "--faults flood: no such kind")):
            done = self.explore(*words)
            self.assertEqual(64, done.returncode)
            self.assertIn(said, done.stderr)
        self.scenario.write_text("typo\n")
        self.assertEqual(64, self.explore(self.scenario, "--seeds", "2").returncode)

    @unittest.skipUnless((BUILD / "bin" / "portolan-sim").exists(), "this build has no simulator")
    def test_seven_harbours_hold_with_the_real_programs(self):
        self.env["PORTOLAN_PROGRAMS"] = str(BUILD / "bin")
        done = self.explore(ROOT / "scenarios" / "tests" / "seven-harbours.yaml", "--seeds", 4)
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main()
