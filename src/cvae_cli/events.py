"""Events: how a long function tells its caller about progress and notices.

Such a function has an argument `callback` and calls it with each event. `str(event)` is a line of text, so
`callback=print` shows everything. A callback that wants less looks at the type of the event:

    def show(event: Event) -> None:
        if isinstance(event, Notice):
            print(event)

    cvae_cli.train("fashion-concat", callback=show)
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from cvae_cli.errors import byte_size


@dataclass(frozen=True)
class Event:
    """The base class of all events."""


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
class Summary(Event):
    """A line on what was found, before it is used: the pictures of a folder, for example."""

    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Progress(Event):
    """How far a task has come.

    Attributes:
        task: what is being done, for example "unpacking train2017.zip".
        done: how much is done.
        total: how much there is to do; None if that is not known.
        unit: what is counted: "B" for bytes, empty for things.
    """

    task: str
    done: float
    total: float | None
    unit: str = ""

    @property
    def detail(self) -> str:
        """The text next to a progress bar."""
        if self.unit == "B":
            return byte_size(self.done)
        if self.total is not None:
            return f"{self.done:,.0f}/{self.total:,.0f}"
        return f"{self.done:,.0f}" if self.done else ""

    def __str__(self) -> str:
        return f"{self.task} {self.detail}"


Callback = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Do nothing: the callback of a caller that does not want events."""


def labelled(callback: Callback, label: str) -> Callback:
    """Return a callback that puts a label before the task of each progress event: which of several models it is of."""

    def call(event: Event) -> None:
        callback(replace(event, task=f"{label}: {event.task}") if isinstance(event, Progress) else event)

    return call
