"""Make the pictures of docs/style.md again, by the very commands that stand there.

    python docs/style_pictures.py FOLDER [NAME ...]

FOLDER holds the photographs and paintings that the commands name; masks are drawn if they are missing. Each
command is run at 192 px, unless it gives a size of its own. Without names (such as beta-100) all pictures are made.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw

from fastconv import cli

HERE = Path(__file__).parent
PAGE = HERE / "style.md"
PICTURES = HERE / "style"
SIZE = "192"


def commands() -> Iterator[list[str]]:
    """Yield the page's commands that make one of its pictures, as lists of words after `fastconv`."""
    for block in re.findall(r"```\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words[:2] == ["fastconv", "style"] and "-o" in words and output_of(words).endswith(".webp"):
                yield words[1:]


def output_of(words: list[str]) -> str:
    """Return the picture that a command makes."""
    return words[words.index("-o") + 1]


def draw_masks() -> None:
    """Draw where in coffee.png the cup is, and where the table."""
    cup = Image.new("L", (600, 400))
    drawing = ImageDraw.Draw(cup)
    drawing.ellipse((76, 62, 480, 388), fill=255)  # the saucer
    drawing.ellipse((172, 16, 410, 200), fill=255)  # the cup's rim
    drawing.ellipse((388, 62, 428, 140), fill=255)  # the spoon's end
    cup.save("cup.png")
    ImageChops.invert(cup).save("table.png")


def main() -> int:
    """Read the command line, make the pictures, and return the first exit code that is not 0."""
    parser = argparse.ArgumentParser(description="Make the pictures of docs/style.md.")
    parser.add_argument("folder", type=Path, help="where the photographs and paintings are")
    parser.add_argument("names", nargs="*", metavar="NAME", help="pictures to make (default: all)")
    arguments = parser.parse_args()
    known = {Path(output_of(words)).stem for words in commands()}
    if unknown := set(arguments.names) - known:
        parser.error(f"no pictures of docs/style.md: {', '.join(sorted(unknown))}; expected {', '.join(sorted(known))}")
    if not arguments.folder.is_dir():
        parser.error(f"{arguments.folder} is no folder; expected that of the photographs and paintings")
    os.chdir(arguments.folder)
    if not Path("cup.png").exists():
        draw_masks()
    for words in commands():
        name = Path(output_of(words))
        if arguments.names and name.stem not in arguments.names:
            continue
        size = [] if "--size" in words else ["--size", SIZE]
        own = [str(PICTURES / word) if word == str(name) else word for word in words]
        if code := cli.main([*own, *size, "--overwrite", "--quiet"]):
            return code
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
