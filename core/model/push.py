"""A folder put on the Hugging Face hub, with the login that the user has there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import UsageError


def check_push(name: str, *, private: bool) -> None:
    """Refuse what could not be pushed, before any work is done.

    Raises: UsageError for a name that cannot be one, without a login, where the hub is not reached or refuses, and
    where a repository is there that is public when `private` is asked for: what is pushed there could be seen.
    """
    from huggingface_hub import HfApi, get_token
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError
    from huggingface_hub.utils._validators import validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise UsageError(
            f"--push {name}: {error}", hint="A name on the hub is USER/MODEL, or MODEL for one of your own."
        ) from error
    if get_token() is None:
        raise UsageError("there is no login for the hub on this machine", hint="`hf auth login` makes one.")
    with _told():
        api = HfApi()
        full = name if "/" in name else f"{api.whoami()['name']}/{name}"
        try:
            is_private = bool(api.model_info(full).private)
        except RepositoryNotFoundError:
            return
    if private and not is_private:
        raise UsageError(
            f"{full} is on the hub already, and public: what is pushed there can be seen by everyone",
            hint="Say --public if that is meant, or give another name.",
        )


def push(folder: Path, name: str, *, private: bool) -> str:
    """Upload a folder as a model and return where it is; a repository that is there gets a commit.

    Raises: UsageError where the hub is not reached or refuses; the folder stays as it is.
    """
    from huggingface_hub import HfApi

    with _told(folder):
        api = HfApi()
        made = api.create_repo(name, repo_type="model", private=private, exist_ok=True)
        api.upload_folder(repo_id=made.repo_id, folder_path=folder, commit_message="Model exported by Footplate")
    return str(made)


@contextmanager
def _told(folder: Path | None = None) -> Iterator[None]:
    """Turn what the hub's client raises into words, without the login's token."""
    from huggingface_hub import get_token

    # That of the HTTP library that the client was built with; every failed connection is one.
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]

    try:
        yield
    except (HTTPError, OSError, ValueError) as error:
        said = " ".join(str(error).split())[:400] or type(error).__name__
        words = said.replace(token, "...") if (token := get_token()) else said
        kept = f" The export is whole and lies in {folder}: `hf upload` takes it from there." if folder else ""
        raise UsageError(
            f"the hub did not take it: {words}",
            hint=f"Look at the network, the name, and what your login may write (`hf auth whoami`).{kept}",
        ) from error
