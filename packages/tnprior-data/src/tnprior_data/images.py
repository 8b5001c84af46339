"""From the bytes of an image file to an array of bytes, cropped and resized.

Nothing but decoding happens: only raster formats that Pillow decodes itself are accepted (EPS would start
another program), and an image too large to be one is refused before its pixels are unpacked.
"""

import io
import os
import struct
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from .errors import DamagedFileError, DataError
from .memory import check_room

Bytes = npt.NDArray[np.uint8]

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "PPM", "TIFF")
SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff"))
MOST_PIXELS = 64_000_000
CHUNK = 512
GRAY_MODES = frozenset(("1", "L"))
EIGHT_BIT_MODES = frozenset(("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr"))
BROKEN = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, zlib.error)


@dataclass(frozen=True)
class Fit:
    """How images are brought to one shape: centre crop, then resize, then the number of channels.

    Args:
        size: side of the square result in pixels; None keeps the (cropped) size. Without `crop` the largest
            centred square is taken first, so nothing is distorted.
        crop: side of the centred square that is cut out first, in pixels of the file.
        channels: 1 or 3; None keeps what the files have (3 as soon as one image has colour).

    Raises:
        DataError: a size or crop below 1, or a number of channels that is neither 1 nor 3.
    """

    size: int | None = None
    crop: int | None = None
    channels: int | None = None

    def __post_init__(self) -> None:
        for name, value in (("size", self.size), ("crop", self.crop)):
            if value is not None and value < 1:
                raise DataError(f"{name} must be at least 1 pixel; got {value}")
        if self.channels not in (None, 1, 3):
            raise DataError(f"channels must be 1 (gray) or 3 (colour); got {self.channels}")


def decode(data: bytes, fit: Fit, source: str) -> Bytes:
    """Decode one image file to (C, H, W) uint8.

    Transparent pixels are laid over white; the orientation tag of cameras is applied; resizing is bilinear
    with antialiasing, as in the papers' pipelines.

    Raises:
        DamagedFileError: truncated, not an image, or not one of the formats above.
        DataError: more than 64 million pixels, more than 8 bits per channel, or smaller than the crop.
    """
    try:
        image: Image.Image = Image.open(io.BytesIO(data), formats=FORMATS)
        _check_pixels(image, source)
        image.load()
        image = ImageOps.exif_transpose(image)
        return _fit_one(_plain(image, source), fit, source)
    except DataError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise DataError(f"{source}: more than {MOST_PIXELS:,} pixels; make it smaller first") from None
    except BROKEN as error:
        reason = str(error).replace("\n", " ") or type(error).__name__
        raise DamagedFileError(
            f"{source}: expected an image ({', '.join(FORMATS)}); it is truncated or damaged: {reason}"
        ) from None


def peek_size(data: bytes, source: str) -> tuple[int, int]:
    """(width, height) from the header of an image file.

    Raises:
        DamagedFileError: not an image.
    """
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS).size
    except (*BROKEN, Image.DecompressionBombError) as error:
        raise DamagedFileError(f"{source}: expected an image; {error}") from None


def decode_all(read: Callable[[str], bytes], names: Sequence[str], fit: Fit, source: str) -> Bytes:
    """Decode many images to (n, C, H, W) uint8, in threads (Pillow decodes outside the interpreter lock).

    Raises:
        DataError: as `decode`; images of different size when neither `size` nor `crop` is given; more bytes than
            half of the memory.
    """

    def one(name: str) -> Bytes:
        return decode(read(name), fit, f"{source}: {name}")

    images: Bytes | None = None
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        for start in range(0, len(names), CHUNK):
            for i, image in enumerate(pool.map(one, names[start : start + CHUNK]), start):
                if images is None:
                    images = _room_for(len(names), image, source)
                images = _store(images, i, image, names, source)
    if images is None:
        raise DataError(f"{source}: there are no images to read")
    return images


def fit_arrays(images: Bytes, fit: Fit, source: str) -> Bytes:
    """Crop, resize and recolour images (n, C, H, W) that are arrays already.

    Raises:
        DataError: smaller than the crop; more bytes than half of the memory.
    """
    channels, height, width = images.shape[1:]
    square = height == width and fit.size in (None, height) and fit.crop in (None, height)
    if (square or fit == Fit(channels=fit.channels)) and fit.channels in (None, channels):
        return images
    fitted: Bytes | None = None
    for i, image in enumerate(images):
        plain = Image.fromarray(image[0] if channels == 1 else image.transpose(1, 2, 0))
        one = _fit_one(plain, fit, source)
        if fitted is None:
            fitted = _room_for(len(images), one, source)
        fitted[i] = one
    return images if fitted is None else fitted


def _room_for(count: int, image: Bytes, source: str) -> Bytes:
    check_room((count, *image.shape), source)
    return np.empty((count, *image.shape), dtype=np.uint8)


def _check_pixels(image: Image.Image, source: str) -> None:
    if image.width * image.height > MOST_PIXELS:
        raise DataError(
            f"{source}: {image.width}x{image.height} pixels are more than {MOST_PIXELS:,}; make it smaller first"
        )
    if image.mode not in EIGHT_BIT_MODES:
        raise DataError(
            f"{source}: expected 8 bits per channel, gray or colour; got Pillow mode {image.mode!r}; convert it"
        )


def _plain(image: Image.Image, source: str) -> Image.Image:
    """Gray ("L") or colour ("RGB"), transparency laid over white."""
    if image.mode in GRAY_MODES:
        return image.convert("L")
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        gray = image.mode in ("LA", "La")
        return Image.alpha_composite(white, layer).convert("L" if gray else "RGB")
    return image.convert("RGB")


def _fit_one(image: Image.Image, fit: Fit, source: str) -> Bytes:
    if fit.channels is not None:
        image = image.convert("L" if fit.channels == 1 else "RGB")
    if fit.crop is not None and fit.crop > min(image.size):
        raise DataError(
            f"{source}: crop={fit.crop} is larger than the image ({image.width}x{image.height} pixels)"
        )
    side = fit.crop or (min(image.size) if fit.size else None)
    if side is not None:
        left, top = (image.width - side) // 2, (image.height - side) // 2
        image = image.crop((left, top, left + side, top + side))
    if fit.size is not None and image.size != (fit.size, fit.size):
        check_room((1, len(image.getbands()), fit.size, fit.size), source)
        image = image.resize((fit.size, fit.size), Image.Resampling.BILINEAR)
    array = np.asarray(image, dtype=np.uint8)
    return array[None] if array.ndim == 2 else np.ascontiguousarray(array.transpose(2, 0, 1))


def _store(images: Bytes, i: int, image: Bytes, names: Sequence[str], source: str) -> Bytes:
    """Write image i; the first colour image turns the gray ones before it into colour."""
    if image.shape[1:] != images.shape[2:]:
        (h0, w0), (h1, w1) = images.shape[2:], image.shape[1:]
        raise DataError(
            f"{source}: images differ in size: {names[0]} is {w0}x{h0}, {names[i]} is {w1}x{h1} pixels; "
            "choose one with size= (and crop=)"
        )
    if image.shape[0] > images.shape[1]:
        images = np.repeat(images, image.shape[0], axis=1)
    images[i] = image
    return images
