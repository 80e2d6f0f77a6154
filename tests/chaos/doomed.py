"""As phoenix.py, but a child kills itself only where FILE says (`shop.mortal`): ``doomed.py FILE ARGUMENTS…``."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path += [str(HERE), str(HERE.parents[1] / "examples")]

from phoenix import rise_again  # noqa: E402 - found only by the path above

from shop.mortal import Doom, make_mortal  # noqa: E402 - likewise

if __name__ == "__main__":
    file = Path(sys.argv[1])
    sys.exit(rise_again(lambda: make_mortal(Doom(file)), sys.argv[2:]))
