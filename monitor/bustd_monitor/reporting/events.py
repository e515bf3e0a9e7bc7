"""The table of events: for each its kind, its words, and its fields for the journal (systemd.journal-fields(7)).

packaging/bustd.catalog explains each kind to people; a test compares the two. A MESSAGE_ID never changes its meaning.
"""

from __future__ import annotations

from collections.abc import Callable

from bustd_protocol.messages import Fate, KillRequest
from bustd_shared.daemon.lines import CRITICAL, DEBUG, INFO, NOTICE, WARNING
from bustd_shared.daemon.record import NamedTuple

from ..deciding import actions, events
from ..deciding.events import Event
from ..ranking.order import Candidate
from ..sensing.processes import Process
from ..sensing.reading import Reading
from . import connection, sentences, unread

TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Any

Fields = tuple[tuple[str, "int | str | bytes"], ...]
"""Names of fields without BUSTD_, and their values. A name may occur more than once."""


CANDIDATE = "CANDIDATE"
"""The field that an entry can do without, where it would be too long."""


class Kind(NamedTuple):
    """What an administrator tells apart. `level`: of syslog(3). `message_id`: 128 random bits in hexadecimal."""

    name: str
    message_id: str
    level: int


STARTED = Kind("started", "90080b5e88984a669fd7c636426fd0de", NOTICE)
READ_AGAIN = Kind("settings read again", "a97120da89694a5d828cbea2ce652690", NOTICE)
STOPPING = Kind("stopping", "d0772084fa5546f7866217c2d7850771", NOTICE)
READY = Kind("ready", "dfbdabdf9c674aba93515e39174534de", NOTICE)
NOT_PROTECTED = Kind("not protected", "89cb0eecabe94a12ac788ff01adad6e3", CRITICAL)
WARNED = Kind("settings to look at", "2e92a9698f9b4d8895866b438fccab78", NOTICE)
NOTED = Kind("how it works here", "12ffe51487554e80b0cee9a7f37c1f11", INFO)
DECIDED = Kind("decision", "b85db34848ea49ada72c29427e7688e7", WARNING)
ANSWERED = Kind("verdict", "1e331e4f262b4182a7df0d0c34aa9755", WARNING)
ENDED = Kind("memory back", "bf22d1c2ac254ae89e0bc57164b465a1", INFO)
LIVES = Kind("the victim lives", "a0f39869ede34b69af8c657169e08932", WARNING)
CAME_BACK = Kind("less came back", "df04c67fc84f49fc97e4c87169148d46", INFO)
NO_SHORTAGE = Kind("no shortage any more", "fb62874d561c42109b4309482a9997e3", INFO)
NO_VICTIM = Kind("nobody to kill", "d319d2c50311404488f9f46b995e8de8", WARNING)
NOT_YET = Kind("nobody is killed yet", "2497b6ab3fc573994c6aa368ae581ee9", NOTICE)
SCARCE = Kind("memory scarce", "fe3a03c3466f43df8de1cd8cba33ee62", NOTICE)
SHORT_SOON = Kind("memory will be short", "abe6f2004768a51e741542cf7b773687", WARNING)
KERNEL_KILLED = Kind("the kernel was first", "1e4e4e38f6ad4dbd863eb7a0fc8b4d18", WARNING)
SWAP_WENT = Kind("swap went", "049df90611224f3bbb55a87aad490763", NOTICE)
NODE_IS_FULL = Kind("a node is full", "0a5e00651dde412e8e2a50005bb3ee93", NOTICE)
UNJUDGED = Kind("spared by a rule", "208ed25eb317444e84744d1c60f6cf9e", NOTICE)
VERBOSE = Kind("verbose", "80100398de6d479b8d33b71921b9d314", DEBUG)

KINDS = (
    *(STARTED, READ_AGAIN, STOPPING, READY, NOT_PROTECTED, WARNED, NOTED, DECIDED, ANSWERED, ENDED, LIVES, CAME_BACK),
    *(NO_SHORTAGE, NO_VICTIM, NOT_YET, SCARCE, SHORT_SOON, KERNEL_KILLED, SWAP_WENT, NODE_IS_FULL, UNJUDGED, VERBOSE),
)


