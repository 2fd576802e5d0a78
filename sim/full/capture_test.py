"""--pcap: every frame of a link and nothing else, which tshark reads with our dissector. And capturing changes no record."""

import collections
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import agree_test  # noqa: E402

LINK = "hamburg--rotterdam"
SCRIPT = agree_test.ROOT / "scripts" / "wireshark" / "portolan.lua"


class Capture(agree_test.Runs):
    def tshark(self, path, *words):
        done = subprocess.run(["tshark", "-X", f"lua_script:{SCRIPT}", "-r", path, *words], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=120)
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertNotIn("portolan.lua:", done.stderr)  # Lua's errors
        return done.stdout.splitlines()

    def test_it_changes_no_record(self):
        plain, tapped = self.run_it("quickstart.yaml", "full"), self.run_it("quickstart.yaml", "full", "--pcap", "all")
        self.assertEqual(self.records(plain), self.records(tapped))
        self.assertFalse((plain / "pcap").exists())
        self.assertEqual(6, len(list((tapped / "pcap").iterdir())))

    def test_lean_and_unknown_links_are_refused(self):
        for words, said in ((("--fidelity", "lean", "--pcap", "all"), "needs --fidelity full"),
                            (("--fidelity", "full", "--pcap", "hamburg--oslo"), "no such link; it has all, ")):
            done = subprocess.run([agree_test.BIN / "portolan-sim", "--plan", self.plan("quickstart.yaml"), "--out",
                                   self.folder / "refused", *words], stderr=subprocess.PIPE, text=True, timeout=60)
            self.assertEqual(64, done.returncode)
            self.assertIn(said, done.stderr)

    @unittest.skipUnless(shutil.which("tshark"), "tshark is not here (scripts/setup capture)")
    def test_tshark_reads_every_frame_with_the_dissector(self):
        run = self.run_it("quickstart.yaml", "full", "--pcap", LINK)
        path = run / "pcap" / f"{LINK}.pcap"
        self.assertEqual([f"{LINK}.pcap"], os.listdir(run / "pcap"))
        counted = self.counters(run)
        frames = self.tshark(path, "-T", "fields", "-e", "frame.len", "-e", "portolan.type", "-e", "vxlan.vni")
        self.assertGreater(len(frames), 1000)
        self.assertEqual(counted[f"{LINK}/a_to_b/packets"] + counted[f"{LINK}/b_to_a/packets"], len(frames))
        size = sum(int(frame.split("\t")[0]) for frame in frames)
        self.assertEqual(counted[f"{LINK}/a_to_b/bytes"] + counted[f"{LINK}/b_to_a/bytes"], size)
        kinds = collections.Counter(frame.split("\t")[1] for frame in frames)
        self.assertEqual({"1", "3", "4", "6"}, set(kinds))  # DATA, ACK, HEARTBEAT, HANDSHAKE
        tenant = json.loads((run / "plan.json").read_text())["tenants"][0]
        self.assertEqual({str(tenant["vni"])}, {frame.split("\t")[2] for frame in frames})
        self.assertEqual([], self.tshark(path, "-Y", "portolan.damaged || _ws.malformed || _ws.lua.error"))
        # What the dissector says of messages is what the load was: 200 bytes, on the realtime lane, numbered from 1.
        said = self.tshark(path, "-Y", "portolan.record.topic && portolan.flags.retransmit == 0", "-T", "fields", "-e",
                           "portolan.record.length", "-e", "portolan.record.sequence")
        self.assertGreater(len(said), 100)
        lengths = {length for line in said for length in line.split("\t")[0].split(",") if int(length) >= 100}
        self.assertEqual({"200"}, lengths)
        sequences = [int(number) for line in said for number in line.split("\t")[1].split(",")]
        self.assertLessEqual({*range(1, 26), *range(72, 81)}, set(sequences))
        self.assertNotIn(50, sequences)  # meant for the time of the cut: it went the long way round


if __name__ == "__main__":
    unittest.main()
