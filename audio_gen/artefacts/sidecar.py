"""Sidecars: a JSON next to each generated WAV with its latent and conditions, to generate and vary it again."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from audio_gen import __version__
from audio_gen.artefacts.folders import json_keys
from audio_gen.errors import DataError
from audio_gen.files import MalformedError, at_home, is_path, read_json, write_json
from audio_gen.text import clipped, one_line

if TYPE_CHECKING:  # commands that only find sidecars start without torch
    from torch import Tensor

LARGEST_BYTES, LARGEST_UNKNOWN_BYTES = 1 << 22, 1 << 20  # limits for a sidecar, and for a JSON that may be one
FARTHEST_PITCH, LOUDEST = 256, 127  # MIDI
LARGEST_GAIN_DB = 120.0
# Kinds of the sidecars of `vocode`, `find-loops` and `transfer`, which have no latent.
VOCODED, LOOP, TRANSFERRED = "vocoded", "loop", "transferred"
PLAYED = "played"  # of sounds that instruments play from a score
SEQUENCE = "sequence"  # kind of the sidecars of sounds of any length, which have no latent either
WITHOUT_LATENT = (VOCODED, LOOP, TRANSFERRED, PLAYED)
CLIP_KEYS, VOCODED_KEYS = {"z", "bundle", "version"}, {"vocoder", "command", "version"}
SEQUENCE_KEYS = {"kind", "duration_sec", "bundle", "version"}
LOOP_KEYS = {"source", "seam_z", "command", "version"}
TRANSFER_KEYS = {"kind", "source", "target", "method", "version"}
PLAYED_KEYS = {"kind", "parts", "command", "version"}


@dataclass(frozen=True)
class Sidecar:
    """The fields of a sidecar that are needed to reuse its clip.

    Attributes:
        z: (N, D) float32; None for a sound of any length, which is encoded instead.
        class_name: Class it was decoded with.
        pitch: MIDI pitch it was decoded with.
        digest: Hash of the bundle.
        bundle_path: Path of the bundle, if neither bundle nor clip was moved alone.
        velocity: MIDI velocity it was decoded with.
        edited: Whether the clip is more than its latent decodes to, as an edit of a user's sound is.
    """

    z: "Tensor | None"
    class_name: str | None
    pitch: float | None
    digest: str
    bundle_path: Path
    velocity: float | None = None
    edited: bool = False


def sidecar_path(wav: Path) -> Path:
    """The path of a WAV's sidecar."""
    return wav.with_suffix(".json")


def clip_files(stem: str) -> list[str]:
    """Names of the WAV and the sidecar of a clip."""
    return [f"{stem}.wav", f"{stem}.json"]


def of_clip(
    *,
    z: Sequence[Any],
    labels: Mapping[str, Any],
    digest: str,
    bundle_path: Path,
    seed: int | None,
    temperature: float | None,
    more: Mapping[str, Any],
) -> dict[str, Any]:
    """Content of the sidecar of a generated clip.

    Args:
        z: Its latent as a list of numbers, or a list of several.
        labels: Class and pitch that it was decoded with, and the velocity if the model has velocities.
        digest: Hash of the bundle.
        bundle_path: Path of the bundle.
        seed: Its seed, if it was sampled.
        temperature: Its temperature, if it was sampled.
        more: Further fields, written before the bundle.
    """
    return {
        "seed": seed, "z": z, **labels, "temperature": temperature, **more,
        "bundle": digest, "bundle_path": one_line(bundle_path.absolute()),
    }  # fmt: skip


def of_vocoded(
    *, source: str, vocoder: str, mel: Mapping[str, Any], sample_rate: int, command: str, channels: int = 1
) -> dict[str, Any]:
    """Content of the sidecar of a vocoded file.

    Args:
        source: The source file.
        vocoder: The vocoder's name.
        mel: Fields of its mel.
        sample_rate: Of the WAV in Hz.
        command: The command line.
        channels: Of the WAV; as in the sidecars of clips, mono is not stated.
    """
    return {
        "source": source, "kind": VOCODED, "vocoder": vocoder, "mel": dict(mel), "sample_rate": sample_rate,
        **({"channels": channels} if channels > 1 else {}), "version": __version__, "command": command,
    }  # fmt: skip


