"""What long work tells its caller: events, passed to one callback.

A function that may take long has an argument `callback` and calls it with each event. `str(event)` is a line of text,
so `callback=print` shows everything; a caller that wants less looks at the type:

    def show(event: Event) -> None:
        if isinstance(event, Notice):
            print(event)

    cvae_cli.train("fashion-concat", callback=show)
"""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Event:
    """Something that the caller of a long function may want to know."""


@dataclass(frozen=True)
class Notice(Event):
    """A sentence for the user.

    Attributes:
        is_warning: whether the result may differ from what the user expects.
    """

    text: str
    is_warning: bool = False

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Progress(Event):
    """How far a task is.

    Attributes:
        task: what is being done, as "unpacking train2017.zip".
        done: how much of it is done.
        total: how much there is to do; None where that is not known.
        unit: what is counted: "B" for bytes, else things.
    """

    task: str
    done: float
    total: float | None
    unit: str = ""

    @property
    def detail(self) -> str:
        """The text behind a progress bar."""
        if self.unit == "B":
            return f"{self.done / 1e6:,.0f} MB"
        return f"{self.done:,.0f}/{self.total:,.0f}" if self.total is not None else f"{self.done:,.0f}"

    def __str__(self) -> str:
        return f"{self.task} {self.detail}"


Callback = Callable[[Event], None]


def ignore(event: Event) -> None:
    """The callback of a caller that does not want to be told."""
