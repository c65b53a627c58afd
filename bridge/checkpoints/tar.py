"""The entries of a tar archive, read strictly, from bytes that only go forward.

Two kinds of archive come here: checkpoints, in which there are files and a directory, and layers, in which there may be
anything. Both are hostile, and both are written by few programs, so whatever is said in more than one way, or left open, is
refused rather than guessed: a header about a header, a name given twice, holes, a size where there is nothing, a missing end.
`tarfile` takes all of that as well as it can, which is right for people's archives and wrong here.

No more than a header is in memory at a time, and nothing here calls itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, Literal, NamedTuple, TypeAlias

from bridge.checkpoints.layout import ARCHIVE, refusal, shown

__all__ = ["BLOCK", "Entry", "EntryKind", "LONGEST_NAME", "TarReader"]

BLOCK: Final = 512
PIECE: Final = 1 << 20
LONGEST_NAME: Final = 4096
LARGEST_EXTENSION: Final = 1 << 20
"""Bytes of what stands before an entry: its long name, and its extended attributes in a layer."""

MOST_EXTENSIONS: Final = 64 << 20
"""Bytes of all of these together."""

LONGEST_END: Final = 1 << 20
"""Zeros after the last entry: tar pads with up to a record, whose size its caller chooses."""

EntryKind: TypeAlias = Literal["file", "directory", "hard link", "symbolic link", "device", "FIFO"]

_KINDS: Final[dict[bytes, EntryKind]] = {
    b"0": "file",
    b"\0": "file",
    b"1": "hard link",
    b"2": "symbolic link",
    b"3": "device",
    b"4": "device",
    b"5": "directory",
    b"6": "FIFO",
}
_ZEROS: Final = bytes(BLOCK)


class Entry(NamedTuple):
    """One entry; `link` is where a link leads."""

    name: bytes
    kind: EntryKind
    size: int
    link: bytes


class _Said(NamedTuple):
    """What extension headers say of the entry behind them."""

    name: bytes | None = None
    link: bytes | None = None
    size: int | None = None


class TarReader:
    """Iterate over the entries; `content` gives the bytes of the last one, of which what nobody took is passed over."""

    def __init__(self, read: Callable[[int], bytes], *, entries: int, whole: int, what: str = ARCHIVE) -> None:
        """Take the bytes.

        Args:
            read: returns up to as many bytes as asked for, none only at the end.
            entries: how many entries there may be.
            whole: bytes that all files in it may have.
            what: is read, in sentences.
        """
        self._read = read
        self._entries = entries
        self._whole = whole
        self._what = what
        self._left = 0
        self._padding = 0
        self._taken = 0
        self._content = 0
        self._extensions = 0

    def __iter__(self) -> Iterator[Entry]:
        count = 0
        while (entry := self._next()) is not None:
            count += 1
            if count > self._entries:
                raise refusal(f"{self._what} has more than {self._entries} entries")
            self._content += entry.size
            if self._content > self._whole:
                raise refusal(f"{self._what} holds more than {self._whole} bytes, with {shown(entry.name)}")
            self._left, self._padding = entry.size, -entry.size % BLOCK
            yield entry
            for _ in self.content():
                pass
            self._exactly(self._padding)
        self._end()

    def content(self) -> Iterator[bytes]:
        """Return the bytes of the entry that came last, as far as nobody has taken them."""
        while self._left:
            piece = self._some(min(PIECE, self._left))
            self._left -= len(piece)
            yield piece

    def _next(self) -> Entry | None:
        said = _Said()
        extended: set[bytes] = set()
        while True:
            header = self._exactly(BLOCK)
            if header == _ZEROS:
                if extended:
                    raise refusal(f"{self._what} ends behind a header that announces another entry")
                return None
            kind = header[156:157]
            self._check_sum(header)
            if kind in (b"x", b"L", b"K"):
                # One of each, and no mixture of the two ways: else a reader may take this name and the next reader that.
                if kind in extended or b"x" in extended or (kind == b"x" and extended):
                    raise refusal(f"{self._what} has an entry with more than one header about it")
                extended.add(kind)
                said = self._extension(kind, header, said)
                continue
            return self._entry(kind, header, said)

    def _entry(self, type_flag: bytes, header: bytes, said: _Said) -> Entry:
        posix = header[257:263] == b"ustar\0"
        name = said.name if said.name is not None else _text(header[0:100])
        if said.name is None and posix and (prefix := _text(header[345:500])):
            name = prefix + b"/" + name
        link = said.link if said.link is not None else _text(header[157:257])
        kind = _KINDS.get(type_flag)
        if kind is None:
            raise refusal(f"{self._what} has {shown(name)} as an entry of type {shown(type_flag)}, which is not known")
        size = said.size if said.size is not None else self._number(header[124:136])
        if kind != "file" and size:
            raise refusal(f"{self._what} has {shown(name)}, a {kind} that is said to have {size} bytes")
        if not name or b"\0" in name or b"\0" in link:
            raise refusal(f"{self._what} has an entry without a proper name: {shown(name)}")
        if max(len(name), len(link)) > LONGEST_NAME:
            raise refusal(f"{self._what} has a name of more than {LONGEST_NAME} bytes: {shown(name)}")
        return Entry(name, kind, size, link if kind in ("hard link", "symbolic link") else b"")

    def _extension(self, kind: bytes, header: bytes, said: _Said) -> _Said:
        size = self._number(header[124:136])
        if size > LARGEST_EXTENSION:
            raise refusal(f"{self._what} has an entry with a header of {size} bytes, more than {LARGEST_EXTENSION}")
        self._extensions += size
        if self._extensions > MOST_EXTENSIONS:
            raise refusal(f"{self._what} says more than {MOST_EXTENSIONS} bytes about its entries")
        data = self._exactly(size)
        self._exactly(-size % BLOCK)
        if kind == b"x":
            return self._records(data)
        long = data.removesuffix(b"\0")
        return said._replace(name=long) if kind == b"L" else said._replace(link=long)

    def _records(self, data: bytes) -> _Said:
        """Read the records of a PAX header, `LENGTH KEY=VALUE` and a newline each."""
        said: dict[bytes, bytes] = {}
        while data:
            digits, blank, _ = data[:12].partition(b" ")
            length = int(digits) if blank and digits.isdigit() else 0
            record = data[len(digits) + 1 : length]
            key, equals, value = record[:-1].partition(b"=")
            if not key or not equals or len(data) < length or not record.endswith(b"\n"):
                raise refusal(f"{self._what} has an extended header that cannot be read: {shown(data[:40])}")
            if key in said or key.startswith(b"GNU.sparse"):
                why = "says it twice" if key in said else "is a file with holes"
                raise refusal(f"{self._what} has an entry that {why}: {shown(key)}")
            said[key] = value
            data = data[length:]
        size = said.get(b"size")
        if size is not None and not (size.isdigit() and len(size) < 20):
            raise refusal(f"{self._what} has an entry of size {shown(size)}")
        return _Said(said.get(b"path"), said.get(b"linkpath"), None if size is None else int(size))

    def _check_sum(self, header: bytes) -> None:
        total = sum(header[:148]) + 8 * 0x20 + sum(header[156:])
        if header[257:262] != b"ustar" or self._number(header[148:156]) != total:
            raise refusal(f"{self._what} is no tar archive, or it is damaged: there is no header where one should be")
        for begin in (100, 108, 116, 329, 337):  # mode, owner, device: others stop at a header that is wrong there
            self._number(header[begin : begin + 8])
        if header[136] != 0xFF:  # a time before 1970
            self._number(header[136:148])

    def _number(self, field: bytes) -> int:
        """Read a number as tar writes it: octal digits, or where that is too short 0x80 and the bytes of the number."""
        if field[0] == 0x80:
            return int.from_bytes(field[1:], "big")
        digits = field.strip(b" \0")
        if not digits:
            return 0
        if any(byte not in b"01234567" for byte in digits):
            raise refusal(f"{self._what} has a header with {shown(digits)} for a number")
        return int(digits, 8)

    def _end(self) -> None:
        """Look at what is behind the first block of zeros: another one, and nothing but zeros to the end."""
        if self._exactly(BLOCK) != _ZEROS:
            raise refusal(f"{self._what} goes on behind its end")
        total = 0
        while piece := self._read(PIECE):
            total += len(piece)
            if piece.count(0) != len(piece) or total > LONGEST_END:
                raise refusal(f"{self._what} goes on behind its end")

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            data += self._some(size - len(data))
        return data

    def _some(self, size: int) -> bytes:
        data = self._read(size)
        if not data:
            raise refusal(f"{self._what} ends in the middle, after {self._taken} bytes")
        self._taken += len(data)
        return data


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]
