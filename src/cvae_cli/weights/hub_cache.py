"""What lies in the cache that all tools of the Hugging Face Hub share."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class CachedRevision:
    """A revision of a model repository in the Hub's cache.

    Attributes:
        name: `org/name` for the revision `main`, else `org/name@revision`.
        commit: its hash.
        folder: of its files.
    """

    name: str
    commit: str
    folder: Path


def cached_revisions() -> list[CachedRevision]:
    """Return what is cached of model repositories, by name. The Hub is not asked."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        repositories = scan_cache_dir().repos
    except CacheNotFound:
        return []
    found = [
        CachedRevision(
            _name(repository.repo_id, revision.refs, revision.commit_hash), revision.commit_hash, revision.snapshot_path
        )
        for repository in repositories
        if repository.repo_type == "model"
        for revision in repository.revisions
    ]
    return sorted(found, key=lambda each: each.name)


def _name(repo: str, refs: frozenset[str], commit: str) -> str:
    """Return the name by which a revision is asked for."""
    return repo if "main" in refs else f"{repo}@{min(refs, default=commit)}"


def remove_revision(commit: str) -> int:
    """Remove a revision from the Hub's cache, with the files that no other revision has. Return how many bytes."""
    from huggingface_hub import scan_cache_dir

    plan = scan_cache_dir().delete_revisions(commit)
    plan.execute()
    return plan.expected_freed_size
