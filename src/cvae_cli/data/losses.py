"""What cannot be read of a data set in shards: named, counted, and forgiven up to 1%."""

from dataclasses import dataclass, field

from cvae_cli.data.listing import MAX_LOST
from cvae_cli.data.shard_samples import MISSING
from cvae_cli.errors import CorruptError, MissingError

_MAX_NAMED = 3


@dataclass
class Losses:
    """Shards and pictures that cannot be read.

    Attributes:
        source: the name of the data set.
        total: the number of its pictures.
        found: for each name the problem, and how many pictures are lost.
    """

    source: str
    total: int
    found: dict[str, tuple[str, int]] = field(default_factory=dict)

    def add(self, name: str, problem: str, pictures: int) -> bool:
        """Count a shard or a picture, and return whether it is a new one."""
        is_new = name not in self.found
        self.found[name] = problem, max(pictures, self.found.get(name, ("", 0))[1])
        return is_new

    @property
    def pictures(self) -> int:
        """The number of pictures that are lost."""
        return sum(pictures for _, pictures in self.found.values())

    def describe(self) -> str:
        """Return what is lost, in one line that names the first few."""
        named = [f"{name} ({problem})" for name, (problem, _) in list(self.found.items())[:_MAX_NAMED]]
        more = ", ..." if len(self.found) > _MAX_NAMED else ""
        return f"{self.pictures:,} of {self.total:,} pictures cannot be read: {', '.join(named)}{more}"

    def notes(self) -> tuple[str, ...]:
        """Return a note on what is left out, if anything is."""
        return (f"{self.describe()}; they are left out",) if self.found else ()

    def check(self) -> None:
        """Raise an error if more than 1% of the pictures are lost.

        Raises:
            MissingError: all that is lost are missing shards.
            CorruptError: something is damaged.
        """
        if self.pictures <= self.total * MAX_LOST:
            return
        all_missing = all(problem == MISSING for problem, _ in self.found.values())
        kind = MissingError if all_missing else CorruptError
        raise kind(
            f"{self.source}: {self.describe()}",
            hint=f"is the copy complete? {MAX_LOST:.0%} of the pictures may be lost",
        )
