"""The real daemon and client over UDP on loopback: what people type, and what they get."""

import json
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import tempfile
import time
import unittest

BUILD = pathlib.Path(os.environ["PORTOLAN_BUILD"])
BIN = BUILD / "bin"
SLOW = float(os.environ.get("PORTOLAN_SLOW", "1"))  # sanitizers


def address(last):
    """An address of this test process alone: all of 127/8 is loopback."""
    pid = os.getpid()
    return f"127.{64 + (pid >> 16) % 64}.{(pid >> 8) & 255}.{pid & 255}:{7400 + last}"


class Broker:
    def __init__(self, folder, number, listen, peers=(), more="", environment=None):
        self.id, self.listen = number, listen
        self.config = pathlib.Path(folder) / f"{number}.yaml"
        self.log_path = pathlib.Path(folder) / f"{number}.log"
        state = pathlib.Path(folder) / f"{number}.state"  # counted from 1: later starts withhold `received` at first
        state.mkdir()
        lines = [f"id: {number}", f"listen: {json.dumps(listen)}", "security: plain", "limits: thousand_hub",
                 f"state: {state}",
                 "topics: [{filter: '#', retain: 5 s}]", "peers:"]
        lines += [f"  - {{id: {p}, address: '{a}'}}" for p, a in peers] or ["  []"]
        self.config.write_text("\n".join(lines) + "\n" + more)
        self.environment = environment
        self.start()

    def start(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([BIN / "portolan-broker", "--config", self.config], stderr=log,
                                            env={**os.environ, **(self.environment or {})})

    def log(self):
        return self.log_path.read_text()

    def await_log(self, text, times=1):
        until = time.monotonic() + 10 * SLOW
        while self.log().count(text) < times:
            if time.monotonic() > until or self.process.poll() is not None:
                raise AssertionError(f"no '{text}' in the log of broker {self.id}:\n{self.log()}")
            time.sleep(0.01)

    def end(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(10 * SLOW)

    def reach(self, which=0):
        return ["--plain", "--broker", self.listen[which], "--broker-id", str(self.id)]


def client(*words, text=None):
    return subprocess.run([BIN / "portolan-client", *map(str, words)], input=text, text=True, capture_output=True,
                          timeout=60 * SLOW)


class Subscriber:
    def __init__(self, broker, *words, which=0):
        # Into a file: who does not read a pipe stops the program behind it, and its session with it.
        self.out = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen([BIN / "portolan-client", "sub", *words, *broker.reach(which)], text=True,
                                        stdout=self.out, stderr=subprocess.PIPE)
        line = self.process.stderr.readline()
        assert line.startswith("subscribed"), line

    def finish(self):
        _, err = self.process.communicate(timeout=30 * SLOW)
        self.out.seek(0)
        out = self.out.read()
        self.out.close()
        return self.process.returncode, out, err


class WithBrokers(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.brokers = []

    def tearDown(self):
        for broker in self.brokers:
            broker.end(signal.SIGKILL)
        self.folder.cleanup()

    def broker(self, number, listen, **more):
        broker = Broker(self.folder.name, number, listen, **more)
        self.brokers.append(broker)
        return broker

    def pair(self):
        a, b = address(1), address(2)
        one = self.broker(1, [a, "[::1]:0"], peers=[(2, b)])
        two = self.broker(2, [b], peers=[(1, a)])
        one.await_log("session up peer=2")
        two.await_log("session up peer=1")
        return one, two


class Loopback(WithBrokers):
    def test_lines_cross_two_harbours_in_order(self):
        one, two = self.pair()
        subscriber = Subscriber(two, "berth/#", "--count", "200", "--quiet")
        lines = [f"line {i}" for i in range(200)]
        published = client("pub", "berth/7", *one.reach(), text="\n".join(lines))  # the last line has no end
        self.assertEqual((0, ""), (published.returncode, published.stderr))
        code, out, _ = subscriber.finish()
        self.assertEqual((0, lines), (code, out.splitlines()))

    def test_bench_counts_all_that_it_sent_over_two_hops(self):
        one, two = self.pair()
        done = client("bench", "--rate", "500", "--for", "1s", "--size", "256B", "--sub-broker", two.listen[0],
                      "--sub-broker-id", "2", *one.reach())
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)
        self.assertIn("500 published at 500/s, 256 bytes; 0 refused; 500 came, 0 in gaps", done.stdout)
        self.assertRegex(done.stdout, r"p50 [\d.]+ us, p90 [\d.]+ us, p99 [\d.]+ us")

    def test_ipv6_carries_the_same(self):
        one, _ = self.pair()
        found = re.search(r"listening address=(\[::1\]:\d+)", one.log())
        self.assertIsNotNone(found, one.log())
        one.listen[1] = found[1]
        pinged = client("ping", "--count", "3", "--every", "1ms", "--size", "1000B", *one.reach(1))
        self.assertEqual(0, pinged.returncode, pinged.stderr)
        self.assertIn("3 sent, 3 came back", pinged.stdout)

    def test_json_says_who_sent_what_and_a_file_is_one_message(self):
        one, two = self.pair()
        big = pathlib.Path(self.folder.name) / "chart"
        big.write_bytes(bytes(range(256)) * 400)
        subscriber = Subscriber(two, "chart/+", "--count", "2", "--json")
        for words in (["--file", big], []):
            published = client("pub", "chart/a", "--id", "77", *words, *one.reach(), text="Fähre\n")
            self.assertEqual(0, published.returncode, published.stderr)
        code, out, _ = subscriber.finish()
        self.assertEqual(0, code)
        first, second = map(json.loads, out.splitlines())
        self.assertEqual(("message", "chart/a", "77", 1, 102400), tuple(first[k] for k in (
            "kind", "topic", "publisher", "sequence", "bytes")))
        self.assertEqual(big.read_bytes(), bytes.fromhex(first["hex"]))
        self.assertEqual("Fähre", second["text"])
        self.assertGreater(second["incarnation"], first["incarnation"])

    def test_late_joiners_get_what_is_retained(self):
        one, _ = self.pair()
        self.assertEqual(0, client("pub", "berth/1", *one.reach(), text="a\nb\nc\n").returncode)
        late = client("sub", "berth/#", "--replay", "retained", "--count", "3", "--quiet", *one.reach())
        self.assertEqual((0, ["a", "b", "c"]), (late.returncode, late.stdout.splitlines()), late.stderr)

    def test_nmea_keeps_its_own_timing(self):
        one, _ = self.pair()
        path = pathlib.Path(self.folder.name) / "log.nmea"

        def sentence(tenths):
            body = f"GPGLL,5332.0,N,00959.0,E,1200{tenths // 10:02}.{tenths % 10}0,A"
            checksum = 0
            for c in body:
                checksum ^= ord(c)
            return f"${body}*{checksum:02X}\r\n"

        path.write_text(sentence(0) + sentence(3))
        subscriber = Subscriber(one, "nmea", "--count", "2", "--quiet")
        began = time.monotonic()
        published = client("pub", "nmea", "--nmea", path, *one.reach())
        self.assertEqual(0, published.returncode, published.stderr)
        self.assertGreaterEqual(time.monotonic() - began, 0.3)
        self.assertEqual(2, subscriber.finish()[1].count("$GPGLL"))

    def test_a_killed_broker_is_noticed_and_the_library_goes_on(self):
        one = self.broker(1, [address(1)])
        one.await_log("listening")
        subscriber = Subscriber(one, "a", "--count", "1", "--quiet")
        one.end(signal.SIGKILL)
        one.start()
        published = client("pub", "a", *one.reach(), text="after\n")
        self.assertEqual(0, published.returncode, published.stderr)
        code, out, err = subscriber.finish()
        self.assertEqual((0, "after\n"), (code, out))
        self.assertIn("the broker is gone; connecting again", err)

    @unittest.skipIf(SLOW > 1, "a sanitizer's library cannot be loaded into Python")
    def test_the_python_example_of_ten_lines_works(self):
        one = self.broker(1, [address(1)])
        one.await_log("listening")
        example = pathlib.Path(__file__).parents[1] / "library" / "example.py"
        self.assertLessEqual(len(example.read_text().splitlines()), 10)
        done = subprocess.run(["/usr/bin/python3", example, BUILD / "lib" / "libportolan.so", one.listen[0]], text=True,
                              capture_output=True, timeout=60)
        self.assertEqual((0, "greeting/python 1 ahoy\n", ""), (done.returncode, done.stdout, done.stderr))

    def test_the_shipped_configuration_is_valid(self):
        shipped = pathlib.Path(__file__).parents[1] / "daemon" / "broker.yaml"
        checked = subprocess.run([BIN / "portolan-broker", "--config", shipped, "--check-config"], text=True,
                                 capture_output=True)
        self.assertEqual(0, checked.returncode, checked.stderr)

    def test_strangers_datagrams_are_dropped_by_reason_and_nobody_is_disturbed(self):
        one = self.broker(1, [address(1)])
        one.await_log("listening")
        host, port = one.listen[0].rsplit(":", 1)
        subscriber = Subscriber(one, "a", "--count", "500", "--quiet")
        publisher = subprocess.Popen([BIN / "portolan-client", "pub", "a", *one.reach()], stdin=subprocess.PIPE, text=True)
        draw = random.Random(7)
        stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        lengths = (0, 1, 39, 40, 41, 100, 1368, 4072, 5000, 65000)
        for i in range(5000):
            first = bytes([0x10 | i % 16]) if i % 2 else draw.randbytes(1)  # a version that is spoken, every type
            stranger.sendto((first + draw.randbytes(draw.choice(lengths)))[:65000], (host, int(port)))
            if i % 10 == 0:
                publisher.stdin.write(f"{i // 10}\n")
                publisher.stdin.flush()
        publisher.stdin.close()
        self.assertEqual(0, publisher.wait(30 * SLOW))
        code, out, _ = subscriber.finish()
        self.assertEqual((0, [str(i) for i in range(500)]), (code, out.splitlines()))
        stranger.close()
        self.assertEqual(0, one.end())
        dropped = {r: int(n) for r, n in re.findall(r"dropped reason=(\S+) times=(\d+)", one.log())}
        self.assertIn("bad_version", dropped)
        self.assertIn("unknown_session", dropped)
        self.assertGreater(sum(dropped.values()), 1000)
        self.assertRegex(one.log(), r"totals datagrams_in=\d+ .*published_in=500 .*delivered_out=500 ")

    def test_errors_say_what_would_be_right(self):
        nobody = client("ping", "--plain", "--broker", address(9), "--within", "200ms")
        self.assertEqual(69, nobody.returncode)
        self.assertIn("no broker with id 1 answers at " + address(9), nobody.stderr)
        for words, why in ((["ping"], "set `plain`"), (["pong", "--plain"], "valid: pub, sub, ping, bench"),
                           (["sub", "--plain"], "name at least one filter"),
                           (["pub", "a", "--plain", "--lane", "fast"], "valid: realtime, bulk"),
                           (["ping", "--plain", "--every", "5"], "needs a unit"),
                           (["ping", "--plain", "--broker", "here"], "ADDRESS:PORT")):
            wrong = client(*words)
            self.assertEqual((64, True), (wrong.returncode, why in wrong.stderr), wrong.stderr)
        one = self.broker(1, [address(1)])
        one.await_log("listening")
        for words, why in ((["sub", "a//b"], "is refused: bad topic"), (["pub", "a/#"], "refused: bad topic")):
            wrong = client(*words, *one.reach(), text="x\n")
            self.assertIn(why, wrong.stderr)
            self.assertNotEqual(0, wrong.returncode)

    def test_configuration_is_checked_without_running(self):
        path = pathlib.Path(self.folder.name) / "wrong.yaml"
        path.write_text("id: 1\nlisten: localhost\nsecurity: plain\nlimit: sim\n")
        checked = subprocess.run([BIN / "portolan-broker", "--config", path, "--check-config"], text=True,
                                 capture_output=True)
        self.assertEqual(64, checked.returncode)
        lines = checked.stderr.splitlines()
        self.assertEqual(2, len(lines), lines)
        self.assertTrue(lines[0].startswith(f'{path}:2:9: listen: "localhost" is not an address'), lines)
        self.assertTrue(lines[1].startswith(f'{path}:4:1: limit: unknown key; did you mean "limits"?'), lines)
        path.write_text(f"id: 1\nlisten: '{address(1)}'\nsecurity: plain\n")
        checked = subprocess.run([BIN / "portolan-broker", "--config", path, "--check-config"], text=True,
                                 capture_output=True)
        self.assertEqual(0, checked.returncode, checked.stderr)
        self.assertRegex(checked.stdout, r"sessions \(128\): [\d.]+ MiB\n(.*\n)*  in all: \d+[\d.]* MiB")

    def test_an_address_in_use_is_69(self):
        self.broker(1, [address(1)]).await_log("listening")
        second = self.broker(2, [address(1)])
        self.assertEqual(69, second.process.wait(10 * SLOW))
        self.assertIn("Address already in use", second.log())


class Service(WithBrokers):
    """As systemd sees it."""

    def test_ready_watchdog_reload_and_stop_are_told(self):
        path = pathlib.Path(self.folder.name) / "notify"
        inbox = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        inbox.bind(str(path))
        inbox.settimeout(10 * SLOW)
        one = self.broker(1, [address(1)], environment={"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "100000"},
                          more="log: {form: json}\n")

        def until(word):
            while True:
                text = inbox.recv(4096).decode()
                if word in text:
                    return text

        until("READY=1")
        until("WATCHDOG=1")
        one.process.send_signal(signal.SIGHUP)
        self.assertRegex(until("RELOADING=1"), r"MONOTONIC_USEC=\d+")
        until("READY=1")
        self.assertEqual(0, one.end())
        until("STOPPING=1")
        inbox.close()
        events = [json.loads(line) for line in one.log().splitlines()]
        for event in ("starting", "listening", "memory", "reloaded", "draining", "ended"):
            self.assertIn(event, [e["event"] for e in events])

    def test_a_reload_changes_what_it_can_and_names_what_it_cannot(self):
        one = self.broker(1, [address(1)])
        one.await_log("listening")
        right = one.config.read_text()
        one.config.write_text(right.replace("retain: 5 s", "retain: 6 s"))
        one.process.send_signal(signal.SIGHUP)
        one.await_log('not reloaded key=topics why="cannot change while running; restart the broker"')
        one.config.write_text(right + "oops: 1\n")
        one.process.send_signal(signal.SIGHUP)
        one.await_log("the former one stays in force")
        one.config.write_text(right + "log: {level: debug}\n")
        one.process.send_signal(signal.SIGHUP)
        one.await_log("reloaded log.level=debug")
        self.assertEqual(0, client("ping", "--count", "1", *one.reach()).returncode)

    def test_term_tells_peers_and_ends_at_once(self):
        one, two = self.pair()
        self.assertEqual(0, one.end())
        two.await_log("session down peer=1")
        self.assertIn("reason=closed", two.log())

    def test_a_broker_that_is_told_to_end_and_starts_again_loses_nothing(self):
        one, two = self.pair()
        subscriber = Subscriber(two, "a", "--count", "1000", "--quiet")
        publisher = subprocess.Popen([BIN / "portolan-client", "pub", "a", "--finish", "30s", *one.reach()],
                                     stdin=subprocess.PIPE, text=True)
        for i in range(1000):
            publisher.stdin.write(f"{i}\n")
            publisher.stdin.flush()
            if i in (300, 600):
                self.assertEqual(0, (one if i == 300 else two).end())
                (one if i == 300 else two).start()
            time.sleep(0.001)
        publisher.stdin.close()
        self.assertEqual(0, publisher.wait(60 * SLOW))
        code, out, _ = subscriber.finish()
        self.assertEqual((0, [str(i) for i in range(1000)]), (code, out.splitlines()))

    def test_state_counts_incarnations(self):
        one = self.broker(1, [address(1)])
        one.await_log(" incarnation=1 ")
        one.end(signal.SIGKILL)
        one.start()
        one.await_log(" incarnation=2 ")


class OneArchive(unittest.TestCase):
    """The simulator and the daemon run the same object code: the linker is given the same archive for both."""

    def linked(self, program):
        text = (BUILD / "build.ninja").read_text().replace("$\n", "")
        found = re.search(rf"^build bin/{program}: CXX_EXECUTABLE_LINKER\S* (.*)$", text, re.M)
        self.assertIsNotNone(found, program)
        return re.split(r" \|\|? ", found[1])

    def test_sim_broker_and_client_link_the_same_engines(self):
        if not re.search(r"^build bin/portolan-sim:", (BUILD / "build.ninja").read_text(), re.M):
            self.skipTest("built without the simulator")
        parts = {p: " ".join(self.linked(p)[:2]).split() for p in ("portolan-sim", "portolan-broker", "portolan-client")}
        for archive, programs in (("broker/engine/libportolan_engine.a", ("portolan-sim", "portolan-broker")),
                                  ("broker/client/libportolan_client_engine.a", ("portolan-sim", "portolan-client")),
                                  ("broker/session/libportolan_session.a", tuple(parts))):
            for program in programs:
                self.assertIn(archive, parts[program], program)
        for program, inputs in parts.items():  # and no object of an engine beside the archives
            objects = [i for i in inputs if i.endswith(".o") and re.match(r"broker/(engine|client|session|wire)/", i)]
            self.assertEqual([], objects, program)
            names = [pathlib.Path(i).name for i in inputs if i.endswith(".a")]
            self.assertEqual(len(set(names)), len(names), program)


if __name__ == "__main__":
    unittest.main()