class Told(NamedTuple):
    """An event as the log wants it. `public`: the sentence for everybody, "" if `sentence` is.

    A command line may hold a password: only `sentence`, which goes to root's log, may have one.
    """

    kind: Kind
    sentence: str
    fields: Fields = ()
    public: str = ""


def told(event: Event) -> Told:
    """The one way from an event to what the log says of it."""
    return _TABLE[type(event)](event)


# --- fields


def _victim(candidate: Candidate) -> Fields:
    process = candidate.process
    return (
        ("VICTIM_PID", process.pid),
        ("VICTIM_START_TICKS", process.start_ticks),
        ("VICTIM_COMM", process.comm),
        ("VICTIM_UNIT", process.unit),
        ("VICTIM_UID", process.uid),
        ("VICTIM_BYTES", candidate.held_bytes),
    )


def _request(request: KillRequest | None) -> Fields:
    if request is None:
        return ()
    return (
        ("CONDITION", request.condition),
        ("VICTIM_PID", request.pid),
        ("VICTIM_START_TICKS", request.start_ticks),
        ("VICTIM_COMM", request.comm),
        ("VICTIM_UID", request.uid),
        ("SIGNAL", request.signal.name),
    )


def _memory(reading: Reading | None) -> Fields:
    return () if reading is None else (("AVAILABLE_BYTES", reading.available), ("TOTAL_BYTES", reading.total))


def _candidates(candidates: tuple[Candidate, ...]) -> Fields:
    """The best first; of each PID, start time in clock ticks, user, bytes and name, which may have spaces."""
    return tuple((CANDIDATE, _candidate(one.process, one.held_bytes)) for one in candidates)


def _candidate(process: Process, held_bytes: int) -> bytes:
    return b"%d %d %d %d %s" % (process.pid, process.start_ticks, process.uid, held_bytes, process.comm)


def _settings(event: events.Started | events.ReadAgain) -> Fields:
    return (*_memory(event.reading), ("DRY_RUN", int(event.dry_run)))


def _ask(ask: actions.Ask) -> Fields:
    """The victim, and the candidates after it."""
    known = () if ask.basis is None else _memory(ask.basis.seen.reading)
    return (
        ("CONDITION", ask.finding.name),
        ("SIGNAL", ask.finding.signal.name),
        *_victim(ask.candidate),
        *known,
        *_candidates(ask.runners_up),
    )


# --- one function for each event that has fields


def _chosen(event: events.Chosen) -> Told:
    sentence, public = (
        sentences.decision(ask, event.conditions, event.took_us) for ask in (event.ask, _without_command(event.ask))
    )
    return Told(DECIDED, sentence, (*_ask(event.ask), ("DECIDED_US", event.took_us)), public)


def _next_asked(event: events.NextAsked) -> Told:
    sentence, public = (sentences.asking_for_the_next(ask) for ask in (event.ask, _without_command(event.ask)))
    return Told(DECIDED, sentence, _ask(event.ask), public)


def _without_command(ask: actions.Ask) -> actions.Ask:
    process = ask.candidate.process._replace(command="")
    return ask._replace(candidate=ask.candidate._replace(process=process))


def _escalated(event: actions.Escalate) -> Told:
    fields = (("CONDITION", event.finding.name), ("SIGNAL", "KILL"), ("VICTIM_PID", event.flight.pid))
    return Told(DECIDED, sentences.urgent(event), fields)


def _answered(event: events.Answered) -> Told:
    verdict = event.verdict
    outcome, reason = verdict.outcome.name.lower(), verdict.reason.name.lower()
    fields = (("OUTCOME", outcome), ("REASON", reason), ("VICTIM_BYTES", verdict.held_bytes))
    return Told(ANSWERED, sentences.verdict(verdict), (*_request(event.request), *fields))


