#!/usr/bin/env python3
"""Holds the seven rooms to the design's table: fails on an #include or a link that is no edge of it.

    scripts/check_edges.py [--root DIR] [--graph build/.../link-graph.txt]

EDGES is the table of ARCHITECTURE.md; the longest folder that holds a file is its room. A room may always use itself.
Exit codes: 0 clean, 1 a forbidden edge (each printed as file:line), 64 bad usage.
"""

import argparse
import pathlib
import re
import sys

BASE = "scenarios/base"  # errors, hash, exact arithmetic: a leaf for all but the engines and the kernel
READ = "scenarios/read"  # YAML with positions, quantities, diagnostics: a leaf above base
EDGES = {
    "bpf/layout": set(),
    "bpf": {"bpf/layout"},
    "broker": {"bpf", "bpf/layout"},
    # The real hosts: sockets and their loop; the client library over it; the programs.
    "broker/udp": {"broker", "bpf/layout", BASE},
    "broker/library": {"broker", "bpf/layout", "broker/udp", BASE},
    "broker/daemon": {"broker", "bpf", "bpf/layout", "broker/udp", "results/record", READ, BASE},
    "broker/peers": {"broker/library", BASE},
    "broker/program": {"broker/library", "scenarios/load", READ, BASE},
    BASE: set(),
    READ: {BASE},
    "scenarios": {BASE, READ, "scenarios/plan", "scenarios/load"},
    "scenarios/plan": {BASE},
    "scenarios/load": {BASE, "scenarios/plan"},
    "results/record": {BASE},
    "results": {BASE, "results/record", "scenarios/plan", "scenarios/load"},
    "sim/link": {BASE, "scenarios/plan"},
    "sim": {BASE, "sim/link", "broker", "bpf", "bpf/layout", "scenarios", "scenarios/plan", "scenarios/load",
            "results/record"},
    "emu": {BASE},
    "emu/wire": {BASE, "sim/link", "scenarios/plan"},
    "emu/load": {BASE, "broker", "broker/udp", "broker/library", "bpf/layout", "scenarios/load", "scenarios/plan", "results/record"},
    "scripts": set(),
}

# Same seed, same bytes: these rooms ask no clock (calendar arithmetic of <chrono> is fine) and keep no hidden order.
PURE = {"broker", "sim/link", "scenarios/load"}
CLOCK = re.compile(r"_clock::now\b|\b(clock_gettime|gettimeofday|timespec_get|clock|time)\s*\((NULL|nullptr|CLOCK_|&)")

# Foreign headers and libraries that belong to some rooms only: (what, pattern, rooms, also tests?).
SOCKETS = r"(sys/(socket|epoll|un)|netinet/.*|arpa/.*|net/.*|poll|netdb|linux/(if_.*|netlink|udp|ip))\.h"
FOREIGN = [
    ("ns-3", r"ns3/.*", {"sim"}, True),
    ("libbpf", r"(bpf/(libbpf|bpf|btf|xsk).*|xdp/.*|linux/bpf.*)\.h", {"bpf", "bpf/layout", "broker/daemon"}, True),
    ("a socket header", SOCKETS, {"bpf", "broker/udp", "broker/library", "broker/daemon", "broker/program", "broker/peers", "emu", "emu/wire", "emu/load"}, True),
    ("a thread, a random source or an unordered container",
     r"(thread|mutex|condition_variable|future|random|unordered_map|unordered_set)", set(EDGES) - PURE, False),
]
FOREIGN_LIBRARIES = [("ns-3", r"(lib)?ns3.*", {"sim"}), ("libbpf", r"(-l|lib)?(bpf|xdp)\b.*", {"bpf", "broker/daemon"})]

SOURCES = {".c", ".h", ".cpp", ".hpp", ".cc", ".hh", ".inc"}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
TEST = re.compile(r"_(test|bench|fuzz)\.cpp$|(^|/)testing/")


def room_of(path):
    """The room of a path relative to the top; None for files at the top."""
    parts = path.split("/")
    for length in (2, 1):
        room = "/".join(parts[:length])
        if len(parts) >= length and room in EDGES:
            return room
    return None


def may(source, target):
    return source == target or target in EDGES[source]


def check_include(name, bracket, header, root):
    """What is wrong with one #include, in words, or None."""
    source = room_of(name)
    if ".." in header.split("/"):
        return f'"{header}": include from the top of the repository, without ..'
    for what, pattern, rooms, in_tests in FOREIGN:
        if re.fullmatch(pattern, header) and source not in rooms and (in_tests or not TEST.search(name)):
            return f"<{header}>: {what} is not for {source}/ (only {', '.join(sorted(rooms))})"
    if header.startswith("ns3/") and header.endswith("-module.h"):
        return f"<{header}>: include ns-3's single headers"
    if bracket == "<" or not (root / header).is_file():
        if bracket == '"' and (root / name).parent.joinpath(header).is_file():
            return f'"{header}": include from the top of the repository'
        return None
    target = room_of(header)
    if target and not may(source, target):
        return f'"{header}": {source}/ may not use {target}/'
    return None


def check_includes(root):
    for room in sorted({room.split("/")[0] for room in EDGES}):
        for path in sorted((root / room).rglob("*")):
            name = path.relative_to(root).as_posix()
            if path.suffix not in SOURCES or not path.is_file() or room_of(name) is None:
                continue
            for number, text in enumerate(path.read_text(errors="replace").splitlines(), 1):
                found = INCLUDE.match(text)
                wrong = found and check_include(name, found[1], found[2], root)
                if not wrong and room_of(name) in PURE and not TEST.search(name) and CLOCK.search(text.split("//")[0]):
                    wrong = f"{room_of(name)}/ may not ask a clock: time is an argument"
                if wrong:
                    yield f"{name}:{number}: {wrong}"


def check_links(graph):
    targets = {}
    for line in graph.read_text().splitlines():
        name, folder, libraries = line.split("|", 2)
        names = [re.sub(r"^\$<LINK_ONLY:(.*)>$", r"\1", word) for word in libraries.split(";") if word]
        targets[name] = (folder, names)
    for name, (folder, libraries) in sorted(targets.items()):
        source = room_of(folder)
        if source is None:
            continue
        for library in libraries:
            library = library.removeprefix("portolan::")
            if library in targets:
                target = room_of(targets[library][0])
                if target and not may(source, target):
                    yield f"{folder}/CMakeLists.txt: {name} links {library}: {source}/ may not use {target}/"
                continue
            for what, pattern, rooms in FOREIGN_LIBRARIES:
                if re.fullmatch(pattern, library.split("/")[-1].split("::")[0]) and source not in rooms:
                    yield f"{folder}/CMakeLists.txt: {name} links {library}: {what} is not for {source}/"


def main(words):
    parser = argparse.ArgumentParser(description="Fails on an edge between rooms that the design does not have.")
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parents[1])
    parser.add_argument("--graph", type=pathlib.Path)
    options = parser.parse_args(words)
    wrong = list(check_includes(options.root))
    if options.graph:
        wrong += check_links(options.graph)
    print("\n".join(wrong) if wrong else "every edge is in the table")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
