"""When commits wait for Barman: the rules alone, without clock, file or server. Pure."""

from dataclasses import dataclass, replace
from enum import StrEnum

# One WAL segment: a receiver that is further behind has not caught up.
CAUGHT_UP_BYTES = 16 * 2**20
PROOFS = 3
# A receiver that does not confirm right after the switch never will: the switch is taken back.
PATIENCE_S = 4.0
RETRY_AFTER_S = 30.0
# Shorter waits are a receiver that was started again, not an event to remember.
WORTH_TELLING_S = 3.0


class Level(StrEnum):
    """What the operator chose."""

    ASYNC = "async"
    SYNC = "sync"
    FALLBACK = "sync-with-fallback"


class Server(StrEnum):
    """PostgreSQL as the guard finds it. MUTE: it is there but does not answer in time. BLIND: it
    is there but does not let the guard in."""

    UP = "up"
    IN_RECOVERY = "in recovery"
    MUTE = "mute"
    BLIND = "blind"
    DOWN = "down"


# It runs, others may commit, and all there is to see are its processes.
UNSEEN = (Server.MUTE, Server.BLIND)


class Action(StrEnum):
    """What is to be done about the server's configuration."""

    KEEP = "keep"
    ENABLE = "enable"
    DISABLE = "disable"


class Exposure(StrEnum):
    """Why commits are acknowledged without Barman."""

    CHOSEN = "async"
    # The value is in histories and metrics that exist.
    NOT_YET = "not armed yet"
    FALLBACK = "fallback"
    RECOVERY = "recovery"
    OVERRIDDEN = "overridden"


@dataclass(frozen=True)
class Policy:
    """The level, and how long commits may wait for an absent Barman (FALLBACK only)."""

    level: Level
    fallback_after_s: float


@dataclass(frozen=True)
class Look:
    """What was seen at `now` (seconds of a clock that never jumps); WAL positions in bytes.

    `runbook`: a recovery owns the server. `waits`: the running server has the standby's name.
    `receiver`: Barman's receiver streams; `synchronous`: the server counts on it; `confirmed`: up
    to where it says that WAL is on its disk. `written`: where WAL on the server's own disk ends.
    Of an UNSEEN server only `receiver` is known, and `held`: a commit that waited for Barman at the
    look before waits still.
    """

    now: float
    server: Server
    runbook: bool = False
    waits: bool = False
    receiver: bool = False
    synchronous: bool = False
    written: int = 0
    confirmed: int = 0
    held: bool = False


@dataclass(frozen=True)
class State:
    """What the guard remembers from look to look.

    `enabled`: its configuration file has the name. `settled`: Barman has confirmed WAL since then.
    `asked`/`asked_at`: a WAL position whose confirmation is awaited, and since when. `gone_since`:
    no synchronous receiver since then. `proofs`: confirmations in a row while not enabled.
    """

    enabled: bool = False
    settled: bool = True
    asked: int | None = None
    asked_at: float | None = None
    gone_since: float | None = None
    proofs: int = 0
    not_before: float = 0.0
    exposure: Exposure = Exposure.NOT_YET

    @property
    def away_since(self) -> float | None:
        """Since when commits may have been waiting without a confirmation; only while enabled."""
        since = [at for at in (self.gone_since, self.asked_at) if at is not None]
        return min(since, default=None) if self.enabled else None

    def waiting_s(self, now: float) -> float:
        """For how long Barman has now not confirmed anything, in seconds."""
        return 0.0 if self.away_since is None else now - self.away_since


def step(policy: Policy, state: State, look: Look) -> tuple[State, Action]:
    """The next state, and what to do to get there.

    The new state assumes the action succeeds; `State.enabled` says what the file shall be.
    """
    if policy.level is Level.ASYNC:
        action = Action.DISABLE if state.enabled else Action.KEEP
        return _disabled(Exposure.CHOSEN), action
    if look.runbook:
        return _during_runbook(state, look)
    if look.server in UNSEEN:
        return _unseen(policy, state, look)
    if look.server is not Server.UP:
        # Nobody commits, so nobody waits.
        return replace(_idle(state), proofs=0), Action.KEEP
    if state.enabled:
        return _enabled(policy, state, look)
    return _not_enabled(state, look)


