"""What full knows beyond lean: convergence in parts, queue discs, ns-3's own devices. Each shown to be at work by what it alone
does, to hold, to repeat to the byte, and to be refused by lean, by name."""

import csv
import json
import pathlib
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import agree_test  # noqa: E402

DATA = "../sim/full/testdata/"


class Devices(agree_test.Runs):
    def held(self, scenario):
        run = self.run_it(scenario, "full")
        done = subprocess.run([agree_test.BIN / "portolan-check", "check", run], stdout=subprocess.PIPE, text=True, timeout=120)
        self.assertEqual(0, done.returncode, done.stdout[:2000])
        return run

    def latency(self, run, topic):
        families = json.loads((run / "summary.json").read_text())["families"]
        return next(f["latency"] for f in families if f["family"] == topic)

    def refused_by_lean(self, scenario, said):
        done = subprocess.run([agree_test.BIN / "portolan-sim", "--plan", self.plan(scenario), "--out", self.folder / "lean"],
                              stderr=subprocess.PIPE, text=True, timeout=60)
        self.assertEqual(64, done.returncode)
        self.assertIn(said, done.stderr)
        self.assertIn("; --fidelity full does", done.stderr)

    def path_changes(self, run):
        done = subprocess.run([agree_test.BIN / "portolan-check", "records", run, "--csv"], stdout=subprocess.PIPE, text=True,
                              check=True, timeout=60)
        return [int(row["time_ns"]) for row in csv.DictReader(done.stdout.splitlines()) if row["kind"] == "path_change"]

    def test_paths_change_at_each_edge_by_itself(self):
        run = self.held(DATA + "convergence.yaml")
        plan = json.loads((run / "plan.json").read_text())
        fault, most = plan["faults"][0], plan["convergence_ns"]
        least = plan["convergence"]["detection"]["least_ns"]
        cut, back = self.path_changes(run)
        self.assertTrue(fault["at_ns"] + least < cut <= fault["at_ns"] + most)
        self.assertTrue(fault["until_ns"] + least < back <= fault["until_ns"] + most)
        self.assertNotEqual(cut - fault["at_ns"], back - fault["until_ns"])  # drawn anew for each change
        self.assertEqual(self.records(run), self.records(self.run_it(DATA + "convergence.yaml", "full")))
        self.refused_by_lean(DATA + "convergence.yaml", "/convergence: ")

    def test_fair_queueing_keeps_small_messages_out_of_others_bursts(self):
        tail, fair = (self.held(f"{DATA}{queue}.yaml") for queue in ("tail-drop", "fq-codel"))
        line = "hamburg--rotterdam/a_to_b/"
        self.assertGreater(self.counters(tail)[line + "queue_bytes_max"], 2 * 1_400)  # sessions find their rates: no more
        self.assertEqual(0, self.counters(fair)[line + "queue_bytes_max"])  # it waits in the queue disc
        waits = [self.latency(run, "crane/+/load") for run in (fair, tail)]
        fair_ns, tail_ns = (wait["p99_ns"] - wait["min_ns"] for wait in waits)
        self.assertLess(fair_ns * 1.3, tail_ns)
        self.refused_by_lean(DATA + "fq-codel.yaml", "/queue/kind: fq-codel")

    def test_a_fault_that_would_change_a_queue_disc_is_refused(self):
        plan = json.loads(self.plan(DATA + "fq-codel.yaml").read_text())
        link = next(i for i, one in enumerate(plan["links"]) if one["name"] == "hamburg--rotterdam")
        worse = plan["links"][link]["a_to_b"] | {"queue": plan["links"][link]["a_to_b"]["queue"] | {"kind": "tail-drop"}}
        plan["faults"] = [{"name": "degrade", "kind": "degrade", "at_ns": 10**9, "until_ns": 2 * 10**9, "links": [link],
                           "way": "both", "processes": [], "replaces": ["queue"], "impairments": worse, "skew_ns": 0,
                           "skew_ppb": 0, "count": 0, "overlay": True}]
        path = self.folder / "worse.json"
        path.write_text(json.dumps(plan))
        done = subprocess.run([agree_test.BIN / "portolan-sim", "--plan", path, "--out", self.folder / "worse", "--fidelity", "full"],
                              stderr=subprocess.PIPE, text=True, timeout=60)
        self.assertEqual(64, done.returncode, done.stderr)
        self.assertIn("a fault cannot put fq-codel in or out, and one that gives a `rate` alone brings a tail-drop queue along", done.stderr)

    def test_seeds_next_to_each_other_differ_on_the_air(self):
        texts = [(self.folder / f"quay-{seed}.json", seed) for seed in (2, 3)]
        for path, seed in texts:
            made = subprocess.run([agree_test.BIN / "portolan-plan", "plan", agree_test.ROOT / "scenarios" / "quay-wifi.yaml", "--seed", "2"],
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True, timeout=60)
            plan = json.loads(made.stdout)
            plan["seed"] = seed  # all else equal, so that only ns-3's own draws can differ
            path.write_text(json.dumps(plan))
        hashes = []
        for path, seed in texts:
            out = self.folder / f"quay-{seed}"
            subprocess.run([agree_test.BIN / "portolan-sim", "--plan", path, "--out", out, "--fidelity", "full"], check=True, timeout=300,
                           stdout=subprocess.DEVNULL)
            hashes.append(json.loads((out / "sim.json").read_text())["trace_hash"])
        self.assertNotEqual(*hashes)

    def test_point_to_point_agrees_with_the_model_within_2_percent(self):
        own, model = (self.held(f"{DATA}{kind}.yaml") for kind in ("point-to-point", "model"))
        for mark in ("p50_ns", "p90_ns", "p99_ns"):
            one, other = (self.latency(run, "crane/+/load")[mark] for run in (own, model))
            self.assertLess(abs(one - other), 0.02 * other)
        self.assertEqual(0, self.counters(own)["hamburg--rotterdam/a_to_b/packets"])  # no LinkModel had a part in it
        self.refused_by_lean(DATA + "point-to-point.yaml", "/kind: point-to-point")

    def test_clients_on_a_cable(self):
        run = self.held(DATA + "access.yaml")
        # Out over the cable, to the far harbour and in again: more than the floor, as 10 Mbit/s have it.
        self.assertGreater(self.latency(run, "crane/+/load")["min_ns"], 500_000)
        self.assertEqual(self.records(run), self.records(self.run_it(DATA + "access.yaml", "full")))
        self.refused_by_lean(DATA + "access.yaml", "/kind: csma")

    def test_quay_wifi(self):
        run = self.held("quay-wifi.yaml")
        self.assertIn("quay/main/wifi/dropped/mac", self.counters(run))
        self.assertEqual(self.records(run), self.records(self.run_it("quay-wifi.yaml", "full")))
        self.refused_by_lean("quay-wifi.yaml", "/motion: ")

    def test_a_queue_that_ns_3s_own_devices_have_not_is_refused(self):
        plan = json.loads(self.plan(DATA + "point-to-point.yaml").read_text())
        cut = next(i for i, link in enumerate(plan["links"]) if link["kind"] == "point-to-point")
        for way in ("a_to_b", "b_to_a"):
            for other in ({"kind": "codel"}, {"kind": "fq-codel"}, {"kind": "codel", "ecn": True}):
                with self.subTest(way=way, queue=other):
                    changed = json.loads(json.dumps(plan))
                    changed["links"][cut][way]["queue"] |= other
                    path = self.folder / "queue.json"
                    path.write_text(json.dumps(changed))
                    done = subprocess.run([agree_test.BIN / "portolan-sim", "--plan", path, "--out", self.folder / "queue", "--fidelity",
                                           "full"], stderr=subprocess.PIPE, text=True, timeout=60)
                    self.assertEqual(64, done.returncode)
                    self.assertIn(f"/links/{cut}/{way}/queue: hamburg--rotterdam is of a kind of ns-3's own", done.stderr)

    def test_a_fault_on_a_device_of_ns_3_is_refused(self):
        plan = json.loads(self.plan(DATA + "point-to-point.yaml").read_text())
        other = json.loads(self.plan("quickstart.yaml").read_text())
        cut = next(i for i, link in enumerate(plan["links"]) if link["kind"] == "point-to-point")
        plan["faults"] = other["faults"]
        plan["faults"][0]["links"] = [cut]
        path = self.folder / "cut.json"
        path.write_text(json.dumps(plan))
        done = subprocess.run([agree_test.BIN / "portolan-sim", "--plan", path, "--out", self.folder / "cut", "--fidelity",
                               "full"], stderr=subprocess.PIPE, text=True, timeout=60)
        self.assertEqual(64, done.returncode)
        self.assertIn("/faults/0/links: hamburg--rotterdam is of a kind of ns-3's own", done.stderr)


if __name__ == "__main__":
    unittest.main()
