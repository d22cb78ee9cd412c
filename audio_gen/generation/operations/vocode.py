"""Copy-synthesis in blocks: sounds to log-mel and back, or log-mels to sound."""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from audio_gen.artefacts.sidecar import of_vocoded, write_sidecar
from audio_gen.audio.channels import in_channels
from audio_gen.audio.io import write_wav_blocks
from audio_gen.audio.mel import MelSpec
from audio_gen.audio.stereo import STEREO_BANDS
from audio_gen.device import resolve_device
from audio_gen.errors import CheckpointError
from audio_gen.generation.mel_sources import MelFile, MelOfSound
from audio_gen.generation.outputs import claimed, output_stems, sound_files, with_sidecars
from audio_gen.reporter import SILENT, Advance, Reporter
from audio_gen.request import Request
from audio_gen.text import one_line
from audio_gen.vocoding.load import load_vocoder
from audio_gen.vocoding.long import vocode_blocks
from audio_gen.vocoding.stereo import StereoVocoder
from audio_gen.vocoding.vocoder import Vocoder, check_mel


class VocodeRequest(Request):
    """Options of `vocode`."""

    files: list[Path]
    """Sound files, folders of them, or .npy with natural-log mels (M, L), or images of stereo (rows, L)."""
    out: Path
    """Folder for the results."""
    vocoder: str | None = None
    """See `load_vocoder`."""
    mel: str | None = None
    """Mel preset; None is the vocoder's, or 44khz_128band_512x."""
    channels: Literal[1, 2] | None = None
    """1: the mono mix; 2: stereo; None: those of each file."""
    device: str = "auto"
    """Where to compute."""
    force: bool = False
    """Replace files that exist already."""


@dataclass(frozen=True)
class Vocoded:
    """The result of `vocode`.

    Attributes:
        files: The source files.
        paths: The WAV of each.
        vocoder: The vocoder's name.
        spec: Its mel, without rows of stereo.
        resampled: Number of files by sample rate, for rates other than the vocoder's.
    """

    files: list[Path]
    paths: list[Path]
    vocoder: str
    spec: MelSpec
    resampled: dict[int, int]


def vocode(request: VocodeRequest, reporter: Reporter = SILENT) -> Vocoded:
    """Send files through mel and vocoder; memory use does not grow with their length.

    Args:
        request: The options.
        reporter: Gets progress.

    Raises:
        AudioGenError: A file cannot be read, does not fit the vocoder, or would be replaced.
    """
    place = resolve_device(request.device)
    vocoder = load_vocoder(request.vocoder, None if request.mel is None else MelSpec.preset(request.mel), place)
    files = sound_files(request.files)
    stems, rate = [f"{stem}.vocoded" for stem in output_stems(files)], vocoder.spec.sample_rate
    paths, rates = [request.out / f"{stem}.wav" for stem in stems], Counter[int]()
    for file in files:
        if _is_mel(file):
            image = MelFile(file, vocoder.spec, place)
            check_mel(image, image.spec, one_line(file))  # before anything is written
    voices = {1: vocoder, 2: StereoVocoder(vocoder, vocoder.spec.with_stereo(STEREO_BANDS))}
    hold = {"command": request.origin, "bundle": vocoder.name}
    with (
        claimed(request.out, with_sidecars(stems), force=request.force, reporter=reporter, **hold),
        reporter.progress("Vocoding", len(files), "files") as advance,
    ):
        for path, file in zip(paths, files, strict=True):
            mel = _mel(file, vocoder.spec, place, request.channels)
            sound = _sound(voices[mel.spec.channels], mel, one_line(file), advance)
            channels = request.channels or mel.spec.channels
            gain = write_wav_blocks(path, (in_channels(block, channels) for block in sound), rate, "PCM_24")
            about = of_vocoded(
                source=one_line(file), vocoder=vocoder.name, mel=mel.spec.to_dict(), sample_rate=rate,
                command=request.origin, channels=channels,
            )  # fmt: skip
            if gain < 1:
                about["gain_db"] = round(20 * math.log10(gain), 4)
                reporter.note(f"{one_line(file)}: turned down by {-about['gain_db']:.1f} dB, since it would clip")
            write_sidecar(path, about)
            if isinstance(mel, MelOfSound) and mel.file_rate != rate:
                rates[mel.file_rate] += 1
    return Vocoded(files, paths, vocoder.name, vocoder.spec, dict(sorted(rates.items())))


def _is_mel(file: Path) -> bool:
    return file.suffix.lower() == ".npy"


def _mel(file: Path, spec: MelSpec, place: torch.device, channels: Literal[1, 2] | None) -> MelFile | MelOfSound:
    return MelFile(file, spec, place) if _is_mel(file) else MelOfSound(file, spec, place, 1 if channels == 1 else None)


def _sound(vocoder: Vocoder, mel: MelFile | MelOfSound, name: str, advance: Advance) -> Iterator[Tensor]:
    """Yield the sound (C, T) of a mel in blocks, with progress in files."""
    samples, done, reported = min(vocoder.spec.samples(mel.shape[-1]), mel.length), 0, 0.0
    for wav in _cut(vocode_blocks(vocoder, mel, onset=mel.onset), mel.lead, mel.length):
        if not bool(wav.isfinite().all()):
            raise CheckpointError(f"{name}: the vocoder {vocoder.name} produced NaN; use griffinlim")
        yield wav
        done += wav.shape[-1]
        advance(round(done / samples, 2) - reported)
        reported = round(done / samples, 2)


def _cut(blocks: Iterator[Tensor], lead: int, length: int) -> Iterator[Tensor]:
    """Blocks (C, T), cropped to `length` samples after the first `lead`."""
    for block in blocks:
        wav = block[:, lead : lead + length]
        lead, length = max(0, lead - block.shape[-1]), length - wav.shape[-1]
        if wav.shape[-1]:
            yield wav
