"""A training as one submits it by `ray job submit`: a script, with the model that notes its first step.

python submitted.py ARRAYS MARK
"""

import sys
from pathlib import Path

from first_step import FirstStep
from loop import Digits, build_model, build_optimizer, epoch


def main() -> None:
    arrays, mark = sys.argv[1:]
    digits = Digits(Path(arrays))
    model = FirstStep(build_model(), mark)
    print(epoch(model, build_optimizer(model, 1e-3), digits, 1)["val_accuracy"])


if __name__ == "__main__":
    main()