def _ended(event: events.Ended) -> Told:
    exited = event.exited
    fields = (("OUTCOME", exited.fate.name.lower()), ("ELAPSED_MS", exited.elapsed_ms))
    kind = LIVES if exited.fate in (Fate.STUCK, Fate.SPARED) else ENDED
    sentence = sentences.exited(exited, event.reading)
    return Told(kind, sentence, (*_request(event.request), *fields, *_memory(event.reading)))


def _less_came_back(event: actions.LessCameBack) -> Told:
    process = event.process
    fields = (
        ("VICTIM_PID", process.pid),
        ("VICTIM_COMM", process.comm),
        ("VICTIM_BYTES", event.claimed_bytes),
        ("CAME_BACK_BYTES", event.came_back_bytes),
    )
    return Told(CAME_BACK, sentences.news(event), fields)


def _scarce(event: actions.Scarce) -> Told:
    known = () if event.short_ms is None else (("SHORT_IN_MS", event.short_ms),)
    return Told(SCARCE, sentences.news(event), (*_warning(event), *known, *_candidates(event.candidates)))


def _short_soon(event: actions.ShortSoon) -> Told:
    fields = (("SHORT_IN_MS", event.short_ms), *_candidates(event.candidates))
    return Told(SHORT_SOON, sentences.news(event), (*_warning(event), *fields))


def _warning(event: actions.Scarce | actions.ShortSoon) -> Fields:
    return (("CONDITION", event.condition.name), *_memory(event.reading))


_TABLE: dict[type, Callable[[Any], Told]] = {
    events.Started: lambda it: Told(STARTED, sentences.in_force(it.reading, it.conditions), _settings(it)),
    events.ReadAgain: lambda it: Told(READ_AGAIN, sentences.read_again(it.reading, it.conditions), _settings(it)),
    events.Stopping: lambda _: Told(STOPPING, connection.STOPPING),
    events.Ready: lambda it: Told(READY, connection.connected(it.killer_pid), (("KILLER_PID", it.killer_pid),)),
    events.NotProtected: lambda it: Told(NOT_PROTECTED, it.why),
    events.Warned: lambda it: Told(WARNED, it.sentence),
    events.Noted: lambda it: Told(NOTED, it.sentence),
    events.Chosen: _chosen,
    events.NextAsked: _next_asked,
    events.Answered: _answered,
    events.Ended: _ended,
    events.Unjudged: lambda it: Told(UNJUDGED, sentences.unjudged(it.spared)),
    events.NotRead: lambda it: Told(WARNED, unread.not_all_read(it.unread)),
    events.StageChanged: lambda it: Told(
        VERBOSE, sentences.phase_changed(it.before, it.after, it.reading), _memory(it.reading)
    ),
    events.FillRateMeasured: lambda it: Told(VERBOSE, sentences.fill_rate(it.per_second, "measured")),
    events.Sleeping: lambda it: Told(VERBOSE, f"[adaptive-sleep] {it.wait_ms} ms"),
    actions.Escalate: _escalated,
    actions.ShortageIsOver: lambda it: Told(NO_SHORTAGE, sentences.news(it)),
    actions.NoVictim: lambda it: Told(NO_VICTIM, sentences.news(it), _memory(it.reading)),
    actions.NothingGrows: lambda it: Told(NO_VICTIM, sentences.news(it)),
    actions.StillSmall: lambda it: Told(NOT_YET, sentences.news(it)),
    actions.Scarce: _scarce,
    actions.ShortSoon: _short_soon,
    actions.SwapWent: lambda it: Told(SWAP_WENT, sentences.news(it)),
    actions.KernelKilled: lambda it: Told(KERNEL_KILLED, sentences.news(it), (("KILLED", it.killed),)),
    actions.NodeIsFull: lambda it: Told(NODE_IS_FULL, sentences.news(it), (("NODE", it.node),)),
    actions.LessCameBack: _less_came_back,
    actions.CannotKill: lambda it: Told(NOT_PROTECTED, sentences.news(it), (("REASON", it.reason.name.lower()),)),
}
