"""Prompts to begin with."""

from cvae_cli.config.model import ModelConfig

_EXAMPLES = {
    "scenes": ["two dogs on a beach", "snow on a mountain", "a plate of food", "a bus on a street", "green grass"],
    "emoji": ["red heart", "angry cat", "smiling face", "blue fish", "green tree"],
}


def prompts_of(config: ModelConfig) -> list[str]:
    """Return the classes of a model, or examples for one that reads any text; "" for one without a condition."""
    if config.architecture.conditioning == "none":
        return [""]
    if config.condition.kind == "labels":
        return config.condition.names
    return _EXAMPLES.get(config.name, _EXAMPLES["scenes"])
