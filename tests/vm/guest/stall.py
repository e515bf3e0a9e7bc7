"""How long the user's program waited beyond its pause, and the machine itself stood still. Pure: times go in."""

from itertools import pairwise

from program import PAUSE_S


def summary(rounds, begun, over):
    """Of the rounds, (began, ended) in monotonic seconds, what lies between these two moments.

    No daemon can help what a scenario does before its leak, nor that all that is left is freed at once when it is taken
    down again. `longest_stall_seconds`: how long after `begun` that was over. Without a round nothing is known: None.
    """
    within = [(max(began, begun), min(ended, over)) for began, ended in rounds if ended > begun and began < over]
    stalls = sorted((max(ended - began - PAUSE_S, 0), ended) for began, ended in within)
    if not stalls:
        return None
    longest, ended = stalls[-1]
    return {
        "rounds": len(stalls),
        "median_ms": round(1000 * stalls[len(stalls) // 2][0], 1),
        "p99_ms": round(1000 * stalls[int(len(stalls) * 0.99)][0], 1),
        "longest_stall_ms": round(1000 * longest, 1),
        "longest_stall_seconds": round(ended - begun, 2),
    }


def stood_still_ms(samples_ns, begun, over):
    """The longest that the probe did not run between these two moments: its samples are monotonic nanoseconds."""
    times = [begun, *(ns / 1e9 for ns in samples_ns if begun < ns / 1e9 < over), over]
    return round(1000 * max(later - earlier for earlier, later in pairwise(times)))
