"""No output of any command is ever one of its inputs, or another output: whatever the file is called there."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from run_case import COMMANDS, TEXTS, NothingRuns, content, parameters_of_the_program

from nmcheck.cli.app import run
from nmcheck.cli.run_files import OutputFolder, check_files
from nmcheck.errors import UsageError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs links")

LINKS = ("the same name", "another spelling", "a symbolic link", "a hard link")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder that is gone afterwards: weights with another hard link are refused."""
    yield tmp_path
    shutil.rmtree(tmp_path)


def read_by(command: str) -> Iterator[str]:
    """Inputs of a command, with the weights of its model."""
    yield from COMMANDS[command].reads
    if {"model", "models"} & set(COMMANDS[command].reads):
        yield "weights"


def named(path: Path, link: str, folder: Path) -> Path:
    """A file by another name."""
    other = folder / f"other{path.suffix}"
    if link == "a symbolic link":
        other.symlink_to(path)
    elif link == "a hard link":
        other.hardlink_to(path)
    elif link == "another spelling":
        return path.parent / ".." / path.parent.name / "." / path.name
    return path if link == "the same name" else other


ATTACKS = [
    # Each link with each input of one command, and in turn with the others.
    (command, output, source, link)
    for command in COMMANDS
    for first, output in enumerate(COMMANDS[command].writes)
    for turn, source in enumerate(read_by(command), first)
    for link in (LINKS if command == "analyze" else (LINKS[turn % len(LINKS)],))
]


def test_every_path_that_any_command_takes_is_attacked_here() -> None:
    known: dict[str, set[str]] = {}
    for command, entry in COMMANDS.items():
        known.setdefault(command.partition(" --")[0], set()).update(entry.reads, entry.writes, entry.fills)
    for command, name, kind in parameters_of_the_program():
        if kind is Path:
            assert name in known[command], f"{command}: say in run_case.COMMANDS whether {name} is read or written"
        else:
            assert name in TEXTS | {"model", "bank"}, f"{command}: say in run_case whether the text {name} names a file"


@pytest.mark.parametrize("attack", ATTACKS, ids=" ".join)
def test_a_file_that_is_read_is_not_written(inputs, folder: Path, capsys, attack: tuple[str, str, str, str]) -> None:
    command, output, source, link = attack
    entry, before = COMMANDS[command], content(inputs["model"].parent)
    path = named(inputs[source], link, folder)
    line = entry.line({**{name: inputs[name] for name in entry.reads}, output: path})
    if command == "gate --init":
        line.append("--force")
    there = content(folder)
    assert run(line, NothingRuns()) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert str(path) in said.err
    assert "which is only read; choose another --" in said.err
    assert (content(inputs["model"].parent), content(folder)) == (before, there)


@pytest.mark.parametrize(
    "attack",
    [
        (command, option, source, link)
        for command in COMMANDS
        for option in COMMANDS[command].fills
        for source in read_by(command)
        for link in ("a symbolic link", "a hard link")
    ],
    ids=" ".join,
)
def test_a_folder_that_is_filled_has_no_input_by_the_name_of_a_file_to_come(
    inputs, folder: Path, capsys, attack: tuple[str, str, str, str]
) -> None:
    command, option, source, link = attack
    entry, before = COMMANDS[command], content(inputs["model"].parent)
    path = folder / entry.fills[option][1]
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(inputs[source]) if link == "a symbolic link" else path.hardlink_to(inputs[source])
    there = content(folder)
    line = entry.line({**{name: inputs[name] for name in entry.reads}, option: folder})
    assert run(line, NothingRuns()) == 2
    assert f"{entry.fills[option][0]} {path} is" in capsys.readouterr().err
    assert (content(inputs["model"].parent), content(folder)) == (before, there)


def test_other_files_in_a_folder_that_is_filled_do_not_matter(inputs, tmp_path: Path) -> None:
    for name in ("found.npz", "image.vnnlib", "model.onnx"):
        (tmp_path / name).symlink_to(inputs["data"])
    check_files(
        {}, folders={"--vnnlib": OutputFolder(tmp_path, ("linf_*/image_*_linf_*.vnnlib",))}, data=str(inputs["data"])
    )


