"""A batch of small pictures to paint on, and the shapes to paint, as signed distances in pixels.

A shape is a function of position that is negative inside; where it crosses zero the paint fades over one
pixel, which is all the antialiasing there is. Distances to ellipses are first-order approximations.
"""

from copy import copy

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
SIDE = 32


class Canvas:
    """`n` pictures of 32x32 pixels with a turned and scaled frame of reference each.

    Args:
        centre: (n, 2) where the origin of the frame lies, in pixels (x to the right, y down).
        scale: (n,) pixels per unit.
        tilt: (n,) angle in radians.

    Attributes:
        x, y: (n, 32, 32) coordinates of the pixel centres in the frame.
        pixels: (n, 3, 32, 32) colours in [0, 1].
    """

    def __init__(self, centre: Array, scale: Array, tilt: Array) -> None:
        grid = np.arange(SIDE, dtype=np.float32) + np.float32(0.5)
        dx = grid[None, None, :] - centre[:, 0, None, None]
        dy = grid[None, :, None] - centre[:, 1, None, None]
        cos, sin = (np.cos(tilt) / scale)[:, None, None], (np.sin(tilt) / scale)[:, None, None]
        self.x: Array = (cos * dx + sin * dy).astype(np.float32)
        self.y: Array = (cos * dy - sin * dx).astype(np.float32)
        self.pixels: Array = np.zeros((len(centre), 3, SIDE, SIDE), dtype=np.float32)
        self._scale: Array = scale.astype(np.float32)[:, None, None]
        self._pose = centre, scale, tilt

    def near(self, left: float, right: float, top: float, bottom: float) -> "Canvas":
        """The part of the pictures that can touch a rectangle of the frame, to paint small things quickly.

        Painting on it paints on the whole; shapes must fade out within the rectangle.
        """
        centre, scale, tilt = self._pose
        corners = [(x, y) for x in (left, right) for y in (top, bottom)]
        cos, sin = scale * np.cos(tilt), scale * np.sin(tilt)
        across = np.array([centre[:, 0] + cos * x - sin * y for x, y in corners])
        down = np.array([centre[:, 1] + cos * y + sin * x for x, y in corners])
        columns, rows = _span(across), _span(down)
        part = copy(self)
        part.x, part.y = self.x[:, rows, columns], self.y[:, rows, columns]
        part.pixels = self.pixels[:, :, rows, columns]
        return part

    def folded(self) -> "Canvas":
        """The same pictures with the left half of the frame folded onto the right: what is painted, is twice."""
        twin = copy(self)
        twin.x = np.abs(self.x)
        return twin

    def paint(self, distance: Array, colour: Array, opacity: Array | float = 1.0) -> None:
        """Lay a colour (n, 3) over the inside of a shape (n, 32, 32), with an opacity (n,) per picture."""
        alpha = np.clip(0.5 - distance * self._scale, 0.0, 1.0)
        if not isinstance(opacity, float):
            alpha *= opacity[:, None, None]
        elif opacity != 1.0:
            alpha *= np.float32(opacity)
        self.pixels += alpha[:, None] * (colour[:, :, None, None] - self.pixels)

    def ellipse(self, x: float | Array, y: float | Array, rx: float | Array, ry: float | Array) -> Array:
        """An ellipse around (x, y); numbers, or one per picture."""
        u, v = self.x - _each(x), self.y - _each(y)
        u, v = u / _each(rx), v / _each(ry)
        radius = np.sqrt(u * u + v * v)
        u, v = u / _each(rx), v / _each(ry)
        slope = np.sqrt(u * u + v * v)
        distance: Array = radius * (radius - 1) / np.maximum(slope, np.float32(1e-6))
        return distance

    def box(self, x: float, y: float, width: float, height: float, corner: float = 0.0) -> Array:
        """A box with half width, half height and round corners."""
        u = np.abs(self.x - np.float32(x)) - np.float32(width - corner)
        v = np.abs(self.y - np.float32(y)) - np.float32(height - corner)
        outside = np.sqrt(np.maximum(u, 0) ** 2 + np.maximum(v, 0) ** 2)
        distance: Array = outside + np.minimum(np.maximum(u, v), 0) - np.float32(corner)
        return distance

    def line(self, start: tuple[float, float], end: tuple[float, float], width: float | Array) -> Array:
        """A straight stroke with round ends and half width."""
        ax, ay = np.float32(end[0] - start[0]), np.float32(end[1] - start[1])
        u, v = self.x - np.float32(start[0]), self.y - np.float32(start[1])
        along = np.clip((u * ax + v * ay) / (ax * ax + ay * ay), 0, 1)
        distance: Array = np.sqrt((u - along * ax) ** 2 + (v - along * ay) ** 2) - _each(width)
        return distance


def _span(positions: Array) -> slice:
    """The pixels that the positions reach, and one more on each side for the fading edge."""
    low, high = int(np.floor(positions.min())) - 1, int(np.ceil(positions.max())) + 1
    return slice(min(max(low, 0), SIDE), max(min(high, SIDE), 0))


def _each(value: float | Array) -> Array | np.float32:
    """A number per picture, ready to be combined with (n, 32, 32)."""
    return value[:, None, None] if isinstance(value, np.ndarray) else np.float32(value)
