"""The same load over TCP: it all arrives, repeats to the byte, and on a line that loses in bursts our 99th percentile is ahead of
TcpBbr's and TcpCubic's, for each family of topics."""

import json
import os
import pathlib
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

    def test_lossy_radio_beside_tcp(self):
        run = self.run_it("lossy-radio.yaml", "full")
        tcp = [self.baseline("lossy-radio.yaml", kind, kind) for kind in ("bbr", "cubic")]
        compare = agree_test.ROOT / "scripts" / "report" / "tcp_compare.py"
        done = subprocess.run([sys.executable, compare, run, *tcp, "--out", self.folder / "out"], stdout=subprocess.PIPE,
                              text=True, timeout=120, env=os.environ)
        self.assertEqual(0, done.returncode)
        print(done.stdout)
        found = json.loads((self.folder / "out" / "tcp.json").read_text())
        self.assertEqual({"Portolan", "TCP BBR", "TCP Cubic"}, set(found))
        for family, ours in found["Portolan"].items():
            for other in ("TCP BBR", "TCP Cubic"):
                self.assertEqual(ours["deliveries"], found[other][family]["deliveries"])
                self.assertLess(ours["p99_ns"], found[other][family]["p99_ns"], (family, other))
                self.assertGreaterEqual(ours["goodput_bytes_per_s"], found[other][family]["goodput_bytes_per_s"])
        self.assertGreater((self.folder / "out" / "tcp.png").stat().st_size, 10_000)
        self.assertTrue((self.folder / "out" / "tcp.csv").exists())

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
