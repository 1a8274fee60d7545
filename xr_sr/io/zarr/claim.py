"""One writer at a time: a claim in the store, which its writer renews, and which expires when its writer is gone.

The claim is one object, created exclusively. It says who writes; a thread renews it. Whoever finds the claim of another
call asks three questions. Is that process gone (seen on the same machine only)? Has the claim not been renewed for
`EXPIRE_S`, by the time stamps of the store itself? Then it is taken over. Has it been renewed meanwhile, or does its
process run? Then the call waits, or is refused. Clocks of two machines are never compared.

Pixels may be written by anyone who works for the owner. What makes them count (the template, the ledger, the time axis)
is written after `Claim.check`, which raises when the claim was lost. A claim names its kind, so that later versions may
add others.
"""

from __future__ import annotations

import errno
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field

from ...errors import StoreError, StoreWarning, warn_caller
from ...runtime.execute import shares_memory
from .owner import Owner
from .stores import can_create, create, written_at
from .target import CLAIM, Document, Target

RENEW_S = 10.0
"""Seconds between two renewals."""

EXPIRE_S = 60.0
"""Seconds without renewal after which a claim may be taken over."""

POLL_S = 1.0
"""Seconds between two looks at the claim of another call."""

_UNSEEN = 50
"""How often a claim that can be neither created nor read is tried for: about 5 s."""

_UNABLE = (errno.ENOSYS, errno.EOPNOTSUPP)
"""What an object store without conditional requests answers."""

_TAKEOVER, _CLOCK = f"{CLAIM}_takeover", f"{CLAIM}_clock"
_held: dict[str, Claim] = {}
"""The claims of calls that run in this process, by the id of their owner."""


@dataclass(eq=False)
class Claim:
    """The claim of one call on a store.

    held: False for a store that takes no claims; nothing is checked then. renewals: how often it was renewed. seen_at:
    when it was known to be held, on the monotonic and the wall clock (the monotonic one stands still while a machine is
    suspended).
    """

    target: Target
    owner: Owner
    held: bool = False
    renewals: int = 0
    seen_at: tuple[float, float] = field(default_factory=lambda: _now())

    def is_own(self, found: Document | None) -> bool:
        """Return whether a claim that was found in the store is this call's."""
        return found is not None and found.get("id") == self.owner.id

    def check(self) -> None:
        """Raise StoreError unless the claim still is this call's."""
        if not self.held:
            return
        now, found = _now(), _read(self.target, CLAIM)
        if self.is_own(found):
            self.seen_at = now
            return
        why = (
            "the claim of this call on it was deleted; was the store removed or replaced meanwhile?"
            if found is None
            else f"it was taken over by {Owner.from_document(found).label}, as the claim of this call was not renewed "
            f"for {EXPIRE_S:g} s (a suspended process, or a lost connection)."
        )
        raise StoreError(
            f"{self.target.label} is no longer written by this call: {why} What is done is kept; run the same call "
            "again when no other writes."
        )

    def document(self) -> Document:
        """Return what is stored; it differs from renewal to renewal."""
        return {"version": 1, "kind": "exclusive", "renewals": self.renewals, **asdict(self.owner)}

    def renew(self) -> bool:
        """Rewrite the claim; return False, having written nothing, where it is no longer this call's."""
        now = _now()
        if not self.is_own(_read(self.target, CLAIM)):
            return False
        self.renewals += 1
        self.target.write(self.document(), CLAIM)
        self.seen_at = now
        return True

    def release(self) -> None:
        """Delete the claim where it still is this call's, and what claims leave beside it."""
        if self.is_own(_read(self.target, CLAIM)):
            self.target.delete(_CLOCK)
            self.target.delete(CLAIM)


def refuse_lost(claim_id: str) -> None:
    """Raise StoreError where a claim of this process was lost, as after the machine was suspended.

    Reads the claim only where it was not renewed lately, so that every task may ask. In other processes, such as the
    workers of a cluster, nothing is known of the claim and nothing happens.
    """
    claim = _held.get(claim_id)
    if claim is not None and max(now - then for now, then in zip(_now(), claim.seen_at, strict=True)) > 2 * RENEW_S:
        claim.check()


@contextmanager
def claimed(target: Target, *, wait: float | None = 0.0) -> Iterator[Claim]:
    """Hold the claim on a store while the body runs; yields it.

    wait: seconds to wait for another call that writes to the store; 0 refuses at once, and None (of a caller without
    `wait`) too, in a message without that advice. The claim of a process that may be gone is watched until
    it is renewed or expires, up to 60 s, regardless of `wait`, with a StoreWarning.
    A store that commits (Icechunk) isolates its sessions and needs no claim. One that cannot create an object
    exclusively gets none, with a StoreWarning.
    Raises StoreError that names the other writer.
    """
    claim = Claim(target, Owner.this_call(tasks_inside=shares_memory()))
    _held[claim.owner.id] = claim
    try:
        claim.held = not target.commits and _is_acquired(claim, wait)
        if claim.held:
            with _renewing(claim):
                yield claim
            return
        if not target.commits:
            warn_caller(
                f"{target.label} ({type(target.store).__name__}) cannot create an object exclusively, so two calls "
                "that write to it at the same time do not notice each other, and only one writer is safe: make sure "
                "that no other call writes to it.",
                StoreWarning,
            )
        yield claim
    finally:
        _held.pop(claim.owner.id, None)


