"""`audio-gen evaluate`: compare generated clips with real ones."""

from pathlib import Path

from audio_gen.artefacts.folders import EvaluationFolder
from audio_gen.cli import options as o
from audio_gen.cli.common import Console, command_line, emit_json, say
from audio_gen.errors import ConfigError


def evaluate_command(
    real: o.RealArgument = None,
    generated: o.GeneratedArgument = None,
    run: o.EvaluatedRunOption = None,
    transfer: o.TransferSidesOption = None,
    out: o.ReportOption = None,
    count: o.EvaluatedCountOption = None,
    seed: o.SeedOption = 0,
    embedding: o.EmbeddingOption = "yamnet",
    embedding_path: o.EmbeddingPathOption = None,
    labels: o.RealLabelsOption = "auto",
    pitch: o.PitchTrackerOption = "pyin",
    vocoder: o.VocoderOption = None,
    save_reference: o.ReferenceOption = None,
    device: o.DeviceOption = "auto",
    force: o.ForceOption = False,
    json_output: o.JsonOption = False,
) -> None:
    """Compare generated clips with real ones, and explain the figures in plain language."""
    if transfer is not None:
        return _evaluate_transfer(transfer, out, seed, embedding, embedding_path, device, force, json_output)
    if real is None:
        raise ConfigError("evaluate: REAL is missing; name a folder of real sounds, a cache, or a reference file")
    from audio_gen.evaluation.evaluate import EvaluateRequest, evaluate

    request = EvaluateRequest(
        real=real, generated=generated, run=run, out=out, count=count, seed=seed, embedding=embedding,
        embedding_path=embedding_path, labels=labels, pitch=pitch, vocoder=vocoder, save_reference=save_reference,
        device=device, force=force, command=command_line(),
    )  # fmt: skip
    result = evaluate(request, Console())
    if json_output:
        emit_json(result.figures)
    elif result.judged:
        for line in [*result.sentences(), "", *result.table(), *(f"note: {note}" for note in result.notes())]:
            say(line)
        if out is not None:
            say(f"open {EvaluationFolder(out).report} in a browser")


def _evaluate_transfer(
    sides: tuple[Path, Path, Path], out: Path | None, seed: int, embedding: str, embedding_path: Path | None,
    device: str, force: bool, json_output: bool,
) -> None:  # fmt: skip
    """Measure transferred sounds."""
    from audio_gen.evaluation.transfer import TransferEvaluationRequest, evaluate_transfer, sentences

    source, output, target = sides
    request = TransferEvaluationRequest(
        source=source, output=output, target=target, out=out, embedding=embedding, embedding_path=embedding_path,
        seed=seed, device=device, force=force, command=command_line())  # fmt: skip
    figures = evaluate_transfer(request, Console())
    if json_output:
        return emit_json(figures)
    for line in sentences(figures):
        say(line)
