"""How long after memory fell below the threshold of `floor` a signal was sent. Pure: the probe's samples go in."""

_FLOOR_SHARE, _FLOOR_MOST_KIB, _FLOOR_SWAP_SHARE = 0.10, 1 << 20, 0.10
"""bustd.toml's defaults for conditions.floor: no scenario changes them."""
_USUAL_GAP_NS = 40_000_000
"""Between two samples there are 20 ms and what they take; what is more, the probe lost at real-time priority."""


def is_below_floor(available, anonymous, swap_free, swap_total):
    """All in KiB. Total is what user space can have, as bustd counts it: what is available and what programs hold."""
    least = min(_FLOOR_SHARE * (available + anonymous), _FLOOR_MOST_KIB)
    return available <= least and swap_free <= _FLOOR_SWAP_SHARE * swap_total


def reaction(series, signal_ns):
    """What to report of the first signal.

    `reaction_ms`: since the first sample of the row below `floor` that the signal ended; None: it came before any.
    `stood_ms`: how much of that even the probe did not run, as it happens where processors are emulated.
    `available_at_signal_mib`: in the last sample before it. A sample is 20 ms long: the time may be that much longer.
    """
    before = [n for n, ns in enumerate(series["ns"]) if ns <= signal_ns]
    if not before:
        return {"reaction_ms": None, "stood_ms": 0, "available_at_signal_mib": None}
    below, stood, later = None, 0, signal_ns
    for n in reversed(before):
        columns = (series[name][n] for name in ("available", "anonymous", "swap_free"))
        if not is_below_floor(*columns, series["swap_total"]):
            break
        below = series["ns"][n]
        stood += max(later - below - _USUAL_GAP_NS, 0)
        later = below
    return {
        "reaction_ms": None if below is None else round((signal_ns - below) / 1e6, 1),
        "stood_ms": round(stood / 1e6, 1),
        "available_at_signal_mib": round(series["available"][before[-1]] / 1024, 1),
    }
