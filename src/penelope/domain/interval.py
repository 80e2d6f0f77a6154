"""How far a share may be off."""

from math import sqrt

_TWO_SIDED_95 = 1.959963984540054
"""The standard normal quantile of 0.975."""


def wilson(share: float, size: float) -> tuple[float, float]:
    """The 95 % score interval of a share that `size` cases gave; with no case, anything is possible.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927), 209-212.
    Sums, quotients and a root only, which every machine rounds alike: decisions must come out the same bit by bit.
    """
    if size <= 0:
        return 0.0, 1.0
    z = _TWO_SIDED_95
    spread = 1 + z * z / size
    middle = (share + z * z / (2 * size)) / spread
    half = z / spread * sqrt(share * (1 - share) / size + z * z / (4 * size * size))
    return max(0.0, middle - half), min(1.0, middle + half)
