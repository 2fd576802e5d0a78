"""Watching a broker: the alerts fire and stay quiet where they must, and every query of alerts and dashboard is answered by a
real Prometheus that scrapes a real broker with traffic."""

import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.parse
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import make_dashboard  # noqa: E402
import yaml  # noqa: E402

BIN = pathlib.Path(os.environ["PORTOLAN_BUILD"]) / "bin"
SLOW = float(os.environ.get("PORTOLAN_SLOW", "1"))  # sanitizers
RARE = ("topk", "> 0", "portolan_grants_total")  # nothing to show is a good answer


def free_port(kind):
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Rules(unittest.TestCase):
    def test_each_alert_fires_and_stays_quiet(self):
        done = subprocess.run(["promtool", "test", "rules", HERE / "alerts_test.yaml"], capture_output=True, text=True, cwd=HERE)
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)
        rules = yaml.safe_load((HERE / "alerts.yaml").read_text())["groups"][0]["rules"]
        tests = yaml.safe_load((HERE / "alerts_test.yaml").read_text())["tests"]
        for rule in rules:
            cases = [(t, c) for t in tests for c in t["alert_rule_test"] if c["alertname"] == rule["alert"]]
            self.assertTrue(any(c.get("exp_alerts") for _, c in cases), f"{rule['alert']} fires in no test")
            quiet = any(not c.get("exp_alerts") for _, c in cases)
            others = any(c.get("exp_alerts") and len({s["series"].split("}")[0] for s in t["input_series"]}) > len(c["exp_alerts"])
                         for t, c in cases)
            self.assertTrue(quiet or others, f"{rule['alert']} is quiet in no test")

    def test_a_rule_that_never_fires_is_caught(self):
        with tempfile.TemporaryDirectory() as folder:
            text = (HERE / "alerts.yaml").read_text()
            self.assertIn("== 0", text)
            (pathlib.Path(folder) / "alerts.yaml").write_text(text.replace("== 0", "== 2", 1))
            shutil.copy(HERE / "alerts_test.yaml", folder)
            done = subprocess.run(["promtool", "test", "rules", "alerts_test.yaml"], capture_output=True, text=True, cwd=folder)
            self.assertNotEqual(0, done.returncode)

    def test_the_dashboard_is_what_its_script_writes(self):
        self.assertEqual(make_dashboard.dashboard(), json.loads(make_dashboard.FILE.read_text()))


