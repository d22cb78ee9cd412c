"""`audio-gen evaluate`: compare generated clips with real ones."""

from audio_gen.artefacts.folders import EvaluationFolder
from audio_gen.cli import options as o
from audio_gen.cli.common import Console, command_line, emit_json, say


def evaluate_command(
    real: o.RealArgument,
    generated: o.GeneratedArgument = None,
    run: o.EvaluatedRunOption = None,
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
