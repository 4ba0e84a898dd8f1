"""Times."""

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime


def _sensible(moment: datetime) -> datetime:
    if not 2000 <= moment.year <= 2200:
        raise ValueError("the year must be between 2000 and 2200")
    return moment


Moment = Annotated[AwareDatetime, AfterValidator(_sensible)]
"""A time with its offset from UTC, which every engine can store."""