class ForReal(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.udp, self.metrics, self.web = free_port(socket.SOCK_DGRAM), free_port(socket.SOCK_STREAM), free_port(socket.SOCK_STREAM)
        self.start("broker", [BIN / "portolan-broker", "--config", self.broker_config()])
        self.await_text(f"http://127.0.0.1:{self.metrics}/metrics", "portolan_broker_info")

    def start(self, name, words, **more):
        with open(self.folder / f"{name}.log", "wb") as log:
            child = subprocess.Popen([str(w) for w in words], stdin=subprocess.DEVNULL, stdout=log, stderr=log, **more)
        self.addCleanup(lambda: (child.kill(), child.wait()))
        return child

    def broker_config(self):
        path = self.folder / "broker.yaml"
        path.write_text(f"id: 1\nlisten: ['127.0.0.1:{self.udp}']\nsecurity: plain\nlimits: thousand_hub\npeers: []\n"
                        "topics: [{filter: 'ais/#', retain: 5 s}, {filter: 'berth/#', retain: 5 s}]\n"
                        f"metrics: {{listen: '127.0.0.1:{self.metrics}'}}\n")
        return path

    @staticmethod
    def get(url):
        with urllib.request.urlopen(url, timeout=10 * SLOW) as answer:
            return answer.read().decode()

    def await_text(self, url, text, seconds=20):
        until = time.monotonic() + seconds * SLOW
        while True:
            try:
                got = self.get(url)
                if text in got:
                    return got
            except OSError as why:
                got = str(why)
            self.assertLess(time.monotonic(), until, f"no '{text}' at {url}: {got[-500:]}\n" + self.logs())
            time.sleep(0.05)

    def logs(self):
        return "\n".join(f"{p.name}: {p.read_text()[-1000:]}" for p in self.folder.glob("*.log"))

    def traffic(self):
        reach = ["--plain", "--broker", f"127.0.0.1:{self.udp}", "--broker-id", "1"]
        sub = subprocess.Popen([BIN / "portolan-client", "sub", "ais/#", "--count", "50", *reach], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
        self.addCleanup(lambda: (sub.kill(), sub.wait(), sub.stdout.close(), sub.stderr.close()))
        self.assertTrue(sub.stderr.readline().startswith("subscribed"))
        lines = "".join(f"message {i}\n" for i in range(50))
        done = subprocess.run([BIN / "portolan-client", "pub", "ais/7", *reach], input=lines, text=True, capture_output=True,
                              timeout=30 * SLOW)
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertEqual(0, sub.wait(30 * SLOW))

    def test_every_query_is_answered_by_a_real_prometheus(self):
        self.traffic()
        page = self.await_text(f"http://127.0.0.1:{self.metrics}/metrics", 'portolan_messages_received_total{topic="ais/#"} 50')
        self.assertIn('portolan_messages_sent_total{topic="ais/#"} 50', page)
        self.assertIn('portolan_messages_received_total{topic="berth/#"} 0', page)
        self.assertIn('portolan_delivery_seconds_count{topic="ais/#"} 50', page)
        self.assertIn('portolan_delivery_seconds_bucket{topic="ais/#",le="+Inf"} 50', page)
        checked = subprocess.run(["promtool", "check", "metrics"], input=page, text=True, capture_output=True)
        self.assertEqual(0, checked.returncode, checked.stdout + checked.stderr)

        config = self.folder / "prometheus.yml"
        config.write_text("global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
                          f"rule_files: ['{HERE / 'alerts.yaml'}']\n"
                          f"scrape_configs: [{{job_name: portolan, static_configs: [{{targets: ['127.0.0.1:{self.metrics}']}}]}}]\n")
        self.start("prometheus", ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={self.folder / 'tsdb'}",
                                  f"--web.listen-address=127.0.0.1:{self.web}", "--storage.tsdb.retention.time=1h"])
        web = f"http://127.0.0.1:{self.web}"
        # Rates need two scrapes; those of five minutes are answered from then on.
        self.await_text(web + "/api/v1/query?" + urllib.parse.urlencode(
            {"query": "count_over_time(portolan_sessions[1m]) >= 4"}), '"value"', 40)
        queries = [t["expr"].replace("$__rate_interval", "5s").replace("$instance", ".*")
                   for panel in json.loads(make_dashboard.FILE.read_text())["panels"] for t in panel["targets"]]
        self.assertGreater(len(queries), 20)
        for query in queries:
            with self.subTest(query=query):
                answer = json.loads(self.get(web + "/api/v1/query?" + urllib.parse.urlencode({"query": query})))
                self.assertEqual("success", answer["status"])
                if not any(word in query for word in RARE):
                    self.assertTrue(answer["data"]["result"], "nothing answers this query")
        rules = json.loads(self.get(web + "/api/v1/rules"))["data"]["groups"][0]["rules"]
        self.assertEqual(9, len(rules))
        for rule in rules:
            self.assertNotIn(rule["health"], ("err",), rule)
            self.assertEqual("inactive", rule["state"], rule)
        # What an alert asks for is there, though it does not fire: the names in its expression are ones that we tell.
        told = {line.split("{")[0].split(" ")[0] for line in page.splitlines() if not line.startswith("#")}
        for rule in yaml.safe_load((HERE / "alerts.yaml").read_text())["groups"][0]["rules"]:
            for word in rule["expr"].replace("(", " ").replace("{", " ").replace("[", " ").replace(")", " ").split():
                if word.startswith("portolan_"):
                    self.assertIn(word, told)

    def test_a_taken_address_is_said(self):
        second = self.folder / "second.yaml"
        second.write_text((self.folder / "broker.yaml").read_text().replace(str(self.udp), str(free_port(socket.SOCK_DGRAM))))
        done = subprocess.run([BIN / "portolan-broker", "--config", second], capture_output=True, text=True, timeout=20 * SLOW)
        self.assertEqual(69, done.returncode, done.stderr)
        self.assertIn("metrics.listen", done.stderr)


if __name__ == "__main__":
    unittest.main()
