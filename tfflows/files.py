"""Files that are written whole or not at all, and what the system says when they cannot be written."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any, BinaryIO


def atomic_write(path: str | os.PathLike, content: str | bytes) -> None:
    """Writes `content` to `path`, so that `path` holds either its old content or all of the new.

    The content goes to a temporary file in the same directory, is flushed to the device, and replaces `path` in one step. Text is
    written as UTF-8.

    Raises:
      OSError: If it cannot be written (such as on a full disk); `path` is then as it was before.

    Example:
      >>> import pathlib, tempfile
      >>> from tfflows.files import atomic_write
      >>> with tempfile.TemporaryDirectory() as directory:
      ...     path = pathlib.Path(directory) / "note.txt"
      ...     atomic_write(path, "saved")
      ...     print(path.read_text(), len(list(path.parent.iterdir())))
      saved 1
    """
    with atomic_file(path) as file:
        file.write(content.encode("utf-8") if isinstance(content, str) else content)


@contextlib.contextmanager
def atomic_file(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """A file that is written part by part, and becomes `path` in one step when the context ends without an error.

    As `atomic_write` does it, for content that is not in memory as a whole.

    Raises:
      OSError: If it cannot be written; `path` is then as it was before, as after any other error in the context.

    Example:
      >>> import pathlib, tempfile
      >>> from tfflows.files import atomic_file
      >>> with tempfile.TemporaryDirectory() as directory:
      ...     path = pathlib.Path(directory) / "note.txt"
      ...     with atomic_file(path) as file:
      ...         for part in (b"one ", b"two"):
      ...             _ = file.write(part)
      ...     print(path.read_text())
      one two
    """
    path = pathlib.Path(path)
    descriptor, temporary = tempfile.mkstemp(".tmp", f".{_start_of(path.name)}.", path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())  # mkstemp gives 0600
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    fsync_directory(path.parent)


@contextlib.contextmanager
def atomic_directory(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """A new directory that becomes `path` when the context ends without an error, in place of one that may be there.

    Raises:
      OSError: If it cannot be written; `path` is then as it was before, as after any other error in the context.

    Example:
      >>> import pathlib, tempfile
      >>> from tfflows.files import atomic_directory
      >>> with tempfile.TemporaryDirectory() as directory:
      ...     path = pathlib.Path(directory) / "notes"
      ...     for name in ("first", "second"):
      ...         with atomic_directory(path) as new:
      ...             _ = (new / name).write_text("a note")
      ...     print([file.name for file in path.iterdir()])
      ['second']
    """
    path = pathlib.Path(path)
    with tempfile.TemporaryDirectory(suffix=".tmp", prefix=f".{_start_of(path.name)}.", dir=path.parent) as temporary:
        new, old = pathlib.Path(temporary, "new"), pathlib.Path(temporary, "old")
        new.mkdir()
        yield new
        if path.exists():
            path.rename(old)
        try:
            new.rename(path)
        except BaseException:
            if old.exists():
                old.rename(path)
            raise
    fsync_directory(path.parent)


def remove_leftovers(path: str | os.PathLike) -> None:
    """Removes what `atomic_file` and `atomic_directory` of this path left behind in a process that was killed.

    Nothing else may be writing to the path.

    Example:
      >>> import pathlib, tempfile
      >>> from tfflows.files import remove_leftovers
      >>> with tempfile.TemporaryDirectory() as directory:
      ...     path = pathlib.Path(directory) / "note.txt"
      ...     _ = path.with_name(".note.txt.k3y.tmp").write_text("half a no")
      ...     remove_leftovers(path)
      ...     print(list(path.parent.iterdir()))
      []
    """
    path = pathlib.Path(path)
    for place in path.parent.iterdir() if path.parent.is_dir() else ():
        if place.name.startswith(f".{_start_of(path.name)}.") and place.name.endswith(".tmp"):
            if place.is_dir():
                shutil.rmtree(place, ignore_errors=True)
            else:
                place.unlink(missing_ok=True)


def as_file_name(text: str, max_length: int = 40) -> str:
    """A text as a part of a file's name: what is no letter, digit, dot or dash becomes an underscore; what is too long is cut.

    Several texts may give the same name.

    Example:
      >>> from tfflows.files import as_file_name
      >>> as_file_name("cats/big & small")
      'cats_big_small'
    """
    return re.sub(r"[^\w.-]+", "_", text)[:max_length].strip("_")


def _start_of(name):
    """So much of a file's name that a temporary one, which is longer, is not too long."""
    return name.encode(errors="surrogateescape")[:200].decode(errors="ignore")


