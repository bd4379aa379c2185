"""Expressions."""

from ibis.expr import datatypes as datatypes
from ibis.expr import types as types
