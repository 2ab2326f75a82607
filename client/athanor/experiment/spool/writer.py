"""Writing the spool: an event is recorded once `append` has returned, whatever is killed afterwards."""

import contextlib
import fcntl
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from time import sleep as time_sleep
from typing import Self, TypedDict, Unpack

from athanor.experiment import files
from athanor.experiment.spool import room, segment
from athanor.experiment.spool.room import Claim, SpoolFullError
from athanor.experiment.spool.segment import NO_DIGEST, Position, SpoolDamagedError, SpoolError

SEGMENT_BYTES = 64 << 20
LIMIT_BYTES = 1 << 30
# Of a segment that is filled to more than this part of it, the rest stays empty once nothing more is recorded.
_LITTLE = 1 / 64

# While the spool is full: look again after this long at first, and after twice as long each time up to the last;
# seconds.
_FIRST_WAIT_S = 0.002
_LAST_WAIT_S = 0.1
_DISK_WAIT_S = 0.2


class SpoolOptions(TypedDict, total=False):
    """What may be said about a spool that is opened."""

    segment_bytes: int  # a segment is closed once it is this large; default 64 MiB
    limit_bytes: int  # for log entries it is full while more than this would not be acknowledged; default 1 GiB
    acknowledged: Callable[[], int]  # how many bytes of records, heads included, are acknowledged; default none
    sleep: Callable[[float], None]  # how to wait, in seconds


