"""Where files lie: a folder, a zip or a tar archive, read in place and never unpacked."""

import hashlib
import lzma
import posixpath
import tarfile
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

from .errors import DamagedFileError, DataError, MissingFilesError

MOST_BYTES = 1 << 30
BROKEN = (OSError, EOFError, zlib.error, lzma.LZMAError)


class Source(ABC):
    """Named files below one path; names are relative, with forward slashes."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @abstractmethod
    def files(self) -> Sequence[str]:
        """The names of all files, sorted."""

    @abstractmethod
    def has(self, name: str) -> bool:
        """Whether a file is there."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """The content of one file.

        Raises:
            MissingFilesError: it is not there.
            DamagedFileError: it cannot be read, or is larger than 1 GiB.
        """

    @abstractmethod
    def fingerprint(self, names: Sequence[str]) -> str:
        """A digest of the contents of the named files."""


class Folder(Source):
    """Files below a folder."""

    def files(self) -> Sequence[str]:
        found = (path for path in self.path.rglob("*") if path.is_file())
        return sorted(path.relative_to(self.path).as_posix() for path in found)

    def has(self, name: str) -> bool:
        return (self.path / inside(name, str(self.path))).is_file()

    def read(self, name: str) -> bytes:
        path = self.path / inside(name, str(self.path))
        try:
            if path.stat().st_size > MOST_BYTES:
                raise DamagedFileError(f"{path}: larger than {MOST_BYTES:,} bytes")
            return path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            raise MissingFilesError(f"{path} is not there") from None
        except OSError as error:
            raise DamagedFileError(f"cannot read {path}: {error.strerror or error}") from None

    def fingerprint(self, names: Sequence[str]) -> str:
        return _digest((name, hashlib.sha256(self.read(name)).hexdigest()) for name in names)


class Zip(Source):
    """Members of a zip archive; a single top folder around everything is looked through.

    Raises:
        DamagedFileError: not a zip.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, ValueError) as error:
            raise DamagedFileError(f"{path}: expected a zip archive; {error}") from None

    @cached_property
    def _members(self) -> dict[str, zipfile.ZipInfo]:
        infos = {info.filename: info for info in self._zip.infolist() if not info.is_dir()}
        names = [name for name in infos if not name.startswith("__MACOSX/")]
        tops = {name.split("/", 1)[0] for name in names}
        prefix = f"{next(iter(tops))}/" if len(tops) == 1 and all("/" in name for name in names) else ""
        return {name.removeprefix(prefix): infos[name] for name in names}

    def files(self) -> Sequence[str]:
        return sorted(self._members)

    def has(self, name: str) -> bool:
        return inside(name, str(self.path)) in self._members

    def read(self, name: str) -> bytes:
        info = self._members.get(inside(name, str(self.path)))
        if info is None:
            raise MissingFilesError(f"{self.path} has no member {name}")
        if info.file_size > MOST_BYTES:
            raise DamagedFileError(f"{self.path}: {name} unpacks to more than {MOST_BYTES:,} bytes")
        try:
            return self._zip.read(info)
        except (*BROKEN, zipfile.BadZipFile, RuntimeError) as error:
            raise DamagedFileError(f"{self.path}: cannot read member {name}: {error}") from None

    def fingerprint(self, names: Sequence[str]) -> str:
        return _digest((name, self._members[name].CRC, self._members[name].file_size) for name in names)


class Tar(Source):
    """Members of a (compressed) tar archive, read once in their order and kept in memory.

    Raises:
        DamagedFileError: not a tar archive.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._members = self._read_all()

    def _read_all(self) -> dict[str, bytes]:
        members: dict[str, bytes] = {}
        try:
            with tarfile.open(self.path) as archive:
                for info in archive:
                    file = archive.extractfile(info) if info.isfile() and info.size <= MOST_BYTES else None
                    if file is not None:
                        members[info.name] = file.read()
        except (*BROKEN, tarfile.TarError) as error:
            raise DamagedFileError(f"{self.path}: expected a tar archive; {error}") from None
        return members

    def files(self) -> Sequence[str]:
        return sorted(self._members)

    def has(self, name: str) -> bool:
        return name in self._members

    def read(self, name: str) -> bytes:
        if name not in self._members:
            raise MissingFilesError(f"{self.path} has no member {name}")
        return self._members[name]

    def fingerprint(self, names: Sequence[str]) -> str:
        return _digest((name, hashlib.sha256(self.read(name)).hexdigest()) for name in names)


def open_source(path: Path) -> Source:
    """A folder or a zip.

    Raises:
        MissingFilesError: nothing is there.
        DamagedFileError: a file that is not a zip.
    """
    if path.is_dir():
        return Folder(path)
    if path.exists():
        return Zip(path)
    raise MissingFilesError(f"{path} is not there; expected a folder or a zip of images with metadata.csv")


def inside(name: str, source: str) -> str:
    """The normal form of a relative file name.

    Raises:
        DataError: the name is absolute or leaves the folder.

    >>> inside("./img/a.png", "data.zip")
    'img/a.png'
    """
    normal = posixpath.normpath(name.replace("\\", "/"))
    drive = normal[1:2] == ":"
    if normal.startswith(("/", "../")) or normal in (".", "..") or drive or "\0" in normal:
        raise DataError(f"{source}: file name {name!r} leaves the folder; expected a path relative to it")
    return normal


def _digest(parts: Iterable[tuple[object, ...]]) -> str:
    sha = hashlib.sha256()
    for part in parts:
        sha.update(repr(part).encode())
    return sha.hexdigest()
