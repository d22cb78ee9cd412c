"""Sounds of any length as files: rendered in blocks while they are written, so that memory does not grow."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from audio_gen.artefacts.sidecar import write_sidecar
from audio_gen.audio.channels import in_channels
from audio_gen.audio.io import write_wav_blocks
from audio_gen.audio.limiter import Limiter
from audio_gen.audio.onset import amplitude
from audio_gen.audio.resample import as_wav, resample_blocks, resampled_length
from audio_gen.audio.sampler_chunks import append_loop
from audio_gen.errors import CheckpointError, ConfigError
from audio_gen.files import write_atomic
from audio_gen.generation.clip import DEFAULT_FINISH, Saved, ignored, writable
from audio_gen.generation.finish import PEAK_DB, Finish, gain_to
from audio_gen.generation.sequence import faded
from audio_gen.reporter import Advance
from audio_gen.text import one_line

PREPARED = 0.85  # of the time that a sound takes which is prepared first
MOST_LOUDNESS_SEC = 600.0  # loudness is measured in memory


@dataclass(frozen=True)
class LongClip:
    """A sound of any length that a model renders block by block.

    Attributes:
        name: Suggested file name without suffix.
        blocks: Renders the sound from its start, in blocks (C, n).
        samples: Its length.
        sample_rate: In Hz.
        provenance: The contents of its sidecar.
        finish: Level, rate, depth and channels of the file; a sound of a given length has no ends to find.
        figures: Measurements that are not in the sidecar.
        fade_in: Whether it rises from 0, over 5 ms.
        fade_out: Whether it falls to 0, over 50 ms.
        limit: Whether peaks that would clip are turned down alone, in place of the whole sound.
        repeats: Whether samplers play it for ever.
        file_samples: Samples of the file, if it is to have as many as another one; None for the rounded length.
        prepare: Computes what the blocks need, with progress; None if that takes no time.
    """

    name: str
    blocks: Callable[[], Iterator[Tensor]]
    samples: int
    sample_rate: int
    provenance: dict[str, Any]
    finish: Finish = DEFAULT_FINISH
    figures: Mapping[str, float] = field(default_factory=dict)
    fade_in: bool = True
    fade_out: bool = True
    limit: bool = False
    repeats: bool = False
    file_samples: int | None = None
    prepare: Callable[[Advance], object] | None = None

    @property
    def wav(self) -> Tensor:
        """The whole sound (C, T) in memory, as the vocoder rendered it."""
        return torch.cat(list(self.blocks()), dim=1)

    def save(self, path: Path | str, *, overwrite: bool = False, advance: Advance = ignored) -> Saved:
        """Write the WAV and its sidecar; arguments and errors as for `Clip.save`."""
        path, how = writable(path, overwrite=overwrite), self.finish
        check_loudness(how, self.samples / self.sample_rate)
        if self.prepare is not None:
            self.prepare(lambda share: advance(PREPARED * share))
            given = advance
            advance = lambda share: given((1 - PREPARED) * share)  # noqa: E731
        rate = how.rate or self.sample_rate
        blocks: Iterator[Tensor] = self._finished(rate, advance)
        limiter = Limiter(rate) if self.limit and how.normalize == "none" else None
        blocks = blocks if limiter is None else limiter(blocks)
        level_db, channels = 0.0, 0
        if how.normalize == "lufs":
            whole = torch.cat(list(blocks), dim=1)
            level_db = gain_to(whole, rate, "lufs")
            blocks = iter([whole * amplitude(level_db)])

        def counted() -> Iterator[Tensor]:
            nonlocal channels
            for block in blocks:
                channels = len(block)
                yield block

        peak = amplitude(PEAK_DB) if how.normalize == "peak" else None

        def write(temporary: Path) -> float:
            gain = write_wav_blocks(
                temporary, counted(), rate, how.subtype, peak=peak, dither=how.bits == "16"
            )  # fmt: skip
            if self.repeats:
                append_loop(temporary, resampled_length(self.samples, self.sample_rate, rate), rate)
            return gain

        gain = write_atomic(path, write)
        contents = {
            **self.provenance, "sample_rate": rate, **({"channels": channels} if channels > 1 else {}),
            "gain_db": round(level_db + 20 * math.log10(gain), 4), "normalize": how.normalize, "bits": how.bits,
        }  # fmt: skip
        if limiter is not None and limiter.reduction_db:
            contents["limited_db"] = round(limiter.reduction_db, 4)
        write_sidecar(path, contents)
        return Saved(path, contents, self.figures, resampled_length(self.samples, self.sample_rate, rate) / rate, False)

    def _finished(self, rate: int, advance: Advance) -> Iterator[Tensor]:
        """The blocks in the file's channels, at its rate, with fades."""
        arrays = (block.numpy() for block in self._in_channels(advance))
        blocks: Iterator[Tensor] = map(as_wav, resample_blocks(arrays, self.sample_rate, rate))
        if self.file_samples is not None:
            blocks = exactly(blocks, self.file_samples)
        if not self.fade_out:
            return blocks
        samples = resampled_length(self.samples, self.sample_rate, rate)
        return faded((block for block in blocks if block.shape[-1]), samples, rate, fade_in=self.fade_in)

    def _in_channels(self, advance: Advance) -> Iterator[Tensor]:
        done, reported = 0, 0.0
        for block in self.blocks():
            if not bool(block.isfinite().all()):
                raise CheckpointError(
                    f"{one_line(self.name)}: the model generated NaN or infinite values; lower temperature or retrain"
                )
            yield in_channels(block, self.finish.channels or len(block))
            done += block.shape[-1]
            # Whole tenths of seconds, so that a progress line stays short.
            now = (
                1.0
                if done >= self.samples
                else round(10 * done / self.sample_rate) * self.sample_rate / (10 * self.samples)
            )
            advance(now - reported)
            reported = now


def exactly(blocks: Iterator[Tensor], samples: int) -> Iterator[Tensor]:
    """Blocks (C, n) of so many samples in all: the last one is cut, or silence is added."""
    done, channels = 0, 1
    for block in blocks:
        part = block[:, : samples - done]
        done, channels = done + part.shape[-1], len(part)
        yield part
    if done < samples:
        yield torch.zeros(channels, samples - done)


def check_loudness(how: Finish, duration_sec: float) -> None:
    """Refuse to measure the loudness of a sound that is too long for it.

    Raises:
        ConfigError: It is.
    """
    if how.normalize == "lufs" and duration_sec > MOST_LOUDNESS_SEC:
        raise ConfigError(
            f"--normalize lufs: measures sounds of up to {MOST_LOUDNESS_SEC / 60:g} minutes, and this one has "
            f"{duration_sec / 60:.3g}; use peak"
        )
