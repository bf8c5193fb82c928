"""Files that are written whole or not at all, and what the system says when they cannot be written."""

import contextlib
import os
import pathlib
import re
import tempfile


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
    path = pathlib.Path(path)
    data = content.encode("utf-8") if isinstance(content, str) else content
    descriptor, temporary = tempfile.mkstemp(".tmp", f".{path.name}.", path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())  # mkstemp gives 0600
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    fsync_directory(path.parent)


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


def first_line(error: BaseException) -> str:
    """The first line of an error, without TensorFlow's decoration, `{{function_node ...}} ... [Op:SaveV2]`."""
    line = (str(error).splitlines() or [""])[0]
    line = re.sub(r"\{\{function_node [^}]*\}\}\s*|\s*\[Op:\w+\].*$", "", line)
    return line.rstrip(".") or type(error).__name__


def _umask():
    value = os.umask(0)
    os.umask(value)
    return value
