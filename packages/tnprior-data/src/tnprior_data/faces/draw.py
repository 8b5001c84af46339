"""Drawing faces: codes and uniform numbers in, 32x32 colour pictures out.

Everything that an attribute decides is at least a few pixels large and has a place of its own, so that no
attribute hides another: hair shows beside a hat, bangs below it, a smile within a beard, young eyes behind
glasses. Pose, colours and sizes vary besides, so that a picture is not a function of its attributes.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from .canvas import SIDE, Array, Canvas
from .palette import Palette, choose

NUISANCES = 26
CHUNK = 128
COLOURS = 16


def draw(codes: Mapping[str, npt.NDArray[np.int64]], u: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """Draw faces.

    Args:
        codes: attribute name -> (n,) 0 or 1.
        u: (n, 26) uniform numbers for pose, colours and sizes.

    Returns:
        (n, 3, 32, 32) uint8.
    """
    pictures = np.empty((len(u), 3, SIDE, SIDE), dtype=np.uint8)
    for start in range(0, len(u), CHUNK):
        part = slice(start, start + CHUNK)
        has = {name: code[part].astype(np.float32) for name, code in codes.items()}
        pictures[part] = _Face(has, u[part]).picture()
    return pictures


class _Face:
    """One batch of faces, painted from back to front. Lengths are in pixels of an untilted face."""

    def __init__(self, has: Mapping[str, Array], u: npt.NDArray[np.float64]) -> None:
        v = (2 * u[:, COLOURS:] - 1).astype(np.float32)
        centre = np.stack((16 + 1.3 * v[:, 0], 16.7 + 0.9 * v[:, 1]), axis=1)
        self.canvas = Canvas(centre, 0.98 + 0.06 * v[:, 2], 0.14 * v[:, 3])
        self.has = has
        self.colours: Palette = choose(has["dark_skin"], has["blond"], u[:, :COLOURS])
        self.gaze, self.look_down = 0.45 * v[:, 4], 0.25 * v[:, 5]
        self.mouth_width, self.nose_size, self.light = v[:, 6], v[:, 7], 0.05 * v[:, 8]
        self.crown = 4.3 + 0.6 * v[:, 9]

    def picture(self) -> npt.NDArray[np.uint8]:
        """Paint all layers and round to bytes."""
        for layer in (
            *(
                self.backdrop,
                self.long_hair,
                self.body,
                self.head,
                self.hair,
                self.cheeks,
                self.lines,
                self.eyes,
            ),
            *(
                self.brows,
                self.nose,
                self.beard,
                self.mouth,
                self.glasses,
                self.bangs,
                self.hat,
                self.earrings,
            ),
            self.bowtie,
        ):
            layer()
        lit = self.canvas.pixels * (1 + self.light[:, None, None, None])
        picture: npt.NDArray[np.uint8] = np.rint(np.clip(lit, 0, 1) * 255).astype(np.uint8)
        return picture

    def backdrop(self) -> None:
        ramp = np.linspace(0, 1, SIDE, dtype=np.float32)[None, None, :, None]
        top, bottom = (colour[:, :, None, None] for colour in self.colours.back)
        self.canvas.pixels[:] = top + (bottom - top) * ramp

    def long_hair(self) -> None:
        """Women wear it down to the shoulders; it shows beside the face whatever is on the head."""
        canvas, woman = self.canvas.near(-11, 11, -11.5, 13), 1 - self.has["male"]
        twin, colour = canvas.folded(), self.colours.hair
        shape = np.minimum(twin.ellipse(0, -1.2, 10.2, 9.8), twin.box(6.2, 4.5, 4.6, 7.8, 3.0))
        canvas.paint(shape, colour, woman)
        canvas.paint(twin.line((9.0, 2.0), (8.6, 10.0), 0.45), 0.8 * colour, woman)

    def body(self) -> None:
        shoulders = self.canvas.near(-13, 13, 10, 24)
        shoulders.paint(shoulders.ellipse(0, 18.2, 12.5, 7.6), self.colours.shirt)
        neck = self.canvas.near(-3.5, 3.5, 5.5, 12)
        neck.paint(neck.box(0, 8.8, 2.9, 2.9, 1.0), 0.85 * self.colours.skin)

    def head(self) -> None:
        """Ears and face; a man's jaw is square."""
        canvas, skin = self.canvas.near(-10, 10, -9.5, 10), self.colours.skin
        canvas.paint(canvas.folded().ellipse(8.0, 1.4, 1.7, 2.2), 0.92 * skin)
        canvas.paint(canvas.ellipse(0, 0.2, 7.7, 9.0), skin)
        canvas.paint(canvas.box(0, 2.6, 7.4, 6.2, 4.2), skin, self.has["male"])

    def hair(self) -> None:
        """A cap with an opening for the face; at the temples it is wide enough to show below a hat."""
        canvas = self.canvas.near(-9.7, 9.7, -11.5, 1)
        cap = np.maximum(canvas.ellipse(0, -1.6, 9.2, 9.3), -canvas.ellipse(0, 1.9, 6.7, 9.2))
        canvas.paint(np.maximum(cap, canvas.y - np.float32(0.4)), self.colours.hair)

    def cheeks(self) -> None:
        """The young have rosy ones."""
        canvas = self.canvas.near(-7, 7, 1.8, 5.4)
        rosy = 0.45 * self.colours.skin + 0.55 * np.array((0.98, 0.35, 0.38), dtype=np.float32)
        canvas.paint(canvas.folded().ellipse(4.9, 3.6, 1.7, 1.35), rosy, self.has["young"])

    def lines(self) -> None:
        """Those who are not young have lines on the forehead, beside the nose and on the cheeks."""
        canvas = self.canvas.near(-6.5, 6.5, -5.2, 5.2)
        twin, colour, old = canvas.folded(), 0.62 * self.colours.skin, 1 - self.has["young"]
        for stroke in (
            *(((5.9, 2.2), (4.4, 4.6)), ((2.0, 3.0), (2.9, 4.4))),
            *(((1.6, 2.4), (4.6, 2.6)), ((0.0, -4.4), (3.2, -4.4))),
        ):
            canvas.paint(twin.line(*stroke, width=0.42), colour, old)

    def eyes(self) -> None:
        """Large and round when young, narrow below heavy lids otherwise."""
        young = self.has["young"]
        height, width = 1.0 + 1.25 * young, 1.9 + 0.15 * young
        white, black = self._plain(0.98), self._plain(0.05)
        for side in (-3.2, 3.2):
            canvas = self.canvas.near(side - 2.6, side + 2.6, -2.5, 3.1)
            eye = canvas.ellipse(side, 0.3, width, height)
            canvas.paint(eye, white)
            x, y = side + self.gaze, 0.3 + self.look_down
            canvas.paint(np.maximum(canvas.ellipse(x, y, 1.3, 1.5), eye), self.colours.iris)
            canvas.paint(np.maximum(canvas.ellipse(x, y, 0.75, 0.85), eye), black)
            canvas.paint(canvas.ellipse(x - 0.5, y - 0.6, 0.4, 0.4), white, young)
        canvas = self.canvas.near(-6, 6, -1.8, 0.4)
        canvas.paint(canvas.folded().line((1.2, -0.9), (5.2, -0.5), 0.5), 0.55 * self.colours.skin, 1 - young)

    def brows(self) -> None:
        """A man's are thick; with age they turn white."""
        canvas, young = self.canvas.near(-6, 6, -4, -1.2), self.has["young"]
        colour = np.where(young[:, None] > 0, 0.8 * self.colours.hair, np.float32(0.88))
        canvas.paint(
            canvas.folded().line((1.5, -2.5), (4.8, -2.7), 0.6 - 0.25 * young + 0.35 * self.has["male"]),
            colour,
        )

    def nose(self) -> None:
        canvas, size = self.canvas.near(-1.7, 1.7, 1.3, 4.1), 1.0 + 0.25 * self.nose_size
        canvas.paint(canvas.ellipse(0, 2.7, size, 0.8 * size), 0.8 * self.colours.skin)

    def beard(self) -> None:
        """Chin, jaw and moustache, below the cheeks."""
        canvas = self.canvas.near(-8.6, 8.6, 1.6, 10.8)
        jaw = np.maximum(canvas.ellipse(0, 1.4, 8.0, 8.8), -canvas.ellipse(0, 1.2, 6.3, 3.6))
        jaw = np.maximum(jaw, np.float32(2.2) - canvas.y)
        canvas.paint(jaw, self.colours.beard, self.has["beard"])
        canvas.paint(canvas.ellipse(0, 4.2, 3.6, 0.8), self.colours.beard, self.has["beard"])

    def mouth(self) -> None:
        """A wide smile shows teeth; otherwise a short straight line. A woman's lips are red."""
        canvas, smiling, male = self.canvas.near(-4.9, 4.9, 3.9, 8.6), self.has["smiling"], self.has["male"]
        red, pale = (np.array(c, dtype=np.float32) for c in ((0.86, 0.12, 0.20), (0.72, 0.36, 0.32)))
        lips = np.where(male[:, None] > 0, pale, red)
        half = 3.9 + 0.3 * self.mouth_width
        grin = np.maximum(canvas.ellipse(0, 4.7, half, 3.2), np.float32(4.6) - canvas.y)
        canvas.paint(grin, lips, smiling)
        canvas.paint(grin + np.float32(0.8), self._plain(1.0), smiling)
        canvas.paint(canvas.ellipse(0, 5.9, 0.5 * half, 0.85 - 0.2 * male), lips, 1 - smiling)

    def glasses(self) -> None:
        """Dark rings with a pale tint, and bows to the ears."""
        canvas, glasses = self.canvas.near(-9, 9, -3.5, 4.1), self.has["glasses"]
        twin = canvas.folded()
        lens = twin.ellipse(3.3, 0.3, 2.9, 2.8)
        canvas.paint(lens, self._plain(1.0), 0.25 * glasses)
        canvas.paint(np.abs(lens) - np.float32(0.45), self.colours.frame, glasses)
        bows = np.minimum(twin.line((6.2, -0.2), (8.2, -0.5), 0.4), twin.line((0.0, 0.0), (0.6, 0.0), 0.4))
        canvas.paint(bows, self.colours.frame, glasses)

    def bangs(self) -> None:
        """A fringe down to the brows, its edge in waves; it reaches below the brim of a hat."""
        canvas = self.canvas.near(-9, 9, -10.6, -1.7)
        wave = np.float32(0.45) * np.cos(np.float32(1.9) * canvas.x)
        fringe = np.maximum(canvas.ellipse(0, -1.4, 8.4, 8.6), canvas.y + np.float32(2.8) - wave)
        canvas.paint(fringe, 0.94 * self.colours.hair, self.has["bangs"])

    def hat(self) -> None:
        """A brim, a crown of some height and a ribbon."""
        canvas, hat = self.canvas.near(-11.5, 11.5, -16.2, -3.5), self.has["hat"]
        top = -7.0 - 1.6 * self.crown
        crown = np.maximum(
            canvas.box(0, -10.0, 6.7, 5.6, 1.0), (top[:, None, None] - canvas.y).astype(np.float32)
        )
        canvas.paint(crown, self.colours.hat, hat)
        canvas.paint(canvas.box(0, -9.1, 6.7, 0.9), self.colours.ribbon, hat)
        canvas.paint(canvas.box(0, -7.5, 11.0, 1.0, 1.0), 0.85 * self.colours.hat, hat)

    def earrings(self) -> None:
        """Bright discs with a dark edge below the ears, in front of any hair."""
        for side in (-8.7, 8.7):
            canvas = self.canvas.near(side - 2.3, side + 2.3, 2.7, 7.3)
            ring = canvas.ellipse(side, 5.0, 1.9, 1.9)
            canvas.paint(ring, self._plain(0.08), self.has["earrings"])
            canvas.paint(ring + np.float32(0.6), self.colours.earring, self.has["earrings"])

    def bowtie(self) -> None:
        """Two wings and a knot."""
        canvas, bowtie = self.canvas.near(-5.2, 5.2, 8.2, 15.4), self.has["bowtie"]
        twin = canvas.folded()
        wing = np.abs(twin.y - np.float32(11.8)) - np.float32(0.3) - np.float32(0.55) * twin.x
        wing = np.maximum(wing, twin.x - np.float32(4.2))
        canvas.paint(wing - np.float32(0.35), self._plain(0.1), bowtie)
        canvas.paint(wing + np.float32(0.25), self.colours.bowtie, bowtie)
        canvas.paint(canvas.ellipse(0, 11.8, 0.9, 1.0), 0.6 * self.colours.bowtie, bowtie)

    def _plain(self, level: float) -> Array:
        return np.full((len(self.gaze), 3), level, dtype=np.float32)
