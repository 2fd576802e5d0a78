"""README.md tells the truth: its verbs, options, scenario and paths are those that exist."""

import pathlib
import re
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import options  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()


class Readme(unittest.TestCase):
    def test_verbs_and_options(self):
        for verb in options.VERBS:
            self.assertIn(f"scripts/portolan {verb} ", README)
        told = set(re.findall(r"^\| `(--[a-z-]+)", README, re.M)) | set(re.findall(r"`(--on|--fidelity) [a-z]+`", README))
        self.assertEqual(set(options.VERBS["run"][3]), told)

    def test_the_scenario_is_the_shipped_one(self):
        shown = re.search(r"```yaml\n(.*?)```", README, re.S)[1]
        self.assertTrue((ROOT / "scenarios" / "quickstart.yaml").read_text().rstrip().endswith(shown.rstrip()))

    def test_what_it_names_exists(self):
        text = README + (ROOT / "ARCHITECTURE.md").read_text()
        names = set(re.findall(r"\]\(([^)#]+)\)", text)) | set(re.findall(r"`((?:scripts|scenarios|results|broker|bpf|sim)/[\w./-]+)`", text))
        names |= {name for name in re.findall(r"(?:scripts|scenarios)/[\w-]+\.(?:yaml|py)", text)}
        self.assertGreater(len(names), 10)
        self.assertEqual([], sorted(name for name in names if not (ROOT / name).exists()))


if __name__ == "__main__":
    unittest.main()
