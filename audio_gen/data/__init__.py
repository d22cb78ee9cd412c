"""From a folder of sounds to crops: index, cache, labels, dataset."""
