"""A folder of sounds as training data: index, cache, labels, dataset."""
