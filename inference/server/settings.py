"""How a server listens, what it takes and for how long it keeps results."""

from __future__ import annotations

from dataclasses import dataclass

from util.option import option

LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class ServerOptions:
    """The limits hold for the page and the API alike."""

    host: str = option("127.0.0.1", "address to listen on; 0.0.0.0 lets other machines in: then set --token", "session")
    port: int = option(7860, "port to listen on; 0 takes a free one and prints it", "session", minimum=0, maximum=65535)
    token: str | None = option(None, "secret that every request must carry; none: everyone may ask", "session")
    max_upload: float = option(100, "largest request body in megabytes", "session", minimum=0.001)
    max_pixels: int = option(50_000_000, "largest image in pixels, read off the header", "session", minimum=1)
    max_files: int = option(1000, "most images in one batch", "session", minimum=1)
    queue: int = option(2000, "most images that may wait; further ones are asked to come later", "session", minimum=1)
    keep_minutes: float = option(30, "how long results of a batch and of the page are kept", "session", minimum=0.01)
    max_store: float = option(
        2000, "megabytes of kept results; beyond it the oldest go first", "session", minimum=0.001
    )
    page: bool = option(True, "serve the web page; false: the API alone, which does not need gradio", "session")
    classifier: str | None = option(None, "timm model that names what a picture shows, on request", "session")
    classifier_weights: str | None = option(
        None,
        "weights of --classifier, such as a classifier of your own that timm's train.py has made, by path, URL or hub "
        "name; without them timm fetches published ones",
        "session",
    )
    classifier_names: str | None = option(
        None, "text file of the classes' names, one a line; without it those of ImageNet", "session"
    )
    classifier_run: str | None = option(
        None, "run of --model classify that names what a picture shows, in place of --classifier", "session"
    )

    @property
    def upload_bytes(self) -> int:
        """Return the largest request body in bytes."""
        return int(self.max_upload * 1e6)

    @property
    def store_bytes(self) -> int:
        """Return how many bytes of finished results are kept."""
        return int(self.max_store * 1e6)

    @property
    def local(self) -> bool:
        """Return whether only this machine can reach the server."""
        return self.host in LOOPBACK
