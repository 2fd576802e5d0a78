"""The table at the end of a run: one line for each topic family, from summary.json (results/summary.schema.json)."""

HEAD = ("topic", "published", "owed", "delivered", "lost", "gaps", "p50", "p99", "above floor p50", "p99", "max")


def span(ns):
    """Nanoseconds in the unit that reads best, to three figures."""
    for unit, size in (("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000)):
        if abs(ns) >= size:
            return f"{ns / size:.3g} {unit}"
    return f"{ns:.0f} ns"


def row(family, several_tenants):
    counts, latency, above = family["counts"], family["latency"], family["above_floor"]
    name = family["family"] + (f" ({family['tenant']})" if several_tenants else "")
    figures = [latency["p50_ns"], latency["p99_ns"], above["p50_ns"], above["p99_ns"], above["max_ns"]]
    return (name, *(str(counts[key]) for key in ("published", "owed", "delivered", "lost", "gaps")),
            *(span(ns) if latency["count"] else "-" for ns in figures))


def text(summary):
    """The table; empty where nothing was judged."""
    families = summary.get("families") or []
    several = len({family["tenant"] for family in families}) > 1
    rows = [HEAD, *(row(family, several) for family in families)]
    widths = [max(len(cells[at]) for cells in rows) for at in range(len(HEAD))]
    lines = ["  ".join([cells[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(cells[1:], widths[1:]))])
             for cells in rows]
    return "\n".join(lines) + "\n" if families else ""
