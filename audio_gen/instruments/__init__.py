"""Playable instruments from models: kits for samplers, MIDI, beats and accompaniment."""
