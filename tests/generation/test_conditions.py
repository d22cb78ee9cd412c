"""Names of classes as users type them."""

import unicodedata

import pytest

from audio_gen.errors import ConfigError
from audio_gen.generation.conditions import Conditions, matched

KNOWN = ("Kick", "snares", "Hi-Hat", "Café", "808")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("Kick", "Kick"),
        ("kick", "Kick"),
        ("KICKS", "Kick"),
        ("snare", "snares"),
        ("Snares", "snares"),
        ("hi hats", "Hi-Hat"),
        ("hihat", "Hi-Hat"),
        (unicodedata.normalize("NFD", "Café"), "Café"),
        (unicodedata.normalize("NFD", "cafés").upper(), "Café"),
        ("808s", "808"),
        ("kic", None),
        ("cafe", "Café"),
        ("", None),
        ("s", None),
    ],
)
def test_what_is_meant(name: str, meant: str | None) -> None:
    assert matched(name, KNOWN) == meant


@pytest.mark.parametrize(
    ("name", "classes", "meant"),
    [
        ("djembe", ["djembé", "conga"], "djembé"),
        ("DJEMBES", ["djembé", "conga"], "djembé"),
        ("smorrebrod", ["smørrebrød"], "smørrebrød"),
        ("c #", ["C", "C#"], "C#"),
        ("c", ["C", "C#"], "C"),
        ("क", ["कि", "की"], None),  # vowel signs are no accents
        ("!!", ["??", "🥁"], None),
        ("kick_drum", ["Kick Drum", "Kick"], "Kick Drum"),
        ("kick.drum", ["Kick-Drum", "Kick Drum!"], None),
        ("Kick-Drum", ["Kick-Drum", "Kick Drum"], "Kick-Drum"),
    ],
)
def test_separators_and_accents(name: str, classes: list[str], meant: str | None) -> None:
    assert matched(name, classes) == meant


def test_a_name_of_several_classes_is_called_ambiguous() -> None:
    conditions = Conditions("the model", ("Kick", "kick", "Snare"), None)
    with pytest.raises(ConfigError, match=r"\(KICK\) is ambiguous: the model knows 'Kick', 'kick'; write"):
        conditions.class_id("KICK")
    assert conditions.known_class(["KICK", "snare"]) == 2


def test_both_ways_to_store_an_accent_are_one() -> None:
    decomposed = unicodedata.normalize("NFD", "Café")
    assert matched("Café", [decomposed]) == decomposed
    assert matched("Café", ["Café", decomposed]) == "Café"


def test_what_may_mean_two_is_not_guessed() -> None:
    assert matched("kick", ["Kick", "KICK"]) is None and matched("kicks", ["Kick", "kick"]) is None
    assert matched("kick", ["Kick", "kick", "kicks"]) == "kick"  # the very name
    assert matched("!", ["?", "!!"]) is None and matched("!", ["?", "!"]) == "!"


def test_numbers_of_classes() -> None:
    conditions = Conditions("run", KNOWN, None)
    assert conditions.class_id("SNARE") == 1 and conditions.class_id(None) == -1
    assert conditions.known_class([None, "tuba", "hi-hats", "kick"]) == 2 and conditions.known_class(["tuba"]) == -1
    with pytest.raises(ConfigError, match=r"class \(snaer\) is unknown to run; it knows snares, Kick"):
        conditions.class_id("snaer")
