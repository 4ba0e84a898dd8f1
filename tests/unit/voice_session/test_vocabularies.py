import asyncio
from uuid import uuid4

from voicehelper.errors import Unavailable
from voicehelper.ports.clock import FakeClock
from voicehelper.voice.vocabularies import Vocabularies

ONE, OTHER = uuid4(), uuid4()


class Documents:
    def __init__(self):
        self.texts = {ONE: ["退款要三天，退款到账"], OTHER: ["星河卡办理"]}
        self.asked = []
        self.away = False

    async def wording(self, tenant_id):
        self.asked.append(tenant_id)
        await asyncio.sleep(0)
        if self.away:
            raise Unavailable("The database is away")
        return self.texts[tenant_id]


async def test_nobody_waits_for_a_vocabulary_and_each_tenant_has_its_own():
    documents = Documents()
    vocabularies = Vocabularies(documents.wording, FakeClock())
    assert vocabularies.of(ONE).alikes.correct("推款") == "推款"
    assert vocabularies.of(OTHER).expected == ()
    await vocabularies.settled()
    assert vocabularies.of(ONE).alikes.correct("推款") == "退款"
    assert vocabularies.of(OTHER).alikes.correct("推款") == "推款"
    assert "退款" in vocabularies.of(ONE).expected
    assert documents.asked == [ONE, OTHER]


async def test_one_that_is_old_is_used_until_the_new_one_is_made():
    documents, clock = Documents(), FakeClock()
    vocabularies = Vocabularies(documents.wording, clock)
    vocabularies.of(ONE)
    await vocabularies.settled()
    documents.texts[ONE] = ["运费、首重"]
    assert "退款" in vocabularies.of(ONE).expected
    clock.time += 301
    assert "退款" in vocabularies.of(ONE).expected
    await vocabularies.settled()
    assert vocabularies.of(ONE).expected == ("运费", "首重")


async def test_without_the_database_the_last_one_stays_and_it_is_tried_again():
    documents, clock = Documents(), FakeClock()
    vocabularies = Vocabularies(documents.wording, clock)
    documents.away = True
    assert vocabularies.of(ONE).expected == ()
    await vocabularies.settled()
    documents.away = False
    vocabularies.of(ONE)
    await vocabularies.settled()
    assert "退款" in vocabularies.of(ONE).expected
    documents.away = True
    clock.time += 301
    vocabularies.of(ONE)
    await vocabularies.settled()
    assert "退款" in vocabularies.of(ONE).expected
