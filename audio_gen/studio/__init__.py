"""Workflows over several packages: from a folder to a trained model, its clips and a report."""
