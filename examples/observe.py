#!/usr/bin/env python3
"""Follows a ring from Python: an observer written from docs/format.md, with nothing but the standard library.

    python3 examples/observe.py RING [--last N | --oldest] [--follow] [--hex] [--no-inline]

It prints each record with its sequence, what it lost, and where another producer went on. It ends when the producer
has closed the ring (exit status 0) or died (7); with --follow it waits for the next producer instead. In other words:
what `quoit sub --observe` does. It only reads: no producer and no consumer knows of it or waits for it.

What to look at: `Ring.next`. A reader that can be overwritten copies first and looks at `reserve` afterwards. The
producer raises `reserve` before it touches a byte that is below it, so a copy that was taken before a look which finds
`reserve - capacity` at or below its first byte holds nothing of the next lap. Nothing that was copied is looked at any
earlier, so a torn header misleads nobody.

What this relies on, since Python has neither atomic loads nor fences:

* x86-64, where a processor makes its loads in program order, and stores become visible in program order. There the
  acquire fences of docs/format.md are no instructions. On other processors this program refuses to run.
* CPython, which is compiled ahead: each line below makes its own loads when its turn comes, none is kept from
  before or moved across another. An item of a memoryview of format 'Q' is one aligned load of eight bytes.

It looks every millisecond while there is nothing new. If somebody cuts the file short it dies of SIGBUS.
"""

import argparse
import fcntl
import mmap
import os
import platform
import stat
import struct
import sys
import time

MASK = 2**64 - 1
PADDING = 1 << 31
# Offsets of words in the head, in words: docs/format.md, sections 4 and 5.
PUBLISHED, STAMP, INLINE, RESERVE = 4096 // 8, 4104 // 8, 4112 // 8, 4224 // 8
EPOCH, ODD_BEGAN, EVEN_BEGAN, CLOSED = 4232 // 8, 4240 // 8, 4280 // 8, 4256 // 8
INDEX = 4480 // 8
# Most bytes that are copied at a time, unless one record has more.
CHUNK = 64 << 10
PRODUCER_LOCK = 2**62


def after(a, b):
    """Positions and sequences wrap: they are compared by their signed distance."""
    return 0 < (a - b) & MASK < 2**63


def footprint(length):
    return 8 + (length + 7 & ~7)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def boot_id():
    with open("/proc/sys/kernel/random/boot_id") as file:
        return int(file.read().strip().replace("-", ""), 16)


class Refused(Exception):
    pass


class Place:
    """A record boundary: position, sequence of the record that starts there, payload bytes before it."""

    def __init__(self, position, sequence, payload_bytes):
        self.position, self.sequence, self.bytes = position, sequence, payload_bytes

    def past_record(self, length):
        position = self.position + footprint(length) & MASK
        return Place(position, self.sequence + 1 & MASK, self.bytes + length & MASK)

    def past_padding(self, size):
        return Place(self.position + size & MASK, self.sequence, self.bytes)


