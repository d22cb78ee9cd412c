"""Make torch's threads sleep while they wait, so that another program on one core does not delay all.

torch splits its work into equal shares, one a core, and waits for the slowest. GNU's OpenMP, which its wheels bring for
Linux, spins meanwhile for up to a millisecond and so takes time from the very thread that it waits for. It reads its
environment once, when torch is imported; Intel's and LLVM's read KMP_BLOCKTIME at the same moment.
"""

import os
import sys

WAITS = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}
CHOICES = (*WAITS, "GOMP_SPINCOUNT", "KMP_LIBRARY")


def wait_asleep() -> None:
    """Choose the passive wait in this process's environment, unless the user chose one or torch is there already."""
    if "torch" not in sys.modules and not any(name in os.environ for name in CHOICES):
        os.environ.update(WAITS)
