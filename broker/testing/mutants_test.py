#!/usr/bin/env python3
"""Is a broken engine caught? Builds each mutant, runs random faults over it, and expects the oracle to speak within 200
seeds; the engine as it is must hold over the same worlds and seeds.

    mutants_test.py --build DIR [--seeds N] [NAME...]

A mutant is a patch (mutants/NAME.patch) to one source file: it is applied to a copy, the copy is compiled as the build
compiles the original (compile_commands.json) and linked in front of the libraries. So production code carries no hook,
and a patch that no longer fits the source fails here, by name. Patches are applied by their text alone, not by line
numbers: what a hunk removes or leaves must stand in the file exactly once.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
WANTED = {"no-repair-of-the-tail", "cursor-forgotten", "credit-ignored", "gap-swallowed", "slot-freed-early",
          "stale-incarnation-accepted"}


class Stale(Exception):
    """A patch that does not fit its source."""


def read_patch(path):
    """The world that a mutant lives in, the file that it changes, and its hunks as (old, new) texts."""
    lines = path.read_text().split("\n")
    world = next(line.removeprefix("World: ") for line in lines if line.startswith("World: "))
    source = next(line.removeprefix("+++ b/") for line in lines if line.startswith("+++ b/"))
    hunks = []
    for line in lines[next(i for i, line in enumerate(lines) if line.startswith("@@")):]:
        if line.startswith("@@"):
            hunks.append(([], []))
            continue
        if line[:1] in (" ", "-"):
            hunks[-1][0].append(line[1:])
        if line[:1] in (" ", "+"):
            hunks[-1][1].append(line[1:])
    return world, source, [("\n".join(old) + "\n", "\n".join(new) + "\n") for old, new in hunks]


def apply(text, hunks, name, source):
    for old, new in hunks:
        times = len(re.findall("(?=" + re.escape("\n" + old) + ")", text))
        if times != 1:
            raise Stale(f"{name}.patch no longer fits {source}: this stands there {times} times, not once:\n"
                        f"{old}Write the mutant anew for the source as it is.")
        text = text.replace("\n" + old, "\n" + new)
    return text


def compile_command(build, source, copy, output):
    for entry in json.loads((build / "compile_commands.json").read_text()):
        if pathlib.Path(entry["directory"], entry["file"]).resolve() == (ROOT / source).resolve():
            words = shlex.split(entry["command"])
            kept, skip = [], 0
            for word in words:
                if skip:
                    skip -= 1
                elif word in ("-o", "-c", "-MF", "-MT"):
                    skip = word != "-c"
                elif word != "-MD" and not (word.endswith(".cpp") and pathlib.Path(entry["directory"], word).resolve()
                                            == (ROOT / source).resolve()):
                    kept.append(word)
            return kept + ["-w", "-c", str(copy), "-o", str(output)], entry["directory"]
    raise Stale(f"{source} is not in compile_commands.json")


def make(build, link, work, name):
    """The mutant as a program, or the engine as it is (name None)."""
    program = work / (name or "honest")
    objects = []
    if name:
        _, source, hunks = read_patch(HERE / "mutants" / f"{name}.patch")
        copy = work / f"{name}.cpp"
        copy.write_text(apply((ROOT / source).read_text(), hunks, name, source))
        command, folder = compile_command(build, source, copy, work / f"{name}.o")
        subprocess.run(command, cwd=folder, check=True)
        objects = [str(work / f"{name}.o")]
    subprocess.run([link[0], "-o", str(program), link[1], *objects, *link[2:]], cwd=build, check=True)
    return program


def run(program, world, first, last, seconds):
    """(seed reached, exit code, what was said first)"""
    try:
        done = subprocess.run([program, world, str(first), str(last)], capture_output=True, text=True, timeout=seconds)
        code, out = done.returncode, done.stdout
    except subprocess.TimeoutExpired as late:
        code, out = "late", (late.stdout or b"").decode()
    seeds = re.findall(r"^seed (\d+)$", out, re.M)
    said = [line for line in out.split("\n") if line and not line.startswith("seed ")]
    return int(seeds[-1]) if seeds else first, code, said[0] if said else ""


def judge(build, link, work, name, seeds):
    world, _, _ = read_patch(HERE / "mutants" / f"{name}.patch")
    seed, code, said = run(make(build, link, work, name), world, 1, seeds, 120)
    caught = code == 1 and bool(said)
    what = said if caught else f"NOT CAUGHT within {seeds} seeds (exit {code})"
    print(f"{name}: {world}, seed {seed}: {what}", flush=True)
    return caught, world, seed


def own_tests():
    """What is said above of patches."""
    assert apply("x\na\nb\n", [("a\n", "c\n")], "m", "f") == "x\nc\nb\n"
    for text in ("x\nb\n", "x\na\na\n"):
        try:
            apply(text, [("a\n", "c\n")], "m", "f")
        except Stale as error:
            assert "m.patch no longer fits f" in str(error)
        else:
            raise AssertionError("a patch that does not fit was applied")


def main(words):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--seeds", type=int, default=199)
    parser.add_argument("names", nargs="*")
    options = parser.parse_args(words)
    own_tests()
    build = options.build.resolve()
    link = (build / "broker/testing/mutant-link.txt").read_text().split()
    names = options.names or sorted(path.stem for path in (HERE / "mutants").glob("*.patch"))
    failed = not options.names and bool(WANTED - set(names))
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        work = pathlib.Path(folder)
        jobs = {name: pool.submit(judge, build, link, work, name, options.seeds) for name in names}
        reached = {}
        for name, job in jobs.items():
            try:
                caught, world, seed = job.result()
                failed |= not caught
                reached[world] = max(reached.get(world, 1), seed)
            except (Stale, subprocess.CalledProcessError) as error:
                print(f"{name}: {error}")
                failed = True
        honest = make(build, link, work, None)
        for world, last in sorted(reached.items()):
            seed, code, said = run(honest, world, 1, last, 600)
            print(f"the engine as it is: {world}, seeds 1 to {last}: {'held' if code == 0 else f'seed {seed}: {said}'}")
            failed |= code != 0
    print(f"{len(names)} mutants, {time.monotonic() - began:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
