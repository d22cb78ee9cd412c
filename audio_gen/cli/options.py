"""The options and arguments of the commands; a command's signature names them and their defaults."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

# What several commands take.
RunArgument = Annotated[Path, Argument(help="A run of `train`, or a bundle.")]
FilesArgument = Annotated[list[Path], Argument(help="Sound files, or folders of them.")]
FolderArgument = Annotated[Path, Argument(help="A folder of sounds; it is only read.")]
OutOption = Annotated[Path, Option("--out", "-o", help="The folder for the results; made where missing.")]
SeedOption = Annotated[int, Option("--seed", min=0, help="The same seed gives the same result.")]
DeviceOption = Annotated[str, Option("--device", help="auto, cpu, cuda, cuda:N or mps.")]
ForceOption = Annotated[bool, Option("--force", help="Replace results that are there already.")]
JsonOption = Annotated[bool, Option("--json", help="Print one JSON object; all else goes to standard error.")]
VerboseOption = Annotated[bool, Option("--verbose", help="Show losses and other figures as it trains.")]
SetOption = Annotated[list[str] | None, Option("--set", help="A setting, such as train.lr=1e-4.")]
WorkersOption = Annotated[int, Option("--workers", min=1, help="Files read at the same time.")]
GeneratedOption = Annotated[
    bool, Option("--generated", help="Also use clips that audio_gen generated, which are left out else.")
]
VocoderOption = Annotated[
    str | None,
    Option(
        "--vocoder",
        help="How mels become sound: small (the default for mels it takes), griffinlim, a run or bundle, each also "
        "with :N for N iterations, or bigvgan:PATH. A folder that has one of these names: ./small.",
    ),
]

# What clips are, and how they become files.
ClassOption = Annotated[str | None, Option("--class", help="A class that the model knows.")]
PitchOption = Annotated[float | None, Option("--pitch", help="MIDI pitch; 60 is middle C.")]
VelocityOption = Annotated[
    float | None, Option("--velocity", help="MIDI velocity, 0 to 127, for a model trained with net.use_velocity.")
]
TemperatureOption = Annotated[
    float, Option("--temperature", "--truncation", help="0: the most typical clips; 1: the model's whole variety.")
]
NormalizeOption = Annotated[
    str, Option("--normalize", help="peak: the peak at -1 dBFS; lufs: -23 LUFS; none: as the model makes it.")
]
BitsOption = Annotated[str, Option("--bits", help="16 (with dither), 24 or float.")]
RateOption = Annotated[int | None, Option("--rate", help="Sample rate in Hz; the model's where it is left out.")]
TailOption = Annotated[float, Option("--tail", help="A file ends so many dB below its peak.")]
LengthOption = Annotated[str, Option("--length", help="sound: from onset to end; model: all that the model makes.")]

# Of `sample` and `vary`.
CountOption = Annotated[int | None, Option("-n", "--count", min=1, help="How many clips; 16 where this is left out.")]
MoveOption = Annotated[
    list[str] | None, Option("--move", help="As brightness=+1.5; repeatable. `directions` finds the names.")
]
DirectionsOption = Annotated[
    Path | None, Option("--directions", help="What `directions --out` wrote, if not beside the bundle.")
]
PerClassOption = Annotated[
    int | None, Option("--per-class", min=1, help="So many of each class, in a folder for each.")
]
EverySeedOption = Annotated[
    bool, Option("--every-seed", help="The seeds one after the other, also those that sound alike.")
]
GridOption = Annotated[bool, Option("--grid", help="Also write grid.png: the clips as one picture.")]
BatchOption = Annotated[int, Option("--batch", min=1, help="Clips at a time; they come out the same.")]
ClipArgument = Annotated[Path, Argument(help="A WAV with its JSON beside it; or any sound, with --run.")]
AmountOption = Annotated[float, Option("--amount", help="0: the same clip; 1: a new one.")]
VariationsOption = Annotated[int, Option("-n", "--count", min=1, help="How many variations.")]
ClipRunOption = Annotated[
    Path | None, Option("--run", help="The run or bundle, where the clip's JSON does not lead to it.")
]

# Of `interpolate`.
FromOption = Annotated[str, Option("--from", help="A sound file, or seed:N, which is what `sample` makes of N.")]
ToOption = Annotated[str, Option("--to", help="A sound file, or seed:N.")]
StepsOption = Annotated[int, Option("--steps", min=0, help="Clips from end to end, both included.")]
MorphOption = Annotated[str | None, Option("--morph", help="Also one sound of this length that moves: 4s, 500ms.")]
LayersOption = Annotated[
    str | None,
    Option("--layers", help="Move only these layers of a GAN: coarse, fine, or such as 2-4; 0 is the coarsest."),
]
AttackOption = Annotated[
    str | None, Option("--attack", help="Keep the attack of --from for this long, and move only the tail: 60ms.")
]
HeldPitchOption = Annotated[float | None, Option("--pitch", help="Hold this MIDI pitch while the timbre moves.")]

# Of `encode`, `reconstruct`, `vocode` and `directions`.
SearchOption = Annotated[
    int | None, Option("--steps", min=0, help="Steps of a GAN's search, 200 at most if left out; a VAE has none.")
]
CopyOption = Annotated[
    bool, Option("--copy-synthesis", help="Also write NAME.copy.wav: the real mel through the vocoder alone.")
]
MelsArgument = Annotated[
    list[Path], Argument(help="Sound files, folders of them, or .npy with natural-log mels (M, L).")
]
SpokenMelOption = Annotated[
    str | None, Option("--mel", help="Mel preset; the default is the vocoder's own, or 44khz_128band_512x.")
]
LearnedOption = Annotated[int, Option("-n", "--count", min=64, help="How many clips to learn from.")]
DirectionsOutOption = Annotated[
    Path | None, Option("--out", "-o", help="The file for them; without it they lie beside the bundle.")
]

# Of `evaluate`.
RealArgument = Annotated[Path, Argument(help="A folder of real sounds, a cache, or a reference file.")]
GeneratedArgument = Annotated[
    Path | None, Argument(help="A folder of clips to judge; or a run, which then makes them.")
]
JudgedRunOption = Annotated[Path | None, Option("--run", help="The run that made the clips; it is judged with them.")]
ReportOption = Annotated[
    Path | None, Option("--out", "-o", help="A folder for the report, the figures and a run's samples.")
]
JudgedOption = Annotated[int, Option("-n", "--count", min=1, help="How many clips a run makes.")]
EmbeddingOption = Annotated[str, Option("--embedding", help="What clips are compared by.")]
EmbeddingPathOption = Annotated[
    Path | None, Option("--embedding-path", help="Its weights, where no package brings them.")
]
RealLabelsOption = Annotated[
    str, Option("--labels", help="Of REAL: auto, folders, names, none, or a CSV or JSON file.")
]
HeardPitchOption = Annotated[str, Option("--pitch", help="How pitches are heard: pyin, crepe, or none.")]
ReferenceOption = Annotated[
    Path | None, Option("--save-reference", help="Keep what is needed of REAL in this .safetensors file.")
]

# Of `inspect` and `preprocess`.
StrictOption = Annotated[bool, Option("--strict", help="Fail (status 1) if any file is left out.")]
CacheOption = Annotated[Path, Option("--out", "-o", help="The cache; one that is there is brought up to date.")]
MelOption = Annotated[str, Option("--mel", help="Mel preset; it decides the sample rate.")]
LabelsOption = Annotated[str, Option("--labels", help="auto, folders, names, none, or a CSV or NSynth JSON file.")]
PatternOption = Annotated[
    str | None, Option("--pattern", help="Regular expression for class, pitch, velocity in file names.")
]
PitchesOption = Annotated[str, Option("--pitch", help="names, auto (estimates what no label gives), or none.")]
TrimOption = Annotated[bool, Option("--trim-onset", help="Cut the silence before every sound.")]
ValOption = Annotated[float, Option("--val-fraction", help="Share kept back for validation.")]
GroupOption = Annotated[
    str | None, Option("--group-pattern", help="Files with the same text in its ( ) stay on one side.")
]
ShardsOption = Annotated[
    str | None,
    Option("--shards", help="FOLDER is a cache: copy its samples into shards here, inside OUT or at a URL."),
]

# Of `train`, `quickstart`, `status` and `prune`.
SourceArgument = Annotated[Path, Argument(help="A folder of sounds, or a cache made by `preprocess`.")]
RunOption = Annotated[Path, Option("--run", help="The run's folder; an unfinished run there goes on.")]
SettingsModelArgument = Annotated[str | None, Argument(help="gan, vae or vocoder; without it, all of them.")]
ModelOption = Annotated[str | None, Option("--model", help="gan (the default), vae or vocoder.")]
ConfigOption = Annotated[Path | None, Option("--config", help="YAML with what differs from the defaults.")]
MinutesOption = Annotated[float | None, Option("--minutes", help="Length of the run in minutes.")]
RunStepsOption = Annotated[int | None, Option("--steps", help="Length of the run in steps.")]
ImagesOption = Annotated[int | None, Option("--images", help="Length of the run in clips seen.")]
UntilOption = Annotated[str | None, Option("--until", help="When to end, such as '2026-01-01 07:00'.")]
RunSeedOption = Annotated[int | None, Option("--seed", min=0, help="The same seed gives the same result.")]
InitOption = Annotated[
    str | None,
    Option("--init", help="Start from this run or bundle, or small, the shipped vocoder (a folder: ./small)."),
]
PrecisionOption = Annotated[str | None, Option("--precision", help="fp32, or bf16 for speed.")]
AutoOption = Annotated[bool, Option("--auto", help="Choose threads, size and batch by a short probe.")]
ProfileOption = Annotated[int, Option("--profile", min=0, help="Time so many steps, part by part.")]
StartArgument = Annotated[Path | None, Argument(help="A folder of sounds; without it, the bundled samples.")]
TrainingOption = Annotated[float, Option("--minutes", help="How long to train.")]
StartModelOption = Annotated[str, Option("--model", help="gan, or vae: less sharp, and encodes files at once.")]
StartOutOption = Annotated[Path, Option("--out", "-o", help="The folder for the run, the clips and the report.")]
StartSetOption = Annotated[list[str] | None, Option("--set", help="A setting, such as data.segment_sec=1.")]
ReadRunArgument = Annotated[Path, Argument(help="The folder of a run, running or not; it is only read.")]
EndedRunArgument = Annotated[Path, Argument(help="The folder of a run that has ended.")]
DryRunOption = Annotated[bool, Option("--dry-run", help="Say what would be deleted, and delete nothing.")]
EarlierOption = Annotated[
    bool, Option("--force", help="Even if the bundle is of an earlier step than the checkpoints.")
]
