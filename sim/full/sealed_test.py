"""A sealed run: the same bytes each time and in both fidelities, every promise held, and nothing on any link that can be read."""

import json
import pathlib
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import agree_test  # noqa: E402

SCENARIO = "tests/sealed.yaml"
NAMES = [b"position/west", b"chart/east", b"position/north"]  # of topics: said in clear by TOPIC in plain mode


class Sealed(agree_test.Runs):
    def hash_of(self, run):
        return json.loads((run / "sim.json").read_text())["trace_hash"]

    def test_the_same_bytes_each_time_and_in_both_fidelities(self):
        lean, again, full = (self.run_it(SCENARIO, fidelity) for fidelity in ("lean", "lean", "full"))
        self.assertEqual("sealed", json.loads((lean / "plan.json").read_text())["security"])
        self.assertGreater(len(self.records(lean)), 5)
        for other in (again, full):
            self.assertEqual(self.records(lean), self.records(other))
            self.assertEqual(self.hash_of(lean), self.hash_of(other))
        checked = subprocess.run([agree_test.BIN / "portolan-check", "check", lean], stdout=subprocess.PIPE, text=True, timeout=60)
        self.assertEqual(0, checked.returncode, checked.stdout[-2000:])

    def test_nothing_can_be_read_on_any_link(self):
        text = (agree_test.ROOT / "scenarios" / SCENARIO).read_text()
        self.assertEqual(1, text.count("security: sealed\n"))
        open_one = self.folder / "open.yaml"
        open_one.write_text(text.replace("security: sealed\n", "security: plain\n"))
        sealed, plain = self.run_it(SCENARIO, "full", "--pcap", "all"), self.run_it(open_one, "full", "--pcap", "all")
        self.assertNotEqual(self.hash_of(sealed), self.hash_of(plain))
        for run, readable in ((sealed, False), (plain, True)):
            frames = b"".join(path.read_bytes() for path in sorted((run / "pcap").iterdir()))
            self.assertGreater(len(frames), 1_000_000)
            for name in NAMES:
                self.assertEqual(readable, name in frames, (name, run))


if __name__ == "__main__":
    unittest.main()
