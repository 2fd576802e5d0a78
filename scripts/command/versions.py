"""Which tools, kernel, sources and binaries a run was made with: versions.json of each run folder."""

import hashlib
import os
import platform
import subprocess

from build import ROOT, cache, folder


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as data:
        while block := data.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def said(*words):
    """The first line that a program prints, or "unknown"."""
    try:
        out = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    lines = out.stdout.decode(errors="replace").splitlines()
    return lines[0].strip() if out.returncode == 0 and lines else "unknown"


def commit():
    """The commit of the sources, with "+changes" where files differ from it."""
    git = ("git", "-c", f"safe.directory={ROOT}", "-C", str(ROOT))
    name = said(*git, "rev-parse", "--short=12", "HEAD")
    if name == "unknown":
        return name
    return name + ("+changes" if said(*git, "status", "--porcelain", "--untracked-files=no") != "unknown" else "")


def ns3():
    return said("dpkg-query", "-W", "-f", "${Version}", "libns3-dev")


def release():
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "unknown")
    except OSError:
        return "unknown"


def collect(programs):
    """Everything that could make two runs of one plan differ, by name."""
    compiler = cache(folder()).get("CMAKE_CXX_COMPILER", "c++")
    return {
        "commit": commit(),
        "ns3": ns3(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "release": release(),
        "cores": len(os.sched_getaffinity(0)),
        "compiler": said(compiler, "--version"),
        "cmake": said("cmake", "--version"),
        "python": platform.python_version(),
        "build_type": cache(folder()).get("CMAKE_BUILD_TYPE", "unknown"),
        "binaries": {path.name: sha256(path) for path in programs},
    }
