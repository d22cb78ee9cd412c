"""What `encode` and `reconstruct` share: sounds to latents, latents to clips, and how near they come."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from audio_gen.generation.inputs import EncodedFile
    from audio_gen.generation.pipeline import Pipeline


def encode_all(
    pipeline: "Pipeline", files: Sequence[Path], class_name: str | None, pitch: float | None, steps: int | None = None
) -> "list[EncodedFile]":
    """Encode files, and tell what happened to them; `steps` is of the search, None for as many as are usual."""
    from threading import Lock

    from audio_gen.audio.clips import on_cores, one_thread
    from audio_gen.cli.common import progress, say
    from audio_gen.generation.inputs import EncodedFile, encode_file
    from audio_gen.generation.inversion import STEPS

    most, lock, found = STEPS if steps is None else steps, Lock(), dict[int, EncodedFile]()
    with progress("Encoding", len(files), "files") as advance:

        def encode(i: int) -> None:
            found[i] = encode_file(pipeline, files[i], class_name=class_name, pitch=pitch, steps=most)
            with lock:
                advance(1)

        if pipeline.device.type == "cpu":
            with one_thread():  # a network of this size is no faster on several
                on_cores(encode, range(len(files)))
        else:
            for i in range(len(files)):
                encode(i)
    encoded = [found[i] for i in range(len(files))]
    for note in (note for e in encoded for note in e.notes):
        say(note, json_output=True)
    return encoded


def write_encoded(
    pipeline: "Pipeline", encoded: "Sequence[EncodedFile]", stems: Sequence[str], out: Path, kinds: Sequence[str]
) -> list[dict[str, Any]]:
    """Write what the model makes of encoded files.

    Args:
        pipeline: The model.
        encoded: N files.
        stems: Their names in `out`, N.
        out: Folder.
        kinds: What stands between stem and suffix. The first is the model's clip; a second is the real mel through the
            vocoder alone.

    Returns:
        For each file its path, the clip's path, class and pitch, and log-mel L1 in nats over its frames of sound.
    """
    from torch.nn import functional as F

    from audio_gen.cli.clips import command_line
    from audio_gen.cli.common import progress
    from audio_gen.generation.clip_file import describe, write_clip
    from audio_gen.generation.finish import AS_IT_IS
    from audio_gen.generation.inversion import log_mel_l1
    from audio_gen.text import one_line

    rows = []
    with progress("Reconstructing", len(encoded), "files") as advance:
        for stem, e in zip(stems, encoded, strict=True):
            made = pipeline.decode(e.latents)
            score = log_mel_l1(e.mel, made[0], e.frames)
            for kind, mel in zip(kinds, (made, e.mel[None]), strict=False):
                source = {"source": one_line(e.path), "kind": kind, "mel_l1": score}
                about = describe(pipeline, e.latents, command=command_line(), more=source)
                # As loud and as late as in the file.
                wav = F.pad(pipeline.vocode(mel)[0], (e.begin, 0))
                write_clip(out / f"{stem}.{kind}.wav", wav[:, : e.length], about, AS_IT_IS)
            rows.append({"file": str(e.path), "out": str(out / f"{stem}.{kinds[0]}.wav"), "class": about["class"],
                         "pitch": about["pitch"], "mel_l1": score,
                         "mel_l1_start": e.search.mel_l1_start if e.search else score})  # fmt: skip
            advance(1)
    return rows


def tell_scores(pipeline: "Pipeline", rows: Sequence[dict[str, Any]], *, json_output: bool) -> None:
    """Print the rows of `write_encoded`, as a table or as JSON."""
    from audio_gen.cli.common import emit_json, say
    from audio_gen.text import one_line

    mean = sum(row["mel_l1"] for row in rows) / len(rows)
    if json_output:
        emit_json({"files": rows, "mel_l1": mean, "bundle": pipeline.digest, "vocoder": pipeline.vocoder.name})
        return
    say("log-mel L1 in nats, over the frames of sound:")
    for row in rows:
        say(f"{row['mel_l1']:7.3f}  {one_line(row['file'])}")
    if len(rows) > 1:
        say(f"{mean:7.3f}  mean of {len(rows)}")
