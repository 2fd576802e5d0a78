"""The dependency test: this tree keeps to the table, and a forbidden edge of each kind is found."""

import os
import pathlib
import tempfile
import unittest

import check_edges

ROOT = pathlib.Path(__file__).resolve().parents[1]


class Tree(unittest.TestCase):
    """A little tree with files of one line each."""

    def found(self, files):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for name, text in files.items():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_text(text + "\n")
            return list(check_edges.check_includes(root))

    def links(self, text):
        with tempfile.TemporaryDirectory() as folder:
            graph = pathlib.Path(folder) / "link-graph.txt"
            graph.write_text(text)
            return list(check_edges.check_links(graph))

    def test_an_edge_of_the_table_is_clean(self):
        self.assertEqual([], self.found({"sim/a.cpp": '#include "broker/engine.hpp"', "broker/engine.hpp": "",
                                         "results/record/r.hpp": "", "sim/b.cpp": '#include "results/record/r.hpp"'}))

    def test_forbidden_includes_are_found(self):
        headers = {"sim/host.hpp": "", "results/check/check.hpp": "", "broker/engine.hpp": "", "scenarios/base/error.hpp": "",
                   "results/record/record.hpp": "", "scenarios/compile/compile.hpp": ""}
        for name, include in (
            ("broker/engine.cpp", '#include "sim/host.hpp"'),
            ("broker/engine.cpp", '#include "scenarios/base/error.hpp"'),
            ("broker/engine.cpp", '#include "results/record/record.hpp"'),
            ("broker/engine.cpp", '#include <ns3/simulator.h>'),
            ("broker/engine.cpp", '#include <bpf/libbpf.h>'),
            ("broker/engine.cpp", '  #  include <sys/socket.h>'),
            ("broker/engine_test.cpp", '#include <netinet/in.h>'),
            ("broker/engine.cpp", '#include <unordered_map>'),
            ("broker/engine.cpp", 'auto now = std::chrono::steady_clock::now();'),
            ("sim/link/link_model.cpp", 'srand(time(nullptr));'),
            ("broker/engine.cpp", '  clock_gettime(CLOCK_MONOTONIC, &t);'),
            ("bpf/load.cpp", '#include "scenarios/base/error.hpp"'),
            ("bpf/layout/wire.h", '#include "broker/engine.hpp"'),
            ("results/record/record.cpp", '#include "results/check/check.hpp"'),
            ("results/check/check.cpp", '#include "broker/engine.hpp"'),
            ("results/check/check.cpp", '#include "scenarios/compile/compile.hpp"'),
            ("sim/host.cpp", '#include "results/check/check.hpp"'),
            ("sim/host.cpp", '#include <ns3/core-module.h>'),
            ("sim/link/link_model.cpp", '#include <ns3/simulator.h>'),
            ("sim/link/link_model.cpp", '#include "broker/engine.hpp"'),
            ("emu/wire/wire.cpp", '#include "broker/engine.hpp"'),
            ("scenarios/load/load.cpp", '#include "results/record/record.hpp"'),
            ("broker/session.cpp", '#include "../sim/host.hpp"'),
            ("broker/session.cpp", '#include "engine.hpp"'),
        ):
            with self.subTest(name=name, include=include):
                found = self.found({**headers, name: "\n" + include})
                self.assertEqual(1, len(found), found)
                self.assertTrue(found[0].startswith(f"{name}:2: "), found)

    def test_tests_of_an_engine_may_have_threads(self):
        self.assertEqual([], self.found({"broker/accept_test.cpp": "#include <thread>"}))

    def test_calendars_and_times_that_are_arguments_are_no_clock(self):
        self.assertEqual([], self.found({"scenarios/load/nmea.cpp": "#include <chrono>\nusing std::chrono::system_clock;",
                                         "broker/engine.hpp": "std::uint64_t time() const;  // clock()"}))

    def test_forbidden_links_are_found(self):
        graph = "portolan_broker|broker|{}\nportolan_check|results/check|\nportolan_link|sim/link|{}\nportolan_sim|sim|ns3::core\n"
        self.assertEqual([], self.links(graph.format("", "")))
        for broker, link in (("$<LINK_ONLY:portolan_check>", ""), ("ns3::core", ""), ("bpf", ""), ("", "portolan_sim"),
                             ("", "/usr/lib/libns3-core.so")):
            with self.subTest(broker=broker, link=link):
                self.assertEqual(1, len(self.links(graph.format(broker, link))))


class ThisTree(unittest.TestCase):
    def test_includes(self):
        self.assertEqual([], list(check_edges.check_includes(ROOT)))

    def test_links(self):
        if "PORTOLAN_BUILD" not in os.environ:
            self.skipTest("no build folder given")
        graph = pathlib.Path(os.environ["PORTOLAN_BUILD"]) / "link-graph.txt"
        self.assertGreater(len(graph.read_text().splitlines()), 5, "the graph is too small to be this project's")
        self.assertEqual([], list(check_edges.check_links(graph)))


if __name__ == "__main__":
    unittest.main()
