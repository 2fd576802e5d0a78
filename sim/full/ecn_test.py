"""Queues that mark in place of dropping (RFC 3168): what the engines say in the IP header goes through VXLAN and back (RFC 6040), so
that a full line loses nothing, in lean and full by the same bytes; ns-3's FqCoDel marks the same header."""

import json
import pathlib
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import agree_test  # noqa: E402

WAY = "hub--east/a_to_b/"


class Ecn(agree_test.Runs):
    def plan(self, scenario):
        path = super().plan(scenario)
        content = json.loads(path.read_text())
        for link in content["links"]:
            for way in ("a_to_b", "b_to_a"):
                if link[way]["queue"]["ecn"]:
                    link[way]["queue"] |= self.queue
        path.write_text(json.dumps(content))
        return path

    def run_with(self, queue, fidelity):
        self.queue = queue
        run = self.run_it("tests/ecn.yaml", fidelity)
        counters = self.counters(run)
        drops = sum(value for name, value in counters.items() if name.startswith(WAY + "dropped/"))
        return run, counters.get(WAY + "marked", 0), drops, counters.get(WAY + "queue_bytes_max", 0)

    def test_marks_in_place_of_drops(self):
        lean, marked, dropped, queue = self.run_with({}, "lean")
        self.assertGreater(marked, 10)
        self.assertEqual(0, dropped)
        _, unmarked, lost, longer = self.run_with({"ecn": False}, "lean")
        self.assertEqual(0, unmarked)
        self.assertGreater(lost, 10)
        full, *figures = self.run_with({}, "full")
        self.assertEqual([marked, dropped, queue], figures)
        self.assertEqual(self.records(lean), self.records(full))

    def test_fair_queues_mark_too(self):
        _, marked, dropped, _ = self.run_with({"kind": "fq-codel"}, "full")
        self.assertGreater(marked, 10)
        self.assertEqual(0, dropped)
        _, unmarked, lost, _ = self.run_with({"kind": "fq-codel", "ecn": False}, "full")
        self.assertEqual(0, unmarked)
        self.assertGreater(lost, 10)


if __name__ == "__main__":
    unittest.main()
