"""The experiment this package grew out of: a small picture, one scale, and the losses as first published.

    python examples/style_transfer.py photo.jpg painting.jpg out.png --steps 99

Both pictures are stretched to 320x192. The photograph is the start; from there Adam moves it by one grey
level a step, and nothing keeps a pixel within 0 to 255 on the way. The defaults of `fastconv.style.stylize`
make better pictures; these are for comparison.
"""

import argparse

from fastconv.style import Step, stylize
from fastconv.style.images import check_output, load, save

HEIGHT, WIDTH = 192, 320

EXPERIMENT = {
    "size": f"{WIDTH}x{HEIGHT}",
    "min_scale": WIDTH,  # no coarser scales
    "loss": "gatys",
    "beta": 500,
    "total_variation": 0,
    "padding": "zeros",
    "learning_rate": 1,
    "betas": (0.9, 0.999),
    "clip": False,
    "average": 0,  # the last iterate is the result
}


def show(step: Step) -> None:
    """Print every tenth step's losses."""
    if step.step % 10 == 1 or step.step == step.steps:
        print(f"step {step.step:4}  content {step.content:.4g}  style {step.style:.4g}  {step.seconds:.2f} s")


def main() -> None:
    """Read the command line, repaint, save."""
    parser = argparse.ArgumentParser(description="Repaint a photograph, as first tried.")
    parser.add_argument("content", help="the photograph")
    parser.add_argument("style", help="the painting")
    parser.add_argument("out", help="the picture to make")
    parser.add_argument("--steps", type=int, default=99, help="optimisation steps (default: %(default)s)")
    arguments = parser.parse_args()

    out = check_output(arguments.out)
    style = load(arguments.style).resized((HEIGHT, WIDTH))
    result = stylize(arguments.content, style, steps=arguments.steps, callback=show, log=print, **EXPERIMENT)
    save(out, result.image)


if __name__ == "__main__":
    main()
