"""What a source of data sets is. Each kind is a class in a module of its own, and `catalog` lists them.

To add a source, derive it from one of two classes and add a line to `catalog.SOURCES`:

- `ArraySource`: pictures of one size that fit in memory. It implements `read`.
- `ListingSource`: picture files of any size. It implements `list_pictures`; the cache decodes and resizes the pictures.
"""

from abc import ABC, abstractmethod
from pathlib import Path

from cvae_cli.config.model import ImageShape
from cvae_cli.data.cache import prepare
from cvae_cli.data.conditions import Labels
from cvae_cli.data.dataset import Dataset
from cvae_cli.data.listing import Listing
from cvae_cli.data.parts import first_of_each
from cvae_cli.errors import UsageError, did_you_mean
from cvae_cli.events import Callback, Notice, Summary, ignore

DEFAULT_SIZE = 64
"""Pixels a side of pictures that are available in any size."""
_SIZES = range(8, 1025)

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
    "eval": "test",
    "evaluation": "test",
}
"""The canonical name of each split, by every name that means it."""


def canonical_split(split: str) -> str:
    """Return the canonical name of a split: `val` for validation, `test` for testing."""
    return SPLIT_NAMES.get(split.casefold(), split)


class Source(ABC):
    """Where the pictures of one data set come from, and what is known of them before they are loaded.

    Creating a source reads no files.

    Attributes:
        name: the data set as the user names it.
        description: one line for help texts and tables.
        splits: the splits that the source can have; `find_splits` returns those that exist.
        has_sizes: whether the pictures are available in several sizes.
    """

    description: str
    splits: tuple[str, ...]
    has_sizes: bool

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def full_name(self) -> str:
        """The name to record: it means the same data set from any working directory."""
        return self.name

    @property
    def short_name(self) -> str:
        """The name to show in a line of text."""
        return self.name

    def find_splits(self) -> tuple[str, ...]:
        """Return the splits that exist.

        Raises:
            CvaeError: the source cannot be used, for example a folder that does not exist.
        """
        return self.splits

    def validation_split(self) -> str | None:
        """Return the split to choose epochs by, or None where training pictures are held out for that."""
        return None

    def check_split(self, split: str) -> None:
        """Raise a UsageError when the split does not exist, or a CvaeError when the source cannot be used."""
        splits = self.find_splits()
        if canonical_split(split) not in splits:
            raise UsageError(
                f'{self.name} has no split "{split}".{did_you_mean(split, splits)}',
                hint=f"splits: {', '.join(splits)}",
            )

    def is_here(self) -> bool:
        """Return whether the training pictures are on this machine, so that nothing must be downloaded."""
        return True

    @abstractmethod
    def look(self, *, data_dir: Path | None = None) -> list[str]:
        """Look at the training pictures, which are here or in `data_dir`, and return lines on what was found.

        Raises:
            CvaeError: they cannot be learned from.
        """

    @abstractmethod
    def image_shape(self, size: int | None) -> ImageShape:
        """Return the shape that the pictures will have, without opening any.

        Args:
            size: pixels a side; the default of the source when absent.

        Raises:
            UsageError: the pictures are not available in this size.
        """

    @abstractmethod
    def has_classes(self) -> bool:
        """Return whether the pictures have classes. If not, they have captions."""

    @abstractmethod
    def load(
        self,
        split: str,
        *,
        size: int | None = None,
        limit: int | None = None,
        data_dir: Path | None = None,
        callback: Callback = ignore,
    ) -> Dataset:
        """Load a split; see `catalog.load_dataset`.

        Args:
            split: the canonical name of a split that exists.
        """


class ArraySource(Source):
    """A source of pictures of one shape, with classes, that fit in memory.

    Attributes:
        shape: of every picture.
    """

    shape: ImageShape
    has_sizes = False

    @abstractmethod
    def read(self, split: str, *, data_dir: Path | None, callback: Callback) -> Dataset:
        """Read all pictures of a split, downloading missing files.

        Args:
            data_dir: a folder with the published files, to be used instead of the cache.

        Raises:
            MissingError: a file is missing and cannot be downloaded.
            CorruptError: a file is damaged.
        """

    def image_shape(self, size: int | None) -> ImageShape:
        if size not in {None, self.shape.size}:
            raise UsageError(
                f"{self.name} has pictures of {self.shape.size}x{self.shape.size}", hint="leave out the size"
            )
        return self.shape

    def has_classes(self) -> bool:
        return True

    def look(self, *, data_dir: Path | None = None) -> list[str]:
        data = self.read("train", data_dir=data_dir, callback=ignore)
        return [f"{self.name}: {len(data):,} pictures"]

    def load(
        self,
        split: str,
        *,
        size: int | None = None,
        limit: int | None = None,
        data_dir: Path | None = None,
        callback: Callback = ignore,
    ) -> Dataset:
        self.image_shape(size)
        data = self.read(split, data_dir=data_dir, callback=callback)
        if limit is None or limit >= len(data) or not isinstance(data.conditions, Labels):
            return data.limit(limit)
        return data.take(first_of_each(data.conditions.indices, limit))


class ListingSource(Source):
    """A source of picture files of any size. The cache keeps them decoded, in RGB, at the size that is asked for."""

    has_sizes = True

    @abstractmethod
    def list_pictures(self, split: str, *, data_dir: Path | None = None, callback: Callback = ignore) -> Listing:
        """List the picture files of a split with their classes or captions, downloading missing files.

        Args:
            data_dir: a folder with the published files, to be used instead of the cache.

        Raises:
            UsageError: the source cannot be used like this, or the cache cannot be written or has too little space.
            MissingError: a file is missing and cannot be downloaded.
            CorruptError: a file is damaged.
        """

    def list_first(
        self, split: str, limit: int | None, *, data_dir: Path | None = None, callback: Callback = ignore
    ) -> Listing:
        """List the pictures of a split, at least those that `Listing.limit` takes; a large source lists no others."""
        return self.list_pictures(split, data_dir=data_dir, callback=callback)

    def look(self, *, data_dir: Path | None = None) -> list[str]:
        listing = self.list_pictures("train", data_dir=data_dir)
        lines = (listing.summary or f"{len(listing.files):,} pictures", *listing.notes)
        return [f"{self.name}: {line}" for line in lines]

    def image_shape(self, size: int | None) -> ImageShape:
        size = size or DEFAULT_SIZE
        if size not in _SIZES:
            raise UsageError(
                f"pictures of {size}x{size} pixels are not supported: sizes go from {_SIZES[0]} to {_SIZES[-1]} a side"
            )
        return ImageShape(size=size, channels=3)

    def load(
        self,
        split: str,
        *,
        size: int | None = None,
        limit: int | None = None,
        data_dir: Path | None = None,
        callback: Callback = ignore,
    ) -> Dataset:
        shape = self.image_shape(size)
        listing = self.list_first(split, limit, data_dir=data_dir, callback=callback)
        if listing.summary and split == "train":
            callback(Summary(f"{self.name}: {listing.summary}"))
        for note in listing.notes:
            callback(Notice(f"{self.name}: {note}"))
        return prepare(listing.limit(limit), shape.size, callback=callback)
