"""Answers of the server: recommendations as JSON, and one line for whatever is wrong."""

from __future__ import annotations

from fastapi.exceptions import RequestValidationError
from starlette.responses import JSONResponse

LONGEST_MESSAGE = 300


def problem(status: int, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """Say in one line what is wrong with a request."""
    line = " ".join(message.split())
    return JSONResponse({"error": line[:LONGEST_MESSAGE]}, status_code=status, headers=headers)


def describe_validation(error: RequestValidationError) -> str:
    """Name the first field that is wrong, what came, and what is allowed."""
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return f"the body is not valid JSON: {first.get('ctx', {}).get('error', 'it cannot be read')}"
    place = ".".join(str(part) for part in first["loc"] if part not in ("body", "query"))
    return f"{place or 'body'}: {first['msg']}"
