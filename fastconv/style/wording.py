"""Numbers as people read them."""


def format_seconds(seconds: float) -> str:
    """Write a duration as 7.3 s, 1:05 or 2:00:05."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def in_two_digits(number: float) -> str:
    """Write an estimate: no more than two digits are worth anything."""
    if number < 10:
        return f"{number:.2f}" if number < 1 else f"{number:.1f}"
    return f"{float(f'{number:.2g}'):.0f}"
