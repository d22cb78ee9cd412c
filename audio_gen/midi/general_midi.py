"""General MIDI: the keys of drums, and which sounds of a folder they mean."""

import itertools
import re
from collections.abc import Collection

# Keys of the percussion map with the words by which sounds of that kind are named, most telling first.
DRUMS: dict[int, tuple[str, tuple[str, ...]]] = {
    35: ("Acoustic Bass Drum", ("kick", "bassdrum", "bd")),
    36: ("Bass Drum 1", ("kick", "bassdrum", "bd")),
    37: ("Side Stick", ("rim", "rimshot", "sidestick", "stick")),
    38: ("Acoustic Snare", ("snare", "sd", "sn")),
    39: ("Hand Clap", ("clap", "snap", "cp")),
    40: ("Electric Snare", ("snare", "sd", "sn")),
    41: ("Low Floor Tom", ("tom", "lt")),
    42: ("Closed Hi-Hat", ("hihat", "hat", "hh", "ch")),
    43: ("High Floor Tom", ("tom", "lt")),
    44: ("Pedal Hi-Hat", ("hihat", "hat", "hh", "ph")),
    45: ("Low Tom", ("tom", "lt")),
    46: ("Open Hi-Hat", ("hihat", "hat", "hh", "oh")),
    47: ("Low-Mid Tom", ("tom", "mt")),
    48: ("Hi-Mid Tom", ("tom", "ht")),
    49: ("Crash Cymbal 1", ("crash", "cymbal", "cy")),
    50: ("High Tom", ("tom", "ht")),
    51: ("Ride Cymbal 1", ("ride", "cymbal", "cy")),
    52: ("Chinese Cymbal", ("china", "cymbal", "cy")),
    53: ("Ride Bell", ("bell", "ride", "cymbal")),
    54: ("Tambourine", ("tambourine",)),
    55: ("Splash Cymbal", ("splash", "cymbal", "cy")),
    56: ("Cowbell", ("cowbell", "bell", "cb")),
    57: ("Crash Cymbal 2", ("crash", "cymbal", "cy")),
    58: ("Vibraslap", ("vibraslap",)),
    59: ("Ride Cymbal 2", ("ride", "cymbal", "cy")),
    60: ("Hi Bongo", ("bongo", "hand", "tabla", "perc")),
    61: ("Low Bongo", ("bongo", "hand", "tabla", "perc")),
    62: ("Mute Hi Conga", ("conga", "hand", "tabla", "perc")),
    63: ("Open Hi Conga", ("conga", "hand", "tabla", "perc")),
    64: ("Low Conga", ("conga", "hand", "tabla", "perc")),
    65: ("High Timbale", ("timbale", "perc")),
    66: ("Low Timbale", ("timbale", "perc")),
    67: ("High Agogo", ("agogo", "perc")),
    68: ("Low Agogo", ("agogo", "perc")),
    69: ("Cabasa", ("cabasa", "shaker", "perc")),
    70: ("Maracas", ("maracas", "shaker", "perc")),
    75: ("Claves", ("claves", "clave", "block", "perc")),
    76: ("Hi Wood Block", ("woodblock", "block", "perc")),
    77: ("Low Wood Block", ("woodblock", "block", "perc")),
    80: ("Mute Triangle", ("triangle",)),
    81: ("Open Triangle", ("triangle",)),
}
# What plays a drum that a kit lacks, in order.
STAND_INS: dict[str, tuple[str, ...]] = {
    "kick": ("tom", "bass"), "snare": ("clap", "rim", "perc"), "clap": ("snare",), "rim": ("snare", "perc"),
    "hihat": ("shaker", "cymbal", "perc"), "crash": ("hihat",), "ride": ("hihat",), "cymbal": ("hihat",),
    "tom": ("perc", "hand", "kick"), "tambourine": ("shaker", "hihat"), "cowbell": ("rim", "perc"),
    "shaker": ("hihat",), "triangle": ("hihat",),
}  # fmt: skip
# Keys of each kind in the order in which a kit with few sounds of it fills them.
ORDER: dict[str, tuple[int, ...]] = {
    "kick": (36, 35), "snare": (38, 40), "rim": (37,), "clap": (39,), "hihat": (42, 46, 44),
    "tom": (45, 48, 41, 50, 43, 47), "crash": (49, 57), "ride": (51, 59, 53), "cymbal": (49, 51, 57, 55, 59, 52, 53),
    "splash": (55,), "china": (52,), "tambourine": (54,), "cowbell": (56,), "vibraslap": (58,), "bongo": (60, 61),
    "conga": (63, 64, 62), "hand": (60, 61, 62, 63, 64), "tabla": (60, 61, 62, 63, 64), "timbale": (65, 66),
    "agogo": (67, 68), "cabasa": (69,), "maracas": (70,), "shaker": (70, 69), "clave": (75,), "woodblock": (76, 77),
    "block": (76, 77, 75), "triangle": (81, 80),
    "perc": (63, 64, 62, 60, 61, 67, 68, 75, 76, 77),
}  # fmt: skip
SYNONYMS = {
    "bassdrum": "kick", "bd": "kick", "kd": "kick", "sd": "snare", "sn": "snare", "rimshot": "rim", "sidestick": "rim",
    "stick": "rim", "snap": "clap", "cp": "clap", "hat": "hihat", "hh": "hihat", "ch": "hihat", "oh": "hihat",
    "cy": "cymbal", "lt": "tom", "mt": "tom", "ht": "tom", "cb": "cowbell", "claves": "clave", "percussion": "perc",
    "bongos": "bongo", "congas": "conga", "kicks": "kick", "snares": "snare", "hats": "hihat", "toms": "tom",
}  # fmt: skip
CHOKED = (42, 44, 46)  # hi-hats stop each other
CHOKE_GROUP = 1
OPEN_HAT, CLOSED_HAT, PEDAL_HAT = 46, 42, 44


