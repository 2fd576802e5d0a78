"""Queues that mark in place of dropping (RFC 3168): what the engines say in the IP header goes through VXLAN and back (RFC 6040), so
that a full line loses nothing, in lean and full by the same bytes; ns-3's FqCoDel marks the same header."""

import json
import pathlib
import struct
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import agree_test  # noqa: E402

WAY = "hub--east/a_to_b/"


class Ecn(agree_test.Runs):
    def plan(self, scenario):
        path = super().plan(scenario)
        content = json.loads(path.read_text())
        for link in content["links"]:
            for way in ("a_to_b", "b_to_a"):
                if link[way]["queue"]["ecn"]:
                    link[way]["queue"] |= self.queue
        if self.fault is not None:
            index, link = next((i, one) for i, one in enumerate(content["links"]) if one["name"] == "hub--east")
            worse = link["a_to_b"] | {"queue": link["a_to_b"]["queue"] | self.fault}
            content["faults"] = [{"name": "degrade", "kind": "degrade", "at_ns": 2 * 10**9, "until_ns": 12 * 10**9, "links": [index],
                                  "way": "both", "processes": [], "replaces": ["queue"], "impairments": worse, "skew_ns": 0,
                                  "skew_ppb": 0, "count": 0, "overlay": True}]
        path.write_text(json.dumps(content))
        return path

    def run_with(self, queue, fidelity, *words, fault=None):
        self.queue, self.fault = queue, fault
        run = self.run_it("tests/ecn.yaml", fidelity, *words)
        counters = self.counters(run)
        drops = sum(value for name, value in counters.items() if name.startswith(WAY + "dropped/"))
        return run, counters.get(WAY + "marked", 0), drops, counters.get(WAY + "queue_bytes_max", 0)

    def test_marks_in_place_of_drops(self):
        lean, marked, dropped, queue = self.run_with({}, "lean")
        self.assertGreater(marked, 10)
        self.assertEqual(0, dropped)
        _, unmarked, lost, longer = self.run_with({"ecn": False}, "lean")
        self.assertEqual(0, unmarked)
        self.assertGreater(lost, 10)
        full, *figures = self.run_with({}, "full")
        self.assertEqual([marked, dropped, queue], figures)
        self.assertEqual(self.records(lean), self.records(full))

    def test_a_fault_lets_a_queue_mark_in_both_fidelities(self):
        lean, marked, *rest = self.run_with({"ecn": False}, "lean", fault={"ecn": True})
        self.assertGreater(marked, 10)
        full, *figures = self.run_with({"ecn": False}, "full", fault={"ecn": True})
        self.assertEqual([marked, *rest], figures)
        self.assertEqual(self.records(lean), self.records(full))

    def test_a_capture_shows_the_marks_that_the_wire_carries(self):
        run, marked, *_ = self.run_with({}, "full", "--pcap", "hub--east")
        content = (run / "pcap" / "hub--east.pcap").read_bytes()
        at, congested = 24, 0
        while at < len(content):
            size = struct.unpack_from("<I", content, at + 8)[0]
            congested += content[at + 16 + 14 + 1] & 3 == 3  # the ECN field of the outer IPv4 header: CE
            at += 16 + size
        self.assertEqual(marked, congested)

    def test_fair_queues_mark_too(self):
        _, marked, dropped, _ = self.run_with({"kind": "fq-codel"}, "full")
        self.assertGreater(marked, 10)
        self.assertEqual(0, dropped)
        _, unmarked, lost, _ = self.run_with({"kind": "fq-codel", "ecn": False}, "full")
        self.assertEqual(0, unmarked)
        self.assertGreater(lost, 10)


if __name__ == "__main__":
    unittest.main()
