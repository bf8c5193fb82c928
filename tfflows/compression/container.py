"""The file: its parts as bytes.

    magic        8 bytes
    version      uint16, of this format
    length       uint32, of the header
    header       a JSON object, deflated
    checks       one uint16 a tile
    hash         CRC-32 of all before it
    planes       tiles that are stored as they are, then alpha planes, each deflated, behind its length as uint32
    words        uint32 words of the coder's stack, the top first

All numbers are little-endian. The top of the stack holds the first image, so that a file that was cut gives the first images.
"""

import dataclasses
import json
import zlib
from typing import Any

import numpy as np

MAGIC = b"\x89TFF\r\n\x1a\n"
FORMAT_VERSION = 1
SUFFIX = ".tff"
_PREFIX = len(MAGIC) + 2 + 4


class ArchiveError(ValueError):
    """A file that cannot be decompressed, or not further than to an image that the message names.

    Attributes:
      image: Number of the first image that cannot be decompressed, from 0; None if there is none that can.
    """

    def __init__(self, message: str, image: int | None = None) -> None:
        """Creates the error."""
        super().__init__(message)
        self.image = image


@dataclasses.dataclass
class Container:
    """The parts of a file.

    Attributes:
      header: What can be written as JSON.
      checks: A check word of each tile, uint16 `[N]`.
      raw: The pixels of tiles that are stored as they are, in their order, and then those of alpha planes.
      words: The stack, uint32, the top last.
      is_whole: Whether nothing is missing at the end.
    """

    header: dict[str, Any]
    checks: np.ndarray
    raw: list[bytes]
    words: np.ndarray
    is_whole: bool = True

    def to_bytes(self) -> bytes:
        """The file.

        Example:
          >>> import numpy as np
          >>> from tfflows.compression.container import Container
          >>> container = Container({"images": 2}, np.array([7, 8], np.uint16), [b"aaaa"], np.array([3, 1], np.uint32))
          >>> Container.from_bytes(container.to_bytes()).header
          {'images': 2, 'num_raw': 1, 'num_words': 2, 'num_tiles': 2}
        """
        counts = {"num_raw": len(self.raw), "num_words": len(self.words), "num_tiles": len(self.checks)}
        header = zlib.compress(json.dumps({**self.header, **counts}, separators=(",", ":")).encode(), 9)
        head = MAGIC + FORMAT_VERSION.to_bytes(2, "little") + len(header).to_bytes(4, "little") + header
        head += self.checks.astype("<u2").tobytes()
        parts = [head, zlib.crc32(head).to_bytes(4, "little")]
        for pixels in self.raw:
            deflated = deflate(pixels)
            parts += [len(deflated).to_bytes(4, "little"), deflated]
        return b"".join([*parts, self.words[::-1].astype("<u4").tobytes()])

    @classmethod
    def from_bytes(cls, data: bytes) -> "Container":
        """Reads a file, as far as it goes.

        Raises:
          ArchiveError: If it is no such file, or its header is damaged.
        """
        if data[: len(MAGIC)] != MAGIC:
            raise ArchiveError(f"This is no file of compressed images ({SUFFIX}).")
        version = int.from_bytes(data[len(MAGIC) : len(MAGIC) + 2], "little")
        if version != FORMAT_VERSION:
            raise ArchiveError(
                f"The file has format version {version}, this library reads version {FORMAT_VERSION}: install the version of "
                "tfflows that wrote it."
            )
        length = int.from_bytes(data[len(MAGIC) + 2 : _PREFIX], "little")
        try:
            header = json.loads(zlib.decompress(data[_PREFIX : _PREFIX + length]))
            end = _PREFIX + length + 2 * header["num_tiles"]
            intact = zlib.crc32(data[:end]) == int.from_bytes(data[end : end + 4], "little") and len(data) >= end + 4
        except (zlib.error, ValueError, KeyError, TypeError) as error:
            raise ArchiveError("The header of the file is damaged, so that no image can be decompressed.") from error
        if not intact:
            raise ArchiveError("The header of the file is damaged, so that no image can be decompressed.")
        checks = np.frombuffer(data[_PREFIX + length : end], "<u2").astype(np.uint16)
        raw, place = [], end + 4
        for _ in range(header["num_raw"]):
            size = int.from_bytes(data[place : place + 4], "little")
            raw.append(data[place + 4 : place + 4 + size])
            place += 4 + size
        body = data[place : place + 4 * header["num_words"]]
        words = np.frombuffer(body[: len(body) // 4 * 4], "<u4").astype(np.uint32)[::-1]
        return cls(header, checks, raw, words, len(data) == place + 4 * header["num_words"])


def deflate(pixels: bytes) -> bytes:
    """Pixels of a tile that is stored as it is."""
    return zlib.compress(pixels, 9)


def inflate(deflated: bytes) -> bytes | None:
    """Undoes `deflate`; None if the bytes are damaged."""
    try:
        return zlib.decompress(deflated)
    except zlib.error:
        return None


def check_word(tile: np.ndarray) -> int:
    """Sixteen bits that tell a tile from a wrong one."""
    return zlib.crc32(np.ascontiguousarray(tile).tobytes()) & 0xFFFF
