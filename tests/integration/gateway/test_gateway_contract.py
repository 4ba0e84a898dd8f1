"""The short form of `make prove-tenancy`, point 3: what the OpenAPI document says is what happens."""

import asyncio
import random
from pathlib import Path

import pytest

from tests.prove.tenancy_asgi import settings_for
from tests.prove.tenancy_contract import check_contract

CASES = 400


@pytest.mark.timeout(240)
async def test_no_response_contradicts_the_document(postgres_dsn: str, redis_url: str, tmp_path: Path) -> None:
    seed = random.randrange(10**6)
    settings = settings_for(tmp_path, postgres_dsn, redis_url)
    contract = await asyncio.to_thread(check_contract, settings, postgres_dsn, CASES, seed)
    print(f"{contract.cases} cases of {len(contract.operations)} operations, seed {seed}: {dict(contract.statuses)}")
    assert contract.cases >= CASES
    assert not contract.wrong, f"seed {seed}: {contract.lines()}"
