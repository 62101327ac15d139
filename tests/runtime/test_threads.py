"""Work in threads: order, errors, and the number of torch's threads."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
import torch

from cvae_cli.errors import UsageError
from cvae_cli.runtime.threads import map_in_order, map_on_cores

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def three_threads():
    """Torch with three threads, whatever the machine has."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_results_come_in_the_order_of_the_items() -> None:
    has_second = threading.Event()

    def work(item: int) -> int:
        if item == 0:
            assert has_second.wait(10)  # the second item is done before the first
        has_second.set()
        return item * item

    assert list(map_on_cores(work, range(20), CPU)) == [item * item for item in range(20)]


def test_each_item_has_one_thread_and_torch_has_as_many_as_before() -> None:
    assert list(map_on_cores(lambda _: torch.get_num_threads(), range(6), CPU)) == [1] * 6
    assert torch.get_num_threads() == 3


def test_an_error_of_one_item_comes_after_the_results_before_it() -> None:
    results = map_on_cores(lambda item: 6 // (2 - item), range(5), CPU)
    assert [next(results), next(results)] == [3, 6]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert torch.get_num_threads() == 3


def test_no_item_is_begun_after_the_results_are_closed() -> None:
    begun: list[int] = []
    with closing(map_on_cores(begun.append, range(1000), CPU)) as results:
        next(results)
    assert len(begun) < 12
    assert torch.get_num_threads() == 3
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("cvae")]


def test_an_error_of_the_items_comes_after_their_results() -> None:
    def items():
        yield from (1, 2)
        raise UsageError("no third")

    with ThreadPoolExecutor(2) as pool:
        results = map_in_order(pool, str, items(), pending=8)
        assert [next(results), next(results)] == ["1", "2"]
        with pytest.raises(UsageError, match="no third"):
            next(results)
