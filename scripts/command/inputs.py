"""The files that a plan replays, copied into the run folder so that the run can be replayed and judged wherever it is moved.

A plan names them relative to the scenario's folder, and by SHA-256. In a run they lie below inputs/, deep enough that a
leading ../ stays inside.
"""

import pathlib
import shutil

import versions
from options import Usage


def replayed(plan):
    """{path as the plan writes it: SHA-256} of the files that this plan replays."""
    return {load["file"]: load.get("sha256", "") for load in plan.get("loads", []) if load.get("file")}


def nested(folder, files):
    """The folder below `folder`/inputs from which every one of these relative paths stays within it."""
    depth = max((pathlib.PurePath(path).parts.count("..") for path in files), default=0)
    return folder.joinpath("inputs", *["scenario"] * depth)


def origin(plan_or_scenario, files):
    """The folder from which the plan's paths are found: beside a plan of a run, or the scenario's own."""
    here = pathlib.Path(plan_or_scenario).resolve().parent
    for folder in (nested(here, files), here):
        if all((folder / path).is_file() for path in files):
            return folder
    missing = next(path for path in files if not (here / path).is_file())
    raise Usage(f"{plan_or_scenario}: it replays {missing}, which is not in {here}")


def verified(plan, plan_or_scenario):
    """The folder where what is replayed lies now; Usage where a file is missing or is not the one that was planned."""
    files = replayed(plan)
    source = origin(plan_or_scenario, files)
    for path, sha256 in files.items():
        if sha256 and versions.sha256(source / path) != sha256:
            raise Usage(f"{source / path}: not the file that the plan was made with (SHA-256 {sha256})")
    return source


def bring(plan, plan_or_scenario, run):
    """Copies what is replayed into the run; returns the folder from which the plan's paths are found."""
    files = replayed(plan)
    if not files:
        return run
    source, target = verified(plan, plan_or_scenario), nested(run, files)
    target.mkdir(parents=True, exist_ok=True)
    for path in files:
        if pathlib.PurePath(path).is_absolute():
            continue
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        if (target / path).resolve() != (source / path).resolve():
            shutil.copyfile(source / path, target / path)
    return target
