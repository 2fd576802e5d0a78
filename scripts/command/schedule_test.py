"""Fault schedules: the same for a seed, never two of one group on one thing, every kind met; shrinking finds the smallest."""

import unittest

import schedule


def seven():
    nodes = [{"kind": "edge", "harbour": h} for h in range(7)]
    nodes += [{"kind": "service", "harbour": h} for h in range(7)]
    links = [{"name": f"v{h}", "a": h, "b": 7 + h} for h in range(7)]
    links += [{"name": f"l{h}", "a": h, "b": (h + 1) % 7} for h in range(7)]
    processes = [{"name": f"h{h}/broker", "kind": "broker"} for h in range(7)]
    processes += [{"name": f"h{h}/c", "kind": "client"} for h in range(7)]
    return {"harbours": [{}] * 7, "nodes": nodes, "links": links, "processes": processes, "duration_ns": 8 * schedule.S}


class Schedules(unittest.TestCase):
    def test_a_seed_is_a_schedule(self):
        names = list(schedule.KINDS)
        one = schedule.schedule(seven(), 5, names, 8)
        self.assertEqual(one, schedule.schedule(seven(), 5, names, 8))
        self.assertNotEqual(one, schedule.schedule(seven(), 6, names, 8))

    def test_no_fault_overlaps_another_of_its_group_and_every_kind_is_met(self):
        kinds, replaced = set(), set()
        for seed in range(300):
            faults = schedule.schedule(seven(), seed, list(schedule.KINDS), 8)
            self.assertTrue(1 <= len(faults) <= 8)
            self.assertEqual(faults, sorted(faults, key=lambda one: one["at_ns"]))
            for i, one in enumerate(faults):
                self.assertTrue(schedule.S <= one["at_ns"] < 7 * schedule.S)
                self.assertTrue(one["until_ns"] == 0 or one["at_ns"] < one["until_ns"] <= 8 * schedule.S)
                self.assertTrue(one["until_ns"] or one["kind"] in ("kill", "lose-control"))
                self.assertTrue(all(seven()["links"][link]["name"].startswith("l") for link in one["links"]))
                self.assertFalse(any(schedule.overlap(one, other) for other in faults[:i]))
                kinds.add(one["kind"])
                replaced.update(one["replaces"])
        self.assertEqual({"cut", "partition", "degrade", "kill", "restart", "pause", "clock-skew", "lose-control"}, kinds)
        self.assertEqual({"loss", "reorder", "duplicate", "jitter"}, replaced)

    def test_only_the_kinds_that_are_named(self):
        for seed in range(50):
            for one in schedule.schedule(seven(), seed, ["kill"], 4):
                self.assertEqual("kill", one["kind"])


class Shrinking(unittest.TestCase):
    def setUp(self):
        self.faults = [{"name": i, "at_ns": i, "until_ns": i + 1024 * schedule.MS} for i in range(16)]

    def names(self, breaks):
        return [one["name"] for one in schedule.shrunk(self.faults, breaks)]

    def test_two_that_break_together(self):
        self.assertEqual([3, 12], self.names(lambda faults: {3, 12} <= {one["name"] for one in faults}))

    def test_what_breaks_without_any_fault(self):
        self.assertEqual([], self.names(lambda faults: True))

    def test_nothing_can_be_left_out(self):
        self.assertEqual(16, len(self.names(lambda faults: len(faults) == 16)))

    def test_times_are_halved_as_long_as_it_breaks(self):
        def breaks(faults):
            return any(one["name"] == 5 and one["until_ns"] - one["at_ns"] >= 100 * schedule.MS for one in faults)
        (one,) = schedule.shrunk(self.faults, breaks)
        self.assertTrue(100 * schedule.MS <= one["until_ns"] - one["at_ns"] < 200 * schedule.MS)

    def test_it_asks_no_more_than_it_may(self):
        asked = []
        schedule.shrunk(self.faults, lambda faults: asked.append(1) or len(faults) > 14, 10)
        self.assertLessEqual(len(asked), 10)


if __name__ == "__main__":
    unittest.main()
