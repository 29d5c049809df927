"""What a collector answers, and what follows from it (https://opentelemetry.io/docs/specs/otlp/#otlphttp-response)."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Annotated, Literal, NamedTuple, TypeAlias

import msgspec

RETRY_AFTER_MAX_S = 300.0
"""What a receiver asks for beyond that is not waited for: it may be a mistake, and the queue is bounded."""
_RETRYABLE = (429, 502, 503, 504)
_SHOWN = 200
"""Characters of a message that are shown."""

Verdict: TypeAlias = Literal["taken", "refused", "later"]


class Answer(NamedTuple):
    """The status of an answer, the headers that matter, and the beginning of its body."""

    status: int
    kind: str
    retry_after: str
    body: bytes


class Outcome(NamedTuple):
    """What became of a request. Taken: `rejected` of its items were not, which is final. Later: it is sent again.

    `retry_after_s` is how long the receiver asks to wait, None if it does not. `reason` is empty if all is well.
    """

    verdict: Verdict
    rejected: int = 0
    retry_after_s: float | None = None
    reason: str = ""


_Int64 = int | Annotated[str, msgspec.Meta(pattern=r"^-?[0-9]{1,19}$")] | None


class _PartialSuccess(msgspec.Struct, rename="camel"):
    rejected_log_records: _Int64 = 0
    rejected_data_points: _Int64 = 0
    error_message: str | None = None


class _Response(msgspec.Struct, rename="camel"):
    partial_success: _PartialSuccess | None = None


class _Status(msgspec.Struct):
    message: str = ""


_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What decoding raises: the last one of a field that is not ours, and nested too deeply."""
_response = msgspec.json.Decoder(_Response)
_status = msgspec.json.Decoder(_Status)


def outcome_of(answer: Answer) -> Outcome:
    """Return what follows from *answer*."""
    if 200 <= answer.status < 300:
        return _of_success(answer)
    reason = _named(answer.status) + _said(answer)
    if answer.status in _RETRYABLE:
        return Outcome("later", retry_after_s=retry_after_s(answer.retry_after), reason=reason)
    if 300 <= answer.status < 400:
        reason = f"{_named(answer.status)}: redirects are not followed, name the place itself"
    return Outcome("refused", reason=reason)


def _of_success(answer: Answer) -> Outcome:
    if not answer.body.strip():
        return Outcome("taken")
    try:
        partial = _response.decode(answer.body).partial_success
    except _UNREADABLE:
        what = f" but {answer.kind}" if answer.kind and "json" not in answer.kind else ""
        return Outcome("refused", reason=f"its answer is not OTLP as JSON{what}: is it a collector?")
    if partial is None:
        return Outcome("taken")
    rejected = max(0, int(partial.rejected_log_records or 0), int(partial.rejected_data_points or 0))
    message = (partial.error_message or "")[:_SHOWN]
    if rejected:
        return Outcome("taken", rejected, reason=f"a part of what was sent is rejected{_behind_colon(message)}")
    return Outcome("taken", reason=f"it says{_behind_colon(message)}" if message else "")


def _said(answer: Answer) -> str:
    try:
        return _behind_colon(_status.decode(answer.body).message[:_SHOWN])
    except _UNREADABLE:
        return ""


def _behind_colon(message: str) -> str:
    return f": {message}" if message else ""


def _named(status: int) -> str:
    try:
        return f"it answers {status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"it answers {status}"


def retry_after_s(header: str) -> float | None:
    """Return the seconds that a Retry-After asks for, in seconds or as a date (RFC 9110); None if it is neither."""
    text = header.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), RETRY_AFTER_MAX_S)
    try:
        return max(0.0, min(parsedate_to_datetime(text).timestamp() - time.time(), RETRY_AFTER_MAX_S))
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
