"""Policies as people write them, and mistakes told with file, line and key."""

import datetime as dt

import pytest

from nmcheck.checks.gate.policy_file import find_policy, read_policy
from nmcheck.errors import UsageError

GOOD = """# a comment with [[check]] in it
samples = 50
alpha = 0.05

[[check]]   # the first
kind = "accuracy"
min = 0.9

[[check]]
id = "noise"
kind = "flip"
"sigma" = 0.1
max = 0.02
class = "each"
budget = 10

[[waiver]]
id = "noise/class-3"
reason = \"\"\"several
[[check]]
lines\"\"\"
expires = 2030-12-31
"""


def policy(folder, text, name="nmcheck.toml"):
    path = folder / name
    path.write_text(text)
    return read_policy(path)


@pytest.mark.parametrize("name", ["nmcheck.toml", "pyproject.toml"])
def test_a_good_one(tmp_path, name):
    text = GOOD
    if name == "pyproject.toml":
        text = "[project]\nname = 'x'\n[tool.nmcheck]\n" + GOOD.replace("[[", "[[tool.nmcheck.").replace(
            "\n[[tool.nmcheck.check]]\nlines", "\n[[check]]\nlines"
        )
    found = policy(tmp_path, text, name)
    assert (found.samples, found.seed, found.alpha, found.scale) == (50, None, 0.05, None)
    assert [(one.id, one.kind, one.sense, one.threshold) for one in found.demands] == [
        ("accuracy", "accuracy", "min", 0.9),
        ("noise", "flip", "max", 0.02),
    ]
    assert (found.demands[1].classes, found.demands[1].sigma, found.demands[1].budget) == ("each", 0.1, 10)
    assert found.waivers[0].expires == dt.date(2030, 12, 31)
    assert find_policy(tmp_path) == tmp_path / name


CHECK = '[[check]]\nkind = "certified-accuracy"\nnorm = "l2"\nepsilon = 0.1\nmin = 0.5\n'
MISTAKES = [
    ("sample = 3\n" + CHECK, 1, "did you mean 'samples'?"),
    ("samples = 0\n" + CHECK, 1, "whole number of at least 1"),
    ("samples = true\n" + CHECK, 1, "whole number of at least 1"),
    ("alpha = 0.7\n" + CHECK, 1, "at least 1e-09 and below 0.5"),
    ("alpha = 1e-20\n" + CHECK, 1, "at least 1e-09 and below 0.5"),
    ("alpha = nan\n" + CHECK, 1, "must be a number"),
    (CHECK.replace("min", "max"), 5, "max means nothing for kind 'certified-accuracy'"),
    (CHECK.replace("epsilon = 0.1\n", ""), 1, "needs epsilon, which is missing"),
    (CHECK.replace("l2", "l1"), 3, "choose from l2, linf"),
    (CHECK.replace("0.1", "-0.1"), 4, "must be a number at least 1e-12"),
    (CHECK.replace("0.1", "'x'"), 4, "must be a number at least 1e-12"),
    (CHECK.replace("certified-accuracy", "certified"), 2, "did you mean 'certified-accuracy'?"),
    (CHECK + "box = [1, 0]\n", 6, "two numbers, the lower first"),
    (CHECK + "class = -1\n", 6, "must be a class index"),
    (CHECK + "sigma = 0.1\n", 6, "sigma means nothing for kind"),
    (CHECK + CHECK, 6, "another check has this id"),
    ("check = 3\n", 1, "must be tables"),
    (CHECK + '[[waiver]]\nid = "certified-accuracy-l2-0.1"\nreason = "r"\n', 6, "expires is missing"),
    (CHECK + '[[waiver]]\nid = "certified-accuracy-l2-0.1"\nreason = "r"\nexpires = "soon"\n', 9, "is no date: 'soon'"),
    (CHECK + '[[waiver]]\nid = "certified-accuracy-l2-0.1"\nreason = " "\nexpires = 2030-01-01\n', 8, "not empty"),
    (
        CHECK + '[[waiver]]\nid = "certified-accuracy-l2-0.1"\nreason = "r"\nexpires = 2030-01-01T00:00:00\n',
        9,
        "a date",
    ),
]


@pytest.mark.parametrize(("text", "line", "says"), MISTAKES)
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_mistakes_are_told_with_their_line(tmp_path, text, line, says, ending):
    path = tmp_path / "nmcheck.toml"
    path.write_bytes(text.replace("\n", ending).encode())
    with pytest.raises(UsageError) as error:
        read_policy(path)
    sentence = str(error.value)
    assert sentence.startswith(f"{path}, line {line}: ")
    assert says in sentence
    assert "\n" not in sentence


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"a = [", "not valid TOML"), (b"\xff", "not UTF-8"), (b"[project]\n", "no table [tool.nmcheck]")],
)
def test_files_that_are_no_policy(tmp_path, content, says):
    path = tmp_path / "pyproject.toml"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"pyproject\.toml") as error:
        read_policy(path)
    assert says in str(error.value)


def test_no_policy_says_how_to_write_one(tmp_path):
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    with pytest.raises(UsageError, match="gate --init"):
        find_policy(tmp_path)