class Ring:
    def __init__(self, path, use_inline=True):
        self.fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        head_bytes, control_bytes = self.check()
        areas = {"flags": mmap.MAP_SHARED, "prot": mmap.PROT_READ}
        self.head = memoryview(mmap.mmap(self.fd, head_bytes, **areas)).cast("Q")
        self.data = memoryview(mmap.mmap(self.fd, self.capacity, offset=head_bytes + control_bytes, **areas))
        self.words = self.data.cast("Q")
        self.use_inline = use_inline and self.inline
        self.place = None
        self.epoch = self.head[EPOCH]
        # Where a producer began that was not told of yet, and its number.
        self.change = None
        self.from_inline = 0
        # Records of a copy that was found whole, and what is left of it to hand out.
        self.copied, self.at = b"", 0

    def check(self):
        """Section 9: the identity page is read once, checked, and believed from then on. Python tells neither which file
        system it is nor when the file was born, so these two stay unchecked."""
        status = os.fstat(self.fd)
        if not stat.S_ISREG(status.st_mode):
            raise Refused("not a regular file")
        page = os.pread(self.fd, 4096, 0)
        if len(page) < 4096 or page[:8] != b"quoit\r\n\x1a":
            raise Refused("not a ring")
        words = struct.unpack("<512Q", page)
        if words[1] != 1 << 32:
            raise Refused(f"a ring of version {words[1] >> 32}.{words[1] & 0xFFFFFFFF}; this reads 1.0")
        if words[2] != 0x0102030405060708 or words[3] != crc32c(page[32:176]):
            raise Refused("a damaged ring")
        size, alignment, self.capacity, self.segments, slots, options = words[4:10]
        self.stride = self.capacity // self.segments
        self.inline = options & 1

        def rounded(used):
            return (used + alignment - 1) // alignment * alignment

        head_bytes, control_bytes = rounded(4480 + 32 * self.segments), rounded(256 + 512 * slots)
        if size != head_bytes + control_bytes + rounded(self.capacity) or options & ~0xF:
            raise Refused("a damaged ring")
        if options & 2:
            raise Refused("this ring takes gated consumers only")
        if status.st_size != size or status.st_blocks * 512 < size:
            raise Refused("cut short, or it has holes")
        if (words[18], words[19]) != (status.st_dev, status.st_ino):
            raise Refused("a copy of a ring: what was half written when it was taken is torn")
        boot = words[15] | words[16] << 64
        if boot not in (0, boot_id()) and not self.is_locked(PRODUCER_LOCK, to_the_end=True):
            raise Refused("from an earlier boot, or another container, and nobody uses it")
        if status.st_nlink == 0:
            raise Refused("removed")
        return head_bytes, control_bytes

    def floor(self):
        """What is below is gone. A call of its own, so that nobody reads `reserve` too early."""
        return self.head[RESERVE] - self.capacity & MASK

    def entries(self, position, down=False):
        """The intact entries of the segment index, from the segment that `position` is in, upwards or downwards."""
        first = position - position % self.stride & MASK
        for _ in range(self.segments):
            at = INDEX + 4 * (first % self.capacity // self.stride)
            place = self.head[at]
            # Of this lap, and not being written (odd).
            if place % 8 == 0 and place - first & MASK < self.stride:
                sequence, payload_bytes = self.head[at + 1], self.head[at + 2]
                # The same as before: nobody wrote it meanwhile. And only then `reserve`.
                if self.head[at] == place and not after(self.floor(), place):
                    yield Place(place, sequence, payload_bytes)
            first = first + (-self.stride if down else self.stride) & MASK

    def start(self, last=None):
        """Begins at the oldest record, or at the last so many."""
        while self.place is None:
            if last is None:
                self.place = next(self.entries(self.floor() + self.stride - 1), None)
            else:
                self.place = self.find(last)

    def find(self, last):
        """Where the last so many records begin, or all that there are. None: lapped meanwhile; they are others by now."""
        published = self.head[PUBLISHED]
        end = None
        for entry in self.entries(published, down=True):
            if end is None:
                # The newest entry: from there it is not far to the end, and the sequence there.
                end = self.walk(entry, published)
                if end is None:
                    return None
            begin = entry
            if end.sequence - entry.sequence & MASK >= last:
                return self.walk(entry, published, end.sequence - last & MASK)
        return end and begin

    def walk(self, place, published, wanted=None):
        """From record to record up to `published`, or to the record that is wanted. None: lapped on the way."""
        while after(published, place.position) and place.sequence != wanted:
            header = self.words[place.position % self.capacity // 8]
            if after(self.floor(), place.position):
                return None
            place = self.step(place, header, published)
        return place

    def step(self, place, header, published):
        """Past what the header says, which is known to be of this lap."""
        length, room = header & 0xFFFFFFFF, self.capacity - place.position % self.capacity
        left = published - place.position & MASK
        if length & PADDING:
            if left >= room and room <= self.capacity // 2:
                return place.past_padding(room)
        elif footprint(length) <= min(left, room, self.capacity // 2) and header >> 32 == place.sequence & 0xFFFFFFFF:
            return place.past_record(length)
        raise Refused(f"no record at position {place.position}: the ring is damaged")

    def next(self):
        """The next event: ("record", sequence, payload), ("lost", first, records, bytes), ("producer", number), or
        None: nothing new."""
        place = self.place
        if self.at == len(self.copied):
            published = self.head[PUBLISHED]
            if not after(published, place.position):
                return None
            self.look_at_epoch()
            if self.change is not None:
                began, epoch = self.change
                if not after(began, place.position):
                    self.change = None
                    return "producer", epoch
                # Records of two producers are never in one copy.
                if after(published, began):
                    published = began
            event = self.next_inline(place, published) if self.use_inline else None
            if event is not None:
                return event
            at = place.position % self.capacity
            new = min(published - place.position & MASK, self.capacity - at)
            # How much there is of the record at least, if this is one: judged below, once it is known to be whole.
            length = self.words[at // 8] & 0xFFFFFFFF
            size = min(new, max(CHUNK, 8 if length & PADDING else footprint(length)))
            copied = bytes(self.data[at : at + size])
            # Copied, and then looked: this order is what it all rests on.
            if after(self.floor(), place.position):
                return self.resync()
            self.copied, self.at, self.seen = copied, 0, published
        header = int.from_bytes(self.copied[self.at : self.at + 8], "little")
        self.place = self.step(place, header, self.seen)
        if header & PADDING:
            self.copied, self.at = b"", 0
            return self.next()
        begin, length = self.at + 8, header & 0xFFFFFFFF
        payload = self.copied[begin : begin + length]
        self.at += footprint(length)
        if self.at > len(self.copied):
            # The copy ends within this record, which is the first of the next copy.
            self.place, self.copied, self.at = place, b"", 0
            return self.next()
        return "record", place.sequence, payload

    def next_inline(self, place, published):
        """The second copy of a short record that was published alone. A reader may do without."""
        header = self.head[INLINE]
        length = header & 0xFFFFFFFF
        fits = length <= 104 and published - place.position & MASK == footprint(length)
        if not fits or header >> 32 != place.sequence & 0xFFFFFFFF:
            return None
        payload = self.head[INLINE + 1 : INLINE + 14].tobytes()[:length]
        # Copied, and then looked at the stamp.
        if self.head[STAMP] != published:
            return None
        self.place = place.past_record(length)
        self.from_inline += 1
        return "record", place.sequence, payload

    def look_at_epoch(self):
        epoch = self.head[EPOCH]
        if epoch != self.epoch:
            self.epoch = epoch
            if epoch > 1:
                self.change = self.head[ODD_BEGAN if epoch % 2 else EVEN_BEGAN], epoch

    def resync(self):
        """Lapped. Goes on half a ring behind the producer: from the oldest entry this would be lapped again at once."""
        while True:
            for entry in self.entries(self.head[PUBLISHED] - self.capacity // 2 - self.stride):
                if after(entry.position, self.place.position):
                    left, self.place = self.place, entry
                    return "lost", left.sequence, entry.sequence - left.sequence & MASK, entry.bytes - left.bytes & MASK

    def end(self):
        """With nothing new: "closed", "died", or None while a producer may still publish."""
        closed, epoch = self.head[CLOSED], self.head[EPOCH]
        died = not closed and epoch != 0 and not self.is_locked(PRODUCER_LOCK)
        # It may have published before it ended and after the last look.
        if after(self.head[PUBLISHED], self.place.position):
            return None
        return "closed" if closed else "died" if died else None

    def is_locked(self, byte, to_the_end=False):
        """Section 8: whether a participant holds this byte, or one from here on. Asked with F_RDLCK, which only write
        locks are in the way of."""
        request = struct.pack("hhqqi4x", fcntl.F_RDLCK, os.SEEK_SET, byte, 0 if to_the_end else 1, 0)
        kind, _, _, length, _ = struct.unpack("hhqqi4x", fcntl.fcntl(self.fd, fcntl.F_OFD_GETLK, request))
        # A longer lock is nobody's life: whoever tidies up takes it.
        return kind != fcntl.F_UNLCK and length == 1


def tell(event, as_hex):
    if event[0] == "record":
        _, sequence, payload = event
        print(f"{sequence}: {payload.hex() if as_hex else repr(payload)}")
    elif event[0] == "lost":
        _, first, records, payload_bytes = event
        print(f"lost {records} records, {payload_bytes} bytes, from {first} on")
    else:
        print(f"producer {event[1]} from here on")


def follow(ring, args):
    told = None
    while True:
        event = ring.next()
        if event is not None:
            tell(event, args.hex)
            continue
        sys.stdout.flush()
        # Once for each producer, not for each look.
        end = ring.end()
        if end is not None and told != (end, ring.head[EPOCH]):
            told = end, ring.head[EPOCH]
            print(f"the producer {'has closed the ring' if end == 'closed' else 'died'}", flush=True)
            if not args.follow:
                return 0 if end == "closed" else 7
        time.sleep(0.001)


def main():
    parser = argparse.ArgumentParser(description="Prints the records of a ring, and goes on as they come.")
    parser.add_argument("ring")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--last", type=int, default=0, metavar="N", help="begin with the last N records; 0: with the next")
    where.add_argument("--oldest", action="store_true", help="begin with the oldest record")
    parser.add_argument("--follow", action="store_true", help="wait for the next producer when one has ended")
    parser.add_argument("--hex", action="store_true", help="payloads in hexadecimal")
    parser.add_argument("--no-inline", action="store_true", help="read every record from the ring itself")
    args = parser.parse_args()
    if platform.machine() != "x86_64" or sys.implementation.name != "cpython":
        sys.exit("observe.py relies on CPython on x86-64: see the text at its beginning")
    try:
        ring = Ring(args.ring, use_inline=not args.no_inline)
        ring.start(None if args.oldest else args.last)
        print(f"from sequence {ring.place.sequence} on", flush=True)
        try:
            status = follow(ring, args)
        except KeyboardInterrupt:
            status = 130
        print(f"{ring.from_inline} records came by their inline copy", flush=True)
        return status
    except BrokenPipeError:
        # Whoever read this has gone. Nothing is to be said at the end either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (OSError, Refused) as error:
        print(f"{args.ring}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
