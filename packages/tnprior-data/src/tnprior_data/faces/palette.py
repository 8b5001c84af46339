"""Colours of the drawn faces: chosen so that no attribute looks like another one's nuisance.

Blond hair is the only saturated yellow, so hats, shirts and backgrounds avoid yellow; light and dark skin are
two ranges far apart.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .canvas import Array

LIGHT_SKIN = np.array(((0.99, 0.87, 0.76), (0.92, 0.74, 0.60)), dtype=np.float32)
DARK_SKIN = np.array(((0.58, 0.39, 0.27), (0.45, 0.29, 0.19)), dtype=np.float32)
BLOND = np.array(((0.97, 0.80, 0.26), (0.89, 0.67, 0.13)), dtype=np.float32)
DARK_HAIR = np.array(
    ((0.08, 0.07, 0.09), (0.26, 0.15, 0.08), (0.17, 0.10, 0.07), (0.42, 0.13, 0.07)), dtype=np.float32
)


@dataclass(frozen=True)
class Palette:
    """The colours (n, 3) of one batch of faces."""

    skin: Array
    hair: Array
    beard: Array
    hat: Array
    ribbon: Array
    shirt: Array
    bowtie: Array
    frame: Array
    earring: Array
    iris: Array
    back: tuple[Array, Array]


def choose(dark_skin: Array, blond: Array, draws: npt.NDArray[np.float64]) -> Palette:
    """Colours for codes (n,) and uniform numbers (n, 16)."""
    u: Array = draws.astype(np.float32)
    skin = _pick(dark_skin, _between(LIGHT_SKIN, u[:, 0]), _between(DARK_SKIN, u[:, 0]))
    # the last, red tone is too near to dark skin
    tones = len(DARK_HAIR) - dark_skin
    dark = DARK_HAIR[np.floor(u[:, 1] * tones * np.float32(0.9999)).astype(np.int64)]
    hair = _pick(blond, dark * (0.85 + 0.4 * u[:, 2:3] - 0.4 * dark_skin[:, None]), _between(BLOND, u[:, 2]))
    hat_hue = _without_yellow(u[:, 3])
    return Palette(
        skin=skin,
        hair=hair,
        beard=hair * np.where(blond[:, None] > 0, np.float32(0.75), np.float32(0.5)),
        hat=hsv(hat_hue, 0.6 + 0.3 * u[:, 4], 0.55 + 0.35 * u[:, 5]),
        ribbon=hsv((hat_hue + 0.5) % 1, 0.3 * u[:, 6], 0.95 + 0 * u[:, 6]),
        shirt=hsv(_without_yellow(u[:, 7]), 0.25 + 0.4 * u[:, 8], 0.45 + 0.45 * u[:, 9]),
        bowtie=hsv(0.97 + 0.06 * u[:, 10], 0.9 + 0 * u[:, 10], 0.8 + 0.15 * u[:, 10]),
        frame=hsv(0.55 + 0.4 * u[:, 11], 0.5 + 0 * u[:, 11], 0.12 + 0.15 * u[:, 11]),
        earring=hsv(0.45 + 0.1 * u[:, 12], 0.75 + 0 * u[:, 12], 0.95 + 0 * u[:, 12]),
        iris=hsv(0.3 + 0.35 * u[:, 13], 0.6 + 0 * u[:, 13], 0.35 + 0.15 * u[:, 13]),
        back=_backdrop(u[:, 14], u[:, 15]),
    )


def hsv(hue: Array, saturation: Array, value: Array) -> Array:
    """Colours (n, 3) in RGB from hue (turns), saturation and value."""
    offsets = np.array((5, 3, 1), dtype=np.float32)
    k = (offsets + 6 * hue[:, None]) % 6
    bump = np.clip(np.minimum(k, 4 - k), 0, 1)
    colours: Array = (value[:, None] * (1 - saturation[:, None] * bump)).astype(np.float32)
    return colours


def _backdrop(u: Array, v: Array) -> tuple[Array, Array]:
    hue = 0.4 + 0.5 * u
    top = hsv(hue, 0.18 + 0.3 * v, 0.8 + 0.18 * (1 - v))
    bottom = hsv((hue + 0.08) % 1, 0.1 + 0.25 * v, 0.88 + 0.1 * u)
    return top, bottom


def _without_yellow(u: Array) -> Array:
    """Hues from green over blue and violet to red: turns 0.28 to 1.01."""
    hue: Array = (0.28 + 0.73 * u) % 1
    return hue


def _between(ends: npt.NDArray[np.float32], u: Array) -> Array:
    colours: Array = ends[0] + (ends[1] - ends[0]) * u[:, None]
    return colours


def _pick(code: Array, zero: Array, one: Array) -> Array:
    return np.where(code[:, None] > 0, one, zero)
