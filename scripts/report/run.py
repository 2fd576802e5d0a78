"""One run folder as the report reads it: plan.json, summary.json, series.json, versions.json, logs/status.json and the
runner's link counters. What is missing or unreadable is said in `troubles`, in words; only a folder that is no run at all
is refused. Formats: results/RECORDS.md.
"""

import hashlib
import json
import os
import pathlib
import shlex
import struct

HELD, FAILED, INCONCLUSIVE, NONE = "held", "failed", "inconclusive", "none"


class NotARun(Exception):
    pass


class Run:
    def __init__(self, folder):
        self.given = os.fspath(folder)
        self.folder = pathlib.Path(folder)
        self.troubles = []
        if not self.folder.is_dir():
            raise NotARun(f"{folder}: not a folder; give the folder of a run, as `scripts/portolan run` names it")
        self.plan = self._read("plan.json")
        if self.plan is None:
            why = self.troubles[0] if (self.folder / "plan.json").exists() else "it holds no plan.json"
            raise NotARun(f"{folder}: not a run: {why}")
        missing = [key for key in ("harbours", "links", "nodes", "processes", "topics", "faults") if key not in self.plan]
        if missing:
            raise NotARun(f"{folder}: not a run: plan.json lacks {', '.join(missing)}")
        for fault in self.plan["faults"]:
            fault["kind"] = fault["kind"].replace("_", "-")
        self.summary = self._read("summary.json", "the run was not judged: it ended before the checker wrote its summary") or {}
        self.series = self._read("series.json", "the timeline and the distributions cannot be drawn") or {}
        self.versions = self._read("versions.json", "tools and binaries are not known") or self.summary.get("versions") or {}
        self.statuses = self._read("logs/status.json") or {}
        self.links = self._link_counters()
        self.plan_sha256 = hashlib.sha256((self.folder / "plan.json").read_bytes()).hexdigest()
        self.name = self.plan.get("name") or self.folder.name
        self.title = self.plan.get("title") or self.name

    def _read(self, name, meaning=None):
        path = self.folder / name
        try:
            found = json.loads(path.read_bytes())
            if isinstance(found, dict):
                return found
            self.troubles.append(f"{name} is not a JSON object" + (f"; {meaning}" if meaning else ""))
        except FileNotFoundError:
            if meaning:
                self.troubles.append(f"{name} is missing; {meaning}")
        except OSError as error:
            self.troubles.append(f"{name} cannot be read ({error.strerror})" + (f"; {meaning}" if meaning else ""))
        except ValueError:
            self.troubles.append(f"{name} is damaged (no valid JSON)" + (f"; {meaning}" if meaning else ""))
        return None

    def _link_counters(self):
        try:
            return link_counters(self.folder / "records" / "runner.rec")
        except FileNotFoundError:
            self.troubles.append("records/runner.rec is missing; losses by link are not known")
        except (OSError, ValueError) as error:
            self.troubles.append(f"records/runner.rec cannot be read ({error}); losses by link are not known")
        return {}

    @property
    def verdict(self):
        word = self.summary.get("verdict")
        return word if word in (HELD, FAILED, INCONCLUSIVE) else NONE

    @property
    def families(self):
        return self.summary.get("families") or []

    @property
    def several_tenants(self):
        return len(self.plan.get("tenants", [])) > 1

    def family_name(self, family):
        return f"{family['family']} ({family['tenant']})" if self.several_tenants else family["family"]

    def option(self, name):
        """An option of the command that made the run: its value, True for a flag, None where it was not given."""
        words = self.versions.get("command") or []
        for i, word in enumerate(words):
            if word == name:
                return words[i + 1] if i + 1 < len(words) and not words[i + 1].startswith("--") else True
            if word.startswith(name + "="):
                return word.partition("=")[2]
        return None

    def replay(self):
        """The command that makes this run again and says what differs; as `scripts/portolan run` prints it."""
        calibration = self.plan.get("calibration") or {}
        conditions = {
            "plan": self.plan_sha256[:16],
            "seed": self.plan.get("seed"),
            "fidelity": self.option("--fidelity") or "lean",
            "calibration": str(calibration.get("sha256") or calibration.get("name") or "none")[:16],
            "commit": self.versions.get("commit"),
            "ns3": self.versions.get("ns3"),
        }
        expect = ",".join(f"{key}={value}" for key, value in conditions.items() if value is not None)
        words = ["scripts/portolan", "run", os.path.join(self.given, "plan.json"), "--expect", expect]
        for name in ("--fidelity", "--wall-limit"):
            if isinstance(self.option(name), str):
                words += [name, self.option(name)]
        if self.option("--twice"):
            words.append("--twice")
        return shlex.join(words)


HEADER, ROW, TEXT, LINK_COUNTERS = 256, 96, 1, 86


def link_counters(path):
    """{link: {direction: {what: value}}} of the runner's record file (results/RECORDS.md, "A file" and "Plan rows")."""
    data = path.read_bytes()
    if data[:8] != b"PRTLREC\n" or len(data) < HEADER:
        raise ValueError("not a record file")
    version, row_bytes = struct.unpack_from("<II", data, 8)
    if version != 1 or row_bytes != ROW:
        raise ValueError(f"record version {version} with rows of {row_bytes} bytes")
    texts, counters = {}, {}
    at = HEADER
    while at + ROW <= len(data):
        kind, = struct.unpack_from("<H", data, at)
        text, = struct.unpack_from("<I", data, at + 20)
        value, = struct.unpack_from("<Q", data, at + 80)
        at += ROW
        if kind == TEXT:
            if value > len(data) - at:
                break
            texts[text] = data[at:at + value].decode(errors="replace")
            at += (value + ROW - 1) // ROW * ROW
        elif kind == LINK_COUNTERS:
            for way in ("a_to_b", "b_to_a"):
                link, found, what = texts.get(text, "").rpartition(f"/{way}/")
                if found:
                    counters.setdefault(link, {}).setdefault(way, {})[what] = value
                    break
            else:
                link, _, what = texts.get(text, "").partition("/")
                counters.setdefault(link, {}).setdefault("", {})[what] = value
    return counters
