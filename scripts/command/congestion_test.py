"""The figures of congestion control (scenarios/tests/rate-*.yaml) that no expectation can say: how much of a link is used and how
much waits before it, how two sessions share it, what is sent again for nothing, what tiles cost the positions beside them. Measured
from the records of the real engine over the real LinkModel."""

import collections
import csv
import json
import os
import pathlib
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("PORTOLAN_BUILD", ROOT / "build" / "release"))
PORTOLAN = ROOT / "scripts" / "portolan"
SECOND = 1_000_000_000
# A message of 1,100 bytes alone in its datagram: padding, record header, trailer, frame; UDP, IP and Ethernet; VXLAN.
WIRE_BYTES = 1104 + 32 + 16 + 40 + 42 + 50
FRAGMENT_BYTES = 1280 + 40 + 42 + 50
RATE = 10_000_000


class Run:
    def __init__(self, folder, rows):
        self.summary = json.loads((folder / "summary.json").read_text())
        self.deliveries = collections.defaultdict(list)  # by topic: when
        self.links = {}
        for row in csv.DictReader(rows):
            if row["kind"] == "deliver":
                self.deliveries[row["topic"]].append(int(row["time_ns"]))
            elif row["kind"] == "link_counters":
                self.links[row["text"]] = int(row["value"])

    def count(self, topic, first, last):
        return sum(first * SECOND <= at < last * SECOND for at in self.deliveries[topic])

    def goodput(self, topic, first, last):
        """Of the link's rate, by what came for the first time."""
        return self.count(topic, first, last) * WIRE_BYTES * 8 / (RATE * (last - first))

    def p99_ms(self, topic):
        family = next(f for f in self.summary["families"] if f["family"] == topic)
        return family["latency"]["p99_ns"] / 1e6


@unittest.skipUnless(all((BUILD / "bin" / name).exists() for name in ("portolan-plan", "portolan-sim", "portolan-check")),
                     "this build has no programs")
class Congestion(unittest.TestCase):
    def rehearse(self, name):
        env = dict(os.environ, PORTOLAN_PROGRAMS=str(BUILD / "bin"))
        with tempfile.TemporaryDirectory() as folder:
            out = pathlib.Path(folder) / "run"
            words = [PORTOLAN, "run", ROOT / "scenarios" / "tests" / f"{name}.yaml", "--no-report", "--out", out]
            done = subprocess.run(words, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, cwd=ROOT)
            self.assertEqual(0, done.returncode, done.stdout + done.stderr)
            rows = subprocess.run([BUILD / "bin" / "portolan-check", "records", out, "--csv"], capture_output=True, text=True,
                                  check=True, timeout=120)
            return Run(out, rows.stdout.splitlines())

    def test_alone_uses_the_link_and_keeps_its_queue_short(self):
        run = self.rehearse("rate-alone")
        self.assertGreaterEqual(run.goodput("t/flow", 2, 13), 0.90)
        self.assertLessEqual(run.links["west--east/a_to_b/queue_bytes_max"], RATE / 8 * 0.040)

    def test_five_per_cent_of_loss_cost_little_more_than_themselves(self):
        run = self.rehearse("rate-lossy")
        self.assertGreaterEqual(run.goodput("t/flow", 2, 13), 0.85)

    def test_two_sessions_share(self):
        run = self.rehearse("rate-share")
        shares = [run.count(topic, 6, 14) for topic in ("t/first", "t/second")]
        jain = sum(shares) ** 2 / (2 * sum(share * share for share in shares))
        self.assertGreaterEqual(jain, 0.9, shares)
        self.assertGreaterEqual(run.goodput("t/first", 6, 14) + run.goodput("t/second", 6, 14), 0.90)

    def test_a_doubled_round_trip_repairs_little_for_nothing(self):
        run = self.rehearse("rate-reroute")
        counters = run.summary["counters"]
        self.assertGreater(counters["messages_out"], 10_000)
        self.assertLessEqual(counters.get("spurious_repairs", 0), run.summary["totals"]["delivered"] / 100)
        self.assertLess(counters.get("spurious_repairs", 0), counters["repair_datagrams"])

    def test_tiles_cost_positions_two_fragments_at_most(self):
        run = self.rehearse("rate-tiles")
        self.assertGreater(len(run.deliveries["tiles/radar"]), 80)
        self.assertGreater(len(run.deliveries["beside/position"]), 2_500)
        added = run.p99_ms("beside/position") - run.p99_ms("alone/position")
        self.assertLessEqual(added, 2 * FRAGMENT_BYTES * 8 / RATE * 1e3)


if __name__ == "__main__":
    unittest.main()
