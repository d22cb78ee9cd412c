import torch

from audio_gen.losses.spectral import floored


def test_values_are_clamped() -> None:
    assert torch.equal(floored(torch.tensor([-3.0, -1.0, 2.0]), -2.0), torch.tensor([-2.0, -1.0, 2.0]))


def test_above_the_floor_gradients_pass_both_ways_and_below_only_upwards() -> None:
    raw = torch.tensor([-3.0, -3.0, 1.0, 1.0], requires_grad=True)
    sign = torch.tensor([1.0, -1.0, 1.0, -1.0])  # of the gradient: where it is positive, descent lowers the value
    (floored(raw, -2.0) * sign).sum().backward()
    assert raw.grad is not None
    assert torch.equal(raw.grad, torch.tensor([0.0, -1.0, 1.0, -1.0]))


def test_what_is_silent_does_not_sink_and_can_end() -> None:
    sinking, ending = (torch.tensor([-5.0], requires_grad=True) for _ in range(2))
    optimiser = torch.optim.SGD([sinking, ending], lr=1.0)
    for _ in range(10):
        optimiser.zero_grad()
        (floored(sinking, -2.0) - floored(ending, -2.0)).sum().backward()
        optimiser.step()
    assert float(sinking.detach()) == -5.0
    assert float(ending.detach()) > -2.0
