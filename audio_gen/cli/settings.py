"""`audio-gen settings`: the names, defaults and meanings of all settings of a training."""

from audio_gen.cli import options as o
from audio_gen.cli.common import emit_json, say


def settings_command(model: o.SettingsModelArgument = None, json_output: o.JsonOption = False) -> None:
    """List the settings of a training, for --set and --config."""
    from audio_gen.config import list_settings, settings_table
    from audio_gen.errors import ConfigError
    from audio_gen.text import one_line
    from audio_gen.training.tasks.run import TASKS

    if model is not None and model not in TASKS:
        raise ConfigError(f"model {one_line(model)}: unknown; known are {', '.join(TASKS)}")
    kinds = {name: kind for name, (kind, _) in TASKS.items() if model in (None, name)}
    if json_output:
        return emit_json(
            {
                name: {one.name: {"default": one.default, "text": one.text} for one in list_settings(kind)}
                for name, kind in kinds.items()
            }
        )
    for line in settings_table(kinds).splitlines():
        say(line)
