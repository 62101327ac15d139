"""Combine several data sets into one folder of captioned pictures, with symbolic links and a metadata.jsonl.

    python benchmarks/gather.py OUT --folder DIR [--folder DIR] [--coco DIR]

`cvae train scenes --data folder:OUT` trains on all of them. The bundled model was trained on Flickr8k and a part of
COCO in this way.
"""

import argparse
import json
from pathlib import Path

from cvae_cli.data.coco import Coco
from cvae_cli.data.conditions import Captions
from cvae_cli.data.folder import Folder
from cvae_cli.data.listing import Listing


def gather(listings: list[Listing], place: Path) -> int:
    place.mkdir(parents=True)
    lines = []
    for number, listing in enumerate(listings):
        captions = listing.conditions
        assert isinstance(captions, Captions), f"{listing.name} has no captions"
        for row, file in enumerate(listing.files):
            name = f"{number}-{Path(file).name}"
            (place / name).symlink_to((listing.root / file).resolve())
            first = captions.first[row]
            texts = captions.sentences[first : first + captions.count[row]]
            lines.append(json.dumps({"file_name": name, "text": list(texts)}, ensure_ascii=False))
    (place / "metadata.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return len(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--folder", type=Path, action="append", default=[])
    parser.add_argument("--coco", type=Path)
    options = parser.parse_args()
    for split in ("train", "val"):
        listings = [Folder(f"folder:{path}").list_pictures(split) for path in options.folder]
        if options.coco:
            listings.append(Coco("coco").list_pictures(split, data_dir=options.coco))
        print(f"{split}: {gather(listings, options.out / split):,} pictures")


if __name__ == "__main__":
    main()
