"""`celeba`: 202,599 faces of celebrities with 40 binary attributes."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from .aliases import with_known_aliases
from .card import Card
from .dataset import Records
from .download import fetch_drive
from .errors import DamagedFileError, MissingFilesError, listed
from .folder import read_images
from .images import Fit, peek_size
from .request import Request, check_md5, find, not_found
from .schema import Attribute
from .source import Source, open_source
from .table import AttributeTable

ARCHIVE, ATTRIBUTES, PARTITION = "img_align_celeba.zip", "list_attr_celeba.txt", "list_eval_partition.txt"
NAMES = (
    *("5_o_Clock_Shadow", "Arched_Eyebrows", "Attractive", "Bags_Under_Eyes", "Bald", "Bangs", "Big_Lips"),
    *("Big_Nose", "Black_Hair", "Blond_Hair", "Blurry", "Brown_Hair", "Bushy_Eyebrows", "Chubby"),
    *("Double_Chin", "Eyeglasses", "Goatee", "Gray_Hair", "Heavy_Makeup", "High_Cheekbones", "Male"),
    *("Mouth_Slightly_Open", "Mustache", "Narrow_Eyes", "No_Beard", "Oval_Face", "Pale_Skin", "Pointy_Nose"),
    *("Receding_Hairline", "Rosy_Cheeks", "Sideburns", "Smiling", "Straight_Hair", "Wavy_Hair"),
    *("Wearing_Earrings", "Wearing_Hat", "Wearing_Lipstick", "Wearing_Necklace", "Wearing_Necktie", "Young"),
)
CARD = Card(
    name="celeba",
    description="202,599 aligned photographs of celebrities with 40 binary attributes, cropped and resized to 64x64",
    licence="non-commercial research only, no redistribution (MMLAB, CUHK)",
    citation="Z. Liu, P. Luo, X. Wang and X. Tang (2015). Deep learning face attributes in the wild. ICCV.",
    homepage="https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
    schema=with_known_aliases(Attribute(name, ("0", "1")) for name in NAMES),
    splits=("train", "valid", "test"),
    shape=(3, 64, 64),
    files=(ARCHIVE, ATTRIBUTES, PARTITION),
    md5={
        ARCHIVE: "00d2c5bc6d35e252742224ab0c1e8fcb",
        ATTRIBUTES: "75e246fa4810816ffd6ee81facbd244c",
        PARTITION: "d32c9cbf5e040fd4025c592c306e6668",
    },
    size=64,
)
DRIVE = {
    ARCHIVE: "0B7EVK8r0v71pZjFTYXZWM3FlRnM",
    ATTRIBUTES: "0B7EVK8r0v71pblRyaVFSWGxPY0U",
    PARTITION: "0B7EVK8r0v71pY0NSMzRuSXJEVkk",
}
CROP_SHARE = 160 / 178


def read(request: Request) -> Records:
    """CelebA from torchvision's layout (`celeba/`), images unpacked or in their zip.

    By default the papers' centre crop, 160 of 178 pixels of width (in proportion for smaller copies), then
    64x64.
    """
    folders = _folders(request.root)
    lists = [_list_file(request, name, folders) for name in (ATTRIBUTES, PARTITION)]
    source = _images(folders)
    names, values = _attributes(lists[0])
    rows = np.flatnonzero(_partition(lists[1], names) == CARD.splits.index(request.split))
    chosen = tuple(names[i] for i in rows)
    absent = [name for name in chosen if not source.has(name)]
    if absent:
        raise MissingFilesError(f"{source.path}: {len(absent)} images are not there: {listed(absent)}")
    images = read_images(source, chosen, _default_crop(request.fit, source, chosen), request.cache)
    codes = torch.from_numpy(values[rows])
    table = AttributeTable(chosen, CARD.schema, codes, torch.ones_like(codes, dtype=torch.bool))
    return Records(torch.from_numpy(images), table)


def download(root: Path) -> None:
    """Fetch the files that are not there."""
    folders = _folders(root)
    for name in CARD.files:
        names = (name, "img_align_celeba") if name == ARCHIVE else (name,)
        if find(folders, names) is None:
            fetch_drive(DRIVE[name], folders[0] / name, CARD.md5[name])


def _folders(root: Path) -> tuple[Path, ...]:
    return root / "celeba", root / "CelebA", root


def _default_crop(fit: Fit, source: Source, names: tuple[str, ...]) -> Fit:
    if fit.crop is not None or not names:
        return fit
    width, _ = peek_size(source.read(names[0]), names[0])
    return Fit(fit.size, max(1, round(CROP_SHARE * width)), fit.channels)


def _list_file(request: Request, name: str, folders: tuple[Path, ...]) -> Path:
    path = find(folders, (name,))
    if path is None:
        raise not_found(CARD.name, CARD.files, folders)
    if request.verify:
        check_md5(path, CARD.md5[name])
    return path


def _images(folders: tuple[Path, ...]) -> Source:
    path = find(folders, (ARCHIVE, "img_align_celeba"))
    if path is None:
        raise not_found(CARD.name, (ARCHIVE, "img_align_celeba/"), folders)
    return open_source(path)


def _attributes(path: Path) -> tuple[tuple[str, ...], npt.NDArray[np.int64]]:
    """File names, and codes 0 or 1 (-1 or 1 in the file), in the order of the card."""
    lines = path.read_text(encoding="utf-8").splitlines()
    if len(lines) < 2 or tuple(lines[1].split()) != NAMES:
        raise DamagedFileError(f"{path}: expected CelebA's 40 attribute names in line 2")
    rows = _words(path, lines[2:], len(NAMES) + 1)
    words = "".join("".join(row[1:]) for row in rows)
    bits = words.replace("-1", "0")
    if len(bits) != len(rows) * len(NAMES) or words.strip("-1"):
        raise DamagedFileError(f"{path}: expected -1 or 1 for every attribute")
    values = np.frombuffer(bits.encode(), dtype=np.uint8).reshape(-1, len(NAMES)) == ord("1")
    return tuple(row[0] for row in rows), values.astype(np.int64)


def _partition(path: Path, names: tuple[str, ...]) -> npt.NDArray[np.int64]:
    """0 train, 1 valid, 2 test for each of the names."""
    parts = dict(_words(path, path.read_text(encoding="utf-8").splitlines(), 2))
    unassigned = [name for name in names if parts.get(name) not in ("0", "1", "2")]
    if unassigned:
        raise DamagedFileError(f"{path}: no part 0, 1 or 2 for {listed(unassigned)}")
    return np.array([int(parts[name]) for name in names], dtype=np.int64)


def _words(path: Path, lines: list[str], width: int) -> list[list[str]]:
    rows = [line.split() for line in lines if line.strip()]
    wrong = next((number for number, row in enumerate(rows, 1) if len(row) != width), None)
    if wrong is not None:
        raise DamagedFileError(
            f"{path}: expected {width} words in every row; row {wrong} has {len(rows[wrong - 1])}"
        )
    return rows
