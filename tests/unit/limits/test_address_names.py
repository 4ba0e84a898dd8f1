"""Names of addresses: one per network, and not to be turned back."""

import ipaddress

import pytest

from voicehelper.limits import AddressNames
from voicehelper.limits.names import network


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("testclient", ""),
        ("1.2.3.4.5", ""),
    ],
)
def test_network(address: str, expected: str) -> None:
    assert network(address) == expected


def test_a_name_is_stable_keyed_and_tells_nothing() -> None:
    names, others = AddressNames(b"k" * 32), AddressNames(b"o" * 32)
    for number in range(0, 2**32, 2**32 // 5000):
        address = str(ipaddress.IPv4Address(number))
        assert address not in names.name(address)
    assert names.name("192.0.2.7") == names.name("::ffff:192.0.2.7") != names.name("192.0.2.8")
    assert names.name("192.0.2.7") != others.name("192.0.2.7")
    assert len(names.name("192.0.2.7")) == 22
