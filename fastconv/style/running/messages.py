"""What a run says of itself: before its first step, and after its last."""

from __future__ import annotations

from fastconv.style.running.outcome import Outcome
from fastconv.style.transfer import Transfer
from fastconv.style.wording import format_seconds, in_two_digits


def announcement(transfer: Transfer) -> str:
    """Tell what will be done, with which weights."""
    network = transfer.network
    scales = ", ".join(f"{scale.width}x{scale.height}" for scale in transfer.plan.scales)
    number = transfer.steps_in_all
    steps = f"{number} {'step' if number == 1 else 'steps'}"
    if transfer.losses:
        steps += f", {len(transfer.losses)} of them done,"
    kind = "" if network.exact else ", kernels rounded to 8 bits"
    return (
        f"weights {network.source} (sha256 {network.sha256[:16]}{kind}); "
        f"{steps} over {scales} px; {transfer.settings['threads']} threads"
    )


def estimate(transfer: Transfer) -> str:
    """Tell what it will take."""
    plan = transfer.plan
    last = plan.scales[-1]
    layout = plan.layout(last)
    tiles = "" if layout.tiles == 1 else f", in {layout.tiles} tiles of {layout.width}x{layout.height} px"
    return (
        f"at {last.width}x{last.height} px a step takes about {in_two_digits(plan.flop(last) / 1e9)} GFLOP{tiles}; "
        f"the run needs about {in_two_digits(plan.memory / 1e9)} GB of memory"
    )


def summary(outcome: Outcome) -> str:
    """Tell what came of it."""
    height, width = outcome.result.image.shape[:2]
    state = "saved" if outcome.interrupted_by is None else "interrupted; what there was is saved"
    return f"{state}: {outcome.outputs.picture} ({width}x{height}), {format_seconds(outcome.seconds)}"
