"""scripts/portolan itself: usage errors, the run folder, exit codes and their order, interruption, replay, full disks."""

import json
import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import options  # noqa: E402
from testing import programs  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
PORTOLAN = ROOT / "scripts" / "portolan"


def gone(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        (self.folder / "bin").mkdir()
        self.env = programs.install(self.folder / "bin")
        self.scenario = self.folder / "good.yaml"
        self.scenario.write_text("name: fake\n")
        self.out = self.folder / "out"

    def portolan(self, *words, **env):
        return subprocess.run([PORTOLAN, *map(str, words)], env={**self.env, **env}, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=60)

    def run_it(self, *words, **env):
        return self.portolan("run", self.scenario, "--no-report", "--out", self.out, *words, **env)


class UsageErrors(Case):
    def test_each_is_64_and_says_what_would_be_right(self):
        for words, said in (
            ((), "verbs: validate, plan, run"),
            (("runn",), "did you mean run?"),
            (("run",), "run takes SCENARIO|PLAN; 0 given"),
            (("run", "nowhere.yaml"), "nowhere.yaml: no such file"),
            (("run", self.scenario, self.scenario), "2 given"),
            (("run", self.scenario, "--sede", "3"), "did you mean --seed?"),
            (("run", self.scenario, "--seed"), "--seed needs a value"),
            (("run", self.scenario, "--seed", "-1"), "a whole number"),
            (("run", self.scenario, "--seed", "18446744073709551616"), "a whole number"),
            (("run", self.scenario, "--seed", "1", "--seed", "2"), "given twice"),
            (("run", self.scenario, "--json=yes"), "takes no value"),
            (("run", self.scenario, "--wall-limit", "5 parsecs"), "a time above zero"),
            (("run", self.scenario, "--on", "emu"), "not in this release; available: sim"),
            (("run", self.scenario, "--on", "hw"), "not in this release; available: sim"),
            (("run", self.scenario, "--on", "smi"), "available: sim"),
            (("run", self.scenario, "--fidelity", "ful"), "did you mean full?; available: lean, full"),
            (("run", self.scenario, "--reassembly", "bpf"), "not in this release"),
            (("run", self.scenario, "--pcap", "all"), "--pcap needs --fidelity full"),
            (("run", self.scenario, "--hold"), "not in this release"),
            (("run", self.folder), "a folder"),
            (("agree", "a", "b"), "not in this release"),
            (("explore", self.scenario), "needs --seeds N"),
            (("explore", self.scenario, "--seeds", "0"), "from 1 to 1000000"),
            (("compare", "a", "b"), "both sides of a --"),
            (("ps",), "not in this release"),
            (("bench", "engin"), "no benchmark"),
            (("records", self.folder), "add --csv"),
            (("check", self.folder / "none"), "no such file or folder"),
            (("validate",), "validate takes SCENARIO...; 0 given"),
        ):
            with self.subTest(words=words):
                done = self.portolan(*words)
                self.assertEqual(64, done.returncode, done.stderr)
                self.assertIn(said, done.stderr)
                self.assertEqual("", done.stdout)

    def test_help_is_0(self):
        self.assertEqual(0, self.portolan("--help").returncode)
        for verb, (_, _, _, known, _) in options.VERBS.items():
            told = self.portolan(verb, "--help")
            self.assertEqual(0, told.returncode, told.stderr)
            self.assertEqual([], [name for name in known if f"  {name}" not in told.stdout])
        self.assertIn("restart", self.portolan("explore", "--help").stdout)  # the kinds there are

    def test_a_typo_in_the_scenario_is_64_in_the_compilers_words_and_leaves_nothing(self):
        self.scenario.write_text("typo: 1\n")
        for verb in (("validate",), ("plan",)):
            self.assertEqual(64, self.portolan(*verb, self.scenario).returncode)
        done = self.run_it()
        self.assertEqual(64, done.returncode)
        self.assertIn(":1:1: typo: no such key", done.stderr)
        self.assertFalse(self.out.exists())

    def test_a_plan_that_is_none_is_64(self):
        for text in ("{", "[]", '{"name": "x"}', "\x00\xff"):
            plan = self.folder / "wrong.json"
            plan.write_text(text)
            done = self.portolan("run", plan, "--out", self.out)
            self.assertEqual((64, True), (done.returncode, "not a plan" in done.stderr), done.stderr)

    def test_a_plan_keeps_its_seed(self):
        plan = self.folder / "plan.json"
        plan.write_text(self.portolan("plan", self.scenario, "--seed", 9).stdout)
        self.assertEqual(9, json.loads(plan.read_text())["seed"])
        done = self.portolan("run", plan, "--seed", 3, "--out", self.out)
        self.assertEqual(64, done.returncode)
        self.assertIn("made for seed 9", done.stderr)


class RunFolder(Case):
    def test_holds_everything_also_after_a_failure(self):
        for env, code in (({}, 0), ({"FAKE_CHECK": "1"}, 1), ({"FAKE_SIM": "2"}, 2), ({"FAKE_SIM": "crash"}, 2),
                          ({"FAKE_SIM": "69"}, 69)):
            with self.subTest(env=env):
                done = self.run_it(**env)
                self.assertEqual(code, done.returncode, done.stderr)
                names = {path.name for path in self.out.iterdir()}
                self.assertLessEqual({"plan.json", "records", "logs", "versions.json"}, names)
                status = json.loads((self.out / "logs" / "status.json").read_text())
                self.assertIn("status", status["sim"])
                self.assertTrue((self.out / "logs" / "sim.log").exists())
                made = json.loads((self.out / "versions.json").read_text())
                self.assertLessEqual({"commit", "kernel", "ns3", "binaries", "compiler"}, set(made))
                self.assertEqual(3, len(made["binaries"]))

    def test_a_folder_of_somebody_else_is_refused_and_left_alone(self):
        self.out.mkdir()
        (self.out / "letter.txt").write_text("mine")
        done = self.run_it()
        self.assertEqual(64, done.returncode)
        self.assertIn("not a run", done.stderr)
        self.assertEqual(["letter.txt"], os.listdir(self.out))

    def test_a_runs_folder_is_used_again(self):
        self.assertEqual(0, self.run_it().returncode)
        self.assertEqual(1, self.run_it(FAKE_CHECK="1").returncode)
        self.assertEqual(0, self.portolan("run", self.out / "plan.json", "--no-report", "--out", self.out).returncode)

    def test_an_unwritable_folder_is_69_and_named(self):
        (self.folder / "file").write_text("")
        for out in (self.folder / "file" / "run", "/proc/run", "/dev/full/run"):
            done = self.portolan("run", self.scenario, "--no-report", "--out", out)
            self.assertEqual(69, done.returncode, done.stderr)
            self.assertIn(str(out), done.stderr)

    @unittest.skipUnless(os.geteuid() == 0, "needs root for a small tmpfs")
    def test_a_full_disk_is_69_and_says_so(self):
        for size, mode in (("1m", "fill"), ("4k", "0")):
            with self.subTest(size=size):
                script = (f"mount -t tmpfs -o size={size} none {self.out} && "
                          f"{PORTOLAN} run {self.scenario} --no-report --out {self.out}/run")
                self.out.mkdir(exist_ok=True)
                done = subprocess.run(["unshare", "-m", "sh", "-c", script], env={**self.env, "FAKE_SIM": mode},
                                      capture_output=True, text=True, timeout=60)
                self.assertEqual(69, done.returncode, done.stderr)
                self.assertIn("No space left on device", done.stderr)

    def test_a_file_size_limit_is_no_traceback(self):
        done = subprocess.run(["sh", "-c", f"ulimit -f 0; exec {PORTOLAN} run {self.scenario} --no-report --out {self.out}"],
                              env=self.env, capture_output=True, text=True, timeout=60)
        self.assertEqual(69, done.returncode, done.stderr)
        self.assertNotIn("Traceback", done.stderr)

    def test_default_folders_are_fresh(self):
        name = json.loads(self.portolan("plan", self.scenario).stdout)["name"]
        folders = [re.search(r"^run +(.*)$", self.portolan("run", self.scenario, "--no-report").stdout, re.M)[1] for _ in "ab"]
        self.addCleanup(subprocess.run, ["rm", "-r", *folders])
        self.assertEqual(2, len(set(folders)))
        self.assertIn(f"runs/{name}-7-", folders[0])


class ExitCodes(Case):
    def test_order_is_64_69_2_1(self):
        for sim, check, code in ((0, 0, 0), (0, 1, 1), (0, 2, 2), (2, 1, 2), (64, 0, 64), (69, 1, 69), (3, 0, 2), (1, 0, 2)):
            with self.subTest(sim=sim, check=check):
                self.assertEqual(code, self.run_it(FAKE_SIM=str(sim), FAKE_CHECK=str(check)).returncode)

    def test_a_broken_invariant_is_1_however_late_the_harness_was(self):
        self.assertEqual(1, self.run_it(FAKE_SIM="2", FAKE_CHECK="1", FAKE_BROKEN="1").returncode)

    def test_summary_and_exit_code_agree(self):
        for sim, check in ((0, 0), (2, 0), (69, 0), (0, 1)):
            code = self.run_it(FAKE_SIM=str(sim), FAKE_CHECK=str(check)).returncode
            self.assertEqual(code, json.loads((self.out / "summary.json").read_text())["exit"])

    def test_json_alone_on_standard_output(self):
        done = self.run_it("--json")
        self.assertEqual("held", json.loads(done.stdout)["verdict"])

    def test_wall_limit_is_2(self):
        began = time.monotonic()
        done = self.run_it("--wall-limit", "1 s", FAKE_SIM="hang")
        self.assertEqual(2, done.returncode)
        self.assertLess(time.monotonic() - began, 25)
        self.assertIn("wall limit", json.loads((self.out / "logs" / "status.json").read_text())["sim"]["status"])

    def test_junit_is_a_failure_or_an_error_never_a_skip(self):
        for env, said in (({"FAKE_SIM": "2"}, "of='inconclusive'"), ({"FAKE_SIM": "69"}, "of='error'"), ({}, "of='held'")):
            target = self.folder / "junit.xml"
            self.run_it("--junit", target, **env)
            self.assertIn(said, target.read_text())

    def test_twice_finds_a_difference(self):
        self.assertEqual(0, self.run_it("--twice").returncode)
        done = self.run_it("--twice", FAKE_SIM="random")
        self.assertEqual(1, done.returncode)
        self.assertIn("rule 12: the second run's records differ: a.rec", done.stdout)


class Replay(Case):
    def replay_of(self, done):
        lines = done.stderr.strip().splitlines()
        self.assertEqual("To replay this run:", lines[-2])
        return shlex.split(lines[-1])

    def test_the_command_at_the_end_replays(self):
        words = self.replay_of(self.run_it(FAKE_CHECK="1"))
        again = subprocess.run([*words, "--no-report", "--out", self.folder / "again"], cwd=ROOT, capture_output=True, text=True,
                               env={**self.env, "FAKE_CHECK": "1"}, timeout=60)
        self.assertEqual(1, again.returncode, again.stderr)
        self.assertIn("the same plan, seed", again.stderr)
        self.assertEqual((self.out / "plan.json").read_bytes(), (self.folder / "again" / "plan.json").read_bytes())

    def test_a_mismatch_is_named(self):
        words = self.replay_of(self.run_it(FAKE_CHECK="2"))
        plan = pathlib.Path(words[2])
        plan.write_text(plan.read_text().replace("c0ffee", "decaf"))
        again = subprocess.run([*words, "--no-report", "--out", self.folder / "again"], cwd=ROOT, capture_output=True, text=True,
                               env=self.env, timeout=60)
        self.assertIn("calibration is decaf, was c0ffee", again.stderr)
        self.assertIn("plan is ", again.stderr)
        self.assertNotIn("seed is", again.stderr)

    def test_a_held_run_offers_none(self):
        self.assertNotIn("replay", self.run_it().stderr)


class Interruption(Case):
    def interrupted(self, signum):
        child = subprocess.Popen([PORTOLAN, "run", self.scenario, "--no-report", "--out", self.out], stdin=subprocess.DEVNULL,
                                 env={**self.env, "FAKE_SIM": "hang"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        pid_file = self.out / "pid"
        for _ in range(200):
            if pid_file.exists() and pid_file.read_text():
                break
            time.sleep(0.05)
        child.send_signal(signum)
        _, said = child.communicate(timeout=30)
        return child.returncode, said, int(pid_file.read_text())

    def test_ctrl_c_and_sigterm_clean_up(self):
        for signum, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            with self.subTest(signum=signum):
                (self.out / "pid").unlink(missing_ok=True)
                returned, said, grandchild = self.interrupted(signum)
                self.assertEqual(code, returned, said)
                self.assertNotIn("Traceback", said)
                time.sleep(0.2)
                self.assertTrue(gone(grandchild), "the simulator's child is still running")
                status = json.loads((self.out / "logs" / "status.json").read_text())
                self.assertIn("interrupted", status["sim"]["status"])


class SetUp(Case):
    def test_a_release_that_was_not_tried_is_refused_with_the_reason(self):
        release = self.folder / "os-release"
        release.write_text('ID=plan9\nVERSION_ID=4\nPRETTY_NAME="Plan 9"\n')
        path = self.folder / "path"
        path.mkdir()
        for name in ("bash", "sh", "cat", "cut", "readlink", "dirname", "python3"):  # no compiler here
            (path / name).symlink_to(f"/usr/bin/{name}")
        done = subprocess.run([ROOT / "scripts" / "setup", "build"], capture_output=True, text=True, timeout=60,
                              env={"PATH": str(path), "PORTOLAN_OS_RELEASE": str(release)})
        self.assertEqual(69, done.returncode, done.stderr)
        self.assertIn("cannot install on Plan 9", done.stderr)
        self.assertIn("g++", done.stderr)

    def test_nothing_missing_takes_less_than_a_second(self):
        took = []
        for _ in range(3):  # the best of three: neighbours on the cores are not what is measured
            began = time.monotonic()
            done = subprocess.run([ROOT / "scripts" / "setup", "build", "sim", "report"], capture_output=True, text=True,
                                  stdin=subprocess.DEVNULL, timeout=60)
            took.append(time.monotonic() - began)
            self.assertEqual((0, "", ""), (done.returncode, done.stdout, done.stderr))
        self.assertLess(min(took), 1.0)

    def test_an_unknown_group_is_64(self):
        self.assertEqual(64, subprocess.run([ROOT / "scripts" / "setup", "kitchen"], capture_output=True).returncode)


if __name__ == "__main__":
    unittest.main()
