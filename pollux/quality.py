"""What a release knows of its data's quality: what was loaded and rejected, which tests passed.

A build makes the record (`orchestration.build`), its release carries it (`release.quality`, a row
per release), and the API serves it. It has counts, and names of datasets, columns and tests; no
values of the data, which may be personal.
"""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True)


class Rejects(_Record):
    """Rows of a dataset that were not taken, for one reason."""

    column: str = Field(
        description="Column whose value could not be taken; empty where it is the whole row.",
        examples=["paid_price"],
    )
    reason: str = Field(description="Why not.", examples=["more than two decimals"])
    rows: int = Field(description="Rows.", examples=[3])


class LoadedDataset(_Record):
    """What had landed of a dataset when the build began."""

    dataset: str = Field(description="Dataset.", examples=["order_lines"])
    is_sample: bool = Field(description="Whether it is made-up data.", examples=[False])
    files: int = Field(description="Files that it landed from.", examples=[1])
    rows_read: int = Field(description="Rows of these files.", examples=[120003])
    rows_landed: int = Field(description="Rows that landed.", examples=[120000])
    rows_rejected: int = Field(description="Rows that could not be taken.", examples=[3])
    loaded_at: datetime = Field(
        description="When the last of them landed.", examples=["2026-11-26T04:10:41Z"]
    )
    rejects: tuple[Rejects, ...] = Field(description="Rejected rows by column and reason.")


class DataTest(_Record):
    """A test of the build that was released."""

    name: str = Field(description="Name.", examples=["accepted_range_campaign_summary_products__0"])
    description: str = Field(
        description="What it holds, or when it fails, in words; empty where the kind says it.",
        examples=["Order lines of an order that orders does not have are left out."],
    )
    kind: str | None = Field(
        description="Kind of a test that many columns have; null for one of its own.",
        examples=["accepted_range"],
    )
    model: str | None = Field(
        description="Model or dataset that it is about; null for one about several.",
        examples=["campaign_summary"],
    )
    column: str | None = Field(
        description="Column that it is about; null where it is about rows as a whole.",
        examples=["products"],
    )
    status: Literal["passed", "warned", "failed"] = Field(
        description="What came of it; a failed test holds back the domains that it is about.",
        examples=["passed"],
    )
    rows: int = Field(description="Rows that it found fault with.", examples=[0])


class Quality(_Record):
    """The quality of a release's data, as its build found it."""

    built_at: datetime = Field(
        description="When the build began.", examples=["2026-11-26T04:11:02Z"]
    )
    datasets: tuple[LoadedDataset, ...] = Field(description="Datasets that were loaded, by name.")
    tests: tuple[DataTest, ...] = Field(
        description="Tests of its marts and of all that these are made of, by name."
    )
