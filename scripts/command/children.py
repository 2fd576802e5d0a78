"""Child processes that never outlive us: each in a process group of its own, ended when we are interrupted or die.

Handlers raise Interrupted in the main thread; whoever waits here ends the child first and passes it on.
"""

import ctypes
import os
import signal
import subprocess
import time

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
    # Where we are killed without a chance to clean up, the kernel asks the child to end.
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
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
    return _run(words, stdout, stderr, limit_s, env, cwd, foreground, tick)[0]


def capture(words, stderr=None, limit_s=None, env=None, cwd=None, tick=None):
    """The same, with what it prints: (status, bytes)."""
    return _run(words, subprocess.PIPE, stderr, limit_s, env, cwd, False, tick)


def _run(words, stdout, stderr, limit_s, env, cwd, foreground, tick):
    child = subprocess.Popen([str(word) for word in words], stdout=stdout, stderr=stderr, env=env, cwd=cwd,
                             stdin=None if foreground else subprocess.DEVNULL,
                             process_group=None if foreground else 0, preexec_fn=_before_exec)
    began = time.monotonic()
    try:
        while True:
            left_s = 1.0 if limit_s is None else limit_s - (time.monotonic() - began)
            try:
                out, _ = child.communicate(timeout=max(0.001, min(1.0, left_s)))
                return (child.returncode if child.returncode >= 0 else 128 - child.returncode), out
            except subprocess.TimeoutExpired:
                if left_s <= 0:
                    raise TookTooLong() from None
                if tick:
                    tick()
    except BaseException:
        if foreground:
            child.terminate()
            child.wait()
        else:
            end(child)
        raise
