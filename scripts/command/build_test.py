"""The build behind the command: two at once take turns, a moved checkout starts afresh, ns-3 only where needed."""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent), str(pathlib.Path(__file__).resolve().parent / "testing")]
import build  # noqa: E402
import programs  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]

CMAKE = r'''#!/bin/bash
echo "cmake $*" >> "$LOG"
mkdir -p "$PORTOLAN_BUILD"
grep -s -v PORTOLAN_SIM "$PORTOLAN_BUILD/CMakeCache.txt" > "$LOG.cache"
{ cat "$LOG.cache"; echo "CMAKE_HOME_DIRECTORY:INTERNAL=$ROOT"
  case "$*" in *PORTOLAN_SIM=ON*) echo PORTOLAN_SIM:BOOL=ON ;; *) echo PORTOLAN_SIM:BOOL=OFF ;; esac
} > "$PORTOLAN_BUILD/CMakeCache.txt"
touch "$PORTOLAN_BUILD/build.ninja"
'''

NINJA = r'''#!/bin/bash
case " $* " in *" -n "*) [[ -e $PORTOLAN_BUILD/made ]] && echo "ninja: no work to do."; exit 0 ;; esac
echo "begin $$" >> "$LOG"
sleep 0.5
[[ $BROKEN ]] && { echo "x.cpp:1: error: this is the compiler"; exit 1; }
touch "$PORTOLAN_BUILD/made"
echo "end $$" >> "$LOG"
'''


class Build(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.place = self.folder / "build"
        (self.place / "bin").mkdir(parents=True)
        (self.folder / "tools").mkdir()
        for name, text in (("cmake", CMAKE), ("ninja", NINJA)):
            (self.folder / "tools" / name).write_text(text)
            (self.folder / "tools" / name).chmod(0o755)
        self.env = programs.install(self.place / "bin")
        self.env.pop("PORTOLAN_PROGRAMS")
        self.log = self.folder / "log"
        self.env |= {"PORTOLAN_BUILD": str(self.place), "LOG": str(self.log), "ROOT": str(ROOT),
                     "PATH": f"{self.folder / 'tools'}:{os.environ['PATH']}"}
        self.scenario = self.folder / "good.yaml"
        self.scenario.write_text("name: fake\n")

    def start(self, *words, **env):
        return subprocess.Popen([ROOT / "scripts" / "portolan", *map(str, words)], env=self.env | env, text=True,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def done(self, *words, **env):
        child = self.start(*words, **env)
        _, said = child.communicate(timeout=60)
        return child.returncode, said

    def test_two_at_once_take_turns_and_build_once(self):
        children = [self.start("validate", self.scenario) for _ in range(3)]
        for child in children:
            _, said = child.communicate(timeout=60)
            self.assertEqual(0, child.returncode, said)
        kinds = [line.split()[0] for line in self.log.read_text().splitlines()]
        self.assertEqual(["cmake", "begin", "end"], kinds)

    def test_ns3_is_asked_for_only_where_needed(self):
        self.assertEqual(0, self.done("validate", self.scenario)[0])
        self.assertIn("-DPORTOLAN_SIM=OFF", self.log.read_text())
        self.assertEqual(0, self.done("run", self.scenario, "--no-report", "--out", self.folder / "out")[0])
        self.assertIn("-DPORTOLAN_SIM=ON", self.log.read_text())
        calls = len(self.log.read_text().splitlines())
        self.assertEqual(0, self.done("validate", self.scenario)[0])
        self.assertEqual(calls, len(self.log.read_text().splitlines()), "something was done again")

    def test_a_moved_checkout_is_configured_afresh(self):
        self.assertEqual(0, self.done("validate", self.scenario)[0])
        cache = self.place / "CMakeCache.txt"
        cache.write_text(cache.read_text().replace(str(ROOT), "/somewhere/else"))
        self.assertEqual(0, self.done("validate", self.scenario)[0])
        self.assertIn("--fresh", self.log.read_text())

    def test_a_failing_build_is_69_and_shows_the_compilers_words(self):
        status, said = self.done("validate", self.scenario, BROKEN="1")
        self.assertEqual(69, status)
        self.assertIn("this is the compiler", said)

    def test_a_build_folder_that_cannot_be_made_is_69(self):
        status, said = self.done("validate", self.scenario, PORTOLAN_BUILD="/proc/build")
        self.assertEqual(69, status)
        self.assertIn("PORTOLAN_BUILD", said)

    def test_cache_is_read(self):
        (self.place / "CMakeCache.txt").write_text("# x\n//c=d:e\nA:BOOL=ON\nB:STRING=x=y:z\n")
        self.assertEqual({"A": "ON", "B": "x=y:z"}, build.cache(self.place))


if __name__ == "__main__":
    unittest.main()
