"""Speech of espeak-ng in several voices and languages; all sentences were written for this recipe."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile as sf
import soxr

from audio_gen.errors import DataError

SAMPLE_RATE = 44100

# Speaker variants of espeak-ng (pitch, formants, breath, roughness); each speaks every language.
_VOICES = "m1 m2 m3 m4 m5 m6 m7 f1 f2 f3 f4 f5 klatt klatt2 croak whisper"
VOICES = tuple(_VOICES.split())

# The last sentence of each language is spoken by voices that are kept out, the others by the rest.
SENTENCES = {
    "en-us": (
        "The blue kettle was already whistling when we came home.",
        "Seven quick foxes jumped across a shallow ditch.",
        "Please put the measuring tape back into the third drawer.",
        "Why would anyone choose such a large and noisy fan?",
        "Zoe joyfully washed the thick vases with warm soapy water.",
    ),
    "en-gb-scotland": (
        "Rain fell all morning on the harbour and the fishing boats.",
        "Could you both check the oven before the bread is burnt?",
        "She thought the old church bell sounded rather cheerful.",
        "Nobody heard the small grey mouse behind the bookshelf.",
        "George measured the rough path with a very short rope.",
    ),
    "de": (
        "Der alte Nachbar repariert jeden Samstag sein Fahrrad.",
        "Zwischen den Häusern wächst ein ziemlich schiefer Apfelbaum.",
        "Hast du heute schon die frischen Brötchen gekauft?",
        "Fünf graue Gänse schwimmen langsam über den See.",
        "Im Keller stehen achtzehn Gläser mit süßer Marmelade.",
    ),
    "fr-fr": (
        "Le petit garçon cherche son chapeau rouge dans le jardin.",
        "Nous mangerons une soupe chaude avant de partir.",
        "Un vieux chien dort sous la table de la cuisine.",
        "Quelle heure est-il quand le train arrive à la gare ?",
        "Chaque jeudi, ma voisine joue du violon sur son balcon.",
    ),
    "es": (
        "La ventana de mi cuarto mira hacia una calle tranquila.",
        "Mañana por la tarde jugaremos con los niños en la playa.",
        "El perro corre detrás de un carro viejo y oxidado.",
        "¿Quién dejó tantas llaves encima de la silla?",
        "Cuando llueve, el gallo se esconde bajo el puente.",
    ),
    "it": (
        "Ogni mattina il fornaio apre la bottega molto presto.",
        "La zia ha messo gli spaghetti nella pentola sbagliata.",
        "Chi ha lasciato acceso il fuoco nel camino?",
        "Sette gatti giocano vicino alla vecchia fontana.",
        "Il ghiaccio si scioglie piano sulla cima della collina.",
    ),
    "pt-br": (
        "A menina desenhou um navio enorme na areia molhada.",
        "Não esqueça de fechar a janela quando sair.",
        "O relógio da cozinha parou às dez e vinte.",
        "Quantos pães você comprou hoje de manhã?",
        "O avô conta histórias longas sobre viagens e tempestades.",
    ),
    "nl": (
        "De buurman schildert zijn schuur in een vrolijke kleur geel.",
        "Gisteren hebben we een groot stuk kaas gekocht.",
        "Waarom staat die fiets midden op de brug?",
        "Acht kleine eenden zwemmen achter hun moeder aan.",
        "Het schip vaart langzaam door de dichte mist.",
    ),
    "sv": (
        "Min syster bakar kanelbullar varje söndag.",
        "Sjön var alldeles stilla när vi rodde hem.",
        "Har någon sett de gröna vantarna som låg här?",
        "Sju skator hoppade omkring på det snöiga taket.",
        "På kvällen tänder vi ljus och dricker varmt te.",
    ),
    "pl": (
        "Wczoraj wieczorem długo czekaliśmy na ostatni autobus.",
        "Mój brat zbiera szyszki i dziwne kamienie.",
        "Czy ktoś widział moje niebieskie rękawiczki?",
        "Pszczoły brzęczą nad łąką pełną żółtych kwiatów.",
        "Babcia upiekła ciasto ze śliwkami i cynamonem.",
    ),
    "fi": (
        "Naapurin kissa istuu taas meidän portailla.",
        "Huomenna lähdemme aikaisin metsään marjoja poimimaan.",
        "Missä on se pitkä köysi, jonka toit veneestä?",
        "Yöllä järven jää alkoi soida hiljaa.",
        "Keittiön pöydällä on kahdeksan vihreää omenaa.",
    ),
    "tr": (
        "Küçük kedi pencerenin önünde güneşleniyor.",
        "Yarın sabah pazardan taze ekmek ve peynir alacağız.",
        "Bu eski saat neden hep geç kalıyor?",
        "Çocuklar bahçede yüksek sesle şarkı söylüyor.",
        "Dağın üstündeki köyde kış çok uzun sürer.",
    ),
    "ru": (
        "Старый лодочник медленно идёт к тихой реке.",
        "Утром мы пили чай с вишнёвым вареньем.",
        "Кто забыл зонтик на широкой скамейке?",
        "Жёлтые листья шуршат под ногами прохожих.",
        "Девять чаек кружат над холодным морем.",
    ),
    "cmn": (
        "早上我在河边看见三只白色的鸟。",
        "他把旧自行车放在门后面了。",
        "你为什么不喜欢喝热茶？",
        "晚饭以后我们去公园散步。",
        "山上的小路又长又窄。",
    ),
}


@dataclass(frozen=True)
class Utterance:
    """What one clip says: espeak-ng's voice and language, words a minute, pitch 0..99."""

    voice: str
    language: str
    text: str
    speed: int
    pitch: int


def draw_utterance(rng: np.random.Generator, voice: str, *, kept_out: bool) -> Utterance:
    """One or two sentences of one language by `voice`; those kept out say the sentences that others do not."""
    language = str(rng.choice(list(SENTENCES)))
    known = SENTENCES[language][-1:] if kept_out else SENTENCES[language][:-1]
    text = " ".join(rng.choice(known, min(len(known), int(rng.integers(1, 3))), False))
    return Utterance(voice, language, text, int(rng.integers(110, 230)), int(rng.integers(20, 80)))


def find_espeak() -> None:
    """DataError that names the package when espeak-ng is missing."""
    if shutil.which("espeak-ng") is None:
        raise DataError("espeak-ng not found: apt-get install espeak-ng")


def speak(utterance: Utterance) -> np.ndarray:
    """The utterance as float32 mono at 44.1 kHz; espeak-ng itself works at 22.05 kHz."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "speech.wav"
        voice = [
            "-v",
            f"{utterance.language}+{utterance.voice}",
            "-s",
            str(utterance.speed),
            "-p",
            str(utterance.pitch),
        ]
        subprocess.run(["espeak-ng", *voice, "-w", str(out), utterance.text], check=True, capture_output=True)
        wav, rate = sf.read(out, dtype="float32")
    return soxr.resample(wav, rate, SAMPLE_RATE).astype(np.float32)
