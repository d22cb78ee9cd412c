"""Reports as one HTML file: what is in them (`sections`), how they are drawn (`charts`) and written (`document`)."""

from audio_gen.evaluation.report.document import Section, Sound, write_report

__all__ = ["Section", "Sound", "write_report"]
