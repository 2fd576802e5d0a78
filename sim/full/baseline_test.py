"""udp_baseline: the datagrams of a run, all of them and no more, over plain ns-3; and refused where plain ns-3 has no like."""

import json
import pathlib
import struct
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import agree_test  # noqa: E402

ROW = struct.Struct("=QIIII")
TENANTS = "../sim/full/testdata/tail-drop.yaml"
QUIET = "../sim/full/testdata/baseline.yaml"


class Baseline(agree_test.Runs):
    def again(self, scenario, log):
        out = self.folder / "plain.json"
        done = subprocess.run([agree_test.BIN / "udp_baseline", "--plan", self.plan(scenario), "--datagrams", log, "--out", out],
                              stderr=subprocess.PIPE, text=True, timeout=120)
        return done, json.loads(out.read_text()) if done.returncode == 0 else None

    def test_every_datagram_of_a_run_goes_once_more(self):
        log = self.folder / "log"
        run = self.run_it(QUIET, "full", "--datagrams", log)
        sent = self.counters(run)
        rows = list(ROW.iter_unpack(log.read_bytes()))
        self.assertEqual(sent["fabric/sent"], len(rows))
        self.assertEqual(sent["fabric/sent_bytes"], sum(row[3] for row in rows))
        self.assertEqual(sorted(rows, key=lambda row: row[0]), rows)
        self.assertEqual(self.records(run), self.records(self.run_it(QUIET, "full")))  # being looked at changes nothing
        done, plain = self.again(QUIET, log)
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertEqual((len(rows), len(rows), 0), (plain["sent"], plain["received"], plain["refused"]))
        self.assertEqual(sent["fabric/sent_bytes"], plain["received_bytes"])

    def test_what_plain_ns3_has_not_is_refused(self):
        log = self.folder / "none"
        log.write_bytes(b"")
        for scenario, said in (("quickstart.yaml", "/faults"), (TENANTS, "/tenants"), ("lossy-radio.yaml", "/links/")):
            done, _ = self.again(scenario, log)
            self.assertEqual(64, done.returncode)
            self.assertIn(said, done.stderr)

    def test_a_link_whose_directions_differ_is_refused(self):
        log = self.folder / "none"
        log.write_bytes(b"")
        path = self.plan(QUIET)
        plan = json.loads(path.read_text())
        for key, value in (("delay_ns", 1), ("rate_bps", 7_000_000), ("queue", plan["links"][0]["b_to_a"]["queue"] | {"bytes": 9000})):
            with self.subTest(key=key):
                other = json.loads(json.dumps(plan))
                other["links"][0]["b_to_a"][key] = value
                path.write_text(json.dumps(other))
                done = subprocess.run([agree_test.BIN / "udp_baseline", "--plan", path, "--datagrams", log, "--out",
                                       self.folder / "unlike.json"], stderr=subprocess.PIPE, text=True, timeout=60)
                self.assertEqual(64, done.returncode)
                self.assertIn("/links/0/b_to_a", done.stderr)


if __name__ == "__main__":
    unittest.main()
