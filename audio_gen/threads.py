"""Make torch's threads sleep while they wait, so that other programs can use the cores.

torch splits its work into one share per core and waits for the slowest. GNU OpenMP, part of torch's Linux wheels, spins
for up to a millisecond meanwhile and takes time from the slow thread.
GNU OpenMP reads its environment once, when torch is imported; Intel's and LLVM's read KMP_BLOCKTIME then.
"""

import os
import sys

WAITS = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}
CHOICES = (*WAITS, "GOMP_SPINCOUNT", "KMP_LIBRARY")


def wait_asleep() -> None:
    """Set the passive wait policy in this process, unless the user set one or torch is already imported."""
    if "torch" not in sys.modules and not any(name in os.environ for name in CHOICES):
        os.environ.update(WAITS)
