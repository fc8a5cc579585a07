"""One image is an image, everywhere."""

import re
from pathlib import Path

import numpy as np
import pytest
from models import mlp, write

from nmcheck.cli.app import run
from nmcheck.counting import counted

NOUNS = "images|points|samples|draws|rows|layers|nodes|classes|checks|values|inputs|labels|flips|models"
WRONG = re.compile(rf"(?<![\d.,])1 (?:[a-z]+ )?(?:{NOUNS})\b")
"""Such as 1 images, 1 noise samples."""


@pytest.mark.parametrize(
    ("number", "noun", "plural", "text"),
    [
        (0, "image", "", "0 images"),
        (1, "image", "", "1 image"),
        (2, "image", "", "2 images"),
        (12_345, "noise sample", "", "12,345 noise samples"),
        (1, "class", "classes", "1 class"),
        (3, "class", "classes", "3 classes"),
    ],
)
def test_counted(number: int, noun: str, plural: str, text: str) -> None:
    assert counted(number, noun, plural) == text


POLICY = """
[[check]]
id = "right"
kind = "accuracy"
min = 0.5
[[check]]
id = "certified"
kind = "certified-accuracy"
norm = "l2"
epsilon = 1e-6
min = 0.5
[[check]]
id = "radius"
kind = "radius"
norm = "l2"
percentile = 5
min = 1e-6
[[check]]
id = "flips"
kind = "flip"
sigma = 1e-3
max = 0.5
budget = 2000
"""


@pytest.mark.parametrize(
    "words",
    [
        ["analyze", "MODEL", "--sigma", "0.1", "--reference-samples", "500"],
        ["bounds", "MODEL", "--method", "lipschitz", "--attack", "deepfool"],
        ["compare", "MODEL", "MODEL", "--method", "lipschitz", "--attack", "none", "--draws", "1"],
        ["gate", "MODEL", "--policy", "POLICY"],
        ["gate", "--init", "MODEL"],
        ["bank", "build", "MODEL", "-k", "1", "-o", "BANK"],
    ],
    ids=" ".join,
)
def test_of_one_image_no_command_speaks_in_the_plural(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    write(mlp((6, 8, 3)), tmp_path)
    np.savez(tmp_path / "one.npz", x=np.random.default_rng(1).random((1, 6)))
    (tmp_path / "nmcheck.toml").write_text(POLICY)
    places = {"MODEL": "model.onnx", "POLICY": "nmcheck.toml", "BANK": "bank.h5"}
    given = [str(tmp_path / places[word]) if word in places else word for word in words]
    code = run([*given, "--data", str(tmp_path / "one.npz")])
    said = capsys.readouterr()
    text = " ".join((said.out + said.err).split())
    assert code in (0, 1), text
    assert "image" in text
    assert not WRONG.findall(text), text