def test_folders_in_a_folder_that_is_filled_may_not_lead_into_the_data(inputs, pictures: Path, capsys) -> None:
    (pictures.parent / "left").mkdir()
    (pictures.parent / "left" / "linf_0.1").symlink_to(pictures)
    line = COMMANDS["bounds"].line({"model": inputs["model"], "data": pictures, "vnnlib": pictures.parent / "left"})
    assert run(line, NothingRuns()) == 2
    assert "left/linf_0.1 lies in the folder of the data" in capsys.readouterr().err


def test_data_read_through_a_part_of_its_name(inputs, capsys) -> None:
    line = ["inspect", str(inputs["model"])]
    assert run(["bounds", *line[1:], "--data", f"{inputs['data']}:test", "-o", str(inputs["data"])], NothingRuns()) == 2
    assert "is the data itself" in capsys.readouterr().err


def test_the_images_in_the_package_are_data_too(inputs, capsys) -> None:
    import nmcheck.data

    path = Path(nmcheck.data.__file__).parent / "mnist.npz"
    before = path.stat()
    assert run(["bounds", str(inputs["model"]), "--data", "mnist", "-o", str(path)], NothingRuns()) == 2
    assert path.stat() == before


def test_the_policy_that_was_found_and_not_named(inputs, monkeypatch, capsys) -> None:
    monkeypatch.chdir(inputs["policy"].parent)
    line = ["gate", "model.onnx", "--data", "data.npz", "--markdown", "nmcheck.toml"]
    assert run(line, NothingRuns()) == 2
    assert "--markdown nmcheck.toml is the policy itself" in capsys.readouterr().err


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of classes, one of them and one picture of the other elsewhere."""
    folder, away = tmp_path / "pictures", tmp_path / "away"
    for name in ("pictures/cat", "away/dog"):
        (tmp_path / name).mkdir(parents=True)
        for number in range(2):
            (tmp_path / name / f"{number}.png").write_bytes(name.encode())
    (away / "far.png").write_bytes(b"far")
    (folder / "dog").symlink_to(away / "dog")
    (folder / "cat" / "far.png").symlink_to(away / "far.png")
    (tmp_path / "link.png").symlink_to(folder / "cat" / "new.png")
    (tmp_path / "hard.png").hardlink_to(folder / "cat" / "0.png")
    (tmp_path / "pictures2").mkdir()
    return folder


@pytest.mark.parametrize("option", ["-o", "--json", "--examples"])
@pytest.mark.parametrize(
    "name",
    [
        "pictures", "pictures/new.json", "pictures/cat/0.png", "pictures/cat/new.png", "pictures/cat/deep/er",
        "pictures/dog/1.png", "away/dog/1.png", "away/dog/new.png", "away/dog", "link.png",
    ],
)  # fmt: skip
def test_nothing_is_written_into_the_folder_of_the_data(inputs, pictures: Path, capsys, option, name) -> None:
    tmp_path = pictures.parent
    before = content(tmp_path)
    line = ["gate", str(inputs["model"]), "--data", str(pictures), "--policy", str(inputs["policy"])]
    assert run([*line, option, str(tmp_path / name)], NothingRuns()) == 2
    assert f"in the folder of the data, {pictures}" in capsys.readouterr().err
    assert content(tmp_path) == before


@pytest.mark.parametrize("name", ["away/far.png", "hard.png"])
def test_files_of_the_data_are_known_wherever_they_lie(inputs, pictures: Path, capsys, tmp_path: Path, name) -> None:
    assert (
        run(["bounds", str(inputs["model"]), "--data", str(pictures), "-o", str(tmp_path / name)], NothingRuns()) == 2
    )
    assert f"is a file of the data in {pictures}" in capsys.readouterr().err


def test_beside_the_folder_of_the_data_there_is_room(pictures: Path, tmp_path: Path) -> None:
    for name in ("report.json", "away/report.json", "pictures2/report.json", "away/dog2"):
        check_files({"--output": tmp_path / name}, data=str(pictures))


PAIRS = [
    (one, other, LINKS[turn % 4])
    for turn, (one, other) in enumerate(
        (one, other)
        for number, one in enumerate(COMMANDS["gate"].writes)
        for other in list(COMMANDS["gate"].writes)[number + 1 :]
    )
]


@pytest.mark.parametrize("pair", PAIRS, ids=" ".join)
def test_two_outputs_are_two_files(inputs, tmp_path: Path, capsys, pair: tuple[str, str, str]) -> None:
    one, other, link = pair
    entry, path = COMMANDS["gate"], tmp_path / "report"
    if link != "another spelling":
        path.write_text("old")
    given = {name: inputs[name] for name in entry.reads} | {one: path, other: named(path, link, tmp_path)}
    before = content(tmp_path)
    assert run(entry.line(given), NothingRuns()) == 2
    assert "would be the same file" in capsys.readouterr().err
    assert content(tmp_path) == before


@pytest.mark.parametrize(
    "case",
    [
        ("found/adversarial_linf.npz", "found", "would be a file that --save-adversarial"),
        ("found/./ADVERSARIAL_2.png", "found", "would be a file that --save-adversarial"),
        ("there", "there/found", "is to be a file, and --save-adversarial"),
        ("there/found", "there/found", "is to be a file, and --save-adversarial"),
        ("old/link.npz", "old", "would be a file that --save-adversarial"),
        ("adversarial_linf.npz", ".", "would be a file that --save-adversarial"),
    ],
)
def test_a_file_is_apart_from_the_folders(inputs, tmp_path: Path, capsys, case: tuple[str, str, str]) -> None:
    output, folder, says = case
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "adversarial_2.npz").symlink_to("link.npz")
    line = COMMANDS["bounds"].line(
        {
            "model": inputs["model"],
            "data": inputs["data"],
            "output": tmp_path / output,
            "save_adversarial": tmp_path / folder,
        }
    )
    assert run(line, NothingRuns()) == 2
    assert says in capsys.readouterr().err


def test_one_folder_may_have_both(inputs, tmp_path: Path) -> None:
    both = {"--save-adversarial": OutputFolder(tmp_path, ("a*",)), "--vnnlib": OutputFolder(tmp_path, ("i*",))}
    check_files({"--output": tmp_path / "report.json"}, folders=both, models=[inputs["model"]])


def test_where_capital_letters_do_not_count_names_that_differ_in_them_are_one_file(tmp_path: Path, monkeypatch) -> None:
    """A file system that takes them for one is asked by a file made for that; here it is feigned."""
    outputs = {"--json": tmp_path / "Größe.json", "--html": tmp_path / "gröSSe.JSON"}
    check_files(outputs)
    exists = Path.exists

    def folding(path: Path) -> bool:
        return exists(path) or any(other.name.casefold() == path.name.casefold() for other in path.parent.iterdir())

    monkeypatch.setattr(Path, "exists", folding)
    with pytest.raises(UsageError, match="--json and --html would be the same file"):
        check_files(outputs)
    assert list(tmp_path.iterdir()) == []


def test_devices_and_standard_output_are_nobody_s_file(inputs, tmp_path: Path, capsys) -> None:
    check_files({"--json": Path("/dev/null"), "--html": Path("/dev/null")})
    line = ["gate", str(inputs["model"]), "--data", str(inputs["data"]), "--policy", str(inputs["policy"])]
    assert run([*line, "--json", "-", "-o", "-"], NothingRuns()) == 2
    assert "would both go to standard output" in capsys.readouterr().err


def test_standard_output_appended_to_an_input(inputs, capfd, monkeypatch) -> None:
    with inputs["policy"].open("a") as file:
        monkeypatch.setattr(sys, "stdout", file)
        assert run(["gate", str(inputs["model"]), "--data", "x", "--policy", str(inputs["policy"])], NothingRuns()) == 2
    assert "standard output is the policy itself" in capfd.readouterr().err


@pytest.mark.parametrize("command", [name for name in COMMANDS if COMMANDS[name].writes])
def test_fresh_and_old_outputs_are_written_as_ever(inputs, tmp_path: Path, capsys, command: str) -> None:
    """What is refused above is refused for being an input: the same line with names of its own starts the run."""
    entry = COMMANDS[command]
    given = {name: inputs[name] for name in entry.reads}
    given |= {name: tmp_path / name for name in entry.writes} | {name: tmp_path / name for name in entry.fills}
    if command not in ("bank build", "gate --init"):
        (tmp_path / "output").write_text("old")
    code = run(entry.line(given), NothingRuns())
    if command == "annotate":
        assert code == 0
    else:
        assert "the run was started" in capsys.readouterr().err
