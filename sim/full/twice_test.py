"""Same seed, same bytes, in full fidelity: every shipped scenario, run twice from one plan.

The second run has other addresses (where the first has none that are drawn at random, or the other way round) and memory
filled with another byte, so that what hangs on a pointer or on memory never written differs and is seen.
"""

import hashlib
import os
import shutil
import subprocess
import unittest

import agree_test

SCENARIOS = sorted(path.name for path in (agree_test.ROOT / "scenarios").glob("*.yaml"))


class Twice(agree_test.Runs):
    """Minutes of processor time: labelled slow, so run in the release build alone."""

    def once(self, scenario, name, *before, **env):
        out = self.folder / name
        done = subprocess.run([*before, agree_test.BIN / "portolan-sim", "--plan", self.plan(scenario), "--out", out, "--fidelity",
                               "full"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ | env,
                              timeout=1200)
        self.assertEqual(0, done.returncode, done.stdout[-2000:])
        hashes = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted((out / "records").iterdir())}
        size = sum(path.stat().st_size for path in (out / "records").iterdir())
        shutil.rmtree(out)  # gigabytes, all together
        return hashes, size

    def test_every_shipped_scenario(self):
        self.assertGreater(len(SCENARIOS), 8)
        for scenario in SCENARIOS:
            with self.subTest(scenario=scenario):
                first, size = self.once(scenario, "first", MALLOC_PERTURB_="85")
                again, _ = self.once(scenario, "again", "setarch", "-R", MALLOC_PERTURB_="170")
                self.assertGreater(size, 100_000)
                self.assertEqual(first, again)


if __name__ == "__main__":
    unittest.main()
