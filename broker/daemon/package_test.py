"""The Debian package: what is in it installs, runs and is removed again, in a root of its own."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

BUILD = pathlib.Path(os.environ["PORTOLAN_BUILD"])


def call(*words):
    done = subprocess.run([str(w) for w in words], text=True, capture_output=True, timeout=240)
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout


def files_of(root):
    return {"/" + p.relative_to(root).as_posix() for p in root.rglob("*")
            if not p.is_dir() and "var/lib/dpkg" not in p.as_posix()}


@unittest.skipUnless(shutil.which("dpkg-shlibdeps") and os.geteuid() == 0, "needs dpkg-dev, and root for dpkg --root")
class Package(unittest.TestCase):
    def test_it_installs_runs_and_is_removed_cleanly(self):
        with tempfile.TemporaryDirectory() as folder:
            out, root = pathlib.Path(folder) / "deb", pathlib.Path(folder) / "root"
            call("cpack", "--config", BUILD / "CPackConfig.cmake", "-G", "DEB", "-B", out)
            deb, = out.glob("*.deb")
            for name in ("info", "updates", "triggers"):
                (root / "var/lib/dpkg" / name).mkdir(parents=True)
            (root / "var/lib/dpkg/status").touch()
            dpkg = ["dpkg", f"--root={root}", "--force-depends", "--force-script-chrootless",
                    "--log=/dev/null"]
            call(*dpkg, "-i", deb)
            here = files_of(root)
            self.assertLessEqual({"/usr/bin/portolan-broker", "/usr/bin/portolan-client", "/etc/portolan/broker.yaml",
                                  "/lib/systemd/system/portolan-broker.service", "/usr/include/portolan.h",
                                  "/usr/share/doc/portolan/CONFIG.md"}, {p.replace("/usr/lib/systemd", "/lib/systemd") for p in here})
            self.runs(root)
            # What the administrator changed outlives the package, until it is purged.
            with open(root / "etc/portolan/broker.yaml", "a") as config:
                config.write("# mine\n")
            call(*dpkg, "-r", "portolan")
            self.assertEqual({"/etc/portolan/broker.yaml"}, files_of(root))
            call(*dpkg, "-P", "portolan")
            self.assertEqual(set(), files_of(root))

    def runs(self, root):
        config = root / "etc/portolan/broker.yaml"
        text = config.read_text()
        call(root / "usr/bin/portolan-broker", "--config", config, "--check-config")
        state = root / "state"
        state.mkdir()
        mine = root / "mine.yaml"
        mine.write_text(text.replace('"0.0.0.0:7400", "[::]:7400"', f'"127.99.0.{os.getpid() % 250 + 1}:7400"')
                        .replace("/var/lib/portolan", str(state)))
        broker = subprocess.Popen([root / "usr/bin/portolan-broker", "--config", mine], stderr=subprocess.DEVNULL)
        try:
            call(root / "usr/bin/portolan-client", "ping", "--plain", "--count", "3", "--every", "1ms", "--broker",
                 f"127.99.0.{os.getpid() % 250 + 1}:7400")
        finally:
            broker.terminate()
        self.assertEqual(0, broker.wait(20))
        shutil.rmtree(state)
        mine.unlink()


if __name__ == "__main__":
    unittest.main()
