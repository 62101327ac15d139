"""Signals within a step: what is deferred, what counts, and what stays ignored."""

import signal
from collections.abc import Iterator

import pytest

from cvae_cli.runtime.interrupt import deferred_interrupt

HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in HANDLED}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", HANDLED)
def test_a_signal_is_recorded_and_afterwards_handled_as_before(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with deferred_interrupt() as has_arrived:
        assert not has_arrived()
        signal.raise_signal(number)
        assert has_arrived()
    assert signal.getsignal(number) == before


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_the_second_stops_at_once(first: signal.Signals, second: signal.Signals) -> None:
    with deferred_interrupt():
        signal.raise_signal(first)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(second)


@pytest.mark.parametrize(
    "numbers",
    [[signal.SIGHUP] * 3, [signal.SIGHUP, signal.SIGTERM], [signal.SIGTERM, signal.SIGHUP, signal.SIGHUP]],
    ids=["closed terminal", "closed session", "service manager"],
)
def test_hangups_do_not_count(numbers: list[signal.Signals]) -> None:
    with deferred_interrupt() as has_arrived:
        for number in numbers:
            signal.raise_signal(number)
        assert has_arrived()


def test_a_hangup_that_is_ignored_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    with deferred_interrupt() as has_arrived:
        signal.raise_signal(signal.SIGHUP)
        assert not has_arrived()
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