def of_loop(*, source: str, loop: Mapping[str, Any], channels: int, command: str) -> dict[str, Any]:
    """Content of the sidecar of a loop that was found in a file.

    Args:
        source: The file.
        loop: Where it is, and its figures.
        channels: Of the WAV; mono is not stated.
        command: The command line.
    """
    return {
        "source": source, "kind": LOOP, **loop, **({"channels": channels} if channels > 1 else {}),
        "version": __version__, "command": command,
    }  # fmt: skip


def of_sequence(
    *, labels: Mapping[str, Any], digest: str, bundle_path: Path, duration_sec: float, more: Mapping[str, Any]
) -> dict[str, Any]:
    """Content of the sidecar of a sound of any length, without its latents.

    Args:
        labels: Class and pitch, as for `of_clip`.
        digest: Hash of the bundle.
        bundle_path: Path of the bundle.
        duration_sec: Length of the sound.
        more: Further fields, such as its seed, written before the bundle.
    """
    return {
        "kind": SEQUENCE, "duration_sec": duration_sec, **labels, **more,
        "bundle": digest, "bundle_path": one_line(bundle_path.absolute()),
    }  # fmt: skip


def of_transfer(
    *, source: str, target: str, method: str, digest: str, learned_from: Path, duration_sec: float, vocoder: str,
    sample_rate: int, command: str, more: Mapping[str, Any],
) -> dict[str, Any]:  # fmt: skip
    """Content of the sidecar of a sound in the timbre of another.

    Args:
        source: The file that was transferred.
        target: Name of the timbre.
        method: How.
        digest: Hash of the bundle, or of the target's sounds.
        learned_from: Path of the bundle, or of the target's sounds.
        duration_sec: Length of the sound.
        vocoder: The vocoder's name.
        sample_rate: Of the WAV in Hz.
        command: The command line.
        more: Further fields.
    """
    return {
        "source": source, "kind": TRANSFERRED, "target": target, "method": method, "duration_sec": duration_sec, **more,
        "bundle": digest, "bundle_path": one_line(learned_from.absolute()), "vocoder": vocoder,
        "sample_rate": sample_rate, "version": __version__, "command": command,
    }  # fmt: skip


def of_played(
    *, source: str | None, parts: Sequence[Mapping[str, Any]], duration_sec: float, sample_rate: int, command: str,
    more: Mapping[str, Any],
) -> dict[str, Any]:  # fmt: skip
    """Content of the sidecar of a sound that instruments play.

    Args:
        source: The score or the track that it follows; None for a beat.
        parts: What plays: name, run or kit, class and seed of each.
        duration_sec: Length of the sound.
        sample_rate: Of the WAV in Hz.
        command: The command line.
        more: Further fields.
    """
    about = {} if source is None else {"source": source}
    return {
        "kind": PLAYED, **about, "duration_sec": duration_sec, "parts": list(parts), **more,
        "sample_rate": sample_rate, "version": __version__, "command": command,
    }  # fmt: skip


class TransferOrigin(NamedTuple):
    """Where a transferred sound comes from.

    Attributes:
        source: The file that was transferred.
        method: How.
        place: What was learned from.
        target: Name of the timbre; "" if it is not known.
    """

    source: str
    method: str
    place: Path
    target: str


def read_transfer(wav: Path) -> TransferOrigin | None:
    """The origin of a transferred sound; None without a sidecar of a transfer."""
    path = sidecar_path(wav)
    try:
        values = read_json(path, LARGEST_BYTES)
    except (OSError, MalformedError):
        return None
    if not isinstance(values, dict) or values.get("kind") != TRANSFERRED:
        return None
    source, method, place, target = (values.get(key) for key in ("source", "method", "bundle_path", "target"))
    if not isinstance(source, str) or not isinstance(method, str) or not is_path(place):
        return None
    place = Path(os.path.realpath(path.parent / at_home(place)))
    return TransferOrigin(source, method, place, target if isinstance(target, str) else "")


