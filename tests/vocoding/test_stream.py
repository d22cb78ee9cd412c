"""A stream is the sound of the whole, cut up, and comes as late as it says."""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from audio_gen.audio.mel import LOG_FLOOR, MelFrontEnd, MelSpec
from audio_gen.errors import ConfigError, DataError
from audio_gen.training.tasks.vocoder import VocoderNet
from audio_gen.vocoding.bands import nnls_amplitude
from audio_gen.vocoding.griffinlim import GriffinLimVocoder
from audio_gen.vocoding.load import load_vocoder
from audio_gen.vocoding.network import VocoderNetwork
from audio_gen.vocoding.phases import PhaseStart, initial_phasors
from audio_gen.vocoding.renderer import NetworkVocoder
from audio_gen.vocoding.stream import context_frames, stream
from tests.generation.models import SPEC

FRAMES = 150
WIDE = MelSpec(
    sample_rate=22050, n_fft=1024, hop_length=256, n_mels=40
)  # four windows over each sample, as the presets
ODD = MelSpec(sample_rate=16000, n_fft=500, hop_length=130, n_mels=20)


def vocoder(spec: MelSpec, blocks: int = 1) -> NetworkVocoder:
    torch.manual_seed(0)
    network = VocoderNetwork(**spec.to_dict(), **{**VocoderNet(dim=16).model_dump(), "blocks": blocks}).eval()
    for parameter in network.parameters():
        parameter.data.add_(0.05 * torch.randn_like(parameter))  # the head is 0 at first and would hide the rest
    return NetworkVocoder(network, "random")


def melody(spec: MelSpec, frames: int = FRAMES) -> Tensor:
    """Log-mel (M, L) of a chirp with overtones, in noise."""
    t = torch.arange(spec.samples(frames)) / spec.sample_rate
    turns = 2 * torch.pi * (200 * t + 100 * t**2)
    noise = torch.randn(len(t), generator=torch.Generator().manual_seed(1))
    wav = 0.3 * turns.sin() + 0.1 * (3 * turns).sin() + 0.01 * noise
    return MelFrontEnd(spec)(wav[None, None])[0]


def chunks(mel: Tensor, lengths: list[int]) -> Iterator[Tensor]:
    assert sum(lengths) == mel.shape[1]
    yield from mel.split(lengths, dim=1)


@pytest.mark.parametrize("spec", [SPEC, WIDE, ODD])
@pytest.mark.parametrize("lengths", [[1] * 8 + [82, 0, 60], [64, 64, 22]])
def test_a_stream_is_the_whole(spec: MelSpec, lengths: list[int]) -> None:
    speak, mel = vocoder(spec), melody(spec)
    made = list(stream(speak, chunks(mel, lengths)))
    assert [wav.shape for wav in made] == [(1, spec.hop_length * length) for length in lengths]
    whole = speak(mel[None])[0]
    assert float(whole.abs().max()) > 0.05
    torch.testing.assert_close(torch.cat(made, dim=1), whole, atol=1e-4, rtol=0)


def test_phases_go_on_where_they_were() -> None:
    amplitude = nnls_amplitude(melody(WIDE)[None], WIDE)
    whole, start = initial_phasors(amplitude, WIDE), PhaseStart(WIDE)
    for first, end in [(0, 40), (0, 60), (50, 90), (90, 150)]:
        torch.testing.assert_close(start(amplitude[..., first:end], first), whole[..., first:end], atol=1e-5, rtol=0)


@pytest.mark.parametrize("blocks", [0, 2])
def test_nothing_further_away_than_the_context_is_heard(blocks: int) -> None:
    speak, mel, at = vocoder(WIDE, blocks), melody(WIDE, 120)[None], 60
    speak.network.low_projections = 1  # after more, what comes from furthest is lost in rounding
    context = context_frames(speak)
    # Above the partials, whose phases are sums over all frames before.
    other = mel.clone()
    other[:, -1, at] += 0.5
    changed = (speak(other) - speak(mel))[0, 0].abs().reshape(120, -1).amax(dim=1) > 0
    heard = changed.nonzero()[:, 0]
    assert at - context <= int(heard.min()) and int(heard.max()) <= at + context
    assert max(at - int(heard.min()), int(heard.max()) - at) >= context - 3  # and it is hardly larger than it must be


def test_the_standard_context() -> None:
    preset = MelSpec.preset("44khz_128band_512x")
    assert context_frames(vocoder(preset, blocks=6)) == 77  # 7 kernels of 7, 18 projections of 3, 2 at last


@pytest.mark.parametrize("lookahead", [None, 0, 5])
def test_a_chunk_comes_when_its_look_ahead_is_there(lookahead: int | None) -> None:
    speak, given = vocoder(SPEC), []

    def source() -> Iterator[Tensor]:
        for chunk in melody(SPEC).split(10, dim=1):
            given.append(chunk)
            yield chunk

    wanted = context_frames(speak) if lookahead is None else lookahead
    for number, _ in enumerate(stream(speak, source(), lookahead)):
        assert len(given) == min(15, number + 1 - (-wanted // 10))


def test_a_shorter_look_ahead_is_nearly_the_whole() -> None:
    speak, mel = vocoder(WIDE), melody(WIDE, 40)
    whole = speak(mel[None])[0]

    def error(lookahead: int) -> float:
        made = torch.cat(list(stream(speak, mel.split(2, dim=1), lookahead)), dim=1)
        return float((made - whole).norm() / whole.norm())

    assert 1 > error(0) > error(4) and error(0) > 30 * error(context_frames(speak))


def test_silence_and_little_sound() -> None:
    speak = vocoder(SPEC)
    assert list(stream(speak, [])) == []
    wav = torch.cat(list(stream(speak, [torch.full((SPEC.n_mels, 1), LOG_FLOOR)] * 3)), dim=1)
    assert wav.shape == (1, 3 * SPEC.hop_length) and float(wav.abs().max()) < 10 ** (-90 / 20)


def broken(mel: Tensor) -> list[Tensor]:
    mel[3, 70] = float("nan")
    return list(mel.split(50, dim=1))


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (lambda speak, mel: stream(GriffinLimVocoder(SPEC), [mel]), "griffinlim needs the whole clip"),
        (lambda speak, mel: stream(speak, [mel], -1), r"lookahead_frames \(-1\) must not be negative"),
        (lambda speak, mel: list(stream(speak, broken(mel))), "mel chunk 1: holds nan in band 3 of frame 20"),
    ],
)
def test_what_cannot_be_streamed(wrong: Callable[[NetworkVocoder, Tensor], object], told: str) -> None:
    with pytest.raises((ConfigError, DataError), match=told):
        wrong(vocoder(SPEC), melody(SPEC))


def test_stereo_does_not_stream() -> None:
    spec = MelSpec.preset("44khz_128band_512x").with_stereo(16)
    with pytest.raises(ConfigError, match="cannot stream stereo; stream the first 128 rows"):
        next(stream(load_vocoder("small", spec), []))
