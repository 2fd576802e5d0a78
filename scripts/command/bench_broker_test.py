"""bench broker: what counts as borne, how the highest rate is found, ratios of neighbours in time, and a run that leaves nothing."""

import contextlib
import io
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import bench_broker  # noqa: E402
import build  # noqa: E402

BIN = pathlib.Path(os.environ.get("PORTOLAN_BUILD", "")) / "bin"


def figures(p50=100, **more):
    return {"offered": 10, "received": 10, "refused": 0, "span_ns": 1e9, "p50_ns": p50, "p99_ns": 2 * p50, "p999_ns": 3 * p50, "max_ns": 4 * p50,
            "broker_cpu_ns": 5_000, "client_cpu_ns": 1e9, "messages": 10, **more}


class Judging(unittest.TestCase):
    def test_what_is_lost_refused_or_late_is_not_borne(self):
        self.assertTrue(bench_broker.whole(figures(), 1))
        for worse in ({"received": 9}, {"refused": 1}, {"span_ns": 2e9}):
            self.assertFalse(bench_broker.whole(figures(**worse), 1), worse)
        self.assertFalse(bench_broker.whole(None, 1))  # the broker ended the connection

    def test_the_highest_rate_is_found_by_doubling_and_halving(self):
        bound, asked = 70_000, []

        def once(_place, _peer, _hops, _size, rate, _seconds):
            asked.append(rate)
            return figures() if rate <= bound else None

        with mock.patch.object(bench_broker, "once", once):
            rate, found = bench_broker.most(None, None, 1, 256)
        self.assertEqual([20_000, 40_000, 80_000, 60_000, 70_000, 75_000, 72_500], asked)
        self.assertEqual((70_000, 10), (rate, found["received"]))

    def test_nothing_borne_at_all_is_said_so(self):
        with mock.patch.object(bench_broker, "once", lambda *_: None):
            self.assertEqual((0, None), (bench_broker.most(None, None, 1, 1_048_576)[0], bench_broker.most(None, None, 1, 64)[1]))

    def test_ratios_are_of_neighbours_in_time(self):
        row = bench_broker.row(1, 256, 1000, {"relay": [figures(100), figures(200)], "portolan": [figures(110), figures(260, received=9)]})
        ours = row["peers"]["portolan"]
        self.assertEqual({"least": 1.1, "median": 1.2, "most": 1.3}, {k: round(v, 9) for k, v in ours["p50_of_relay"].items()})
        self.assertEqual(1, ours["lost"])
        self.assertNotIn("p50_of_relay", row["peers"]["relay"])
        with contextlib.redirect_stdout(io.StringIO()) as out:
            bench_broker.table({"latency": [row], "throughput": [{"hops": 1, "bytes": 256, "peer": "nats", "messages_per_second": 0,
                                                                  "broker_cpu_ns_per_message": None, "client_cpu_share": None}]})
        self.assertIn("1.20", out.getvalue())


@unittest.skipUnless((BIN / "portolan-peers").exists() and (BIN / "portolan-broker").exists(), "this build has no portolan-peers")
class ForReal(unittest.TestCase):
    """The relay and ourselves through two namespaces: few messages, no figure asserted; that they all come, and nothing is left."""

    def test_a_short_run(self):
        if os.geteuid() != 0:
            self.skipTest("network namespaces need root")
        before = set(pathlib.Path("/proc").glob("[0-9]*/ns/net"))
        with tempfile.TemporaryDirectory() as temporary, mock.patch.object(build, "program", lambda name: BIN / name):
            with bench_broker.Place(pathlib.Path(temporary)) as place:
                holders = [h.pid for h in place.holders]
                for peer in (bench_broker.Relay(), bench_broker.Portolan()):
                    for hops in (1, 2):
                        with self.subTest(peer=peer.name, hops=hops):
                            got = bench_broker.once(place, peer, hops, 256, 200, 0.5)
                            self.assertEqual((100, 100, 0), (got["offered"], got["received"], got["refused"]), got)
                            self.assertGreater(got["broker_cpu_ns"], 0)
        for pid in holders:
            self.assertFalse(pathlib.Path(f"/proc/{pid}").exists())
        self.assertTrue(before)
        self.assertEqual("", subprocess.run(["ip", "link", "show", "bench0"], capture_output=True, text=True).stdout)


if __name__ == "__main__":
    unittest.main()
