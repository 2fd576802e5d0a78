"""JUnit XML where the checker wrote none: one test case, an error (never a skip) unless a rule failed."""

from xml.sax.saxutils import escape, quoteattr

MEANING = {1: "an expectation or invariant failed", 2: "inconclusive", 64: "bad usage or scenario", 69: "this machine cannot"}


def lone(name, code, troubles):
    text = escape("\n".join(troubles))
    message = quoteattr(MEANING.get(code, f"exit {code}"))
    body = {0: "", 1: f"<failure message={message}>{text}</failure>"}.get(code, f"<error message={message}>{text}</error>")
    return ('<?xml version="1.0" encoding="UTF-8"?>\n'
            f'<testsuite name={quoteattr(name)} tests="1" failures="{int(code == 1)}" errors="{int(code not in (0, 1))}" skipped="0">'
            f'<testcase classname="portolan" name="run">{body}</testcase></testsuite>\n')
