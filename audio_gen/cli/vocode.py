"""`audio-gen vocode`: sounds to log-mel and back, or log-mels to sound."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from audio_gen.cli.common import DeviceOption, ForceOption, JsonOption, OutOption, VocoderOption

if TYPE_CHECKING:
    from torch import Tensor

    from audio_gen.audio.mel import MelSpec


def vocode_command(
    files: Annotated[list[Path], typer.Argument(help="Sound files, or .npy with natural-log mels (M, L).")],
    out: OutOption,
    vocoder: VocoderOption = "griffinlim",
    mel: Annotated[
        str | None, typer.Option("--mel", help="Mel preset; the default is the vocoder's own, or 44khz_128band_512x.")
    ] = None,
    device: DeviceOption = "auto",
    force: ForceOption = False,
    json_output: JsonOption = False,
) -> None:
    """Turn clips into mel spectrograms and back into sound: what a vocoder loses of them."""
    from audio_gen.audio.io import one_line, write_wav
    from audio_gen.audio.mel import MelSpec
    from audio_gen.cli.clips import output_stems
    from audio_gen.cli.common import check_out, emit_json, progress, say
    from audio_gen.device import resolve_device
    from audio_gen.errors import CheckpointError
    from audio_gen.generation.vocoders import load_vocoder, vocode_long

    place = resolve_device(device)
    speak = load_vocoder(vocoder, None if mel is None else MelSpec.preset(mel), place)
    names = [f"{stem}.vocoded.wav" for stem in output_stems(files)]
    check_out(out, names, force=force)
    mels = ((file, _read_mel(file, speak.spec)) for file in files)
    for file in files:
        if file.suffix.lower() == ".npy":
            _read_mel(file, speak.spec)  # a wrong one is told before anything is made
    with progress("Vocoding", len(files), "files") as advance:
        for name, (file, log_mel) in zip(names, mels, strict=True):
            wav = vocode_long(speak, log_mel.to(place))
            if not bool(wav.isfinite().all()):
                raise CheckpointError(f"{one_line(file)}: the vocoder {speak.name} made NaN of it; use griffinlim")
            write_wav(out / name, wav, speak.spec.sample_rate)
            advance(1)
    if json_output:
        made = [{"file": str(file), "out": str(out / name)} for file, name in zip(files, names, strict=True)]
        emit_json({"files": made, "vocoder": speak.name, "mel": speak.spec.to_dict()})
    else:
        say(f"{len(files)} files through {speak.name} in {out}, named NAME.vocoded.wav")


def _read_mel(file: Path, spec: "MelSpec") -> "Tensor":
    """Log-mel (M, L) of a sound, or from an .npy."""
    from audio_gen.audio.io import one_line, read_wav
    from audio_gen.audio.mel import MelFrontEnd
    from audio_gen.errors import AudioFileError

    if file.suffix.lower() == ".npy":
        return _load_npy(file, spec)
    wav, _ = read_wav(file, sample_rate=spec.sample_rate)
    if not wav.shape[-1]:
        raise AudioFileError(f"{one_line(file)}: holds no samples; give a file with sound")
    return MelFrontEnd(spec)(wav[None])[0]


def _load_npy(file: Path, spec: "MelSpec") -> "Tensor":
    import numpy as np
    import torch

    from audio_gen.audio.io import one_line
    from audio_gen.errors import DataError
    from audio_gen.generation.vocoders import check_mel

    name = one_line(file)
    try:
        values = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as e:
        raise DataError(f"{name}: cannot be read as an .npy array; save it with numpy.save") from e
    if not isinstance(values, np.ndarray) or values.dtype.kind != "f":
        raise DataError(f"{name}: must hold one array of floating-point numbers; save the log-mel with numpy.save")
    mel = torch.from_numpy(values.astype(np.float32))
    mel = mel[0] if mel.ndim == 3 and len(mel) == 1 else mel  # (1, M, L) -> (M, L)
    check_mel(mel, spec, name)
    return mel
