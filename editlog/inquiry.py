"""This project's own questions to the views of `editlog.views`, asked of the log itself and at one position."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from editlog.events import moment
from editlog.position import AsOf, aware
from editlog.reader import Reader
from editlog.views import over_views


def inquire(
    log: Reader,
    query: str,
    parameters: Sequence[Any] = (),
    *,
    as_of: AsOf | None = None,
    valid_at: datetime | None = None,
) -> list[dict[str, Any]]:
    """The rows of a trusted query as plain JSON data, moments as RFC 3339; `valid_at` (aware) is `as_of`'s if None."""
    position = log.position(as_of)
    sql = over_views(query, position.seq, valid_at or position.at)
    with log.visit() as (con, _):
        result = con.execute(sql, list(parameters))
        names = [column[0] for column in result.description or ()]
        rows = result.fetchall()
    return [{name: plain(value) for name, value in zip(names, row, strict=True)} for row in rows]


def plain(value: Any) -> Any:
    """A value of the database as JSON data; NaN and infinity are null, bytes are hex."""
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, datetime):
        return moment(aware(value))
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bytes):
        return value.hex()
    return value if value is None or isinstance(value, (bool, int)) else str(value)