def drum_kind(name: str | None) -> str | None:
    """The kind of drum that a class or file name means, such as "hihat" for "Closed Hats"; None if it means none."""
    if name is None:
        return None
    plain = re.sub(r"[^a-z]+", " ", name.lower()).split()
    words = [*plain, *(a + b for a, b in itertools.pairwise(plain))]
    for known in (ORDER, SYNONYMS):
        for word in words:
            for one in (word, word.removesuffix("s")):
                if one in known:
                    return SYNONYMS.get(one, one)
    joined = "".join(plain)
    longest = sorted((one for one in {*ORDER, *SYNONYMS} if len(one) > 2), key=len, reverse=True)
    return next((SYNONYMS.get(one, one) for one in longest if one in joined), None)


def kinds_for(key: int) -> tuple[str, ...]:
    """Kinds of drums that can play a key of the percussion map, the nearest first."""
    if key not in DRUMS:
        return ("perc",)
    kinds = list(dict.fromkeys(SYNONYMS.get(word, word) for word in DRUMS[key][1]))
    kinds += [other for kind in list(kinds) for other in STAND_INS.get(kind, ()) if other not in kinds]
    return tuple(kinds)


def kind_playing(key: int, kinds: Collection[str]) -> str | None:
    """The nearest of some kinds of drums that can play a key; None if none can."""
    return next((kind for kind in kinds_for(key) if kind in kinds), None)


