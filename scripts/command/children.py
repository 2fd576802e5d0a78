"""Child processes that never outlive us: each in a process group of its own, ended when we are interrupted or die.

Handlers raise Interrupted in the main thread; whoever waits here ends the child first and passes it on.
"""

import ctypes
import os
import signal
import subprocess
import tempfile

PR_SET_PDEATHSIG = 1
GRACE_S = 5.0


class Interrupted(Exception):
    def __init__(self, signum):
        super().__init__(signal.Signals(signum).name)
        self.signum = signum


class TookTooLong(Exception):
    """The child was still running at its limit and has been ended."""


def catch_signals():
    def handler(signum, _frame):
        # A second signal while we clean up would tear the cleaning: the first has been heard.
        for other in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(other, signal.SIG_IGN)
        raise Interrupted(signum)

    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, handler)


_libc = ctypes.CDLL(None, use_errno=True)


def _before_exec():
    # Where we are killed without a chance to clean up, the kernel ends the child.
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_DFL)


def end(child):
    """Asks, then insists; the whole group, so that nothing is left."""
    for signum in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, signum)
        except ProcessLookupError:
            pass
        try:
            child.wait(GRACE_S)
            break
        except subprocess.TimeoutExpired:
            continue
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def run(words, stdout=None, stderr=None, limit_s=None, env=None, cwd=None, foreground=False, tick=None):
    """Runs a program to its end and returns its exit status (128 + n where a signal ended it).

    `foreground` children share our terminal (they may ask). `tick()` is called about each second while one waits.
    """
    child = subprocess.Popen([str(word) for word in words], stdout=stdout, stderr=stderr, env=env, cwd=cwd,
                             stdin=None if foreground else subprocess.DEVNULL,
                             process_group=None if foreground else 0, preexec_fn=_before_exec)
    waited_s = 0.0
    try:
        while True:
            step_s = 1.0 if limit_s is None else max(0.001, min(1.0, limit_s - waited_s))
            try:
                status = child.wait(step_s)
                return status if status >= 0 else 128 - status
            except subprocess.TimeoutExpired:
                waited_s += step_s
                if tick:
                    tick()
                if limit_s is not None and waited_s >= limit_s:
                    raise TookTooLong() from None
    except BaseException:
        if foreground:
            child.terminate()
            child.wait()
        else:
            end(child)
        raise


def capture(words, **options):
    """(status, stdout bytes); for short commands that print little, or a plan."""
    with tempfile.TemporaryFile() as out:
        status = run(words, stdout=out, **options)
        out.seek(0)
        return status, out.read()
