"""What is recorded where: `no_grad`, `enable_grad`, `set_grad_enabled`, `inference_mode`, and threads."""

import threading
from collections.abc import Generator

import pytest

import graphc as torch


def recorded(x: torch.Tensor) -> bool:
    return (x * 2).requires_grad


@pytest.fixture
def x() -> torch.Tensor:
    return torch.tensor([1.0, 2.0], requires_grad=True)


def test_contexts_and_decorators(x: torch.Tensor) -> None:
    with torch.no_grad():
        assert not recorded(x)
        with torch.enable_grad():
            assert recorded(x)
        assert not torch.is_grad_enabled()
    assert recorded(x)
    assert not torch.no_grad()(recorded)(x)
    assert not torch.no_grad(recorded)(x)
    with torch.no_grad():
        assert torch.enable_grad()(recorded)(x)
        assert torch.enable_grad(recorded).__name__ == "recorded"


def test_setting_as_a_function_a_context_and_a_decorator(x: torch.Tensor) -> None:
    torch.set_grad_enabled(False)
    assert not recorded(x)
    torch.set_grad_enabled(True)
    with torch.set_grad_enabled(False):
        assert not recorded(x)
    assert recorded(x)
    silent = torch.set_grad_enabled(False)(recorded)
    assert recorded(x)
    assert not silent(x)
    with pytest.raises(
        TypeError, match=r"^set_grad_enabled\(\): argument 'enabled' \(position 1\) must be bool, not int$"
    ):
        torch.set_grad_enabled(1)


def test_a_generator_has_the_mode_only_while_it_runs() -> None:
    @torch.no_grad()
    def steps() -> Generator[bool, str, None]:
        assert (yield torch.is_grad_enabled()) == "sent"
        try:
            yield torch.is_grad_enabled()
        except KeyError:
            yield torch.is_grad_enabled()

    run = steps()
    assert next(run) is False
    assert torch.is_grad_enabled()
    assert run.send("sent") is False
    assert run.throw(KeyError()) is False
    assert torch.is_grad_enabled()


def test_a_class_is_decorated_with_a_warning() -> None:
    with pytest.warns(FutureWarning, match="Decorating classes is deprecated"):

        @torch.no_grad()
        class Model:
            def __init__(self) -> None:
                self.mode = torch.is_grad_enabled()

    assert Model().mode is False


def test_an_error_restores_the_mode() -> None:
    with pytest.raises(ValueError, match="stop"), torch.no_grad():
        raise ValueError("stop")
    assert torch.is_grad_enabled()


def test_threads_start_with_gradients_on() -> None:
    seen: list[object] = []
    with torch.no_grad(), torch.inference_mode():
        thread = threading.Thread(
            target=lambda: seen.extend((torch.is_grad_enabled(), torch.is_inference_mode_enabled()))
        )
        thread.start()
        thread.join()
    assert seen == [True, False]


def test_a_leaf_may_be_written_to_where_nothing_is_recorded(x: torch.Tensor) -> None:
    with torch.no_grad():
        x.mul_(2)
    assert x.is_leaf
    assert (x.tolist(), x._version) == ([2.0, 4.0], 1)


def test_views_made_without_recording_are_not_written_to_with_it(x: torch.Tensor) -> None:
    with torch.no_grad():
        view = x.view(-1)
    assert not view.requires_grad or view.grad_fn is None
    with pytest.raises(
        RuntimeError, match=r"^A view was created in no_grad mode and is being modified inplace with grad"
    ):
        view.add_(1)


def test_inference_tensors(x: torch.Tensor) -> None:
    plain = torch.tensor([1.0, 2.0])
    with torch.inference_mode():
        made = x * 2
        view = plain.view(2)
        plain.add_(1)
        assert torch.is_inference_mode_enabled()
        assert torch.is_inference(made)
        assert not torch.is_grad_enabled()
    assert [each.is_inference() for each in (made, made[0], made.detach(), made.data)] == [True] * 4
    assert [each.is_inference() for each in (view, plain, made * 2, made.clone(), x)] == [False] * 5
    assert plain._version == 1
    assert (x + made).tolist() == [3.0, 6.0], "nothing is kept of a sum"
    assert (x * made.clone()).requires_grad


def test_what_inference_tensors_refuse(x: torch.Tensor) -> None:
    with torch.inference_mode():
        made = x * 2
    with pytest.raises(
        RuntimeError, match=r"^Inference tensors cannot be saved for backward\. Please do not use Tensors"
    ):
        _ = x * made
    with pytest.raises(
        RuntimeError, match=r"^Inplace update to inference tensor outside InferenceMode is not allowed\."
    ):
        made.add_(1)
    with pytest.raises(
        RuntimeError, match=r"^Setting requires_grad=True on inference tensor outside InferenceMode is not"
    ):
        made.requires_grad_()
    with pytest.raises(RuntimeError, match=r"^Inference tensors do not track version counter\.$"):
        _ = made._version
    with torch.inference_mode():
        made.add_(1)
    assert made.tolist() == [3.0, 5.0]


def test_modes_inside_inference_mode(x: torch.Tensor) -> None:
    with torch.inference_mode():
        with torch.enable_grad():
            assert torch.is_grad_enabled()
            assert not recorded(x)
        with torch.inference_mode(False):
            assert recorded(x)
        assert torch.tensor([1.0], requires_grad=True).requires_grad
    assert torch.inference_mode()(lambda: (x * 2).is_inference())()
    assert torch.inference_mode(lambda: (x * 2).is_inference())()
