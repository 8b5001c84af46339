"""Single figures: what a model cannot do is left out, drawings are closed in themselves, the plane is Fisher's."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

from tnprior_cli.evaluation.report import Findings
from tnprior_cli.evaluation.subject import Effort, Subject
from tnprior_cli.figures.curve import training_curve
from tnprior_cli.figures.exhibit import Plot, Strips
from tnprior_cli.figures.ink import INK, drawing, svg
from tnprior_cli.figures.page import exhibits
from tnprior_cli.figures.projection import discriminant_plane
from tnprior_cli.figures.strip import strip
from tnprior_cli.rundir import open_run
from tnprior_models import Sampled


class OnlySamples(nn.Module):
    """Draws noise, can do nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.anything = nn.Parameter(torch.zeros(1))

    def sample(self, n: int, given=None, seed=None, first: int = 0) -> Sampled:
        x = torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(0))
        return Sampled(x, torch.zeros(n, 1), torch.zeros(()))


def subject_with(model: nn.Module, run: Path) -> Subject:
    effort = Effort(8, 8, 1, 4, None, 0)
    subject = Subject(open_run(run), effort, "cpu", lambda line: None)
    subject.__dict__["model"] = model
    return subject


def test_what_a_model_cannot_do_is_left_out(digits_run: Path) -> None:
    can_nothing = exhibits(subject_with(nn.Linear(1, 1), digits_run), Findings())
    assert [item.key for item in can_nothing] == ["curve"]
    samples = exhibits(subject_with(OnlySamples(), digits_run), Findings())
    assert [item.key for item in samples] == ["samples", "curve"]
    assert isinstance(samples[0].body, Strips)
    assert [row.label for row in samples[0].body.rows] == [f"digit={c}" for c in range(10)]


def test_a_run_without_epochs_has_no_curve(digits_run: Path, tmp_path: Path) -> None:
    for name in ("config.json", "attributes.json"):
        shutil.copy(digits_run / name, tmp_path)
    run = open_run(tmp_path)
    assert training_curve(run) is None
    lines = [
        json.dumps({"epoch": e, "critic/loss": 1.0 / e, "validation/critic/loss": 2.0}) for e in (1, 2, 3)
    ]
    (tmp_path / "metrics.jsonl").write_text(lines[0])
    assert training_curve(run) is None
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines))
    found = training_curve(run)
    assert found is not None
    assert isinstance(found.body, Plot)
    assert "held out" in found.body.svg


def test_a_drawing_takes_the_ink_of_the_page_and_holds_no_address() -> None:
    with drawing(2, 2) as figure:
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], color=INK)
        axes.set_title('a < b & "c"')
        text = svg(figure, "one", 'quoted "alt"')
        other = svg(figure, "two", "")
    assert text.startswith("<svg")
    assert text.rstrip().endswith("</svg>")
    assert "currentColor" in text
    assert not any(word in text for word in (INK, "://", "xmlns", "<metadata"))
    assert 'aria-label="quoted &quot;alt&quot;"' in text
    ids, others = (set(re.findall(r' id="([^"]+)"', part)) for part in (text, other))
    assert ids
    assert not ids & others


def test_a_strip_is_a_png_of_the_images_in_their_own_pixels() -> None:
    import base64
    import io

    import numpy as np
    from PIL import Image

    images = torch.randint(256, (3, 3, 10, 10), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    found = strip(images, "noise")
    data = found.uri.removeprefix("data:image/png;base64,")
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
    assert picture.shape == (10, 32, 4)
    np.testing.assert_array_equal(picture[:, 11:21, :3], images[1].permute(1, 2, 0).numpy())
    assert (picture[:, 10, 3] == 0).all()
    assert (found.width, found.height) == (32 * 6, 60)
    gray = strip(images[:, :1], "noise")
    assert np.asarray(Image.open(io.BytesIO(base64.b64decode(gray.uri[22:])))).shape == (10, 32, 2)
    assert strip(torch.zeros(1, 3, 200, 200, dtype=torch.uint8), "large").height == 96


def test_two_classes_lie_apart_along_fishers_direction() -> None:
    generator = torch.Generator().manual_seed(0)
    spread = torch.tensor([[2.0, 0.5, 0.0], [0.0, 1.0, 0.3], [0.0, 0.0, 0.5]], dtype=torch.float64)
    codes = torch.arange(20_000) % 2
    noise = torch.randn(20_000, 3, dtype=torch.float64, generator=generator) @ spread
    shift = torch.tensor([0.4, 1.0, -0.3], dtype=torch.float64)
    plane = discriminant_plane(noise + codes[:, None] * shift, codes)
    within = spread.T @ spread
    fisher = torch.linalg.solve(within + 0.05 * within.trace() / 3 * torch.eye(3), shift)
    assert float(torch.cosine_similarity(plane[:, 0], fisher, dim=0).abs()) > 0.999
    shown = (noise + codes[:, None] * shift) @ plane
    assert float(torch.corrcoef(shown.T)[0, 1]) == pytest.approx(0, abs=1e-9)


def test_many_classes_keep_the_two_directions_that_hold_the_means() -> None:
    generator = torch.Generator().manual_seed(1)
    means = torch.zeros(4, 6, dtype=torch.float64)
    means[:, 2] = torch.tensor([-3.0, -1.0, 1.0, 3.0])
    means[:, 5] = torch.tensor([2.0, -2.0, -2.0, 2.0])
    codes = torch.arange(4000) % 4
    z = means[codes] + 0.3 * torch.randn(4000, 6, dtype=torch.float64, generator=generator)
    plane = discriminant_plane(z, codes)
    weight = plane.square().sum(dim=1)
    assert float(weight[[2, 5]].sum() / weight.sum()) > 0.999


@pytest.mark.parametrize("size", [1, 2])
def test_few_latents_have_a_plane_too(size: int) -> None:
    z = torch.randn(50, size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    plane = discriminant_plane(z, (z[:, 0] > 0).long())
    assert plane.shape == (size, 2)
    assert bool(plane.isfinite().all())
