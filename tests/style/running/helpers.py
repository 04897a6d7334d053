"""A short run of the command, and what its files hold."""

import json

import numpy as np

# Two scales, 64x48 with six steps and 96x64 with three, through the first layers only: a run takes a moment.
RUN = ["photo.png", "painting.png", "--enlarge", "--size", "96", "--min-scale", "64", "--steps", "3"]
RUN += ["--content-layers", "relu2_2", "--style-layers", "relu1_1,relu2_1", "--init", "noise", "--seed", "5"]
STEPS = 9


def losses(path):
    """Read what must not depend on the time that steps take."""
    return [
        (record["scale"], record["step"], record["loss"], record["content"], record["style"])
        for record in json.loads(path.read_text())["losses"]
    ]


def edit(path, change):
    """Change the JSON document of a checkpoint."""
    with np.load(path) as archive:
        arrays = dict(archive)
    document = json.loads(arrays["document"].tobytes())
    change(document)
    arrays["document"] = np.frombuffer(json.dumps(document).encode(), np.uint8)
    with path.open("wb") as file:
        np.savez(file, **arrays)