PROGRAMS = (
    "Acoustic Grand Piano", "Bright Acoustic Piano", "Electric Grand Piano", "Honky-tonk Piano", "Electric Piano 1",
    "Electric Piano 2", "Harpsichord", "Clavinet", "Celesta", "Glockenspiel", "Music Box", "Vibraphone", "Marimba",
    "Xylophone", "Tubular Bells", "Dulcimer", "Drawbar Organ", "Percussive Organ", "Rock Organ", "Church Organ",
    "Reed Organ", "Accordion", "Harmonica", "Bandoneon", "Nylon Guitar", "Steel Guitar", "Jazz Guitar", "Clean Guitar",
    "Muted Guitar", "Overdriven Guitar", "Distortion Guitar", "Guitar Harmonics", "Acoustic Bass", "Fingered Bass",
    "Picked Bass", "Fretless Bass", "Slap Bass 1", "Slap Bass 2", "Synth Bass 1", "Synth Bass 2", "Violin", "Viola",
    "Cello", "Contrabass", "Tremolo Strings", "Pizzicato Strings", "Orchestral Harp", "Timpani", "String Ensemble 1",
    "String Ensemble 2", "Synth Strings 1", "Synth Strings 2", "Choir Aahs", "Voice Oohs", "Synth Voice",
    "Orchestra Hit", "Trumpet", "Trombone", "Tuba", "Muted Trumpet", "French Horn", "Brass Section", "Synth Brass 1",
    "Synth Brass 2", "Soprano Sax", "Alto Sax", "Tenor Sax", "Baritone Sax", "Oboe", "English Horn", "Bassoon",
    "Clarinet", "Piccolo", "Flute", "Recorder", "Pan Flute", "Blown Bottle", "Shakuhachi", "Whistle", "Ocarina",
    "Square Lead", "Sawtooth Lead", "Calliope Lead", "Chiff Lead", "Charang Lead", "Voice Lead", "Fifths Lead",
    "Bass and Lead", "New Age Pad", "Warm Pad", "Polysynth Pad", "Choir Pad", "Bowed Pad", "Metallic Pad", "Halo Pad",
    "Sweep Pad", "Rain", "Soundtrack", "Crystal", "Atmosphere", "Brightness", "Goblins", "Echoes", "Sci-fi", "Sitar",
    "Banjo", "Shamisen", "Koto", "Kalimba", "Bagpipe", "Fiddle", "Shanai", "Tinkle Bell", "Agogo", "Steel Drums",
    "Woodblock", "Taiko Drum", "Melodic Tom", "Synth Drum", "Reverse Cymbal", "Guitar Fret Noise", "Breath Noise",
    "Seashore", "Bird Tweet", "Telephone Ring", "Helicopter", "Applause", "Gunshot",
)  # fmt: skip
FAMILIES = (
    "piano", "chromatic percussion", "organ", "guitar", "bass", "strings", "ensemble", "brass", "reed", "pipe",
    "lead", "pad", "effects", "ethnic", "percussive", "sound effects",
)  # fmt: skip
FAMILY_SIZE = 8
ALIASES = {
    44: "Strings Ensemble",
    50: "String Ensemble",
    51: "String Ensemble",
    55: "Brass Orchestra",
    62: "Brass",
    63: "Brass",
}


def program_class(program: int, classes: tuple[str, ...]) -> str | None:
    """The class whose name is nearest to that of a programme, or of one of its family; None if none shares a word."""
    family = program // FAMILY_SIZE * FAMILY_SIZE
    near = range(family, family + FAMILY_SIZE)

    def likeness(name: str) -> float:
        words = _words(name)
        if program in ALIASES:
            return len(words & _words(ALIASES[program])) / len(words)
        shared = sum(
            len(words & _words(PROGRAMS[one])) / len(words | _words(PROGRAMS[one])) / 2 ** abs(one - program)
            for one in near
        )
        return shared or 1e-3 * bool(words & _words(FAMILIES[program // FAMILY_SIZE]))

    best = max(classes, key=likeness, default=None)
    return best if best is not None and likeness(best) > 0 else None


def _words(name: str) -> set[str]:
    plain = re.sub(r"[^a-z]+", " ", name.lower()).split()
    return {word.removesuffix("s") for word in plain} - {"and", "section"}
