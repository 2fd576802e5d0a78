"""Set-up and build for the command at hand: only what it needs, once, and never two at a time in one folder.

The folder is build/release; PORTOLAN_BUILD names another (tests under sanitizers do).
"""

import contextlib
import fcntl
import os
import pathlib
import subprocess
import sys

import children
from options import Cannot

ROOT = pathlib.Path(__file__).resolve().parents[2]


def folder():
    return pathlib.Path(os.environ.get("PORTOLAN_BUILD") or ROOT / "build" / "release").resolve()


def given():
    """A folder of programs to use as they are (PORTOLAN_PROGRAMS, for tests): nothing is installed or built."""
    return os.environ.get("PORTOLAN_PROGRAMS")


def program(name):
    return pathlib.Path(given() or folder() / "bin") / name


def setup(groups, yes):
    """Installs the packages of these groups where any is missing."""
    if given():
        return
    status = children.run([ROOT / "scripts" / "setup", *(["--yes"] if yes else []), *groups], foreground=True,
                          stdout=sys.stderr)
    if status:
        raise SystemExit(status)


@contextlib.contextmanager
def locked(path):
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = open(path, "w")
    except OSError as error:
        raise Cannot(f"cannot build in {path.parent}: {error.strerror}; make it writable or set PORTOLAN_BUILD to a folder that is")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if sys.stderr.isatty():
                print("portolan: another command is building; waiting for it", file=sys.stderr)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def cache(build):
    """CMake's cache as a dictionary; empty where there is none."""
    try:
        lines = (build / "CMakeCache.txt").read_text().splitlines()
    except OSError:
        return {}
    pairs = (line.partition("=") for line in lines if ":" in line.partition("=")[0] and not line.startswith(("#", "//")))
    return {key.partition(":")[0]: value for key, _, value in pairs}


def jobs():
    """A job for each core, and at least 1.2 GB of memory for each job: a compiler that is killed helps nobody."""
    available_kb = 1 << 40
    with contextlib.suppress(OSError):
        for line in open("/proc/meminfo"):
            if line.startswith("MemAvailable:"):
                available_kb = int(line.split()[1])
    return max(1, min(len(os.sched_getaffinity(0)), available_kb // 1_200_000))


def configure_words(build, sim, benches):
    """The cmake command that this state needs, or None."""
    known = cache(build)
    words = ["cmake", "--preset", "release", "-B", str(build)]
    if not known or not (build / "build.ninja").exists():
        return words + [f"-DPORTOLAN_SIM={'ON' if sim else 'OFF'}", "-DPORTOLAN_TESTS=OFF",
                        f"-DPORTOLAN_BENCH={'ON' if benches else 'OFF'}"]
    if known.get("CMAKE_HOME_DIRECTORY") != str(ROOT):  # the checkout was moved
        return words + ["--fresh", f"-DPORTOLAN_SIM={'ON' if sim else 'OFF'}", "-DPORTOLAN_TESTS=OFF",
                        f"-DPORTOLAN_BENCH={'ON' if benches else 'OFF'}"]
    if sim and known.get("PORTOLAN_SIM") != "ON":
        return ["cmake", "-B", str(build), "-DPORTOLAN_SIM=ON"]
    if benches and "ON" not in (known.get("PORTOLAN_BENCH"), known.get("PORTOLAN_TESTS")):
        return ["cmake", "-B", str(build), "-DPORTOLAN_BENCH=ON"]
    return None


def step(words, log, title):
    """One build step: seen on a terminal, quiet in a pipe, its whole output in `log` or on the screen if it fails."""
    env = dict(os.environ, NINJA_STATUS="[%f/%t] ")
    if sys.stderr.isatty():
        status = children.run(words, stdout=sys.stderr, env=env, cwd=ROOT)
    else:
        with open(log, "wb") as out:
            status = children.run(words, stdout=out, stderr=out, env=env, cwd=ROOT)
        if status:
            lines = open(log, errors="replace").readlines()
            first = next((at for at, line in enumerate(lines) if line.startswith(("FAILED:", "CMake Error"))), -40)
            sys.stderr.write("".join(lines[first:][:40]))
    if status:
        raise Cannot(f"{title} failed (above); in {folder()}. If sources are unchanged, delete that folder and try again")


def no_work(place, targets):
    status, text = children.capture(["ninja", "-C", place, "-n", *targets], stderr=subprocess.DEVNULL, cwd=ROOT)
    return status == 0 and b"no work to do" in text


def build(targets, sim=False, benches=False):
    """Builds these programs if any source changed; `sim` where ns-3 is needed, `benches` where Google Benchmark is."""
    if given():
        return
    place = folder()
    with locked(place.parent / f".{place.name}.lock"):
        place.mkdir(exist_ok=True)
        words = configure_words(place, sim, benches)
        if words:
            step(words, place / "portolan-configure.log", "configuring")
        if not no_work(place, targets):
            step(["ninja", "-C", str(place), "-j", str(jobs()), *targets], place / "portolan-build.log", "building")
