"""Two hundred random kills (SIGKILL) in a row of publisher, brokers and subscribers, judged by the checker."""

import os
import pathlib
import random
import shutil
import sys
import tempfile
import unittest

import loopback_run_test

KILLS = int(os.environ.get("PORTOLAN_KILLS", "200"))
SEED = int(os.environ.get("PORTOLAN_SEED", "1"))
A_RUN = 40

HEAD = (loopback_run_test.HERE / "scenarios" / "kills-loopback.yaml").read_text()
VICTIMS = ["west/source", "west/broker", "east/broker", "east/sink", "west/local"]


def scenario(draw, kills):
    """The committed scenario with other faults: one at a time or two at once, each process back after a while."""
    head, _ = HEAD.split("faults:\n")
    free_at = dict.fromkeys(VICTIMS, 0)
    at, faults = 1500, []
    while len(faults) < kills:
        at += draw.randrange(100, 1100)
        free = [v for v in VICTIMS if free_at[v] < at]
        if not free:
            continue
        victim, down = draw.choice(free), draw.randrange(50, 900)
        free_at[victim] = at + down + 200  # let it begin before it dies again
        faults.append(f"  - {{restart: {victim}, at: {at} ms, for: {down} ms}}\n")
    end = (at + 2000) // 1000
    head = head.replace("duration: 9 s", f"duration: {end + 1} s").replace("end: 8 s", f"end: {end} s")
    # Publisher and home broker may die together, so gaps may be told: the checker asks of each what explains it.
    return head.replace("settle: 6 s", "settle: 12 s") + "faults:\n" + "".join(faults) + (
        "expect:\n  - {lost: 0, duplicates: 0, disorder: 0, gaps: 1000000}\n")


class Soak(unittest.TestCase):
    def test_nothing_is_lost_or_seen_twice_through_random_kills(self):
        for run in range((KILLS + A_RUN - 1) // A_RUN):
            kills = min(A_RUN, KILLS - run * A_RUN)
            with self.subTest(seed=SEED, run=run):
                # A machine without time to spare leaves a run undecided, never held: the same schedule again then.
                for _ in range(3):
                    code, text = self.run_once(run, kills)
                    print(f"run {run}: {kills} kills: exit {code}:", " ".join(text.split("\n")[1:2]), flush=True)
                    if code != 2:
                        break
                self.assertEqual(0, code, text)

    def run_once(self, run, kills):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "kills.yaml"
            path.write_text(scenario(random.Random(f"{SEED}/{run}"), kills))
            ran = loopback_run_test.Run(folder, path)
            self.assertEqual(0, ran.ran.returncode, ran.ran.stderr + ran.logs())
            code, text = ran.check()
            keep = os.environ.get("PORTOLAN_KEEP")
            if code != 0 and keep:
                shutil.copytree(folder, f"{keep}/kills-{SEED}-{run}", dirs_exist_ok=True)
            return code, text


if __name__ == "__main__":
    unittest.main(argv=sys.argv)
