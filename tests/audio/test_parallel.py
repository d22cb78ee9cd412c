import threading
import time

import pytest
import torch

from audio_gen.audio.parallel import cores, each_clip, on_cores, one_thread, side_by_side


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_clips_go_through_alone_and_side_by_side(two_threads: None):
    seen, both = [], threading.Barrier(2, timeout=20)

    def double(clip: torch.Tensor) -> torch.Tensor:
        both.wait()  # a second one is under way
        seen.append((clip.shape, torch.is_grad_enabled(), torch.get_num_threads()))
        return 2 * clip

    batch = torch.randn(4, 3, 5)
    assert torch.equal(each_clip(double, batch), 2 * batch)
    assert seen == [((1, 3, 5), False, 1)] * 4
    assert torch.get_num_threads() == 2 and torch.is_grad_enabled()


def test_the_number_of_threads_comes_back(two_threads: None):
    with pytest.raises(ZeroDivisionError), one_thread():
        with one_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 1
        each_clip(lambda clip: clip / (1 // 0), torch.ones(3, 1, 1))
    assert torch.get_num_threads() == 2


def test_parts_go_side_by_side_under_the_modes_of_whoever_asks(two_threads: None):
    seen, both = [], threading.Barrier(2, timeout=20)

    def part(name: str) -> None:
        both.wait()
        product = torch.ones(1, 1) @ torch.ones(1, 1, requires_grad=True)
        seen.append((name, torch.get_num_threads(), product.dtype, torch.is_inference_mode_enabled()))
        assert not product.requires_grad

    with torch.autocast("cpu", torch.bfloat16):
        on_cores(part, ["a", "b"])
    assert sorted(seen) == [(name, 1, torch.bfloat16, False) for name in "ab"]
    seen.clear()
    with torch.inference_mode():
        on_cores(part, ["a", "b"])
    assert sorted(seen) == [(name, 1, torch.float32, True) for name in "ab"]
    assert torch.get_num_threads() == 2 and torch.is_grad_enabled()


def test_what_fails_in_a_part_is_told(two_threads: None):
    with pytest.raises(ZeroDivisionError):
        on_cores(lambda x: 1 // x, [1, 0])


def test_a_free_core_takes_what_a_slow_one_does_not_get_to(two_threads: None):
    by_thread: dict[int, int] = {}
    rest_done = threading.Event()

    def item(i: int) -> None:
        if i == 0:  # as long as all the others together
            assert rest_done.wait(20)
        else:
            me = threading.get_ident()
            by_thread[me] = by_thread.get(me, 0) + 1
            if i == 5:
                rest_done.set()

    on_cores(item, range(6))
    assert list(by_thread.values()) == [5]


def test_after_an_error_no_item_begins(two_threads: None):
    begun = []

    def item(i: int) -> None:
        begun.append(i)
        if i == 0:
            raise ValueError("bad")
        time.sleep(0.05)

    with pytest.raises(ValueError, match="bad"):
        on_cores(item, range(50))
    assert len(begun) < 5


def test_results_come_in_order_whichever_core_is_first(two_threads: None):
    def made(i: int) -> torch.Tensor:
        time.sleep(0.01 * (i % 2))
        return torch.tensor([i])

    assert torch.cat(side_by_side(made, 6)).tolist() == list(range(6))
    assert side_by_side(lambda i: torch.tensor(torch.get_num_threads()), 1) == [1]


def test_clips_share_the_cores(two_threads: None):
    assert cores() == 2
    shares = []

    def note(clip: torch.Tensor) -> torch.Tensor:
        shares.append(cores())
        return clip

    each_clip(note, torch.ones(1, 1))
    each_clip(note, torch.ones(2, 1))
    assert shares == [2, 1, 1] and cores() == 2


def test_elsewhere_many_clips_go_at_once() -> None:
    sizes = []

    def note(clips: torch.Tensor) -> torch.Tensor:
        sizes.append(len(clips))
        return clips

    batch = torch.empty(9, 2, 1 << 13, device="meta")
    assert each_clip(note, batch).shape == batch.shape
    assert sizes == [4, 4, 1]
