"""What a client is told when it does not get its image."""

from __future__ import annotations

from util.errors import UserError

BAD_REQUEST, NOT_FOUND, GONE, TOO_LARGE, WRONG_TYPE, UNREADABLE = 400, 404, 410, 413, 415, 422
FAILED, BUSY, NO_ROOM = 500, 503, 507


class Refused(UserError):
    """One line for the client, with the HTTP status that fits: 4xx for its own mistake, 5xx for the server's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
