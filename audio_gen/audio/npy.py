"""Headers of .npy files, which may be damaged or a stranger's."""

import tokenize
from typing import BinaryIO

import numpy as np

from audio_gen.files import MalformedError

READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def read_npy_header(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Read a header, and leave the file at the first number.

    NumPy parses the header as Python source, so a damaged one raises whatever a parser does: since Python 3.12 also a
    TokenError.

    Args:
        file: An .npy file, at its beginning.

    Returns:
        Shape, whether columns come first (Fortran's order), and type.

    Raises:
        MalformedError: There is no header, or none of an array of numbers.
    """
    try:
        version = np.lib.format.read_magic(file)
        if version not in READERS:
            raise MalformedError(f"version {version[0]}.{version[1]} of the format")
        shape, by_columns, dtype = READERS[version](file)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError, tokenize.TokenError) as e:
        raise MalformedError(str(e) if isinstance(e, MalformedError) else type(e).__name__) from None
    if any(size < 0 for size in shape):
        raise MalformedError(f"a shape of {shape}")
    return shape, by_columns, dtype