class SpoolWriter:
    """The one writer of an attempt's spool, and holder of its lock. Not for several threads at once.

    An exception that is raised into the middle of `append`, by a signal handler for example, does no harm: what is in
    the file counts, and the next call reads it again.
    """

    def __init__(self, folder: Path, lock: int, position: Position, options: SpoolOptions) -> None:
        """Not to be called: use `open` or `resume`."""
        self._folder = folder
        self._lock = lock
        self._segment_bytes = max(options.get("segment_bytes", SEGMENT_BYTES), segment.HEAD_BYTES + 1)
        self._limit_bytes = options.get("limit_bytes", LIMIT_BYTES)
        self._hard_limit_bytes = room.hard_limit(self._limit_bytes)
        self._acknowledged = options.get("acknowledged", lambda: 0)
        self._sleep = options.get("sleep", time_sleep)
        self._file = -1
        self._torn = False  # an append was broken off; what is in the file counts
        self._room_until = -1  # record bytes up to which nobody need be asked
        self._adopt(position, segment.HEAD_BYTES)

    @classmethod
    def open(cls, folder: Path, first_sequence: int, **options: Unpack[SpoolOptions]) -> Self:
        """Begin the spool of a new attempt, in a folder that is made if need be.

        `first_sequence` is that of the attempt's first event. Raises SpoolError when there are segments already, or
        another process holds the spool.
        """
        folder.mkdir(parents=True, exist_ok=True)
        lock = _take_lock(folder)
        if segment.first_sequences(folder):
            os.close(lock)
            raise SpoolError(f"{folder} is not empty")
        writer = cls(folder, lock, Position(last_sequence=first_sequence - 1), options)
        writer._keep_reserve()
        writer._begin_segment(writer.position, Claim.RECORD)
        return writer

    @classmethod
    def resume(
        cls,
        folder: Path,
        first_sequence: int,
        *,
        next_sequence: int = 0,
        recorded_sequence: int = 0,
        **options: Unpack[SpoolOptions],
    ) -> Self:
        """Take the spool over from a process that is gone: cut what is torn and go on behind the last whole event.

        `first_sequence` is that of the attempt's first event, as in its assignment. The next event gets the higher of
        the spool's end plus one and `next_sequence`. When events are missing in between, because the machine lost power
        after they had been shipped, the older segments go (all of them are stored elsewhere) and the digest is not
        known from there on.

        `recorded_sequence` is of an event that is known to have been recorded, and in this boot of the machine: then no
        power cut took it. When the spool ends before it, SpoolDamagedError is raised and everything stays as it is.

        Raises SpoolError when another process holds the spool; NewerSpoolError, with everything as it is, when a later
        version wrote it.
        """
        folder.mkdir(parents=True, exist_ok=True)
        lock = _take_lock(folder)
        start = Position(last_sequence=first_sequence - 1)
        writer = cls(folder, lock, start, options)
        try:
            newest = segment.read_chain(folder).newest
            # What does not follow from the rest is a torn tail, too.
            torn = [
                first for first in segment.first_sequences(folder) if newest is None or first > newest.last_sequence + 1
            ]
            for first in torn:
                segment.read_head(folder, first)  # but for what a later version wrote
            if newest is not None:
                writer._reopen(recorded_sequence)
            else:
                _check_end(start, recorded_sequence)
        except SpoolError:
            writer.close()
            raise
        for first in torn:
            segment.path_of(folder, first).unlink()
        missing = next_sequence - writer.next_sequence
        if missing > 0:
            writer._skip(missing)
        elif newest is None:
            writer._begin_segment(start, Claim.END)
        writer._keep_reserve()
        return writer

    @property
    def next_sequence(self) -> int:
        """The sequence that the next event must have."""
        if self._torn:
            self._reopen()
        return self._last_sequence + 1

    @property
    def position(self) -> Position:
        """How far the spool goes."""
        if self._torn:
            self._reopen()
        return self._position_as_held()

    def has_room(self, size: int) -> bool:
        """Whether `size` more bytes of records could be appended as log entries."""
        acknowledged = self._acknowledged()
        return self._record_bytes + size <= acknowledged + self._limit_bytes or acknowledged >= self._record_bytes

    def append(
        self,
        events: Sequence[bytes],
        offsets: Sequence[tuple[int, int]] | None = None,
        *,
        claim: Claim = Claim.RECORD,
    ) -> None:
        """Record events, in one write. When it returns they survive the end of every process.

        The caller numbers them, beginning with `next_sequence`. What happens when the spool is full is a matter of the
        `claim`; a full disk is waited for in any case. An event that is larger than the limit has room when nothing
        else is unacknowledged. `offsets` are those of captured output, see `append_output`; without them they stay.

        Raises SpoolFullError for Claim.LOG; OSError when the disk fails. Nothing is recorded then.
        """
        if self._torn:
            self._reopen()
        if not events:
            return
        behind = self._offsets
        if offsets is not None:
            data = b"".join([segment.pack_record(event, *at) for event, at in zip(events, offsets, strict=True)])
            behind = segment.OFFSETS.pack(*offsets[-1])
        elif len(events) == 1:  # nearly always
            data = _pack_behind(behind, events[0])
        else:
            data = b"".join([_pack_behind(behind, event) for event in events])

        size = len(data)
        record_bytes = self._record_bytes + size
        if record_bytes > self._room_until and claim is not _END:
            self._find_room(size, claim)
        if self._offset >= self._segment_bytes:
            self._roll(claim)

        self._torn = True  # until everything below is done
        try:
            whole = os.write(self._file, data) == size
        except OSError as error:
            if error.errno not in room.NO_ROOM:
                raise
            whole = False
        if not whole:
            self._write_again(data, claim)
        self._offset += size
        self._record_bytes = record_bytes
        self._offsets = behind
        for event in events:
            self._last_sequence += 1
            self._event_count += 1
            if self._digest_known:
                self._chain = sha256(self._chain + event).digest()
        self._torn = False

    def append_output(
        self, events: Sequence[bytes], offsets: Sequence[tuple[int, int]], *, claim: Claim = Claim.LOG
    ) -> None:
        """Record events that captured output became, as `append` does.

        Each has its own pair of offsets: how far the captured files have become events once it is recorded. So a write
        that is broken off between two of them neither doubles a line nor loses one.
        """
        self.append(events, offsets, claim=claim)

    def flush(self) -> None:
        """Flush to disk what was appended. Older segments were flushed when they were closed."""
        os.fdatasync(self._file)

    def settle(self) -> None:
        """Flush to disk, the process having nothing more to record.

        Whoever takes the spool over reads the newest segment to its end, for the position there. When that would be
        long, another is begun, in whose head it stands, if the disk has room: it is not waited for. Raises OSError.
        """
        if self._torn:
            self._reopen()
        self.flush()
        if self._offset > segment.HEAD_BYTES + self._segment_bytes * _LITTLE:
            position = self._position_as_held()
            path = segment.path_of(self._folder, position.last_sequence + 1)
            file = _create(path, segment.pack_head(position))
            if file < 0:
                path.unlink(missing_ok=True)
            else:
                self._torn = True
                self._go_on_in(file, position)
                self._torn = False

    def free_reserve(self) -> None:
        """Give back the room that is kept on the disk for the attempt's end."""
        room.free_reserve(self._folder)

    def close(self) -> None:
        """Let go of the files and of the lock. In a forked child this leaves the parent's as they are."""
        for descriptor in (self._file, self._lock):
            if descriptor >= 0:
                os.close(descriptor)
        self._file = self._lock = -1

    def _adopt(self, position: Position, offset: int) -> None:
        self._last_sequence = position.last_sequence
        self._event_count = position.event_count
        self._chain = position.chain
        self._digest_known = position.digest_known
        self._offsets = segment.OFFSETS.pack(position.stdout_offset, position.stderr_offset)
        self._record_bytes = position.record_bytes
        self._offset = offset  # in the newest segment

    def _reopen(self, recorded_sequence: int = 0) -> None:
        """Go by what is in the files: adopt every whole event and cut the rest.

        Raises SpoolDamagedError, and cuts nothing, when the event `recorded_sequence` would be cut.
        """
        if self._lock < 0:
            raise SpoolError("the spool is closed")
        head = segment.read_chain(self._folder).newest
        if head is None:
            raise SpoolError(f"{self._folder} has no whole segment")
        position, offset = segment.read_end(self._folder, head)
        _check_end(position, recorded_sequence)
        file = os.open(segment.path_of(self._folder, head.last_sequence + 1), os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        os.ftruncate(file, offset)
        if self._file >= 0:
            os.close(self._file)
        self._file = file
        self._adopt(position, offset)
        self._torn = False

    def _find_room(self, size: int, claim: Claim) -> None:
        limit = self._limit_bytes if claim is Claim.LOG else self._hard_limit_bytes
        wait = _FIRST_WAIT_S
        while True:
            acknowledged = self._acknowledged()
            self._room_until = acknowledged + self._limit_bytes
            if self._record_bytes + size <= acknowledged + limit or acknowledged >= self._record_bytes:
                return
            if claim is Claim.LOG:
                raise SpoolFullError(f"{self._record_bytes - acknowledged} bytes are not acknowledged")
            self._sleep(wait)
            wait = min(wait * 2, _LAST_WAIT_S)

    def _write_again(self, data: bytes, claim: Claim) -> None:
        """The disk is full, and a part may have been written: cut back, make or await room, write all of it."""
        while True:
            os.ftruncate(self._file, self._offset)
            if self._offset > segment.HEAD_BYTES and self._all_acknowledged():
                # Nobody needs what is in this segment; with another behind it the runner lets it go.
                self._roll(claim)
                self._torn = True
            else:
                self._make_room(claim)
            try:
                if os.write(self._file, data) == len(data):
                    break
            except OSError as error:
                if error.errno not in room.NO_ROOM:
                    raise
        if claim is not Claim.END:
            self._keep_reserve()

    def _make_room(self, claim: Claim) -> None:
        if not ((claim is Claim.END or self._all_acknowledged()) and room.free_reserve(self._folder)):
            self._sleep(_DISK_WAIT_S)

    def _all_acknowledged(self) -> bool:
        return 0 < self._record_bytes <= self._acknowledged()

    def _roll(self, claim: Claim) -> None:
        # A segment exists only when all before it are on the disk, so that a power cut never leaves a hole.
        os.fdatasync(self._file)
        self._torn = True
        self._begin_segment(self._position_as_held(), claim)
        self._torn = False

    def _position_as_held(self) -> Position:
        stdout_offset, stderr_offset = segment.OFFSETS.unpack(self._offsets)
        return Position(
            last_sequence=self._last_sequence,
            event_count=self._event_count,
            chain=self._chain,
            stdout_offset=stdout_offset,
            stderr_offset=stderr_offset,
            record_bytes=self._record_bytes,
        )

    def _begin_segment(self, position: Position, claim: Claim) -> None:
        path = segment.path_of(self._folder, position.last_sequence + 1)
        head = segment.pack_head(position)
        while (file := _create(path, head)) < 0:
            self._make_room(claim)
        self._go_on_in(file, position)

    def _go_on_in(self, file: int, position: Position) -> None:
        files.flush_folder(self._folder)
        if self._file >= 0:
            os.close(self._file)
        self._file = file
        self._adopt(position, segment.HEAD_BYTES)

    def _skip(self, missing: int) -> None:
        older = segment.first_sequences(self._folder)
        position = self.position
        self._begin_segment(
            replace(
                position,
                last_sequence=position.last_sequence + missing,
                event_count=position.event_count + missing,
                chain=NO_DIGEST,
            ),
            Claim.END,
        )
        for first in older:
            segment.path_of(self._folder, first).unlink()

    def _keep_reserve(self) -> None:
        """Set room aside. Without it, as on a disk that is full already, the end waits like everything else."""
        with contextlib.suppress(OSError):
            room.keep_reserve(self._folder)


# What the way of every log line needs, found without looking into a module or a class.
_pack_behind, _END = segment.pack_behind, Claim.END


def _check_end(end: Position, recorded_sequence: int) -> None:
    if end.last_sequence < recorded_sequence:
        raise SpoolDamagedError(
            f"the spool is damaged: event {recorded_sequence} had been recorded, and it ends at {end.last_sequence}"
        )


def _create(path: Path, content: bytes) -> int:
    """Make a file to append to; answer its descriptor, or -1 when the disk is full."""
    file = -1
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o644)
        if os.write(file, content) == len(content):
            return file
    except OSError as error:
        if error.errno not in room.NO_ROOM:
            if file >= 0:
                os.close(file)
            raise
    if file >= 0:
        os.close(file)  # what it holds is given back only then
    return -1


def _take_lock(folder: Path) -> int:
    descriptor = os.open(folder / segment.LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise SpoolError(f"{folder} is in use by another process") from None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
