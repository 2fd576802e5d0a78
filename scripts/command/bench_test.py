"""bench: what it changes in a scenario is there to be changed, and its table says least, median and most."""

import contextlib
import io
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import bench_sim  # noqa: E402
from options import Usage  # noqa: E402


class Bench(unittest.TestCase):
    def test_each_scenario_has_what_is_varied(self):
        found = sorted((bench_sim.SCENARIOS / "bench").glob("*.yaml"))
        self.assertEqual(["fan-out-11.yaml", "lean-100k.yaml"], [path.name for path in found])
        for path in found:
            text = bench_sim.variant(path.read_text(), 50, "1 %", "fq-codel")
            for said in ("end: 750 ms", "loss: 1 %", "duration: 1050 ms", "queue: {fq-codel: 4 MiB}"):
                self.assertEqual(1, text.count(said), said)

    def test_a_scenario_without_it_is_refused(self):
        text = (bench_sim.SCENARIOS / "bench" / "lean-100k.yaml").read_text()
        for was in ("loss: none", "queue: 4 MiB"):
            with self.assertRaises(Usage):
                bench_sim.variant(text.replace(was, ""), 50, "none")

    def test_a_baseline_that_lost_datagrams_is_no_baseline(self):
        whole = {"sent": 10, "received": 10, "refused": 0}
        bench_sim.all_arrived(whole, "none")
        bench_sim.all_arrived(whole | {"received": 9}, "1 %")
        for plain, loss in ((whole | {"received": 9}, "none"), (whole | {"refused": 1}, "1 %"), (whole | {"received": 9, "refused": 1}, "none")):
            with contextlib.redirect_stderr(io.StringIO()) as said, self.assertRaises(SystemExit):
                bench_sim.all_arrived(plain, loss)
            self.assertIn("10 datagrams over plain ns-3", said.getvalue())

    def test_repeated_benchmarks_are_told_by_their_spread(self):
        row = {"run_type": "iteration", "ns_per_event": 200.0, "name": "Ns3Event/repeats:3"}
        rows = [row, row | {"ns_per_event": 190.0}, row | {"ns_per_event": 230.0}, row | {"name": "LoopEvent/repeats:3", "ns_per_event": 60.0},
                row | {"run_type": "aggregate", "ns_per_event": 1.0}, {"run_type": "iteration", "name": "other"}]
        self.assertEqual({"Ns3Event": {"least": 190.0, "median": 200.0, "most": 230.0},
                          "LoopEvent": {"least": 60.0, "median": 60.0, "most": 60.0}}, bench_sim.spreads(rows, "ns_per_event"))
        rows = [row | {"name": f"fan_out/100/manual_time/repeats:{i}"} for i in range(2)]
        self.assertEqual(["fan_out/100"], list(bench_sim.spreads(rows, "ns_per_event")))

    def test_the_table_names_each_figure_and_goal(self):
        three = {"least": 1.0, "median": 2.5, "most": 4.0}
        result = {
            "lean": [{"scenario": "lean-100k", "loss": "none", "us_per_delivery": three, "simulated_seconds_per_second": three,
                      "deliveries_per_simulated_second": 100_000, "events_per_delivery": 7.5, "datagrams_per_delivery": 3.25,
                      "loop_share": 0.25, "engine_share": 0.5, "ns3_event_ns": three, "loop_event_ns": three}],
            "full": [{"queue": "fq-codel", "loss": "1 %", "us_per_delivery": three, "plain_us_per_delivery": three, "ratio": three,
                      "datagrams_per_delivery": 3.25, "events_per_datagram": 4.0, "plain_events_per_datagram": 3.5, "plain_lost": 17,
                      "engine_share": 0.25, "ratio_without_engines": 1.875}],
            "fleet": {"harbours": 1000, "sending": 999, "receiving": 998, "deliveries": 10, "datagrams": 35,
                      "built_cpu_seconds": three, "first_second_cpu_seconds": three, "memory_most_bytes": {k: v * (1 << 20) for k, v in three.items()},
                      "cpu_seconds": three, "simulated_seconds": 14.0},
            "engine": {"ns_per_message_in": three, "memory_bytes": {"harbour": 1000, "session": 2000, "subscription": 320},
                       "out": {"100": {"ns_per_delivery": three, "bytes_per_delivery": 302.0, "datagrams_per_delivery": 0.25}}},
        }
        with contextlib.redirect_stdout(io.StringIO()) as out:
            bench_sim.table(result)
        lines = out.getvalue().splitlines()
        self.assertRegex(lines[1], r"^lean-100k +none +1\.00/2\.50/4\.00 +1\.00/2\.50/4\.00 +50% +7\.5 +3\.25 +25% +50%$")
        self.assertIn("An event alone 1/2/4 ns, on ns-3's own loop 1/2/4 ns.", out.getvalue())
        self.assertTrue(any(line.startswith("fq-codel") and line.count("1.00/2.50/4.00") == 1 and
                            line.endswith(" 3.5          17") and " 1.88 " in line for line in lines))
        self.assertIn("999 sent and 998 received; 10 deliveries, 3.5 datagrams a delivery", out.getvalue())
        self.assertIn("at most 1/2/4 MiB (goal: 1024)", out.getvalue())
        self.assertIn("    100: 1/2/4 ns a delivery, 302 bytes and 0.25 datagrams", out.getvalue())


if __name__ == "__main__":
    unittest.main()
