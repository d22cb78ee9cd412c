"""`audio-gen vocode`: sounds to log-mel and back, or log-mels to sound."""

from audio_gen.cli import options as o
from audio_gen.cli.common import Console, command_line, emit_json, say


def vocode_command(
    files: o.MelsArgument,
    out: o.OutOption,
    vocoder: o.VocoderOption = None,
    mel: o.VocodedMelOption = None,
    channels: o.MixOption = None,
    device: o.DeviceOption = "auto",
    force: o.ForceOption = False,
    json_output: o.JsonOption = False,
) -> None:
    """Copy-synthesis: turn files into mel spectrograms and back into sound."""
    from audio_gen.generation.operations.vocode import VocodeRequest, vocode

    request = VocodeRequest(
        files=files, out=out, vocoder=vocoder, mel=mel, channels=channels,  # type: ignore[arg-type]
        device=device, force=force, command=command_line(),
    )  # fmt: skip
    done = vocode(request, Console())
    rate_text = f"{done.spec.sample_rate} Hz, the vocoder's rate"
    for rate, count in done.resampled.items():
        say(f"{count} file{'s' * (count > 1)} resampled from {rate} to {rate_text}", json_output=json_output)
    if json_output:
        rows = [{"file": str(file), "out": str(path)} for file, path in zip(done.files, done.paths, strict=True)]
        emit_json({"files": rows, "vocoder": done.vocoder, "mel": done.spec.to_dict()})
    else:
        say(f"{len(done.files)} files through {done.vocoder} in {out}, named NAME.vocoded.wav")
