"""The split: stable, with groups and duplicates on one side, never empty and never everything."""

from audio_gen.data.split import assign_splits


def split(count: int, **how: object) -> list[str]:
    names = [f"{i}.wav" for i in range(count)]
    return assign_splits(names, [f"hash {i}" for i in range(count)], **{"val_fraction": 0.1, **how})[0]  # type: ignore[arg-type]


def test_the_share_is_about_right() -> None:
    assert 60 < split(1000).count("val") < 140


def test_adding_files_moves_none() -> None:
    assert split(1000)[:500] == split(500)


def test_some_are_kept_back_and_never_all() -> None:
    for count in range(5, 30):
        for val_fraction in (0.01, 0.1, 0.99):
            sides = split(count, val_fraction=val_fraction)
            assert "val" in sides and "train" in sides


def test_too_few_to_keep_any_back() -> None:
    sides, note = assign_splits(list("abcd"), list("abcd"), val_fraction=0.5)
    assert sides == ["train"] * 4
    assert note is not None and "all 4 sounds are used for training and for validation" in note
    assert assign_splits(list("abcdefgh"), ["same"] * 8, val_fraction=0.5)[0] == ["train"] * 8
    assert assign_splits(list("abcdefgh"), list("abcdefgh"), val_fraction=0) == (["train"] * 8, None)


def test_duplicates_are_on_one_side() -> None:
    sides, _ = assign_splits([str(i) for i in range(200)], [str(i // 2) for i in range(200)], val_fraction=0.3)
    assert sides[::2] == sides[1::2] and "val" in sides


def test_groups_are_on_one_side_and_shared_sounds_join_them() -> None:
    paths = [f"organ-{pitch:03d}-{velocity:03d}.wav" for pitch in range(60) for velocity in (40, 80, 120)]
    hashes = [f"hash {i}" for i in range(180)]
    pattern = r"(.+)-(\d{3})-\d{3}"
    sides, _ = assign_splits(paths, hashes, val_fraction=0.3, group_pattern=pattern)
    assert sides[::3] == sides[1::3] == sides[2::3] and "val" in sides
    a, b = sides.index("train"), sides.index("val")
    hashes[a] = hashes[b]
    joined, _ = assign_splits(paths, hashes, val_fraction=0.3, group_pattern=pattern)
    assert joined[a] == joined[b]


def test_one_sound_is_not_several() -> None:
    note = assign_splits(["a", "b"], ["x", "x"], val_fraction=0.5)[1]
    assert note is not None and note.startswith("the only sound is used for training and for validation")


def test_copies_are_too_few_to_keep_any_back() -> None:
    """Nine files of four sounds."""
    sides, note = assign_splits(list("abcdefghi"), list("abcdabcda"), val_fraction=0.5)
    assert set(sides) == {"train"}
    assert note is not None
    assert "all 4 sounds are used for training and for validation" in note


FOLDERS = {f"{i}.wav": "val" if i % 4 == 0 else "train" for i in range(20)}


def of_folders(hashes: list[str], **how: object) -> tuple[list[str], str | None]:
    return assign_splits(list(FOLDERS), hashes, **{"val_fraction": 0.1, "folders": FOLDERS, **how})  # type: ignore[arg-type, return-value]


def test_splits_of_folders_are_kept() -> None:
    sides, note = of_folders([f"hash {i}" for i in range(20)])
    assert sides == list(FOLDERS.values())
    assert note == "the splits of the folders are kept: 15 files to train on, 5 to validate on"


def test_a_sound_on_both_sides_is_not_trained_on() -> None:
    sides, note = of_folders(["hash 1" if i == 0 else f"hash {i}" for i in range(20)])
    assert sides[:4] == ["val", "val", "train", "train"]
    assert note is not None and "1 file for training" in note


def test_folders_that_leave_too_few_are_split_anew() -> None:
    hashes = [f"hash {i % 4}" if i % 4 else f"hash {i}" for i in range(20)]  # three sounds to train on
    sides, note = of_folders(hashes)
    anew, _ = assign_splits(list(FOLDERS), hashes, val_fraction=0.1)
    assert sides == anew and note is not None and "leave 3 different sounds to train on, fewer than 5" in note


def test_nothing_is_kept_back_where_none_is_wanted() -> None:
    sides, note = of_folders([f"hash {i}" for i in range(20)], val_fraction=0.0)
    assert set(sides) == {"train"} and note is not None and note.startswith("val_fraction is 0")
