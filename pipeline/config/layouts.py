"""Names the layouts that a month and a year in one field can have."""

from __future__ import annotations

from typing import Literal

Layout = Literal[
    "MM/YY",
    "MM/YYYY",
    "MM-YY",
    "MM-YYYY",
    "MMYY",
    "MMYYYY",
    "YYMM",
    "YYYYMM",
    "YYYY-MM",
    "YYYY/MM",
    "YYYY-MM-DD",
    "MMM-YY",
]
