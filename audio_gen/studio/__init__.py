"""What strings the other rooms together: from a folder to a trained model, its clips and a report."""
