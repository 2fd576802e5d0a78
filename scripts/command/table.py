"""What a person reads at the end of a run: the verdict, why, and a line for each topic family."""

WORDS = {0: "HELD", 1: "FAILED", 2: "INCONCLUSIVE", 64: "BAD SCENARIO", 69: "THIS MACHINE CANNOT"}


def invariant_broken(summary):
    return False


def text(plan, summary, code, troubles):
    lines = [f"{WORDS[code]}  {plan.get('name')}  seed {plan['seed']}"]
    lines += troubles
    return "\n".join(lines)
