"""Where a tenant may have our servers send requests: nowhere but the internet."""

import pytest

from tests.fakes.models import FakeResolver
from voicehelper.errors import InvalidInput
from voicehelper.models.addresses import check_address, is_public


async def check(url: str, resolver: FakeResolver | None = None, *, trusted: bool = False) -> None:
    await check_address("base_url", url, trusted=trusted, resolve=resolver or FakeResolver())


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"),
        *("255.255.255.255", "224.0.0.1", "240.0.0.1", "198.18.0.1", "192.0.2.1"),
        *("::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1"),
        *("::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1", "2002:7f00:1::"),
        *("not an address", ""),
    ],
)
def test_addresses_that_are_not_on_the_internet(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["93.184.215.14", "8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_addresses_that_are(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        *("http://api.example.com/v1", "ftp://api.example.com", "//api.example.com", "api.example.com", "https://", ""),
        *("https://u:p@api.example.com", "https://api.example.com/v1?x=1", "https://api.example.com/#x"),
        *("https://api.example.com:0", "https://api.example.com:99999", "https://api.example.com:x", "https://[::1"),
        *("https://nowhere.invalid", "https://例子.example.com", "file:///etc/passwd", "https:api.example.com"),
    ],
)
async def test_what_is_no_address_of_a_tenants(url: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        await check(url)
    assert refused.value.details == {"field": "base_url"}


async def test_every_address_of_the_host_must_be_public() -> None:
    hosts = {"mixed.example.com": ["93.184.215.14", "10.0.0.1"], "none.example.com": [], "meta": ["169.254.169.254"]}
    for host in hosts:
        with pytest.raises(InvalidInput):
            await check(f"https://{host}/v1", FakeResolver(hosts))
    resolver = FakeResolver()
    await check("https://api.example.com:8443/v1", resolver)
    assert resolver.asked == ["api.example.com"]


async def test_the_platforms_administrators_may_name_anything_that_is_a_url() -> None:
    resolver = FakeResolver()
    for url in ("http://127.0.0.1:8000/v1", "http://vllm.models.svc.cluster.local/v1", "https://api.example.com"):
        await check(url, resolver, trusted=True)
    assert resolver.asked == []
    for url in ("http://u:p@vllm/v1", "file:///etc/passwd", "nonsense"):
        with pytest.raises(InvalidInput):
            await check(url, resolver, trusted=True)
