"""Each kind of output, attacked by each kind of text."""

import json
import re
from xml.etree import ElementTree as ET

import pytest
from hostile_text import ATTACKS, Tags, check_json, check_visible
from markdown_it import MarkdownIt

from nmcheck.outside_text import (
    LONGEST_MESSAGE,
    LONGEST_TEXT,
    LONGEST_WORD,
    annotation,
    brief,
    code,
    drawn,
    json_text,
    markdown,
    markup,
    message,
    sarif,
    visible,
    xml,
)

pytestmark = pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])
BARE_LINK = re.compile(r"://|\bwww\.|@|#\d|:\w+:|\$")


def test_standard_error_gets_one_line(attack):
    for said in (message(attack), message(f"Error: {attack}: no such file.")):
        check_visible(said)
        assert "\n" not in said
        assert len(said) < 10 * LONGEST_MESSAGE


def test_a_terminal_gets_lines_without_commands(attack):
    broken = "\n".join(visible(attack).split())
    check_visible(drawn(visible(attack)))
    check_visible(drawn(broken))
    assert len(visible(attack)) < 10 * LONGEST_TEXT
    assert max(map(len, visible(attack).split(" "))) <= 10 * LONGEST_WORD


def test_what_is_no_attack_stays_as_it_is(attack):
    name = f"/model/größe 尺寸.{sum(map(ord, attack))}/Conv_{len(attack)}:0 ✂ é"
    assert visible(name) == message(name) == drawn(name) == sarif(name) == xml(name) == markup(name) == name


def tokens(text: str) -> list[str]:
    """Of blocks, and of what stands in them but for code and words."""
    found = []
    for token in MARKDOWN.parse(text):
        found.append(token.type)
        found += [inner.type for inner in token.children or () if inner.type not in ("text", "code_inline")]
    return found


def words(text: str) -> str:
    """What is no code, as it is shown."""
    return " ".join(
        inner.content for token in MARKDOWN.parse(text) for inner in token.children or () if inner.type == "text"
    )


PAGES = [
    "{0}",
    "# {0}",
    "- {0}, fail: {0}",
    "> {0}",
    "**{0}**",
    "| a | b |\n|---|---:|\n| {0} | {0} |\n| {0} | 1 |\n",
]


@pytest.mark.parametrize("way", [markdown, code])
def test_markdown_has_no_markup_but_ours(attack, way):
    for page in PAGES:
        text = page.format(way(attack))
        check_visible(text)
        assert tokens(text) == tokens(page.format(way("name")))
        assert not BARE_LINK.search(words(text))


def test_markdown_shows_the_text_to_the_letter(attack):
    shown = "".join(
        inner.content.replace("\\|", "|") if inner.type == "code_inline" else inner.content
        for token in MARKDOWN.parse(markdown(attack))
        for inner in token.children or ()
    )
    assert shown == " ".join(visible(attack).split())


def test_a_page_has_no_element_but_ours(attack):
    page = f'<p title="{markup(attack)}">{markup(attack)}</p>'
    check_visible(page)
    tags = Tags(page)
    assert tags.found == ["p title", "/p"]
    assert "".join(tags.words) == visible(attack)


def test_xml_can_hold_it(attack):
    element = ET.Element("case", name=xml(attack))
    element.text = xml(attack)
    text = ET.tostring(element, encoding="unicode")
    read = ET.fromstring(text)
    assert read.text == read.get("name") == visible(attack)


def test_sarif_has_no_placeholder_and_no_link(attack):
    text = sarif(attack)
    assert not any(letter != "\n" and not letter.isprintable() for letter in text)
    assert not re.search(r"\[[^\]]*\]\(", text)
    assert not re.search(r"(?<!\{)\{(?:\{\{)*\d", text)


def test_a_command_to_github_is_one_command(attack):
    command = annotation("error", attack, file=f"{attack}.onnx", title=f"nmcheck {attack}")
    assert "\n" not in command
    assert "\r" not in command
    found = re.fullmatch(r"::error file=([^:,\n]*),title=([^:,\n]*)::(.*)", command)
    assert found is not None
    for value, was in ((found[1], f"{attack}.onnx"), (found[2], f"nmcheck {attack}"), (found[3], attack)):
        # As the runner reads it.
        for escaped, sign in (("%2C", ","), ("%3A", ":"), ("%0A", "\n"), ("%0D", "\r"), ("%25", "%")):
            value = value.replace(escaped, sign)  # noqa: PLW2901
        assert value == visible(was)


def test_json_keeps_the_name(attack):
    document = check_json(json_text({attack: [attack]}))
    name = attack.replace("\udce9", "\\udce9").replace("\ud83d", "\\ud83d")
    assert document == {name: [name]}
    assert json.loads(json_text("\U0001f600")) == "\U0001f600"


def test_a_value_is_shown_in_brief(attack):
    deep: object = attack
    for _ in range(5000):
        deep = [deep]
    for value in (attack, deep, {attack: deep}, 10**5000 + len(attack), -(2**2000)):
        assert len(message(brief(value))) < 800
        check_visible(message(brief(value)))
