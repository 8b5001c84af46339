"""Fetching files, with torchvision's downloader and checksums; only ever called when the user asks."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.error import URLError

from .errors import DataError
from .request import check_md5


def fetch(urls: Iterable[str], target: Path, md5: str | None) -> None:
    """Download a file from the first address that works; it appears whole and checked, or not at all.

    Raises:
        DataError: no address works, or the checksum differs.
    """

    def retrieve(address: str) -> Callable[[Path], None]:
        from torchvision.datasets.utils import download_url

        return lambda folder: download_url(address, folder, target.name, md5)

    _fetch({url: retrieve(url) for url in urls}, target, md5)


def fetch_drive(file_id: str, target: Path, md5: str | None) -> None:
    """Download a file from Google Drive.

    Raises:
        DataError: it does not work (the quota of the file is often used up), or the checksum differs.
    """

    def retrieve(folder: Path) -> None:
        from torchvision.datasets.utils import download_file_from_google_drive

        download_file_from_google_drive(file_id, folder, target.name, md5)

    _fetch({f"https://drive.google.com/file/d/{file_id}": retrieve}, target, md5)


def _fetch(ways: dict[str, Callable[[Path], None]], target: Path, md5: str | None) -> None:
    if target.exists():
        check_md5(target, md5)
        return
    failures = []
    target.parent.mkdir(parents=True, exist_ok=True)
    for address, retrieve in ways.items():
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".download-") as folder:
            try:
                # standard output belongs to data; torchvision reports its progress there in some versions
                with contextlib.redirect_stdout(sys.stderr):
                    retrieve(Path(folder))
                check_md5(Path(folder) / target.name, md5)
            except (RuntimeError, URLError, OSError, DataError) as error:
                failures.append(f"{address}: {error}")
                continue
            os.replace(Path(folder) / target.name, target)
            return
    raise DataError(
        f"cannot download {target.name}: {'; '.join(failures)}. Fetch it by other means and put it at {target}"
    )
