"""Decoding images: what is accepted, what is refused, and what crop and size do."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tnprior_data import DamagedFileError, DataError
from tnprior_data.images import Fit, decode, decode_all, fit_arrays
from tnprior_data.memory import check_room, installed_memory

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (24, 20, 3), dtype=np.uint8)
GRAY = RNG.integers(0, 256, (24, 20), dtype=np.uint8)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


JPEG = encoded(Image.fromarray(COLOUR), "JPEG")
PNG = encoded(Image.fromarray(COLOUR))


@pytest.mark.parametrize("kind", ["PNG", "BMP", "PPM", "TIFF"])
def test_lossless_files_come_back_as_they_are(kind: str) -> None:
    assert np.array_equal(
        decode(encoded(Image.fromarray(COLOUR), kind), Fit(), "x"), COLOUR.transpose(2, 0, 1)
    )
    assert np.array_equal(decode(encoded(Image.fromarray(GRAY), kind), Fit(), "x"), GRAY[None])


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "GIF"])
def test_lossy_files_come_back_nearly(kind: str) -> None:
    smooth = np.broadcast_to(np.linspace(0, 255, 20, dtype=np.uint8)[None, :, None], (24, 20, 3))
    image = decode(encoded(Image.fromarray(np.ascontiguousarray(smooth)), kind), Fit(channels=3), "x")
    assert np.abs(image.transpose(1, 2, 0).astype(int) - smooth).max() < 16


def test_transparency_is_laid_over_white() -> None:
    clear = Image.new("RGBA", (2, 1), (255, 0, 0, 255))
    clear.putpixel((1, 0), (0, 0, 0, 0))
    assert decode(encoded(clear), Fit(), "x")[:, 0].T.tolist() == [[255, 0, 0], [255, 255, 255]]
    veil = Image.new("LA", (1, 1), (0, 0))
    assert decode(encoded(veil), Fit(), "x").tolist() == [[[255]]]


def test_palettes_and_bits_are_unfolded() -> None:
    assert decode(encoded(Image.new("1", (2, 2), 1)), Fit(), "x").tolist() == [[[255, 255], [255, 255]]]
    palette = Image.new("P", (1, 1), 0)
    palette.putpalette([10, 20, 30] * 256)
    assert decode(encoded(palette), Fit(), "x").ravel().tolist() == [10, 20, 30]


def test_the_orientation_of_cameras_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the top of the scene is at the right
    turned = decode(encoded(Image.fromarray(COLOUR), "PNG", exif=exif), Fit(), "x")
    assert np.array_equal(turned, np.rot90(COLOUR, -1).transpose(2, 0, 1))


def test_the_crop_is_the_centre() -> None:
    image = decode(PNG, Fit(crop=10), "x")
    assert np.array_equal(image, COLOUR[7:17, 5:15].transpose(2, 0, 1))


def test_size_alone_takes_the_largest_centred_square() -> None:
    assert np.array_equal(decode(PNG, Fit(size=20), "x"), COLOUR[2:22].transpose(2, 0, 1))


def test_resizing_averages_what_it_shrinks() -> None:
    """Bilinear with antialiasing, as torchvision does it, within rounding."""
    import torch
    from torchvision.transforms.v2.functional import resize

    image = RNG.integers(0, 256, (3, 64, 64), dtype=np.uint8)
    ours = decode(encoded(Image.fromarray(image.transpose(1, 2, 0))), Fit(size=24), "x")
    theirs = resize(torch.from_numpy(image), [24, 24], antialias=True).numpy()
    assert np.abs(ours.astype(int) - theirs.astype(int)).max() <= 1


def test_arrays_are_treated_like_files() -> None:
    stack = np.stack([COLOUR, COLOUR[::-1]]).transpose(0, 3, 1, 2)
    for fit in (
        Fit(),
        Fit(size=9),
        Fit(crop=12),
        Fit(size=30, crop=8),
        Fit(channels=1),
        Fit(size=5, channels=1),
    ):
        files = np.stack([decode(encoded(Image.fromarray(c)), fit, "x") for c in (COLOUR, COLOUR[::-1])])
        assert np.array_equal(fit_arrays(np.ascontiguousarray(stack), fit, "x"), files)


def test_gray_among_colour_becomes_colour() -> None:
    files = {"a": encoded(Image.fromarray(GRAY)), "b": PNG, "c": encoded(Image.fromarray(GRAY))}
    images = decode_all(files.__getitem__, ("a", "b", "c"), Fit(), "here")
    assert images.shape == (3, 3, 24, 20)
    assert all(np.array_equal(images[k], np.stack([GRAY] * 3)) for k in (0, 2))
    assert decode_all(files.__getitem__, ("a", "c"), Fit(), "here").shape == (2, 1, 24, 20)


def test_images_of_two_sizes_need_a_size() -> None:
    files = {"a.png": PNG, "b.png": encoded(Image.fromarray(COLOUR[:-4]))}
    message = r"here: images differ in size: a.png is 20x24, b.png is 20x20 pixels; choose one with size="
    with pytest.raises(DataError, match=message):
        decode_all(files.__getitem__, ("a.png", "b.png"), Fit(), "here")
    assert decode_all(files.__getitem__, ("a.png", "b.png"), Fit(size=8), "here").shape == (2, 3, 8, 8)


def test_more_pixels_than_memory_are_refused_before_they_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """A side by mistake, `size=1280` of 60,000 digits, had the process killed."""
    monkeypatch.setattr("tnprior_data.memory.installed_memory", lambda: 100_000)
    stack = np.zeros((40, 3, 20, 20), dtype=np.uint8)
    files = dict.fromkeys((f"{i}.png" for i in range(40)), PNG)
    message = (
        r"40 images of 21x21 pixels take 0\.0 GB, and 0\.0 GB, half of this machine's memory, are the most"
    )
    assert fit_arrays(stack, Fit(size=20), "here").shape == (40, 3, 20, 20)
    assert decode_all(files.__getitem__, tuple(files), Fit(size=20), "here").shape == (40, 3, 20, 20)
    with pytest.raises(DataError, match=f"here: {message}"):
        fit_arrays(stack, Fit(size=21), "here")
    with pytest.raises(DataError, match=f"here: {message}"):
        decode_all(files.__getitem__, tuple(files), Fit(size=21), "here")
    with pytest.raises(DataError, match="1 images of 300x300 pixels"):
        decode(PNG, Fit(size=300), "here")


def test_a_system_that_does_not_tell_its_memory_refuses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("os.sysconf")
    assert installed_memory() is None
    check_room((10**9, 3, 10**4, 10**4), "here")


@pytest.mark.parametrize(
    "data", [b"", b"hello", JPEG[:200], PNG[:-40], PNG[:20], b"\x89PNG\r\n\x1a\n" + b"\0" * 40]
)
def test_damaged_files_are_named(data: bytes) -> None:
    with pytest.raises(DamagedFileError, match=r"zip: img/a\.jpg: expected an image .*truncated or damaged"):
        decode(data, Fit(), "zip: img/a.jpg")


@settings(max_examples=150)
@given(st.sampled_from((JPEG, PNG)), st.integers(0, 10_000), st.binary(min_size=1, max_size=6))
def test_no_bytes_whatever_raise_anything_but_a_data_error(data: bytes, at: int, junk: bytes) -> None:
    at %= len(data)
    broken = data[:at] + junk + data[at + len(junk) :]
    assert outcome(broken) in ("x: ", (3, 8, 8), (1, 8, 8))


def outcome(data: bytes) -> str | tuple[int, ...]:
    try:
        return decode(data, Fit(size=8), "x").shape
    except DataError as error:
        return str(error)[:3]


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and has hardly any pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(b"\0" * 100))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(("width", "height"), [(8_100, 8_100), (10_000, 10_000), (60_000, 60_000)])
def test_decompression_bombs_are_refused_before_they_are_unpacked(width: int, height: int) -> None:
    with pytest.raises(DataError, match=r"bomb: .*64,000,000"):
        decode(png_header(width, height), Fit(), "bomb")


def test_formats_that_start_other_programs_are_refused() -> None:
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"
    with pytest.raises(DamagedFileError, match="expected an image"):
        decode(eps, Fit(), "x.eps")


def test_sixteen_bits_are_refused_with_advice() -> None:
    deep = Image.fromarray(np.arange(4, dtype=np.uint16).reshape(2, 2))
    with pytest.raises(DataError, match=r"expected 8 bits per channel.*convert it"):
        decode(encoded(deep), Fit(), "x")


@pytest.mark.parametrize(
    ("options", "message"), [({"size": 0}, "size must be at least 1"), ({"crop": -1}, "crop must")]
)
def test_nonsense_is_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Fit(**options)
