"""The same load over TCP: it all arrives and repeats to the byte. On lines that lose in bursts, with and without a mobile network's ups
and downs, our 99th percentile is ahead of TcpBbr's and TcpCubic's for each family of topics, and where there is more to send than the
line carries more comes through: medians over seeds, since a burst at the wrong time costs any of them more than their difference."""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import agree_test  # noqa: E402


class Tcp(agree_test.Runs):
    def baseline(self, scenario, tcp, name):
        out = self.folder / name
        done = subprocess.run([agree_test.BIN / "tcp_baseline", "--plan", self.plan(scenario), "--out", out, "--tcp", tcp],
                              stderr=subprocess.PIPE, text=True, timeout=120)
        self.assertEqual(0, done.returncode, done.stderr)
        return out

    def test_one_run_beside_tcp(self):
        run = self.run_it("lossy-radio.yaml", "full")
        tcp = [self.baseline("lossy-radio.yaml", kind, kind) for kind in ("bbr", "cubic")]
        compare = agree_test.ROOT / "scripts" / "report" / "tcp_compare.py"
        done = subprocess.run([sys.executable, compare, run, *tcp, "--out", self.folder / "out"], stdout=subprocess.PIPE,
                              text=True, timeout=120, env=os.environ)
        self.assertEqual(0, done.returncode)
        found = json.loads((self.folder / "out" / "tcp.json").read_text())
        self.assertEqual({"Portolan", "TCP BBR", "TCP Cubic"}, set(found))
        for family, ours in found["Portolan"].items():
            for other in ("TCP BBR", "TCP Cubic"):
                self.assertEqual(ours["deliveries"], found[other][family]["deliveries"])
        self.assertGreater((self.folder / "out" / "tcp.png").stat().st_size, 10_000)
        self.assertTrue((self.folder / "out" / "tcp.csv").exists())

    def test_radio_beside_tcp(self):
        scenarios = agree_test.ROOT / "scenarios"
        seeds = agree_test.ROOT / "scripts" / "report" / "tcp_seeds.py"
        done = subprocess.run([sys.executable, seeds, scenarios / "lossy-radio.yaml", scenarios / "tests" / "radio-trace.yaml",
                               "--full", scenarios / "tests" / "radio-full.yaml", "--seeds", "5", "--out", self.folder / "seeds"],
                              stdout=subprocess.PIPE, text=True, timeout=1500, env=os.environ)
        self.assertEqual(0, done.returncode)
        print(done.stdout)
        found = json.loads((self.folder / "seeds" / "tcp.json").read_text())
        self.assertEqual({"lossy-radio", "radio-trace", "radio-full"}, set(found))
        for scenario, families in found.items():
            for family, transports in families.items():
                median = {name: {key: statistics.median(figures[key]) for key in ("p99_ns", "goodput_bytes_per_s")}
                          for name, figures in transports.items()}
                ours = median.pop("Portolan")
                if scenario != "radio-full":  # it all fits, so it all arrives, by any transport and with each seed
                    counts = {name: figures["deliveries"] for name, figures in transports.items()}
                    self.assertEqual([5] * 3, [len(by_seed) for by_seed in counts.values()])
                    for name, by_seed in counts.items():
                        with self.subTest(scenario=scenario, family=family, deliveries=name):
                            self.assertEqual(counts["Portolan"], by_seed)
                self.assertEqual({"TCP BBR", "TCP Cubic"}, set(median))
                for name, other in median.items():
                    with self.subTest(scenario=scenario, family=family, beside=name):
                        self.assertLess(ours["p99_ns"], other["p99_ns"])
                        if scenario == "radio-full":
                            self.assertGreater(ours["goodput_bytes_per_s"], other["goodput_bytes_per_s"])
                        else:  # it all fits: who brings more in the load's own time can only be a delivery or two ahead
                            self.assertGreaterEqual(ours["goodput_bytes_per_s"], other["goodput_bytes_per_s"])
        self.assertGreater((self.folder / "seeds" / "tcp.png").stat().st_size, 10_000)

    def test_again(self):
        one, other = (self.baseline("lossy-radio.yaml", "bbr", f"again-{n}") for n in "ab")
        self.assertEqual(*((run / "deliveries.csv").read_bytes() for run in (one, other)))

    def test_faults_on_processes_are_refused(self):
        plan = self.plan("tests/seven-harbours.yaml")
        content = json.loads(plan.read_text())
        content["faults"] = [json.loads(self.plan("north-sea.yaml").read_text())["faults"][-1]]
        content["faults"][0] |= {"kind": "pause", "links": [], "processes": [0]}
        plan.write_text(json.dumps(content))
        done = subprocess.run([agree_test.BIN / "tcp_baseline", "--plan", plan, "--out", self.folder / "no", "--tcp", "bbr"],
                              stderr=subprocess.PIPE, text=True, timeout=60)
        self.assertEqual(64, done.returncode, done.stderr)
        self.assertIn("touches processes", done.stderr)


if __name__ == "__main__":
    unittest.main()
