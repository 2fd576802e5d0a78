"""The count that scripts/test ends with: a test that cannot start is a failure, and no skip is hidden."""

import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import tally  # noqa: E402

JUNIT = """<?xml version="1.0"?><testsuite tests="6">
<testcase name="good" status="run"><system-out>[  SKIPPED ] Suite.case (0 ms)
[  SKIPPED ] 1 test, listed below:
[  SKIPPED ] Suite.case</system-out></testcase>
<testcase name="bad" status="fail"><failure message=""/></testcase>
<testcase name="absent" status="notrun"><skipped message="Unable to find executable"/></testcase>
<testcase name="later" status="notrun"><skipped message="SKIP_RETURN_CODE=77"/></testcase>
<testcase name="python" status="run"><system-out>Ran 6 tests

OK (skipped=2)</system-out></testcase>
<testcase name="off" status="disabled"><skipped message="Disabled"/></testcase>
</testsuite>"""


class Tally(unittest.TestCase):
    def test_counts(self):
        with tempfile.NamedTemporaryFile("w", suffix=".xml") as file:
            file.write(JUNIT)
            file.flush()
            passed, failed, skipped = tally.tally(file.name)
        self.assertEqual((2, 2), (passed, failed))
        self.assertEqual([("good", "Suite.case"), ("later", "SKIP_RETURN_CODE=77"), ("python", "a case"), ("python", "a case"),
                          ("off", "Disabled")], skipped)


if __name__ == "__main__":
    unittest.main()
