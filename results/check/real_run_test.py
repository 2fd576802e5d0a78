#!/usr/bin/env python3
"""Simulates a scenario and lies about the run: real_run_test.py PLAN_PROGRAM SIM_PROGRAM TEST_PROGRAM SCENARIO."""

import pathlib
import subprocess
import sys
import tempfile


def main(plan_program, sim_program, test_program, scenario):
    with tempfile.TemporaryDirectory() as folder:
        run = pathlib.Path(folder) / "run"
        run.mkdir()
        plan = subprocess.run([plan_program, "plan", scenario], stdout=subprocess.PIPE, check=True).stdout
        (run / "plan.json").write_bytes(plan)
        subprocess.run([sim_program, "--plan", run / "plan.json", "--out", run,
                        "--replay-folder", pathlib.Path(scenario).parent], check=True)
        return subprocess.run([test_program, run]).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
