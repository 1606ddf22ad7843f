"""io_uring: what many sockets shall send, with one call into the kernel.

A ring is used as one function is: `send` fills entries in, has the kernel carry all of them out, and when it returns
they are over, since none of them ever waits. So nothing is under way between two calls, no memory has to last
longer than one, and we and the kernel never touch a ring at the same time, which is why it needs no barriers.

See io_uring(7), io_uring_setup(2), io_uring_enter(2); the layout of what is shared is that of linux/io_uring.h.
"""

import ctypes
import errno
import mmap
import os
import socket
import struct
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from ctypes import c_char_p, c_int32, c_uint8, c_uint16, c_uint32, c_uint64, sizeof
from typing import Any, Final

SETUP: Final = 425
ENTER: Final = 426
"""The numbers of the system calls on x86 and ARM."""

ONE_MAPPING: Final = 1 << 0
CAN_SKIP_SUCCESS: Final = 1 << 11
ENTRIES_MAPPED_AT: Final = 0x1000_0000

SEND: Final = 26
SKIP_SUCCESS: Final = 1 << 6
"""No completion for an entry that has done all it should."""
ALL_OR_SAY: Final = socket.MSG_WAITALL | socket.MSG_DONTWAIT
"""Never wait; and a part is no success."""

WORD: Final = 4
WORD_MASK: Final = 0xFFFF_FFFF


def _words(*names: str) -> list[tuple[str, Any]]:
    return [(name, c_uint32) for name in names]


class _Submission(ctypes.Structure):
    """Where the fields of the submission queue are; `array` has for each place the number of its entry."""

    _fields_ = (
        *_words("head", "tail", "mask", "limit", "flags", "dropped", "array", "reserved"),
        ("address", c_uint64),
    )


class _Completion(ctypes.Structure):
    """Where the fields of the completion queue are."""

    _fields_ = (
        *_words("head", "tail", "mask", "limit", "overflow", "results", "flags", "reserved"),
        ("address", c_uint64),
    )


class _Parameters(ctypes.Structure):
    _fields_ = (
        *_words("entries", "completions", "flags", "cpu", "idle", "features", "workers"),
        ("reserved", c_uint32 * 3),
        ("submission", _Submission),
        ("completion", _Completion),
    )


class _Entry(ctypes.Structure):
    _fields_ = (
        ("operation", c_uint8),
        ("flags", c_uint8),
        ("priority", c_uint16),
        ("descriptor", c_int32),
        ("offset", c_uint64),
        ("address", c_uint64),
        ("length", c_uint32),
        ("message_flags", c_uint32),
        ("place", c_uint64),
        ("rest", c_uint64 * 3),
    )


class _Result(ctypes.Structure):
    _fields_ = (("place", c_uint64), ("result", c_int32), ("flags", c_uint32))


_fill = struct.Struct("=iQQI").pack_into
"""What is filled in for each send: an entry's fields from `descriptor` to `length`."""
FILLED_AT: Final = 4
ENTRY_BYTES: Final = sizeof(_Entry)


class Ring:
    """For up to `limit` sends at once, a power of two. Raises OSError if the kernel lets us have none."""

    def __init__(self, limit: int) -> None:
        if sys.platform != "linux":
            raise OSError(errno.ENOSYS, "only Linux has io_uring")
        parameters = _Parameters()
        self._first = 0
        self._pointer = c_char_p()
        self._syscall = ctypes.CDLL(None, use_errno=True).syscall
        with ExitStack() as stack:
            self._descriptor = self._call(SETUP, limit, ctypes.byref(parameters))
            stack.callback(os.close, self._descriptor)
            if not parameters.features & ONE_MAPPING or not parameters.features & CAN_SKIP_SUCCESS:
                raise OSError(errno.ENOSYS, "this kernel's io_uring is too old")
            self._map(parameters, stack)
            self._resources = stack.pop_all()

    def _map(self, parameters: Any, stack: ExitStack) -> None:
        """What is shared with the kernel; all that never changes is filled in."""
        self.limit, submission, completion = parameters.entries, parameters.submission, parameters.completion
        self._mask, self._result_mask = self.limit - 1, parameters.completions - 1
        size = max(
            submission.array + self.limit * WORD,
            completion.results + parameters.completions * sizeof(_Result),
        )
        self._shared = stack.enter_context(mmap.mmap(self._descriptor, size))
        self._entries = stack.enter_context(
            mmap.mmap(self._descriptor, self.limit * ENTRY_BYTES, offset=ENTRIES_MAPPED_AT)
        )
        self._words = stack.enter_context(memoryview(self._shared).cast("I"))
        self._head, self._tail = submission.head // WORD, submission.tail // WORD
        self._results_head, self._results_tail = completion.head // WORD, completion.tail // WORD
        self._results_at = completion.results
        self._address = memoryview(self._pointer).cast("B").cast("P")
        for place in range(self.limit):
            self._words[submission.array // WORD + place] = place
            entry = _Entry(operation=SEND, flags=SKIP_SUCCESS, message_flags=ALL_OR_SAY, place=place)
            self._entries[place * ENTRY_BYTES : (place + 1) * ENTRY_BYTES] = bytes(entry)

    def close(self) -> None:
        self._resources.close()

    def send(self, sends: Sequence[tuple[int, bytes]]) -> list[tuple[int, int]]:
        """Each of these to the socket of its descriptor; no more of them than the limit. Gives those of which not all
        was sent: their number here, from 0, and how many bytes were, or what error there was (negative, one of errno).

        The kernel reads the bytes where they lie: `sends` keeps them until it has.
        """
        words, first, count = self._words, self._first, len(sends)
        assert count <= self.limit
        self._fill_in(sends)
        words[self._tail] = (first + count) & WORD_MASK
        with suppress(OSError):  # no memory, perhaps
            self._call(ENTER, self._descriptor, count, 0, 0, None, 0)
        self._first = words[self._head]  # what was not taken is gone, since the next tail counts from here
        self._pointer.value = None
        taken = (self._first - first) & WORD_MASK
        failed = [((place - first) & self._mask, result) for place, result in self._results_so_far()]
        return failed + [(number, -errno.EAGAIN) for number in range(taken, count)]

    def _fill_in(self, sends: Sequence[tuple[int, bytes]]) -> None:
        entries, mask, pointer, address = self._entries, self._mask, self._pointer, self._address
        last: bytes | None = None
        at = size = 0
        for place, (descriptor, data) in enumerate(sends, self._first):
            if data is not last:  # mostly all get the same
                pointer.value = last = data
                at, size = address[0], len(data)
            _fill(entries, (place & mask) * ENTRY_BYTES + FILLED_AT, descriptor, 0, at, size)

    def _results_so_far(self) -> Iterator[tuple[int, int]]:
        words, head = self._words, self._words[self._results_head]
        for number in range((words[self._results_tail] - head) & WORD_MASK):
            at = self._results_at + ((head + number) & self._result_mask) * sizeof(_Result)
            result = _Result.from_buffer_copy(self._shared, at)
            yield result.place, result.result
        words[self._results_head] = words[self._results_tail]

    def _call(self, *arguments: Any) -> int:
        result: int = self._syscall(*arguments)
        if result < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return result
