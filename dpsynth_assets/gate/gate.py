"""The gate: every asset that reads sensitive rows does so inside it, whichever way its run was launched.

    approve  two people agreed to these terms, the snapshot is bound, and what dead runs only reserved is given back
    hold     what the run charges later is reserved with this release, all of it or nothing: `ahead`
    check    where the ledger would say yes, everything that can fail without a row fails, and costs nothing: so does a
             charge on which another accountant disagrees
    charge   the ledger says yes or no before a row is read; a no is an entry of the ledger, and `refusal.Refused`
             (or, where a run died in this very release, it is taken over: `resumption`). A yes is reserved and
             activated at once, in a transaction that finds the terms still approved: from here it is permanent,
             whatever happens to this process
    read     the sensitive store redeems the grant, once
    commit   the artifact's digest and the event that really ran; or forfeit, in full, where the release failed
    seal     the artifact exists from here on: the ledger says which files it is, and carries its charges on. A release
             that was finished, and not committed or sealed, is found by the next run: `adoption`

A failure is itself an output computed from the rows, so what an exception says stays in the sensitive folder, and
Dagster is told its type only. A process killed with -9 leaves an activated reservation: charged, and the next run of
the same release goes on with it. So does one after a full disk, too little memory, an interrupt, or any failure before
the rows were handed out.

Knows the ledger and the store; nothing of what a release computes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from dpsynth_assets.gate.again import require_agreed, require_uncharged
from dpsynth_assets.gate.ahead import give_back, held, hold, holds, let_go
from dpsynth_assets.gate.approval import require_approved
from dpsynth_assets.gate.binding import bind
from dpsynth_assets.gate.confinement import confined_output
from dpsynth_assets.gate.observation import observe
from dpsynth_assets.gate.passage import ChargedPassage, Passage, Stores
from dpsynth_assets.gate.refusal import refused, told, without_content
from dpsynth_assets.gate.resumption import Checkpoints, Replay, goes_on, require_room, starting, unfinished
from dpsynth_assets.gate.sources import source_of
from dpsynth_assets.gate.spec import facts_of, release_name, spec_keys
from dpsynth_assets.gate.uncharged import uncharged
from dpsynth_assets.privacy.second_opinion import require_agreement
from dpsynth_assets.releases.release import AwayError, Plan
from dpsynth_assets.releases.shortage import shortage_of
from ledger import (
    BudgetRefused,
    Grant,
    Ledger,
    LedgerError,
    ProtocolError,
    Reservation,
)
from ledger.events import repetitions
from resources.artifact_store import Artifact, ArtifactError, Draft
from resources.sensitive_store import SensitiveStore
from resources.snapshots import Snapshot
from resources.tabular import SourceError

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract


@contextmanager
def release_gate(
    context: dg.AssetExecutionContext,
    contract: Contract,
    plan: Plan,
    stores: Stores,
    *,
    ready: Callable[[Snapshot], None] = lambda snapshot: None,
    replay: Replay | None = None,
    made_from: Mapping[str, Artifact] | None = None,
    later: Sequence[tuple[str, Plan]] = (),
) -> Iterator[Passage]:
    """Open the gate for one release, or raise `dg.Failure`.

    `ready` is called with the snapshot when the ledger would say yes and nothing is spent yet: what can fail without
    the rows (a model that cannot be loaded, a rule that cannot be run) should fail there.

    `replay` makes a release one that can be taken over after a kill: it says what runs again from a checkpoint folder.

    `made_from` names what the release was made from beside the rows: its receipt carries their charges too.

    `later` is what the same run charges after it: it is held from here on, and where not all of it fits, nothing is
    charged.

    The block gets a passage to `read` the rows from, with a `folder` to write in, and to `finish` with the event that
    ran. After the block its `artifact` is the sealed folder. What is raised in the block forfeits the charge, unless
    it may pass by itself and the release can be taken over.

    A contract variant without privacy is let past: nothing is charged, and the artifact's receipt says so.

    Called by the one body of all releases (`assets.release`), and by nothing else.
    """
    with stores.artifacts.draft(contract.id, context.asset_key.path[-1]) as draft:
        if contract.without_privacy:
            with uncharged(contract, plan, stores, draft, ready, made_from) as let_past:
                yield let_past
            return
        through = False
        try:
            with _charged(context, contract, plan, stores, draft, ready, replay, made_from, later) as passage:
                yield passage
            through = True
        finally:
            if not (through and later):
                let_go(stores.ledger.open, context.run.run_id)


@contextmanager
def _charged(
    context: dg.AssetExecutionContext,
    contract: Contract,
    plan: Plan,
    stores: Stores,
    draft: Draft,
    ready: Callable[[Snapshot], None],
    replay: Replay | None,
    made_from: Mapping[str, Artifact] | None,
    later: Sequence[tuple[str, Plan]],
) -> Iterator[ChargedPassage]:
    """Through the gate, in the order at the head of this module."""
    store = stores.sensitive
    origins = {name: artifact.id for name, artifact in (made_from or {}).items()}
    book, grant, again, checkpoints, about = _grant(context, contract, plan, stores, ready, replay, origins, later)
    passage = ChargedPassage(contract, grant, store, draft, checkpoints.folder)
    problem: BaseException | None = None
    try:
        with confined_output(_output_file(store, contract, grant)):
            yield passage
    except BaseException as error:  # forfeits come before everything else, even on an interrupt
        problem = error
    if problem is None:
        problem = passage.misstated(again)
    if problem is None and passage.event == grant.event:  # else the ledger judges what ran, at the commit only
        problem = _finished(checkpoints, draft, about, origins)
    if problem is not None:
        passes = replay is not None and not _is_final(problem)
        kept = passes or not _was_read(book, grant)
        if not kept:
            _forfeit(book, grant.reservation_id, f"failed: {type(problem).__name__}")
        checkpoints.release(discard=not kept)
        observe(context, contract, book)
        substitute = without_content(problem, grant, store, contract, goes_on=kept)
        problem = None
        raise substitute from None
    assert passage.event is not None
    draft.kept, sealed = True, False  # it is paid for: where this process ends now, the next run finds it
    try:
        book.commit(grant, artifact_digest=draft.digest(), event=passage.event)
        passage.artifact = stores.artifacts.seal(
            draft, made_from=made_from, reservation=grant.reservation_id, about=about
        )
        sealed = True
    except ProtocolError as error:  # the ledger's no, which no later run would turn into a yes
        draft.kept, sealed = _is_committed(book, grant), True
        _forfeit(book, grant.reservation_id, "not committed: ProtocolError")
        text = f"the ledger did not accept the finished release: {error}"
        raise dg.Failure(text, allow_retries=False) from None
    except (LedgerError, ArtifactError) as error:
        text = (
            f"the release is finished, paid for and kept in {draft.folder}, but could not be sealed: {error}. Then run "
            "the same again: it is found, and nothing is charged for it"
        )
        raise dg.Failure(text, allow_retries=False) from None
    finally:
        checkpoints.release(discard=sealed)
    observe(context, contract, book)


def _grant(
    context: dg.AssetExecutionContext,
    contract: Contract,
    plan: Plan,
    stores: Stores,
    ready: Callable[[Snapshot], None],
    replay: Replay | None,
    origins: Mapping[str, str],
    later: Sequence[tuple[str, Plan]],
) -> tuple[Ledger, Grant, int, Checkpoints, dict[str, Any]]:
    """A grant, of a new charge or of a dead run's release that is taken over, and how many steps are charged to run a
    second time; or a failure that says why not."""
    store, release, run = stores.sensitive, release_name(context, contract), context.run.run_id
    keys, lock = spec_keys(release, plan), starting(store)
    refusal: dg.Failure
    was_read = False
    try:
        book = stores.ledger.open()
        with book.reading() as now:
            now.require_signing_key()  # before anything is charged: what cannot be sealed helps no recipient
            require_approved(contract, now)
            waiting = now.reservations("reserved")
        give_back(waiting, book, store.home, context.instance)
        begun = _begun_by(book, keys)
        ours = held(begun, run)
        snapshot = store.readable(source_of(contract), ours.source if ours is not None else None)
        bind(contract, snapshot, book, store)
        of_run = () if holds(run) else later
        to_hold = [each for each in of_run if not _goes_on(*each, book, store, contract)]
        hold_with = partial(hold, context, book, store, contract.privacy.population, snapshot.identity)
        if left := unfinished(begun, book, store, contract, replay, origins):
            try:
                begun_on = store.readable(source_of(contract), left[0].source)  # and is finished on
                was_read = left[0].redeemed
                if to_hold:
                    with suppress(BudgetRefused):  # what was paid for is finished, whether or not the rest fits
                        hold_with(to_hold)
            except BaseException:
                left[1].release(discard=False)
                raise

            def check_again() -> None:
                ready(begun_on)
                require_agreement(plan.event(), contract.privacy.budget.delta)
                with book.reading() as now:
                    require_approved(contract, now)

            return (
                book,
                *_take_over(context, book, *left, check_again, replay, origins),
                left[1],
                facts_of(begun_on, contract),
            )

        require_uncharged(context, release, begun)
        require_agreed(context, release, keys[0])
        if to_hold:
            hold_with([(release, plan), *to_hold])

        def check() -> None:
            ready(snapshot)
            for _, each in ((release, plan), *later):  # or this one would be paid in vain
                require_agreement(each.event(), contract.privacy.budget.delta)
            require_room(store, lock)
            store.readable(source_of(contract), snapshot.identity)  # they may have been forgotten meanwhile

        grant = book.charge(
            contract.privacy.population,
            plan.event(),
            source=snapshot.identity,
            release=release,
            key=keys[0],
            owner=run,
            plan_digest=plan.digest(),
            ready=check,
            permitted=partial(require_approved, contract),
        )
        checkpoints = Checkpoints.of(store, grant.reservation_id)
        assert checkpoints is not None, "a new charge's folder is nobody else's"
        return book, grant, 0, _begun(checkpoints, origins), facts_of(snapshot, contract)
    except BudgetRefused as error:
        observe(context, contract, book)
        refusal = refused(error, was_read=was_read)
    except (LedgerError, SourceError) as error:
        refusal = told(error)
    finally:
        lock.release(force=True)
    raise refusal


def _goes_on(release: str, plan: Plan, book: Ledger, store: SensitiveStore, contract: Contract) -> bool:
    """Whether the run comes to what a former one left of it."""
    begun = _begun_by(book, spec_keys(release, plan))
    return goes_on(begun, book, store, contract, getattr(plan, "replay", None))


def _begun_by(book: Ledger, keys: Sequence[str]) -> list[Reservation]:
    return [each for key in keys for each in book.reservations(key=key)]


def _begun(checkpoints: Checkpoints, origins: Mapping[str, str]) -> Checkpoints:
    """The folder, made; let go again where it cannot be."""
    try:
        checkpoints.begin(origins)
    except BaseException:
        checkpoints.release(discard=False)
        raise
    return checkpoints


def _take_over(
    context: dg.AssetExecutionContext,
    book: Ledger,
    reservation: Reservation,
    checkpoints: Checkpoints,
    ready: Callable[[], None],
    replay: Replay | None,
    origins: Mapping[str, str],
) -> tuple[Grant, int]:
    """A dead run's release under this run's name, the steps that run again charged on top: none where the ledger never
    handed out the rows."""
    from dpsynth_assets.privacy.checkpoint import CheckpointError, CheckpointsInUseError

    refusal: dg.Failure
    try:
        ready()
        again = replay(checkpoints.folder, reservation.replayed) if replay and reservation.redeemed else None
        checkpoints.begin(origins)
        grant = book.resume(reservation.id, owner=context.run.run_id, replayed=again)
        context.log.info(
            f"Takes over {reservation.id} from its last checkpoint; charged on top: "
            f"{again.describe() if again else 'nothing'}"
        )
        return grant, sum(map(repetitions, (*reservation.replayed, again)))
    except CheckpointsInUseError as error:  # of processes that outlive the run which started them, for a moment
        refusal = dg.Failure(f"{error}. Then run the same again: it goes on, and nothing was charged now.")
    except CheckpointError as error:  # it would stand in the way of every later run
        _forfeit(book, reservation.id, "its checkpoints cannot be read")
        refusal = dg.Failure(f"{error}. The release was forfeited; running it again is a new charge.")
    except BaseException:
        checkpoints.release(discard=False)
        raise
    checkpoints.release(discard=False)
    raise refusal


def _finished(
    checkpoints: Checkpoints, draft: Draft, about: Mapping[str, Any], origins: Mapping[str, str]
) -> BaseException | None:
    """Write down by what the finished release is found; what stands in the way, if anything does."""
    try:
        checkpoints.finish(draft=draft.id, digest=draft.digest(), about=dict(about), made_from=dict(origins))
    except BaseException as error:
        return error
    return None


def _is_final(problem: BaseException) -> bool:
    """Whether the same would happen again. What is full, short or away may pass, and so may an interrupt."""
    return isinstance(problem, Exception) and not isinstance(problem, AwayError) and shortage_of(problem) is None


def _was_read(book: Ledger, grant: Grant) -> bool:
    """Whether the rows were ever handed out under this charge. True where the ledger cannot be asked."""
    try:
        return book.was_redeemed(grant.reservation_id)
    except LedgerError:
        return True


def _is_committed(book: Ledger, grant: Grant) -> bool:
    """True also where the ledger cannot be asked: what may be paid for is kept."""
    try:
        return book.state(grant.reservation_id) == "committed"
    except LedgerError:
        return True


def _forfeit(book: Ledger, reservation: str, reason: str) -> None:
    """Best effort: a reservation that stays activated is charged just the same."""
    with suppress(Exception):
        book.forfeit(reservation, reason=reason)


def _output_file(store: SensitiveStore, contract: Contract, grant: Grant) -> Path:
    return store.beside(source_of(contract), "output", grant.source) / f"{grant.reservation_id}.txt"
