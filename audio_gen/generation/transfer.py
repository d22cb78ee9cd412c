"""Transfer of files, and the pipeline of grains of a folder."""

import hashlib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from audio_gen.audio.io import info, read_wav
from audio_gen.audio.mel import DEFAULT_PRESET, MelSpec
from audio_gen.data.generated import generated_by
from audio_gen.data.layout import HELD_OUT, TRAIN
from audio_gen.data.measurement import Measurement
from audio_gen.device import resolve_device
from audio_gen.errors import AudioFileError, DataError
from audio_gen.generation.finish import SILENT as SILENT_PEAK
from audio_gen.generation.outputs import sound_files
from audio_gen.generation.pipeline import Pipeline
from audio_gen.generation.stored_sound import StoredSound
from audio_gen.generation.transferred import Transfer, transferred_blocks
from audio_gen.generation.vocabulary import Vocabulary
from audio_gen.models.contract import Rendition
from audio_gen.models.transforms.grains import MOST_FRAMES, Grains
from audio_gen.models.transforms.sound import SoundFrames
from audio_gen.reporter import SILENT, Advance, Reporter
from audio_gen.text import one_line
from audio_gen.vocoding.load import load_vocoder

GRAINS = "grains"
PIECE_SEC = 10.0  # of a target that is longer than grains can use
LEAST_SEC = 0.5  # of a target
SHORT_SEC, GAP_SEC = 1.0, 0.4  # of sounds that are joined, and the silence after each: as long as a window of pitch


class Transferred:
    """Renders a transferred sound in blocks; it is read and compared with the target before the first."""

    def __init__(self, pipeline: Pipeline, path: Path, measured: Measurement, how: Transfer) -> None:
        """For a file and its measurement.

        Raises:
            AudioFileError: It cannot be read.
        """
        self._pipeline, self._how = pipeline, how
        self.sound = StoredSound(path, measured, pipeline.spec.sample_rate)
        self._frames = SoundFrames(self.sound.mono, self.sound.samples, pipeline.spec)
        self._rendition: Rendition | None = None

    def prepare(self, advance: Advance) -> Rendition:
        """Let the transform read the sound."""
        if self._rendition is None:
            pipeline, how = self._pipeline, self._how
            self._rendition = pipeline.transform.begin(self._frames, how.target, how.kept, advance)
        return self._rendition

    def __call__(self) -> Iterator[Tensor]:
        """Yield the sound (C, n) in blocks, as long as the file."""
        rendition, pipeline = self.prepare(lambda share: None), self._pipeline
        yield from transferred_blocks(self.sound, self._frames, rendition, self._how, pipeline.vocoder, pipeline.device)


def grain_pipeline(
    target: Path, *, spec: MelSpec | None = None, vocoder: str | Path | None = None, device: str = "auto",
    reporter: Reporter = SILENT,
) -> Pipeline:  # fmt: skip
    """A pipeline that transfers into the sounds of a folder without training.

    Args:
        target: A folder of sounds, or a sound file.
        spec: The mel; None is that of the vocoder.
        vocoder: See `load_vocoder`.
        device: See `resolve_device`; of the vocoder.
        reporter: Gets notes and progress.

    Raises:
        DataError: The folder has no sounds.
        AudioFileError: All of its sounds are unreadable or silent.
    """
    place = resolve_device(device)
    spec = spec or MelSpec.preset(DEFAULT_PRESET)
    voice = load_vocoder(vocoder, spec.mono, place)
    name = target_name(target)
    sounds, digest = _target_sounds(target, spec, reporter)
    with reporter.progress(
        f"Reading {name}", sum(one.shape[-1] for one in sounds) / spec.sample_rate, "s of sound"
    ) as advance:
        total = sum(one.shape[-1] for one in sounds) / spec.sample_rate
        grains = Grains(sounds, spec, lambda share: advance(total * share))
    return Pipeline(
        kind=GRAINS, parts={"transform": grains}, spec=spec.mono, vocoder=voice,  # type: ignore[dict-item]
        vocabulary=Vocabulary(name, (name,), None, None), preroll=0, path=target, digest=digest, device=place,
    )  # fmt: skip


