"""The requests, from what was decided: what the codec would not take is never made."""

from hypothesis import given
from hypothesis import strategies as st

from bustd_monitor.deciding.actions import Ask, Escalate, Flight
from bustd_monitor.deciding.requests import escalation, kill_request
from bustd_monitor.ranking.family import Family
from bustd_monitor.sensing.kin import Kinship
from bustd_protocol import codec, limits
from bustd_protocol.messages import KillRequest, Scope, Signal, unpacked_members
from tests.unit.monitor.making import GIB, candidate, finding


def test_a_request_is_for_the_candidate_as_the_ranking_knew_it():
    ask = Ask(candidate(101, uid=26, comm=b"x\xff", held_bytes=7, start_ticks=5), finding("stall"), ())
    expected = KillRequest(3, 101, 5, 26, b"x\xff", 7, Signal.TERM, Scope.PROCESS, b"stall", 99)
    assert kill_request(3, ask, [], 99) == expected
    whole = ask._replace(candidate=ask.candidate._replace(scope=Scope.CGROUP, held_bytes=GIB))
    assert kill_request(3, whole, [], 99) == expected._replace(scope=Scope.CGROUP), "it claims what this process holds"


def test_for_a_family_it_claims_what_those_hold_that_the_request_names():
    family = Family(Kinship(7, b"leak"), ((102, 6),), 20 * GIB)
    ask = Ask(candidate(101, held_bytes=GIB)._replace(scope=Scope.GROUP, family=family), finding("floor"), ())
    assert kill_request(3, ask, [(102, 6)], 99).claimed_bytes == 20 * GIB


def test_the_signal_is_what_the_condition_asks_for():
    ask = Ask(candidate(), finding(signal=Signal.KILL), ())
    assert kill_request(1, ask, [], 0).signal is Signal.KILL


def test_an_escalation_is_sigkill_for_the_one_in_flight_by_pid_and_start_time():
    request = escalation(4, Escalate(Flight(101, 5, Signal.TERM), finding("floor", signal=Signal.KILL)), 99)
    assert (request.id, request.pid, request.start_ticks, request.signal) == (4, 101, 5, Signal.KILL)
    assert (request.scope, request.condition) == (Scope.PROCESS, b"floor")
    assert codec.decode(codec.encode(request)) == request


@given(st.binary(max_size=100), st.integers(0, limits.UINT63_MAX), st.sampled_from(["floor", "stall", "pressure"]))
def test_every_request_can_be_sent_whatever_the_process_calls_itself(comm, held_bytes, name):
    ask = Ask(candidate(101, comm=comm, held_bytes=held_bytes), finding(name), ())
    request = kill_request(1, ask, [], GIB)
    assert codec.decode(codec.encode(request)) == request
    assert comm.startswith(request.comm)


@given(st.lists(st.tuples(st.integers(1, limits.PID_MAX), st.integers(0, limits.UINT63_MAX)), max_size=limits.MEMBERS))
def test_the_members_are_named_by_pid_and_start_time(members):
    ask = Ask(candidate(101)._replace(scope=Scope.GROUP), finding("floor"), ())
    request = codec.decode(codec.encode(kill_request(1, ask, members, 0)))
    assert unpacked_members(request.members) == members


def test_the_longest_request_fits_in_a_packet():
    most = [(limits.PID_MAX, limits.UINT63_MAX)] * limits.MEMBERS
    ask = Ask(
        candidate(limits.PID_MAX, comm=b"x" * 64, held_bytes=limits.UINT63_MAX, start_ticks=limits.UINT63_MAX),
        finding("pressure"),
        (),
    )
    assert len(codec.encode(kill_request(limits.ID_MAX, ask, most, limits.UINT63_MAX))) <= limits.PACKET_BYTES