@contextmanager
def _renewing(claim: Claim) -> Iterator[None]:
    """Renew a claim in a thread while the body runs, and release it afterwards, also after an error."""
    ended = threading.Event()

    def keep() -> None:
        while not ended.wait(RENEW_S):
            try:
                if not claim.renew():
                    return
            except Exception:  # the connection may come back; a claim that was lost is noticed by `check`
                continue

    thread = threading.Thread(target=keep, name="xr_sr claim", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(EXPIRE_S)
        with suppress(Exception):  # what went wrong in the body is raised; the claim expires
            claim.release()


def _is_acquired(claim: Claim, wait: float | None) -> bool:
    """Acquire a claim; return False where the store cannot create an object exclusively."""
    if not can_create(claim.target.store):
        return False
    try:
        with claim.target.writing("the claim"):
            _acquire(claim, wait)
    except StoreError as error:
        cause = error.__cause__
        if isinstance(cause, NotImplementedError) or (isinstance(cause, OSError) and cause.errno in _UNABLE):
            return False
        raise
    return True


def _acquire(claim: Claim, wait: float | None) -> None:
    """Create the claim, or take over that of a call that is gone. Raises StoreError while another call writes."""
    target, until = claim.target, time.monotonic() + (wait or 0.0)
    watched: _Watched | None = None
    unseen = looks = 0
    while not create(target.store, target.path(CLAIM), _encoded(claim)):
        found = _read(target, CLAIM)
        if found is None:  # it was deleted in between; or it cannot be an object, as where a folder has its name
            unseen += 1
            if unseen >= _UNSEEN:
                raise StoreError(
                    f"cannot write the claim of {target.label}: {CLAIM!r} can be neither created nor read there. If "
                    "something else has this name, such as a folder, delete it, and run the same call again."
                )
            time.sleep(POLL_S / 10)
            continue
        unseen = 0
        renewed = watched is not None and watched.document != found and watched.document.get("id") == found.get("id")
        if watched is None or watched.document != found:
            watched = _Watched.now(target, CLAIM, found)
        owner = Owner.from_document(found)
        if _is_gone(owner) or watched.age_s >= EXPIRE_S:
            if _take_over(claim, found):
                return
        elif renewed or (owner.is_here and owner.is_running):
            if time.monotonic() >= until:
                advice = "" if wait is None else ", or pass wait=600 to wait for it, in seconds"
                raise StoreError(
                    f"{target.label} is being written by {owner.label}, and one store takes one writer at a time. Run "
                    f"this call again when that one has ended{advice}."
                )
        elif (looks := looks + 1) == 2:  # at the first look, it may be that another call is taking it over
            warn_caller(
                f"{target.label} was being written by {owner.label}, which may be gone: waiting up to "
                f"{max(EXPIRE_S - watched.age_s, 0):.0f} s for its claim to be renewed or to expire.",
                StoreWarning,
            )
        time.sleep(POLL_S)


@dataclass(frozen=True)
class _Watched:
    """A claim as it was found. age_at_first: seconds since its last renewal by the store's time stamps."""

    document: Document
    age_at_first: float
    seen_at: float

    @classmethod
    def now(cls, target: Target, key: str, document: Document) -> _Watched:
        """Look at the age of a claim. The store's clock is read from an object that is written for that."""
        now = None
        for _ in range(3):
            # Another call may delete the object, or sweep its half-written file away: then it is written again.
            with suppress(FileNotFoundError):
                target.write({}, _CLOCK)
                now = written_at(target.store, target.path(_CLOCK))
                target.delete(_CLOCK)
            if now is not None:
                break
        then = written_at(target.store, target.path(key))
        return cls(document, 0.0 if now is None or then is None else now - then, time.monotonic())

    @property
    def age_s(self) -> float:
        """Seconds without renewal, at least: the claim has not changed since it was first seen."""
        return self.age_at_first + time.monotonic() - self.seen_at


def _take_over(claim: Claim, found: Document) -> bool:
    """Replace a claim by this call's, unless it has changed; return whether that was done.

    Only who creates the object beside the claim may do so, one call at a time: two calls that find the same claim
    expired cannot both take it over, however slow one of them is.
    """
    target = claim.target
    if not create(target.store, target.path(_TAKEOVER), _encoded(claim)):
        other = _read(target, _TAKEOVER)
        gone = other is not None and (
            _is_gone(Owner.from_document(other)) or _Watched.now(target, _TAKEOVER, other).age_s >= EXPIRE_S
        )
        if gone:  # killed while taking over
            target.delete(_TAKEOVER)
        return False
    try:
        if _read(target, CLAIM) != found:
            return False
        target.write(claim.document(), CLAIM)
        return claim.is_own(_read(target, CLAIM))
    finally:
        target.delete(_TAKEOVER)


def _is_gone(owner: Owner) -> bool:
    """Return whether it is certain that nothing writes for an owner any more."""
    if owner.is_this_process:
        return owner.id not in _held
    # Workers of a cluster may outlive the client that they write for: their claim must expire.
    return owner.is_here and owner.tasks_inside and not owner.is_running


def _read(target: Target, key: str) -> Document | None:
    """Read a claim: {} for one that cannot be read, None where there is none."""
    for _ in range(3):
        found = target.text(key)
        if found is None:
            return None
        with suppress(ValueError):
            document = json.loads(found)
            return document if isinstance(document, dict) else {}
        time.sleep(0.05)  # some stores do not write an object at once
    return {}


def _encoded(claim: Claim) -> bytes:
    return json.dumps(claim.document(), indent=2).encode()


def _now() -> tuple[float, float]:
    return time.monotonic(), time.time()
