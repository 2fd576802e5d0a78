"""Numbers and names as people read them. Three significant figures, units with a space, thousands apart."""


def proper(name):
    """A harbour's name as on a map: "le-havre" is Le Havre."""
    return str(name).replace("-", " ").replace("_", " ").title()


def duration(ns, digits=3):
    """Nanoseconds in the unit that fits."""
    if ns is None:
        return "not known"
    ns = int(ns)
    if ns == 0:
        return "0 ms"
    for unit, size in (("s", 10**9), ("ms", 10**6), ("µs", 10**3)):
        if abs(ns) >= size:
            return f"{significant(ns / size, digits)} {unit}"
    return f"{ns} ns"


def significant(value, digits=3):
    """A number in so many significant figures, never with an exponent."""
    if value == 0:
        return "0"
    if abs(value) >= 10**digits:
        return f"{value:,.0f}".replace(",", "\u202f")
    return f"{value:.{digits}g}" if "e" not in f"{value:.{digits}g}" else f"{value:.0f}"


def count(value):
    """A whole number with its thousands apart."""
    return "not known" if value is None else f"{int(value):,}".replace(",", "\u202f")


def size(value):
    """Bytes."""
    if value is None:
        return "not known"
    for unit, step in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if abs(value) >= step:
            return f"{significant(value / step)} {unit}"
    return f"{int(value)} B"


def percent(part, whole):
    """A share that never rounds to what it is not: 99.9997 % stays below 100 %, a little stays above 0 %."""
    if not whole:
        return "none"
    share = 100 * part / whole
    if part in (0, whole):
        return "100 %" if part else "0 %"
    if share > 99.99:
        return "over 99.99 %"
    if 0 < share < 0.01:
        return "under 0.01 %"
    return f"{share:.2f} %" if share >= 99 or share < 10 else f"{share:.1f} %"


def rate(bits_per_second):
    """A link's rate; 0 stands for none set."""
    for unit, step in (("Gbit/s", 1e9), ("Mbit/s", 1e6), ("kbit/s", 1e3)):
        if bits_per_second >= step:
            return f"{significant(bits_per_second / step)} {unit}"
    return f"{bits_per_second:g} bit/s" if bits_per_second else "no limit"


def short(name, most):
    """A name that fits: its end goes."""
    return name if len(name) <= most else name[:most - 1] + "…"


def several(number, one, many=None):
    """"1 harbour", "12 harbours"."""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"


def listing(items, most=6):
    """"a, b and c"."""
    items = [str(item) for item in items]
    if len(items) > most:
        items = items[:most - 1] + [f"{len(items) - most + 1} more"]
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1] if items else ""
