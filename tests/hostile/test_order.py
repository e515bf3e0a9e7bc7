"""A request that is wrong in every way is refused for the first fault: the monitor's next step rests on the reason."""

import subprocess

import pytest

from bustd_killer.checks import own_pids
from bustd_protocol.messages import Reason
from bustd_shared.rules.protection import Protection
from tests.support.honest import all_survive, dies_of, request_for
from tests.support.in_process import guard, kills

pytestmark = pytest.mark.attack("a captured monitor")

ELSEWHERE = 2**22


def test_the_checks_are_made_in_their_order(
    victim: subprocess.Popen[bytes], bystander: subprocess.Popen[bytes]
) -> None:
    """As one fault after the other is corrected, the next one shows, and at last the request is granted."""
    honest = request_for(victim.pid)
    request = honest._replace(start_ticks=0, claimed_bytes=2**60)
    rules = guard(available_percent=100, protection=Protection(names=(b"leak",)), burst=1)
    rules = rules._replace(own=own_pids(victim.pid, ELSEWHERE, ELSEWHERE))
    with kills(burst=1) as slot, all_survive(bystander):
        assert slot.answer(request._replace(pid=ELSEWHERE), rules, 0).verdict.reason is Reason.GONE
        assert slot.answer(request, rules, 0).verdict.reason is Reason.SELF
        rules = rules._replace(own=own_pids(ELSEWHERE, ELSEWHERE, ELSEWHERE))
        assert slot.answer(request, rules, 0).verdict.reason is Reason.START_TIME
        request = request._replace(start_ticks=honest.start_ticks)
        assert (
            slot.answer(
                request, rules._replace(policy=rules.policy._replace(only_descendants_of=victim.pid)), 0
            ).verdict.reason
            is Reason.OUTSIDE
        )
        assert slot.answer(request, rules, 0).verdict.reason is Reason.PROTECTED
        rules = rules._replace(policy=rules.policy._replace(protection=Protection()))
        assert slot.answer(request, rules, 0).verdict.reason is Reason.SHRUNK
        request = request._replace(claimed_bytes=honest.claimed_bytes)
        assert slot.answer(request, rules, 0).verdict.reason is Reason.NOT_SHORT
        short = guard(burst=1)
        assert slot.answer(request, short, 0).verdict.reason is Reason.NONE
        assert dies_of(victim)
        # The kill in flight and the rate are checked before the process.
        other = request_for(bystander.pid, start_ticks=0)
        assert slot.answer(other, short, 1).verdict.reason is Reason.BUSY
        slot.follow(2, short)
        assert slot.answer(other, short, 3).verdict.reason is Reason.RATE
