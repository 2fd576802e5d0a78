"""The report as its readers meet it: pictures that show something, a verdict nobody mistakes, missing files said."""

import base64
import contextlib
import csv
import filecmp
import html.parser
import io
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
import unittest.mock

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(HERE), str(HERE / "testing")]
sys.dont_write_bytecode = True

import chart
import compare
import fixture
import labels
import latency
import losses
import report
import run
import split
import timeline
import verdict
import words

BLANK = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYAAAAAYAAjCB0C8AAAAASUVORK5CYII=")
MODULES = (chart, timeline, latency, split, losses, compare)
PICTURES = ("map", "timeline", "latency", "split", "links", "losses")


def problems(value, schema, root, at="$"):
    """What breaks the schema, in the few keywords that summary.schema.json uses."""
    if "$ref" in schema:
        schema = root["definitions"][schema["$ref"].rpartition("/")[2]]
    if "enum" in schema and value not in schema["enum"] or "const" in schema and value != schema["const"]:
        yield f"{at}: {value!r}"
    types = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "null": type(None)}
    wanted = schema.get("type")
    if wanted and not any(isinstance(value, types[t]) and not (t == "integer" and isinstance(value, bool))
                          for t in (wanted if isinstance(wanted, list) else [wanted])):
        yield f"{at}: not of type {wanted}"
    if isinstance(value, dict):
        yield from (f"{at}: lacks {key}" for key in schema.get("required", []) if key not in value)
        for key, item in value.items():
            inner = schema.get("properties", {}).get(key, schema.get("additionalProperties", True))
            if inner is False:
                yield f"{at}: has {key}"
            elif isinstance(inner, dict):
                yield from problems(item, inner, root, f"{at}.{key}")
    if isinstance(value, list) and "items" in schema:
        for i, item in enumerate(value):
            yield from problems(item, schema["items"], root, f"{at}[{i}]")


class Page(html.parser.HTMLParser):
    """Text, headings, tables by caption, images and anything that would be fetched."""

    def __init__(self, text):
        super().__init__()
        self.text, self.captions, self.images, self.fetched, self.classes, self.stack = [], [], [], [], set(), []
        self.open = []
        self.feed(text)
        self.close()
        self.words = re.sub(r"\s+", " ", " ".join(self.text))

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag not in ("meta", "link", "img", "br"):
            self.open.append(tag)
        self.classes |= set((attrs.get("class") or "").split())
        if tag == "img":
            self.images.append(attrs)
        for key in ("src", "href"):
            if key in attrs and tag != "a" and not attrs[key].startswith("data:"):
                self.fetched.append(attrs[key])

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-1:]}"
        self.open.pop()

    def handle_data(self, data):
        if self.open and self.open[-1] == "caption":
            self.captions.append(data)
        if self.open and self.open[-1] not in ("style", "title"):
            self.text.append(data)


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def report(self, *arguments, draw=False):
        """(status, stdout, stderr). Where only words matter, blank pictures save most of the time."""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.ExitStack() as stack:
            stack.enter_context(contextlib.redirect_stdout(out))
            stack.enter_context(contextlib.redirect_stderr(err))
            for module in set(MODULES) - set(MODULES if draw is True else draw or ()):
                stack.enter_context(unittest.mock.patch.object(module, "draw", lambda *given: given[-1].write_bytes(BLANK)))
            try:
                status = report.main(list(map(str, arguments)))
            except SystemExit as stop:
                status = stop.code
        return status, out.getvalue(), err.getvalue()

    def page(self, *arguments, draw=False):
        status, out, self.said = self.report(*arguments, draw=draw)
        self.assertEqual(0, status, self.said)
        return Page(pathlib.Path(out.strip()).read_text())

    def made(self, name="run", plan=None, **more):
        return fixture.write(self.folder / name, plan or fixture.plan(), **more)

    def assert_shows_something(self, path):
        """A picture with ink: many colours, and no band of blank paper over half of it."""
        import matplotlib.image
        pixels = matplotlib.image.imread(path)[..., :3]
        self.assertGreater(pixels.shape[0], 200, path)
        self.assertGreater(pixels.shape[1], 1000, path)
        flat = (pixels * 255).astype(int).reshape(-1, 3)
        self.assertGreater(len(set(map(tuple, flat[::7]))), 40, path)
        inked = (pixels.min(axis=2) < 0.9).any(axis=1)
        self.assertGreater(inked.mean(), 0.5, f"{path}: mostly blank")


