"""`digits`: the handwritten digits that come with scikit-learn, 1,797 gray images of 8x8 pixels."""

import numpy as np
import numpy.typing as npt

from .card import Card
from .coded import categorical, coded_records
from .dataset import Records
from .images import fit_arrays
from .request import Request
from .streams import uniform

CARD = Card(
    name="digits",
    description="1,797 real handwritten digits, 8x8 gray; embedded, nothing to download",
    licence="CC BY 4.0 (UCI Machine Learning Repository); bundled with scikit-learn (BSD-3-Clause)",
    citation="E. Alpaydin and C. Kaynak (1998). Optical Recognition of Handwritten Digits. UCI Machine Learning "
    "Repository. https://doi.org/10.24432/C50P49",
    homepage="https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits",
    schema=categorical("digit", "0123456789", "number", "label"),
    shape=(1, 8, 8),
)
TEST_SHARE = 0.2


def read(request: Request) -> Records:
    """A fixed stratified split: a fifth of each digit is "test". Gray levels 0..16 become 0..255."""
    from sklearn.datasets import load_digits

    images, targets = load_digits(return_X_y=True)
    images = np.rint(images.reshape(-1, 1, 8, 8) * (255 / 16)).astype(np.uint8)
    rows = np.flatnonzero(_is_test(targets) == (request.split == "test"))
    fitted = fit_arrays(images[rows], request.fit, CARD.name)
    return coded_records(fitted, targets[rows, None], CARD.schema, CARD.name)


def _is_test(
    targets: npt.NDArray[np.int64],
) -> npt.NDArray[np.bool_]:
    """Within each digit the rows with the smallest draws, a fifth of them, are for testing."""
    draws = uniform(len(targets), "digits", "split")
    test = np.zeros(len(targets), dtype=bool)
    for digit in range(10):
        rows = np.flatnonzero(targets == digit)
        test[rows[np.argsort(draws[rows])[: round(TEST_SHARE * len(rows))]]] = True
    return test
