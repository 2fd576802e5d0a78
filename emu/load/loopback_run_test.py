"""Plans run with the real daemon on this host are judged by the checker that judges the simulator."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

BUILD = pathlib.Path(os.environ["PORTOLAN_BUILD"])
BIN = BUILD / "bin"
HERE = pathlib.Path(__file__).parent
NET = 128 + os.getpid() % 120  # runs side by side need different addresses


def call(*words):
    return subprocess.run([str(w) for w in words], text=True, capture_output=True, timeout=300)


class Run:
    """One scenario from file to verdict."""

    def __init__(self, folder, scenario):
        self.folder = pathlib.Path(folder)
        plan = self.folder / "plan.json"
        made = call(BIN / "portolan-plan", "plan", scenario, "-o", plan)
        assert made.returncode == 0, made.stderr
        self.ran = call(BIN / "portolan-loopback", "--plan", plan, "--out", self.folder, "--net", NET)

    def check(self):
        checked = call(BIN / "portolan-check", "check", self.folder)
        return checked.returncode, checked.stdout + checked.stderr

    def summary(self):
        return json.loads((self.folder / "summary.json").read_text())

    def logs(self):
        logs = sorted((self.folder / "logs").glob("*"))  # none when the plan was refused
        return "\n".join(f"== {p.name}\n{p.read_text()[-2000:]}" for p in logs)


class RealDaemon(unittest.TestCase):
    def run_and_hold(self, name):
        with tempfile.TemporaryDirectory() as folder:
            run = Run(folder, HERE / "scenarios" / name)
            self.assertEqual(0, run.ran.returncode, run.ran.stderr + run.logs())
            code, text = run.check()
            self.assertEqual(0, code, text + run.logs())
            return run.summary()

    def test_the_quickstart_holds_with_the_real_daemon(self):
        summary = self.run_and_hold("quickstart-loopback.yaml")
        self.assertEqual("emu", summary["runner"])
        self.assertGreater(summary["totals"]["delivered"], 4000)
        self.assertEqual(0, summary["totals"]["lost"])

    def test_each_of_the_four_is_killed_and_nothing_is_lost_or_seen_twice(self):
        summary = self.run_and_hold("kills-loopback.yaml")
        self.assertEqual(0, summary["totals"]["duplicates"])
        self.assertEqual(4, sum(f["kind"] == "restart" and f["on_ns"] is not None for f in summary["faults"]))

    def test_clocks_that_are_wrong_hurt_nobody(self):
        self.run_and_hold("clocks-loopback.yaml")

    def test_what_loopback_cannot_do_is_refused_by_its_place(self):
        with tempfile.TemporaryDirectory() as folder:
            scenario = pathlib.Path(folder) / "s.yaml"
            text = (HERE / "scenarios" / "quickstart-loopback.yaml").read_text()
            scenario.write_text(text.replace("rotterdam: {delay: 0 ms}", "rotterdam: {delay: 1 ms}", 1))
            run = Run(folder, scenario)
            self.assertEqual(64, run.ran.returncode)
            self.assertIn("/links/3: delay, loss, rate", run.ran.stderr)

    def test_a_run_that_is_broken_off_is_never_held_and_leaves_no_child(self):
        with tempfile.TemporaryDirectory() as folder:
            plan = pathlib.Path(folder) / "plan.json"
            call(BIN / "portolan-plan", "plan", HERE / "scenarios" / "quickstart-loopback.yaml", "-o", plan)
            runner = subprocess.Popen([BIN / "portolan-loopback", "--plan", plan, "--out", folder, "--net", str(NET)],
                                      stderr=subprocess.DEVNULL)
            self.addCleanup(runner.wait)
            self.addCleanup(runner.kill)
            time.sleep(1.5)
            children = pathlib.Path(f"/proc/{runner.pid}/task/{runner.pid}/children").read_text().split()
            self.assertEqual(8, len(children))
            runner.send_signal(signal.SIGKILL)
            runner.wait()
            until = time.monotonic() + 5
            while any(self.runs(c) for c in children) and time.monotonic() < until:
                time.sleep(0.02)
            self.assertEqual([], [c for c in children if self.runs(c)])
            code = call(BIN / "portolan-check", "check", folder).returncode
            self.assertEqual(2, code)

    @staticmethod
    def runs(pid):
        try:
            return "portolan" in pathlib.Path(f"/proc/{pid}/cmdline").read_text()
        except OSError:
            return False


if __name__ == "__main__":
    unittest.main(argv=sys.argv)
