"""Weight files by path, by URL or by name on a hub: fetched once, checked by hash, kept in the user's cache.

    models/G.safetensors
    https://example.org/G.safetensors#sha256=9f86d0...
    hf:owner/repository/folder/G.safetensors@revision

Fetching only copies bytes. What reads them later never runs code in them, whoever made them.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import pathlib
import re
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from util.errors import UserError
from util.files import atomic_file

_HASH = re.compile(r"#sha256=([0-9a-fA-F]{64})$")
_HUB = re.compile(r"hf:([\w.-]+/[\w.-]+)/([^@]+?)(?:@([\w./-]+))?$")
_PIECE = 1 << 20
_SECONDS = 30.0  # of silence


def local_weights(text: str | pathlib.Path, flag: str) -> pathlib.Path:
    """Return the file that ``text`` names, fetched first if it is a URL or a hub's; what is there is not fetched again.

    Args:
        text: a path, a URL or ``hf:owner/repository/file[@revision]``; each with ``#sha256=HEX`` where it must be that
            very file. Plain http needs it.
        flag: named in errors.

    Raises:
        UserError: it cannot be fetched, or its hash is another. A path is not looked at without a hash.
    """
    given = str(text)
    if pathlib.Path(given).exists():
        return pathlib.Path(given)
    found = _HASH.search(given)
    if "#sha256" in given and not found:
        raise UserError(f"{flag} {given}: write 64 hexadecimal digits behind #sha256=")
    plain, digest = _HASH.sub("", given), found[1].lower() if found else ""
    url = _url(plain, flag)
    path = _fetched(url, digest, flag) if url else pathlib.Path(plain)
    if digest:
        _check(path, digest, flag)
    return path


def is_remote(text: str) -> bool:
    """Return whether ``text`` names a file that must be fetched."""
    return text.startswith(("http://", "https://", "hf:"))


def weights_folder() -> pathlib.Path:
    """Return where fetched files are kept: A2B_WEIGHTS, or a folder of the user's cache."""
    if own := os.environ.get("A2B_WEIGHTS"):
        return pathlib.Path(own)
    shared = os.environ.get("XDG_CACHE_HOME")
    return (pathlib.Path(shared) if shared else pathlib.Path.home() / ".cache") / "a2b" / "weights"


def _url(text: str, flag: str) -> str:
    """Return the URL of what is to be fetched, an empty string for a path."""
    if text.startswith("hf:"):
        found = _HUB.match(text)
        if not found:
            raise UserError(f"{flag} {text}: write hf:OWNER/REPOSITORY/FILE, or hf:OWNER/REPOSITORY/FILE@REVISION")
        repository, file, revision = found.groups()
        hub = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
        return f"{hub}/{repository}/resolve/{quote(revision or 'main', safe='')}/{quote(file)}"
    return text if is_remote(text) else ""


def _fetched(url: str, digest: str, flag: str) -> pathlib.Path:
    """Return the file in the cache, fetched by one of all the processes that may want it now."""
    from filelock import FileLock

    if url.startswith("http://") and not digest:
        raise UserError(f"{flag} {url}: anyone on the way could change it; use https, or add #sha256=...")
    name = pathlib.PurePosixPath(unquote(urlsplit(url).path)).name
    if not re.fullmatch(r"[\w.() +-]+\.(pth|pt|safetensors)", name):
        raise UserError(f"{flag} {url}: must name a .pth, .pt or .safetensors file")
    key = hashlib.sha256(f"{url}#{digest}".encode()).hexdigest()[:16]
    path = weights_folder() / key / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.parent / ".lock"):
            if not path.is_file():
                _fetch(url, path, digest, flag)
    except (OSError, http.client.HTTPException) as error:
        raise UserError(
            f"{flag} {url}: cannot be fetched ({_reason(error)}); fetch it elsewhere and give the file"
        ) from None
    return path


def _fetch(url: str, path: pathlib.Path, digest: str, flag: str) -> None:
    """Copy a URL to ``path``; the file is there only when it is whole and, given a hash, the right one."""
    from tqdm import tqdm

    request = urllib.request.Request(url, headers={"User-Agent": "a2b"})
    with urllib.request.urlopen(request, timeout=_SECONDS) as answer, atomic_file(path) as file:
        if not digest and answer.url.startswith("http://"):
            raise UserError(f"{flag} {url}: leads to {answer.url}, where it could be changed on the way; add #sha256=")
        length = int(answer.headers.get("Content-Length") or 0) or None
        bar: Any = tqdm(total=length, unit="B", unit_scale=True, desc=path.name, dynamic_ncols=True, disable=None)
        running, size = hashlib.sha256(), 0
        with bar:
            while piece := answer.read(_PIECE):
                file.write(piece)
                running.update(piece)
                size += len(piece)
                bar.update(len(piece))
        if length is not None and size != length:
            raise http.client.IncompleteRead(b"", length - size)
        if digest and running.hexdigest() != digest:
            raise _other_hash(url, running.hexdigest(), digest, flag)


def _check(path: pathlib.Path, digest: str, flag: str) -> None:
    """UserError when a file is not there or has another hash."""
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{flag} {path}: cannot be read ({error.strerror})") from None
    if found != digest:
        raise _other_hash(str(path), found, digest, flag)


def _other_hash(name: str, found: str, wanted: str, flag: str) -> UserError:
    return UserError(f"{flag} {name}: its sha256 is {found}, not {wanted}; it is another file, or was changed")


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code} {error.reason}"
    inner = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
    return " ".join(str(inner).split())[:120] or type(error).__name__
