"""From a vocoder's wave to a file: where it begins and ends, fades, level, rate, depth."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch
from torch import Tensor

from audio_gen.audio.loudness import loudness_lufs
from audio_gen.audio.onset import lead_samples, sound_end
from audio_gen.errors import ConfigError
from audio_gen.generation.clip_file import dithered, write_clip
from audio_gen.generation.finish import CUT_FADE_SEC, FADE_OUT_SEC, Finish, Finished, finish

RATE = 44100
LEAD = lead_samples(RATE)
BEGIN, T60 = 2000, 8820
FADE, CUT_FADE = round(FADE_OUT_SEC * RATE), round(CUT_FADE_SEC * RATE)
PEAK = 10 ** (-1 / 20)


def hit(before: int = BEGIN, samples: int = RATE, t60: int = T60, level: float = 0.25) -> Tensor:
    """Silence, then full level that decays by 60 dB in `t60` samples, (1, T)."""
    time = torch.arange(samples - before)
    sound = level * torch.where(time % 2 == 1, -1.0, 1.0) * 10 ** (-3 * time / t60)
    return torch.cat([torch.zeros(before), sound])[None]


def db(x: float) -> float:
    return 20 * math.log10(x)


def test_a_clip_begins_1_ms_before_its_onset_and_ends_with_its_sound() -> None:
    done = finish(hit(), RATE, Finish(normalize="none"))
    assert done.begin_sec == pytest.approx((BEGIN - LEAD) / RATE) and not done.cut
    assert done.wav.shape == (1, LEAD + T60 + FADE) and done.sample_rate == RATE and done.gain_db == 0
    assert done.wav[0, 0] == done.wav[0, -1] == 0
    same = slice(LEAD, LEAD + T60 - 1)  # neither faded in nor out
    assert torch.equal(done.wav[0, same], hit()[0, BEGIN : BEGIN + T60 - 1])


@pytest.mark.parametrize("tail_db", [20, 40, 90])
def test_the_tail_ends_so_far_below_the_peak(tail_db: float) -> None:
    done = finish(hit(), RATE, Finish(normalize="none", tail_db=tail_db))
    assert done.wav.shape[1] == pytest.approx(LEAD + T60 * tail_db / 60 + FADE, abs=1)
    assert not done.cut and done.wav[0, -1] == 0


def test_fades() -> None:
    long = torch.ones(1, RATE)
    long[0, 1::2] = -1
    done = finish(long, RATE, Finish(normalize="none"))
    level = done.wav[0].abs()
    assert done.cut and done.wav.shape == long.shape  # nothing before it that could be left out
    assert level[0] == level[-1] == 0 and (level[22:-CUT_FADE] == 1).all() and (level[:23].diff() > 0).all()
    out = level[-CUT_FADE:]
    assert (out.diff() < 0).all() and float(out[CUT_FADE // 2]) == pytest.approx(0.5, abs=0.01)
    ended = torch.cat([long, torch.zeros(1, RATE)], dim=1)
    done = finish(ended, RATE, Finish(normalize="none", length="model"))
    assert not done.cut and done.wav.shape == ended.shape


@pytest.mark.parametrize("length", ["sound", "model"])
def test_a_sound_that_the_model_cuts_off_is_faded_longer_and_said_so(length: str) -> None:
    wav = hit(t60=4 * RATE)
    done = finish(wav, RATE, Finish(normalize="none", length=length))  # type: ignore[arg-type]
    begin = BEGIN - LEAD if length == "sound" else 0
    assert done.cut and done.wav.shape[1] == RATE - begin and done.to_json()["cut"] is True
    assert torch.equal(done.wav[0, LEAD:-CUT_FADE], wav[0, begin + LEAD : -CUT_FADE])
    assert (done.wav[0, 1 - CUT_FADE :].abs() < wav[0, 1 - CUT_FADE :].abs()).all() and done.wav[0, -1] == 0


def test_a_soft_end_that_is_cut_off_fades_below_the_tail_before_the_model_ends() -> None:
    wav = hit(t60=round(1.05 * (RATE - BEGIN)))  # still 57 dB below its peak at the end
    done = finish(wav, RATE, Finish(normalize="none"))
    assert done.cut and done.wav[0, -1] == 0
    longest = RATE - (BEGIN - LEAD)
    assert longest - CUT_FADE < done.wav.shape[1] < longest
    assert sound_end(done.wav[0].numpy()) >= done.wav.shape[1] - FADE - 1
    assert finish(wav, RATE, Finish(normalize="none", length="model")).wav.shape[1] == RATE


def test_the_length_of_the_model_is_kept_where_it_is_asked_for() -> None:
    done = finish(hit(), RATE, Finish(normalize="none", length="model"))
    assert done.wav.shape == (1, RATE) and done.begin_sec == 0 and not done.cut
    assert torch.equal(done.wav[0, 22:-FADE], hit()[0, 22:-FADE])


@pytest.mark.parametrize("level", [1e-4, 0.25, 8.0])
def test_the_peak_is_at_minus_1_dbfs(level: float) -> None:
    done = finish(hit(level=level), RATE, Finish())
    assert float(done.wav.abs().max()) == pytest.approx(PEAK, rel=1e-4)
    assert done.gain_db == pytest.approx(-1 - db(level), abs=1e-3)
    plain = finish(hit(level=level), RATE, Finish(normalize="none"))
    torch.testing.assert_close(done.wav, plain.wav * 10 ** (done.gain_db / 20))


def test_loudness_is_that_of_ebu_r_128_unless_the_peak_forbids() -> None:
    tone = 0.02 * torch.sin(2 * torch.pi * 1000 * torch.arange(2 * RATE) / RATE)[None]
    done = finish(tone, RATE, Finish(normalize="lufs"))
    assert loudness_lufs(done.wav[0], RATE) == pytest.approx(-23, abs=1)
    # A mono sine has -3 LUFS at full scale (ITU-R BS.1770-4), so this one is at -20 dBFS.
    assert db(float(done.wav.abs().max())) == pytest.approx(-20, abs=1)
    click = finish(hit(t60=60), RATE, Finish(normalize="lufs"))
    assert float(click.wav.abs().max()) <= PEAK * (1 + 1e-6)


def test_another_rate() -> None:
    tone = torch.cat([torch.zeros(BEGIN), torch.sin(2 * torch.pi * 1000 * torch.arange(RATE) / RATE)])[None]
    done = finish(tone, RATE, Finish(rate=22050, length="model"))
    assert done.sample_rate == 22050 and done.wav.shape == (1, round((RATE + BEGIN) / 2))
    spectrum = torch.fft.rfft(done.wav[0, 2000:12000] * torch.hann_window(10000)).abs()
    assert float(spectrum.argmax()) * 22050 / 10000 == pytest.approx(1000, abs=3)
    assert float(done.wav.abs().max()) == pytest.approx(PEAK, rel=1e-4)
    cut = finish(tone, RATE, Finish(rate=22050))
    assert cut.begin_sec == pytest.approx((BEGIN - LEAD) / RATE, abs=0.001)


@pytest.mark.parametrize("length", ["sound", "model"])
@pytest.mark.parametrize("samples", [0, 1, 1000])
def test_silence_stays_silent(samples: int, length: str) -> None:
    done = finish(torch.full((1, samples), 1e-7), RATE, Finish(length=length))  # type: ignore[arg-type]
    assert done.wav.shape == (1, samples) and done.gain_db == 0 and not done.cut
    assert float(done.wav.abs().sum()) <= 1e-6 * samples


def test_an_onset_at_the_first_sample() -> None:
    done = finish(hit(before=0), RATE, Finish(normalize="none"))
    assert done.begin_sec == 0 and done.wav.shape == (1, T60 + FADE)
    assert done.wav[0, 0] == 0 and torch.equal(done.wav[0, 22 : T60 - 1], hit(before=0)[0, 22 : T60 - 1])


@pytest.mark.parametrize("samples", [1, 2, 3, 20, 220])
def test_very_short_clips(samples: int) -> None:
    done = finish(torch.ones(1, samples), RATE, Finish())
    assert done.wav.shape == (1, samples) and done.cut and bool(done.wav.isfinite().all())
    assert done.wav[0, 0] == done.wav[0, -1] == 0
    assert float(done.wav.abs().max()) <= PEAK * (1 + 1e-6)
    if samples == 220:  # 5 ms
        assert float(done.wav.abs().max()) == pytest.approx(PEAK, rel=1e-4)


def test_what_was_given_is_not_written_into() -> None:
    wav = hit()
    for how in (Finish(), Finish(length="model"), Finish(normalize="none")):
        finish(wav, RATE, how)
        assert torch.equal(wav, hit())


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"normalize": "peek"}, "--normalize peek: unknown; use peak"),
        ({"normalize": "loud"}, "--normalize loud: unknown"),
        ({"bits": "12"}, "--bits 12: unknown"),
        ({"length": "modle"}, "--length modle: unknown; use model"),
        ({"rate": 10}, "--rate 10: must be between 1000 and 1000000 Hz"),
        ({"tail_db": 500}, "--tail 500: must be between 20 and 120 dB"),
        ({"tail_db": math.nan}, "--tail nan"),
    ],
)
def test_wrong_settings_name_their_option(how: dict, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        Finish(**how)


def written(folder: Path, how: Finish, wav: Tensor | None = None) -> tuple[Finished, dict, np.ndarray, str]:
    done = write_clip(folder / "a.wav", hit() if wav is None else wav, {"sample_rate": RATE}, how)
    about = json.loads((folder / "a.json").read_text())
    return done, about, sf.read(folder / "a.wav")[0], sf.info(folder / "a.wav").subtype


@pytest.mark.parametrize(("bits", "subtype", "step"), [("16", "PCM_16", 2**-15), ("24", "PCM_24", 2**-23)])
def test_depths(tmp_path: Path, bits: str, subtype: str, step: float) -> None:
    done, about, wav, found = written(tmp_path, Finish(bits=bits))
    assert found == subtype and about["bits"] == bits
    assert np.abs(wav - done.wav[0].numpy()).max() <= 2 * step  # with dither


def test_float_keeps_every_bit_and_the_sidecar_tells_the_rest(tmp_path: Path) -> None:
    done, about, wav, found = written(tmp_path, Finish(bits="float", normalize="none", tail_db=40))
    assert found == "FLOAT" and np.array_equal(wav.astype(np.float32), done.wav[0].numpy())
    assert (about["normalize"], about["bits"], about["tail_db"]) == ("none", "float", 40)
    assert (about["gain_db"], about["cut"], about["sample_rate"]) == (0, False, RATE)
    assert about["begin_sec"] == pytest.approx((BEGIN - LEAD) / RATE, abs=1e-6)


def test_the_gain_in_the_sidecar_takes_a_file_back_to_the_model(tmp_path: Path) -> None:
    for how, level in ((Finish(), 0.25), (Finish(normalize="lufs"), 0.25), (Finish(normalize="none"), 4.0)):
        _, about, wav, _ = written(tmp_path, how, hit(level=level))
        begin = round(about["begin_sec"] * RATE)
        back = wav * 10 ** (-about["gain_db"] / 20)
        whole = hit(level=level)[0].numpy()[begin:]
        np.testing.assert_allclose(back[LEAD : LEAD + 1000], whole[LEAD : LEAD + 1000], rtol=1e-3)


def test_dither() -> None:
    noise = dithered(torch.zeros(1, 200_000)) * 2**15  # in 16-bit steps
    assert abs(float(noise.mean())) < 0.005 and float(noise.std()) == pytest.approx(1 / math.sqrt(6), rel=0.01)
    assert 0.95 < float(noise.abs().max()) <= 1
    assert abs(float((noise[0, 1:] * noise[0, :-1]).mean())) < 0.003  # white
    assert torch.equal(dithered(hit()), dithered(hit())) and not torch.equal(dithered(hit()), dithered(0.5 * hit()))


def test_the_same_clip_is_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        written(tmp_path / name, Finish(bits="16"))
    assert (tmp_path / "a/a.wav").read_bytes() == (tmp_path / "b/a.wav").read_bytes()
    quiet, _, wav, _ = written(tmp_path, Finish(bits="16", normalize="none"), hit(level=2**-16))
    assert len(np.unique(wav)) > 1 and sound_end(quiet.wav[0].numpy()) > 0  # half a step is heard through dither
