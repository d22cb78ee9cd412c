"""Reports as one HTML file: contents (`sections`), charts (`charts`) and the writer (`document`)."""

from audio_gen.evaluation.report.document import Section, Sound, write_report

__all__ = ["Section", "Sound", "write_report"]