class Fixture(Case):
    def test_shaped_as_the_checker_writes(self):
        schema = json.loads((ROOT / "results" / "summary.schema.json").read_text())
        for case in (("held", 0), ("failed", 3), ("inconclusive", 0)):
            summary, _ = fixture.results(fixture.plan(("blue", "green")), *case)
            self.assertEqual([], list(problems(summary, schema, schema)))

    def test_the_validator_can_fail(self):
        schema = json.loads((ROOT / "results" / "summary.schema.json").read_text())
        summary, _ = fixture.results(fixture.plan())
        summary["totals"]["lost"] = "none"
        summary["surprise"] = 1
        del summary["verdict"]
        self.assertEqual(3, len(list(problems(summary, schema, schema))))


class Whole(Case):
    @classmethod
    def setUpClass(cls):
        cls.holder = tempfile.TemporaryDirectory()
        cls.given = fixture.write(pathlib.Path(cls.holder.name) / "run", fixture.plan())
        cls.done = subprocess.run(["/usr/bin/python3", HERE / "report.py", cls.given], capture_output=True, text=True)
        cls.out = cls.given / "report"
        cls.text = (cls.out / "report.html").read_text()
        cls.page = Page(cls.text)

    @classmethod
    def tearDownClass(cls):
        cls.holder.cleanup()

    def test_says_where_it_wrote(self):
        self.assertEqual((0, f"{self.out}/report.html\n", ""), (self.done.returncode, self.done.stdout, self.done.stderr))

    def test_each_picture_shows_something(self):
        for name in PICTURES:
            Case.assert_shows_something(self, self.out / f"{name}.png")

    def test_each_picture_is_embedded_with_words_for_those_who_cannot_see_it(self):
        self.assertEqual(len(PICTURES), len(self.page.images))
        for image in self.page.images:
            self.assertTrue(image["src"].startswith("data:image/png;base64,iVBOR"))
            self.assertGreater(len(image["alt"]), 60)

    def test_fetches_nothing(self):
        self.assertEqual([], self.page.fetched)
        self.assertNotIn("<script", self.text)
        self.assertNotRegex(self.text, r"https?://|url\(|@import")

    def test_verdict_first(self):
        self.assertIn("<title>Held: Three harbours, made up", self.text)
        self.assertIn("Every message arrived: all 2 376 deliveries owed were made, once each and in order.",
                      self.page.words.replace("\u202f", " "))
        self.assertIn("All 3 expectations of the scenario held.", self.page.words)

    def test_all_tables(self):
        for caption in ("Each expectation of the scenario: measured beside its limit", "Latency from the intended time, by topic family",
                        "Time above the floor, by topic family", "Mean parts of a delivery", "Messages and deliveries, by topic family", "By topic",
                        "Links: distance, delay, and what they carried", "Faults: planned, measured", "What the checker decided, rule by rule",
                        "Fullest first", "Counters", "Made with"):
            self.assertIn(caption, self.page.captions)

    def test_each_fault_has_its_story(self):
        for sentence in ("At 4 s the link Hamburg – Rotterdam was cut for 3 s.", "All flowed again 310 ms after it healed.",
                         "At 9 s the link Rotterdam – Le Havre was degraded for 3 s (20 % lost).",
                         "At 14 s the broker of Le Havre was stopped and came back with empty memory 1 s later."):
            self.assertIn(sentence, self.page.words)

    def test_says_that_calibration_is_a_placeholder(self):
        self.assertIn("placeholder figures", self.page.words)

    def test_what_is_needed_to_make_the_run_again(self):
        for word in ("00c0ffee00c0ffee", "51" * 32, "ab" * 32, "0123456789ab", "3.37+dfsg-1+b1", "seed", "--twice"):
            self.assertIn(word, self.page.words)
        self.assertRegex(self.page.words, r"scripts/portolan run \S+/plan.json --expect \S*seed=7,fidelity=lean")

    def test_data_beside_each_picture(self):
        for name in PICTURES:
            self.assertTrue(any(json.loads((self.out / f"{name}.json").read_text()).values()), name)
        with open(self.out / "latency.csv") as file:
            rows = list(csv.DictReader(file))
        self.assertEqual({"berth/+", "radar/+"}, {row["family"] for row in rows})
        self.assertEqual(["0.0", "100.0"], [rows[0]["percentile"], rows[210]["percentile"]])
        with open(self.out / "losses.csv") as file:
            self.assertEqual("dropped", [k for k in next(csv.DictReader(file)) if k == "dropped"][0])
        for link in re.findall(r'<a href="([^"#]+)"', self.text):
            self.assertTrue((self.out / link).is_file(), link)

    def test_nothing_is_left_half_written(self):
        self.assertEqual([], [p.name for p in self.out.iterdir() if ".part" in p.name])

    def test_equal_input_gives_equal_bytes(self):
        with tempfile.TemporaryDirectory() as other:
            subprocess.run(["/usr/bin/python3", HERE / "report.py", self.given, "--out", other], check=True, capture_output=True)
            names = sorted(p.name for p in self.out.iterdir())
            self.assertEqual(names, sorted(p.name for p in pathlib.Path(other).iterdir()))
            self.assertEqual((names, [], []), filecmp.cmpfiles(self.out, other, names, shallow=False))


