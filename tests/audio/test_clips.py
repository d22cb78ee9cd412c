import threading

import pytest
import torch

from audio_gen.audio.clips import each_clip, one_thread


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
