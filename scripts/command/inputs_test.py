"""Replayed files travel with the run: copied by SHA-256, also from above the scenario's folder, found again beside a plan."""

import hashlib
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import inputs  # noqa: E402
from options import Usage  # noqa: E402


class Inputs(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        (self.folder / "data").mkdir()
        (self.folder / "scenarios").mkdir()
        (self.folder / "data" / "ais.txt").write_text("!AIVDM")
        self.scenario = self.folder / "scenarios" / "s.yaml"
        self.scenario.write_text("")
        self.plan = {"loads": [{"file": "../data/ais.txt", "sha256": hashlib.sha256(b"!AIVDM").hexdigest()}, {"file": ""}, {}]}
        self.run = self.folder / "run"
        self.run.mkdir()

    def test_a_file_above_the_scenario_stays_inside_the_run(self):
        start = inputs.bring(self.plan, self.scenario, self.run)
        self.assertEqual("!AIVDM", (start / "../data/ais.txt").read_text())
        self.assertEqual(1, len(list(self.run.rglob("ais.txt"))))

    def test_a_plan_of_a_run_brings_its_own_wherever_it_is_moved(self):
        inputs.bring(self.plan, self.scenario, self.run)
        (self.run / "plan.json").write_text("")
        moved = self.run.rename(self.folder / "moved")
        (self.folder / "data" / "ais.txt").unlink()
        again = self.folder / "again"
        again.mkdir()
        start = inputs.bring(self.plan, moved / "plan.json", again)
        self.assertEqual("!AIVDM", (start / "../data/ais.txt").read_text())
        self.assertEqual(inputs.nested(moved, inputs.replayed(self.plan)), inputs.bring(self.plan, moved / "plan.json", moved))

    def test_another_file_of_that_name_is_refused(self):
        (self.folder / "data" / "ais.txt").write_text("!AIVDO")
        with self.assertRaisesRegex(Usage, "not the file that the plan was made with"):
            inputs.bring(self.plan, self.scenario, self.run)

    def test_a_missing_file_is_named(self):
        (self.folder / "data" / "ais.txt").unlink()
        with self.assertRaisesRegex(Usage, "ais.txt, which is not in"):
            inputs.bring(self.plan, self.scenario, self.run)

    def test_a_plan_that_replays_nothing_brings_nothing(self):
        self.assertEqual(self.run, inputs.bring({"loads": []}, self.scenario, self.run))
        self.assertEqual([], list(self.run.iterdir()))


if __name__ == "__main__":
    unittest.main()
