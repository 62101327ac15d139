"""Read folders with the imagefolder builder of `datasets`: `python read_imagefolder.py FOLDER ...` prints JSON.

It is a process of its own because the package takes long to import and leaves files open.
"""

import json
import os
import sys
from typing import Any

ERROR = "an error"


def read(builder_class: Any, root: str) -> list[Any] | str:
    """Return the split, the file, the class and the captions of each picture, or `ERROR`."""
    from datasets import Image
    from datasets.data_files import DataFilesDict, get_data_patterns

    rows = []
    try:
        files = DataFilesDict.from_patterns(get_data_patterns(root), base_path=root)
        builder = builder_class(data_files=files, hash="", dataset_name="imagefolder")
        for split, content in builder.as_streaming_dataset().items():
            label = content.features.get("label")
            for row in content.cast_column("image", Image(decode=False)):
                path = row["image"]["path"]
                text = row.get("text")
                captions = text if isinstance(text, list) else [] if text is None else [text]
                file = "in an archive" if "://" in path else os.path.relpath(path, root)
                name = {"validation": "val"}.get(str(split), str(split))
                number = row.get("label")
                rows.append([name, file, None if number is None else label.int2str(number), captions])
    except Exception as error:  # of pandas, of pyarrow and of datasets itself
        print(f"{root}: {error!r}", file=sys.stderr)
        return ERROR
    return rows


def main() -> None:
    """Print what the builder reads in each folder."""
    from datasets.packaged_modules.imagefolder.imagefolder import ImageFolder

    found = {}
    for root in sys.argv[1:]:
        place = os.path.join(os.path.dirname(root), "the folder")
        os.rename(root, place)  # under one name, so that patterns of paths are compiled once
        found[root] = read(ImageFolder, place)
        os.rename(place, root)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
