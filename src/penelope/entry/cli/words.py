"""Figures and texts in the form that the terminal shows them in."""


def visible(text: object) -> str:
    """The text with everything escaped that a terminal would obey, or that would only pretend to be something."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in str(text)
    )


def seconds(value: float) -> str:
    """A duration: ``0.42 s``, ``25.1 s``, ``3 min 20 s``, ``2 h 5 min``."""
    if value < 1:
        return f"{value:.2f} s"
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def milliseconds(value: float | None) -> str:
    """A short duration, given in seconds: ``41 ms``."""
    return "unknown" if value is None else f"{value * 1000:.0f} ms"


def percent(share: float) -> str:
    """A share of 0…1: ``99.2 %``. Only what is all is called 100 %."""
    return "100 %" if share == 1 else f"{min(share * 100, 99.9):.1f} %"