def write_sidecar(wav: Path, about: Mapping[str, Any]) -> None:
    """Write the sidecar of a WAV, with a shareable path of its bundle."""
    content = dict(about)
    if isinstance(bundle := content.get("bundle_path"), str):
        content["bundle_path"] = shareable(Path(bundle), wav.parent)
    write_json(sidecar_path(wav), content)


def shareable(path: Path, folder: Path) -> str:
    """A path to write into a file in `folder`: relative, so that both can be moved together.

    If that would pass through the root or above the home folder, it begins with ~ or is absolute.
    """
    target, start, home = (os.path.realpath(place) for place in (path, folder, at_home("~")))
    try:
        shared = os.path.commonpath([target, start])
        if shared != os.path.dirname(shared) and shared not in map(str, Path(home).parents):
            return Path(os.path.relpath(target, start)).as_posix()
    except ValueError:  # another drive
        pass
    return f"~/{Path(target).relative_to(home).as_posix()}" if Path(target).is_relative_to(home) else target


def read_sidecar(wav: Path) -> Sidecar | None:
    """Read the sidecar of a clip; None if it has none.

    Raises:
        DataError: It is damaged.
    """
    import torch

    path = sidecar_path(wav)
    if not path.is_file():
        return None
    try:
        values = read_json(path, LARGEST_BYTES)
        if isinstance(values, dict) and "z" not in values and values.get("kind") in WITHOUT_LATENT:
            return None
        if isinstance(values, dict) and "z" not in values and values.get("kind") == SEQUENCE:
            values, z = {"pitch": None, **values}, None
        else:
            z = torch.tensor(values["z"], dtype=torch.float32)
        pitch, velocity = values["pitch"], values.get("velocity")
        if z is not None and (z.ndim not in (1, 2) or not bool(torch.isfinite(z).all())):
            raise MalformedError("z")
        if not (pitch is None or (type(pitch) in (int, float) and abs(pitch) <= FARTHEST_PITCH)):
            raise MalformedError("pitch")
        if not (velocity is None or (type(velocity) in (int, float) and 0 <= velocity <= LOUDEST)):
            raise MalformedError("velocity")
        if not isinstance(values["class"], str | None):
            raise MalformedError("class")
        place = values["bundle_path"]
        if not isinstance(values["bundle"], str) or not is_path(place):
            raise MalformedError("bundle")
        # Earlier versions wrote absolute paths.
        bundle_path = Path(os.path.realpath(path.parent / at_home(place)))
        z = z if z is None or z.ndim == 2 else z[None]  # (D,) -> (1, D)
        return Sidecar(z, values["class"], pitch, values["bundle"], bundle_path, velocity, values.get("edited") is True)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, OverflowError) as e:
        raise DataError(
            f"{one_line(path)}: damaged, or not a sidecar of a clip ({type(e).__name__}: "
            f"{clipped(one_line(str(e)), 120)}); move it away and name the run with --run, then the WAV itself is "
            "encoded"
        ) from e


def read_labels(wav: Path) -> dict[str, Any] | None:
    """Class, pitch and gain_db in the sidecar of a WAV; None if it cannot be read."""
    try:
        about = read_json(sidecar_path(wav))
    except (OSError, MalformedError):
        return None
    if not isinstance(about, dict):
        return None
    name, pitch, gain = about.get("class"), about.get("pitch"), about.get("gain_db")
    return {
        "gain_db": gain if isinstance(gain, int | float) and abs(gain) <= LARGEST_GAIN_DB else 0.0,
        "class": name if isinstance(name, str) else None,
        "pitch": pitch if isinstance(pitch, int | float) and 0 <= pitch <= 127 else None,
    }


def has_sidecar(sound: Path) -> bool:
    """Whether the JSON next to a sound is a readable sidecar."""
    keys = json_keys(sidecar_path(sound), LARGEST_UNKNOWN_BYTES)
    return any(
        keys >= needed for needed in (CLIP_KEYS, VOCODED_KEYS, LOOP_KEYS, TRANSFER_KEYS, SEQUENCE_KEYS, PLAYED_KEYS)
    )
