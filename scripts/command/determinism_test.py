"""Same seed, same bytes: records and trace hash of a scenario, run again, without address randomisation, with FMA and AVX2
off, and by this build and the release build; and another seed differs.

PORTOLAN_BUILD is the build under test, PORTOLAN_REFERENCE the release build that it must agree with.
"""

import hashlib
import json
import os
import pathlib
import platform
import shutil
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("PORTOLAN_BUILD", ROOT / "build" / "release"))
REFERENCE = pathlib.Path(os.environ.get("PORTOLAN_REFERENCE", ROOT / "build" / "release"))
# A cut and its repair; bursts of loss, Poisson load and CPU queues; ns-3's nodes, IP and UDP with overlapping addresses.
SCENARIOS = {"quickstart": "lean", "lossy-radio": "lean", "two-tenants": "full"}

# glibc's own spelling (ld.so --list-tunables): its sin, exp and log then take the code of a CPU without these.
WITHOUT_FMA = {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-FMA,-FMA4,-AVX2"}


def built(build):
    return all((build / "bin" / name).exists() for name in ("portolan-plan", "portolan-sim"))


@unittest.skipUnless(built(BUILD), "this build has no simulator")
class Determinism(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.first = {name: cls.records(name, cls.plan(name)) for name in SCENARIOS}

    @classmethod
    def plan(cls, scenario, *words, build=BUILD):
        path = ROOT / "scenarios" / f"{scenario}.yaml"
        done = subprocess.run([build / "bin" / "portolan-plan", "plan", path, *words], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, check=True, timeout=120)
        path = cls.folder / (hashlib.sha256(done.stdout).hexdigest()[:16] + ".json")
        path.write_bytes(done.stdout)
        return path

    @classmethod
    def records(cls, name, plan, *before, build=BUILD, env=None):
        """{file: SHA-256} of the records of one run, and its trace hash."""
        out = pathlib.Path(tempfile.mkdtemp(dir=cls.folder))
        done = subprocess.run([*before, build / "bin" / "portolan-sim", "--plan", plan, "--out", out,
                               "--fidelity", SCENARIOS[name]], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              env=os.environ | (env or {}), timeout=600)
        if done.returncode:
            raise AssertionError(f"portolan-sim: exit {done.returncode}: {done.stdout[-2000:]}")
        files = sorted((out / "records").iterdir())
        if sum(path.stat().st_size for path in files) < 10_000:
            raise AssertionError("too few records to compare")
        found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
        return found | {"trace hash": json.loads((out / "sim.json").read_text())["trace_hash"]}

    def all_the_same(self, *before, **options):
        for name in SCENARIOS:
            with self.subTest(scenario=name):
                self.assertEqual(self.first[name], self.records(name, self.plan(name), *before, **options))

    def test_the_plan_is_the_same_bytes(self):
        for name in SCENARIOS:
            self.assertEqual(self.plan(name), self.plan(name))
            self.assertNotEqual(self.plan(name), self.plan(name, "--seed", "4711"))

    def test_again(self):
        self.all_the_same()

    def test_without_address_randomisation(self):
        if subprocess.run(["setarch", "-R", "true"], stderr=subprocess.DEVNULL).returncode:
            self.skipTest("setarch -R is not permitted here")
        self.all_the_same("setarch", "-R")

    @unittest.skipUnless(platform.machine() == "x86_64", "FMA and AVX2 are x86")
    def test_without_fma_and_avx2(self):
        self.all_the_same(env=WITHOUT_FMA)

    @unittest.skipUnless(platform.machine() == "x86_64" and " fma " in open("/proc/cpuinfo").read(), "this CPU has no FMA")
    def test_the_tunable_does_change_libm(self):
        """Else the test above would prove nothing."""
        words = ["/usr/bin/python3", "-c", "import math; print(hash(tuple(math.sin(n * 0.37) ** 3.3 if math.sin(n * 0.37) > 0 "
                 "else math.exp(math.sin(n * 0.37)) for n in range(20000))))"]
        plain = subprocess.run(words, capture_output=True, check=True).stdout
        self.assertNotEqual(plain, subprocess.run(words, capture_output=True, check=True, env=os.environ | WITHOUT_FMA).stdout)

    def test_another_seed_differs(self):
        for name in SCENARIOS:
            other = self.records(name, self.plan(name, "--seed", "4711"))
            self.assertNotEqual(self.first[name]["trace hash"], other["trace hash"])
            self.assertNotEqual(self.first[name], other)

    def test_as_the_release_build(self):
        if BUILD.resolve() == REFERENCE.resolve():
            return  # this is the reference; the other builds compare themselves with it
        if not built(REFERENCE):
            self.skipTest(f"no release build in {REFERENCE}")
        for name in SCENARIOS:
            self.assertEqual(self.plan(name, build=REFERENCE), self.plan(name))
        self.all_the_same(build=REFERENCE)


if __name__ == "__main__":
    unittest.main()