def target_name(target: Path) -> str:
    """The name of the timbre of a folder or a file; a folder of a split, such as `train`, is named by the one above."""
    place = target.resolve()
    if place.is_file():
        return one_line(place.stem)
    split = place.name.lower() in TRAIN | HELD_OUT
    return one_line((place.parent.name if split else place.name) or place)


def _target_sounds(target: Path, spec: MelSpec, reporter: Reporter) -> tuple[list[Tensor], str]:
    """The sounds (1, T) of a target, as much as grains can use; and a digest of them."""
    files = sound_files([target])
    rate, most = spec.sample_rate, spec.samples(MOST_FRAMES)
    pieces, digest, problems, generated = [], hashlib.sha256(), [], 0
    lengths = [_length_sec(file) for file in files]
    share = min(1.0, most / rate / max(1e-9, sum(lengths)))
    for file in files:
        try:
            wav, _ = read_wav(file, sample_rate=rate)
        except AudioFileError as e:
            problems.append(str(e))
            continue
        if float(wav.abs().max()) < SILENT_PEAK:
            problems.append(f"{one_line(file)}: is silent")
            continue
        generated += generated_by(file) is not None
        pieces += _some(wav, share, round(PIECE_SEC * rate))
        digest.update(wav.numpy().tobytes())
    for problem in problems[:3]:
        reporter.note(f"note: not used: {problem}")
    if len(problems) > 3:
        reporter.note(f"note: {len(problems) - 3} more files of {one_line(target)} are not used")
    if generated:
        reporter.note(f"note: {generated} of the {len(files)} sounds of {one_line(target)} were generated by audio_gen")
    total = sum(one.shape[-1] for one in pieces) / rate
    if not pieces:
        raise DataError(f"--to {one_line(target)}: has no sound that can be used; give a folder of sounds")
    if share < 1:
        reporter.note(f"note: {total / 60:.0f} of the {sum(lengths) / 60:.0f} minutes of {one_line(target)} are used")
    if total < LEAST_SEC:
        raise DataError(
            f"--to {one_line(target)}: has {total:.2f} s of sound; give at least {LEAST_SEC:g} s, better a minute"
        )
    if len(files) == 1 or total < 5:
        reporter.note(
            f"note: the target has {len(pieces)} sound{'s' * (len(pieces) > 1)} of {total:.1f} s together; with more, "
            "it follows the source better"
        )
    return joined(pieces, rate), digest.hexdigest()[:12]


def joined(sounds: Sequence[Tensor], sample_rate: int) -> list[Tensor]:
    """Sounds (1, T) with short ones in rows, each followed by silence: a sound costs as much as half a second."""
    short, gap = round(SHORT_SEC * sample_rate), round(GAP_SEC * sample_rate)
    found, row, length = [], list[Tensor](), 0
    for sound in sounds:
        if sound.shape[-1] >= short:
            found.append(sound)
            continue
        row.append(F.pad(sound, (0, gap)))
        length += row[-1].shape[-1]
        if length >= PIECE_SEC * sample_rate:
            found.append(torch.cat(row, dim=1))
            row, length = [], 0
    return [*found, torch.cat(row, dim=1)] if row else found


def _length_sec(file: Path) -> float:
    try:
        about = info(file)
    except AudioFileError:
        return 0.0
    return about.duration_sec


def _some(wav: Tensor, share: float, piece: int) -> list[Tensor]:
    """A share of wav (1, T), as evenly spaced pieces."""
    if share >= 1:
        return [wav]
    count = max(1, round(wav.shape[-1] * share / piece))
    size = min(piece, wav.shape[-1], max(1, math.ceil(wav.shape[-1] * share)))
    starts = torch.linspace(0, wav.shape[-1] - size, count).long().tolist()
    return [wav[:, start : start + size] for start in starts]
