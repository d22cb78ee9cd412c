"""`audio-gen vocode`: sounds to log-mel and back, or log-mels to sound."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from audio_gen.cli.common import DeviceOption, ForceOption, JsonOption, OutOption, Progress, VocoderOption

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor

    from audio_gen.audio.mel import MelSpec
    from audio_gen.vocoding.vocoder import Vocoder


def vocode_command(
    files: Annotated[
        list[Path], typer.Argument(help="Sound files, folders of them, or .npy with natural-log mels (M, L).")
    ],
    out: OutOption,
    vocoder: VocoderOption = None,
    mel: Annotated[
        str | None, typer.Option("--mel", help="Mel preset; the default is the vocoder's own, or 44khz_128band_512x.")
    ] = None,
    device: DeviceOption = "auto",
    force: ForceOption = False,
    json_output: JsonOption = False,
) -> None:
    """Turn clips into mel spectrograms and back into sound: what a vocoder loses of them."""
    from audio_gen.artefacts.sidecar import of_vocoded, write_sidecar
    from audio_gen.audio.io import write_wav_blocks
    from audio_gen.audio.mel import MelSpec
    from audio_gen.cli.claims import claimed
    from audio_gen.cli.clips import command_line, output_stems, sound_files, with_sidecars
    from audio_gen.cli.common import emit_json, progress, say
    from audio_gen.device import resolve_device
    from audio_gen.text import one_line
    from audio_gen.vocoding.load import load_vocoder
    from audio_gen.vocoding.vocoder import check_mel

    place = resolve_device(device)
    speak = load_vocoder(vocoder, None if mel is None else MelSpec.preset(mel), place)
    files = sound_files(files)
    stems = [f"{stem}.vocoded" for stem in output_stems(files)]
    names = [f"{stem}.wav" for stem in stems]
    rates: dict[int, int] = {}  # files by their own rate, where it is another
    for file in files:
        if _is_mel(file):
            check_mel(_MelFile(file, place), speak.spec, one_line(file))  # a wrong one is told before anything is made
    with (
        claimed(out, with_sidecars(stems), command=command_line(), bundle=speak.name, force=force),
        progress("Vocoding", len(files), "files") as advance,
    ):
        for name, file in zip(names, files, strict=True):
            log_mel = _MelFile(file, place) if _is_mel(file) else _MelOfSound(file, speak.spec, place)
            write_wav_blocks(
                out / name, _sound(speak, log_mel, one_line(file), advance), speak.spec.sample_rate, "PCM_24"
            )
            about = of_vocoded(
                source=one_line(file), vocoder=speak.name, mel=speak.spec.to_dict(),
                sample_rate=speak.spec.sample_rate, command=command_line(),
            )  # fmt: skip
            write_sidecar(out / name, about)
            if isinstance(log_mel, _MelOfSound) and log_mel.file_rate != speak.spec.sample_rate:
                rates[log_mel.file_rate] = rates.get(log_mel.file_rate, 0) + 1
    for rate, count in sorted(rates.items()):
        told = (
            f"{count} file{'s' * (count > 1)} resampled from {rate} to {speak.spec.sample_rate} Hz, the vocoder's rate"
        )
        say(told, json_output=json_output)
    if json_output:
        made = [{"file": str(file), "out": str(out / name)} for file, name in zip(files, names, strict=True)]
        emit_json({"files": made, "vocoder": speak.name, "mel": speak.spec.to_dict()})
    else:
        say(f"{len(files)} files through {speak.name} in {out}, named NAME.vocoded.wav")


def _is_mel(file: Path) -> bool:
    return file.suffix.lower() == ".npy"


def _sound(vocoder: "Vocoder", mel: "_MelFile | _MelOfSound", name: str, advance: Progress) -> "Iterator[Tensor]":
    """Yield the sound (1, T) of a mel block by block, counted in files."""
    from audio_gen.errors import CheckpointError
    from audio_gen.vocoding.long import vocode_blocks

    samples, made, told = min(vocoder.spec.samples(mel.shape[-1]), mel.length), 0, 0.0
    for wav in _cut(vocode_blocks(vocoder, mel, onset=mel.onset), mel.lead, mel.length):
        if not bool(wav.isfinite().all()):
            raise CheckpointError(f"{name}: the vocoder {vocoder.name} made NaN of it; use griffinlim")
        yield wav
        made += wav.shape[-1]
        advance(round(made / samples, 2) - told)
        told = round(made / samples, 2)


def _cut(blocks: "Iterator[Tensor]", lead: int, length: int) -> "Iterator[Tensor]":
    """Blocks (1, T) without their first `lead` samples, and `length` samples after these."""
    for block in blocks:
        wav = block[:, lead : lead + length]
        lead, length = max(0, lead - block.shape[-1]), length - wav.shape[-1]
        if wav.shape[-1]:
            yield wav


class _MelFile:
    """The log-mel (M, L) of an .npy file, of which only the parts that are asked for come into memory."""

    def __init__(self, file: Path, device: "torch.device") -> None:
        self._file, self._device = file, device
        self.shape = self._mapped().shape
        self.lead, self.length, self.onset = 0, sys.maxsize, None

    def __getitem__(self, part: tuple[slice, slice], /) -> "Tensor":
        import numpy as np
        import torch

        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, which `check_mel` tells
            values = self._mapped()[part].astype(np.float32)
        return torch.from_numpy(values).to(self._device)

    def _mapped(self) -> "np.ndarray":
        """Map the file anew: pages that were read stay in memory until their map goes."""
        import numpy as np

        from audio_gen.errors import DataError
        from audio_gen.text import one_line

        if self._file.exists() and not self._file.is_file():  # a pipe would be waited for
            raise DataError(f"{one_line(self._file)}: is a folder, a pipe or a device; give a file made by numpy.save")
        try:
            values = np.load(self._file, mmap_mode="r", allow_pickle=False)
        except OSError as e:
            reason = e.strerror or e
            raise DataError(f"{one_line(self._file)}: cannot be opened ({reason}); check that it is there") from e
        except (ValueError, EOFError) as e:
            raise DataError(f"{one_line(self._file)}: cannot be read as an .npy array; save it with numpy.save") from e
        if not isinstance(values, np.ndarray) or values.dtype.kind != "f":
            raise DataError(
                f"{one_line(self._file)}: must hold one array of floating-point numbers; save the log-mel with "
                "numpy.save"
            )
        return values[0] if values.ndim == 3 and len(values) == 1 else values  # (1, M, L) -> (M, L)


class _MelOfSound:
    """The log-mel (M, L) of a sound file between silences, of which only the samples are in memory all the time.

    Attributes:
        lead: Samples of silence before the sound.
        length: Samples of the sound.
        file_rate: Sample rate of the file in Hz.
        onset: Sample before which all is silence, `lead` included.
    """

    def __init__(self, file: Path, spec: "MelSpec", device: "torch.device") -> None:
        from torch.nn import functional as F

        from audio_gen.audio.io import info, read_wav
        from audio_gen.audio.mel import MelFrontEnd
        from audio_gen.audio.onset import silent_until
        from audio_gen.errors import AudioFileError
        from audio_gen.text import one_line
        from audio_gen.vocoding.silence import silent_frames

        self.file_rate = info(file).sample_rate
        self._wav, _ = read_wav(file, sample_rate=spec.sample_rate)
        if not self._wav.shape[-1]:
            raise AudioFileError(f"{one_line(file)}: holds no samples; give a file with sound")
        self._front_end, self._device = MelFrontEnd(spec), device
        self.lead, self.length = spec.samples(silent_frames(spec)), self._wav.shape[-1]
        self.onset = self.lead + silent_until(self._wav[0].numpy(), spec.sample_rate)
        self._wav = F.pad(self._wav, (self.lead, self.lead))
        self.shape = (spec.n_mels, -(-self._wav.shape[-1] // spec.hop_length))

    def __getitem__(self, part: tuple[slice, slice], /) -> "Tensor":
        spec = self._front_end.spec
        start, end, _ = part[1].indices(self.shape[1])
        context = -(-spec.pad // spec.hop_length)  # frames that the window reaches into on either side
        first = max(0, start - context)
        wav = self._wav[None, :, spec.samples(first) : spec.samples(end + context)]
        return self._front_end(wav)[0, part[0], start - first : end - first].to(self._device)
