"""What a request may hold, checked field by field, and what an answer holds."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr, model_validator

from transformers4recsys.serving.bounds import Bounds

# A raw id as logs have it: text or a whole number of 64 bits, never a float.
RawId = Annotated[StrictStr, Field(max_length=1_000)] | Annotated[StrictInt, Field(ge=-(2**63), lt=2**63)]
Value = StrictStr | StrictInt | StrictFloat | StrictBool | None
Session = list[RawId]


class RecommendRequest(BaseModel):
    """Sessions as lists of raw item ids, oldest first, or raw events as rows of the log's own columns."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"sessions": [["sku-7", "sku-1"], ["sku-3"]], "k": 5, "exclude_seen": True}]},
    )

    sessions: list[Session] | None = Field(None, description="raw item ids of each session, oldest first")
    events: list[dict[str, Value]] | None = Field(None, description="raw events with the columns of the training log")
    k: StrictInt = Field(10, ge=1, description="length of each list")
    exclude_seen: StrictBool = Field(False, description="leave out what the session holds already")
    candidates: list[RawId] | None = Field(None, description="recommend among these items only")
    exclude: Session | list[Session] | None = Field(
        None, description="never recommend these; one list, or one a session"
    )

    @model_validator(mode="after")
    def _check_one_kind(self) -> RecommendRequest:
        if (self.sessions is None) == (self.events is None):
            raise ValueError("give either sessions or events")
        return self

    def problem_with(self, bounds: Bounds) -> str | None:
        """Name the bound that the request exceeds, if any."""
        longest = max(map(len, self.sessions or []), default=0)
        lists = self.exclude or []
        excluded = sum(len(each) if isinstance(each, list) else 1 for each in lists)
        sizes = [
            ("sessions", len(self.sessions or []), bounds.max_sessions),
            ("items of a session", longest, bounds.max_items),
            ("events", len(self.events or []), bounds.max_sessions * bounds.max_items),
            ("k", self.k, bounds.max_k),
            ("candidates", len(self.candidates or []), bounds.max_candidates),
            ("exclude", excluded, bounds.max_candidates),
        ]
        for name, size, most in sizes:
            if size > most:
                return f"{name}: {size} is more than the {most} that this server allows"
        if self.has_lists_by_session and len(lists) != len(self.sessions or []):
            return (
                f"exclude: {len(lists)} lists for {len(self.sessions or [])} sessions; give one list, or one a session"
            )
        return None

    @property
    def has_lists_by_session(self) -> bool:
        return any(isinstance(each, list) for each in self.exclude or [])

    def excluded(self) -> list[list[Any]]:
        """Give what each session must not be recommended, the items it holds already included if asked for."""
        sessions = self.sessions or []
        if self.has_lists_by_session:
            lists = [list(each) if isinstance(each, list) else [each] for each in self.exclude or []]
        else:
            lists = [list(self.exclude or []) for _ in sessions]
        if self.exclude_seen:
            lists = [[*each, *session] for each, session in zip(lists, sessions, strict=True)]
        return lists


class Recommendation(BaseModel):
    """One recommended item, with its title where the run's item table has one."""

    item: str | int
    score: float
    title: str | None = None


class SessionAnswer(BaseModel):
    """The list of one session, best first; `source` is fallback where the session held no known item."""

    items: list[Recommendation]
    source: str = "model"
    session: str | int | None = None


class RecommendAnswer(BaseModel):
    """A list for each session, in their order, and which day's model made them."""

    model: str
    sessions: list[SessionAnswer]
