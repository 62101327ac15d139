"""Which text encoders there are."""

import subprocess
import sys
from typing import get_args

from cvae_cli.config.condition import TextCondition
from cvae_cli.text.catalog import ENCODERS, encoder_options


def test_the_catalog_has_exactly_the_encoders_that_have_settings() -> None:
    assert list(ENCODERS) == [each.model_fields["kind"].default for each in get_args(TextCondition)]
    assert encoder_options() == ["static", "clip", "clip:ARCHITECTURE/TAG", "clip:FOLDER"]


def test_the_catalog_imports_nothing_heavy() -> None:
    code = "import sys, cvae_cli.text.catalog as c; c.encoder_options(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "pydantic", "numpy", "open_clip"} & set(done.stdout.split())
