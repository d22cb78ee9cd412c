"""A store of embeddings on disk, keyed by the content of clips, so that a folder is embedded once."""

import hashlib
import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from audio_gen.evaluation.embeddings.base import Embedding
from audio_gen.files import at_home, user_cache
from audio_gen.text import one_line

BLOCK_CLIPS = 256  # the most that an interrupt loses
WAIT_SEC = 5.0
CHECK_BYTES = 16
TABLE = "CREATE TABLE IF NOT EXISTS vectors (clip BLOB PRIMARY KEY, vector BLOB NOT NULL) WITHOUT ROWID"


class EmbeddingStore:
    """An embedding with a cache on disk: one file per name and digest.

    If the file cannot be read or written, all clips are embedded. Damaged entries are computed again.
    """

    def __init__(
        self, embedding: Embedding, folder: Path | None = None, note: Callable[[str], None] | None = None
    ) -> None:
        """Store the vectors of `embedding`.

        Args:
            embedding: The embedding.
            folder: The folder of the files; None uses `default_folder`.
            note: Called with a line if entries are damaged.
        """
        self.embedding, self._note = embedding, note
        self.hits = 0
        self.misses = 0
        self.damaged = 0  # entries that were computed again
        self._path = (folder or default_folder()) / f"{embedding.name}-{embedding.digest}.sqlite"

    def __call__(self, wavs: Sequence[Tensor]) -> Tensor:
        """Embed clips (T,) as (N, D); equal clips are embedded once."""
        blocks = [self._block(wavs[i : i + BLOCK_CLIPS]) for i in range(0, len(wavs), BLOCK_CLIPS)]
        return torch.cat(blocks) if blocks else torch.zeros(0, self.embedding.dimensions)

    def _block(self, wavs: Sequence[Tensor]) -> Tensor:
        keys = [self._key(wav) for wav in wavs]
        before = self.damaged
        known = self._read(keys)
        if self._note and not before and self.damaged:  # once
            self._note(f"{one_line(self._path)}: stored embeddings are damaged; they are computed again")
        new = {key: wav for key, wav in zip(keys, wavs, strict=True) if key not in known}
        if new:
            fresh = self.embedding(list(new.values())).float()
            # A clip's vector is a copy: a row of the batch would keep all of it.
            vectors = {key: row.clone() for key, row in zip(new, fresh, strict=True)}
            deleted = self.damaged > before and not self._path.exists()
            self._write(known | vectors if deleted else vectors)
            known |= vectors
        self.misses += len(new)
        self.hits += len(wavs) - len(new)
        return torch.stack([known[key] for key in keys])

    def _key(self, wav: Tensor) -> bytes:
        # Includes the embedding, so that a renamed file has no matching keys.
        digest = hashlib.sha256(f"{self.embedding.name} {self.embedding.digest} {len(wav)} ".encode())
        digest.update(wav.detach().float().cpu().numpy().tobytes())
        return digest.digest()

    def _read(self, keys: Sequence[bytes]) -> dict[bytes, Tensor]:
        """The intact vectors of the keys."""
        found: dict[bytes, Tensor] = {}
        size, before = 4 * self.embedding.dimensions, self.damaged
        if not self._path.is_file():
            return found
        try:
            with closing(sqlite3.connect(self._path, timeout=WAIT_SEC)) as database:
                for key in keys:
                    row = database.execute("SELECT vector FROM vectors WHERE clip = ?", (key,)).fetchone()
                    if row is None or not isinstance(row[0], bytes) or len(row[0]) == size:
                        continue  # of an earlier version, which had no digests
                    if row[0] == _with_check(key, row[0][:size]):
                        found[key] = torch.from_numpy(np.frombuffer(row[0][:size], "<f4").astype(np.float32))
                    else:
                        self.damaged += 1
        except sqlite3.OperationalError:  # locked, or no permission
            return {}
        except sqlite3.Error:
            self.damaged += 1
        except OSError:
            return {}
        if self.damaged > before:
            self._throw_away()
        return found

    def _throw_away(self) -> None:
        """Delete a damaged file as a whole, since its index may be damaged too."""
        with suppress(OSError):
            self._path.unlink()

    def _write(self, vectors: dict[bytes, Tensor]) -> None:
        rows = [(key, _with_check(key, vector.numpy().astype("<f4").tobytes())) for key, vector in vectors.items()]
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self._path, timeout=WAIT_SEC)) as database, database:
                database.execute(TABLE)
                database.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows)
        except (sqlite3.OperationalError, OSError):
            return  # the vectors are returned all the same
        except sqlite3.Error:
            self._throw_away()


def _with_check(key: bytes, vector: bytes) -> bytes:
    """A clip's vector with a digest, because a damaged one would silently change every figure."""
    return vector + hashlib.blake2b(key + vector, digest_size=CHECK_BYTES).digest()


def default_folder() -> Path:
    """The folder of stored embeddings: in AUDIO_GEN_CACHE, or in the user's cache folder."""
    chosen = os.environ.get("AUDIO_GEN_CACHE")
    return at_home(chosen) / "embeddings" if chosen else user_cache("embeddings")