class Verdicts(Case):
    def test_failed_looks_failed(self):
        page = self.page(self.made(verdict="failed", lost=3))
        self.assertIn("✗ Failed", page.words)
        self.assertIn("failed", page.classes)
        self.assertNotIn("held", page.classes)
        self.assertIn("did not keep what the scenario expects: 3 messages lost", page.words)
        self.assertIn("Rule R1 failed: lost", page.words)
        self.assertIn("sequence 2: owed to rotterdam/main/pilot", page.words)
        self.assertIn("Not every stream flowed again before the run ended.", page.words)

    def test_inconclusive_never_reads_as_held(self):
        page = self.page(self.made(verdict="inconclusive"))
        self.assertIn("? Inconclusive", page.words)
        self.assertIn("proves nothing", page.words)
        self.assertIn("truncated (records/hamburg_main_pilot.1.app.rec)", page.words)
        self.assertNotIn("Every message arrived", page.words)
        self.assertFalse({"held", "well"} & page.classes)

    def test_a_run_that_died_shows_what_there_is(self):
        folder = self.made()
        for name in ("summary.json", "series.json", "versions.json", "records/runner.rec"):
            (folder / name).unlink()
        page = self.page(folder)
        self.assertIn("! No verdict", page.words)
        self.assertIn("none-verdict", page.classes)
        for name in ("summary.json", "series.json", "versions.json", "records/runner.rec"):
            self.assertIn(f"{name} is missing", page.words)
            self.assertIn(f"{name} is missing", self.said)
        self.assertEqual(1, len(page.images))  # the map needs the plan alone
        self.assertIn("At 4 s the link Hamburg – Rotterdam was cut for 3 s.", page.words)
        self.assertNotIn("All flowed again", page.words)

    def test_an_older_reports_pictures_do_not_stay(self):
        folder = self.made()
        self.page(folder)
        (folder / "series.json").unlink()
        self.page(folder)
        self.assertFalse((folder / "report" / "timeline.png").exists())
        self.assertFalse((folder / "report" / "timeline.csv").exists())
        self.assertTrue((folder / "report" / "map.png").exists())

    def test_damaged_files_are_said(self):
        folder = self.made()
        text = (folder / "series.json").read_text()
        (folder / "series.json").write_text(text[:len(text) // 2])
        (folder / "records" / "runner.rec").write_bytes(b"\0" * 500)
        page = self.page(folder)
        self.assertIn("series.json is damaged", page.words)
        self.assertIn("records/runner.rec cannot be read", page.words)
        self.assertIn("No picture: no series were left by the checker.", page.words)
        self.assertIn("✓ Held", page.words)

    def test_a_summary_of_a_run_that_could_not_be_judged(self):
        folder = self.made()
        (folder / "summary.json").write_text(json.dumps({
            "version": 1, "verdict": "inconclusive", "exit": 2, "invariant_broken": False, "reasons": [
                {"rule": "records", "verdict": "inconclusive", "what": "the run cannot be judged", "where": "records", "count": 1,
                 "examples": ["no such folder"], "invariant": False}]}))
        page = self.page(folder)
        self.assertIn("This run proves nothing, neither good nor bad: the run cannot be judged (records).", page.words)
        self.assertIn("no such folder", page.words)

    def test_a_quiet_run_without_faults_or_losses(self):
        plan = fixture.plan(faults=False)
        folder = self.made(plan=plan)
        for name in ("summary", "series"):
            value = json.loads((folder / f"{name}.json").read_text())
            if name == "summary":
                value["repair"] = dict.fromkeys(value["repair"], 0) | {"ratio_permille": None}
            else:
                value["packets_lost"] = value["repair_datagrams"] = [0] * value["bins"]
            (folder / f"{name}.json").write_text(json.dumps(value))
        (folder / "records" / "runner.rec").write_bytes(fixture.records({"links": []}))
        page = self.page(folder)
        self.assertIn("The scenario has no faults.", page.words)
        self.assertIn("No picture: no packet was lost and none was sent again.", page.words)

    def test_nothing_delivered_at_all(self):
        folder = self.made()
        series = json.loads((folder / "series.json").read_text())
        for family in series["families"]:
            family |= {"deliveries": [0] * series["bins"], "latency_cdf": [], "above_floor_cdf": []}
        (folder / "series.json").write_text(json.dumps(series))
        page = self.page(folder)
        self.assertEqual(2, page.words.count("No picture: nothing was delivered."))


class Shapes(Case):
    def test_names_from_a_scenario_cannot_become_markup(self):
        plan = fixture.plan()
        plan["title"] = "<script>alert(1)</script> & co"
        page = self.page(self.made(plan=plan))
        self.assertIn("<script>alert(1)</script> & co", page.words)

    def test_dollar_signs_in_names_are_not_mathematics(self):
        plan = fixture.plan()
        for topic in plan["topics"]:
            topic["family"] = topic["family"].replace("+", "$x_{$")
        self.page(self.made(plan=plan), draw=[timeline, latency, split])

    def test_two_tenants_are_told_apart(self):
        page = self.page(self.made(plan=fixture.plan(("blue", "green"))))
        self.assertIn("By tenant", page.captions)
        self.assertIn("6 brokers and 6 clients in all", page.words)
        self.assertIn("(tenant blue)", page.words)

    def test_a_limit_of_one_tenant_is_not_drawn_in_another_s_panel(self):
        plan = fixture.plan(("blue", "green"))
        about = next(e for e in plan["expectations"] if e["kind"] == "latency-above-floor")
        limits = lambda: [len(latency._limits(given, f)) for f in given.families]
        given = run.Run(self.made(plan=plan))
        self.assertEqual([0, 0, 0, 0], limits())  # of both tenants together
        about["tenant"] = 0
        given = run.Run(self.made(plan=plan))
        self.assertEqual([1, 0, 0, 0], limits())  # berth/+ of blue alone
        about["filter"] = "#"
        given = run.Run(self.made(plan=plan))
        self.assertEqual([0, 0, 0, 0], limits())  # of two families together

    def test_many_families_harbours_and_faults(self):
        plan = fixture.plan()
        for i in range(40):
            plan["harbours"].append({"name": f"port-{i}", "lat_udeg": 50_000_000 + 230_000 * (i % 8), "lon_udeg": 2_000_000 + 400_000 * i, "is_hub": i == 3, "hub": 0, "standby": 0})
            plan["nodes"].append({"name": f"port-{i}/edge", "kind": "edge", "harbour": len(plan["harbours"]) - 1, "tenant": None})
            plan["links"].append(fixture.link(f"hamburg/edge--port-{i}/edge", 0, len(plan["nodes"]) - 1, 2 * fixture.MS))
            plan["topics"].append({"name": f"extra/{i}", "family": f"extra-{i}/a-rather-long-family-name/+/that/goes/on", "tenant": 0, "class": "realtime"})
            plan["faults"].append(fixture.fault(f"pause {i}", "pause", 4 + i % 9, 5 + i % 9, processes=[i % 6]))
        folder = self.made(plan=plan)
        page = self.page(folder, draw=True)
        self.assertIn("Only 8 families are drawn", page.words)
        for name in PICTURES:
            self.assert_shows_something(folder / "report" / f"{name}.png")

    def test_a_thousand_harbours(self):
        plan = fixture.plan()
        for i in range(1000):
            plan["harbours"].append({"name": f"port-{i}", "lat_udeg": 36_000_000 + 29_000 * i, "lon_udeg": -9_000_000 + 317_000 * (i % 97), "is_hub": i % 50 == 0, "hub": 0, "standby": 0})
            plan["nodes"].append({"name": f"port-{i}/edge", "kind": "edge", "harbour": len(plan["harbours"]) - 1, "tenant": None})
            plan["links"].append(fixture.link(f"hamburg/edge--port-{i}/edge", 0, len(plan["nodes"]) - 1, 2 * fixture.MS))
        began = time.process_time()
        chart.draw(plan, self.folder / "map.png")
        self.assertLess(time.process_time() - began, 20)
        self.assert_shows_something(self.folder / "map.png")

    def test_one_harbour_alone(self):
        plan = fixture.plan(faults=False)
        plan["links"] = [link for link in plan["links"] if link["model"] == "veth"][:1]
        plan["nodes"] = [dict(node, harbour=0) for node in plan["nodes"]]
        plan["harbours"] = plan["harbours"][:1]
        self.page(self.made(plan=plan), draw=True)

    def test_without_coastlines_the_map_says_so(self):
        import coast
        coast.rings.cache_clear()
        self.addCleanup(coast.rings.cache_clear)
        with unittest.mock.patch.object(coast, "BINNED", "/nowhere/{}.nc"):
            self.assertEqual(coast.MISSING, chart.draw(fixture.plan(), self.folder / "map.png"))
        self.assert_shows_something(self.folder / "map.png")

    def test_several_runs_side_by_side(self):
        one, two = self.made("one"), self.made("two", verdict="failed", lost=2)
        page = self.page(one, two, "--out", self.folder / "both", draw=[compare])
        self.assertIn("2 runs side by side", page.words)
        self.assertIn("Time above the floor by topic family", page.captions)
        self.assertNotIn("not of one scenario", page.words)
        self.assertNotIn("did not do the same", page.words)
        self.assertEqual(1 + 2 * len(PICTURES), len(page.images))
        self.assert_shows_something(self.folder / "both" / "compare.png")
        self.assertTrue((self.folder / "both" / "2-two-map.png").is_file())
        self.assertIn("✓ Held", page.words)
        self.assertIn("✗ Failed", page.words)

    def test_one_plan_with_two_traces_is_said(self):
        one, two = self.made("one"), self.made("two")
        text = (two / "summary.json").read_text()
        (two / "summary.json").write_text(text.replace("00c0ffee00c0ffee", "00c0ffee00c0ffef"))
        self.assertIn("One plan, but different trace hashes", self.page(one, two, "--out", self.folder / "both").words)

    def test_runs_that_died_side_by_side(self):
        one, two = self.made("one"), self.made("two")
        for folder in (one, two):
            (folder / "summary.json").unlink()
        page = self.page(one, two, "--out", self.folder / "both")
        self.assertIn("No picture: none of these runs delivered anything.", page.words)


class Refusals(Case):
    def test_not_a_run(self):
        (self.folder / "empty").mkdir()
        (self.folder / "bad").mkdir()
        (self.folder / "bad" / "plan.json").write_text("{")
        (self.folder / "other").mkdir()
        (self.folder / "other" / "plan.json").write_text('{"name": "x"}')
        for name, why in (("absent", "not a folder"), ("empty", "it holds no plan.json"), ("bad", "plan.json is damaged"),
                          ("other", "plan.json lacks harbours")):
            done = self.report(self.folder / name)
            self.assertEqual((64, ""), done[:2], name)
            self.assertIn(why, done[2])
            self.assertEqual(1, done[2].count("\n"))

    def test_bad_usage(self):
        for words_ in ((), ("--out",), (self.folder, "--surprise")):
            status, _, said = self.report(*words_)
            self.assertEqual(64, status)
            self.assertIn("usage: report.py RUN... [--out DIR]", said)

    def test_a_folder_that_cannot_be_written(self):
        (self.folder / "file").write_text("")
        status, _, said = self.report(self.made(), "--out", self.folder / "file" / "below")
        self.assertEqual(69, status)
        self.assertIn("cannot write", said)
        self.assertIn("--out", said)
        self.assertNotIn("Traceback", said)

    def test_a_full_disk(self):
        done = subprocess.run(["sh", "-c", 'ulimit -f 20; exec /usr/bin/python3 "$0" "$1"', HERE / "report.py", self.made()], capture_output=True, text=True)
        self.assertEqual(69, done.returncode, done.stderr)
        self.assertIn("cannot write", done.stderr)
        self.assertFalse((self.folder / "run" / "report" / "report.html").exists())
        self.assertEqual([], [p.name for p in (self.folder / "run" / "report").iterdir() if ".part" in p.name])


class Parts(unittest.TestCase):
    def test_durations(self):
        self.assertEqual(["0 ms", "850 ns", "1.5 µs", "4.27 ms", "999 ms", "63 s", "1.17 s", "-1.5 s"],
                         [words.duration(ns) for ns in (0, 850, 1500, 4_270_000, 999_000_000, 63 * 10**9, 1_170_393_000, -1_500_000_000)])

    def test_a_share_is_never_rounded_to_all_or_nothing(self):
        self.assertEqual(["100 %", "over 99.99 %", "99.50 %", "0 %", "under 0.01 %", "none"],
                         [words.percent(a, b) for a, b in ((9, 9), (999_999, 10**6), (995, 1000), (0, 7), (1, 10**6), (0, 0))])

    def test_an_expectation_that_never_came_true(self):
        self.assertEqual(["never", "not measurable", "1.17 s", "2 times"],
                         [verdict.shown(2**63 - 1, "ns"), verdict.shown(None, "ns"), verdict.shown(1_170_000_000, "ns"), verdict.shown(2000, "permille")])

    def test_link_counters_of_a_truncated_file(self):
        data = fixture.records(fixture.plan())
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "runner.rec"
            path.write_bytes(data)
            whole = run.link_counters(path)
            self.assertEqual({"packets": 5000, "bytes": 900_000, "queue_bytes_max": 70_000, "dropped/loss": 9, "dropped_bytes/loss": 11_000,
                              "dropped/cut": 12, "dropped_bytes/cut": 9_000}, whole["hamburg/edge--rotterdam/edge"]["a_to_b"])
            self.assertEqual("Le Havre → Rotterdam", losses.arrow({"link": "rotterdam--le-havre", "way": "b_to_a"}))
            for size in range(256, len(data), 96 * 3 + 7):
                path.write_bytes(data[:size])
                run.link_counters(path)  # what is there, and no exception
            for wrong in (b"", b"PRTLREC\n", b"x" * 400, data[:8] + b"\2" + data[9:]):
                path.write_bytes(wrong)
                with self.assertRaises(ValueError):
                    run.link_counters(path)

    def test_labels_do_not_cover_each_other(self):
        placer = labels.Placer((0, 0, 1000, 800))
        boxes = []
        for i in range(25):
            at = placer.beside(500 + 9 * (i % 5), 400 + 9 * (i // 5), 60, 14, 8)
            if at:
                boxes.append((at[0] - 30, at[1] - 7, at[0] + 30, at[1] + 7))
        self.assertGreater(len(boxes), 8)
        first = boxes[:8]
        self.assertEqual(0, sum(labels.overlap(a, b) for i, a in enumerate(first) for b in first[:i]))

    def test_a_link_bends_round_a_third_harbour(self):
        line = labels.bend((0, 0), (200, 0), [(100, 0)], 12)
        self.assertGreater(min(((x - 100) ** 2 + y ** 2) ** 0.5 for x, y in line), 12)
        straight = labels.bend((0, 0), (200, 0), [(100, 90)], 12)
        self.assertEqual(0, abs(straight[:, 1]).max())


if __name__ == "__main__":
    unittest.main()
