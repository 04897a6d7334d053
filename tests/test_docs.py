"""The pages in docs: they tell of every option, their commands are commands, and their links lead somewhere."""

import importlib.util
import re
from pathlib import Path

import pytest

from fastconv import cli

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "style.md").read_text("utf-8")
LINKS = [
    (page.name, link) for page in sorted(DOCS.glob("*.md")) for link in re.findall(r"\]\(([^):]+)\)", page.read_text())
]


def style_options():
    """Return how the command line spells each option of `fastconv style`."""
    parser = cli._parser()
    commands = next(action for action in parser._actions if hasattr(action, "choices") and action.choices)
    return [action.option_strings for action in commands.choices["style"]._actions if action.option_strings]


def page_maker():
    spec = importlib.util.spec_from_file_location("style_pictures", DOCS / "style_pictures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def page_commands():
    return list(page_maker().commands())


@pytest.mark.parametrize(
    ("arguments", "message"), [(["nowhere"], "nowhere is no folder"), ([".", "beta-3"], "no pictures of .*: beta-3; ")]
)
def test_mistakes_with_the_pages_pictures_are_told(monkeypatch, tmp_path, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["style_pictures.py", *arguments])
    with pytest.raises(SystemExit):
        page_maker().main()
    assert re.search(message, capsys.readouterr().err)


@pytest.mark.parametrize("spellings", style_options(), ids=lambda spellings: spellings[-1])
def test_the_page_tells_of_every_option(spellings):
    longest = max(spellings, key=len) if spellings != ["-h", "--help"] else "--help"
    told = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", PAGE))
    assert told & set(spellings), f"docs/style.md does not tell of {longest}"


def test_options_that_are_gone_are_not_told():
    known = {spelling for spellings in style_options() for spelling in spellings}
    own = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", PAGE))
    elsewhere = set(re.findall(r"--[a-z-]+", " ".join(line for line in PAGE.splitlines() if "python " in line)))
    assert own - elsewhere <= known


@pytest.mark.parametrize("words", page_commands(), ids=lambda words: words[words.index("-o") + 1])
def test_a_command_of_the_page_is_one_and_its_picture_is_shown(words):
    assert cli._parser().parse_args(words)
    picture = words[words.index("-o") + 1]
    assert (DOCS / "style" / picture).is_file()
    assert f"](style/{picture})" in PAGE


def test_every_picture_has_its_command():
    made = {words[words.index("-o") + 1] for words in page_commands()}
    assert {path.name for path in (DOCS / "style").iterdir()} == made


@pytest.mark.parametrize(("page", "link"), LINKS)
def test_a_link_leads_to_a_file(page, link):
    assert (DOCS / link.partition("#")[0]).exists() or link.startswith("#")