def exposed(state: State, look: Look) -> Exposure | None:
    """Why commits are acknowledged without Barman just now, or None if they are not."""
    if look.server in (*UNSEEN, Server.DOWN):
        return None if state.enabled else state.exposure
    if not state.enabled:
        return state.exposure
    if look.waits:
        return None
    return Exposure.RECOVERY if look.runbook else Exposure.OVERRIDDEN


def failed_to_enable(state: State, now: float) -> State:
    """The state after the server did not take the name: to be tried again later."""
    return replace(_disabled(state.exposure), not_before=now + RETRY_AFTER_S)


def _disabled(why: Exposure) -> State:
    return State(enabled=False, exposure=why)


def _idle(state: State) -> State:
    return replace(state, asked=None, asked_at=None, gone_since=None)


def _during_runbook(state: State, look: Look) -> tuple[State, Action]:
    """Out of the way. Disabling while the server is stopped lets no commit go: a restored
    server just does not begin by waiting for a receiver that cannot follow it yet."""
    if state.enabled and look.server in (Server.DOWN, Server.IN_RECOVERY):
        return _disabled(Exposure.RECOVERY), Action.DISABLE
    return replace(_idle(state), proofs=0), Action.KEEP


def _enabled(policy: Policy, state: State, look: Look) -> tuple[State, Action]:
    state = _awaiting(state, look)
    waited = state.waiting_s(look.now)
    if not state.settled:
        if state.gone_since is None and state.asked is None:
            return replace(state, settled=True), Action.KEEP
        if waited >= PATIENCE_S:
            return failed_to_enable(state, look.now), Action.DISABLE
    elif policy.level is Level.FALLBACK and waited >= policy.fallback_after_s:
        return _disabled(Exposure.FALLBACK), Action.DISABLE
    return state, Action.KEEP


def _unseen(policy: Policy, state: State, look: Look) -> tuple[State, Action]:
    """What Barman has confirmed is not known: it is away while nothing is sent to it, or while a
    commit waits on and on."""
    if not state.enabled:
        return replace(state, proofs=0), Action.KEEP
    away = look.held or not look.receiver
    began = state.away_since if state.away_since is not None else look.now
    state = replace(_idle(state), gone_since=began if away else None)
    if policy.level is Level.FALLBACK and state.waiting_s(look.now) >= policy.fallback_after_s:
        return _disabled(Exposure.FALLBACK), Action.DISABLE
    return state, Action.KEEP


def _awaiting(state: State, look: Look) -> State:
    if not (look.receiver and look.synchronous):
        gone = state.gone_since if state.gone_since is not None else look.now
        state = replace(state, gone_since=gone)
    else:
        state = replace(state, gone_since=None)
    if state.asked is not None and look.confirmed >= state.asked:
        state = replace(state, asked=None, asked_at=None)
    if state.asked is None and look.confirmed < look.written:
        # A connection can be dead for a minute before the server notices: what counts is whether
        # this position is ever confirmed.
        state = replace(state, asked=look.written, asked_at=look.now)
    return state


def _not_enabled(state: State, look: Look) -> tuple[State, Action]:
    """Enable only what was seen to work: WAL asked for at one look is confirmed at the next."""
    proven = (
        look.receiver
        and state.asked is not None
        and look.confirmed >= state.asked
        and look.written - look.confirmed <= CAUGHT_UP_BYTES
    )
    state = replace(state, proofs=state.proofs + 1 if proven else 0, asked=look.written)
    if state.proofs < PROOFS or look.now < state.not_before:
        return state, Action.KEEP
    return State(enabled=True, settled=False, exposure=state.exposure), Action.ENABLE