def check_writable(directory: str | os.PathLike) -> None:
    """Makes a directory if need be, and writes a temporary file in it.

    Raises:
      OSError: If that cannot be done, such as where all is read-only.
    """
    pathlib.Path(directory).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=directory) as file:
        file.write(b"0")


def available_memory() -> int | None:
    """Bytes of memory that this machine can still give; None if it does not say."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in pathlib.Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return 1024 * int(line.split()[1])
    return None


def fsync_directory(path: str | os.PathLike) -> None:
    """Flushes the entries of a directory, so that a rename survives a loss of power."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        pass  # some network file systems cannot flush a directory
    finally:
        os.close(descriptor)


def read_json(path: str | os.PathLike) -> Any:
    """The content of a JSON file.

    Raises:
      FileNotFoundError: If there is none.
      ValueError: If it is no regular file, or not JSON; the message names the file and the line.
    """
    path = pathlib.Path(path)
    if path.exists() and not path.is_file():  # reading from a pipe would wait for ever
        raise ValueError(f"{path}: not JSON: it is a directory, a pipe or a device.")
    content = path.read_bytes()
    try:
        return json.loads(content.decode())
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ValueError(f"{path}: not JSON: line {line} is not UTF-8.") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: not JSON: {error}.") from error
    except (RecursionError, ValueError) as error:  # also numbers of thousands of digits
        raise ValueError(f"{path}: not JSON of any use: {first_line(error)}.") from None


def check_is_directory(path: str | os.PathLike) -> None:
    """Checks that a path is a directory, or can become one.

    Raises:
      NotADirectoryError: If it, or a parent of it, is a file.
    """
    for place in (pathlib.Path(path), *pathlib.Path(path).parents):
        if place.exists() and not place.is_dir():
            raise NotADirectoryError(f"{path} cannot be a directory: {place} is a file. Give another path.")


# TensorFlow looks for checkpoints by pattern.
_PATTERN_CHARACTERS = re.compile(r"[\[\]*?\\]")


@contextlib.contextmanager
def plain_directory(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """A path of a directory that TensorFlow does not take for a pattern, and that is text.

    That is the path itself, or a link to it in the system's directory for temporary files, which is there within the context.

    Example:
      >>> import pathlib, tempfile
      >>> from tfflows.files import plain_directory
      >>> with tempfile.TemporaryDirectory(suffix="[1]") as directory:
      ...     _ = (pathlib.Path(directory) / "note.txt").write_text("found")
      ...     with plain_directory(directory) as plain:
      ...         print((plain / "note.txt").read_text(), "[" in str(plain))
      found False
    """
    path = pathlib.Path(path)
    if is_plain(path.absolute()):
        yield path
        return
    parent = tempfile.gettempdir()
    with tempfile.TemporaryDirectory(prefix="tfflows-", dir=parent if is_plain(parent) else "/tmp") as temporary:
        link = pathlib.Path(temporary) / "directory"
        link.symlink_to(path.absolute(), target_is_directory=True)
        yield link


def is_plain(path: str | os.PathLike) -> bool:
    """Whether a path is text without the characters of TensorFlow's patterns."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return not _PATTERN_CHARACTERS.search(str(path))


def first_line(error: BaseException) -> str:
    """The first line of an error, without TensorFlow's decoration, `{{function_node ...}} ... [Op:SaveV2]`.

    Of an assertion in a graph it is the message alone.
    """
    line = (str(error).splitlines() or [""])[0]
    line = re.sub(r"\{\{function_node [^}]*\}\}\s*|\s*\[Op:\w+\].*$", "", line)
    asserted = re.match(r"assertion failed: \[(.*?)\] \[", line)
    line = asserted[1] if asserted else line
    return line.rstrip(".") or type(error).__name__


def _umask():
    value = os.umask(0)
    os.umask(value)
    return value
