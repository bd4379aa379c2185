"""Tables and columns."""

from typing import Any, TypeAlias

BooleanColumn: TypeAlias = Any
BooleanValue: TypeAlias = Any
Column: TypeAlias = Any
FloatingColumn: TypeAlias = Any
IntegerColumn: TypeAlias = Any
IntegerScalar: TypeAlias = Any
IntegerValue: TypeAlias = Any
NumericValue: TypeAlias = Any
StringColumn: TypeAlias = Any
Table: TypeAlias = Any
TimestampColumn: TypeAlias = Any
Value: TypeAlias = Any
